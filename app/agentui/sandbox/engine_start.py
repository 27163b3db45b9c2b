"""Starting a container engine that is off: only ever as an offer that the user accepts."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

APPS = (("Docker", "Docker Desktop"), ("OrbStack", "OrbStack"), ("Rancher Desktop", "Rancher Desktop"))
"""macOS applications that hold an engine: name for `open`, and for people."""


@dataclass(frozen=True, slots=True)
class EngineStart:
    """A command that starts an engine, and what to ask the user before running it."""

    argv: tuple[str, ...]
    text: str


def engine_start(
    environment: Mapping[str, str] | None = None,
    home: Path | None = None,
    platform: str = sys.platform,
    applications: Path = Path("/Applications"),
) -> EngineStart | None:
    """The offer for an engine that is installed and can be started as this user; looks at files only.

    ``None`` on Linux without Docker Desktop: the system's engine needs a password, so its command is only said
    (see `engine.START_HINT`). Nor where the environment names the engine: that one is not ours to start.
    """
    environment = os.environ if environment is None else environment
    home = home or Path.home()
    if environment.get("DOCKER_HOST") or environment.get("DOCKER_CONTEXT"):
        return None
    if platform == "darwin":
        return _on_mac(environment, home, applications)
    if platform == "linux" and (home / ".docker/desktop").is_dir():
        return _offer(("systemctl", "--user", "start", "docker-desktop"), "Docker Desktop")
    return None


def _on_mac(environment: Mapping[str, str], home: Path, applications: Path) -> EngineStart | None:
    for app, name in APPS:
        if any((folder / f"{app}.app").is_dir() for folder in (applications, home / "Applications")):
            return _offer(("open", "-a", app), name)
    path = environment.get("PATH", "") + ":/opt/homebrew/bin:/usr/local/bin"
    colima = shutil.which("colima", path=path)
    return _offer((colima, "start"), "Colima") if colima else None


def _offer(argv: tuple[str, ...], name: str) -> EngineStart:
    return EngineStart(argv, f"{name} is installed but does not answer. Start it with “{' '.join(argv)}”?")
