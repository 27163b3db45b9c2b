"""Header, footer, titles, queue and question as rows of facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from agentui.events import Change, ModelFacts
from agentui.text import UNKNOWN, clean, clean_line, human_bytes, human_context, human_rate, plural
from agentui.tui.keys import first_key
from agentui.view.changes import AppliedUnit, Changes
from agentui.view.fold import View
from agentui.view.notices import path_list
from agentui.view.status import Status
from agentui.view.words import RESTING
from agentui_widgets.changes import ChangeRow
from agentui_widgets.line_bar import Fact
from agentui_widgets.transcript import Tone
from agentui_widgets.wrapping import expand_tabs, wrap_offsets

_MARKS = {"added": "A", "modified": "M", "deleted": "D", "mode": "P", "link": "L", "type": "T"}
_SHOWN_QUEUE = 3
_LEAST_QUEUE_CHARS = 12
_LONG_QUESTION_CHARS = 60
_QUESTION_EDGE_CELLS = 5
_MOST_WHY_ROWS = 3
WHOLE_QUESTION_KEY = "v"
_UNDO_LINES = 12


_PROJECT_CHARS = 34
_PI_PLACES = {"host": "Pi thinks, on this machine", "container": "Pi thinks, in a container"}


def header(view: View, *, read_only: bool, follows: bool = False) -> tuple[list[Fact], list[Fact]]:
    """Project, model, context and sandbox; the state at the right. `follows`: another agentui writes it now.

    What keeps the machine safe, that a model is simulated, and the state never go, however narrow the screen
    is; what the state tells beyond its name goes first.
    """
    status = view.status
    left = [Fact("agentui", "accent", 12)]
    if read_only:
        left.append(Fact("read-only" if follows else "replay", "warning", 1))
    if status.project:
        branch = f" ({clean_line(status.branch)})" if status.branch else ""
        path = short_path(clean_line(status.project))
        folder = path.rsplit("/", 1)[-1]
        short = f"{folder}{branch}"
        left.append(Fact(f"{path}{branch}", "text", 11, short=short, short_rank=7, yields=True))
    if status.model is not None:
        left += model_facts(status.model)
    if status.harness == "pi":
        left.append(Fact(_PI_PLACES.get(status.harness_place, "Pi thinks"), "text", 8, short="Pi"))
    left += _sandbox_facts(status)
    return left, [state_fact(view)]


def model_facts(model: ModelFacts) -> list[Fact]:
    """Name, quantization and context of a model, and whether it is none of this machine's."""
    name = " ".join(
        clean_line(part) for part in (model.model, model.quantization, model.engine) if part is not None
    )
    facts = [Fact(name, "text", 10, short=clean_line(model.model), short_rank=6)]
    if model.is_simulated:
        facts.append(Fact("simulated model", "warning", 9, short="simulated"))
    if model.is_remote:
        facts.append(Fact("remote model", "error", 1))
    loaded, asked = model.loaded_context_tokens, model.requested_context_tokens
    if loaded is not None and asked is not None and loaded != asked:
        facts.append(Fact(f"ctx {human_context(loaded)}, asked {human_context(asked)}", "error", 2))
    else:
        facts.append(Fact(f"ctx {human_context(loaded)}", "text", 8))
    return facts


def _sandbox_facts(status: Status) -> list[Fact]:
    sandbox = status.sandbox
    if sandbox is None:
        return [Fact("no sandbox: talk only", "warning", 0)] if status.is_talk_only else []
    label, kind = clean_line(sandbox.label), clean_line(sandbox.kind)
    if not sandbox.is_isolated and kind != "scripted":
        return [Fact(label, "error", 0)]
    is_plain = status.profile == "default" and sandbox.is_isolated and not sandbox.has_interpreters
    tone: Tone = "text" if is_plain else "warning"
    # What the usual ones are like can be read in the help; whose project and model these are cannot.
    rank = 8 if is_plain or kind == "scripted" else 1
    return [Fact(label, tone, rank, short=kind)]


