"""All keys of the dashboard, each with an id under which a file can rebind it."""

from __future__ import annotations

from collections.abc import Mapping

from textual.binding import Binding

from agentui.frozen import frozen


@frozen
class Key:
    """One binding. `is_for_empty_prompt`: works only while nothing is typed, so that it can be a letter."""

    id: str
    keys: str
    action: str
    words: str
    group: str
    is_for_empty_prompt: bool = False


KEYS: tuple[Key, ...] = (
    Key("run.pause", "space", "empty_pause", "pause or resume; again while pausing: freeze", "run", True),
    Key("run.step", "full_stop", "empty_step", "go on to the next safe point", "run", True),
    Key("run.interrupt", "escape", "escape", "close, clear the selection, then interrupt", "run"),
    Key("run.pause_alias", "f5", "pause", "as space", "run"),
    Key("run.step_alias", "f6", "step", "as .", "run"),
    Key("changes.apply", "a", "apply_offer", "apply all changes, when they are offered", "changes", True),
    Key("changes.review", "r", "review_offer", "review changes per file", "changes", True),
    Key("changes.always", "A", "always_offer", "apply, and always in this project", "changes", True),
    Key("screen.help", "question_mark", "empty_help", "this help", "screen", True),
    Key("screen.help_alias", "f1", "help", "as ?", "screen"),
    Key("screen.cycle", "ctrl+n", "cycle", "next pane", "screen"),
    Key("screen.fold", "ctrl+o", "fold", "fold or unfold thinking, calls and outputs", "screen"),
    Key("screen.page_up", "pageup", "page(-1)", "scroll the transcript back", "screen"),
    Key("screen.page_down", "pagedown", "page(1)", "scroll the transcript on", "screen"),
    Key("screen.focus", "ctrl+t", "focus_next_pane", "focus: prompt, tools, changes, transcript", "screen"),
    Key("app.sessions", "ctrl+r", "sessions", "go on with another session", "app"),
    Key("prompt.editor", "ctrl+g", "editor", "write the prompt in $EDITOR", "prompt"),
    Key("app.copy_or_quit", "ctrl+c", "copy_or_quit", "copy the selection, clear the prompt, or quit", "app"),
)
FIXED: tuple[tuple[str, str], ...] = (
    ("enter", "send; while running: steer; again on an unsent steer: now"),
    ("tab", "queue until the agent would stop (some terminals: alt+enter)"),
    ("ctrl+j", "new line"),
    ("up / down", "take the last queued text back, then the history"),
    ("ctrl+z", "take typing back, ctrl+y brings it again (suspends nothing)"),
    ("ctrl+p", "command palette"),
    ("ctrl+q", "quit, asking first while a run works"),
    ("up / down", "in tools and changes: choose (ctrl+t goes there, esc back)"),
    ("enter / o", "in the tool log: full output; a click or ctrl+o unfolds"),
)
EMPTY_PROMPT_ACTIONS = frozenset(key.action for key in KEYS if key.is_for_empty_prompt)


def bindings(group: str | None = None) -> list[Binding]:
    """The bindings for a screen.

    Priority, because a focused text area would take keys first; but keys for an empty prompt must wait for it:
    only there do they arrive in the order in which they were typed.
    """
    return [
        Binding(key.keys, key.action, key.words, id=key.id, priority=not key.is_for_empty_prompt, show=False)
        for key in KEYS
        if group is None or key.group == group
    ]


def shown_key(name: str) -> str:
    """A key as people write it."""
    return {"full_stop": ".", "question_mark": "?", "escape": "esc"}.get(name, name)


def first_key(key_id: str, rebound: Mapping[str, str]) -> str:
    """The key of a binding as people write it, the user's own where there is one; of several the first."""
    usual = next(key.keys for key in KEYS if key.id == key_id)
    return shown_key(rebound.get(key_id, usual).partition(",")[0].strip())


def empty_prompt_actions(rebound: Mapping[str, str]) -> dict[str, str]:
    """What each key does on an empty prompt, with the user's own keys (ids to keys, by commas) in place."""
    return {
        name.strip(): key.action
        for key in KEYS
        if key.is_for_empty_prompt
        for name in rebound.get(key.id, key.keys).split(",")
    }


def actions_by_key(rebound: Mapping[str, str]) -> dict[str, str]:
    """What each key does, in words, with the user's own keys in place; of fixed keys those of the prompt."""
    bound = {name.strip(): key.words for key in KEYS for name in rebound.get(key.id, key.keys).split(",")}
    fixed = {name: words for keys, words in reversed(FIXED) for name in keys.split(" / ")}
    return fixed | bound
