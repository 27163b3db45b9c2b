"""The image of the agent's shell: named by its content, built from package data."""

from __future__ import annotations

import asyncio
import hashlib
import io
import logging
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agentui.errors import SandboxUnavailable
from agentui.paths import SANDBOX_IMAGES
from agentui.sandbox.engine import Engine, explanation
from agentui.sandbox.settle import settled

if TYPE_CHECKING:
    from docker import APIClient

DEFAULT_BASE = "debian:bookworm-slim"
TOOLS_FOLDER = SANDBOX_IMAGES / "tools"
BASE_HINT = (
    "Connect to a registry once (docker pull {base}), or make a base from the Debian mirror with "
    "scripts/make-base-image.sh and name it in AGENTUI_BASE_IMAGE."
)

ImageProfile = Literal["default", "research"]

_log = logging.getLogger(__name__)


class ToolsImage:
    """The image for one engine and one base.

    Args:
        engine: Where it is kept and built.
        base: What it is built from; the default is pulled when absent, and only while building.
        profile: `research` has curl as well.
    """

    question = "Build the sandbox image now?"
    why = "its base image may be downloaded and Debian packages are installed; done once, then no network"

    def __init__(self, engine: Engine, base: str | None = None, profile: ImageProfile = "default") -> None:
        self.engine = engine
        self.base = base or DEFAULT_BASE
        self.profile = profile
        flag = "" if profile == "default" else f" --profile {profile}"
        self.command = f"agentui sandbox build{flag}"
        self.tag = image_tag(self.base, name="tools" if profile == "default" else profile)

    async def is_built(self) -> bool:
        """Whether the engine has it; never pulls.

        Raises:
            SandboxUnavailable: If the engine does not answer.
        """
        return await asyncio.to_thread(has_image, self.engine, self.tag)

    async def build(self, note: Callable[[str], None]) -> None:
        """Build it; `note` gets the builder's lines on the event loop. Takes from seconds to minutes.

        Only this step may use the network: for the base, and for packages that the base lacks.

        Raises:
            SandboxUnavailable: If the base is absent and cannot be pulled, or a step fails.
        """
        await in_build_thread(self._build, note)

    def _build(self, note: Callable[[str], None], stop: threading.Event) -> None:
        import requests
        from docker.errors import DockerException

        has_base = has_image(self.engine, self.base)
        note(f"building {self.tag} from {self.base}" + ("" if has_base else " (pulled first)"))
        client = self.engine.new_client()
        last_lines: list[str] = []

        def tell(line: str) -> None:
            last_lines[:] = [*last_lines[-4:], line]
            note(line)

        try:
            context = build_context(TOOLS_FOLDER)
            arguments = {"BASE_IMAGE": self.base, "PROFILE": self.profile}
            run_build(client, tell, stop, fileobj=context, tag=self.tag, buildargs=arguments)
        except BuildFailed as failure:
            if not has_base and not has_image(self.engine, self.base):
                raise SandboxUnavailable(
                    f"The base image {self.base} is not here and could not be pulled: {failure}",
                    hint=BASE_HINT.format(base=self.base),
                ) from failure
            raise SandboxUnavailable(
                f"The sandbox image could not be built from {self.base}: {failure}. "
                f"Before that: {' | '.join(last_lines)}",
                hint=f"Build it by hand to see everything: {self.command}",
            ) from failure
        except (DockerException, requests.RequestException, OSError) as error:
            raise SandboxUnavailable(
                f"The engine could not build the sandbox image: {explanation(error)}",
                hint="See what it says with: docker info; docker system df",
            ) from error
        finally:
            client.close()
        self._remove_stages()

    def _remove_stages(self) -> None:
        """The stage before the flattening weighs twice the image and is of no further use."""
        import requests
        from docker.errors import DockerException

        try:
            self.engine.api.prune_images(  # type: ignore[no-untyped-call]
                filters={"dangling": True, "label": "agentui.stage=prep"}
            )
        except (DockerException, requests.RequestException, OSError) as error:
            _log.warning("the build's intermediate images could not be removed: %s", error)


class BuildFailed(Exception):
    """A step of the build failed; the text is the builder's."""


Note = Callable[[str], None]


async def in_build_thread(build: Callable[[Note, threading.Event], None], note: Note) -> None:
    """Run a blocking build in a thread; its lines come on the event loop. A cancel stops it at the next."""
    loop = asyncio.get_running_loop()
    stop = threading.Event()

    def tell(line: str) -> None:
        loop.call_soon_threadsafe(note, line)

    work = asyncio.ensure_future(asyncio.to_thread(build, tell, stop))
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        stop.set()
        await settled(_done(work))
        raise


def run_build(client: APIClient, note: Note, stop: threading.Event, **options: Any) -> None:
    """One build with the host's network, told line by line. Blocks; stops early when `stop` is set.

    A `fileobj` among the options is the whole context.

    Raises:
        BuildFailed: If a step fails.
        docker.errors.DockerException: If the engine refuses.
    """
    records = client.build(
        custom_context="fileobj" in options,
        # The only network the build can have where the engine runs without a bridge.
        network_mode="host",
        pull=False,
        rm=True,
        forcerm=True,
        decode=True,
        **options,
    )
    for line in build_lines(records):
        if stop.is_set():
            return
        note(line)


def image_tag(base: str, folder: Path = TOOLS_FOLDER, *, name: str = "tools") -> str:
    """The image's name: a hash of everything it is made from. Reads the files."""
    digest = hashlib.sha256(base.encode())
    for path in _files(folder):
        content = path.read_bytes()
        digest.update(f"\0{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode() + content)
    return f"agentui-{name}:{digest.hexdigest()[:12]}"


def build_context(folder: Path, extra: Mapping[str, bytes] | None = None) -> io.BytesIO:
    """The folder as a tar archive without owners and times, so that equal files build from the cache.

    `extra` are more files, by their names in the archive.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in _files(folder):
            info = tarfile.TarInfo(path.relative_to(folder).as_posix())
            content = path.read_bytes()
            info.size, info.mode = len(content), 0o644
            archive.addfile(info, io.BytesIO(content))
        for name, content in sorted((extra or {}).items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            archive.addfile(info, io.BytesIO(content))
    buffer.seek(0)
    return buffer


def build_lines(records: Iterator[Mapping[str, Any]]) -> Iterator[str]:
    """The builder's records as lines; downloads without their progress bars.

    Raises:
        BuildFailed: At a record that is an error.
    """
    for record in records:
        if "error" in record:
            raise BuildFailed(str(record["error"]).strip())
        text = str(record.get("stream") or "")
        if not text and record.get("status") and not record.get("progressDetail"):
            text = f"{record['status']} {record.get('id', '')}"
        for line in text.splitlines():
            if line.strip():
                yield line.strip()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def has_image(engine: Engine, name: str) -> bool:
    """Whether the engine has an image; never pulls. Blocks.

    Raises:
        SandboxUnavailable: If the engine does not answer.
    """
    import requests
    from docker.errors import DockerException, ImageNotFound

    try:
        engine.api.inspect_image(name)  # type: ignore[no-untyped-call]
    except ImageNotFound:
        return False
    except (DockerException, requests.RequestException, OSError) as error:
        raise SandboxUnavailable(f"The engine does not answer: {explanation(error)}") from error
    return True


async def _done(work: asyncio.Future[None]) -> None:
    await asyncio.wait({work})
