"""Speaking with a running Pi: commands and their answers, records as they come, and its end."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Mapping
from typing import Any

from agentui.errors import HarnessUnavailable
from agentui.harness.pi.framing import MOST_LINE_BYTES, LineSplitter, encoded
from agentui.harness.pi.launch import PiProcess
from agentui.harness.pi.records import PiRecord, Response, parse_record

log = logging.getLogger(__name__)


def _nobody(record: PiRecord) -> None:
    """Nobody listens yet."""


class PiConnection:
    """One process of Pi's. `on_record` gets everything but answers to commands, in order, on the event loop.

    `closed` is set when the process is gone; `why` then says how.
    """

    def __init__(self, process: PiProcess) -> None:
        self._process = process
        self._answers: dict[str, asyncio.Future[Response]] = {}
        self._numbers = itertools.count(1)
        self._writing = asyncio.Lock()
        self._posts: set[asyncio.Task[None]] = set()
        self.on_record: Callable[[PiRecord], None] = _nobody
        self.closed = asyncio.Event()
        self.why = ""
        self._reading = asyncio.create_task(self._read(), name="Pi's records")

    async def command(self, kind: str, **fields: Any) -> Response:
        """Send a command and wait for its answer, however long it takes.

        Raises:
            HarnessUnavailable: If Pi is gone, or goes meanwhile.
        """
        if self.closed.is_set():
            raise self.gone()
        number = f"a{next(self._numbers)}"
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        try:
            await self.send({"id": number, "type": kind, **fields})
            return await answer
        finally:
            self._answers.pop(number, None)

    async def send(self, fields: Mapping[str, Any]) -> None:
        """Send without waiting for an answer; what cannot be delivered is dropped, `closed` tells of it."""
        async with self._writing:
            try:
                await self._process.write(encoded(fields))
            except OSError as error:
                log.info("Pi takes no more: %s", error)

    def post(self, fields: Mapping[str, Any]) -> None:
        """As `send`, from where nobody can wait; given up with the connection."""
        task = asyncio.create_task(self.send(fields), name="to Pi")
        self._posts.add(task)
        task.add_done_callback(self._posts.discard)

    def gone(self) -> HarnessUnavailable:
        """The error that says how Pi ended."""
        return HarnessUnavailable(self.why or "Pi has ended", hint="the next task starts it again")

    async def aclose(self) -> None:
        """End the process; may be called twice."""
        await self._process.end()
        tasks = (self._reading, *self._posts)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._close("Pi was ended")

    async def _read(self) -> None:
        lines, dropped = LineSplitter(), 0
        try:
            while data := await self._process.read():
                for line in lines.feed(data):
                    self._take(parse_record(line))
                if lines.too_long > dropped:
                    dropped = lines.too_long
                    log.warning("a record of Pi's was over %d bytes and is passed over", MOST_LINE_BYTES)
            code = await self._process.wait()
        except OSError as error:
            self._close(f"Pi cannot be read any more: {error}")
            return
        words = self._process.last_words()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        self._close(f"Pi {how}" + (f": {words}" if words else ""))

    def _take(self, record: PiRecord) -> None:
        if isinstance(record, Response):
            answer = self._answers.get(record.id)
            if answer is not None and not answer.done():
                answer.set_result(record)
            elif not record.success:
                log.warning("Pi refused a line: %s", record.error)
            return
        try:
            self.on_record(record)
        except Exception:
            # One record that we stumble over must not make us deaf for all that follow.
            log.exception("a record of Pi's was not understood")

    def _close(self, why: str) -> None:
        if self.closed.is_set():
            return
        self.why = why
        self.closed.set()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(self.gone())


async def any_of(*events: asyncio.Event) -> None:
    """Wait until one of the events is set."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
