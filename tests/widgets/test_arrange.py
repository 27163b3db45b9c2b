from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.tui.arrange import LAYOUTS, PANES, LayoutKind, Pane, Wants, arrange, layout_for
from tests.widgets.driving import running, settle
from tests.widgets.fakes import make_app


@pytest.mark.parametrize(
    ("size", "kind"),
    [((160, 45), "wide"), ((120, 40), "wide"), ((90, 50), "tall"), ((200, 15), "short"), ((80, 24), "one")],
)
def test_the_layout_follows_width_and_height(size: tuple[int, int], kind: LayoutKind) -> None:
    assert layout_for(*size) == kind


@given(
    st.integers(20, 300),
    st.integers(6, 120),
    st.integers(1, 14),
    st.integers(0, 400),
    st.sampled_from([None, *PANES]),
    st.sampled_from(LAYOUTS),
)
def test_panes_fill_the_space_without_overlap(
    width: int, height: int, prompt: int, changes: int, zoom: Pane | None, kind: LayoutKind
) -> None:
    regions = arrange(kind, width, height, Wants(prompt, changes, 0, zoom))
    assert "prompt" in regions
    placed = list(regions.values())
    for number, region in enumerate(placed):
        assert region.width > 0
        assert region.height > 0
        assert region.x >= 0
        assert region.right <= width
        assert region.y >= 0
        assert region.bottom <= height
        assert not any(region.overlaps(other) for other in placed[number + 1 :])


@pytest.mark.parametrize("kind", LAYOUTS)
def test_a_zoomed_pane_stands_alone_with_the_prompt(kind: LayoutKind) -> None:
    assert set(arrange(kind, 160, 45, Wants(zoom="tools"))) == {"tools", "prompt"}


def test_all_panes_are_shown_where_there_is_room() -> None:
    for kind, size in (("wide", (160, 43)), ("tall", (90, 48)), ("short", (200, 13))):
        assert set(arrange(layout_for(size[0], size[1] + 2), *size, Wants())) == {*PANES, "prompt"}, kind


@pytest.mark.parametrize("size", [(90, 34), (120, 24), (200, 15), (200, 9), (80, 24), (40, 10)])
async def test_what_is_typed_takes_no_gauge_from_the_screen(size: tuple[int, int]) -> None:
    app = make_app(running())
    async with app.run_test(size=size) as pilot:
        await settle(pilot)

        def shown() -> set[str]:
            return {name for name in (*PANES, "gauge-line") if app.screen.query_one(f"#{name}").is_on_screen}

        before = shown()
        await pilot.press("slash")
        await settle(pilot)
        assert app.dashboard.prompt.is_popup_open
        assert shown() == before
        app.dashboard.prompt.text = "\n" * 20
        await settle(pilot)
        assert shown() == before
        assert before & {"gauges", "gauge-line"}
