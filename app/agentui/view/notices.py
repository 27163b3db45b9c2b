"""Which events become a notice in the transcript, and in what words."""

from __future__ import annotations

from agentui.events import (
    BackendLost,
    BackendRetried,
    CommitsTaken,
    CompactionEnded,
    CompactionStarted,
    EgressDecided,
    Event,
    GuardChanged,
    HostEditsCopied,
    LoopSuspected,
    ModelLoadEnded,
    ModelUnloaded,
    Resumed,
    RunEnded,
    SandboxEnded,
    Slept,
    Stalled,
    Warned,
    WorkspaceApplied,
    WorkspaceConflicted,
    WorkspaceDiscarded,
    WorkspaceSeeded,
    WorkspaceUndone,
)
from agentui.frozen import frozen
from agentui.text import (
    clean,
    clean_line,
    human_bytes,
    human_context,
    human_duration,
    human_tokens,
    plural,
)
from agentui.view.blocks import NoticeLevel

_SHOWN_PATHS = 6
_LOOP_ACTIONS = {
    "told_model": "the model was told",
    "asked_user": "what now?",
    "stopped": "the run stops",
}


@frozen
class Notice:
    """Words for one event; already cleaned."""

    level: NoticeLevel
    text: str
    hint: str = ""


def notice_of(event: Event) -> Notice | None:
    """The notice for `event`, or ``None`` when it shows elsewhere."""
    return _trouble(event) or _workspace(event) or _course(event)


def path_list(paths: tuple[str, ...]) -> str:
    """Some paths on one line, the rest counted."""
    shown = ", ".join(clean_line(path) for path in paths[:_SHOWN_PATHS])
    rest = len(paths) - _SHOWN_PATHS
    return f"{shown} and {rest} more" if rest > 0 else shown


def _trouble(event: Event) -> Notice | None:
    match event:
        case Warned():
            return Notice("warning", clean(event.text), clean(event.hint))
        case BackendRetried():
            text = f"request failed, attempt {event.attempt}: {clean_line(event.error)}"
            return Notice("warning", text, f"asking again in {human_duration(event.delay_s)}")
        case BackendLost():
            return Notice("error", clean(event.error), clean(event.hint))
        case Stalled():
            text = f"{clean_line(event.what)}: nothing for {human_duration(event.silent_s)}"
            limit_s = event.gives_up_s
            return Notice("warning", text, f"gives up after {human_duration(limit_s)}" if limit_s else "")
        case Slept():
            return Notice("info", f"slept {human_duration(event.gap_s)}")
        case LoopSuspected():
            text = f"the same result {event.repeats} times: {clean_line(event.command)}"
            return Notice("warning", text, _LOOP_ACTIONS[event.action])
        case GuardChanged():
            level: NoticeLevel = "info" if event.level == "ok" else "warning"
            return Notice(level, f"memory guard {event.level}: {clean_line(event.why)}")
        case EgressDecided():
            level = "info" if event.verdict == "allowed" else "warning"
            target = clean_line(event.target)
            return Notice(level, f"connection {event.verdict}: {target} ({clean_line(event.why)})")
        case SandboxEnded(why) if why != "closed":
            return Notice("warning", f"the sandbox is gone: {clean_line(why)}")
        case _:
            return None


def _workspace(event: Event) -> Notice | None:
    match event:
        case WorkspaceSeeded() if event.left_out:
            text = f"{plural(event.files, 'file')} copied, {human_bytes(event.size_bytes)}"
            return Notice("info", text, f"left out: {path_list(event.left_out)}")
        case WorkspaceApplied():
            text = f"applied to your project: {path_list(tuple(c.path for c in event.changes))}"
            hint = f"{plural(event.waiting, 'change')} still waiting" if event.waiting else ""
            return Notice("good", text, hint)
        case WorkspaceUndone():
            word = "applied again" if event.redo else "undone in your project"
            return Notice("info", f"{word}: {path_list(event.paths)}")
        case WorkspaceDiscarded():
            return Notice("info", f"discarded: {path_list(event.paths)}")
        case WorkspaceConflicted():
            text = f"you and the agent both changed {path_list(event.paths)}"
            return Notice("warning", text, "your project keeps your version; the agent's waits in Changes")
        case HostEditsCopied() if event.paths or event.merged:
            merged = f"merged with the agent's: {path_list(event.merged)}" if event.merged else ""
            return Notice("info", f"your edits came in: {path_list(event.paths)}", merged)
        case _:
            return None


def _course(event: Event) -> Notice | None:
    match event:
        case CompactionStarted():
            return Notice("info", f"summarising the history: {clean_line(event.why)}")
        case CompactionEnded(error=str(error)):
            return Notice("warning", f"the history was left as it was: {clean_line(error)}")
        case CompactionEnded():
            text = (
                f"history summarised: {human_tokens(event.before_tokens)} to {human_tokens(event.after_tokens)}"
            )
            went = (
                "" if event.dropped_messages is None else f", {plural(event.dropped_messages, 'message')} went"
            )
            return Notice("info", f"{text} tokens{went}", clean(event.summary))
        case CommitsTaken(ref, commits, uncopied):
            taken = f"{plural(len(commits), 'commit')} taken to {clean_line(ref)}"
            if not uncopied:
                return Notice("info", taken)
            names = ", ".join(map(clean_line, uncopied))
            return Notice("warning", f"{taken}; a merge would delete what the copy never had: {names}")
        case ModelLoadEnded(error=str(error)):
            return Notice("error", f"{clean_line(event.model)} was not loaded: {clean_line(error)}")
        case ModelLoadEnded():
            context = f", context {human_context(event.context_tokens)}"
            return Notice(
                "info", f"loaded {clean_line(event.model)} in {human_duration(event.wall_s)}{context}"
            )
        case ModelUnloaded():
            return Notice("info", f"unloaded {clean_line(event.model)}")
        case Resumed() if not event.step and event.held_s >= 1:
            return Notice("info", f"held for {human_duration(event.held_s)}")
        case RunEnded():
            return _run_end(event)
        case _:
            return None


_END_WORDS = {
    "done": "done",
    "failed": "failed",
    "limit": "stopped at a limit",
    "guard": "stopped by the memory guard",
    "unavailable": "not available",
    "interrupted": "interrupted",
}


def _run_end(event: RunEnded) -> Notice:
    level: NoticeLevel = "good" if event.reason == "done" else "warning"
    if event.reason in ("failed", "unavailable"):
        level = "error"
    counts = [plural(event.turns, "turn"), plural(event.commands, "command"), human_duration(event.wall_s)]
    usage = event.usage
    if usage.prompt_tokens is not None or usage.completion_tokens is not None:
        counts.append(f"{human_tokens(usage.prompt_tokens)} sent")
        counts.append(f"{human_tokens(usage.completion_tokens)} written")
    text = f"{_END_WORDS[event.reason]} · {' · '.join(counts)}"
    if event.error:
        text = f"{text}\n{clean(event.error)}"
    return Notice(level, text, clean(event.hint))
