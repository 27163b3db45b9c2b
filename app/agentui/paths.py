"""The only module that knows where files are: package data, the user's folders, LM Studio's home.

Folders that we make are readable by their owner only (0700): sessions hold source code and command output.
``AGENTUI_HOME`` moves all of the user's folders below one place, for tests and for trying things out.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from agentui.frozen import frozen

PACKAGE = Path(__file__).resolve().parent

# A wheel carries the styles inside the package; a checkout has them two levels above it.
STYLES = next(
    (p for p in (PACKAGE / "styles", PACKAGE.parents[1] / "styles") if p.is_dir()), PACKAGE / "styles"
)

SANDBOX_IMAGES = PACKAGE / "sandbox" / "images"
PI_EXTENSION = PACKAGE / "harness" / "pi" / "extension" / "agentui.ts"

PROJECT_CONFIG = Path(".agentui") / "config.toml"
"""Where a project keeps its settings, relative to the project."""


_SOCKET_FOLDER_BYTES = 80


@frozen
class Places:
    """The user's folders. Nothing is created by asking for a place; see `private_folder`."""

    home: Path
    config: Path
    state: Path
    cache: Path

    @property
    def config_file(self) -> Path:
        """The user's settings."""
        return self.config / "config.toml"

    @property
    def trust_file(self) -> Path:
        """Which projects' settings and which servers the user has agreed to."""
        return self.state / "trust.json"

    @property
    def sessions(self) -> Path:
        """One folder per session."""
        return self.state / "sessions"

    @property
    def log_file(self) -> Path:
        """Diagnostics; never the terminal."""
        return self.state / "agentui.log"

    @property
    def workspaces(self) -> Path:
        """One folder per workspace."""
        return self.state / "workspaces"

    @property
    def throwaway(self) -> Path:
        """Copies that last for one command."""
        return self.cache / "throwaway"

    @property
    def pi(self) -> Path:
        """The installed Pi, and what its processes need while they run."""
        return self.cache / "pi"

    def pi_state(self, project: Path) -> Path:
        """Pi's own session files of a project, and the folder that it stands in."""
        return self.state / "pi" / project_key(project)

    def workspace(self, project: Path) -> Path:
        """State of the private copy of `project`: manifest, applies, undo."""
        return self.workspaces / project_key(project)

    def trash(self, project: Path) -> Path:
        """What an apply replaced on the host, kept for undo."""
        return self.state / "trash" / project_key(project)

    def copy(self, project: Path) -> Path:
        """The private copy itself, for sandboxes that keep it in a folder of the host."""
        return self.cache / "copies" / project_key(project)

    @property
    def sockets(self) -> Path:
        """The control sockets of sessions that run. Short, for a socket's path has at most 103 bytes."""
        near = self.state / "run"
        if len(os.fsencode(near)) <= _SOCKET_FOLDER_BYTES:
            return near
        import hashlib

        key = hashlib.sha256(os.fsencode(self.state)).hexdigest()[:10]
        return Path("/tmp") / f"agentui-{os.getuid()}-{key}"

    @property
    def demo(self) -> Path:
        """Scratch projects of the demonstration."""
        return self.cache / "demo"


def places(environ: Mapping[str, str] | None = None, platform: str = sys.platform) -> Places:
    """Where the user's folders are.

    XDG variables count everywhere; without them macOS has its own customs, but a ``~/.config/agentui`` that
    somebody keeps with their dotfiles is respected there too. Relative XDG values are ignored, as their
    specification asks.
    """
    env = os.environ if environ is None else environ
    home = _home(env)
    if moved := env.get("AGENTUI_HOME"):
        root = Path(moved).expanduser().absolute()
        return Places(home, root / "config", root / "state", root / "cache")
    dotfiles = home / ".config"
    if platform == "darwin":
        library = home / "Library"
        support = library / "Application Support"
        config = dotfiles if (dotfiles / "agentui").is_dir() else support
        state, cache = support, library / "Caches"
    else:
        config, state, cache = dotfiles, home / ".local" / "state", home / ".cache"
    return Places(
        home,
        _xdg(env, "XDG_CONFIG_HOME", config) / "agentui",
        _xdg(env, "XDG_STATE_HOME", state) / "agentui",
        _xdg(env, "XDG_CACHE_HOME", cache) / "agentui",
    )


def git_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Where git looks for the user's settings and ignore file beside the home folder, on every system."""
    env = os.environ if environ is None else environ
    return _xdg(env, "XDG_CONFIG_HOME", _home(env) / ".config") / "git"


def _home(env: Mapping[str, str]) -> Path:
    named = env.get("HOME")
    return Path(named) if named else Path.home()


def _xdg(env: Mapping[str, str], name: str, otherwise: Path) -> Path:
    named = env.get(name, "")
    return Path(named) if named.startswith("/") else otherwise


def private_folder(path: Path) -> Path:
    """Make a folder and its missing parents, each for their owner only; tighten it if it is ours and open.

    Raises:
        OSError: If it cannot be made.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
    if path.stat().st_uid == os.getuid() and path.stat().st_mode & 0o077:
        path.chmod(0o700)
    return path


def project_key(project: Path) -> str:
    """A file name for `project`: its own name, for people, and a hash of its real path, for uniqueness."""
    import hashlib  # 4 ms, and nothing needs it before the first frame

    real = os.path.realpath(project)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", os.path.basename(real)).strip(".-")[:40] or "project"
    return f"{name}-{hashlib.sha256(os.fsencode(real)).hexdigest()[:10]}"


def lmstudio_home(home: Path) -> Path:
    """LM Studio's own folder, by the rules of its client library; it need not exist.

    A pointer file names it; else the place that old versions used, if it is there; else ``~/.lmstudio``.
    """
    try:
        pointed = (home / ".lmstudio-home-pointer").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        pointed = ""
    if pointed:
        return Path(pointed)
    old = home / ".cache" / "lm-studio"
    return old if old.is_dir() else home / ".lmstudio"


def pi_folder(home: Path, environ: Mapping[str, str]) -> Path:
    """Pi's own folder, by Pi's rules; it need not exist."""
    named = environ.get("PI_CODING_AGENT_DIR", "")
    return Path(named).expanduser().absolute() if named else home / ".pi" / "agent"


def lmstudio_server_config(home: Path) -> Path:
    """The file in which LM Studio keeps its server's port."""
    return lmstudio_home(home) / ".internal" / "http-server-config.json"
