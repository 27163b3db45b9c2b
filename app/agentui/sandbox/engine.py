"""Find a container engine that speaks Docker's API, and talk to it.

docker-py looks at ``DOCKER_HOST`` only; the contexts of the command line and the sockets of Docker Desktop,
Colima, OrbStack and Podman are tried here. Everything in this module blocks: call it in a thread. The `docker`
package is imported inside functions, because a start without a sandbox must not pay for it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentui.errors import EngineUnavailable, SandboxUnavailable

if TYPE_CHECKING:
    from docker import APIClient

MINIMUM_API = (1, 41)
PROBE_TIMEOUT_S = 5.0
"""How long one address may take to answer while an engine is searched."""
CALL_TIMEOUT_S = 60.0
START_HINT = (
    "Start Docker (Docker Desktop, Colima or OrbStack; on Linux: sudo systemctl start docker), "
    "or use --sandbox bubblewrap (Linux; it holds less)."
)

_log = logging.getLogger(__name__)
_silences: dict[str, str] = {}
"""Why nothing answered at an address, as it was logged last."""


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What an engine says about itself. `memory_bytes` is what it can give out: on a Mac, that of its VM."""

    name: str
    version: str
    api_version: str
    os: str
    architecture: str
    memory_bytes: int | None
    cpus: int | None
    is_rootless: bool = False

    @property
    def is_podman(self) -> bool:
        """Podman speaks the same API, but takes some options elsewhere, and others not at all."""
        return self.name == "Podman"


@dataclass(frozen=True, slots=True)
class EngineAddress:
    """One place where an engine may answer; `origin` says in words where the address comes from."""

    url: str
    origin: str
    client_options: Mapping[str, Any]


class Engine:
    """An engine that answered. Clients are kept per thread, since their connections must not be shared."""

    def __init__(self, address: EngineAddress, facts: EngineFacts) -> None:
        self.address = address
        self.facts = facts
        self._local = threading.local()

    @property
    def api(self) -> APIClient:
        """This thread's client."""
        client: APIClient | None = getattr(self._local, "client", None)
        if client is None:
            client = self.new_client()
            self._local.client = client
        return client

    def new_client(self, timeout_s: float = CALL_TIMEOUT_S) -> APIClient:
        """A client of its own, for a stream or with another timeout; the caller closes it."""
        return _client(self.address, self.facts.api_version, timeout_s)


def find_engine(environment: Mapping[str, str] | None = None, home: Path | None = None) -> Engine:
    """The first engine that answers. Blocks, at worst some seconds for each address that accepts and is silent.

    What the environment names (``DOCKER_HOST``, ``DOCKER_CONTEXT``) is the only one tried.

    Raises:
        EngineUnavailable: If none answers; names what was tried.
        SandboxUnavailable: If the one that does is too old.
    """
    environment = os.environ if environment is None else environment
    tried: list[str] = []
    for address in _addresses(environment, home or Path.home()):
        try:
            engine = connect(address)
            _silences.pop(address.url, None)
            return engine
        except _NotAnswering as silence:
            tried.append(f"{address.origin} ({address.url}): {silence}")
            _log_once(address.url, str(silence))
    denied = any("ermission denied" in line for line in tried)
    hint = (
        "Your user may not use the engine's socket: add it to the group docker, then log in again."
        if denied
        else START_HINT
    )
    places = "; ".join(tried) or "there is no DOCKER_HOST, no docker context and no known socket"
    raise EngineUnavailable(f"No container engine answers: {places}", hint=hint)


def _log_once(url: str, silence: str) -> None:
    """Log why nothing answers when that has changed: while it is away it is looked for again and again."""
    if _silences.get(url) != silence:
        _silences[url] = silence
        _log.info("no engine at %s: %s", url, silence)


