"""Every way in which the simulated LM Studio can fail, and what becomes of it."""

from __future__ import annotations

import openai
import pytest

from agentui.backends.base import (
    ChatPart,
    ChatRequest,
    FinishPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    UsagePart,
)
from agentui.backends.discover import find_server
from agentui.backends.leaks import leaked_tool_call
from agentui.backends.stall import StallLimits, watch_progress
from agentui.errors import (
    AuthenticationFailed,
    BackendError,
    BackendRefused,
    BackendStalled,
    ContextOverflow,
    ModelLoadFailed,
    ModelNotFound,
    StreamBroken,
)
from agentui.events import Stalled
from agentui.simulator.config import GEMMA_26B, SimulatorConfig
from agentui.simulator.faults import Fault
from agentui.simulator.server import start_simulator

# Imported beforehand: the limits of a stall below are shorter than the import.
assert openai.__version__

TOOL = {
    "type": "function",
    "function": {
        "name": "bash",
        "parameters": {"type": "object", "properties": {"command": {"type": "string"}}},
    },
}
# The prompt fills most of the small context, so that an empty answer to it is likely an overflow.
MESSAGES = (
    {"role": "system", "content": "You are a coding agent. " + "word " * 1300},
    {"role": "user", "content": "split report.py into modules"},
)
CONFIG = SimulatorConfig(
    unpaced=True, context_length=2048, stall_s=600, restart_s=0.1, reasoning_limit_tokens=50
)
QUICK = StallLimits(stall_s=0.5, give_up_s=1.5, generating_s=1.5)

FAILS: dict[Fault, tuple[type[BackendError], str]] = {
    Fault.UNKNOWN_MODEL: (ModelNotFound, "no such model"),
    Fault.NO_MODELS_LOADED: (ModelNotFound, "No model is loaded"),
    Fault.NO_MODELS_LOADED_TEXT: (ModelNotFound, "No model is loaded"),
    Fault.LOAD_FAILED: (ModelLoadFailed, "could not load"),
    Fault.LOW_MEMORY: (ModelLoadFailed, "not enough memory"),
    Fault.UNAUTHORIZED: (AuthenticationFailed, "token"),
    Fault.UNEXPECTED_ENDPOINT: (BackendRefused, "no such path"),
    Fault.OVERFLOW_KEEP_FIRST: (ContextOverflow, "does not fit"),
    Fault.OVERFLOW_N_KEEP: (ContextOverflow, "does not fit"),
    Fault.OVERFLOW_EVENT: (ContextOverflow, "does not fit"),
    Fault.OVERFLOW_EMPTY: (ContextOverflow, "nothing at all"),
    Fault.OVERFLOW_SHARED: (ContextOverflow, "does not fit"),
    Fault.CRASH: (BackendRefused, "crashed"),
    Fault.ERROR_DATA: (BackendRefused, "crashed"),
    Fault.ERROR_TEXT: (BackendRefused, "crashed"),
    Fault.ERROR_KEYLESS: (BackendRefused, "crashed"),
    Fault.CUT: (StreamBroken, "before it was finished"),
    Fault.RESET: (StreamBroken, "broke off"),
    Fault.STALL: (BackendStalled, "sent nothing"),
    Fault.HTTP_500: (BackendRefused, "Internal Server Error"),
    Fault.MALFORMED_JSON: (StreamBroken, "cannot be read"),
}
ANSWERS: dict[Fault, str] = {
    Fault.ENDLESS_REASONING: "length",
    Fault.TOOL_CALL_AS_TEXT: "stop",
    Fault.EMPTY_DELTAS: "tool_calls",
    Fault.NO_USAGE: "tool_calls",
    Fault.REASONING_FIELD: "tool_calls",
    Fault.INLINE_THINKING: "tool_calls",
    Fault.WRONG_CONTEXT: "tool_calls",
    Fault.BUSY: "tool_calls",
    Fault.RESTART: "tool_calls",
    Fault.SLOW_MODELS: "tool_calls",
}
FAILS_BEFORE_THE_FIRST_TOKEN = 12


