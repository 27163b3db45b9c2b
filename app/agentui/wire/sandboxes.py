"""Which sandbox a setting means, and one of each kind to try out."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from agentui.config.settings import Settings
from agentui.wire.servers import tools_image

if TYPE_CHECKING:
    from agentui.sandbox.docker import DockerSandbox
    from agentui.sandbox.jailed import JailedSandbox
    from agentui.sandbox.limits import SandboxLimits


def sandbox_limits(settings: Settings) -> SandboxLimits:
    """The limits that the settings name."""
    from agentui.sandbox.limits import SandboxLimits

    return SandboxLimits(
        memory_bytes=settings.memory_limit_bytes,
        cpus=settings.cpus,
        pids=settings.pids_limit,
        tmp_bytes=settings.tmp_bytes,
        open_files=settings.open_files,
    )


def jailed_sandbox(kind: str, settings: Settings, folder: Path) -> JailedSandbox:
    """Bubblewrap or Seatbelt on the copy in `folder`, not started."""
    from agentui.sandbox.bubblewrap import Bubblewrap
    from agentui.sandbox.jailed import JailedSandbox
    from agentui.sandbox.seatbelt import Seatbelt

    return JailedSandbox(folder, Seatbelt() if kind == "seatbelt" else Bubblewrap(sandbox_limits(settings)))


def probe_sandbox(settings: Settings) -> DockerSandbox | JailedSandbox | None:
    """A sandbox of the kind that the settings name, on an empty copy of its own, not started. Blocks.

    ``None`` for the kind that contains nothing. A jail's folder is the caller's to remove.

    Raises:
        SandboxUnavailable: If there is no engine.
    """
    if settings.sandbox == "none":
        return None
    if settings.sandbox in ("bubblewrap", "seatbelt"):
        folder = Path(tempfile.mkdtemp(prefix="agentui-selftest-"))
        return jailed_sandbox(settings.sandbox, settings, folder)
    from agentui.sandbox.docker import DockerSandbox

    image = tools_image(settings)
    return DockerSandbox(
        image.engine,
        image,
        f"selftest-{secrets.token_hex(6)}",
        session="selftest",
        limits=sandbox_limits(settings),
        uid=os.getuid() or 1000,
        is_throwaway=True,
    )
