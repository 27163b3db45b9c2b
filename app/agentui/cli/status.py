"""How the sessions that run stand, for people and scripts."""

from __future__ import annotations

import argparse
import json
from typing import Any

from agentui.cli import remote
from agentui.text import clean_line, human_bytes, plural

EXIT_CODES = "exit codes: 0 a session runs; 1 none does, or not the one that was named; 2 usage"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the session and ``--json``."""
    remote.add_session(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object per line and session")


def run(args: argparse.Namespace) -> int:
    """Print one session, or all that run; exit code 1 if none does.

    Raises:
        SessionError: If the one that was named does not run.
    """
    found = [remote.the_session(args.session)] if args.session else remote.running()
    for _, status in found:
        status.pop("ok", None)
        print(json.dumps(status) if args.json else "\n".join(status_lines(status)))
    if not found and not args.json and not remote.sockets():
        print("no session runs")
    return 0 if found else 1


def status_lines(status: dict[str, Any]) -> list[str]:
    """A session in a few lines; texts are cleaned here."""

    def word(name: str) -> str:
        return clean_line(str(status.get(name) or ""))

    hold = f", {word('hold')}" if word("hold") not in ("", "none") else ""
    detail = f" ({word('detail')})" if word("detail") else ""
    lines = [
        f"{word('session_id')}  {word('state').replace('_', ' ')}{hold}{detail}",
        f"  {word('project')}  {word('model')}",
    ]
    if word("task"):
        lines.append(f"  task: {word('task')[:100]}")
    turns = plural(int(status.get("turn") or 0), "turn")
    commands = plural(int(status.get("commands") or 0), "command")
    changes = plural(int(status.get("pending_changes") or 0), "change")
    lines.append(f"  {turns}, {commands}, {changes} pending{_figures(status)}")
    for name, words in (("queued", "queued"), ("questions", "asks")):
        for text in status.get(name) or ():
            lines.append(f"  {words}: {clean_line(str(text))[:100]}")
    return lines


def _figures(status: dict[str, Any]) -> str:
    parts: list[str] = []
    used, limit = status.get("context_tokens"), status.get("context_limit_tokens")
    if isinstance(used, int):
        parts.append(f"context {used:,}" + (f" of {limit:,}" if isinstance(limit, int) else ""))
    memory, total = status.get("memory_used_bytes"), status.get("memory_total_bytes")
    if isinstance(memory, int) and isinstance(total, int):
        parts.append(f"memory {human_bytes(memory)} of {human_bytes(total)}")
    speed = status.get("decode_tok_per_s")
    if isinstance(speed, int | float):
        parts.append(f"{speed:.1f} tok/s")
    return "".join(f", {part}" for part in parts)
