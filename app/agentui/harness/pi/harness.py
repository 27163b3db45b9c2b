"""Pi as a harness: what it needs to live, and its runs."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from agentui.backends.base import Backend
from agentui.backends.fields import as_list, as_object, as_text, parse_json
from agentui.backends.gateway import Gateway, GatewaySettings
from agentui.backends.gateway_prompts import Prompt
from agentui.errors import BackendError, BackendUnavailable, HarnessError, HarnessUnavailable
from agentui.events import (
    BackendLost,
    EndReason,
    Event,
    HarnessStarted,
    Json,
    ModelFacts,
    RequestEnded,
    RequestId,
    RequestStarted,
    Usage,
    Warned,
)
from agentui.harness.base import Emit, Gate, HarnessEnd, Note, Prefix
from agentui.harness.pi.config import ENVIRONMENT, ModelOptions, write_configuration
from agentui.harness.pi.connection import PiConnection
from agentui.harness.pi.dialogues import dialogue_answer
from agentui.harness.pi.fold import PiFold
from agentui.harness.pi.install import PI_VERSION
from agentui.harness.pi.launch import PiFolders, PiPlace, PiStart
from agentui.harness.pi.records import PiRecord, UiRequest
from agentui.harness.pi.run import PiRun
from agentui.harness.pi.userconfig import Brought, bring_texts
from agentui.harness.tokens import refuse_unfit

log = logging.getLogger(__name__)

READY_S = 30.0
"""How long Pi may take until it answers; half a second on a quiet machine."""


@dataclass(frozen=True, slots=True)
class PiSettings:
    """What the user may set of Pi.

    Attributes:
        headers: Added to each request to the model server.
        system_file: Takes the place of Pi's own system prompt.
        appendix: Stands at the end of the system prompt.
        has_tools: False where there is no sandbox: then Pi can only talk.
        user_folder: The user's own agent folder, of which texts come along.
        extensions: Names of the user's extensions that may be loaded.
    """

    options: ModelOptions = field(default_factory=ModelOptions)
    api_key: str | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    system_file: Path | None = None
    appendix: str = ""
    has_tools: bool = True
    user_folder: Path | None = None
    extensions: tuple[str, ...] = ()


class PiHarness:
    """Pi behind the harness protocol. One run at a time; all on one event loop.

    Args:
        backend: Where the gateway sends Pi's requests; asked for nothing else but whether it is still there.
        session_file: A session of Pi's to go on with; passed over where it is no more.
        is_history_stale: Whether Pi summarised it after its last request.
    """

    def __init__(
        self,
        place: PiPlace,
        folders: PiFolders,
        backend: Backend,
        model: ModelFacts,
        settings: PiSettings,
        ids: Callable[[str], str],
        session_file: Path | None = None,
        is_history_stale: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._place = place
        self._folders = folders
        self._backend = backend
        self._model = model
        self._settings = settings
        self._ids = ids
        self._session_file = session_file
        self._clock = clock
        self._emit: Emit | None = None
        self._gateway: Gateway | None = None
        self._base_url = ""
        self._brought = Brought()
        self._pi: PiConnection | None = None
        self._run: PiRun | None = None
        self._model_of_pi: ModelFacts | None = None
        self._undelivered: list[Note] = []
        self._is_history_stale = is_history_stale
        self._asked_idle = ""

    @property
    def prefix(self) -> Prefix:
        """See `Harness.prefix`; Pi makes its own, the requests themselves tell it."""
        return Prefix((), self._settings.options.sampling)

    @property
    def session_file(self) -> Path | None:
        """Where Pi keeps its own record of the session."""
        return self._session_file

    # --- life --------------------------------------------------------------------------------

    async def start(self, emit: Emit) -> None:
        """See `Harness.start`."""
        self._emit = emit
        if self._gateway is None:
            await self._serve(emit)
        if not self._brought.texts and self._settings.user_folder is not None:
            await self._bring(self._settings.user_folder, emit)
        await self._launch()
        if self._place.version != PI_VERSION:
            text = f"this is Pi {self._place.version}; {PI_VERSION} is what agentui was tested with"
            emit(Warned("pi_version", text, "agentui pi install"))
        reference = str(self._session_file) if self._session_file is not None else None
        emit(HarnessStarted("pi", self._place.version, reference, self._place.kind, await self._commands()))

    async def _commands(self) -> tuple[str, ...]:
        """What of the user's own Pi is called by a slash: prompts, skills, commands of extensions."""
        if self._pi is None:
            return ()
        listed = (await self._pi.command("get_commands")).data.get("commands")
        names = (as_text(as_object(command).get("name")) for command in as_list(listed))
        return tuple(name for name in names if name)

    async def _serve(self, emit: Emit) -> None:
        for folder in (self._folders.private, self._folders.sessions, self._folders.workdir):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        facts = self._backend.facts
        gateway = Gateway(
            GatewaySettings(
                facts.base_url,
                self._settings.api_key,
                headers=self._settings.headers,
                api_path=facts.api_path,
            ),
            self._from_gateway,
            limit_tokens=lambda: self._model.loaded_context_tokens,
            on_request=self._request_sent,
            clock=self._clock,
        )
        try:
            self._base_url = await self._place.serve(gateway)
        except BaseException:
            await gateway.aclose()
            raise
        self._gateway = gateway

    async def _bring(self, source: Path, emit: Emit) -> None:
        self._brought = await asyncio.to_thread(
            bring_texts, source, self._folders.private, self._settings.extensions
        )
        if self._brought.left_out:
            listed = ", ".join(self._brought.left_out)
            emit(Warned("pi_left_out", f"of {source} did not come along: {listed}"))

    async def _launch(self) -> None:
        """Start Pi and wait until it answers."""
        await self._end_pi()
        try:
            label = write_configuration(
                self._folders.private, self._base_url, self._model, self._settings.options
            )
        except OSError as error:
            raise HarnessUnavailable(f"Pi's configuration cannot be written: {error}") from error
        environment = {
            **ENVIRONMENT,
            "PI_CODING_AGENT_DIR": self._place.seen(self._folders.private),
        }
        process = await self._place.launch(PiStart(self._arguments(label), self._folders, environment))
        pi = self._pi = PiConnection(process)
        pi.on_record = self._idle_record
        self._asked_idle = ""
        try:
            state = await asyncio.wait_for(pi.command("get_state"), READY_S)
        except TimeoutError:
            await self._end_pi()
            raise HarnessUnavailable(
                f"Pi did not answer within {READY_S:g} s: {process.last_words()}"
            ) from None
        except HarnessUnavailable as error:
            if not self._asked_idle:
                raise
            raise HarnessUnavailable(
                f"{error.message}: an extension asked “{self._asked_idle}” while Pi started, and Pi itself "
                "does not wait for answers then",
                hint="take the extension out of pi.extensions in your settings file",
            ) from error
        model = as_object(state.data.get("model"))
        if f"{model.get('provider')}/{model.get('id')}" != label:
            # Pi takes another model, one of its own, where it cannot read the file that it was given.
            await self._end_pi()
            words = process.last_words()
            raise HarnessUnavailable(
                f"Pi does not take what agentui wrote for it of {label}" + (f": {words}" if words else ""),
                hint="see what that is: agentui doctor models",
            )
        self._model_of_pi = self._model
        session = as_text(state.data.get("sessionFile"))
        if session is not None:
            self._session_file = self._folders.sessions / Path(session).name

    def _arguments(self, label: str) -> tuple[str, ...]:
        seen = self._place.seen
        settings = self._settings
        tools = ("--tools", "bash", "--no-builtin-tools") if settings.has_tools else ("--no-tools",)
        arguments = ["--mode", "rpc", "--model", label, *tools]
        arguments += ["-ne", "-e", seen(self._folders.extension)]
        for extension in self._brought.extensions:
            arguments += ["-e", seen(extension)]
        arguments += ["--no-themes", "-nc", "--no-mcp", "--no-approve", "--offline"]
        arguments += ["--session-dir", seen(self._folders.sessions)]
        if settings.options.thinking_level is not None:
            arguments += ["--thinking", settings.options.thinking_level]
        if settings.system_file is not None:
            arguments += ["--system-prompt", seen(settings.system_file)]
        if settings.appendix:
            arguments += ["--append-system-prompt", settings.appendix]
        if self._session_file is not None and self._session_file.is_file():
            arguments += ["--session", seen(self._session_file)]
        return tuple(arguments)

    async def _end_pi(self) -> None:
        pi, self._pi = self._pi, None
        if pi is not None:
            await pi.aclose()

    def _idle_record(self, record: PiRecord) -> None:
        """Outside a run nobody can be asked: questions are cancelled, so that Pi does not wait."""
        if isinstance(record, UiRequest) and record.is_dialogue and self._pi is not None:
            self._asked_idle = record.title
            self._pi.post(dialogue_answer(record, None))

    async def aclose(self) -> None:
        """See `Harness.aclose`."""
        await self._end_pi()
        gateway, self._gateway = self._gateway, None
        if gateway is not None:
            await gateway.aclose()
        await self._place.aclose()
        await asyncio.to_thread(shutil.rmtree, self._folders.private, ignore_errors=True)

    # --- runs --------------------------------------------------------------------------------

    async def run(self, task: str | None, gate: Gate, emit: Emit) -> HarnessEnd:
        """See `Harness.run`."""
        try:
            if task is not None:
                refuse_unfit(task, self._model)
        except BackendError as error:
            return HarnessEnd("limit", Usage(), error.message, error.hint)
        run = await self._new_run(gate, emit)
        try:
            end = await run.work(task)
        finally:
            self._run_over(run)
        return await self._explained(end, emit)

    async def compact(self, why: str, gate: Gate, emit: Emit) -> None:
        """See `Harness.compact`."""
        run = await self._new_run(gate, emit)
        try:
            await run.compact_alone()
        finally:
            self._run_over(run)

    async def _new_run(self, gate: Gate, emit: Emit) -> PiRun:
        """A run on a Pi that lives and has the model in use."""
        self._emit = emit
        is_gone = self._pi is None or self._pi.closed.is_set() or self._model_of_pi != self._model
        if is_gone or not await self._place.is_open():
            await self._launch()
        if self._pi is None or self._gateway is None:
            raise HarnessError("Pi was not started")
        fold = PiFold(emit, self._ids, self._clock)
        fold.is_history_stale = self._is_history_stale
        self._run = PiRun(
            self._pi,
            self._gateway,
            gate,
            emit,
            fold,
            self._ids,
            self._place.is_open,
            self._undelivered,
        )
        self._undelivered = []
        return self._run

    def _run_over(self, run: PiRun) -> None:
        self._run = None
        self._undelivered = run.undelivered
        self._is_history_stale = run.fold.is_history_stale
        if self._pi is not None:
            self._pi.on_record = self._idle_record

    async def _explained(self, end: HarnessEnd, emit: Emit) -> HarnessEnd:
        """A failure in the words of the gateway, which knows the server's; one that is gone is told as lost."""
        if end.reason != "failed":
            return end
        failure = self._gateway.failure if self._gateway is not None else None
        if failure is not None:
            is_missing = isinstance(failure, BackendUnavailable)
            reason: EndReason = "unavailable" if is_missing else "failed"
            end = replace(end, reason=reason, error=failure.message, hint=failure.hint)
        try:
            await self._backend.models()
        except BackendUnavailable as error:
            emit(BackendLost(error.message, error.hint))
            return replace(end, reason="unavailable", error=error.message, hint=error.hint)
        except BackendError as error:
            log.info("the server's models cannot be listed: %s", error.message)
        return end

    def use_model(self, model: ModelFacts) -> None:
        """See `Harness.use_model`; Pi is started anew with it before the next run, on the same session."""
        self._model = model
        if self._run is not None and self._emit is not None:
            self._emit(Warned("pi_model", "Pi uses the other model from the next task on"))

    # --- the gateway -------------------------------------------------------------------------

    def _from_gateway(self, event: Event) -> None:
        if self._emit is None:
            return
        run = self._run
        if isinstance(event, RequestStarted) and run is not None:
            run.request_started(event.request_id)
            event = replace(event, turn=run.fold.turns)
        self._emit(event)
        if isinstance(event, RequestEnded) and run is not None:
            run.request_ended(event)

    def _request_sent(self, request_id: RequestId, prompt: Prompt) -> None:
        if self._run is not None:
            self._run.fold.request_sent(_messages(prompt.body))


def _messages(body: bytes) -> Sequence[Json]:
    return [as_object(message) for message in as_list(as_object(parse_json(body)).get("messages"))]
