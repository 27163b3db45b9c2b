"""Everything that must be there before the first request: model server, model, sandbox, private copy."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

from agentui.backends.base import Backend
from agentui.errors import (
    AgentuiError,
    AuthenticationFailed,
    BackendError,
    BackendUnavailable,
    EngineUnavailable,
    HarnessError,
    ModelLoadFailed,
    ModelNotFound,
    SandboxError,
    SandboxUnavailable,
    WorkspaceError,
)
from agentui.events import (
    BackendLost,
    Event,
    ModelFacts,
    ModelSeen,
    SandboxEnded,
    SandboxFacts,
    SandboxProgressed,
    SandboxStarted,
    Warned,
)
from agentui.harness.base import Harness
from agentui.run.approvals import Approvals
from agentui.run.changes import Changes
from agentui.run.choosing import WAIT, ModelChoice
from agentui.run.loading import load_model
from agentui.run.ports import ImagePort, RunParts, RunPolicy, StartServer, Workshop, WorkspacePort
from agentui.run.resumed import ResumedState
from agentui.text import human_context
from agentui.workspace.settings import SeedTooLarge

log = logging.getLogger(__name__)

POLL_S = 2.0
"""How often a missing server is looked for again while the user waits."""

_T = TypeVar("_T")

TRY_AGAIN, TALK_ONLY = "try again", "talk only"
START = "start it"
COPY, LEAVE = "copy it", "no"
GO_ON = "go on"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What runs work with. `workshop` None means talk only; its sandbox and the harness are started."""

    backend: Backend
    model: ModelFacts
    workshop: Workshop | None
    changes: Changes | None
    harness: Harness

    @property
    def sandbox(self) -> SandboxFacts | None:
        """What the sandbox is."""
        return self.workshop.sandbox.facts if self.workshop else None

    async def aclose(self, emit: Callable[[Event], None]) -> None:
        """End all of them; one that cannot be closed does not keep the others."""
        sandbox = self.workshop.sandbox if self.workshop is not None else None
        for part in (self.harness, self.backend, sandbox, self.changes):
            try:
                if part is not None:
                    await part.aclose()
            except Exception:
                log.exception("not closed: %s", type(part).__name__)
        if sandbox is not None:
            emit(SandboxEnded("closed"))


