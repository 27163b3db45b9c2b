"""A container that passes bytes from a Unix socket on a shared volume to one port of ours, and nothing else.

Containers without a network reach us this way on every engine: a Unix socket of the host cannot be mounted
where the engine runs in a virtual machine, and one in a volume always can. Everything here blocks.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentui.errors import SandboxUnavailable
from agentui.sandbox.docker_labels import ROLE, THROWAWAY
from agentui.sandbox.docker_stream import EngineStream, open_attach
from agentui.sandbox.engine import Engine, explanation
from agentui.sandbox.limits import MIB

if TYPE_CHECKING:
    from docker.types import Mount

RELAY_UID = 61017
"""Nobody else's: what runs as it in another container is out of the agent's reach."""
RELAY_FOLDER = "/relay"
"""Where the shared volume is mounted, on both sides."""
SOCKET = f"{RELAY_FOLDER}/relay.sock"
SOCAT = "/usr/local/lib/agentui/socat"
CONNECTIONS = 32
MEMORY_BYTES = 64 * MIB
HOST_NAME = "host.docker.internal"
"""The machine that an engine's virtual machine runs on, as its containers know it."""

# Ends with its input, which only we hold open, and takes socat along.
_MAIN = (
    '"$1" "UNIX-LISTEN:$2,fork,mode=666,unlink-early,max-children=$3" "TCP:$4:$5" </dev/null >/dev/null 2>&1 & '
    "exec cat >/dev/null"
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RelayPlan:
    """What a relay is made from; `image` must hold socat. `port` is one of this machine's loopback."""

    image: str
    port: int
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Relay:
    """A running relay. `volume` is what its clients mount."""

    engine: Engine
    container_id: str
    volume: str
    stream: EngineStream

    def is_running(self) -> bool:
        """Whether it still passes bytes; true where the engine does not say."""
        import requests
        from docker.errors import DockerException, NotFound

        try:
            return bool(self.engine.api.inspect_container(self.container_id)["State"]["Running"])
        except NotFound:
            return False
        except (DockerException, requests.RequestException, OSError) as error:
            _log.warning("the engine does not say how the relay is: %s", explanation(error))
            return True

    def close(self) -> None:
        """End it and remove the volume; failures are logged, and the next start removes what is left."""
        self.stream.close()
        _forget(self.engine, self.container_id, self.volume)


def relay_mount(volume: str) -> Mount:
    """The volume as a client mounts it: it may connect to the socket, and change nothing."""
    from docker.types import Mount

    return Mount(target=RELAY_FOLDER, source=volume, type="volume", read_only=True, no_copy=True)


def open_relay(engine: Engine, plan: RelayPlan) -> Relay:
    """Start one.

    Raises:
        SandboxUnavailable: If the engine cannot; the message is its own.
    """
    import requests
    from docker.errors import DockerException

    volume = f"agentui-relay-{secrets.token_hex(6)}"
    container_id = ""
    try:
        api = engine.api
        api.create_volume(volume, driver="local", labels={**plan.labels, THROWAWAY: "yes"})
        network, address = route_home(engine)
        created = api.create_container(
            plan.image,
            ["-c", _MAIN, "relay", SOCAT, SOCKET, str(CONNECTIONS), address, str(plan.port)],
            entrypoint="/bin/bash",
            user=f"{RELAY_UID}:{RELAY_UID}",
            name=volume,
            working_dir="/",
            environment={"BASH_ENV": ""},
            labels={**plan.labels, ROLE: "relay"},
            stdin_open=True,
            detach=False,
            host_config=relay_config(engine, volume, network),
        )
        container_id = str(created["Id"])
        stream = open_attach(engine, container_id)
        api.start(container_id)
        return Relay(engine, container_id, volume, stream)
    except (DockerException, requests.RequestException, OSError) as error:
        _forget(engine, container_id, volume)
        raise SandboxUnavailable(
            f"The engine could not start the relay from {plan.image}: {explanation(error)}",
            hint="See what it says with: docker info; docker events",
        ) from error


def route_home(engine: Engine) -> tuple[str, str]:
    """The network in which a container reaches our loopback ports, and the address they have there."""
    if runs_in_machine(engine):
        return "bridge", HOST_NAME
    return "host", "127.0.0.1"


def runs_in_machine(engine: Engine) -> bool:
    """Whether the engine runs in a virtual machine of this computer, not in the system that we run in."""
    import platform

    return platform.system() != "Linux" or "docker desktop" in engine.facts.os.lower()


def relay_config(engine: Engine, volume: str, network: str) -> dict[str, Any]:
    """The engine's HostConfig: shut but for the network that it needs."""
    from docker.types import LogConfig, Mount, Ulimit

    config: dict[str, Any] = engine.api.create_host_config(
        network_mode=network,
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        pids_limit=CONNECTIONS * 2,
        mem_limit=MEMORY_BYTES,
        memswap_limit=MEMORY_BYTES,
        shm_size=MIB,
        ipc_mode="private",
        log_config=LogConfig(type="none"),
        init=True,
        ulimits=[Ulimit(name="nofile", soft=256, hard=256), Ulimit(name="core", soft=0, hard=0)],
        # The image's folder gives it its owner: it must be copied.
        mounts=[Mount(target=RELAY_FOLDER, source=volume, type="volume", no_copy=False)],
    )
    return config


def _forget(engine: Engine, container_id: str, volume: str) -> None:
    import requests
    from docker.errors import DockerException, NotFound

    for remove, name in ((engine.api.remove_container, container_id), (engine.api.remove_volume, volume)):
        try:
            if name:
                remove(name, force=True)
        except NotFound:
            continue
        except (DockerException, requests.RequestException, OSError) as error:
            _log.warning("%s could not be removed: %s", name[:24], explanation(error))
