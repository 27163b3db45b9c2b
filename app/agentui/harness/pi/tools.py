"""Tools that Pi runs or refuses by itself, as events; what we execute for it tells its own."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from agentui.events import CallId, ToolEnded, ToolOutput, ToolStarted
from agentui.harness.base import Emit
from agentui.harness.pi.records import ToolBegan, ToolFinished, ToolProgressed

ASKED_TOOLS = frozenset({"bash"})
"""Tools that ask us by dialogue; without one the call was refused inside Pi."""


@dataclass(slots=True)
class _Open:
    name: str
    command: str
    shown: str = ""


@dataclass(slots=True)
class ForeignTools:
    """Folds the tool records of Pi. Every `ToolStarted` gets its `ToolEnded`.

    `asked` are the tools that are executed by us: of those only calls that never reached us are told here.
    """

    emit: Emit
    asked: frozenset[str] = ASKED_TOOLS
    _waiting: dict[str, _Open] = field(default_factory=dict)
    _running: dict[str, _Open] = field(default_factory=dict)
    _handed: set[str] = field(default_factory=set)

    def hand_over(self, call_id: str) -> None:
        """The call is ours: what Pi says of it is known better here."""
        self._handed.add(call_id)
        self._waiting.pop(call_id, None)

    def began(self, record: ToolBegan) -> None:
        """A tool starts, or is about to be refused."""
        if record.call_id in self._waiting or record.call_id in self._running:
            return
        self._handed.discard(record.call_id)
        tool = _Open(record.name, _words(record))
        if record.name in self.asked:
            self._waiting[record.call_id] = tool
        else:
            self._start(record.call_id, tool)

    def progressed(self, record: ToolProgressed) -> None:
        """Show what is new of the output; where its beginning was dropped, the end of the call shows it."""
        tool = self._running.get(record.call_id)
        if tool is not None and record.text.startswith(tool.shown):
            self._show(record.call_id, tool, record.text)

    def finished(self, record: ToolFinished) -> None:
        """The tool is over."""
        if record.call_id in self._handed:
            self._handed.discard(record.call_id)
            return
        tool = self._waiting.pop(record.call_id, None)
        if tool is None and record.call_id not in self._running:
            tool = _Open(record.name, "")
        if tool is not None:
            self._start(record.call_id, tool)
        running = self._running.pop(record.call_id)
        if record.text.startswith(running.shown):
            self._show(record.call_id, running, record.text)
        self.emit(
            ToolEnded(
                CallId(record.call_id),
                "error" if record.is_error else "ok",
                record.exit_code,
                record.duration_s or 0.0,
                output_bytes=len(record.text.encode("utf-8")),
                message=record.text.partition("\n")[0] if record.is_error else "",
            )
        )

    def close(self, why: str) -> None:
        """What still runs has ended with Pi, or with the run."""
        for call_id in list(self._running):
            del self._running[call_id]
            self.emit(ToolEnded(CallId(call_id), "cancelled", None, 0.0, message=why))
        self._waiting.clear()
        # What was handed over stays so: Pi may tell of its end only after the run was interrupted.

    def _start(self, call_id: str, tool: _Open) -> None:
        self._running[call_id] = tool
        self.emit(ToolStarted(CallId(call_id), tool.name, tool.command, ""))

    def _show(self, call_id: str, tool: _Open, text: str) -> None:
        new = text[len(tool.shown) :]
        tool.shown = text
        if new:
            self.emit(ToolOutput(CallId(call_id), "stdout", new))


def _words(record: ToolBegan) -> str:
    """What a call does: its command, else its arguments."""
    command = record.arguments.get("command")
    if isinstance(command, str) and command:
        return command
    return json.dumps(dict(record.arguments), ensure_ascii=False, default=str) if record.arguments else ""
