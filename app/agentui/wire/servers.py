"""Which model server, and which image."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import DEVNULL
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agentui.backends.base import Backend
from agentui.config.settings import Settings
from agentui.errors import BackendUnavailable
from agentui.run.ports import StartServer

if TYPE_CHECKING:
    from agentui.sandbox.image import ToolsImage

START_S = 90.0
"""How long LM Studio's own command may take: it waits a minute for the program to wake up."""


async def find_backend(settings: Settings, *, will_chat: bool = False) -> Backend:
    """The model server that the settings name; `will_chat` prepares the first request in the background.

    Raises:
        BackendUnavailable: If nothing usable answers there.
    """
    from agentui.backends.discover import find_server

    return await find_server(settings.url, settings.api_key, provider=settings.provider, will_chat=will_chat)


def tools_image(settings: Settings) -> ToolsImage:
    """The image that commands run in, on the engine of this machine. Blocks for a question to the engine.

    Raises:
        SandboxUnavailable: If there is no engine.
    """
    from agentui.sandbox.engine import find_engine
    from agentui.sandbox.image import ToolsImage

    engine = find_engine()
    return ToolsImage(engine, settings.base_image, "research" if settings.profile == "research" else "default")


def start_server(settings: Settings, home: Path) -> StartServer | None:
    """The offer to start LM Studio where its command is installed and the address is this machine's own."""
    from agentui.backends.lmstudio.start import start_offer

    address = urlsplit(settings.url)
    if address.hostname not in ("127.0.0.1", "localhost", "::1"):
        return None
    offer = start_offer(home, address.port)
    if offer is None:
        return None
    return StartServer(offer.text, lambda: _run_to_its_end(offer.argv))


def start_engine() -> StartServer | None:
    """The offer to start a container engine that is installed, where this user can start it."""
    from agentui.sandbox.engine_start import engine_start

    offer = engine_start()
    if offer is None:
        return None
    return StartServer(offer.text, lambda: _run_to_its_end(offer.argv))


async def _run_to_its_end(argv: Sequence[str]) -> None:
    """Run the command that starts a server or an engine; what it starts outlives it, and us.

    Raises:
        BackendUnavailable: If the command cannot be run, fails, or does not end.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True
        )
        code = await asyncio.wait_for(process.wait(), START_S)
    except (OSError, TimeoutError) as error:
        raise BackendUnavailable(f"{argv[0]} did not start it: {error or 'it took too long'}") from error
    if code:
        raise BackendUnavailable(
            f"{' '.join(argv)} ended with exit code {code}", hint="start it by hand; it is looked for"
        )
