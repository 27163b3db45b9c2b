"""Whose containers and volumes these are, and removing what dead sessions left. Everything here blocks.

Containers end with their session, but stay listed until somebody removes them (a frozen one does not even end).
The owner is written on them as machine, process id and start time, so that a live session's are never touched.
"""

from __future__ import annotations

import logging
import os
import platform
import uuid
from collections.abc import Callable, Mapping
from functools import partial

from agentui.sandbox.engine import Engine, explanation

PREFIX = "agentui."
OWNER = f"{PREFIX}owner"
SESSION = f"{PREFIX}session"
PROJECT = f"{PREFIX}project"
WORKSPACE_ID = f"{PREFIX}workspace"
ROLE = f"{PREFIX}role"
THROWAWAY = f"{PREFIX}throwaway"
LEFTOVER_TIMEOUT_S = 15.0
"""How long a start may wait for an engine that cannot get rid of a dead session's container."""
START_TOLERANCE_S = 2.0
"""Start times of one process differ a little between readings when the clock is set."""

_log = logging.getLogger(__name__)


def owner_label() -> str:
    """This process, as `is_dead` reads it."""
    import psutil

    return f"{_machine()}:{os.getpid()}:{psutil.Process().create_time():.2f}"


def is_dead(owner: str) -> bool:
    """Whether the owner was a process of this machine that is gone; False for anything that cannot be told."""
    import psutil

    machine, _, rest = owner.partition(":")
    pid, _, started = rest.partition(":")
    if machine != _machine() or not pid.isdigit():
        return False
    try:
        seen_s = psutil.Process(int(pid)).create_time()
        return abs(seen_s - float(started)) > START_TOLERANCE_S
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, ValueError):
        return False


def remove_leftovers(engine: Engine) -> int:
    """Remove containers, and volumes made to be thrown away, whose owners are dead; returns how many.

    Kept workspaces are never removed. Failures are logged: they must not keep a session from starting.
    """
    import requests
    from docker.errors import DockerException

    removed = 0
    api = engine.new_client(LEFTOVER_TIMEOUT_S)
    try:
        for record in api.containers(all=True, filters={"label": OWNER}):
            if is_dead(_owner_of(record.get("Labels"))):
                removed += _is_removed(partial(api.remove_container, record["Id"], force=True))
        listed = api.volumes(filters={"label": [OWNER, THROWAWAY]})
        for record in listed.get("Volumes") or []:
            if is_dead(_owner_of(record.get("Labels"))):
                removed += _is_removed(partial(api.remove_volume, record["Name"], force=True))
    except (DockerException, requests.RequestException, OSError) as error:
        _log.warning("leftovers of earlier sessions could not be removed: %s", explanation(error))
    finally:
        api.close()
    return removed


def remove_own(engine: Engine, owner: str, workspace_id: str) -> None:
    """Remove what is left of a living session's own containers for one workspace; failures are logged."""
    import requests
    from docker.errors import DockerException

    wanted = [f"{OWNER}={owner}", f"{WORKSPACE_ID}={workspace_id}"]
    try:
        for record in engine.api.containers(all=True, filters={"label": wanted}):
            engine.api.remove_container(record["Id"], force=True)
    except (DockerException, requests.RequestException, OSError) as error:
        _log.warning("containers of this session could not be removed: %s", explanation(error))


def _is_removed(remove: Callable[[], object]) -> bool:
    """Whether it is gone. One that does not go (it is being removed already, say) keeps no other from going."""
    from docker.errors import DockerException, NotFound

    try:
        remove()
    except NotFound:
        return False
    except DockerException as error:
        _log.warning("a leftover of an earlier session could not be removed: %s", explanation(error))
        return False
    return True


def _owner_of(labels: Mapping[str, str] | None) -> str:
    return (labels or {}).get(OWNER, "")


def _machine() -> str:
    # Two machines may share one engine, and two of them may share a name.
    return f"{platform.node()}-{uuid.getnode():012x}".replace(":", "-")
