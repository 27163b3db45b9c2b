"""The volume that holds a private copy. Everything here blocks.

Docker takes ``noexec`` neither for a plain volume nor for a writable bind mount, but honours it for an overlay
of three folders of its own disk. So a workspace is two volumes: a plain one for the data, and an overlay over
it, which is what gets mounted. Engines that cannot (rootless ones, some VMs) get the plain one alone, and a
note.
"""

from __future__ import annotations

import io
import logging
import secrets
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from agentui.errors import SandboxError, SandboxUnavailable
from agentui.sandbox.docker_labels import OWNER, THROWAWAY, owner_label
from agentui.sandbox.engine import Engine, explanation

_log = logging.getLogger(__name__)
_UID = "agentui.uid"
_IDENTITY = "agentui.identity"
_FOLDERS = (("lower", 0o755), ("upper", 0o700), ("work", 0o700))
"""What an overlay is made of, with modes; the agent owns the upper one, where its files lie."""


@dataclass(frozen=True, slots=True)
class WorkspaceVolume:
    """A volume ready to be mounted. `is_noexec` says whether files in it can be executed."""

    name: str
    is_noexec: bool
    names: tuple[str, ...]
    """All volumes that belong to it, in the order in which they can be removed."""
    identity: str | None = None
    """Given to the data when it was made: it tells a volume from one that was made again under its name."""
    has_source: bool = False
    """Whether it began with what the workspace it was to lie over holds."""
    is_new: bool = False
    """Whether it was made just now, and holds nothing."""


def open_volume(
    engine: Engine,
    image: str,
    workspace_id: str,
    uid: int,
    labels: Mapping[str, str],
    *,
    may_execute: bool = False,
    over: str = "",
) -> WorkspaceVolume:
    """The workspace's volume, made if it is not there; what it holds is kept.

    `may_execute` leaves out ``noexec``. `over` is the id of a workspace whose files it shall begin with; see
    `WorkspaceVolume.has_source` for whether it does. No command may run in that one meanwhile.

    Raises:
        SandboxUnavailable: If the engine can make no volume at all.
    """
    import requests
    from docker.errors import DockerException

    base = f"agentui-{workspace_id}"
    name = f"{base}-exec" if may_execute else base
    data = f"{base}-data"
    plain_names = (f"{base}-plain", data)
    names = (base, f"{base}-exec", data)
    try:
        had_data = _inspect(engine, data) is not None
        record = _make(engine, data, {}, {**labels, _IDENTITY: secrets.token_hex(8)})
        path, identity = record["Mountpoint"], (record.get("Labels") or {}).get(_IDENTITY)
        lower = _lower_of(engine, over) if over else f"{path}/lower"
        # Podman's mounts have flags of their own (see `docker_container.host_config`).
        is_noexec = engine.facts.is_podman and not may_execute
        if engine.facts.is_rootless or lower is None:
            return WorkspaceVolume(_plain(engine, image, base, uid, labels), is_noexec, plain_names)
        flags = "nosuid,nodev" if may_execute else "noexec,nosuid,nodev"
        # Else a folder that came from below could not be renamed.
        flags += ",redirect_dir=on" if over else ""
        paths = f"lowerdir={lower},upperdir={path}/upper,workdir={path}/work,{flags}"
        options = {"type": "overlay", "device": "overlay", "o": paths}
        is_new = not had_data and not over
        opened = WorkspaceVolume(name, not may_execute, names, identity, bool(over), is_new)
        if had_data and _is_prepared(_inspect(engine, name), options, uid):
            return opened
        _prepare(engine, image, data, uid)
        if _make_overlay(engine, image, name, options, {**labels, _UID: str(uid)}):
            return opened
        return WorkspaceVolume(_plain(engine, image, base, uid, labels), is_noexec, plain_names)
    except (DockerException, requests.RequestException, OSError) as error:
        raise SandboxUnavailable(
            f"The engine could not make the volume {name} for the workspace: {explanation(error)}",
            hint="See what it says with: docker info; docker system df",
        ) from error


def remove_volume(engine: Engine, volume: WorkspaceVolume) -> None:
    """Remove a workspace with all it holds; failures are logged."""
    import requests
    from docker.errors import DockerException, NotFound

    for name in volume.names:
        try:
            engine.api.remove_volume(name, force=True)
        except NotFound:
            continue
        except (DockerException, requests.RequestException, OSError) as error:
            _log.warning("volume %s could not be removed: %s", name, explanation(error))


def has_workspace(engine: Engine, workspace_id: str) -> bool:
    """Whether the engine holds a workspace of that id.

    Raises:
        SandboxUnavailable: If the engine does not answer.
    """
    import requests
    from docker.errors import DockerException

    try:
        return _inspect(engine, f"agentui-{workspace_id}-data") is not None
    except (DockerException, requests.RequestException, OSError) as error:
        raise SandboxUnavailable(f"The engine does not answer: {explanation(error)}") from error


def remove_workspace_volumes(engine: Engine, workspace_id: str) -> None:
    """Remove every volume that a workspace can have.

    Raises:
        SandboxError: If one is still there.
    """
    import requests
    from docker.errors import DockerException

    name = f"agentui-{workspace_id}"
    names = (name, f"{name}-exec", f"{name}-plain", f"{name}-data")
    remove_volume(engine, WorkspaceVolume(name, False, names))
    try:
        left = [name for name in names if _inspect(engine, name) is not None]
    except (DockerException, requests.RequestException, OSError) as error:
        raise SandboxError(f"The engine does not say what is left: {explanation(error)}") from error
    if left:
        raise SandboxError(
            f"The volume {left[0]} could not be removed: something still uses it",
            hint=f"See what: docker ps -a --filter volume={left[0]}",
        )


