from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest
from textual.app import App

from agentui.tui.editor import EditorError, edited


class Terminal:
    """An application whose terminal can be lent."""

    @contextmanager
    def suspend(self) -> Iterator[None]:
        yield


def written(monkeypatch: pytest.MonkeyPatch, editor: str, text: str = "keep the names") -> str:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", editor)
    return edited(cast(App[None], Terminal()), text)


def test_an_editor_may_have_arguments_and_its_text_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    assert written(monkeypatch, "sed -i s/names/order/") == "keep the order"


def test_half_a_surrogate_in_the_prompt_does_not_keep_the_editor_shut(monkeypatch: pytest.MonkeyPatch) -> None:
    assert written(monkeypatch, "true", "a\ud800") == "a?"


@pytest.mark.parametrize("editor", ['vi "', "no-such-editor-anywhere", "rm"])
def test_an_editor_that_gives_nothing_back_is_named_with_what_to_do(
    editor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EditorError, match=r"set EDITOR"):
        written(monkeypatch, editor)


def test_an_editor_that_ends_with_an_error_changes_nothing_and_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(EditorError, match=r"^sh ended with code 1: the prompt stays"):
        written(monkeypatch, """sh -c 'echo half >"$1"; exit 1' sh""")
