"""A private copy that cannot be reached now: its engine is not there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from agentui.errors import SandboxUnavailable
from agentui.sandbox.base import Entry, OnBytes


class AbsentCopy:
    """Refuses everything with the reason; for work that needs only the host, such as an undo."""

    def __init__(self, why: SandboxUnavailable) -> None:
        self._why = why

    async def manifest(self) -> tuple[Entry, ...]:
        """Refused."""
        self._refuse()

    async def identity(self) -> str | None:
        """Refused."""
        self._refuse()

    async def seed(self, root: Path, paths: Sequence[bytes], progress: OnBytes) -> None:
        """Refused."""
        self._refuse()

    async def fetch(self, paths: Sequence[bytes], into: Path) -> None:
        """Refused."""
        self._refuse()

    async def remove(self, paths: Sequence[bytes]) -> None:
        """Refused."""
        self._refuse()

    async def clear(self) -> None:
        """Refused."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise SandboxUnavailable(self._why.message, hint=self._why.hint)
