"""Finding the model server: what answers at an address, and which backend speaks with it."""

from __future__ import annotations

import json
from pathlib import Path

from agentui.backends.address import ServerAddress, parse_address
from agentui.backends.base import Backend
from agentui.backends.dialect import Dialect
from agentui.backends.failures import unreachable
from agentui.backends.fields import as_count, as_object, as_text
from agentui.backends.lmstudio.backend import LmStudioBackend
from agentui.backends.lmstudio.rest import is_greeting
from agentui.backends.native_http import NativeHttp
from agentui.backends.openai_chat import READ_TIMEOUT_S
from agentui.backends.openai_compatible import OpenAiCompatibleBackend
from agentui.config.provider import ProviderRoute
from agentui.errors import BackendError, BackendUnavailable
from agentui.paths import lmstudio_server_config

DEFAULT_PORT = 1234
_EVERYWHERE = frozenset({"", "0.0.0.0", "::", "localhost"})


async def find_server(
    url: str | None = None,
    api_key: str | None = None,
    *,
    home: Path | None = None,
    provider: ProviderRoute | None = None,
    read_timeout_s: float = READ_TIMEOUT_S,
    will_chat: bool = False,
) -> Backend:
    """Find out what answers at an address and return a connected backend for it. Starts nothing.

    Args:
        url: The address, with or without scheme or ``/v1``; ``None`` looks for LM Studio where its own settings
            say that its server is.
        api_key: Sent to this server as a bearer token where given; nothing is taken from the environment.
        home: The user's home folder, where LM Studio keeps its settings; only for `url` ``None``.
        provider: How the user's list of providers wants requests; its key and headers resolved.
        read_timeout_s: Longest silence on the wire of a chat.
        will_chat: Whether to prepare the first request already now, in a thread; else it takes a second longer.

    Raises:
        BackendUnavailable: If nothing usable answers; the message names the address and the next step.
        AuthenticationFailed: If the server wants a key, or another one.
        UsageError: If `url` is not an address.
    """
    addresses = [parse_address(url)] if url else lmstudio_addresses(home or Path.home())
    for number, address in enumerate(addresses, start=1):
        try:
            backend = await _connected(address, api_key, provider, read_timeout_s)
        except BackendUnavailable:
            if number == len(addresses):
                raise
            continue
        if will_chat:
            backend.warm_up()
        return backend
    raise AssertionError("there is always an address")


async def _connected(
    address: ServerAddress, api_key: str | None, provider: ProviderRoute | None, read_timeout_s: float
) -> LmStudioBackend | OpenAiCompatibleBackend:
    dialect = Dialect.of(provider)
    backend: LmStudioBackend | OpenAiCompatibleBackend
    if await _is_lmstudio(address):
        backend = LmStudioBackend(address, api_key, dialect=dialect, read_timeout_s=read_timeout_s)
    else:
        backend = OpenAiCompatibleBackend(
            address,
            api_key,
            dialect=dialect,
            declared_context_tokens=provider.context_tokens if provider else None,
            read_timeout_s=read_timeout_s,
        )
    try:
        await backend.connect()
    except BaseException:
        await backend.aclose()
        raise
    return backend


async def _is_lmstudio(address: ServerAddress) -> bool:
    """Ask for the greeting, without the key: it needs none, and this may be anybody."""
    http = NativeHttp(address.root, None)
    try:
        return is_greeting(await http.get("/lmstudio-greeting", timeout_s=10.0))
    except BackendUnavailable:
        raise
    except BackendError as error:
        raise unreachable(
            address.root, "something accepts connections, but does not answer like one"
        ) from error
    finally:
        await http.aclose()


def lmstudio_addresses(home: Path) -> list[ServerAddress]:
    """Where LM Studio's server may be: as its own settings say, then the default port. Reads one file."""
    default = parse_address(str(DEFAULT_PORT))
    try:
        settings = as_object(json.loads(lmstudio_server_config(home).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return [default]
    port = as_count(settings.get("port"))
    if port is None or not 0 < port < 65536:
        return [default]
    interface = as_text(settings.get("networkInterface")) or ""
    host = "127.0.0.1" if interface in _EVERYWHERE else interface
    configured = parse_address(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    return [configured] if configured == default else [configured, default]