def short_path(path: str) -> str:
    """A path with ``~`` for the home folder; of a long one the end."""
    home = str(Path.home())
    if path == home or path.startswith(f"{home}/"):
        path = f"~{path.removeprefix(home)}"
    if len(path) <= _PROJECT_CHARS:
        return path
    short = path.rsplit("/", 1)[-1]
    for part in reversed(path.split("/")[:-1]):
        if len(part) + len(short) + 3 > _PROJECT_CHARS:
            break
        short = f"{part}/{short}"
    return f"…/{short}"


def state_fact(view: View) -> Fact:
    """The state in words, with the speed while it generates."""
    status, speed = view.status, view.gauges.speed
    words, detail = status.words_and_detail
    mark = "●" if status.phase not in RESTING or status.hold != "none" else "○"
    is_generating = status.phase == "generating" and status.hold == "none"
    if is_generating and speed.is_live and speed.decode_tok_per_s is not None:
        words = f"{words} {human_rate(speed.decode_tok_per_s)} tok/s"
    return Fact(f"{mark} {words}", state_tone(status), 0, detail=detail)


def state_tone(status: Status) -> Tone:
    """How urgent the state is."""
    if status.needs_user or status.hold in ("paused", "frozen", "pausing"):
        return "warning"
    match status.phase:
        case "failed":
            return "error"
        case "done":
            return "good"
        case "retrying" | "waiting_for_user":
            return "warning"
        case "idle" | "interrupted":
            return "dim"
        case _:
            return "accent"


def footer(
    view: View, *, read_only: bool, follows: bool = False, rebound: Mapping[str, str] | None = None
) -> tuple[list[Fact], list[Fact]]:
    """The keys that matter in this state (`rebound`: the user's own, by binding id), and what we cost."""
    status = view.status
    keys: list[tuple[str, str, int]] = []
    if follows:
        pass  # the other agentui is the one to be asked
    elif status.hold != "none":
        is_freezable = status.hold == "pausing" and status.can_freeze
        keys += [("run.pause", "freeze now" if is_freezable else "resume", 1), ("run.step", "step", 4)]
    elif status.is_running or read_only:
        keys += [("run.pause", "pause", 1), ("run.step", "step", 4)]
    if status.is_running and not (read_only or follows):
        keys.append(("run.interrupt", "interrupt", 2))
    keys.append(("/", "commands", 3))
    keys += [("screen.cycle", "panes", 6), ("ctrl+p", "palette", 7), ("screen.help", "help", 1)]
    own = rebound or {}
    left = [
        Fact(f"{first_key(key, own) if '.' in key else key} {word}", "dim", rank) for key, word, rank in keys
    ]
    process = view.gauges.process
    if process is None:
        return left, []
    share = UNKNOWN if process.cpu_percent is None else f"{process.cpu_percent:.1f}"
    cost = f"agentui {share} % cpu {human_bytes(process.rss_bytes)}"
    return left, [Fact(cost, "dim", 5)]


def changes_title(changes: Changes, *, can_undo: bool) -> tuple[list[Fact], list[Fact]]:
    """How much changed, whether the project is untouched, and how an apply is taken back where it can be."""
    left = [Fact("Changes", "text", 0)]
    if changes.pending:
        left.append(Fact(plural(len(changes.pending), "file"), "text", 1))
    if changes.is_project_untouched:
        right = [Fact("your project: untouched", "good", 0)]
    else:
        words = f"your project: {plural(changes.applied_files, 'file')} applied"
        right = [Fact(words, "accent", 0)]
        if can_undo:
            right.append(Fact("/undo", "dim", 3))
    return left, right


def change_rows(changes: Changes) -> list[ChangeRow]:
    """What waits, the ask list first; when nothing does, what was applied."""
    if changes.pending:
        return [change_row(change) for change in ask_first(changes.pending)]
    newest = {change.path: change for unit in changes.applied for change in unit.changes}
    return [change_row(change, is_applied=True) for change in newest.values()]


def ask_first(changes: Iterable[Change]) -> list[Change]:
    """Changes in the order in which they need a look: what waits for a yes stands apart from what is free."""
    order = {"conflict": 0, "ask": 1, "never": 2, "free": 3}
    return sorted(changes, key=lambda change: order[change.rule])


