"""The sandbox and the private copy that a run works with: opened, built, started, or done without."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

from agentui.errors import (
    AgentuiError,
    BackendError,
    EngineUnavailable,
    SandboxError,
    SandboxUnavailable,
    WorkspaceError,
)
from agentui.events import Event, SandboxEnded, SandboxProgressed, SandboxStarted, Warned
from agentui.run.approvals import Approvals
from agentui.run.changes import Changes
from agentui.run.ports import ImagePort, RunParts, RunPolicy, StartServer, Workshop, WorkspacePort
from agentui.text import human_copy_size
from agentui.workspace.settings import SeedTooLarge

POLL_S = 2.0
"""How often a missing engine is looked for again while the user waits."""

TRY_AGAIN, TALK_ONLY = "try again", "talk only"
START = "start it"
COPY, LEAVE = "copy it", "no"


class Placement:
    """Where commands run. Interactive: waits and asks; else the first failure is raised."""

    def __init__(
        self,
        parts: RunParts,
        policy: RunPolicy,
        notice: Callable[[str], None],
        approvals: Approvals,
        emit: Callable[[Event], None],
    ) -> None:
        self._parts = parts
        self._policy = policy
        self._notice = notice
        self._approvals = approvals
        self._emit = emit

    async def find(self) -> tuple[Workshop | None, Changes | None]:
        """Where commands run, started and with its copy; ``None`` when there is none or the user talks only.

        Raises:
            SandboxError: Not interactive, and commands cannot be run safely.
            WorkspaceError: The private copy cannot be made.
        """
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
            question = f"Copy {human_copy_size(error.question.size_bytes)} for the agent?"
            if await self._approvals.ask(question, error.question.tree(), (COPY, LEAVE)) != COPY:
                raise
            workspace.agree_to_size()
            await changes.prepare()

    async def _talks_only(self, error: AgentuiError) -> bool:
        is_copy = isinstance(error, WorkspaceError)
        self._emit(Warned("no_copy" if is_copy else "no_sandbox", error.message, error.hint))
        why = "; ".join(part.rstrip(".") for part in (error.message, error.hint) if part)
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

    async def leave(self, workshop: Workshop | None, changes: Changes | None) -> None:
        """End both, copy first."""
        if changes is not None:
            await changes.aclose()
        if workshop is not None:
            await workshop.sandbox.aclose()
            self._emit(SandboxEnded("closed"))


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
