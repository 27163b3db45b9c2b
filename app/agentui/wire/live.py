"""A session that works: recorder, supervisor, samplers, and what they are made of."""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from agentui import __version__
from agentui.backends.base import Backend, ServerModel
from agentui.config.settings import Settings
from agentui.config.trust import TrustStore
from agentui.control import Discard, Pause, Quit
from agentui.errors import AgentuiError
from agentui.events import (
    Event,
    ModelFacts,
    Recorded,
    RunEnded,
    SessionEnded,
    SessionStarted,
    StateChanged,
    Warned,
)
from agentui.paths import Places, places
from agentui.run.changes import ApplyPolicy
from agentui.run.ports import RunParts, Workshop
from agentui.run.standing import Standing
from agentui.run.supervisor import Supervisor
from agentui.session.branch import read_branch
from agentui.session.card import CardFold, tell_cards
from agentui.session.listing import Retention, keep_within
from agentui.session.parts import size_bytes
from agentui.session.recorder import NOT_WRITTEN, Recorder
from agentui.session.store import SessionFolder, SessionStore
from agentui.session.writer import JournalWriter
from agentui.telemetry.fit import ContextAdvice, ModelFit, context_advice
from agentui.telemetry.kv.locate import model_folders
from agentui.telemetry.memory.detect import memory_reader
from agentui.telemetry.memory.process import ModelProcessFinder, OwnProcess
from agentui.telemetry.sampler import Intervals, Readers, Sampler
from agentui.wire.awake import kept_awake
from agentui.wire.caches import ModelFits, loaded_cache
from agentui.wire.demo import DEMO_TASK, Demo, Scratch, start_demo
from agentui.wire.harnesses import as_before, harness_factory, typed_prompt
from agentui.wire.policy import apply_policy, run_policy
from agentui.wire.remote import Remote
from agentui.wire.resuming import Continued, reopen
from agentui.wire.servers import find_backend, start_engine, start_server
from agentui.wire.services import LiveServices
from agentui.wire.workshops import Workshops

log = logging.getLogger(__name__)

STOP_S = 15.0
"""How long a session may take to end by itself before it is cancelled."""


def new_id(prefix: str) -> str:
    """An id that is unique in a session: the prefix and 32 random bits."""
    return prefix + secrets.token_hex(4)


@dataclass(slots=True)
class Found:
    """What turned up while preparing; the screen's services and the sampler ask for it."""

    backend: Backend | None = None
    workshop: Workshop | None = None
    model: ModelFacts | None = None
    demo: Demo | None = None
    process: ModelProcessFinder | None = None
    unsubscribe: list[Callable[[], None]] = field(default_factory=list)

    def check_lines(self) -> tuple[str, ...]:
        """The checks that can be called, in words."""
        checks = self.workshop.checks if self.workshop is not None else None
        return checks.lines if checks is not None else ()


