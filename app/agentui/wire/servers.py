"""Which model server, and which image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentui.backends.base import Backend
from agentui.config.settings import Settings

if TYPE_CHECKING:
    from agentui.sandbox.image import ToolsImage


async def find_backend(settings: Settings, *, will_chat: bool = False) -> Backend:
    """The model server that the settings name; `will_chat` prepares the first request in the background.

    Raises:
        BackendUnavailable: If nothing usable answers there.
    """
    from agentui.backends.discover import find_server

    return await find_server(settings.url, settings.api_key, will_chat=will_chat)


def tools_image(settings: Settings) -> ToolsImage:
    """The image that commands run in, on the engine of this machine. Blocks for a question to the engine.

    Raises:
        SandboxUnavailable: If there is no engine.
    """
    from agentui.sandbox.engine import find_engine
    from agentui.sandbox.image import ToolsImage

    return ToolsImage(find_engine(), settings.base_image)
