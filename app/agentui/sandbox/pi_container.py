"""Pi in a container of its own: an image with Node and one exact Pi, no network, one way to the model.

The container's main process is Pi itself, on an attached input that only we hold open: Pi ends with its input,
and the container with Pi. Everything here blocks, but for `PiImage`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentui.errors import SandboxUnavailable
from agentui.paths import SANDBOX_IMAGES
from agentui.sandbox.docker_labels import ROLE
from agentui.sandbox.docker_stream import EngineStream, open_attach
from agentui.sandbox.engine import Engine, explanation
from agentui.sandbox.image import (
    BASE_HINT,
    DEFAULT_BASE,
    BuildFailed,
    Note,
    build_context,
    has_image,
    image_tag,
    in_build_thread,
    run_build,
)
from agentui.sandbox.limits import MIB
from agentui.sandbox.relay import relay_mount

PI_FOLDER = SANDBOX_IMAGES / "pi"
PI_VERSION = "1.5.2"
"""The one that the image holds; the Dockerfile names the same."""
PI_UID = 1000
MODEL_PORT = 1234
"""Of the container's loopback: leads to the relay."""
EXTENSION = "/opt/agentui/extension"
AGENT_FOLDER = "/home/agent/.pi/agent"
PRIVATE = "/private"
"""Copied into the agent folder at the start, by the image's entry point."""
MEMORY_BYTES = 1024 * MIB
PIDS = 256
_TMPFS = "rw,noexec,nosuid,nodev"
_log = logging.getLogger(__name__)


class PiImage:
    """The image for one engine, one base and one extension.

    Args:
        engine: Where it is kept and built. base: As for the tools image. extension: A file that is baked in;
        without one, Pi runs its own commands. npm_image: Where packages are fetched; the base by default.
    """

    question = "Build the image that Pi runs in now?"
    why = "Node and Pi come from the npm registry, Debian packages are installed; done once, then no network"
    command = "agentui pi build"

    def __init__(
        self,
        engine: Engine,
        base: str | None = None,
        extension: Path | None = None,
        npm_image: str | None = None,
    ) -> None:
        self.engine = engine
        self.base = base or DEFAULT_BASE
        self._npm_image = npm_image or self.base
        self._extra = {f"extension/{extension.name}": extension.read_bytes()} if extension is not None else {}
        baked = hashlib.sha256(repr(sorted(self._extra.items())).encode()).hexdigest()
        self.tag = image_tag(f"{self.base} {baked}", PI_FOLDER, name="pi")

    async def is_built(self) -> bool:
        """Whether the engine has it; never pulls.

        Raises:
            SandboxUnavailable: If the engine does not answer.
        """
        import asyncio

        return await asyncio.to_thread(has_image, self.engine, self.tag)

    async def build(self, note: Note, packages: Mapping[str, bytes] | None = None) -> None:
        """Build it; takes minutes, and is the only step that may use the network.

        `packages` are archives of npm's, by their file names; what is not among them is fetched while building.

        Raises:
            SandboxUnavailable: If a step fails.
        """
        given = {f"packages/{name}": content for name, content in (packages or {}).items()}
        await in_build_thread(lambda note, stop: self._build(note, stop, given), note)

    def _build(self, note: Note, stop: threading.Event, packages: Mapping[str, bytes]) -> None:
        import requests
        from docker.errors import DockerException

        extra = {**self._extra, **packages}
        # Where a proxy with a certificate of its own stands before the registry, npm is told so this way.
        authority = os.environ.get("NODE_EXTRA_CA_CERTS")
        if authority and Path(authority).is_file():
            extra["extra-ca.pem"] = Path(authority).read_bytes()
        last_lines: list[str] = []

        def tell(line: str) -> None:
            last_lines[:] = [*last_lines[-4:], line]
            note(line)

        client = self.engine.new_client()
        try:
            arguments = {"BASE_IMAGE": self.base, "NPM_IMAGE": self._npm_image, "PI_VERSION": PI_VERSION}
            context = build_context(PI_FOLDER, extra)
            run_build(client, tell, stop, fileobj=context, tag=self.tag, buildargs=arguments)
        except BuildFailed as failure:
            raise SandboxUnavailable(
                f"Pi's image could not be built from {self.base}: {failure}. "
                f"Before that: {' | '.join(last_lines)}",
                hint=BASE_HINT.format(base=self.base),
            ) from failure
        except (DockerException, requests.RequestException, OSError) as error:
            raise SandboxUnavailable(
                f"The engine could not build Pi's image: {explanation(error)}",
                hint="See what it says with: docker info; docker system df",
            ) from error
        finally:
            client.close()