def change_row(change: Change, *, is_applied: bool = False, prefix: str = "") -> ChangeRow:
    """One changed path; `prefix` stands before its mark."""
    counts = " ".join(
        f"{sign}{count}" for sign, count in (("+", change.added_lines), ("−", change.removed_lines)) if count
    )
    tone: Tone = "good" if is_applied else "text"
    if change.rule in ("ask", "conflict"):
        tone = "error"
    elif change.rule == "never":
        tone = "dim"
    words = {"ask": "asks", "conflict": "conflict", "never": "never applied", "free": ""}[change.rule]
    why = ": ".join(part for part in (words, clean_line(change.why)) if part)
    return ChangeRow(
        key=change.path,
        version=0,
        mark=(f"{prefix} " if prefix else "") + ("✓" if is_applied else _MARKS[change.kind]),
        path=clean_line(change.path),
        counts=counts,
        why=why,
        tone=tone,
    )


def undo_lines(unit: AppliedUnit) -> list[str]:
    """What undoing an apply does to each file of the project: ``+`` comes back, ``~`` as before, ``-`` goes."""
    signs = {"added": "-", "deleted": "+"}
    lines = [f"{signs.get(change.kind, '~')} {clean_line(change.path)}" for change in unit.changes]
    more = len(lines) - _UNDO_LINES
    shown = lines if more <= 0 else [*lines[:_UNDO_LINES], f"  and {more} more"]
    used = [("-", "removed"), ("~", "as it was before"), ("+", "comes back")]
    legend = [f"{sign} {words}" for sign, words in used if any(line.startswith(sign) for line in lines)]
    return [*shown, "", "   ".join(legend)]


def undo_conflict_text(paths: Sequence[str]) -> str:
    """Why nothing is undone now."""
    return f"Not undone: you changed {path_list(tuple(paths))} since. Put your change aside first, then undo."


