"""Gauges without a run: a server's own readings and the machine's, beside whoever uses the model."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from agentui.backends.base import ServerFacts
from agentui.backends.source import ModelFiles, ServerReading, ServerSource
from agentui.errors import AgentuiError, BackendError, BackendUnavailable
from agentui.events import BackendLost, Event, ModelFacts, ModelSeen, Warned
from agentui.run.observer import ServerObserver

log = logging.getLogger(__name__)

POLL_S = 0.5
DESCRIBE_S = 10.0
"""How often the server is asked again which model is loaded; LM Studio logs each such call."""
LOOK_AGAIN_S = 5.0

OpenSource: TypeAlias = Callable[[], Awaitable[ServerSource]]
Sleep: TypeAlias = Callable[[float], Awaitable[None]]


class Readings(Protocol):
    """The machine's samplers, as far as they are started and stopped from here."""

    def start(self) -> None:
        """Begin to sample."""
        ...

    async def aclose(self) -> None:
        """Stop sampling."""
        ...


def _never() -> bool:
    return False


class Watch:
    """Finds a server, follows it, and looks for it again when it is gone. Emits until it is closed.

    Args:
        open_source: Finds the server; may fail, and is called again then.
        emit: Gets the events, at once.
        readings: The samplers of the machine.
        model: Which model to describe; the loaded one if ``None``.
        is_metered: Whether the requests that run now are measured by somebody closer, such as a gateway.
        clock: Monotonic seconds.
        sleep: Waits between readings.

    Attributes:
        facts: What answers at the address; ``None`` while nothing does.
        reading: The newest reading.
        files: Where the model's shape can be read, as the server says.
        trouble: Why there is no server or no model, ``None`` when all is well.
    """

    def __init__(
        self,
        open_source: OpenSource,
        emit: Callable[[Event], None],
        readings: Readings,
        *,
        model: str | None = None,
        is_metered: Callable[[], bool] = _never,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.facts: ServerFacts | None = None
        self.reading = ServerReading()
        self.files = ModelFiles()
        self.trouble: AgentuiError | None = None
        self._open_source = open_source
        self._emit = emit
        self._readings = readings
        self._wanted = model
        self._clock = clock
        self._sleep = sleep
        self._observer = ServerObserver(emit, clock, is_metered)
        self._source: ServerSource | None = None
        self._model: ModelFacts | None = None
        self._described_s = float("-inf")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch, in the background."""
        self._readings.start()
        self._task = asyncio.create_task(self._serve(), name="watch")

    async def aclose(self) -> None:
        """Stop watching and close all connections."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._readings.aclose()
        await self._let_go()

    async def read(self) -> bool:
        """One reading of the server, which is looked for where there is none; false without a server."""
        try:
            if self._source is None:
                self._source = await self._open_source()
                self.facts = self._source.facts
            await self._describe(self._source)
            self.reading = await self._source.read()
        except AgentuiError as error:
            await self._lost(error)
            return False
        self._observer.take(self.reading)
        return True

    async def _serve(self) -> None:
        while True:
            try:
                is_there = await self.read()
            except Exception:  # the edge of a sampler: a server that surprises us must not end the gauges
                log.exception("the server could not be read")
                is_there = False
            await self._sleep(POLL_S if is_there else LOOK_AGAIN_S)

    async def _describe(self, source: ServerSource) -> None:
        """Say which model it is, whenever that has changed. Without one the server is followed all the same."""
        if self._clock() - self._described_s < (DESCRIBE_S if self.trouble is None else LOOK_AGAIN_S):
            return
        self._described_s = self._clock()
        try:
            model = await source.describe(self._wanted)
            if model == self._model and self.trouble is None:
                return
            files = await source.files()
        except BackendUnavailable:
            raise
        except BackendError as error:
            self._tell(Warned("no_model", error.message, error.hint), error)
            return
        self.files, self.trouble, self._model = files, None, model
        self._emit(ModelSeen(model))

    async def _lost(self, error: AgentuiError) -> None:
        self._tell(BackendLost(error.message, error.hint), error)
        self._observer.lost()
        self.facts, self.reading = None, ServerReading()
        self._model, self._described_s = None, float("-inf")
        await self._let_go()

    def _tell(self, event: BackendLost | Warned, error: AgentuiError) -> None:
        if self.trouble is None or self.trouble.message != error.message:
            self._emit(event)
        self.trouble = error

    async def _let_go(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            await source.aclose()
