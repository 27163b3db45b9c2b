"""The control socket of a session: status and controls for scripts, tmux and editors, for the same user only.

One JSON object on a line is a request, ``{"do": "status"}`` or one of `DOINGS`, ``steer`` with a ``text``; the
answer is one line with ``"ok"``, and the connection ends. Whoever can reach the socket is the user (it lies in
a folder of theirs, 0600); what they send is bounded and checked all the same.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agentui.control import Control, Interrupt, Pause, Resume, Step, Submit

log = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 256 << 10
MAX_STEER_CHARS = 64 << 10
PATIENCE_S = 5.0
"""How long a connection may take over its request."""
MAX_CONNECTIONS = 8
_BACKLOG = 64
"""More than is served at once: who comes too many is told so, instead of finding no way in."""
MAX_PATH_BYTES = 100
"""A Unix socket's path may have 103 bytes on macOS, 107 on Linux."""

DOINGS: Mapping[str, Control] = {
    "pause": Pause(),
    "freeze": Pause(freeze=True),
    "resume": Resume(),
    "step": Step(),
    "interrupt": Interrupt(),
}


class Refused(Exception):
    """A request that is not done; the message is the answer."""


def asked(line: bytes) -> Control | None:
    """The control of a request, ``None`` for status.

    Raises:
        Refused: If it is no request of ours.
    """
    try:
        held = json.loads(line)
    except (ValueError, RecursionError):
        raise Refused("a request is one JSON object on a line") from None
    if not isinstance(held, dict) or not isinstance(held.get("do"), str):
        raise Refused('a request is an object with "do"')
    doing = held.pop("do")
    text = held.pop("text", None) if doing == "steer" else None
    if held:
        raise Refused(f"{doing[:40]!r} takes no {next(iter(held))[:40]!r}")
    if doing == "steer":
        if not isinstance(text, str) or not text.strip():
            raise Refused("steer needs a text")
        if len(text) > MAX_STEER_CHARS:
            raise Refused(f"the text is longer than {MAX_STEER_CHARS:,} characters")
        return Submit(text)
    if doing == "status":
        return None
    if doing not in DOINGS:
        raise Refused(f"unknown: {doing[:40]!r}; known: status, steer, {', '.join(DOINGS)}")
    return DOINGS[doing]


class ControlSocket:
    """Serves one session's requests. Open it with `open`, end it with `aclose`.

    Args:
        path: Where the socket lies; its folder is made for the user only.
        send: Takes controls.
        status: The session's standing, as a JSON object.
    """

    def __init__(
        self, path: Path, send: Callable[[Control], None], status: Callable[[], dict[str, Any]]
    ) -> None:
        self.path = path
        self._send = send
        self._status = status
        self._server: asyncio.Server | None = None
        self._open = 0

    async def open(self) -> None:
        """Listen.

        Raises:
            OSError: If the socket cannot be made, or its folder is not the user's own.
        """
        folder = self.path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise PermissionError(f"{folder} is not a folder of yours")
        if found.st_mode & 0o077:
            folder.chmod(0o700)
        # It gets its name when it listens: one that refuses is taken for a crashed session's, and removed.
        fresh = self.path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(
            self._serve, str(fresh), limit=MAX_REQUEST_BYTES, backlog=_BACKLOG
        )
        fresh.chmod(0o600)
        fresh.replace(self.path)

    async def aclose(self) -> None:
        """Listen no more and remove the socket; again is no error."""
        server, self._server = self._server, None
        if server is None:
            return
        self.path.unlink(missing_ok=True)
        server.close()
        await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            answer = await self._answer(reader)
            writer.write(json.dumps(answer).encode() + b"\n")
            await asyncio.wait_for(writer.drain(), PATIENCE_S)
        except (OSError, TimeoutError) as error:
            log.info("a control connection ended early: %s", error)
        except Exception:
            log.exception("a control request failed")
        finally:
            self._open -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> dict[str, Any]:
        try:
            if self._open > MAX_CONNECTIONS:
                raise Refused("too many connections")
            line = await asyncio.wait_for(reader.readuntil(b"\n"), PATIENCE_S)
            control = asked(line)
        except Refused as refused:
            return {"ok": False, "error": str(refused)}
        except asyncio.LimitOverrunError:
            return {"ok": False, "error": f"a request has at most {MAX_REQUEST_BYTES:,} bytes"}
        except (asyncio.IncompleteReadError, TimeoutError):
            return {"ok": False, "error": "no whole request came"}
        if control is not None:
            self._send(control)
        return {"ok": True, **self._status()}
