"""From the key that freezes to the closed connection of the model, as a proxy before the server sees it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from benchmarks import measure
from benchmarks.subject import AgentuiSubject, simulated_server

TOKENS = 3000
EARLY_TOKENS = 50
WAIT_S = 20.0


class Proxy:
    """Hands bytes to and fro, and notes when the client of an answer hangs up."""

    def __init__(self, url: str) -> None:
        self._host, self._port = urlsplit(url).hostname, urlsplit(url).port
        self.closed_at: float | None = None
        self.is_closed = threading.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        from_server, to_server = await asyncio.open_connection(self._host, self._port)
        back = asyncio.create_task(_pump(from_server, writer))
        is_answer = False
        try:
            while data := await reader.read(1 << 16):
                is_answer = is_answer or b"/chat/completions" in data
                to_server.write(data)
        except ConnectionError:
            pass
        if is_answer and self.closed_at is None:
            self.closed_at = time.perf_counter()
            self.is_closed.set()
        back.cancel()
        to_server.close()
        writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
        writer.close()


@contextmanager
def _listening(proxy: Proxy) -> Iterator[str]:
    """The proxy in a thread with a loop of its own; yields its address."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(proxy.handle, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)


def freeze_s(subject: AgentuiSubject) -> float:
    """Seconds from the second space, which freezes a generation, until its connection is closed."""
    with simulated_server(measure.PACE_TOK_PER_S) as upstream:
        proxy = Proxy(upstream)
        with _listening(proxy) as url, measure.running(subject, url, TOKENS) as (program, place):
            measure.wait_for_tokens(program, subject, place, EARLY_TOKENS)
            since = program.printed()
            program.write(" ")
            if program.find(["pausing"], since, WAIT_S) is None:
                raise RuntimeError("the first space did not ask for a pause")
            asked = program.write(" ")
            if not proxy.is_closed.wait(WAIT_S) or proxy.closed_at is None:
                raise RuntimeError("the connection stayed open")
            return proxy.closed_at - asked
