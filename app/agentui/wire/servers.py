"""Which model server, and which container engine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agentui.backends.base import Backend
from agentui.config.settings import Settings

if TYPE_CHECKING:
    from agentui.sandbox.engine import EngineFacts


async def find_backend(settings: Settings) -> Backend:
    """The model server that the settings name.

    Raises:
        BackendUnavailable: If nothing usable answers there.
    """
    from agentui.backends.discover import find_server

    return await find_server(settings.url, settings.api_key)


async def engine_facts() -> EngineFacts:
    """The container engine.

    Raises:
        SandboxUnavailable: If there is none.
    """
    from agentui.sandbox.engine import find_engine

    return (await asyncio.to_thread(find_engine)).facts