class LiveSession:
    """A session that works: recorder, supervisor and samplers. Close it with `aclose`."""

    def __init__(
        self,
        settings: Settings,
        where: Places,
        project: Path,
        is_demo: bool,
        demo_speed: float,
        accepts_changes: bool,
        is_interactive: bool,
        continued: Continued | None = None,
    ) -> None:
        self._prompt = typed_prompt(settings)  # one that cannot be read leaves nothing behind
        self._continued = continued
        kept = continued.project if continued is not None else None
        self._scratch = Scratch(where, kept) if is_demo else None
        self.project = self._scratch.project if self._scratch else project
        self._is_demo = is_demo
        self._demo_speed = demo_speed
        self._settings = settings
        self.trust = TrustStore(where.trust_file)
        self._store = SessionStore(where.sessions)
        self._folder, self.recorder = self._begin() if continued is None else self._go_on(continued)
        self._found = Found()
        self._workshops = Workshops(
            settings,
            where,
            self.project,
            self._folder.session_id,
            is_demo,
            goes_on=continued is not None,
            emit=self.recorder.emit,
        )
        always = self.trust.applies_always(self.project)
        apply: ApplyPolicy = "accept" if accepts_changes else apply_policy(settings, always)
        policy = run_policy(settings, is_demo, is_interactive, apply)
        self.supervisor = Supervisor(self._parts(where), policy)
        self._folders = model_folders(where.home)
        self._reader = memory_reader()
        self.fits = ModelFits(self._folders, self._reader)
        self._sampler = self._make_sampler()
        self._serving: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self.services = LiveServices(self)
        self._cards = continued.cards if continued is not None else CardFold()
        session_id = self._folder.session_id
        standing = continued.standing if continued is not None else Standing(session_id, str(self.project))
        self._remote = Remote(where, session_id, standing, self.supervisor.send)
        self._found.unsubscribe.append(self.recorder.subscribe(self._remote.observe))
        if is_interactive:
            self._found.unsubscribe.append(self.recorder.subscribe(self._pause_without_journal))

    def _begin(self) -> tuple[SessionFolder, Recorder]:
        folder = self._store.create(datetime.now(UTC))
        recorder = Recorder(JournalWriter(folder.journal))
        recorder.emit(
            SessionStarted(
                folder.session_id,
                str(self.project),
                __version__,
                tuple(sys.argv[1:]),
                branch=read_branch(self.project),
            )
        )
        return folder, recorder

    def _go_on(self, continued: Continued) -> tuple[SessionFolder, Recorder]:
        recorder = Recorder(continued.writer, continued=continued.last)
        if continued.warning is not None:
            recorder.emit(continued.warning)
        return continued.folder, recorder

    @property
    def journal(self) -> Path:
        """Where the session is written."""
        return self._folder.journal

    @property
    def session_folder(self) -> Path:
        """The folder that relative paths in events are relative to."""
        return self._folder.folder

    @property
    def found(self) -> Found:
        """What turned up while preparing."""
        return self._found

    def _parts(self, where: Places) -> RunParts:
        async def find() -> Backend:
            if not self._is_demo:
                return await find_backend(self._settings, will_chat=True)
            if self._found.demo is None:
                self._found.demo = await start_demo(self.project, self._demo_speed)
            own = replace(self._settings, url=self._found.demo.url, api_key=None, provider=None)
            return await find_backend(own, will_chat=True)

        async def opened(opening: Callable[[], Awaitable[Workshop]]) -> Workshop:
            self._found.workshop = await opening()
            return self._found.workshop

        stand_in = self._workshops.stand_in()

        def ready(backend: Backend, model: ModelFacts) -> None:
            self._found.backend = backend
            self._found.model = model
            port = urlsplit(backend.facts.base_url).port
            self._found.process = ModelProcessFinder(self._reader, port)

        return RunParts(
            find_backend=find,
            open_workshop=lambda: opened(self._workshops.open),
            make_harness=harness_factory(
                self._settings, self._prompt, where, self.project, self._found.check_lines, new_id
            ),
            make_sink=self._folder.new_output,
            emit=self._tell,
            flush=self.recorder.flush,
            ids=new_id,
            clock=time.monotonic,
            workdir=str(self.project),
            start_server=lambda: None if self._is_demo else start_server(self._settings, where.home),
            start_engine=lambda: None if self._is_demo else start_engine(),
            stand_in=stand_in and replace(stand_in, open=lambda: opened(stand_in.open)),
            ready=ready,
            advise=self._advise,
            usual_context=self._usual_context,
            resumed=self._continued.state if self._continued is not None else None,
            keep_awake=nullcontext if self._is_demo else kept_awake,
        )

    async def _advise(self, backend: Backend, model: ModelFacts) -> ContextAdvice | None:
        """Whether a model is loaded with too little context, and what would fit."""
        if context_advice(model, None) is None:
            return None
        fits: Mapping[str, ModelFit] = {}
        try:
            fits = await self.fits.fits([m for m in await backend.models() if m.is_loaded], backend.facts)
        except AgentuiError as error:
            log.info("what fits is not known: %s", error.message)
        fit = next((fit for key, fit in fits.items() if model.model.startswith(key)), None)
        return context_advice(model, fit)

    async def _usual_context(self, backend: Backend, model: ServerModel) -> int | None:
        """The longest usual context that fits both walls; ``None`` where that is not known."""
        if backend.facts.is_remote:
            return None
        fit = (await self.fits.fits([model], backend.facts)).get(model.key)
        return None if fit is None else fit.default_tokens

    def _make_sampler(self) -> Sampler:
        found = self._found

        async def sandbox_bytes() -> int | None:
            return await found.workshop.sandbox.memory_bytes() if found.workshop else None

        readers = Readers(
            memory=self._reader,
            own=OwnProcess().sample,
            model_process=lambda: found.process.read() if found.process else None,
            sandbox_bytes=sandbox_bytes,
            find_cache=lambda model: loaded_cache(found.backend, model, self._folders),
        )
        settings = self._settings
        intervals = Intervals(settings.memory_sample_s, settings.process_sample_s, settings.rate_sample_s)
        return Sampler(self.supervisor.observe, readers, intervals)

    def _tell(self, event: Event) -> None:
        """Record what the supervisor tells; the end of a run is the last that is told of it."""
        if isinstance(event, RunEnded):
            self._sampler.end_run()
        self.recorder.emit(event)

    def start_sampling(self) -> None:
        """Begin to read the machine; needs a running event loop."""
        self._found.unsubscribe.append(self.recorder.subscribe(self._sampler.observe))
        self._found.unsubscribe.append(tell_cards(self.recorder, self._cards))
        self._sampler.start()

    def start(self) -> None:
        """Serve tasks in the background; events tell the rest."""
        self.start_sampling()
        self._listening = asyncio.create_task(self._remote.open(), name="control socket")
        if self._continued is not None and self._continued.is_branch:
            self.supervisor.send(Discard())  # a branch begins with the host's files of now
        self._serving = asyncio.create_task(self._serve(), name="session")

    async def _serve(self) -> None:
        try:
            await self.supervisor.serve()
        except AgentuiError as error:
            self._tell_end(error.message, error.hint)
        except Exception as error:
            self._tell_end(f"the session ended: {type(error).__name__}: {error}", "see the log file")

    def _tell_end(self, text: str, hint: str) -> None:
        """Nothing works any more: say so, whatever the state was."""
        log.exception("the session ended")
        self.recorder.emit(Warned("session_ended", text, hint))
        self.recorder.emit(StateChanged("failed", "none", "the session ended"))

    def _pause_without_journal(self, recorded: Recorded) -> None:
        """A disk that is full stops the run where the user can make room; what waits is kept in memory."""
        if isinstance(recorded.event, Warned) and recorded.event.code == NOT_WRITTEN:
            self.supervisor.send(Pause())

    async def run_task(self, task: str | None) -> RunEnded:
        """Run one task to its end, without anybody to ask; without a task go on with what was stopped.

        Raises:
            UsageError: If there is nothing to go on with.
        """
        if task is None and self._is_demo and self._continued and not self._continued.state.messages:
            unfinished = self._continued.state.unfinished
            task = DEMO_TASK if unfinished is None else None  # it ended before it began
        self.start_sampling()
        await self._remote.open()
        return await self.supervisor.run_once(task)

    async def aclose(self) -> None:
        """End the run, save, and close everything; bounded in time. A second call waits for the first."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="closing the session")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self.supervisor.send(Quit())
        if self._serving is not None:
            done, _ = await asyncio.wait({self._serving}, timeout=STOP_S)
            if not done:
                log.error("the session did not end within %s s and is cancelled", STOP_S)
                self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)
        if self._listening is not None:
            await self._listening
        await self._remote.aclose()
        await self._sampler.aclose()
        for unsubscribe in self._found.unsubscribe:
            unsubscribe()
        if self._found.demo is not None:
            await self._found.demo.aclose()
        self.recorder.emit(SessionEnded("closed"))
        if self._scratch is not None:
            self._scratch.close()
        await self.recorder.aclose()
        if not size_bytes(self.journal):
            shutil.rmtree(self.session_folder, ignore_errors=True)  # the disk took nothing of it
        self._folder.close()
        kept = Retention(self._settings.keep_days, self._settings.keep_bytes)
        # This one was just worked on, however long ago it began.
        own = self._folder.session_id
        if gone := await asyncio.to_thread(keep_within, self._store, kept, but=own):
            log.info("sessions beyond the bounds of the settings were removed: %s", len(gone))


def open_session(
    settings: Settings,
    *,
    project: Path,
    demo: bool = False,
    demo_speed: float = 1.0,
    accepts_changes: bool = False,
    interactive: bool = False,
    resume: Path | None = None,
    kept: Collection[str] = (),
) -> LiveSession:
    """A session on `project`; with `demo` on a fresh scratch project with the simulated model.

    With `resume`, a journal, that session goes on, on its own project; the settings in `kept` (``harness``,
    ``pi_place``) are then as they were in it.

    The simulated model is `demo_speed` times as fast as one on an M2-class Mac. `accepts_changes` applies all
    changes when the agent has settled, whatever the settings say. Makes the session's folder at once;
    everything else starts with the first task or `start`.

    Raises:
        SessionBusy: If another agentui writes the session.
        SessionError: If the session cannot be kept, or does not open.
        UsageError: If what is to think cannot go on with it.
    """
    where = places()
    continued = reopen(where, resume) if resume is not None else None
    try:
        if continued is not None:
            project = continued.project
            settings = as_before(settings, continued.state, kept)
        return LiveSession(settings, where, project, demo, demo_speed, accepts_changes, interactive, continued)
    except BaseException:
        if continued is not None:
            continued.writer.close()
            continued.folder.close()
        raise
