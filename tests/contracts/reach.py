"""What a container must not reach: a service of this machine, by every address that the machine has."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import psutil

ELSEWHERE = ("host.docker.internal", "gateway.docker.internal", "192.168.65.2", "1.1.1.1", "169.254.169.254")


def host_addresses() -> list[str]:
    """Of all interfaces, bridges among them, in both families."""
    return [
        address.address.partition("%")[0]
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family in (socket.AF_INET, socket.AF_INET6)
    ]


@dataclass
class Service:
    """Listens everywhere; `visitors` are the addresses that it was reached at."""

    port: int = 0
    visitors: list[str] = field(default_factory=list)

    def script(self) -> str:
        """Tries every way to it, and says which ones are open."""
        addresses = " ".join(dict.fromkeys((*host_addresses(), *ELSEWHERE)))
        return f"""
for address in {addresses}; do
    timeout 2 bash -c "exec 3<>/dev/tcp/$address/{self.port}" 2>/dev/null && echo "open $address"
    timeout 2 bash -c "echo x >/dev/udp/$address/{self.port}" 2>/dev/null && echo "sent $address"
done
"""


@contextlib.asynccontextmanager
async def service_everywhere() -> AsyncIterator[Service]:
    """A service on 0.0.0.0 and, where there is IPv6, on ::."""
    found = Service()

    def reached(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.visitors.append(str(writer.get_extra_info("sockname")))
        writer.close()

    servers = [await asyncio.start_server(reached, "0.0.0.0", 0)]
    found.port = servers[0].sockets[0].getsockname()[1]
    with contextlib.suppress(OSError):
        servers.append(await asyncio.start_server(reached, "::", found.port))
    try:
        yield found
    finally:
        for server in servers:
            server.close()
