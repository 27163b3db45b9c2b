"""What the commands for a running session share: finding its control socket, and asking it one thing."""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

from agentui.errors import AgentuiError, SessionError, UsageError
from agentui.paths import places
from agentui.text import clean, clean_line

TIMEOUT_S = 5.0
_MAX_ANSWER_BYTES = 1 << 20


class NotRunning(SessionError):
    """Nothing listens where a session should."""


def add_session(parser: argparse.ArgumentParser) -> None:
    """Declare the session's id."""
    parser.add_argument(
        "session",
        nargs="?",
        metavar="ID",
        help="the session, or the beginning of its id (default: this folder's, or the only one)",
    )


def ask(path: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Send one request to a session's socket. Blocks, at most a few seconds.

    Raises:
        NotRunning: If nothing listens there.
        SessionError: If it refused, or answered nonsense.
    """
    content = bytearray()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(TIMEOUT_S)
            connection.connect(str(path))
            connection.sendall(json.dumps(request).encode() + b"\n")
            while len(content) < _MAX_ANSWER_BYTES and (chunk := connection.recv(1 << 16)):
                content += chunk
    except (ConnectionRefusedError, FileNotFoundError) as error:
        raise NotRunning(f"no session listens at {path}") from error
    except OSError as error:
        raise SessionError(f"the session at {path} does not answer: {error}") from error
    try:
        answer = json.loads(content)
        is_ok = bool(answer["ok"])
    except (ValueError, KeyError, TypeError) as error:
        raise SessionError(f"the session at {path} gave no usable answer") from error
    if not is_ok:
        raise SessionError(f"the session refused: {clean_line(str(answer.get('error', '')))}")
    return dict(answer)


def sockets() -> list[Path]:
    """Where sessions listen, or did before they crashed."""
    return sorted(places().sockets.glob("*.sock"))


def running() -> list[tuple[Path, dict[str, Any]]]:
    """The sessions that run, with their status; sockets of sessions that crashed are removed. Blocks.

    One that does not answer (it may be stopped) is told on standard error.
    """
    found: list[tuple[Path, dict[str, Any]]] = []
    for path in sockets():
        try:
            found.append((path, ask(path, {"do": "status"})))
        except NotRunning:
            path.unlink(missing_ok=True)
        except AgentuiError as error:
            print(f"agentui: {clean(error.message)}", file=sys.stderr)
    return found


def the_session(name: str | None) -> tuple[Path, dict[str, Any]]:
    """The running session that is meant: by its id, else the one of this folder, else the only one.

    Raises:
        SessionError: If none fits.
        UsageError: If several do.
    """
    sessions = running()
    if not sessions:
        raise SessionError("no session runs", hint="start one: agentui")
    here = os.path.realpath(Path.cwd())
    fitting = [found for found in sessions if _fits(found[1], name) if name or _is_in(here, found[1])]
    if not fitting and name is None and len(sessions) == 1:
        fitting = sessions
    if len(fitting) == 1:
        return fitting[0]
    ids = ", ".join(clean_line(str(status.get("session_id"))) for _, status in fitting or sessions)
    if fitting:
        raise UsageError(f"{len(fitting)} sessions fit: {ids}", hint="give the id of one")
    of = repr(name) if name else "this folder"
    raise SessionError(f"no session of {of} runs", hint=f"running: {ids}")


def control(args: argparse.Namespace, doing: str) -> int:
    """Ask the session of `args` to do something and print how it stands; for commands without more to them."""
    path, _ = the_session(args.session)
    status = ask(path, {"do": doing})
    print(f"{clean_line(str(status.get('session_id')))}: {doing} asked")
    return 0


def _fits(status: dict[str, Any], name: str | None) -> bool:
    session_id = str(status.get("session_id", ""))
    return name is None or session_id.startswith(name) or session_id.rpartition("-")[2].startswith(name)


def _is_in(here: str, status: dict[str, Any]) -> bool:
    project = str(status.get("project", ""))
    return bool(project) and (here == project or here.startswith(project.rstrip("/") + "/"))
