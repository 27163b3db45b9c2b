"""Pi in a container of its own, without a network; a relay leads from it to our gateway."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from agentui.backends.gateway import Gateway
from agentui.errors import HarnessUnavailable, SandboxUnavailable, UsageError
from agentui.harness.pi.launch import PiFolders, PiStart
from agentui.sandbox.docker_labels import OWNER, SESSION, owner_label, remove_leftovers
from agentui.sandbox.pi_container import (
    AGENT_FOLDER,
    EXTENSION,
    MODEL_PORT,
    PI_UID,
    PI_VERSION,
    PRIVATE,
    PiContainer,
    PiImage,
    PiMount,
    PiMounts,
    open_pi,
)
from agentui.sandbox.relay import Relay, RelayPlan, open_relay
from agentui.sandbox.settle import settled

ENDING_S = 3.0
QUEUE_CHUNKS = 16
_LAST_WORDS = 20


class ContainerProcess:
    """Pi behind an attached connection; a thread reads it, no further ahead than a few chunks."""

    def __init__(self, container: PiContainer) -> None:
        self._container = container
        self._loop = asyncio.get_running_loop()
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue(QUEUE_CHUNKS)
        self._words: deque[str] = deque(maxlen=_LAST_WORDS)
        self._is_over = asyncio.Event()
        self._is_removed = False
        self._reader = threading.Thread(target=self._listen, name="agentui-pi", daemon=True)
        self._reader.start()

    def _listen(self) -> None:
        # The loop may be closed under a process that was left behind.
        with contextlib.suppress(RuntimeError):
            for stream, data in self._container.stream.frames():
                if stream == "stderr":
                    self._words.extend(data.decode("utf-8", "replace").splitlines())
                else:
                    asyncio.run_coroutine_threadsafe(self._chunks.put(data), self._loop).result()
            asyncio.run_coroutine_threadsafe(self._chunks.put(b""), self._loop).result()
            self._loop.call_soon_threadsafe(self._is_over.set)

    async def read(self) -> bytes:
        """See `PiProcess.read`."""
        data = await self._chunks.get()
        if not data:
            # Whoever asks again is told again.
            self._chunks.put_nowait(b"")
        return data

    async def write(self, data: bytes) -> None:
        """See `PiProcess.write`."""
        await asyncio.to_thread(self._container.stream.write, data)

    def last_words(self) -> str:
        """See `PiProcess.last_words`."""
        return "\n".join(line for line in self._words if line.strip())[-2000:]

    async def wait(self) -> int:
        """See `PiProcess.wait`."""
        await self._is_over.wait()
        return await asyncio.to_thread(self._container.wait)

    async def end(self) -> None:
        """Close standard input, which ends Pi in order; then the container by force."""
        if self._is_removed:
            return
        self._is_removed = True
        self._container.stream.close_writing()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ENDING_S):
                await self._drained()
        await settled(asyncio.to_thread(self._container.remove))

    async def _drained(self) -> None:
        """Until it is over, with nobody left who reads."""
        while not self._is_over.is_set():
            await self.read()
            await asyncio.sleep(0)


class ContainerPlace:
    """Runs Pi in a container; see `PiPlace`. `find_image` may block, and is asked once, in a thread."""

    kind = "container"
    label = "in a container, no network"
    version = PI_VERSION

    def __init__(self, find_image: Callable[[], PiImage], folders: PiFolders, session: str = "") -> None:
        self._find_image = find_image
        self._image: PiImage | None = None
        self._folders = folders
        self._labels = {OWNER: owner_label(), SESSION: session}
        self._also: set[Path] = set()
        self._relay: Relay | None = None
        self._port = 0
        self._container: PiContainer | None = None
        self._uid = os.getuid() or PI_UID

    async def serve(self, gateway: Gateway) -> str:
        """See `PiPlace.serve`: a loopback port, which only the relay's socket leads to from the container."""
        try:
            image = self._image = await asyncio.to_thread(self._find_image)
            await asyncio.to_thread(remove_leftovers, image.engine)
            if not await image.is_built():
                raise HarnessUnavailable(
                    f"the image that Pi runs in is not built yet: {image.tag}",
                    hint=f"build it once: {image.command}   (or run Pi on this machine: --pi-host)",
                )
            self._port = await gateway.listen_loopback()
            await self._open_relay(image)
        except (SandboxUnavailable, UsageError) as error:
            raise HarnessUnavailable(error.message, hint=error.hint) from error
        return f"http://127.0.0.1:{MODEL_PORT}/v1"

    async def _open_relay(self, image: PiImage) -> None:
        plan = RelayPlan(image.tag, self._port, self._labels)

        def open_it() -> None:
            self._relay = open_relay(image.engine, plan)

        # A cancel waits for it: what is made after the clean-up would be left.
        await settled(asyncio.to_thread(open_it))

    async def _close_relay(self) -> None:
        relay, self._relay = self._relay, None
        if relay is not None:
            await settled(asyncio.to_thread(relay.close))

    async def is_open(self) -> bool:
        """See `PiPlace.is_open`: the relay may have been ended by somebody else."""
        return self._relay is not None and await asyncio.to_thread(self._relay.is_running)

    def seen(self, path: Path) -> str:
        """See `PiPlace.seen`. A file outside of the folders is mounted too, read-only."""
        folders = self._folders
        if path == folders.extension:
            return f"{EXTENSION}/{path.name}"
        if path.is_relative_to(folders.private):
            return str(Path(AGENT_FOLDER) / path.relative_to(folders.private))
        if not any(path.is_relative_to(folder) for folder in (folders.sessions, folders.workdir)):
            self._also.add(path.absolute())
        return str(path.absolute())

    async def launch(self, start: PiStart) -> ContainerProcess:
        """See `PiPlace.launch`."""
        image = self._image
        if image is None:
            raise HarnessUnavailable("Pi's way to the model is not open")
        try:
            if not await self.is_open():
                await self._close_relay()
                await self._open_relay(image)
            relay = self._relay
            assert relay is not None
            container = await settled(asyncio.to_thread(self._open, start, image, relay.volume))
            return ContainerProcess(container)
        except (SandboxUnavailable, OSError) as error:
            text = error.message if isinstance(error, SandboxUnavailable) else str(error)
            raise HarnessUnavailable(text, hint="or run Pi on this machine: --pi-host") from error

    def _open(self, start: PiStart, image: PiImage, relay_volume: str) -> PiContainer:
        folders = start.folders
        if os.getuid() == 0:
            # Root's own files are no plain user's, and Pi never runs as root.
            for folder in (folders.private, folders.sessions, folders.workdir):
                _give(folder, self._uid)
        mounts = [
            # What it writes into its configuration is gone with the container, and never read by us.
            PiMount(folders.private, PRIVATE),
            PiMount(folders.sessions, str(folders.sessions.absolute()), is_writable=True),
            PiMount(folders.workdir, str(folders.workdir.absolute())),
            *(PiMount(path, str(path)) for path in sorted(self._also)),
        ]
        self._container = open_pi(
            image.engine,
            image.tag,
            start.arguments,
            PiMounts(mounts, self._uid),
            relay_volume,
            labels=self._labels,
            environment=start.environment,
            workdir=str(folders.workdir.absolute()),
        )
        return self._container

    async def aclose(self) -> None:
        """See `PiPlace.aclose`: the relay, and a container that a cancelled launch left."""
        container, self._container = self._container, None
        if container is not None:
            await settled(asyncio.to_thread(container.remove))
        await self._close_relay()


def _give(folder: Path, uid: int) -> None:
    """Make a user the owner of a folder of ours and of what is in it; links are not followed."""
    os.chown(folder, uid, uid)
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(parent, name), uid, uid, follow_symlinks=False)
