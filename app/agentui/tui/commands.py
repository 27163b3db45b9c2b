"""Slash commands: everything the keys can do, and what needs a word with it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from agentui.config import values
from agentui.control import (
    Apply,
    Compact,
    Control,
    Discard,
    Interrupt,
    Pause,
    Resume,
    RunCommand,
    SendNow,
    Step,
    Submit,
    SwitchModel,
    TakeBack,
    TakeCommits,
)
from agentui.frozen import frozen
from agentui.text import clean_line
from agentui.tui.arrange import LAYOUTS
from agentui_widgets.prompt import Candidate, Completion


class Deck(Protocol):
    """What commands can do to the screen."""

    def send(self, control: Control) -> None:
        """Ask something of the run."""
        ...

    def say(self, text: str, *, is_error: bool = False) -> None:
        """Tell the user something, briefly."""
        ...

    def open_help(self) -> None:
        """Show keys and commands."""
        ...

    def open_review(self, path: str) -> None:
        """Show the changes per file, from `path` on."""
        ...

    def open_models(self) -> None:
        """Choose a model."""
        ...

    def open_contexts(self) -> None:
        """Choose a context length."""
        ...

    def undo(self, *, redo: bool = False) -> None:
        """Say what an undo would do, and do it after a yes; or bring it again."""
        ...

    def open_output(self, number: str) -> None:
        """Show a command's full output; the last one's without a number."""
        ...

    def open_gauges(self) -> None:
        """Show how sure each gauge is, and how old."""
        ...

    def open_speed(self) -> None:
        """Show speed over the depth of the context."""
        ...

    def use_theme(self, name: str) -> None:
        """Change colours; without a name choose them."""
        ...

    def use_layout(self, name: str) -> None:
        """Force a layout, or follow the size again with ``auto`` or nothing."""
        ...

    def go_to(self, text: str) -> None:
        """In a replay: seek a time."""
        ...

    def fold_all(self) -> None:
        """Fold or unfold."""
        ...

    def copy(self, what: str) -> None:
        """Copy the last answer, or all of the transcript."""
        ...

    def answer(self, word: str) -> None:
        """Answer the open question."""
        ...

    def ask_quit(self) -> None:
        """Quit, asking first while a run works."""
        ...

    def open_sessions(self) -> None:
        """Choose a session to go on with."""
        ...

    def branch(self, turn: str) -> None:
        """Go back to after a turn, in a new session; without a number choose it."""
        ...


@frozen
class Command:
    """A slash command; `run` gets what stands behind the name."""

    name: str
    words: str
    run: Callable[[Deck, str], None]
    argument: str = ""


def _simple(control: Control) -> Callable[[Deck, str], None]:
    return lambda deck, _: deck.send(control)


def _context(deck: Deck, argument: str) -> None:
    """``64k`` and ``65536`` are both understood; nothing lets choose, with what fits."""
    text = argument.strip()
    if not text:
        deck.open_contexts()
        return
    try:
        tokens = values.context_tokens(text)
    except ValueError as error:
        deck.say(f"/context {error}", is_error=True)
        return
    deck.send(SwitchModel(context_tokens=tokens))


def _model(deck: Deck, argument: str) -> None:
    if argument.strip():
        deck.send(SwitchModel(model=argument.strip()))
    else:
        deck.open_models()


def _text(name: str, *, queue: bool) -> Callable[[Deck, str], None]:
    def run(deck: Deck, argument: str) -> None:
        if argument.strip():
            deck.send(Submit(argument.strip(), queue=queue))
        else:
            deck.say(f"say what: /{name} TEXT", is_error=True)

    return run


def _apply(deck: Deck, argument: str) -> None:
    paths = _paths(deck, argument)
    if argument.strip() == "all":
        deck.send(Apply(include_ask=True))
    elif paths is not None:
        deck.send(Apply(paths=paths or None, include_ask=bool(paths)))


def _discard(deck: Deck, argument: str) -> None:
    paths = _paths(deck, argument)
    if paths is not None:
        deck.send(Discard(paths or None))


def _review(deck: Deck, argument: str) -> None:
    paths = _paths(deck, argument)
    if paths is not None:
        deck.open_review(paths[0] if len(paths) == 1 else argument.strip())


def _paths(deck: Deck, argument: str) -> tuple[str, ...] | None:
    """The paths of an argument, quoted as in a shell; ``None`` when it cannot be read, which is said."""
    try:
        return tuple(shlex.split(argument))
    except ValueError:
        deck.say(f"a quote is not closed in: {argument.strip()}", is_error=True)
        return None


COMMANDS: tuple[Command, ...] = (
    Command("pause", "hold at the next safe point", _simple(Pause())),
    Command("freeze", "hold at once", _simple(Pause(freeze=True))),
    Command("resume", "go on", _simple(Resume())),
    Command("step", "go on to the next safe point", _simple(Step())),
    Command("interrupt", "end the run now; queued text stays", _simple(Interrupt())),
    Command("queue", "send when the agent would stop", _text("queue", queue=True), "TEXT"),
    Command("steer", "send before the next request", _text("steer", queue=False), "TEXT"),
    Command("now", "cut the answer and ask again with what is queued", _simple(SendNow())),
    Command("takeback", "take the last queued text back", _simple(TakeBack())),
    Command("answer", "answer the open question", lambda deck, a: deck.answer(a.strip()), "WORD"),
    Command("apply", "bring changes to your project; quote paths with spaces", _apply, "[all|PATH …]"),
    Command("review", "see the changes per file", _review, "[PATH]"),
    Command("discard", "drop changes from the copy; quote paths with spaces", _discard, "[PATH …]"),
    Command("undo", "take back the last apply, after a look", lambda deck, _: deck.undo()),
    Command("redo", "apply again what was undone", lambda deck, _: deck.undo(redo=True)),
    Command("commits", "bring the agent's commits to your refs/agentui/", _simple(TakeCommits())),
    Command("model", "choose a model", _model, "[NAME]"),
    Command("context", "reload with another context length", _context, "[N]"),
    Command(
        "check",
        "run one of your checks, as the agent would",
        lambda deck, a: deck.send(RunCommand(f"check {a.strip()}".strip())),
        "NAME [ARGUMENTS]",
    ),
    Command("compact", "summarise the history at the next safe point", _simple(Compact())),
    Command("output", "a command's full output", lambda deck, a: deck.open_output(a.strip()), "[N]"),
    Command("gauges", "each gauge: how sure it is, and how old", lambda deck, _: deck.open_gauges()),
    Command("speed", "speed over depth: when to compact", lambda deck, _: deck.open_speed()),
    Command("fold", "fold or unfold thinking, calls and outputs", lambda deck, _: deck.fold_all()),
    Command(
        "copy",
        "copy the last answer or the whole transcript",
        lambda deck, a: deck.copy(a.strip()),
        "[last|all]",
    ),
    Command(
        "layout",
        "force a layout",
        lambda deck, a: deck.use_layout(a.strip()),
        "[auto|" + "|".join(LAYOUTS) + "]",
    ),
    Command("theme", "change colours", lambda deck, a: deck.use_theme(a.strip()), "[NAME]"),
    Command("sessions", "go on with another session", lambda deck, _: deck.open_sessions()),
    Command(
        "branch",
        "go back to after a turn, in a new session",
        lambda deck, a: deck.branch(a.strip()),
        "[TURN]",
    ),
    Command("at", "in a replay: go to a time", lambda deck, a: deck.go_to(a), "TIME"),
    Command("help", "keys and commands", lambda deck, _: deck.open_help()),
    Command("quit", "save and leave", lambda deck, _: deck.ask_quit()),
)
BY_NAME = {command.name: command for command in COMMANDS}


def run_command(deck: Deck, line: str) -> None:
    """Run ``/name argument``; unknown names are said, not sent to the model."""
    name, *rest = line.removeprefix("/").split(maxsplit=1)
    argument = rest[0] if rest else ""
    command = BY_NAME.get(name)
    if command is None:
        near = [n for n in BY_NAME if n.startswith(name[:2])] if name else []
        deck.say(f"no command /{name}" + (f"; did you mean /{near[0]}?" if near else ""), is_error=True)
        return
    command.run(deck, argument)


def is_command(text: str, of_harness: Collection[str] = ()) -> bool:
    """True for ``/word``; a path such as ``/usr/bin``, and what only the harness knows, is text for that."""
    name = text.removeprefix("/").split(maxsplit=1)
    if not text.startswith("/") or not name or not name[0].isalpha():
        return False
    return name[0] in BY_NAME or name[0] not in of_harness


class Completer:
    """Completes commands, their fixed arguments, changed paths, and paths after ``@``.

    A path that holds control is not offered: typed or shown it would be another one.
    """

    def __init__(
        self,
        paths: Callable[[str], Sequence[str]],
        themes: Callable[[], Sequence[str]],
        of_harness: Callable[[], Sequence[str]],
        changed: Callable[[], Sequence[str]],
    ) -> None:
        self._paths = paths
        self._themes = themes
        self._of_harness = of_harness
        self._changed = changed

    def __call__(self, before: str) -> Completion | None:
        """What can stand at the cursor, given the text of the line before it."""
        if before.startswith("/"):
            return self._command(before)
        start = before.rfind("@")
        if start < 0 or (start > 0 and not before[start - 1].isspace()):
            return None
        prefix = before[start + 1 :]
        if len(prefix) > _LONGEST_PATH_CHARS or any(character.isspace() for character in prefix):
            return None
        found = tuple(Candidate(f"@{path}") for path in self._paths(prefix) if _is_plain(path))
        return Completion(len(prefix) + 1, found)

    def _command(self, before: str) -> Completion | None:
        name, space, argument = before[1:].partition(" ")
        if not space:
            found = [c for c in COMMANDS if c.name.startswith(name)]
            if len(found) == 1 and found[0].name == name:
                return None
            own = [Candidate(f"/{c.name}", f"{c.words}  {c.argument}".rstrip()) for c in found]
            theirs = [n for n in self._of_harness() if n.startswith(name) and n not in BY_NAME and n != name]
            return Completion(len(before), (*own, *(Candidate(f"/{n}", "of Pi") for n in theirs)))
        if name in _OF_CHANGES:
            return self._change(argument)
        words = self._words(name)
        return Completion(len(argument), tuple(Candidate(w) for w in words if w.startswith(argument)))

    def _change(self, argument: str) -> Completion:
        """Changed paths for the last word of an argument, quoted where they must be."""
        start = _last_word_start(argument)
        typed = argument[start:]
        quoted = {path: shlex.quote(path) for path in self._changed() if _is_plain(path)}
        found = tuple(
            Candidate(word)
            for path, word in quoted.items()
            if typed and (word.startswith(typed) or path.startswith(typed.lstrip("'\"")))
        )
        return Completion(len(typed), found)

    def _words(self, name: str) -> Sequence[str]:
        """The fixed arguments of a command."""
        match name:
            case "theme":
                return self._themes()
            case "layout":
                return ("auto", *LAYOUTS)
            case "copy":
                return ("last", "all")
            case _:
                return ()


_LONGEST_PATH_CHARS = 4096
"""No file has a longer path, and to look for one would take until the pasted megabyte is resolved."""
_OF_CHANGES = frozenset(("apply", "discard", "review"))


def _is_plain(path: str) -> bool:
    return path.isprintable() and clean_line(path) == path


def _last_word_start(argument: str) -> int:
    """Where the word that is being typed begins; spaces in quotes end none."""
    start, quote = 0, ""
    for place, character in enumerate(argument):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == " ":
            start = place + 1
    return start
