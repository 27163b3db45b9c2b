"""The private copy in a Docker volume, worked on from a second container that no command ever runs in.

The helper is root with three capabilities, no network and nothing but the volume; it reads files the agent made
unreadable. It is started when first needed and ends with the session. The host project is not mounted, not even
read-only: its files go in, and changed ones come out, as a tar stream, so remote engines and those that share
no folders work alike.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from agentui.errors import SandboxError, SandboxUnavailable
from agentui.sandbox.base import MAX_ENTRIES, TOO_MANY, TOO_MANY_HINT, Entry, EntryType, OnBytes
from agentui.sandbox.docker_container import Container
from agentui.sandbox.docker_stream import EngineStream, exit_code_of, open_exec
from agentui.sandbox.engine import explanation
from agentui.sandbox.folder_files import write_below
from agentui.sandbox.settle import settled
from agentui.sandbox.tar_stream import PERMISSIONS, SEEN, parents, tar_parts, unpack_files

SCRIPT = "/usr/local/lib/agentui/copy"
PROGRESS_FILES = 100
"""Progress is told once in so many files."""

_log = logging.getLogger(__name__)
_TYPES: dict[bytes, EntryType] = {
    b"f": "file",
    b"d": "dir",
    b"l": "link",
    b"p": "fifo",
    b"s": "socket",
    b"b": "device",
    b"c": "device",
}


class DockerCopy:
    """The files of one volume.

    Args:
        open_helper: Makes the helper container; blocks; called again if the helper is gone.
        uid: Who owns what is brought in.
        identity: Names the volume; ``None`` if it has no name of its own.
    """

    def __init__(
        self, open_helper: Callable[[], Container], uid: int, identity: Callable[[], str | None] = lambda: None
    ) -> None:
        self._identity = identity
        self._open_helper = open_helper
        self._uid = uid
        self._helper: Container | None = None
        self._warming: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()
        self.is_empty = False
        """Whether it surely holds nothing: then nothing has to make way."""

    async def manifest(self) -> tuple[Entry, ...]:
        """Every entry of the copy but its root; reads names and times, no content."""
        output = await self._call_streaming(_bounded, "manifest")
        return await asyncio.to_thread(parse_manifest, output)

    async def identity(self) -> str | None:
        """What the volume was named when it was made; needs no helper."""
        return self._identity()

    async def seed(self, root: Path, paths: Sequence[bytes], progress: OnBytes) -> None:
        """Bring host paths in; see the protocol. Progress comes on the event loop.

        Raises:
            SandboxError: If a file cannot be read or the copy's disk is full.
        """
        if not paths:
            return
        loop = asyncio.get_running_loop()

        def report(files: int, size_bytes: int) -> None:
            if files % PROGRESS_FILES == 0 or files == len(paths):
                loop.call_soon_threadsafe(progress, files, size_bytes)

        present: set[bytes] = set()
        if not self.is_empty:
            ways = await asyncio.to_thread(lambda: _zero_ended(_ways(root, paths)))
            there = await self._call("make-way", str(len(ways)), feed=[ways])
            present = set(there.split(b"\0")) - {b""}
        self.is_empty = False
        await self._call("unpack", feed=tar_parts(root, paths, self._uid, report, present))

    async def fetch(self, paths: Sequence[bytes], into: Path) -> None:
        """Write regular files of the copy below `into`.

        Raises:
            SandboxError: If one of them is not in the copy, or no regular file.
        """
        if not paths:
            return
        names = _zero_ended(paths)
        wanted = set(paths)
        folder = os.open(into, os.O_RDONLY | os.O_DIRECTORY)
        try:

            def receive(stream: BinaryIO) -> set[bytes]:
                return unpack_files(stream, wanted, lambda name, content: write_below(folder, name, content))

            came = await self._call_streaming(receive, "pack", str(len(names)), feed=[names])
        finally:
            os.close(folder)
        if missing := wanted - came:
            first = os.fsdecode(min(missing)).encode("unicode_escape").decode("ascii")
            raise SandboxError(
                f"{len(missing)} file(s) are not in the private copy any more, the first is {first}"
            )

    async def remove(self, paths: Sequence[bytes]) -> None:
        """Remove entries, folders with all they hold; missing ones are no error."""
        if paths:
            names = _zero_ended(paths)
            await self._call("remove", str(len(names)), feed=[names])

    async def clear(self) -> None:
        """Remove everything."""
        if not self.is_empty:
            await self._call("clear")

    def warm_up(self) -> None:
        """Start the helper beside what else is done: it will be needed."""
        self._warming = asyncio.create_task(self._warm())

    async def _warm(self) -> None:
        async with self._one_at_a_time:
            try:
                await settled(asyncio.to_thread(self._helper_now))
            except (SandboxError, SandboxUnavailable) as error:
                # Whoever needs it tries again, and is told.
                _log.warning("the copy's helper container did not start: %s", error)

    async def aclose(self) -> None:
        """End the helper; it starts again when needed."""
        if self._warming is not None:
            await asyncio.wait({self._warming})
        async with self._one_at_a_time:
            helper, self._helper = self._helper, None
            if helper is not None:
                await asyncio.to_thread(helper.close)

    async def _call(self, *arguments: str, feed: Iterable[bytes] = ()) -> bytes:
        output: bytes = await self._call_streaming(lambda stream: stream.read(), *arguments, feed=feed)
        return output

    async def _call_streaming(
        self, receive: Callable[[BinaryIO], Any], *arguments: str, feed: Iterable[bytes] = ()
    ) -> Any:
        async with self._one_at_a_time:
            call = _Call(arguments)
            work = asyncio.ensure_future(asyncio.to_thread(lambda: call.run(self._helper_now(), feed, receive)))
            try:
                return await asyncio.shield(work)
            except asyncio.CancelledError:
                call.cancel()
                await settled(_quietly(work))
                raise

    def _helper_now(self) -> Container:
        if self._helper is not None and not self._helper.is_running():
            _log.warning("the copy's helper container is gone; starting another")
            self._helper.close()
            self._helper = None
        if self._helper is None:
            self._helper = self._open_helper()
        return self._helper


class _Call:
    """One run of the copy script. Blocks; `cancel` may come from another thread."""

    def __init__(self, arguments: tuple[str, ...]) -> None:
        self._arguments = arguments
        self._stream: EngineStream | None = None
        self._is_cancelled = False
        self._feed_error: BaseException | None = None

    def cancel(self) -> None:
        self._is_cancelled = True
        if self._stream is not None:
            self._stream.close()

    def run(self, helper: Container, feed: Iterable[bytes], receive: Callable[[BinaryIO], Any]) -> Any:
        import requests
        from docker.errors import DockerException

        engine = helper.engine
        try:
            exec_id, self._stream = open_exec(
                engine,
                helper.id,
                (SCRIPT, *self._arguments),
                user="0:0",
                stdin=True,
                environment={"BASH_ENV": ""},
            )
            feeder = threading.Thread(target=self._write, args=(feed,), name="agentui-copy", daemon=True)
            feeder.start()
            output = _StdoutReader(self._stream)
            result = receive(output)  # type: ignore[arg-type]
            output.drain()
            self._stream.close()
            feeder.join()
            code = exit_code_of(engine, exec_id)
        except (DockerException, requests.RequestException, OSError) as error:
            raise SandboxError(f"The private copy could not be worked on: {explanation(error)}") from error
        finally:
            if self._stream is not None:
                self._stream.close()
        if isinstance(self._feed_error, SandboxError):
            raise self._feed_error
        if code != 0:
            complaint = output.complaint.decode("utf-8", "replace").strip()[-500:]
            raise SandboxError(f"Copy step {self._arguments[0]} failed (exit {code}): {complaint}")
        return result

    def _write(self, feed: Iterable[bytes]) -> None:
        stream = self._stream
        assert stream is not None
        try:
            for part in feed:
                if self._is_cancelled:
                    return
                stream.write(part)
            stream.close_writing()
        except SandboxError as error:
            self._feed_error = error
            stream.close()
        except OSError as error:
            # The script ended first; its exit code and its words say why.
            _log.debug("feeding the copy stopped: %s", error)


class _StdoutReader:
    """The standard output of a process as a file; what it says on standard error is kept aside."""

    def __init__(self, stream: EngineStream) -> None:
        self._frames = stream.frames()
        self._pending = bytearray()
        self.complaint = b""

    def read(self, size: int = -1) -> bytes:
        """Exactly `size` bytes, fewer only at the end; all of them for -1."""
        while size < 0 or len(self._pending) < size:
            frame = next(self._frames, None)
            if frame is None:
                break
            name, data = frame
            if name == "stdout":
                self._pending += data
            else:
                self.complaint = (self.complaint + data)[-4096:]
        end = len(self._pending) if size < 0 else size
        data = bytes(self._pending[:end])
        del self._pending[:end]
        return data

    def drain(self) -> None:
        """Read to the end and forget it."""
        while self.read(1 << 20):
            pass


def _bounded(stream: BinaryIO) -> bytes:
    """A whole list of entries, three fields each.

    Raises:
        SandboxError: If there are too many of them.
    """
    parts: list[bytes] = []
    fields = 0
    while part := stream.read(1 << 20):
        parts.append(part)
        fields += part.count(b"\0")
        if fields > 3 * MAX_ENTRIES:
            raise SandboxError(TOO_MANY, hint=TOO_MANY_HINT)
    return b"".join(parts)


def parse_manifest(output: bytes) -> tuple[Entry, ...]:
    """Entries from the script's records.

    A record is ``type mode size mtime ctime inode``, path and link target, each ended by NUL.

    Raises:
        SandboxError: If the output was cut.
    """
    fields = output.split(b"\0")
    if fields.pop() != b"" or len(fields) % 3:
        raise SandboxError("The list of the private copy's files did not arrive whole")
    entries: list[Entry] = []
    records = iter(fields)
    for facts, path, link in zip(records, records, records, strict=True):
        kind, mode, size, mtime, ctime, inode = facts.split(b" ")
        type_ = _TYPES.get(kind, "device")
        entries.append(
            Entry(
                path=path,
                type=type_,
                mode=int(mode, 8) & SEEN.get(type_, PERMISSIONS),
                size_bytes=int(size),
                mtime_ns=nanoseconds(mtime),
                # The agent can set size and mtime but not ctime: the kernel does.
                fingerprint=b" ".join((size, mtime, ctime, inode)).decode("ascii"),
                link_target=link if type_ == "link" else None,
            )
        )
    return tuple(entries)


def nanoseconds(seconds: bytes) -> int:
    """What find prints, like ``-123.4560000000`` as whole nanoseconds."""
    whole, _, fraction = seconds.partition(b".")
    value = int(whole.lstrip(b"-")) * 10**9 + int(fraction[:9].ljust(9, b"0"))
    return -value if seconds.startswith(b"-") else value


def _ways(root: Path, paths: Sequence[bytes]) -> list[bytes]:
    """What must be able to stand where the paths go.

    Folders are marked ``d``, or ``p`` if they are only on the way; everything else ``f``.
    """
    base = os.fsencode(root)
    listed = set(paths)
    seen: set[bytes] = set()
    ways: list[bytes] = []
    for path in paths:
        for parent in parents(path):
            if parent not in seen:
                seen.add(parent)
                ways.append((b"d" if parent in listed else b"p") + parent)
        try:
            is_folder = stat.S_ISDIR(os.lstat(os.path.join(base, path)).st_mode)
        except OSError:
            continue
        if path not in seen:
            seen.add(path)
            ways.append((b"d" if is_folder else b"f") + path)
    return ways


def _zero_ended(names: Sequence[bytes]) -> bytes:
    return b"".join(name + b"\0" for name in names)


async def _quietly(work: asyncio.Future[Any]) -> None:
    """Wait for work whose result nobody wants any more."""
    try:
        await work
    except (SandboxError, SandboxUnavailable) as error:
        _log.debug("a cancelled copy step ended: %s", error)
