"""One container of ours: how it is locked down, and its life. Everything here blocks.

The main process is root without capabilities, on an input only we hold open (see `docker_keeper`); commands run
as the agent's uid. So the container ends when we do, and ``kill -9 -1`` as that uid ends every command and
nothing else.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from agentui.errors import SandboxUnavailable
from agentui.sandbox.docker_keeper import Keeper
from agentui.sandbox.docker_labels import WORKSPACE_ID
from agentui.sandbox.docker_stream import EngineStream, open_attach, open_exec
from agentui.sandbox.engine import Engine, explanation
from agentui.sandbox.limits import MIB, SandboxLimits
from agentui.sandbox.relay import relay_mount
from agentui.sandbox.research import PROXY_ENVIRONMENT, SHIM, SHIM_USER

Role = Literal["commands", "copy"]
KEEPER = ("/bin/bash", "/usr/local/lib/agentui/keeper")
WORKSPACE = "/workspace"
SWEEP_TIMEOUT_S = 2.0
"""How long processes may take to disappear after SIGKILL before the whole container goes."""
COPY_MEMORY_BYTES = 1024 * MIB

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ContainerPlan:
    """What a container is made from. `uid` is the agent's, never 0."""

    image: str
    volume: str
    role: Role
    uid: int
    limits: SandboxLimits
    labels: Mapping[str, str]
    has_readonly_proc: bool = True
    is_noexec: bool = True
    """Whether files of the workspace may not be executed; its volume says so to every engine but Podman."""
    relay_volume: str | None = None
    """Holds the socket of the research profile's way out."""


class Container:
    """A running container and the connection it lives on. Made by `open_container`."""

    def __init__(self, engine: Engine, container_id: str, plan: ContainerPlan, keeper: Keeper) -> None:
        self.engine = engine
        self.id = container_id
        self.plan = plan
        self.keeper = keeper
        first = keeper.vitals()
        self.own_tasks = first.tasks if first is not None else None
        """Tasks without any command; ``None`` where the kernel does not count them."""

    def is_running(self) -> bool:
        """Whether the engine says so; False too when it does not know the container or does not answer."""
        state = self.state()
        return bool(state.get("Running")) and not state.get("Restarting")

    def state(self) -> dict[str, Any]:
        """The engine's State record; empty when it does not know the container or does not answer."""
        import requests
        from docker.errors import DockerException

        try:
            record: dict[str, Any] = self.engine.api.inspect_container(self.id)["State"]
        except (DockerException, requests.RequestException, OSError):
            return {}
        return record

    def start_process(
        self, argv: tuple[str, ...], *, workdir: str, environment: Mapping[str, str]
    ) -> tuple[str, EngineStream]:
        """Start a process as the agent; see `open_exec` for what it raises."""
        user = f"{self.plan.uid}:{self.plan.uid}"
        return open_exec(self.engine, self.id, argv, user=user, workdir=workdir, environment=environment)

    def exec_problem(self) -> str:
        """Why no process can be started in it; empty if one can."""
        import requests
        from docker.errors import DockerException

        try:
            argv = ("/bin/bash", "-c", "echo ready")
            _, stream = self.start_process(argv, workdir="/", environment={"BASH_ENV": ""})
            output = b"".join(data for _, data in stream.frames())
            stream.close()
        except (DockerException, requests.RequestException, OSError) as error:
            return explanation(error)
        return "" if output == b"ready\n" else output.decode("utf-8", "replace").strip() or "it printed nothing"

    def sweep(self) -> bool:
        """End every process of the agent, also stopped ones and those in sessions of their own.

        Returns False if some would not go, or could not be reached; the container must then be replaced.
        """
        import requests
        from docker.errors import DockerException

        user = str(self.plan.uid)
        deadline = time.monotonic() + SWEEP_TIMEOUT_S
        try:
            while time.monotonic() < deadline:
                # As one system call the kernel ends them all before any of them can fork again.
                argv = ("/bin/bash", "-c", "kill -9 -1")
                plain = {"BASH_ENV": ""}
                _, stream = open_exec(
                    self.engine, self.id, argv, user=user, environment=plain, silence_s=SWEEP_TIMEOUT_S
                )
                for _ in stream.frames():
                    pass
                stream.close()
                if self.own_tasks is None or self._settles(deadline):
                    return True
        except (DockerException, requests.RequestException, OSError) as error:
            _log.warning("processes in container %s could not be ended: %s", self.id[:12], explanation(error))
        return False

    def has_leftovers(self) -> bool:
        """Whether processes of the agent are still there; True where that cannot be told. About 1 ms."""
        vitals = self.keeper.vitals() if self.own_tasks is not None else None
        return vitals is None or vitals.tasks is None or vitals.tasks > (self.own_tasks or 0)

    def close(self) -> None:
        """End and remove it; the volume stays."""
        import requests
        from docker.errors import DockerException, NotFound

        self.keeper.close()
        try:
            # `v`: volumes that the image itself declares; the workspace's has a name and stays.
            self.engine.api.remove_container(self.id, force=True, v=True)
        except NotFound:
            return
        except (DockerException, requests.RequestException, OSError) as error:
            # It ends by itself, and the next start removes what is left of it.
            _log.warning("container %s could not be removed: %s", self.id[:12], explanation(error))

    def _settles(self, deadline: float) -> bool:
        pause_s = 0.001
        while self.has_leftovers():
            if time.monotonic() + pause_s > deadline:
                return False
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.05)
            if pause_s >= 0.05:
                return not self.has_leftovers()
        return True


