"""The research profile's way out: our egress proxy, and the relay that leads from the sandbox to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from agentui.sandbox.egress.proxy import EgressProxy
from agentui.sandbox.engine import Engine
from agentui.sandbox.relay import CONNECTIONS, RELAY_UID, SOCAT, SOCKET, Relay, RelayPlan, open_relay
from agentui.sandbox.settle import settled

SHIM_PORT = 3128
_PROXY = f"http://127.0.0.1:{SHIM_PORT}"
# Upper and lower case, since programs differ; plain http too, so that the proxy can say why it is refused.
PROXY_ENVIRONMENT = {
    name: _PROXY for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
}
# Listening is looked up and not tried: each connection would be one more process for a moment.
SHIM = (
    "/bin/bash",
    "-c",
    f"{SOCAT} -t 0.3 TCP-LISTEN:{SHIM_PORT},bind=127.0.0.1,fork,reuseaddr,max-children={CONNECTIONS} "
    f"UNIX-CONNECT:{SOCKET} </dev/null >/dev/null 2>&1 & "
    f"for i in {{1..200}}; do grep -q ' 0100007F:{SHIM_PORT:04X} .* 0A ' /proc/net/tcp && echo ready && exit; "
    "sleep 0.02; done",
)
SHIM_USER = f"{RELAY_UID}:{RELAY_UID}"


class WayOut:
    """Opened before the container of a research sandbox, closed after it; owns the proxy."""

    def __init__(self, proxy: EgressProxy) -> None:
        self._proxy = proxy
        self._relay: Relay | None = None
        self._reopen: Callable[[], Relay] | None = None

    @property
    def label(self) -> str:
        """For the header: what can be reached."""
        return f"research: {', '.join(map(str, self._proxy.allowed))}"

    @property
    def volume(self) -> str | None:
        """Holds the socket; ``None`` while it is closed."""
        return self._relay.volume if self._relay is not None else None

    async def open(self, engine: Engine, image: str, labels: Mapping[str, str]) -> None:
        """Start proxy and relay; a second call does nothing.

        Raises:
            SandboxUnavailable: If the engine cannot start the relay.
        """
        if self._relay is not None:
            return
        port = await self._proxy.listen_loopback()
        try:
            # A cancel waits for it: what is made after the clean-up would be left.
            await settled(asyncio.to_thread(self._open_relay, engine, RelayPlan(image, port, labels)))
        except BaseException:
            await self._proxy.aclose()
            raise

    def _open_relay(self, engine: Engine, plan: RelayPlan) -> None:
        self._reopen = lambda: open_relay(engine, plan)
        self._relay = self._reopen()

    async def mend(self, drop: Callable[[], None]) -> bool:
        """Make a relay that somebody ended anew; whether that was needed.

        `drop` removes the container that mounts the old one's volume, and blocks.

        Raises:
            SandboxUnavailable: If the engine cannot start one.
        """
        return await settled(asyncio.to_thread(self._mend, drop))

    def _mend(self, drop: Callable[[], None]) -> bool:
        relay = self._relay
        if self._reopen is None or (relay is not None and relay.is_running()):
            return False
        drop()
        self._relay = None
        if relay is not None:
            relay.close()
        self._relay = self._reopen()
        return True

    async def aclose(self) -> None:
        """End both."""
        relay, self._relay, self._reopen = self._relay, None, None
        await self._proxy.aclose()
        if relay is not None:
            await asyncio.to_thread(relay.close)
