"""The sessions' folders: made, found, locked; and the files beside a journal that hold whole outputs.

A session is a folder ``<UTC time>-<short id>`` with ``journal.jsonl``, ``lock`` and ``outputs/``. Whoever
writes holds the lock for as long as the session is open, so that there is one writer; readers need none.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agentui.errors import SessionBusy, SessionError
from agentui.session.output_file import OUTPUTS, OutputFile
from agentui.session.parts import all_parts, read_blocks, size_bytes

JOURNAL = "journal.jsonl"

_FOLDER = re.compile(r"(\d{8}T\d{6}Z)-([0-9a-f]{8})")


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session as its folder's name and first line tell it. `project` is empty where that cannot be read.

    `written_s` is when its journal was written last, in seconds since 1970.
    """

    session_id: str
    folder: Path
    started_utc: datetime
    project: str
    size_bytes: int
    written_s: float

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.folder / JOURNAL


class SessionFolder:
    """An open session's folder, locked for writing by us until `close`."""

    def __init__(self, folder: Path, lock_fd: int) -> None:
        self.folder = folder
        self._lock_fd = lock_fd
        self._outputs = 0

    @property
    def session_id(self) -> str:
        """The name of the session, unique among all of the user's."""
        return self.folder.name

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.folder / JOURNAL

    def new_output(self, call_id: str) -> OutputFile:
        """A file for the output of one command; `call_id` comes from a server and names nothing unchecked.

        Raises:
            SessionError: If the file cannot be made.
        """
        outputs = self.folder / OUTPUTS
        name = re.sub(r"[^A-Za-z0-9_-]+", "", call_id)[:40] or "call"
        try:
            outputs.mkdir(mode=0o700, exist_ok=True)
            while True:
                self._outputs += 1
                path = outputs / f"{self._outputs:05d}-{name}.txt"
                try:
                    return OutputFile(path, relative=f"{OUTPUTS}/{path.name}")
                except FileExistsError:
                    continue
        except OSError as error:
            raise SessionError(f"an output file cannot be made in {outputs}: {error.strerror}") from error

    def close(self) -> None:
        """Let others write; again is no error."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1


class SessionStore:
    """All sessions of the user, below one folder."""

    def __init__(self, root: Path, new_id: Callable[[], str] = lambda: secrets.token_hex(4)) -> None:
        self.root = root
        self._new_id = new_id

    def create(self, now_utc: datetime) -> SessionFolder:
        """Make and lock the folder of a new session.

        Raises:
            SessionError: If it cannot be made.
        """
        stamp = now_utc.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            while True:
                folder = self.root / f"{stamp}-{self._new_id()}"
                try:
                    folder.mkdir(mode=0o700)
                except FileExistsError:
                    continue
                return self.open(folder)
        except OSError as error:
            raise SessionError(
                f"no session can be kept in {self.root}: {error.strerror}",
                hint="make room or make the folder writable, or set AGENTUI_HOME to another place",
            ) from error

    def open(self, folder: Path) -> SessionFolder:
        """Lock a session's folder for writing.

        Raises:
            SessionBusy: If another agentui writes it.
            SessionError: If it cannot be opened.
        """
        path = folder / "lock"
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SessionError(f"session {folder.name} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
            os.close(fd)
            by = f" (process {holder})" if holder.isdigit() else ""
            raise SessionBusy(
                f"session {folder.name} is being written by another agentui{by}",
                hint="end that one first, or look at the session with: agentui replay " + folder.name,
            ) from error
        with suppress(OSError):  # a full disk: the lock holds without a number in it too
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        return SessionFolder(folder, fd)

    def sessions(self) -> list[SessionInfo]:
        """All sessions, the newest first. Reads the first line of each; O(sessions)."""
        try:
            names = sorted((entry.name for entry in os.scandir(self.root)), reverse=True)
        except OSError:
            return []
        found = (self._info(self.root / name) for name in names)
        return [info for info in found if info is not None]

    def last_written(self) -> list[SessionInfo]:
        """All sessions, the one that was written last first: an older one may have gone on since."""
        return sorted(self.sessions(), key=lambda info: info.written_s, reverse=True)

    def find(self, name: str) -> Path:
        """The journal that `name` means: a file, a session's folder, an id, or the beginning of an id.

        Raises:
            SessionError: If nothing or more than one thing fits.
        """
        as_path = Path(os.path.abspath(os.path.expanduser(name)))
        if os.path.isfile(as_path):  # unlike pathlib's, false for what can be no path, or may not be looked at
            return as_path
        if os.path.isdir(as_path) and all_parts(as_path / JOURNAL):
            return as_path / JOURNAL
        fitting = [info for info in self.sessions() if _fits(info.session_id, name)]
        if len(fitting) == 1:
            return fitting[0].journal
        if fitting:
            ids = ", ".join(info.session_id for info in fitting[:5])
            raise SessionError(f"{name!r} fits {len(fitting)} sessions: {ids}", hint="give more of the id")
        raise SessionError(f"there is no session or file {name!r}", hint=f"sessions lie in {self.root}")

    def newest(self, project: Path | None = None) -> Path:
        """The journal of the session that was written last, of `project` if given.

        Raises:
            SessionError: If there is none.
        """
        real = os.path.realpath(project) if project else None
        fitting = [info for info in self.last_written() if real is None or info.project == real]
        if fitting:
            return fitting[0].journal
        where = f" of {project}" if project else ""
        raise SessionError(f"there is no session{where} yet", hint=f"sessions lie in {self.root}")

    def _info(self, folder: Path) -> SessionInfo | None:
        match = _FOLDER.fullmatch(folder.name)
        if match is None:
            return None
        started = datetime.strptime(match[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        journal = folder / JOURNAL
        try:
            parts = all_parts(journal)
            if not parts:
                return None
            first, written_s = _first_line(parts[0]), parts[-1].stat().st_mtime
        except OSError:
            return None
        return SessionInfo(folder.name, folder, started, _project_of(first), size_bytes(journal), written_s)


def _first_line(part: Path) -> bytes:
    if part.suffix == ".gz":
        block = next(read_blocks(part), None)
        return b"" if block is None else block.content[: 1 << 20].partition(b"\n")[0]
    with part.open("rb") as file:
        return file.readline(1 << 20)


def _project_of(line: bytes) -> str:
    try:
        held = json.loads(line)
    except ValueError:
        return ""
    project = held.get("project") if isinstance(held, dict) else None
    return project if isinstance(project, str) else ""


def _fits(session_id: str, name: str) -> bool:
    return bool(name) and (session_id.startswith(name) or session_id.rpartition("-")[2].startswith(name))
