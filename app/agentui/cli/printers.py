"""Records as text for a terminal or a pipe: one JSON object per line, or plain words."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Protocol, TypeAlias, get_args

from agentui.event_json import recorded_object
from agentui.events import (
    ApprovalAsked,
    BackendLost,
    BackendRetried,
    CompactionEnded,
    Event,
    GuardChanged,
    LoopSuspected,
    MessageEnded,
    MessageId,
    MessageStarted,
    ModelLoadEnded,
    ModelLoadStarted,
    Recorded,
    RunEnded,
    RunStarted,
    Sample,
    SandboxProgressed,
    Slept,
    Stalled,
    TextDelta,
    ToolEnded,
    ToolStarted,
    Warned,
    WorkspaceApplied,
    WorkspaceChanged,
    WorkspaceConflicted,
    WorkspaceSeeded,
    WorkspaceUndone,
)
from agentui.text import CleanStream, clean, clean_line, human_duration, plural

Write: TypeAlias = Callable[[str], object]

_SAMPLES: tuple[type, ...] = get_args(Sample)


class WaitingChanges:
    """Says what waits in the private copy, before the run and after it, and the commands that deal with it."""

    def __init__(self, err: Write) -> None:
        self._err = err
        self._workspace_id = ""
        self._has_begun = False

    def take(self, event: Event) -> None:
        """Look at one event; it is said on standard error."""
        match event:
            case WorkspaceSeeded(workspace_id):
                self._workspace_id = workspace_id
            case WorkspaceChanged(changes) if not self._has_begun:
                waiting = sum(change.rule != "never" for change in changes)
                self._tell(waiting, "of an earlier run waits|of an earlier run wait")
            case RunStarted():
                self._has_begun = True
            case RunEnded(pending_changes=waiting):
                self._tell(waiting, "waits, not applied to your project|wait, not applied to your project")
            case _:
                pass

    def _tell(self, waiting: int, words: str) -> None:
        if not waiting:
            return
        one, several = words.split("|")
        self._err(f"agentui: {plural(waiting, 'change')} {one if waiting == 1 else several}\n")
        for name in ("diff", "apply", "discard") if self._workspace_id else ():
            self._err(f"         agentui sandbox {name} --workspace {clean_line(self._workspace_id)}\n")


class Printer(Protocol):
    """Prints records as they come."""

    def take(self, recorded: Recorded) -> None:
        """Print what is to be printed of one record."""
        ...


class JsonPrinter:
    """One JSON object per line, in ASCII, so that any bytes in names and any encoding of the pipe are safe."""

    def __init__(self, write: Write, err: Write, *, samples: bool) -> None:
        self._write = write
        self._samples = samples
        self._waiting = WaitingChanges(err)

    def take(self, recorded: Recorded) -> None:
        """Print one record; samples only where they were asked for."""
        if isinstance(recorded.event, _SAMPLES) and not self._samples:
            return
        self._waiting.take(recorded.event)
        self._write(json.dumps(recorded_object(recorded), separators=(",", ":")) + "\n")


class TextPrinter:
    """What the agent says to `out`; its commands, and what the user should know, to `err`. All is cleaned."""

    def __init__(self, out: Write, err: Write) -> None:
        self._out = out
        self._write_err = err
        self._message: MessageId | None = None
        self._stream = CleanStream()
        self._ends_line = True
        self._cursor_is_free = True
        self._said_something = False
        self._is_again = False
        self._waiting = WaitingChanges(self._err)
        self._lost: BackendLost | None = None

    def take(self, recorded: Recorded) -> None:
        """Print one record."""
        self._tell_loss(recorded.event)
        self._take(recorded.event)
        self._waiting.take(recorded.event)

    def _tell_loss(self, event: Event) -> None:
        """Tell of a lost server; where the run ends for it, the end tells it."""
        lost, self._lost = self._lost, event if isinstance(event, BackendLost) else None
        if lost is not None and not (isinstance(event, RunEnded) and event.error == lost.error):
            self._err(f"agentui: {notice(lost)}\n")

    def _take(self, event: Event) -> None:
        match event:
            case MessageStarted(message_id, role):
                self._message = message_id if role == "assistant" else None
                self._stream = CleanStream()
                if self._message is not None:
                    self._begin_answer()
            case TextDelta(message_id, text) if message_id == self._message:
                self._say(self._stream.feed(text))
            case MessageEnded(message_id) if message_id == self._message:
                self._say(self._stream.close())
                if not self._ends_line:
                    self._say("\n")
                self._message = None
            case BackendRetried():
                self._is_again = self._said_something
                self._err(f"agentui: {notice(event)}\n")
            case ToolStarted() | ToolEnded():
                self._tell_tool(event)
            case RunEnded():
                self._tell_end(event)
            case BackendLost():
                pass  # `_tell_loss` decides when the next event is there
            case _:
                if text := notice(event):
                    self._err(f"agentui: {text}\n")

    def _say(self, text: str) -> None:
        if text:
            self._out(text)
            self._said_something = True
            self._ends_line = self._cursor_is_free = text.endswith("\n")

    def _begin_answer(self) -> None:
        """An answer that is asked for again begins anew: what was printed of it before is void."""
        if not self._ends_line:
            self._say("\n")
        if self._is_again:
            self._err("agentui: (asked again: the answer begins anew, what was cut above does not count)\n")
        self._is_again = self._said_something = False

    def _err(self, text: str) -> None:
        """Write to standard error; below an open line of the answer, as both may go to one terminal."""
        self._write_err(text if self._cursor_is_free else f"\n{text}")
        self._cursor_is_free = text.endswith("\n")

    def _tell_tool(self, event: ToolStarted | ToolEnded) -> None:
        match event:
            case ToolStarted():
                label = "" if event.label == "command" else f"{event.label} "
                command = clean(event.command).strip().replace("\n", "\n    ") or "(no command)"
                self._err(f"{label}$ {command}\n")
            case ToolEnded():
                ended = f"exit {event.exit_code}" if event.exit_code is not None else event.outcome
                if event.exit_code is not None and event.outcome not in ("ok", "error"):
                    ended += f" ({event.outcome})"
                said = f": {clean_line(event.message)}" if event.message else ""
                self._err(f"  {ended}  {human_duration(event.wall_s)}{said}\n")

    def _tell_end(self, ended: RunEnded) -> None:
        if ended.reason == "interrupted" and not ended.error:
            self._err("agentui: the run was interrupted; the session is saved\n")
        elif ended.reason != "done":
            self._err(f"agentui: {ended.reason}: {clean(ended.error or 'no reason was given')}\n")
        if ended.hint and not (ended.pending_changes and "agentui sandbox apply" in ended.hint):
            self._err(f"         {clean(ended.hint)}\n")


def notice(event: Event) -> str:
    """One line about an event that the user should know of, cleaned; empty for all others."""
    match event:
        case Warned("apply_asks", text, _):
            return clean_line(text)  # its hint names keys of the screen; the commands follow
        case Warned(_, text, hint):
            return clean_line(text) + (f" ({clean_line(hint)})" if hint else "")
        case BackendRetried(_, delay_s, error):
            return f"{clean_line(error).rstrip('.')}; asking again in {human_duration(delay_s)}"
        case BackendLost(error, hint):
            return f"{clean_line(error)}" + (f" ({clean_line(hint)})" if hint else "")
        case Stalled(what, silent_s, gives_up_s):
            missing = "tokens" if what in ("prefill", "decode") else clean_line(what)
            until = f"; gives up after {human_duration(gives_up_s)}; Ctrl+C ends" if gives_up_s else ""
            return f"no {missing} for {human_duration(silent_s)}{until}"
        case Slept(gap_s):
            return f"the machine slept for {human_duration(gap_s)}"
        case LoopSuspected(command, repeats, _):
            return f"the same command gave the same result {repeats} times: {clean_line(command)}"
        case GuardChanged(level, why) if level != "ok":
            return f"memory: {level}: {clean_line(why)}"
        case CompactionEnded(dropped_messages=dropped, error=None):
            went = "" if dropped is None else f": {plural(dropped, 'message')} summarised"
            return f"context compacted{went}"
        case CompactionEnded(error=error):
            return f"context could not be compacted: {clean_line(error or '')}"
        case ModelLoadStarted(model, _):
            return f"loading {clean_line(model)}"
        case ModelLoadEnded(model, _, wall_s, error):
            said = f"failed: {clean_line(error)}" if error else f"loaded in {human_duration(wall_s)}"
            return f"{clean_line(model)} {said}"
        case _:
            return _workspace_notice(event)


def _workspace_notice(event: Event) -> str:
    match event:
        case SandboxProgressed(text):
            return f"sandbox: {clean_line(text)}"
        case WorkspaceApplied(_, changes, waiting, _):
            rest = f", {waiting} waiting" if waiting else ""
            return f"{plural(len(changes), 'change')} applied to your project{rest}"
        case WorkspaceUndone(_, paths, redo):
            return f"{plural(len(paths), 'file')} {'changed again' if redo else 'put back'} in your project"
        case WorkspaceConflicted(paths):
            return "changed both by you and by the agent, yours kept: " + ", ".join(map(clean_line, paths))
        case ApprovalAsked(_, question, _, _, _):
            return f"waits for you: {clean_line(question)}"
        case _:
            return ""
