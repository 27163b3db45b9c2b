from __future__ import annotations

import itertools

import pytest
from textual.app import App, ComposeResult
from textual.geometry import Offset
from textual.selection import Selection

from agentui_widgets.block_view import SCROLL_STEP_ROWS
from agentui_widgets.column import CACHED_ROWS, Column, DrawnAs, RowCache, Slot
from agentui_widgets.text_view import TextView
from agentui_widgets.tool_log import ToolLog, ToolRow
from agentui_widgets.transcript import GUTTER, Entry, Transcript
from agentui_widgets.wrapping import Rows


class CountingTranscript(Transcript):
    """Counts how often blocks are drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[str] = []

    def draw(self, item: Entry, width: int, is_folded: bool) -> Rows:
        self.drawn.append(item.key)
        return super().draw(item, width, is_folded)


class TranscriptApp(App[None]):
    def compose(self) -> ComposeResult:
        yield CountingTranscript()

    def on_block_view_activated(self, message: Transcript.Activated) -> None:
        self.view.toggle(message.key)

    @property
    def view(self) -> CountingTranscript:
        return self.query_one(CountingTranscript)


def shown(view: Transcript | ToolLog | TextView) -> list[str]:
    return [view.render_line(y).text.rstrip() for y in range(view.size.height)]


def agent(key: str, text: str, **more: object) -> Entry:
    return Entry(key, "agent", label="agent", parts=(text,), **more)  # type: ignore[arg-type]


async def test_finished_answers_are_drawn_as_markdown_once() -> None:
    app = TranscriptApp()
    async with app.run_test(size=(60, 20)) as pilot:
        app.view.put(0, Entry("u", "user", label="you", parts=("do it",)))
        app.view.put(1, agent("a", "# Done\n\nall **good**"))
        app.view.commit()
        await pilot.pause()
        assert shown(app.view)[:5] == [" you   do it", "", " agent Done", "", "       all good"]
        app.view.refresh()
        await pilot.pause()
        assert app.view.drawn == ["u", "a"]


async def test_a_growing_block_is_wrapped_piece_by_piece_and_never_drawn_again() -> None:
    app = TranscriptApp()
    async with app.run_test(size=(60, 20)) as pilot:
        parts = ["start "]
        entry = Entry("m", "agent", label="agent", parts=parts, is_open=True)
        app.view.put(0, entry)
        app.view.commit()
        await pilot.pause()
        for version in range(1, 200):
            parts.append(f"word{version} ")
            app.view.put(0, entry._replace(version=version))
            app.view.commit()
        await pilot.pause()
        assert app.view.drawn == ["m"]
        assert "word199" in "".join(shown(app.view)[-SCROLL_STEP_ROWS:])
        app.view.put(0, entry._replace(version=500, is_open=False))
        app.view.commit()
        await pilot.pause()
        assert app.view.drawn == ["m", "m"]
        assert "word199" in shown(app.view)[-1]


async def test_growing_text_is_painted_row_by_row_and_scrolls_by_steps() -> None:
    app = TranscriptApp()
    async with app.run_test(size=(60, 20)) as pilot:
        parts = ["start\n"]
        entry = Entry("m", "agent", label="agent", parts=parts, is_open=True)
        tops = set()
        for version in range(60):
            parts.append(f"line {version}\n")
            app.view.put(0, entry._replace(version=version))
            app.view.commit()
            await pilot.pause()
            tops.add(app.view.scroll_offset.y)
            text = "\n".join(app.view.screen._compositor.render_strips(app.size)[y].text for y in range(20))
            assert f"line {version}" in text
            assert app.view.follows_end
        steps = {below - above for above, below in itertools.pairwise(sorted(tops)[1:])}
        assert steps == {SCROLL_STEP_ROWS}


async def test_the_view_follows_its_end_until_the_user_scrolls_up() -> None:
    app = TranscriptApp()
    async with app.run_test(size=(40, 10)) as pilot:
        view = app.view
        for index in range(30):
            view.put(index, agent(f"a{index}", f"answer {index}"))
        view.commit()
        await pilot.pause()
        assert shown(view)[-1].endswith("answer 29")
        view.scroll_to(y=5, animate=False)
        await pilot.pause()
        before = shown(view)
        view.put(30, agent("a30", "new"))
        view.commit()
        await pilot.pause()
        assert shown(view) == before
        view.scroll_end(animate=False)
        await pilot.pause()
        view.put(31, agent("a31", "newest"))
        view.commit()
        await pilot.pause()
        assert shown(view)[-1].endswith("newest")


async def test_only_what_is_in_sight_is_drawn() -> None:
    app = TranscriptApp()
    async with app.run_test(size=(40, 10)) as pilot:
        for index in range(5000):
            app.view.put(index, agent(f"a{index}", f"answer {index}"))
        app.view.commit()
        await pilot.pause()
        assert len(app.view.drawn) < 30
        app.view.scroll_to(y=0, animate=False)
        await pilot.pause()
        assert shown(app.view)[0].endswith("answer 0")
        assert len(app.view.drawn) < 60


async def test_the_last_row_is_in_sight_however_fast_blocks_come() -> None:
    """A replay puts and commits faster than frames are painted, and estimates are wrong all the time."""
    app = TranscriptApp()
    async with app.run_test(size=(40, 12)) as pilot:
        view = app.view
        for turn in range(40):
            for _ in range(8):
                index = view.block_count
                text = f"{index} " + "- point\n" * (index % 5) + "words to wrap " * (index % 7)
                view.put(index, agent(f"a{index}", text))
                view.commit()
            view.put(view.block_count, agent(f"end{turn}", f"end of turn {turn}"))
            view.commit()
            await pilot.pause()
            assert shown(view)[-1].endswith(f"end of turn {turn}")
            assert view.follows_end


async def test_a_resize_wraps_again_and_stays_at_the_end() -> None:
    app = TranscriptApp()
    async with app.run_test(size=(80, 12)) as pilot:
        for index in range(20):
            app.view.put(index, agent(f"a{index}", f"{index} " + "some words to wrap " * 6))
        app.view.commit()
        await pilot.pause()
        await pilot.resize_terminal(40, 12)
        await pilot.pause(0.3)
        assert all(len(row) <= 40 for row in shown(app.view))
        assert shown(app.view)[-1].rstrip().endswith("wrap")
        assert app.view.max_scroll_y == app.view.scroll_offset.y


async def test_thinking_is_folded_and_unfolds() -> None:
    app = TranscriptApp()
    async with app.run_test(size=(50, 12)) as pilot:
        entry = Entry(
            "t", "thinking", label="◌", title="thinking 4.1 s", parts=("first\nsecond",), is_folded=True
        )
        app.view.put(0, entry)
        app.view.commit()
        await pilot.pause()
        assert shown(app.view)[:2] == [" ◌     thinking 4.1 s", ""]
        await pilot.click(CountingTranscript, offset=(10, 0))
        await pilot.pause()
        assert shown(app.view)[:3] == [" ◌     thinking 4.1 s", "       first", "       second"]
        app.view.set_all_folded(True)
        await pilot.pause()
        assert shown(app.view)[1] == ""


async def test_copying_gives_the_text_without_gutter_and_wrapping() -> None:
    app = TranscriptApp()
    async with app.run_test(size=(30, 12)) as pilot:
        app.view.put(0, Entry("u", "user", label="you", parts=("keep the public names and the order",)))
        app.view.put(1, agent("a", "done"))
        app.view.commit()
        await pilot.pause()
        assert app.view.get_selection(Selection(None, None)) == (
            "keep the public names and the order\n\ndone",
            "\n",
        )
        part = Selection(Offset(GUTTER, 0), Offset(GUTTER + 4, 0))
        assert app.view.get_selection(part) == ("keep", "\n")


async def test_dragging_selects_and_marks() -> None:
    app = TranscriptApp()
    async with app.run_test(size=(40, 12)) as pilot:
        app.view.put(0, agent("a", "alpha beta"))
        app.view.commit()
        await pilot.pause()
        await pilot.mouse_down(CountingTranscript, offset=(GUTTER, 0))
        await pilot.hover(CountingTranscript, offset=(GUTTER + 5, 0))
        await pilot.mouse_up(CountingTranscript, offset=(GUTTER + 5, 0))
        await pilot.pause()
        assert (app.screen.get_selected_text() or "").startswith("alpha")
        styles = {segment.text.strip(): segment.style for segment in app.view.render_line(0)}
        marked, plain = styles["alpha"], styles["beta"]
        assert marked is not None
        assert plain is not None
        assert marked.bgcolor != plain.bgcolor
        assert marked.color == plain.color


class ToolApp(App[None]):
    def compose(self) -> ComposeResult:
        yield ToolLog()


async def test_a_running_command_shows_the_end_of_its_output_and_folds_when_done() -> None:
    app = ToolApp()
    row = ToolRow(
        "c", 0, "12:01:03", "$ make", "running", "1.0 s", tail=[f"l{n}" for n in range(9)], is_running=True
    )
    async with app.run_test(size=(70, 12)) as pilot:
        log = app.query_one(ToolLog)
        log.put(0, row)
        log.commit()
        await pilot.pause()
        assert [line.strip() for line in shown(log)[1:5]] == ["l5", "l6", "l7", "l8"]
        log.put(0, row._replace(version=1, is_running=False, result="exit 0", facts=["in /w"]))
        log.commit()
        await pilot.pause()
        assert shown(log)[1] == ""
        log.focus()
        await pilot.press("enter")
        log.toggle("c")
        await pilot.pause()
        assert shown(log)[1].strip() == "in /w"
        assert shown(log)[10].strip() == "l8"


async def test_a_long_text_opens_at_its_top() -> None:
    class TextApp(App[None]):
        def compose(self) -> ComposeResult:
            yield TextView()

    app = TextApp()
    async with app.run_test(size=(40, 10)) as pilot:
        view = app.query_one(TextView)
        view.show("\n".join(f"line {n}" for n in range(10_000)))
        await pilot.pause()
        assert shown(view)[0] == "line 0"
        view.scroll_end(animate=False)
        await pilot.pause()
        assert shown(view)[-1] == "line 9999"


def test_rows_are_forgotten_when_there_are_too_many() -> None:
    cache = RowCache()
    drawn_as = DrawnAs(0, 80, False)
    for number in range(100):
        rows = Rows()
        rows.segments = [((), 0)] * 100
        cache.put(str(number), drawn_as, rows)
    assert cache.row_count <= CACHED_ROWS
    assert cache.get("99") is not None
    assert cache.get("0") is None


def test_a_column_finds_rows_after_a_height_changed() -> None:
    column: Column[str] = Column()
    for number in range(4):
        column.add(Slot(str(number), margin=1 if number else 0, height=2))
    column.settle()
    assert (column.height, column.locate(3), column.locate(2)) == (11, (1, 0), None)
    column.slots[1].height = 5
    column.touch(1)
    column.settle()
    assert (column.height, column.locate(7), column.locate(9)) == (14, (1, 4), (2, 0))
    assert column.locate(14) is None


async def test_the_end_is_in_sight_however_wrong_the_estimates_were() -> None:
    app = TranscriptApp()
    async with app.run_test(size=(60, 45)) as pilot:
        app.view.estimate = lambda item, width, is_folded: 60  # type: ignore[method-assign]
        for index in range(300):
            app.view.put(index, agent(f"a{index}", f"answer {index}"))
        app.view.commit()
        await pilot.pause()
        assert app.view.scroll_offset.y == app.view.max_scroll_y
        assert [line.split() for line in shown(app.view)[::-2]] == [
            ["agent", "answer", str(299 - row)] for row in range(23)
        ]


async def test_a_long_command_of_several_lines_is_cut_once() -> None:
    app = ToolApp()
    async with app.run_test(size=(70, 12)) as pilot:
        log = app.query_one(ToolLog)
        for index, command in enumerate(
            ("$ ls\nwc", "$ cat > a/very/long/path/to/some/file.py <<'EOF'\nx\nEOF")
        ):
            log.put(index, ToolRow(f"c{index}", 0, "12:01:03", command, "exit 0", "1.0 s"))
        log.commit()
        await pilot.pause()
        assert "$ ls … " in shown(log)[0]
        assert shown(log)[1].count("…") == 1


async def test_hints_below_the_blocks_are_repainted_only_when_they_move(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = TranscriptApp()
    async with app.run_test(size=(60, 20)) as pilot:
        app.view.put(0, Entry("u", "user", label="you", parts=("do it",)))
        app.view.show_hints((("enter", "begins"),))
        app.view.commit()
        await pilot.pause()
        assert "begins" in "".join(shown(app.view))
        repainted: list[tuple[object, ...]] = []
        monkeypatch.setattr(app.view, "refresh", lambda *regions, **_: repainted.append(regions))
        app.view.commit()
        assert repainted == []
        app.view.put(1, agent("a", "hello"))
        app.view.commit()
        assert () in repainted
