"""Everything that must be there before the first request: model server, model, sandbox, private copy."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from agentui.backends.base import Backend
from agentui.errors import (
    AuthenticationFailed,
    BackendError,
    BackendUnavailable,
    HarnessError,
    ModelLoadFailed,
    ModelNotFound,
)
from agentui.events import (
    BackendLost,
    Event,
    ModelFacts,
    ModelSeen,
    SandboxEnded,
    SandboxFacts,
    Warned,
)
from agentui.harness.base import Harness
from agentui.run.approvals import Approvals
from agentui.run.changes import Changes
from agentui.run.choosing import WAIT, ModelChoice
from agentui.run.loading import load_model
from agentui.run.placement import START, TRY_AGAIN, Placement
from agentui.run.ports import RunParts, RunPolicy, Workshop
from agentui.run.resumed import ResumedState
from agentui.text import human_context

log = logging.getLogger(__name__)

POLL_S = 2.0
"""How often a missing server is looked for again while the user waits."""

_T = TypeVar("_T")

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
        self._placement = Placement(parts, policy, notice, approvals, emit)
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
            workshop, changes = await self._placement.find()
            try:
                harness = await self._harness(backend, model, workshop)
            except BaseException:
                await self._placement.leave(workshop, changes)
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