class Preparation:
    """Finds and starts the parts. Interactive: waits and asks; else the first failure is raised."""

    def __init__(
        self,
        parts: RunParts,
        policy: RunPolicy,
        notice: Callable[[str], None],
        approvals: Approvals,
        emit: Callable[[Event], None],
        resumed: ResumedState | None = None,
    ) -> None:
        self._resumed = resumed
        self._parts = parts
        self._policy = policy
        self._notice = notice
        self._approvals = approvals
        self._emit = emit
        self._last_loss = ""
        self._choice = ModelChoice(parts, approvals)
        self._loading: asyncio.Task[ModelFacts] | None = None

    def stop_loading(self) -> bool:
        """Stop a load of the model; the user is then asked. False if none is going on."""
        return self._loading is not None and self._loading.cancel()

    async def prepare(self) -> Prepared:
        """Make everything ready.

        Raises:
            BackendError: Not interactive, and the server or the model is not there.
            SandboxUnavailable: Not interactive, and commands cannot be run safely.
            HarnessError: Not interactive, and what thinks cannot be started.
            WorkspaceError: The private copy cannot be made.
        """
        backend = await self._patiently(self._parts.find_backend)
        try:
            loaded = await self._patiently(lambda: self._model(backend), backend)
            # Before it is told: who hears of a model asks its server for more.
            self._parts.ready(backend, loaded)
            self._emit(ModelSeen(loaded))
            model = await self._with_room(backend, loaded)
            if model != loaded:
                self._parts.ready(backend, model)
            workshop, changes = await self._place()
            try:
                harness = await self._harness(backend, model, workshop)
            except BaseException:
                await self._leave(workshop, changes)
                raise
        except BaseException:
            await backend.aclose()
            raise
        return Prepared(backend, model, workshop, changes, harness)

    async def _harness(self, backend: Backend, model: ModelFacts, workshop: Workshop | None) -> Harness:
        """What thinks, started; where that fails the user may try again."""
        facts = workshop.sandbox.facts if workshop is not None else None
        harness = self._parts.make_harness(backend, model, facts, self._resumed)
        try:
            while True:
                try:
                    await harness.start(self._emit)
                    return harness
                except HarnessError as error:
                    if not self._policy.is_interactive:
                        raise
                    self._emit(Warned("no_harness", error.message, error.hint))
                    await self._approvals.ask("The agent did not start. Again?", error.message, (TRY_AGAIN,))
        except BaseException:
            await harness.aclose()
            raise

    async def _leave(self, workshop: Workshop | None, changes: Changes | None) -> None:
        if changes is not None:
            await changes.aclose()
        if workshop is not None:
            await workshop.sandbox.aclose()
            self._emit(SandboxEnded("closed"))

    async def _patiently(self, attempt: Callable[[], Awaitable[_T]], backend: Backend | None = None) -> _T:
        """Try until it works; the user sees why it does not yet, once per reason, and may help.

        That is to start the server, or to choose a model of `backend`.
        """
        offering: asyncio.Task[None] | None = None
        try:
            while True:
                try:
                    return await attempt()
                except BackendError as error:
                    if not self._policy.is_interactive:
                        raise
                    await self._bear(error)
                    if isinstance(error, ModelLoadFailed) and self._choice.name is not None:
                        self._choice.forget()
                        offering = None
                    if offering is None and isinstance(error, BackendUnavailable):
                        offering = asyncio.create_task(self._offer_start())
                    elif offering is None and isinstance(error, ModelNotFound) and backend is not None:
                        offering = asyncio.create_task(self._choice.ask(backend))
                await asyncio.sleep(POLL_S)
        finally:
            if offering is not None:
                offering.cancel()
                await asyncio.gather(offering, return_exceptions=True)

    async def _offer_start(self) -> None:
        """Ask once whether to start the server; it is looked for meanwhile, so it may come by itself."""
        offer = self._parts.start_server()
        if offer is None:
            return
        if await self._approvals.ask("Start the model server?", offer.text, (START, WAIT)) == START:
            try:
                await offer.start()
            except BackendError as error:
                self._emit(Warned("not_started", error.message, error.hint))

    async def _bear(self, error: BackendError) -> None:
        """Tell why it does not work yet; what would do harm when repeated by itself is asked about."""
        self._tell_loss(error)
        if isinstance(error, BackendUnavailable | ModelNotFound | AuthenticationFailed):
            return
        # Asking again by itself would load a model that does not fit every two seconds.
        await self._approvals.ask("The model is not ready. Try again?", error.message, (TRY_AGAIN,))

    def _tell_loss(self, error: BackendError) -> None:
        if error.message != self._last_loss:
            self._last_loss = error.message
            self._emit(BackendLost(error.message, error.hint))

    async def _model(self, backend: Backend) -> ModelFacts:
        name = self._choice.name or self._policy.model
        wanted = self._policy.context_tokens or self._choice.context_tokens
        try:
            facts = await backend.describe(name)
        except ModelNotFound:
            if name is None or not backend.facts.can_load:
                raise
            return await self._load(backend, name, wanted)
        is_other = wanted is not None and facts.loaded_context_tokens != wanted
        if backend.facts.can_load and (facts.loaded_context_tokens is None or is_other):
            return await self._load(backend, facts.model, wanted)
        return facts

    async def _with_room(self, backend: Backend, model: ModelFacts) -> ModelFacts:
        """Say before the first request where the context is too small for work, and reload it after a yes."""
        advice = await self._parts.advise(backend, model)
        if advice is None:
            return model
        self._emit(advice.warning)
        wider = advice.wider_tokens
        is_chosen = self._policy.context_tokens is not None
        if wider is None or is_chosen or not (self._policy.is_interactive and backend.facts.can_load):
            return model
        reload = f"reload with {human_context(wider)}"
        question = f"Only {human_context(model.loaded_context_tokens)} of context. Reload?"
        why = f"{advice.warning.text}; {human_context(wider)} fits both walls"
        if await self._approvals.ask(question, why, (reload, GO_ON)) != reload:
            return model
        try:
            wide = await self._load(backend, model.model, wider)
        except BackendError as error:
            self._emit(Warned("not_reloaded", error.message, error.hint))
            wide = await self._patiently(lambda: self._model(backend), backend)
        self._emit(ModelSeen(wide))
        return wide

    async def _load(self, backend: Backend, model: str, context_tokens: int | None) -> ModelFacts:
        """Load a model so that it can be stopped.

        Raises:
            ModelLoadFailed: The engine refused, or the user stopped it.
        """
        loading = self._loading = asyncio.create_task(load_model(backend, model, context_tokens, self._emit))
        try:
            await asyncio.wait({loading})
        finally:
            self._loading = None
            if not loading.done():
                loading.cancel()
                await asyncio.gather(loading, return_exceptions=True)
        if loading.cancelled():
            hint = "for another one start with --model NAME"
            raise ModelLoadFailed(f"loading {model} was stopped", hint=hint)
        return loading.result()

    async def _place(self) -> tuple[Workshop | None, Changes | None]:
        """Where commands run, started and with its copy; ``None`` when there is none or the user talks only."""
        while self._parts.open_workshop is not None:
            try:
                workshop = await self._opened(self._parts.open_workshop)
                if workshop is None:
                    break
                await self._built(workshop.image)
                return workshop, await self._started(workshop)
            except (SandboxError, WorkspaceError) as error:
                if not self._policy.is_interactive:
                    raise
                if await self._talks_only(error):
                    break
        return None, None

    async def _opened(self, attempt: Callable[[], Awaitable[Workshop]]) -> Workshop | None:
        """The workshop; while no engine answers the task waits for one. ``None`` if the user talks only."""
        try:
            return await attempt()
        except EngineUnavailable as error:
            if not self._policy.is_interactive:
                raise
            self._emit(Warned("no_sandbox", error.message, error.hint))
            why = f"{error.message.rstrip('.')}. {error.hint} Or go on without: the model can then only talk."
        offer, stand_in = self._parts.start_engine(), self._parts.stand_in
        final = (TALK_ONLY, None, stand_in.choice) if stand_in else (TALK_ONLY, None)
        while True:
            asking = asyncio.create_task(self._offer_engine(offer, why))
            try:
                workshop = await _engine_or_verdict(attempt, asking, final)
            finally:
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
            if workshop is not None:
                return workshop
            if stand_in and asking.result() == stand_in.choice:
                return await stand_in.open()
            if asking.result() in final:
                return None
            offer = None

    async def _offer_engine(self, offer: StartServer | None, why: str) -> str | None:
        """Ask what to do without an engine; it is looked for meanwhile, so it may come by itself."""
        stand_in = self._parts.stand_in
        others = (stand_in.choice, TALK_ONLY) if stand_in else (TALK_ONLY,)
        choices = ((START,) if offer else ()) + (TRY_AGAIN, *others)
        text = " ".join(part for part in (offer and offer.text, why, stand_in and stand_in.text) if part)
        question = "No container engine answers, so no commands. What now?"
        verdict = await self._approvals.ask(question, text, choices)
        if offer is not None and verdict == START:
            try:
                await offer.start()
            except BackendError as error:
                self._emit(Warned("not_started", error.message, error.hint))
        return verdict

    async def _started(self, workshop: Workshop) -> Changes | None:
        """Start the sandbox and make the copy; what was begun is ended where that fails."""
        changes: Changes | None = None
        if workshop.workspace is not None:
            changes = Changes(workshop.workspace, self._emit, self._parts.flush, self._notice)
        is_started = False
        try:
            if changes is not None:
                # Before the copy is mounted: two mounts of one copy at once would harm it.
                await changes.recover()
            await workshop.sandbox.start(lambda text: self._emit(SandboxProgressed(text)))
            is_started = True
            self._emit(SandboxStarted(workshop.sandbox.facts))
            if changes is not None and workshop.workspace is not None:
                await self._copied(workshop.workspace, changes)
        except BaseException:
            if changes is not None:
                await changes.aclose()
            await workshop.sandbox.aclose()
            if is_started:
                self._emit(SandboxEnded("closed"))
            raise
        return changes

    async def _copied(self, workspace: WorkspacePort, changes: Changes) -> None:
        """Make the copy; a large project only after a yes."""
        try:
            await changes.prepare()
        except SeedTooLarge as error:
            if not self._policy.is_interactive:
                raise
            question = f"Copy {error.question.size_bytes / 1e6:,.0f} MB for the agent?"
            if await self._approvals.ask(question, error.question.tree(), (COPY, LEAVE)) != COPY:
                raise
            workspace.agree_to_size()
            await changes.prepare()

    async def _talks_only(self, error: AgentuiError) -> bool:
        is_copy = isinstance(error, WorkspaceError)
        self._emit(Warned("no_copy" if is_copy else "no_sandbox", error.message, error.hint))
        why = f"{error.message} {error.hint}".strip()
        question = f"No {'private copy' if is_copy else 'sandbox'}, no commands. What now?"
        is_talk = await self._approvals.ask(question, why, (TRY_AGAIN, TALK_ONLY)) != TRY_AGAIN
        if is_talk:
            self._emit(Warned("talk_only", "talk only: the model gets no tools, it can run and change nothing"))
        return is_talk

    async def _built(self, image: ImagePort | None) -> None:
        if image is None or await image.is_built():
            return
        if not self._policy.is_interactive:
            raise SandboxUnavailable(
                "the image that commands run in is not built yet, or you have not agreed to it",
                hint=f"do it once: {image.command}",
            )
        verdict = await self._approvals.ask(image.question, image.why, ("build", "no"))
        if verdict != "build":
            raise SandboxUnavailable("the sandbox image is not built", hint=image.command)
        await image.build(lambda text: self._emit(SandboxProgressed(text)))


async def _engine_or_verdict(
    attempt: Callable[[], Awaitable[Workshop]],
    asking: asyncio.Task[str | None],
    final: Collection[str | None],
) -> Workshop | None:
    """The workshop as soon as an engine answers; ``None`` after a verdict if there still is none.

    A `final` verdict wants no engine any more.
    """
    while True:
        await asyncio.wait({asking}, timeout=POLL_S)
        if asking.done() and asking.result() in final:
            return None
        try:
            return await attempt()
        except EngineUnavailable:
            if asking.done():
                return None
