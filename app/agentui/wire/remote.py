"""A session's control socket, and the standing it tells."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

from agentui.control import Control
from agentui.events import Recorded
from agentui.paths import Places
from agentui.run.socket import ControlSocket
from agentui.run.standing import Standing

log = logging.getLogger(__name__)


class Remote:
    """What other terminals can see and ask of a session. A session works without one too."""

    def __init__(
        self, where: Places, session_id: str, standing: Standing, send: Callable[[Control], None]
    ) -> None:
        self._standing = standing
        name = f"{session_id.rpartition('-')[2]}.sock"
        self._socket = ControlSocket(where.sockets / name, send, self._status)

    def observe(self, recorded: Recorded) -> None:
        """Fold one record."""
        self._standing.take(recorded.event)

    def _status(self) -> dict[str, Any]:
        return {**self._standing.as_object(), "pid": os.getpid()}

    async def open(self) -> None:
        """Listen, where that is possible."""
        try:
            await self._socket.open()
        except OSError as error:
            log.warning("no control socket %s: %s", self._socket.path, error)

    async def aclose(self) -> None:
        """Listen no more."""
        await self._socket.aclose()
