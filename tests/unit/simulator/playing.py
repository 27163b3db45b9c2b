"""A bare harness for the scripts: asks the model, runs its commands with bash in a folder, asks again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import agentui
from agentui.simulator.reply import Reply
from agentui.simulator.scripts.player import reply_to

JsonObject = dict[str, object]

EDIT_FOLDER = Path(agentui.__file__).parent / "sandbox" / "images" / "tools" / "bin"
BASH_TOOL: JsonObject = {
    "type": "function",
    "function": {
        "name": "bash",
        "parameters": {"type": "object", "properties": {"command": {"type": "string"}}},
    },
}
_NO_INTERPRETER = "#!/bin/bash\necho 'There is no interpreter in this shell.' >&2\nexit 127\n"
_TURNS = 40


@dataclass
class Play:
    """What happened in one run of a script."""

    folder: Path
    messages: list[JsonObject] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    exit_codes: dict[str, int] = field(default_factory=dict)

    @property
    def commands(self) -> list[str]:
        """Every command in the order it was asked for."""
        return [json.loads(call.arguments)["command"] for reply in self.replies for call in reply.calls]

    @property
    def texts(self) -> str:
        """Everything the model said."""
        return "\n\n".join(reply.text for reply in self.replies)


def _path_without_interpreters(folder: Path) -> str:
    blocked = folder.parent / "no-interpreters"
    blocked.mkdir(exist_ok=True)
    for name in ("python", "python3", "node", "perl"):
        stub = blocked / name
        stub.write_text(_NO_INTERPRETER)
        stub.chmod(0o755)
    return os.pathsep.join([str(blocked), str(EDIT_FOLDER), os.environ["PATH"]])


def run_command(command: str, folder: Path) -> tuple[str, int]:
    """Run one command as the sandbox would; returns its output and exit code."""
    environment = {"PATH": _path_without_interpreters(folder), "HOME": str(folder.parent), "LC_ALL": "C"}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout, done.returncode


def play(
    task: str,
    folder: Path,
    *,
    steers: Mapping[int, str] | None = None,
    system: str = "",
    answer: Callable[[str, Path], tuple[str, int]] = run_command,
) -> Play:
    """Play a task to its end; `steers` come in after the turn of that number, counted from 1."""
    run = Play(folder)
    if system:
        run.messages.append({"role": "system", "content": system})
    run.messages.append({"role": "user", "content": task})
    for turn in range(1, _TURNS):
        reply = reply_to(run.messages, [BASH_TOOL])
        run.replies.append(reply)
        add_answer(run.messages, reply, turn)
        for number, call in enumerate(reply.calls):
            command = json.loads(call.arguments)["command"]
            output, exit_code = answer(command, folder)
            run.exit_codes[command] = exit_code
            add_result(run.messages, turn, number, f"{output}\nexit code {exit_code}")
        if steers and turn in steers:
            run.messages.append({"role": "user", "content": steers[turn]})
        elif not reply.calls:
            return run
    raise AssertionError(f"the script did not end within {_TURNS} turns")


def add_answer(messages: list[JsonObject], reply: Reply, turn: int) -> None:
    """Append the model's message."""
    message: JsonObject = {"role": "assistant", "content": reply.text}
    if reply.calls:
        message["tool_calls"] = [
            {
                "id": f"{turn}-{number}",
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for number, call in enumerate(reply.calls)
        ]
    messages.append(message)


def add_result(messages: list[JsonObject], turn: int, number: int, text: str) -> None:
    """Append the result of one call."""
    messages.append({"role": "tool", "tool_call_id": f"{turn}-{number}", "content": text})


def unittest_on_host(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a project's own tests with the real Python."""
    return subprocess.run(
        [sys.executable, "-m", "unittest"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
