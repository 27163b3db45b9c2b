"""The proxy as a program of its own, for compose.yaml: arguments are its socket and what may be reached.

Prints one JSON object per decision.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import signal
import sys
from pathlib import Path

from agentui.sandbox.egress.proxy import Decision, EgressProxy
from agentui.sandbox.egress.rules import parse_target


def _tell(decision: Decision) -> None:
    sys.stdout.write(json.dumps(dataclasses.asdict(decision)) + "\n")
    sys.stdout.flush()


async def _serve(path: Path, targets: list[str]) -> None:
    proxy = EgressProxy([parse_target(text) for text in targets], _tell)
    await proxy.listen_unix(path)
    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    await stop.wait()
    await proxy.aclose()


def main(arguments: list[str]) -> str | None:
    """Serve until SIGTERM; returns what is wrong with the arguments, if anything is."""
    if not arguments:
        return "usage: python3 -m agentui.sandbox.egress SOCKET [HOST:PORT...]"
    targets = [word for argument in arguments[1:] for word in argument.replace(",", " ").split()]
    try:
        asyncio.run(_serve(Path(arguments[0]), targets))
    except ValueError as error:
        return f"one of {', '.join(targets)} {error}"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
