"""Where a script stands, read from nothing but the messages of a request.

Because nothing is remembered between requests, the same messages always lead to the same answer: after a
resume, after a replay, and when a cut answer is asked for again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from agentui.simulator.scripts.progress import Progress, read_result
from agentui.simulator.scripts.script import (
    CHECK_COMMAND,
    GENERIC_NAME,
    SCRIPT_NAMES,
    choose_script,
    load_script,
)
from agentui.simulator.tokens import text_of

JsonMessage = Mapping[str, object]

_SUMMARY_WANTED = re.compile(
    r"\A(?=.*\bsummar)(?=.*\b(conversation|earlier messages|so far|context)\b)", re.IGNORECASE | re.DOTALL
)
# The player ends its own summaries with this line, so that a compacted conversation goes on where it was.
_STEPS_DONE = re.compile(r"Steps done \((\w+)\): ([\w, -]*)")
# What a client tells of its user is no wish: a command of theirs with its output, their edits and undos.
_NOTE = re.compile(
    r"^The user (?:ran this in the sandbox: .*?^\[(?:exit|killed|cancelled|lost|refused)\b[^\n]*\]"
    r"|changed files on their side [^\n]*|[\w ]+ (?:your|earlier) changes to: [^\n]*)$",
    re.MULTILINE | re.DOTALL,
)
_WISH = re.compile(r"^- The user asked: (.+)$", re.MULTILINE)


def summary_lines(progress: Progress) -> str:
    """Return the lines of a summary that let a later request go on from here."""
    wishes = "".join(f"- The user asked: {' '.join(steer.text.split())[:200]}\n" for steer in progress.steers)
    return f"{wishes}Steps done ({progress.script.name}): {', '.join(progress.done_ids())}"


class ConversationReader:
    """Folds the messages of one request to the progress of its current task."""

    def __init__(self, *, has_tools: bool) -> None:
        self.progress: Progress | None = None
        self.wants_summary = False
        self._has_tools = has_tools
        self._has_check = False
        self._commands_by_id: dict[str, str] = {}

    def read(self, messages: Sequence[JsonMessage]) -> None:
        """Take in all messages, oldest first."""
        for message in messages:
            text = text_of(message.get("content"))
            self.wants_summary = False
            match message.get("role"):
                case "system" | "developer":
                    self._has_check = self._has_check or CHECK_COMMAND in text
                case "user":
                    self._read_user(text)
                case "assistant":
                    self._read_assistant(message, text)
                case "tool":
                    self._read_result(str(message.get("tool_call_id", "")), text)
                case _:
                    continue

    def _read_user(self, said: str) -> None:
        progress = self.progress
        if self._read_summary(said):
            return
        text = _NOTE.sub("", said).strip()
        if not text:
            return
        if progress is None:
            self._start(text)
            return
        if _SUMMARY_WANTED.match(text):
            self.wants_summary = True
            return
        if self._starts_task(progress, text):
            self._start(text)
        else:
            progress.add_steer(text)

    @staticmethod
    def _starts_task(progress: Progress, text: str) -> bool:
        """Tell a new task from a remark on the current one."""
        chosen = choose_script(text)
        if progress.ended:
            return chosen is not None or progress.matching_rule(text) is None
        if chosen is None:
            return False
        if progress.was_cut:
            return chosen is not progress.script
        # Instructions or notes may come first, as messages of their own; then this is the task.
        return progress.script.name == GENERIC_NAME and not progress.attempts

    def _start(self, task: str) -> None:
        script = choose_script(task) or load_script(GENERIC_NAME)
        self.progress = Progress(script, task, has_check=self._has_check)

    def _read_summary(self, text: str) -> bool:
        found = _STEPS_DONE.search(text)
        if not found:
            return False
        if found.group(1) not in (*SCRIPT_NAMES, GENERIC_NAME):
            return False
        if self.progress is None or self.progress.script.name != found.group(1):
            self.progress = Progress(load_script(found.group(1)), "", has_check=self._has_check)
        steps = (name.strip() for name in found.group(2).split(","))
        self.progress.steps_done.update(name for name in steps if name)
        for wish in _WISH.findall(text):
            self.progress.add_steer(wish)
        self.progress.unanswered = []
        self.progress.ended = self.progress.next_step() is None
        return True

    def _read_assistant(self, message: JsonMessage, text: str) -> None:
        progress = self.progress
        if progress is None or self._read_summary(text):
            return
        calls = message.get("tool_calls")
        commands: list[str] = []
        for call in calls if isinstance(calls, Sequence) else []:
            call_id, command = _command_of(call)
            self._commands_by_id[call_id] = command
            commands.append(command)
            progress.attempts[command] = progress.attempts.get(command, 0) + 1
        progress.was_cut = False
        if commands:
            progress.last_commands, progress.unanswered = commands, []
        elif not self._has_tools or progress.next_step() is None:
            progress.ended, progress.unanswered = True, []
        else:
            progress.was_cut = True

    def _read_result(self, call_id: str, text: str) -> None:
        command = self._commands_by_id.get(call_id)
        if command is not None and self.progress is not None:
            self.progress.results[command] = read_result(text)


def _command_of(call: object) -> tuple[str, str]:
    if not isinstance(call, Mapping):
        return "", ""
    function = call.get("function")
    raw = function.get("arguments") if isinstance(function, Mapping) else None
    call_id = str(call.get("id", ""))
    try:
        arguments = json.loads(raw) if isinstance(raw, str) else raw
    except ValueError:
        return call_id, ""
    if not isinstance(arguments, Mapping):
        return call_id, ""
    named = arguments.get("command")
    texts = [named] if isinstance(named, str) else [v for v in arguments.values() if isinstance(v, str)]
    return call_id, texts[0] if texts else ""
