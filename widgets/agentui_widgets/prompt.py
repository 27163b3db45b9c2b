"""The prompt: a text area that sends, queues, remembers and completes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, TextArea
from textual.widgets.option_list import Option

from agentui_widgets.wrapping import truncate

MAX_ROWS = 8
MAX_CHOICES = 8


class Candidate(NamedTuple):
    """One completion: what is inserted, and a word about it."""

    text: str
    help: str = ""


class Completion(NamedTuple):
    """What can stand in place of the last `replaces` characters before the cursor."""

    replaces: int
    candidates: Sequence[Candidate]


Complete = Callable[[str], Completion | None]


class PromptArea(TextArea):
    """The text itself. Enter sends, Tab queues, Ctrl+J breaks the line; all else is a text area's."""

    def __init__(
        self,
        clean: Callable[[str], str],
        takes_empty: Callable[[str], bool],
        decide: Callable[[str], None],
        *,
        placeholder: str,
        id: str | None = None,
    ) -> None:
        super().__init__(
            id=id,
            compact=True,
            soft_wrap=True,
            show_line_numbers=False,
            placeholder=placeholder,
            tab_behavior="focus",
        )
        self._clean = clean
        self._takes_empty = takes_empty
        self._decide = decide
        # a blinking cursor repaints twice a second: two thirds of what an idle screen costs
        self.cursor_blink = False
        self.takes_arrows = False

    def check_consume_key(self, key: str, character: str | None = None) -> bool:
        """An empty prompt leaves letters to the bindings; what none of them takes is typed all the same."""
        return bool(self.text) and super().check_consume_key(key, character)

    async def _on_key(self, event: events.Key) -> None:
        if event.key in ("ctrl+j", "shift+enter"):
            event.stop()
            event.prevent_default()
            self.insert("\n")
            return
        if self._is_for_prompt(event.key):
            event.stop()
            event.prevent_default()
            # Not by a message: keys that came in one go with this one would be typed before it is heard.
            self._decide(event.key)
            return
        if not self.text and self._takes_empty(event.key):
            # Left to the bindings it bubbles up to. Decided here, where keys arrive in order: whoever looks
            # earlier sees an empty prompt while the letters typed before this key are still on their way.
            event.prevent_default()
            return
        await super()._on_key(event)

    def _is_for_prompt(self, key: str) -> bool:
        if key in ("enter", "alt+enter"):
            return True
        if key == "tab":
            return bool(self.text) or self.takes_arrows
        if key == "up":
            return self.takes_arrows or self.cursor_location[0] == 0
        if key == "down":
            return self.takes_arrows or self.cursor_location[0] == self.document.line_count - 1
        return False

    async def _on_paste(self, event: events.Paste) -> None:
        """Pasted text is untrusted too: a raw escape in the prompt would reach the terminal."""
        event.prevent_default()
        event.stop()
        if not self.read_only and (text := self._clean(event.text)):
            self.insert(text)


