"""Everything that has been seen to go wrong with the server ends in a clear message and a living program."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from agentui.backends.base import Backend
from agentui.backends.stall import StallLimits
from agentui.config.settings import Settings
from agentui.events import BackendRetried, Event, ModelFacts, SandboxFacts, Stalled, Warned
from agentui.harness.loop import LoopSettings, OwnLoop
from agentui.run.ports import RunPolicy
from agentui.run.resumed import ResumedState
from agentui.run.supervisor import Supervisor
from agentui.simulator.config import GEMMA_26B, SimulatorConfig
from agentui.simulator.faults import Fault
from agentui.simulator.server import RunningSimulator, start_simulator
from agentui.wire import find_backend
from tests.fakes import FunctionSandbox, Log, PlayedBackend, run_parts

TALK = "say hello"


@dataclass(frozen=True)
class Expected:
    """How a run over one fault must end: its reason, words of the error, and what else is told."""

    reason: str
    says: str = ""
    tells: type[Event] | None = None
    warns: str = ""
    is_lasting: bool = False
    loaded: tuple[str, ...] = (GEMMA_26B,)


RECOVERS = Expected("done", tells=BackendRetried)
FINE = Expected("done")
EXPECTED: dict[Fault, Expected] = {
    Fault.UNKNOWN_MODEL: Expected("failed", "model"),
    Fault.NO_MODELS_LOADED: Expected("failed", "loaded"),
    Fault.NO_MODELS_LOADED_TEXT: Expected("failed", "loaded"),
    Fault.LOAD_FAILED: Expected("unavailable", "load", is_lasting=True, loaded=()),
    Fault.LOW_MEMORY: Expected("unavailable", "memory", is_lasting=True, loaded=()),
    Fault.UNAUTHORIZED: Expected("unavailable", "token", is_lasting=True),
    Fault.UNEXPECTED_ENDPOINT: Expected("failed", "/v1"),
    Fault.OVERFLOW_KEEP_FIRST: Expected("failed", "context"),
    Fault.OVERFLOW_N_KEEP: Expected("failed", "context"),
    Fault.OVERFLOW_EVENT: Expected("failed", "context"),
    Fault.OVERFLOW_EMPTY: RECOVERS,
    Fault.OVERFLOW_SHARED: Expected("failed", "context"),
    Fault.CRASH: RECOVERS,
    Fault.ERROR_DATA: RECOVERS,
    Fault.ERROR_TEXT: RECOVERS,
    Fault.ERROR_KEYLESS: RECOVERS,
    Fault.CUT: RECOVERS,
    Fault.RESET: RECOVERS,
    Fault.STALL: Expected("done", tells=Stalled),
    Fault.HTTP_500: RECOVERS,
    Fault.MALFORMED_JSON: RECOVERS,
    Fault.ENDLESS_REASONING: Expected("limit", "token limit"),
    Fault.TOOL_CALL_AS_TEXT: Expected("done", warns="leaked_tool_call"),
    Fault.EMPTY_DELTAS: FINE,
    Fault.NO_USAGE: FINE,
    Fault.REASONING_FIELD: FINE,
    Fault.INLINE_THINKING: FINE,
    Fault.WRONG_CONTEXT: FINE,
    Fault.BUSY: FINE,
    Fault.RESTART: FINE,
    Fault.SLOW_MODELS: FINE,
}


def test_every_fault_of_the_simulator_is_expected_here() -> None:
    assert set(EXPECTED) == set(Fault)


@asynccontextmanager
async def session(simulator: RunningSimulator, log: Log) -> AsyncIterator[Supervisor]:
    """A session as the command line makes it, over the real backend."""
    parts = run_parts(PlayedBackend([]), log, FunctionSandbox())
    limits = StallLimits(stall_s=1.0, give_up_s=2.0, generating_s=2.0, prefill_s=4.0)

    def make(
        backend: Backend, model: ModelFacts, facts: SandboxFacts | None, resumed: ResumedState | None
    ) -> OwnLoop:
        return OwnLoop(
            backend,
            model,
            "You are a test.",
            LoopSettings(stall=limits, retry_delays_s=(0.05, 0.3, 0.6)),
            parts.ids,
        )

    parts = replace(parts, find_backend=lambda: find_backend(Settings(url=simulator.url)), make_harness=make)
    supervisor = Supervisor(parts, RunPolicy(is_interactive=False, max_turns=8, model=GEMMA_26B))
    yield supervisor


@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.value)
async def test_each_error_of_the_server_ends_in_a_clear_message_and_a_living_program(
    fault: Fault, tmp_path: Path
) -> None:
    expected = EXPECTED[fault]
    once = {} if expected.is_lasting else {1: fault}
    config = replace(
        SimulatorConfig(unpaced=True, faults=once, restart_s=0.1, slow_listing_s=0.1),
        fault_every=fault if expected.is_lasting else None,
        loaded=expected.loaded,
    )
    simulator = await start_simulator(config)
    try:
        log = Log()
        async with session(simulator, log) as supervisor:
            ended = await asyncio.wait_for(supervisor.run_once(TALK), 60)
        assert ended.reason == expected.reason, (ended, log.of(Warned), log.of(BackendRetried))
        assert expected.says.lower() in (ended.error or "").lower()
        if expected.reason != "done":
            assert ended.error
        if expected.tells is not None:
            assert log.of(expected.tells)
        if expected.warns:
            assert expected.warns in [warning.code for warning in log.of(Warned)]
        again = Log()
        simulator.faults.clear()
        async with session(simulator, again) as supervisor:
            assert (await asyncio.wait_for(supervisor.run_once(TALK), 60)).reason == "done"
    finally:
        await simulator.stop()