def connect(address: EngineAddress) -> Engine:
    """Talk to the engine at one address.

    Raises:
        SandboxUnavailable: If it is too old.
        _NotAnswering: If nothing usable is there; only for `find_engine`.
    """
    import requests
    from docker.errors import DockerException
    from docker.utils import version_lt

    if address.url.startswith("ssh://"):
        raise _NotAnswering("engines over ssh are not supported")
    try:
        client = _client(address, None, PROBE_TIMEOUT_S)
        try:
            version: dict[str, Any] = client.version()
            info: dict[str, Any] = client.info()
        finally:
            client.close()
    except (DockerException, requests.RequestException, OSError) as error:
        raise _NotAnswering(explanation(error)) from error
    newest = str(version.get("ApiVersion", "0"))
    minimum = ".".join(map(str, MINIMUM_API))
    if version_lt(newest, minimum):
        raise SandboxUnavailable(
            f"The engine at {address.url} is too old: it speaks API {newest}, at least {minimum} is needed",
            hint="Update it: Docker 20.10 or newer, Podman 4 or newer.",
        )
    return Engine(address, _facts(version, info, client.api_version))


def explanation(error: BaseException) -> str:
    """What an engine's error says, or why it could not be reached, without the three wrappings around it."""
    said = str(getattr(error, "explanation", "") or "").strip()
    if said:
        return said.splitlines()[-1]
    cause = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(cause).strip() or type(cause).__name__


class _NotAnswering(Exception):
    """Nothing usable at an address; the text says why."""


def _client(address: EngineAddress, version: str | None, timeout_s: float) -> APIClient:
    from docker import APIClient

    return APIClient(
        base_url=address.url, version=version or "auto", timeout=int(timeout_s), **address.client_options
    )


def _facts(version: dict[str, Any], info: dict[str, Any], api_version: str) -> EngineFacts:
    components = version.get("Components") or [{}]
    security = info.get("SecurityOptions") or []
    return EngineFacts(
        name="Podman" if "podman" in str(components[0].get("Name", "")).lower() else "Docker",
        version=str(version.get("Version", "?")),
        api_version=api_version,
        os=str(info.get("OperatingSystem") or version.get("Os", "?")),
        architecture=str(info.get("Architecture") or version.get("Arch", "?")),
        memory_bytes=info.get("MemTotal") or None,
        cpus=info.get("NCPU") or None,
        is_rootless=any("rootless" in str(option) for option in security),
    )


def _addresses(environment: Mapping[str, str], home: Path) -> Iterator[EngineAddress]:
    if environment.get("DOCKER_HOST"):
        from docker.utils import kwargs_from_env

        options = kwargs_from_env(environment=dict(environment))
        url = options.pop("base_url", environment["DOCKER_HOST"])
        yield EngineAddress(url, "DOCKER_HOST", options)
        return
    context = _context_address(environment)
    if context is not None:
        yield context
    if environment.get("DOCKER_CONTEXT"):
        return
    seen = context.url if context is not None else ""
    for path, origin in _sockets(environment, home):
        url = f"unix://{path}"
        if url != seen and path.exists():
            yield EngineAddress(url, origin, {})


def _context_address(environment: Mapping[str, str]) -> EngineAddress | None:
    """The command line's current context, unless it is the plain default."""
    from docker.context import ContextAPI
    from docker.errors import DockerException

    try:
        context = ContextAPI.get_context(environment.get("DOCKER_CONTEXT") or None)
    except (DockerException, OSError, ValueError, KeyError) as error:
        _log.warning("the current docker context cannot be read: %s", error)
        return None
    if context is None or context.name == "default" or not context.Host:
        return None
    tls = context.TLSConfig
    return EngineAddress(context.Host, f"docker context {context.name}", {"tls": tls} if tls else {})


def _sockets(environment: Mapping[str, str], home: Path) -> Iterator[tuple[Path, str]]:
    yield Path("/var/run/docker.sock"), "the usual socket"
    yield home / ".docker/run/docker.sock", "Docker Desktop"
    yield home / ".colima/default/docker.sock", "Colima"
    yield home / ".config/colima/default/docker.sock", "Colima"
    yield home / ".orbstack/run/docker.sock", "OrbStack"
    yield home / ".rd/docker.sock", "Rancher Desktop"
    runtime = environment.get("XDG_RUNTIME_DIR")
    if runtime:
        yield Path(runtime) / "docker.sock", "rootless Docker"
        yield Path(runtime) / "podman/podman.sock", "Podman"
    yield home / ".local/share/containers/podman/machine/podman.sock", "Podman machine"
    yield Path("/run/podman/podman.sock"), "Podman"