def workspace_labels(labels: Mapping[str, str], is_throwaway: bool) -> dict[str, str]:
    """Labels of a volume: one that is kept outlives its owner."""
    return {**labels, THROWAWAY: "yes"} if is_throwaway else dict(labels)


def _lower_of(engine: Engine, workspace_id: str) -> str | None:
    """Where the engine keeps the files of another workspace; ``None`` unless that is an overlay of ours."""
    base = f"agentui-{workspace_id}"
    data = _inspect(engine, f"{base}-data")
    has_overlay = any(_inspect(engine, name) is not None for name in (base, f"{base}-exec"))
    return f"{data['Mountpoint']}/upper" if data is not None and has_overlay else None


def _is_prepared(overlay: dict[str, Any] | None, options: dict[str, str], uid: int) -> bool:
    """Whether an earlier session made this very overlay, which it did after preparing and mounting it."""
    if overlay is None:
        return False
    return overlay.get("Options") == options and (overlay.get("Labels") or {}).get(_UID) == str(uid)


def _inspect(engine: Engine, name: str) -> dict[str, Any] | None:
    from docker.errors import NotFound

    try:
        record: dict[str, Any] = engine.api.inspect_volume(name)
    except NotFound:
        return None
    return record


def _make(engine: Engine, name: str, options: dict[str, str], labels: Mapping[str, str]) -> dict[str, Any]:
    record: dict[str, Any] = engine.api.create_volume(
        name, driver="local", driver_opts=options, labels=dict(labels)
    )
    return record


def _make_overlay(
    engine: Engine, image: str, name: str, options: dict[str, str], labels: Mapping[str, str]
) -> bool:
    """Make the overlay; false, and none is left, where this engine cannot mount it."""
    from docker.errors import DockerException

    try:
        is_proven = _has_mounted(engine, options)
        _remake(engine, name, options, labels)
        if not is_proven:
            _try_mount(engine, image, name)
    except DockerException as error:
        _log.warning("no overlay volume on this engine: %s", explanation(error))
        # Else the next start would take it for one that mounted.
        remove_volume(engine, WorkspaceVolume(name, True, (name,)))
        return False
    return True


def _remake(engine: Engine, name: str, options: dict[str, str], labels: Mapping[str, str]) -> None:
    """The overlay holds nothing itself and names paths that may have moved: made anew unless it is in use."""
    from docker.errors import APIError, NotFound

    try:
        engine.api.remove_volume(name)
    except NotFound:
        pass
    except APIError as error:
        if error.status_code != 409:
            raise
        return
    _make(engine, name, options, labels)


def _plain(engine: Engine, image: str, name: str, uid: int, labels: Mapping[str, str]) -> str:
    plain = f"{name}-plain"
    _make(engine, plain, {}, labels)
    _run(engine, image, plain, 'chown "$1:$1" /data', str(uid))
    return plain


def _prepare(engine: Engine, image: str, data: str, uid: int) -> None:
    """Lay out the folders; those that are there keep what they hold. Nothing is run, so it needs no start."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for name, mode in _FOLDERS:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            entry.uid = entry.gid = uid if name == "upper" else 0
            archive.addfile(entry)
    with _container(engine, image, data, []) as container:
        engine.api.put_archive(container, "/data", tar.getvalue())


def _has_mounted(engine: Engine, options: Mapping[str, str]) -> bool:
    """Whether a volume with the same flags was mounted on this engine before: then another one can be, too."""
    listed = engine.api.volumes(filters={"label": _UID})
    made = (record.get("Options") or {} for record in listed.get("Volumes") or [])
    return any(_flags_of(before) == _flags_of(options) for before in made)


def _flags_of(options: Mapping[str, str]) -> str:
    return str(options.get("o", "")).partition("/work,")[2]


def _try_mount(engine: Engine, image: str, name: str) -> None:
    _run(engine, image, name, ": >/data/.agentui-probe && rm /data/.agentui-probe", "")


def _run(engine: Engine, image: str, volume: str, script: str, argument: str) -> None:
    """Run a script of ours as root in a container of its own, with the volume at /data.

    Raises:
        docker.errors.DockerException: If the engine refuses or the script fails.
    """
    from docker.errors import DockerException

    api = engine.api
    with _container(engine, image, volume, ["/bin/bash", "-c", script, "prepare", argument]) as container:
        api.start(container)
        code = int(api.wait(container)["StatusCode"])
        if code != 0:
            text = api.logs(container).decode("utf-8", "replace").strip()
            raise DockerException(text or f"preparing the volume failed with exit code {code}")


@contextmanager
def _container(engine: Engine, image: str, volume: str, command: list[str]) -> Iterator[str]:
    """The id of a container that is not started, with the volume at /data; it is removed afterwards."""
    from docker.types import Mount

    api = engine.api
    container = api.create_container(
        image,
        command or ["/bin/true"],
        user="0:0",
        environment={"BASH_ENV": ""},
        # If we are killed before it is removed, the next start finds it.
        labels={OWNER: owner_label()},
        host_config=api.create_host_config(
            network_mode="none",
            read_only=True,
            cap_drop=["ALL"],
            cap_add=["CHOWN", "DAC_OVERRIDE", "FOWNER"],
            security_opt=["no-new-privileges:true"],
            mounts=[Mount(target="/data", source=volume, type="volume", no_copy=True)],
        ),
    )
    try:
        yield str(container["Id"])
    finally:
        api.remove_container(container["Id"], force=True)