def open_container(engine: Engine, plan: ContainerPlan) -> Container:
    """Create and start a container.

    Raises:
        SandboxUnavailable: If the engine cannot; the message is its own.
    """
    import requests
    from docker.errors import DockerException

    container_id = ""
    try:
        api = engine.api
        # `detach=False` with open input is the only way to get StdinOnce: the container ends when we do.
        created = api.create_container(
            plan.image,
            list(KEEPER),
            user="0:0",
            name=_name(plan),
            hostname="sandbox",
            working_dir=WORKSPACE,
            environment=_environment(plan),
            labels=dict(plan.labels),
            stdin_open=True,
            detach=False,
            host_config=host_config(engine, plan),
        )
        container_id = str(created["Id"])
        stream = open_attach(engine, container_id)
        api.start(container_id)
        if plan.relay_volume is not None:
            _start_shim(engine, container_id)
        return Container(engine, container_id, plan, Keeper(stream))
    except (DockerException, requests.RequestException, OSError) as error:
        if container_id:
            _forget(engine, container_id)
        raise SandboxUnavailable(
            f"The engine could not start a container of {plan.image}: {explanation(error)}",
            hint="See what it says with: docker info; docker events",
        ) from error


def _environment(plan: ContainerPlan) -> dict[str, str]:
    if plan.role == "copy":
        return {"BASH_ENV": ""}
    return {"USER": "agent", **(PROXY_ENVIRONMENT if plan.relay_volume is not None else {})}


def _start_shim(engine: Engine, container_id: str) -> None:
    """Start the loopback port that leads to the relay, as a user whom the agent cannot end.

    Raises:
        OSError: If it does not listen.
    """
    _, stream = open_exec(engine, container_id, SHIM, user=SHIM_USER, workdir="/", environment={"BASH_ENV": ""})
    said = b"".join(data for _, data in stream.frames())
    stream.close()
    if said != b"ready\n":
        raise OSError(f"the way to the proxy did not open: {said.decode('utf-8', 'replace').strip()}")


def _name(plan: ContainerPlan) -> str:
    """For people who list their containers; unique, as one of a dead session may still be listed."""
    role = "" if plan.role == "commands" else f"-{plan.role}"
    return f"agentui-{plan.labels[WORKSPACE_ID]}{role}-{secrets.token_hex(3)}"


def host_config(engine: Engine, plan: ContainerPlan) -> dict[str, Any]:
    """The engine's HostConfig for a plan: everything that can be shut is shut."""
    from docker.types import LogConfig, Mount, Ulimit

    limits = plan.limits
    is_copy = plan.role == "copy"
    memory_bytes = COPY_MEMORY_BYTES if is_copy else limits.memory_bytes
    cpus = min(limits.cpus, float(engine.facts.cpus or limits.cpus))
    # Files there count as memory: at the limit the kernel would end the keeper for want of anything else.
    tmp_bytes = min(limits.tmp_bytes, memory_bytes // 2)
    tmpfs = "rw,noexec,nosuid,nodev"
    is_podman = engine.facts.is_podman
    # Podman refuses the option; there the memory limit is what bounds their number.
    inodes = ("", "") if is_podman else (",nr_inodes=65536", ",nr_inodes=1024")
    # It forgets the flags of a volume that it mounts, but takes them here, where Docker refuses them.
    flags = "noexec,nosuid,nodev" if plan.is_noexec else "nosuid,nodev"
    config: dict[str, Any] = engine.api.create_host_config(
        network_mode="none",
        # Else the engine writes the host's own name servers into the container.
        dns=["127.0.0.1"],
        read_only=True,
        cap_drop=["ALL"],
        # Root of the helper must reach files whatever their owner and mode, and give them to the agent.
        cap_add=["CHOWN", "DAC_OVERRIDE", "FOWNER"] if is_copy else [],
        security_opt=["no-new-privileges:true"],
        pids_limit=limits.pids,
        mem_limit=memory_bytes,
        memswap_limit=memory_bytes,
        nano_cpus=int(cpus * 1e9),
        shm_size=8 * MIB,
        ipc_mode="private",
        log_config=LogConfig(type="none"),
        init=True,
        ulimits=[
            Ulimit(name="nofile", soft=limits.open_files, hard=limits.open_files),
            Ulimit(name="core", soft=0, hard=0),
        ],
        tmpfs={
            "/tmp": f"{tmpfs},size={tmp_bytes}{inodes[0]},mode=1777",
            "/run": f"{tmpfs},size={MIB}{inodes[1]},mode=755",
        },
        # Without no_copy the engine gives the volume the owner and mode of the image's folder.
        binds=[f"{plan.volume}:{WORKSPACE}:rw,nocopy,{flags}"] if is_podman else None,
        mounts=[
            *([] if is_podman else [Mount(target=WORKSPACE, source=plan.volume, type="volume", no_copy=True)]),
            *([relay_mount(plan.relay_volume)] if plan.relay_volume is not None else []),
        ],
    )
    if plan.has_readonly_proc:
        # docker-py has no argument for it. A writable /proc/PID/mem lets dd put native code into a process,
        # which goes around every noexec mount. MaskedPaths are left to the engine's own, newer list.
        config["ReadonlyPaths"] = ["/proc", "/sys"]
    return config


def _forget(engine: Engine, container_id: str) -> None:
    import requests
    from docker.errors import DockerException

    try:
        engine.api.remove_container(container_id, force=True)
    except (DockerException, requests.RequestException, OSError) as error:
        _log.warning("container %s could not be removed: %s", container_id[:12], explanation(error))
