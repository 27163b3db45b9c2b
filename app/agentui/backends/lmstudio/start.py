"""Starting LM Studio: only ever as an offer that the user accepts, never by accident.

Nearly every `lms` command starts LM Studio when it is not running, so agentui runs none of them unasked.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from agentui.paths import lmstudio_home


@dataclass(frozen=True, slots=True)
class StartOffer:
    """A command that starts LM Studio's server, and what to tell the user before running it."""

    argv: tuple[str, ...]
    text: str


def find_lms(home: Path, search_path: str | None = None) -> Path | None:
    """Where LM Studio's command is: in its own folder below `home`, else on the search path.

    Looks at files only; runs nothing.
    """
    own = lmstudio_home(home) / "bin" / ("lms.exe" if os.name == "nt" else "lms")
    if own.is_file() and os.access(own, os.X_OK):
        return own
    found = shutil.which("lms", path=search_path)
    return Path(found) if found else None


def start_command(home: Path, port: int | None = None, search_path: str | None = None) -> list[str] | None:
    """The command that starts the server, to be run only after the user said yes; ``None`` if not installed."""
    lms = find_lms(home, search_path)
    if lms is None:
        return None
    return [str(lms), "server", "start", *([] if port is None else ["--port", str(port)])]


def start_offer(home: Path, port: int | None = None, search_path: str | None = None) -> StartOffer | None:
    """The offer to show where no server answers; ``None`` where LM Studio's command is not installed."""
    argv = start_command(home, port, search_path)
    if argv is None:
        return None
    return StartOffer(
        tuple(argv), f"LM Studio is installed but its server does not answer. Start it with “{' '.join(argv)}”?"
    )
