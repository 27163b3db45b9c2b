"""Gauges beside whoever uses the model: a watch, its samplers, and a gateway where one is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from agentui.backends.base import Backend, ServerFacts
from agentui.backends.gateway import Gateway, GatewaySettings
from agentui.backends.source import ServerReading
from agentui.config.settings import Settings
from agentui.errors import AgentuiError
from agentui.events import ModelFacts, Recorded
from agentui.paths import places
from agentui.run.watch import POLL_S, Watch
from agentui.session.journal import Journal
from agentui.session.recorder import Recorder
from agentui.telemetry.cache import CacheModel
from agentui.telemetry.kv.locate import model_folders
from agentui.telemetry.memory.detect import memory_reader
from agentui.telemetry.memory.process import ModelProcessFinder, OwnProcess
from agentui.telemetry.sampler import Intervals, Readers, Sampler
from agentui.tui.watch_services import SlotShown
from agentui.wire.sources import cache_of, open_source


class NoJournal:
    """Watching keeps nothing."""

    def append(self, recorded: Recorded) -> None:
        """Drop a record."""

    def sync(self) -> None:
        """Nothing is to be brought to a disk."""

    def read_back(self) -> Journal:
        """Nothing was kept."""
        return Journal(())

    def close(self) -> None:
        """Nothing is open."""


class WatchSession:
    """A watch that works. Close it with `aclose`.

    Args:
        settings: Which server, which model, how often to sample.
        gateway_port: Where a gateway to the server listens, 0 for a free port; none without it.
    """

    def __init__(self, settings: Settings, gateway_port: int | None = None) -> None:
        self.recorder = Recorder(NoJournal())
        self._settings = settings
        self._backend: Backend | None = None
        self._folders = model_folders(places().home)
        self._port = urlsplit(settings.url).port
        self._wanted_gateway_port = gateway_port
        self._gateway: Gateway | None = None
        self.gateway_port: int | None = None
        self._sampler = self._make_sampler()
        self.watch = Watch(
            lambda: open_source(settings, self._found),
            self.recorder.emit,
            self._sampler,
            model=settings.model,
            is_metered=lambda: self._gateway is not None and self._gateway.generating > 0,
        )
        self._unsubscribe = self.recorder.subscribe(self._sampler.observe)

    @property
    def facts(self) -> ServerFacts | None:
        """What answers at the address; ``None`` while nothing does."""
        return self.watch.facts

    @property
    def reading(self) -> ServerReading:
        """What the server said last."""
        return self.watch.reading

    @property
    def trouble(self) -> AgentuiError | None:
        """Why there is no server or no model."""
        return self.watch.trouble

    @property
    def server_words(self) -> str:
        """What answers, and where; empty while nothing does."""
        facts = self.watch.facts
        return "" if facts is None else f"{facts.kind} {facts.version or ''}".rstrip() + f" at {facts.base_url}"

    @property
    def trouble_words(self) -> tuple[str, str] | None:
        """Why there is no server or no model, and what to do next."""
        trouble = self.watch.trouble
        return None if trouble is None else (trouble.message, trouble.hint)

    def slots(self) -> Sequence[SlotShown]:
        """The sequences of the server, as they were read last."""
        return [
            SlotShown(
                slot.slot,
                slot.is_busy,
                slot.used_tokens,
                slot.context_tokens,
                slot.cached_tokens,
                slot.read_tokens,
                slot.answer_tokens,
            )
            for slot in self.watch.reading.slots
        ]

    def subscribe(self, listener: Callable[[Recorded], None]) -> Callable[[], None]:
        """Call `listener` with every record from now on; returns the way to end that."""
        return self.recorder.subscribe(listener)

    def past(self) -> Sequence[Recorded]:
        """Nothing: who listens later sees what comes later."""
        return ()

    async def start(self) -> None:
        """Begin to watch, in the background.

        Raises:
            UsageError: If the gateway's port is taken.
        """
        await self._open_gateway()
        self.watch.start()

    async def read_once(self) -> None:
        """One reading of everything, emitted as events; two of a server at work, for its speed."""
        await self.watch.read()
        if self.reading.status in ("prefill", "generating"):
            await asyncio.sleep(POLL_S)
            await self.watch.read()
        await self._sampler.emit_kv()
        self.recorder.emit(await self._sampler.read_memory())

    def _make_sampler(self) -> Sampler:
        reader = memory_reader()
        finder = ModelProcessFinder(reader, self._port)
        readers = Readers(
            memory=reader,
            own=OwnProcess().sample,
            model_process=finder.read,
            find_cache=self._find_cache,
        )
        settings = self._settings
        intervals = Intervals(settings.memory_sample_s, settings.process_sample_s, settings.rate_sample_s)
        return Sampler(self.recorder.emit, readers, intervals)

    def _found(self, backend: Backend) -> None:
        self._backend = backend

    async def _find_cache(self, model: ModelFacts) -> CacheModel | None:
        watch = self.watch
        return await cache_of(
            self._backend, model, watch.files, self._folders, lambda: watch.reading.used_tokens
        )

    def _limit_tokens(self) -> int | None:
        model = self._sampler.meters.model
        return None if model is None else model.loaded_context_tokens

    async def _open_gateway(self) -> None:
        if self._wanted_gateway_port is None:
            return
        self._gateway = Gateway(
            GatewaySettings(
                self._settings.url,
                self._settings.api_key,
                headers=self._settings.provider.headers if self._settings.provider else (),
                paths=("/",),
            ),
            self.recorder.emit,
            limit_tokens=self._limit_tokens,
        )
        self.gateway_port = await self._gateway.listen_loopback(self._wanted_gateway_port)

    async def aclose(self) -> None:
        """End everything."""
        await self.watch.aclose()
        if self._gateway is not None:
            await self._gateway.aclose()
        self._unsubscribe()
        await self.recorder.aclose()
