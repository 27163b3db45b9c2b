"""Folders for tests: made from a description, and described exactly enough to compare them to the bit."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agentui.sandbox.folder_copy import FolderCopy
from agentui.workspace.settings import WorkspaceSettings
from agentui.workspace.workspace import Workspace

HOME = WorkspaceSettings(home=Path("/nowhere"), folds_case=False)


def write(root: Path, files: Mapping[str, str | bytes | None]) -> None:
    """Write files; None makes a folder."""
    for name, content in files.items():
        path = root / name
        if content is None:
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def snapshot(root: Path, with_folder_times: bool = False) -> dict[bytes, tuple[object, ...]]:
    """Names, types, modes, owners, attributes, targets, contents and times of everything below a folder."""
    found: dict[bytes, tuple[object, ...]] = {}
    _describe(os.fsencode(root), b"", found, with_folder_times)
    return found


def _describe(
    base: bytes, path: bytes, found: dict[bytes, tuple[object, ...]], with_folder_times: bool
) -> None:
    for name in os.listdir(os.path.join(base, path)):
        inner = os.path.join(path, name)
        full = os.path.join(base, inner)
        st = os.lstat(full)
        names = os.listxattr(full, follow_symlinks=False) if hasattr(os, "listxattr") else []
        attributes = {name: os.getxattr(full, name, follow_symlinks=False) for name in names}
        mode = stat.S_IMODE(st.st_mode)
        owner = (st.st_uid, st.st_gid, attributes)
        if stat.S_ISLNK(st.st_mode):
            found[inner] = ("link", os.readlink(full), owner, st.st_mtime_ns)
        elif stat.S_ISDIR(st.st_mode):
            found[inner] = ("dir", mode, owner, st.st_mtime_ns if with_folder_times else 0)
            _describe(base, inner, found, with_folder_times)
        elif stat.S_ISREG(st.st_mode):
            with open(full, "rb") as stream:
                found[inner] = ("file", mode, stream.read(), owner, st.st_mtime_ns)
        else:
            found[inner] = ("special", mode)


def carried(what: tuple[object, ...] | None) -> tuple[object, ...] | None:
    """What passes between project and copy; times alone, owners and special bits do not."""
    if what is None or what[0] == "link":
        return what and what[:2]
    assert isinstance(what[1], int)
    return (what[0], what[1] & 0o777, *(what[2:3] if what[0] == "file" else ()))


@dataclass
class Place:
    """A project, its copy and a workspace over both."""

    root: Path
    settings: WorkspaceSettings = field(default_factory=WorkspaceSettings)
    state_folder: Path | None = None

    def __post_init__(self) -> None:
        self.project = self.root / "project"
        self.folder = self.root / "copy"
        self.state = self.state_folder or self.root / "state"
        for folder in (self.project, self.folder):
            folder.mkdir(parents=True, exist_ok=True)
        self.events: list[object] = []

    def workspace(self) -> Workspace:
        return Workspace(self.project, FolderCopy(self.folder), self.state, self.settings)

    async def prepared(self) -> Workspace:
        workspace = self.workspace()
        await workspace.recover()
        await workspace.prepare(self.events.append)
        return workspace


@contextmanager
def place(state_on: Path | None = None) -> Iterator[Place]:
    root = Path(tempfile.mkdtemp(prefix="ws-"))
    state = Path(tempfile.mkdtemp(prefix="ws-", dir=state_on)) if state_on else None
    try:
        yield Place(root, HOME, state)
    finally:
        for folder in (root, state):
            if folder is not None:
                os.system(f"chmod -R u+rwx '{folder}' 2>/dev/null")
                shutil.rmtree(folder, ignore_errors=True)


class Crash(BaseException):
    """Stands for a kill: nothing between here and the top handles it."""


class CrashAt:
    def __init__(self, point: int) -> None:
        self.left = point
        self.names: list[str] = []

    def __call__(self, name: str) -> None:
        self.names.append(name)
        if self.left == 0:
            raise Crash(name)
        self.left -= 1


def write_story(p: Place) -> None:
    write(
        p.project,
        {
            "a.txt": "one\n",
            "gone.txt": "gone\n",
            "d/x": "x\n",
            "d/e/y": "y\n",
            "f": "file\n",
            "empty": None,
            "keep": "k",
        },
    )
    (p.project / "keep").chmod(0o600)
    os.symlink("a.txt", p.project / "link")


def agent_works(p: Place) -> None:
    write(p.folder, {"a.txt": "two\n", "new/n": "n\n", "new/m": "m\n"})
    (p.folder / "gone.txt").unlink()
    shutil.rmtree(p.folder / "d")
    (p.folder / "d").write_text("now a file\n")
    (p.folder / "f").unlink()
    write(p.folder, {"f/inside": "i\n"})
    (p.folder / "empty").rmdir()
    (p.folder / "keep").chmod(0o644)
    (p.folder / "link").unlink()
    os.symlink("keep", p.folder / "link")