def first_steps(status: Status, rebound: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """What a session that has not begun says of itself: keys and what they do."""
    if status.runs or status.queue or status.questions:
        return ()
    return (
        ("enter", "begins a run on a private copy of this folder"),
        ("@", "names a file"),
        ("!", "runs a command of yours in the sandbox"),
        ("/", "commands: /model /context /apply /undo …"),
        (first_key("app.sessions", rebound), "goes on with an earlier session"),
        (first_key("screen.help", rebound), "all keys and commands"),
    )


def prompt_title(
    view: View, *, read_only: bool, is_offered: bool, follows: bool = False
) -> tuple[list[Fact], list[Fact]]:
    """What Enter and Tab would do now, and what waits: for the model, or for a word of the user's."""
    status, changes = view.status, view.changes
    if read_only:
        return [Fact(f"{'read-only' if follows else 'replay'}: nothing is sent", "dim", 0)], []
    waiting = [Fact(f"{len(status.queue)} waiting", "accent", 1)] if status.queue else []
    if is_offered:
        waiting.append(Fact(f"{plural(len(changes.applicable), 'change')}: a apply, r review", "accent", 2))
    if status.is_running:
        return [Fact("enter steers · tab queues", "dim", 0)], waiting
    if status.phase not in RESTING:
        return [Fact("enter queues a task", "dim", 0)], waiting
    return [Fact("enter starts a run", "dim", 0)], waiting


def queue_rows(status: Status) -> list[list[Fact]]:
    """Text that has not reached the model, the newest last, with when it goes and what the keys do with it."""
    rows: list[list[Fact]] = []
    hidden = len(status.queue) - _SHOWN_QUEUE
    if hidden > 0:
        rows.append([Fact(f"+{hidden} more before these", "dim", 0)])
    for waiting in status.queue[-_SHOWN_QUEUE:]:
        kind = "steer" if waiting.mode == "steer" else "queued"
        text = clean_line(waiting.text)
        # cut at its end before a hint behind it would have to go
        least = max(1, len(text[:_LEAST_QUEUE_CHARS].rstrip()) - 1)
        shown = Fact(text[:least], "text", 0, detail=text[least:])
        rows.append([Fact(f"{kind} ▸", "accent", 0), shown])
    if rows:
        rows[-1].append(Fact(_queue_hint(status), "dim", 3))
    return rows


def queue_waits_for(status: Status) -> str:
    """What queued text waits for; empty where Enter sends it now."""
    if not status.is_running:
        if status.phase in RESTING:
            return ""
        is_busy = status.phase in ("running_command", "checking", "compacting")
        return "begins when that is done" if is_busy else "begins when everything is ready"
    if status.hold in ("paused", "frozen"):
        return "sent when you resume"
    match status.phase:
        case "running_command" | "checking":
            return "sent when the command ends"
        case "waiting_for_user":
            return "sent after your answer"
        case "compacting":
            return "sent when the history is summarised"
        case _:
            return ""


def _queue_hint(status: Status) -> str:
    if not status.is_running:
        return f"{queue_waits_for(status) or 'enter starts a run with it'}, up takes back"
    if status.queue[-1].mode == "steer":
        return f"{queue_waits_for(status) or 'enter now'}, up takes back"
    return "up takes back"


def question_keys(choices: tuple[str, ...]) -> dict[str, str]:
    """A key for each choice: its first letter where that is unique, else its number."""
    letters = [choice[:1].lower() for choice in choices]
    keys: dict[str, str] = {}
    for number, (letter, choice) in enumerate(zip(letters, choices, strict=True), start=1):
        is_unique = letters.count(letter) == 1 and letter.isascii() and letter.isalpha()
        keys[letter if is_unique else str(number)] = choice
    return keys


def is_long_question(status: Status) -> bool:
    """Whether the oldest open question is worth a screen of its own, such as a script that wants to run."""
    asked = status.questions[0].question if status.questions else ""
    return len(asked) > _LONG_QUESTION_CHARS or "\n" in asked


def question_rows(status: Status, width: int, most_rows: int) -> list[list[Fact]]:
    """The oldest open question in rows of `width` cells, with a key for each answer.

    Of a question longer than `most_rows` beginning and end are shown, and how much lies between.
    """
    if not status.questions:
        return []
    asked = status.questions[0]
    lines = _wrapped(clean(asked.question), width - _QUESTION_EDGE_CELLS)
    hidden = len(lines) - most_rows
    if hidden > 0:
        head = max(1, (most_rows - 1) // 2)
        tail = max(1, most_rows - 1 - head)
        between = f"… {plural(len(lines) - head - tail, 'line')} between, {WHOLE_QUESTION_KEY} shows all"
        lines = [*lines[:head], between, *lines[-tail:]]
    rows = [
        [Fact(" " if number else "?", "accent", 0), Fact(line or " ", "accent", 0)]
        for number, line in enumerate(lines)
    ]
    why = _wrapped(clean_line(asked.why), width - _QUESTION_EDGE_CELLS) if asked.why else []
    rows += [[Fact(" ", "dim", 0), Fact(line, "dim", 0)] for line in why[:_MOST_WHY_ROWS]]
    answers = [
        Fact(f"{key} {clean_line(word)}", "text", 0) for key, word in question_keys(asked.choices).items()
    ]
    if status.wants_text:
        example = [Fact(clean_line(asked.text), "dim", 2)] if asked.kind == "input" and asked.text else []
        answers = [Fact("type the answer: enter sends it, esc answers nothing", "text", 0), *example]
    more = [Fact(f"{len(status.questions) - 1} more", "dim", 2)] if len(status.questions) > 1 else []
    if is_long_question(status) and not status.wants_text:
        more.append(Fact(f"{WHOLE_QUESTION_KEY} shows all", "dim", 1))
    return [*rows, *_answer_rows([*answers, *more], width - _QUESTION_EDGE_CELLS)]


def _answer_rows(answers: list[Fact], width: int) -> list[list[Fact]]:
    """The answers side by side, on as many rows as they need."""
    rows: list[list[Fact]] = []
    room = 0
    for fact in answers:
        room -= len(fact.text) + 2
        if not rows or room < 0:
            rows.append([Fact(" ", "dim", 0)])
            room = width - len(fact.text)
        rows[-1].append(fact)
    return rows


def _wrapped(text: str, width: int) -> list[str]:
    """The lines of a text, broken where they do not fit."""
    lines = [expand_tabs(line) for line in text.rstrip("\n").split("\n")]
    return [line[start:end] for line in lines for start, end in wrap_offsets(line, max(8, width))]
