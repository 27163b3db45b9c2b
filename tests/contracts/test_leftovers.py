"""What a dead session's container stands against, until somebody removes it."""

from __future__ import annotations

import subprocess
import uuid

import pytest
from docker.types import Mount

from agentui.sandbox.docker import DockerSandbox
from agentui.sandbox.docker_labels import OWNER, owner_label
from agentui.sandbox.docker_volume import has_workspace
from agentui.sandbox.image import ToolsImage

pytestmark = pytest.mark.docker


async def test_a_copy_that_a_killed_session_still_holds_can_be_removed(tools_image: ToolsImage) -> None:
    api, workspace_id = tools_image.engine.api, f"test-{uuid.uuid4().hex[:12]}"
    sandbox = DockerSandbox(tools_image.engine, tools_image, workspace_id)
    await sandbox.open_copy()
    ended = subprocess.Popen(["true"])
    ended.wait()
    owner = f"{owner_label().partition(':')[0]}:{ended.pid}:1.0"
    mount = Mount(target="/w", source=f"agentui-{workspace_id}", type="volume", no_copy=True)
    api.create_container(
        tools_image.tag, ["true"], labels={OWNER: owner}, host_config=api.create_host_config(mounts=[mount])
    )
    await sandbox.remove_copy()
    assert not has_workspace(tools_image.engine, workspace_id)