class Prompt(Vertical):
    """Prompt with history and a popup of completions above it.

    Args:
        complete: Gives completions for the text before the cursor; called on every change, must be quick.
        clean: Takes control out of pasted text.
        takes_empty: Whether a key on an empty prompt is a command; it is then left to the screen's bindings.
    """

    class Submitted(Message):
        """The user sent `text`; `queue` when it should wait until the agent would stop."""

        def __init__(self, text: str, queue: bool) -> None:
            super().__init__()
            self.text = text
            self.queue = queue

    class Empty(Message):
        """Enter or Up on an empty prompt: what it means depends on the queue."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    class Changed(Message):
        """The text changed between empty and not empty, or its number of rows did."""

    def __init__(
        self,
        complete: Complete,
        clean: Callable[[str], str],
        takes_empty: Callable[[str], bool] = lambda key: False,
        *,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self._complete = complete
        self._completion: Completion | None = None
        self._history: list[str] = []
        self._place = 0
        self._draft = ""
        self._shape = (True, 1)
        self._seen = (0, "")
        self._area = PromptArea(
            clean,
            takes_empty,
            self._pressed,
            placeholder="give a task, /command, @file, !cmd",
            id="prompt-area",
        )
        self._popup: OptionList | None = None

    def compose(self) -> ComposeResult:
        """The text; the popup comes above it with the first completions."""
        yield self._area

    # --- what the screen needs

    @property
    def text(self) -> str:
        """The text as it stands."""
        return self._area.text

    @text.setter
    def text(self, text: str) -> None:
        self._area.text = text
        self._area.move_cursor(self._area.document.end)

    @property
    def area(self) -> PromptArea:
        """The text area, for focus and selection."""
        return self._area

    @property
    def rows(self) -> int:
        """Rows the prompt wants now, with its popup."""
        popup = 0
        if self._popup is not None and self.is_popup_open:
            popup = min(self._popup.option_count, MAX_CHOICES)
        return min(max(1, self._area.wrapped_document.height), MAX_ROWS) + popup

    @property
    def is_popup_open(self) -> bool:
        """True while completions are offered."""
        return self._popup is not None and bool(self._popup.display)

    def close_popup(self) -> None:
        """Hide the completions until the text changes again."""
        if self._popup is not None:
            self._popup.display = False
        self._area.takes_arrows = False
        self._tell()

    def set_placeholder(self, text: str) -> None:
        """What stands in the empty prompt; written by us, never by a model."""
        self._area.placeholder = Content(text)

    # --- keys

    def _pressed(self, key: str) -> None:
        """A key that the text area does not keep."""
        self._complete_now()
        if self._popup is not None and self.is_popup_open and key in ("up", "down", "tab", "enter"):
            self._popup_key(self._popup, key)
        elif key in ("enter", "tab", "alt+enter"):
            self._submit(queue=key != "enter")
        elif key in ("up", "down"):
            self._recall(-1 if key == "up" else 1)

    def _submit(self, *, queue: bool) -> None:
        text = self.text.strip()
        if not text:
            self.post_message(self.Empty("enter"))
            return
        self.remember([text])
        self.text = ""
        self._complete_now()
        self.post_message(self.Submitted(text, queue))

    def remember(self, texts: Iterable[str]) -> None:
        """Put texts at the end of the history; the same one twice in a row counts once."""
        for text in texts:
            if not self._history or self._history[-1] != text:
                self._history.append(text)
        self._place = len(self._history)

    def _recall(self, step: int) -> None:
        if step < 0 and not self.text and self._place == len(self._history):
            self.post_message(self.Empty("up"))
            return
        self.recall(step)

    def recall(self, step: int) -> None:
        """Go back (-1) or forth (1) in the history; the text being written is kept at its end."""
        place = self._place + step
        if not 0 <= place <= len(self._history):
            return
        if self._place == len(self._history):
            self._draft = self.text
        self._place = place
        self.text = self._draft if place == len(self._history) else self._history[place]

    # --- completion

    def on_text_area_changed(self, message: TextArea.Changed) -> None:
        """Offer completions for what stands before the cursor."""
        message.stop()
        self._complete_now()
        self._tell()

    def _complete_now(self) -> None:
        """What stands before the cursor decides; nothing to do where that was seen before."""
        row, column = self._area.cursor_location
        before = self._area.document.get_line(row)[:column] if self.text else ""
        if (row, before) == self._seen:
            return
        self._seen = (row, before)
        self._offer(self._complete(before) if (before and row == 0) or "@" in before else None, before)

    def _offer(self, completion: Completion | None, before: str) -> None:
        is_complete = False
        if completion is not None:
            typed = before[len(before) - completion.replaces :]
            others = tuple(c for c in completion.candidates if c.text != typed)
            is_complete = len(others) < len(completion.candidates)
            completion = completion._replace(candidates=others) if others else None
        self._completion = completion
        self._area.takes_arrows = completion is not None
        if completion is None:
            if self._popup is not None:
                self._popup.display = False
            return
        if self._popup is None:
            self._popup = OptionList(id="prompt-popup", compact=True, markup=False)
            self._popup.can_focus = False
            self.mount(self._popup, before=self._area)
        self._popup.display = True
        width = max((len(c.text) for c in completion.candidates), default=0) + 2
        self._popup.clear_options()
        for candidate in completion.candidates[:50]:
            label = Text(truncate(candidate.text, 60).ljust(min(width, 60)))
            label.append(candidate.help, style="dim")
            self._popup.add_option(Option(label))
        # what is complete as it stands is not replaced unasked: Enter sends it until the arrows choose
        self._popup.highlighted = None if is_complete else 0

    def _popup_key(self, popup: OptionList, key: str) -> None:
        if key == "up":
            popup.action_cursor_up()
        elif key == "down":
            popup.action_cursor_down()
        elif popup.highlighted is None:
            self._submit(queue=key != "enter")
        else:
            is_whole = self._accept()
            if key == "enter" and is_whole and self.text.startswith("/"):
                self._submit(queue=False)

    def on_option_list_option_selected(self, message: OptionList.OptionSelected) -> None:
        """A click on a completion."""
        message.stop()
        self._accept()
        self._area.focus()

    def _accept(self) -> bool:
        """Insert the highlighted completion; True when the prompt holds nothing else."""
        completion, popup = self._completion, self._popup
        if completion is None or popup is None or popup.highlighted is None:
            return False
        row, column = self._area.cursor_location
        start = (row, column - completion.replaces)
        self._area.replace(completion.candidates[popup.highlighted].text, start, (row, column))
        is_whole = start == (0, 0)
        self.close_popup()
        return is_whole

    def _tell(self) -> None:
        shape = (not self.text, self.rows)
        if shape != self._shape:
            self._shape = shape
            self.post_message(self.Changed())