async def ask(fault: Fault | None) -> tuple[list[ChatPart], BackendError | None, list[Stalled]]:
    """One watched request that meets `fault`."""
    simulator = await start_simulator(CONFIG)
    backend = await find_server(simulator.url)
    parts: list[ChatPart] = []
    stalls: list[Stalled] = []
    error: BackendError | None = None
    try:
        await backend.describe(None)
        if fault is not None:
            simulator.faults.add_next(fault)
        request = ChatRequest(GEMMA_26B, MESSAGES, (TOOL,))
        limits = QUICK if fault is Fault.STALL else StallLimits()
        watched = watch_progress(
            backend.chat(request), limits, stalls.append, lambda: backend.processing_state(GEMMA_26B)
        )
        async for part in watched:
            parts.append(part)
    except BackendError as raised:
        error = raised
    finally:
        await backend.aclose()
        await simulator.stop()
    return parts, error, stalls


def text(parts: list[ChatPart], kind: type[TextPart] | type[ThinkingPart]) -> str:
    return "".join(part.text for part in parts if isinstance(part, kind))


def test_every_fault_of_the_simulator_has_its_expectation() -> None:
    assert set(FAILS) | set(ANSWERS) == set(Fault)


@pytest.mark.parametrize("fault", FAILS, ids=[fault.value for fault in FAILS])
async def test_each_failure_ends_in_its_error_with_a_message_and_a_next_step(fault: Fault) -> None:
    expected, words = FAILS[fault]
    parts, error, _ = await ask(fault)
    assert type(error) is expected
    assert error is not None
    assert error.hint
    assert words in error.message
    assert not any(isinstance(part, FinishPart) for part in parts)
    is_early = list(FAILS).index(fault) < FAILS_BEFORE_THE_FIRST_TOKEN or fault is Fault.HTTP_500
    assert bool(parts) != is_early


@pytest.mark.parametrize("fault", ANSWERS, ids=[fault.value for fault in ANSWERS])
async def test_each_oddity_still_gives_a_whole_answer(fault: Fault) -> None:
    parts, error, _ = await ask(fault)
    assert error is None
    assert isinstance(parts[-1], FinishPart)
    assert parts[-1].reason == ANSWERS[fault]


async def test_a_stall_is_said_before_the_request_is_given_up() -> None:
    _, _, stalls = await ask(Fault.STALL)
    assert stalls[-1].what == "decode"


async def test_oddities_of_the_form_change_nothing_in_the_content() -> None:
    usual, _, _ = await ask(None)
    assert text(usual, ThinkingPart)
    for fault in (Fault.REASONING_FIELD, Fault.EMPTY_DELTAS, Fault.NO_USAGE):
        parts, _, _ = await ask(fault)
        assert text(parts, TextPart) == text(usual, TextPart)
        assert text(parts, ThinkingPart) == text(usual, ThinkingPart)
        assert any(isinstance(part, UsagePart) for part in parts) == (fault is not Fault.NO_USAGE)


async def test_inline_thoughts_end_up_as_thoughts() -> None:
    usual, _, _ = await ask(None)
    parts, _, _ = await ask(Fault.INLINE_THINKING)
    assert text(parts, ThinkingPart).strip() == text(usual, ThinkingPart).strip()
    assert text(parts, TextPart).strip() == text(usual, TextPart).strip()


async def test_a_tool_call_as_text_is_recognised_and_is_no_call() -> None:
    parts, _, _ = await ask(Fault.TOOL_CALL_AS_TEXT)
    assert not any(isinstance(part, ToolCallPart) for part in parts)
    found = leaked_tool_call(text(parts, TextPart))
    assert found is not None
    assert "bash" in found


async def test_endless_thinking_has_no_text() -> None:
    parts, _, _ = await ask(Fault.ENDLESS_REASONING)
    assert not text(parts, TextPart)
    assert text(parts, ThinkingPart)


async def test_the_server_sees_us_leave_when_a_stalled_request_is_given_up() -> None:
    simulator = await start_simulator(CONFIG)
    backend = await find_server(simulator.url)
    simulator.faults.add_next(Fault.STALL)
    request = ChatRequest(GEMMA_26B, MESSAGES, (TOOL,))
    stalls: list[Stalled] = []
    with pytest.raises(BackendStalled):
        async for _ in watch_progress(backend.chat(request), QUICK, stalls.append):
            pass
    await backend.aclose()
    await simulator.stop()
    assert simulator.truth.disconnects == 1