@dataclass(frozen=True, slots=True)
class PiMount:
    """A folder or file of the host as Pi sees it."""

    source: Path
    target: str
    is_writable: bool = False


@dataclass(frozen=True, slots=True)
class PiMounts:
    """All of them; `uid` owns them on the host, and Pi runs as it."""

    mounts: Sequence[PiMount]
    uid: int = PI_UID


@dataclass(frozen=True, slots=True)
class PiContainer:
    """A running Pi: its container and the connection to its input and output."""

    engine: Engine
    id: str
    stream: EngineStream

    def wait(self) -> int:
        """Its exit code, soon after its streams have ended; -9 where the engine does not know it any more."""
        import requests
        from docker.errors import DockerException

        client = self.engine.new_client()
        try:
            return int(client.wait(self.id)["StatusCode"])
        except (DockerException, requests.RequestException, OSError) as error:
            _log.info("the end of Pi's container is not known: %s", explanation(error))
            return -9
        finally:
            client.close()

    def remove(self) -> None:
        """End it by force, and forget it; failures are logged, and the next start removes what is left."""
        import requests
        from docker.errors import DockerException, NotFound

        self.stream.close()
        try:
            self.engine.api.remove_container(self.id, force=True)
        except NotFound:
            return
        except (DockerException, requests.RequestException, OSError) as error:
            _log.warning("Pi's container %s could not be removed: %s", self.id[:12], explanation(error))


def open_pi(
    engine: Engine,
    image: str,
    arguments: Sequence[str],
    mounts: PiMounts,
    relay_volume: str,
    *,
    labels: Mapping[str, str],
    environment: Mapping[str, str],
    workdir: str,
) -> PiContainer:
    """Create and start a container with Pi in it.

    Raises:
        SandboxUnavailable: If the engine cannot; the message is its own.
    """
    import requests
    from docker.errors import DockerException

    container_id = ""
    try:
        api = engine.api
        created = api.create_container(
            image,
            list(arguments),
            user=f"{mounts.uid}:{mounts.uid}",
            name=f"agentui-pi-{secrets.token_hex(6)}",
            hostname="pi",
            working_dir=workdir,
            environment=dict(environment),
            labels={**labels, ROLE: "pi"},
            stdin_open=True,
            # The only way to get StdinOnce: the container ends when we do.
            detach=False,
            host_config=pi_config(engine, mounts, relay_volume),
        )
        container_id = str(created["Id"])
        stream = open_attach(engine, container_id)
        api.start(container_id)
        return PiContainer(engine, container_id, stream)
    except (DockerException, requests.RequestException, OSError) as error:
        if container_id:
            engine.api.remove_container(container_id, force=True)
        raise SandboxUnavailable(
            f"The engine could not start Pi from {image}: {explanation(error)}",
            hint="See what it says with: docker info; docker events",
        ) from error


def pi_config(engine: Engine, mounts: PiMounts, relay_volume: str) -> dict[str, Any]:
    """The engine's HostConfig: everything that can be shut is shut."""
    from docker.types import LogConfig, Mount, Ulimit

    owner = f"mode=700,uid={mounts.uid},gid={mounts.uid}"
    config: dict[str, Any] = engine.api.create_host_config(
        network_mode="none",
        dns=["127.0.0.1"],
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        pids_limit=PIDS,
        mem_limit=MEMORY_BYTES,
        memswap_limit=MEMORY_BYTES,
        nano_cpus=int(min(2.0, float(engine.facts.cpus or 2)) * 1e9),
        shm_size=8 * MIB,
        ipc_mode="private",
        log_config=LogConfig(type="none"),
        init=True,
        ulimits=[Ulimit(name="nofile", soft=1024, hard=1024), Ulimit(name="core", soft=0, hard=0)],
        tmpfs={
            "/tmp": f"{_TMPFS},size=64m,nr_inodes=16384,mode=1777",
            # Pi makes locks and caches beside its configuration.
            AGENT_FOLDER: f"{_TMPFS},size=64m,nr_inodes=16384,{owner}",
        },
        mounts=[
            *(
                Mount(
                    target=mount.target, source=str(mount.source), type="bind", read_only=not mount.is_writable
                )
                for mount in mounts.mounts
            ),
            relay_mount(relay_volume),
        ],
    )
    return config
