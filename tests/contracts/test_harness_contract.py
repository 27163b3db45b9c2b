"""What every harness keeps, checked over the own loop and a real Pi, both on the simulated server."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from agentui.control import Answer, Compact, Interrupt, Pause, Resume, SendNow, Step, Submit
from agentui.events import (
    ApprovalAsked,
    BackendRetried,
    CompactionEnded,
    HarnessStarted,
    HistoryReplaced,
    MessageStarted,
    Paused,
    RequestEnded,
    RequestStarted,
    RunEnded,
    SteerApplied,
    TextDelta,
    ToolEnded,
    ToolOutput,
    ToolStarted,
    TurnEnded,
)
from agentui.harness.pi.install import PiInstallation
from agentui.history import fold_history
from agentui.simulator.config import SimulatorConfig
from agentui.simulator.faults import Fault
from tests.contracts.pi_rig import HarnessName, Rig, installed_pi, rig
from tests.fakes import ATTENDED, Hang
from tests.serving import assert_balanced

TASK = "split report.py into modules with PEP 585 type hints"
SLOW = SimulatorConfig(speed=2)
FAST = SimulatorConfig(unpaced=True)


@pytest.fixture(params=["loop", "pi"])
def name(request: pytest.FixtureRequest) -> HarnessName:
    found: HarnessName = request.param
    return found


@pytest.fixture(scope="session")
def pi_installation() -> PiInstallation | str:
    return installed_pi()


@pytest.fixture
def installation(name: HarnessName, pi_installation: PiInstallation | str) -> PiInstallation | None:
    if name == "loop":
        return None
    if isinstance(pi_installation, str):
        pytest.skip(f"no Pi: {pi_installation}")
    return pi_installation


async def ended(found: Rig, count: int = 1) -> RunEnded:
    async with asyncio.timeout(60):
        while len(found.log.of(RunEnded)) < count:
            await asyncio.sleep(0.02)
    assert_balanced(found.log)
    return found.log.of(RunEnded)[-1]


async def test_a_task_is_worked_on_to_its_end(
    name: HarnessName, installation: PiInstallation | None, tmp_path: Path
) -> None:
    async with rig(name, installation, tmp_path, config=FAST) as found:
        found.supervisor.send(Submit(TASK))
        end = await ended(found)
        log = found.log
        assert (end.reason, end.error) == ("done", None)
        assert end.commands == len(found.sandbox.ran) > 3
        assert end.turns == len(log.of(TurnEnded)) > 3
        assert [e.kind for e in log.of(HarnessStarted)] == [name]
        assert [e.command for e in log.of(ToolStarted)] == found.sandbox.ran
        assert log.of(ToolOutput)
        assert end.usage.prompt_tokens
        assert end.usage.completion_tokens
        # the shortest answers come in one packet, and have no speed
        assert any(e.decode_tok_per_s for e in log.of(TurnEnded))
        assert all(e.decode_s is not None for e in log.of(TurnEnded))
        history = [m["role"] for m in fold_history(log.events) if m["role"] != "system"]
        assert history[:3] == ["user", "assistant", "tool"]
        assert history[-1] == "assistant"
        assert log.of(TextDelta)


async def test_a_pause_holds_before_the_next_request_and_goes_on_from_there(
    name: HarnessName, installation: PiInstallation | None, tmp_path: Path
) -> None:
    first = Hang()
    async with rig(name, installation, tmp_path, config=FAST) as found:
        sandbox = found.sandbox
        sandbox.hangs = HangsOnce(first)
        found.supervisor.send(Submit(TASK))
        await asyncio.wait_for(first.reached.wait(), 20)
        found.supervisor.send(Pause())
        first.open.set()
        paused = await found.log.wait_for(Paused)
        assert paused.at in ("before_request", "before_command")
        asked = len(found.log.of(RequestStarted))
        await quiet(found)
        assert len(found.log.of(RequestStarted)) == asked
        found.supervisor.send(Resume())
        assert (await ended(found)).reason == "done"


async def test_a_step_goes_to_the_next_safe_point(
    name: HarnessName, installation: PiInstallation | None, tmp_path: Path
) -> None:
    async with rig(name, installation, tmp_path, config=FAST) as found:
        found.supervisor.send(Submit(TASK))
        found.supervisor.send(Pause())
        places = []
        for count in range(1, 5):
            async with asyncio.timeout(20):
                while len(found.log.of(Paused)) < count:
                    await asyncio.sleep(0.02)
            places.append(found.log.of(Paused)[-1].at)
            found.supervisor.send(Step())
        found.supervisor.send(Resume())
        assert places == ["before_request", "before_command", "before_command", "before_request"]
        assert (await ended(found)).reason == "done"


async def test_a_steer_is_in_the_very_next_request(
    name: HarnessName, installation: PiInstallation | None, tmp_path: Path
) -> None:
    first = Hang()
    async with rig(name, installation, tmp_path, config=FAST) as found:
        found.sandbox.hangs = HangsOnce(first)
        found.supervisor.send(Submit(TASK))
        await asyncio.wait_for(first.reached.wait(), 20)
        found.supervisor.send(Submit("keep the public names"))
        first.open.set()
        await found.log.wait_for(SteerApplied)
        assert (await ended(found)).reason == "done"
        applied = next(i for i, e in enumerate(found.log.events) if isinstance(e, SteerApplied))
        assert sum(isinstance(e, RequestStarted) for e in found.log.events[:applied]) == 1
        said = [m["content"] for m in fold_history(found.log.events) if m["role"] == "user"]
        assert said == [TASK, "keep the public names"]


async def test_a_queued_text_waits_until_the_agent_would_stop(
    name: HarnessName, installation: PiInstallation | None, tmp_path: Path
) -> None:
    async with rig(name, installation, tmp_path, config=FAST) as found:
        found.supervisor.send(Submit(TASK))
        await found.log.wait_for(ToolStarted)
        found.supervisor.send(Submit("and now the docs", queue=True))
        assert (await ended(found)).reason == "done"
        said = [m for m in fold_history(found.log.events) if m["role"] != "system"]
        at = next(i for i, m in enumerate(said) if m["content"] == "and now the docs")
        assert said[at - 1]["role"] == "assistant"
        assert not said[at - 1].get("tool_calls")
        assert len(found.log.of(RunEnded)) == 1


async def test_a_frozen_generation_is_cut_and_the_identical_request_follows(
    name: HarnessName, installation: PiInstallation | None, tmp_path: Path
) -> None:
    async with rig(name, installation, tmp_path, config=SLOW) as found:
        found.supervisor.send(Submit(TASK))
        await found.log.wait_for(MessageStarted, lambda e: e.role == "assistant")
        found.supervisor.send(Pause(freeze=True))
        assert (await found.log.wait_for(Paused)).at == "during_request"
        frozen = await found.log.wait_for(RequestEnded)
        assert frozen.outcome == "frozen"
        sizes = [e.body_bytes for e in found.log.of(RequestStarted)]
        found.supervisor.send(Resume())
        await found.log.wait_for(RequestEnded, lambda e: e.outcome == "done")
        again = [e.body_bytes for e in found.log.of(RequestStarted)]
        assert again[: len(sizes) + 1] == [*sizes, sizes[-1]]
        found.supervisor.send(Interrupt())
        await ended(found)
        assert found.log.of(BackendRetried) == []


async def test_an_answer_can_be_frozen_as_often_as_one_likes(
    name: HarnessName, installation: PiInstallation | None, tmp_path: Path
) -> None:
    # More often than a failing server would be asked.
    count = 8
    slow = SimulatorConfig(prefill_tok_per_s=1e6, decode_tok_per_s=8)
    async with rig(name, installation, tmp_path, config=slow) as found:
        found.supervisor.send(Submit(TASK))
        for number in range(1, count + 1):
            async with asyncio.timeout(20):
                while sum(e.role == "assistant" for e in found.log.of(MessageStarted)) < number:
                    await asyncio.sleep(0.02)
            found.supervisor.send(Pause(freeze=True))
            async with asyncio.timeout(20):
                while len(found.log.of(Paused)) < number:
                    await asyncio.sleep(0.02)
            found.supervisor.send(Resume())
        await found.log.wait_for(MessageStarted, lambda e: len(found.log.of(RequestStarted)) > count)
        sizes = [e.body_bytes for e in found.log.of(RequestStarted)]
        assert sizes == [sizes[0]] * (count + 1)
        found.supervisor.send(Interrupt())
        assert (await ended(found)).reason == "interrupted"
        assert found.log.of(BackendRetried) == []


async def test_a_steer_sent_now_cuts_the_answer_and_is_asked_with(
    name: HarnessName, installation: PiInstallation | None, tmp_path: Path
) -> None:
    async with rig(name, installation, tmp_path, config=SLOW) as found:
        found.supervisor.send(Submit(TASK))
        await found.log.wait_for(TextDelta, lambda e: e.text != TASK)
        found.supervisor.send(Submit("keep the public names"))
        found.supervisor.send(SendNow())
        await found.log.wait_for(SteerApplied)
        await found.log.wait_for(RequestEnded, lambda e: e.outcome == "done")
        said = [m["content"] for m in fold_history(found.log.events) if m["role"] == "user"]
        assert "keep the public names" in said[-1]
        found.supervisor.send(Interrupt())
        await ended(found)


async def test_an_interrupt_ends_a_generation(
    name: HarnessName, installation: PiInstallation | None, tmp_path: Path
) -> None:
    async with rig(name, installation, tmp_path, config=SLOW) as found:
        found.supervisor.send(Submit(TASK))
        await found.log.wait_for(MessageStarted, lambda e: e.role == "assistant")
        found.supervisor.send(Interrupt())
        assert (await ended(found)).reason == "interrupted"
        found.supervisor.send(Submit("say hello"))
        assert (await ended(found, 2)).reason in ("done", "interrupted")


async def test_an_interrupt_kills_a_command(
    name: HarnessName, installation: PiInstallation | None, tmp_path: Path
) -> None:
    hang = Hang()
    async with rig(name, installation, tmp_path, config=FAST) as found:
        found.sandbox.hangs = HangsOnce(hang)
        found.supervisor.send(Submit(TASK))
        await asyncio.wait_for(hang.reached.wait(), 20)
        found.supervisor.send(Interrupt())
        end = await ended(found)
        assert (end.reason, end.commands) == ("interrupted", 1)
        assert [(e.outcome, e.wall_s > 0) for e in found.log.of(ToolEnded)] == [("cancelled", True)]
        found.supervisor.send(Submit(TASK))
        assert (await ended(found, 2)).reason == "done"


async def test_commands_wait_for_an_approval_and_a_refused_one_is_answered(
    name: HarnessName, installation: PiInstallation | None, tmp_path: Path
) -> None:
    policy = replace(ATTENDED, approve="ask")
    async with rig(name, installation, tmp_path, config=FAST, policy=policy) as found:
        found.supervisor.send(Submit(TASK))
        first = await found.log.wait_for(ApprovalAsked)
        assert found.sandbox.ran == []
        found.supervisor.send(Answer(first.ask_id, "no"))
        second = await found.log.wait_for(ApprovalAsked, lambda e: e is not first)
        found.supervisor.send(Answer(second.ask_id, "always in this session"))
        assert (await ended(found)).reason == "done"
        assert found.log.of(ToolEnded)[0].outcome == "denied"
        results = [m["content"] for m in fold_history(found.log.events) if m["role"] == "tool"]
        assert results[0] == "[denied by the user]"


@pytest.mark.parametrize("fault", [Fault.HTTP_500, Fault.CUT, Fault.RESET])
async def test_a_failing_server_is_asked_again(
    name: HarnessName, installation: PiInstallation | None, tmp_path: Path, fault: Fault
) -> None:
    config = SimulatorConfig(unpaced=True, faults={1: fault})
    async with rig(name, installation, tmp_path, config=config) as found:
        found.supervisor.send(Submit(TASK))
        assert (await ended(found)).reason == "done"
        assert found.log.of(BackendRetried)
        assert found.log.of(RequestEnded)[0].outcome == "failed"


@pytest.mark.parametrize(
    ("fault", "begins"),
    [
        (Fault.NO_MODELS_LOADED, "No model is loaded at http://127.0.0.1:"),
        (Fault.OVERFLOW_EVENT, "The prompt does not fit into the loaded context: Input does not fit"),
        (Fault.OVERFLOW_EMPTY, "The server answered with nothing at all"),
    ],
)
async def test_a_server_that_does_not_answer_ends_the_run_with_its_words_and_what_to_do(
    name: HarnessName, installation: PiInstallation | None, tmp_path: Path, fault: Fault, begins: str
) -> None:
    config = SimulatorConfig(unpaced=True, fault_every=fault)
    async with rig(name, installation, tmp_path, config=config) as found:
        found.supervisor.send(Submit(TASK))
        end = await ended(found)
        assert end.reason == "failed"
        assert (end.error or "").startswith(begins)
        assert end.hint


async def test_the_conversation_can_be_summarised_between_runs(
    name: HarnessName, installation: PiInstallation | None, tmp_path: Path
) -> None:
    config = SimulatorConfig(unpaced=True, context_length=32768)
    async with rig(name, installation, tmp_path, config=config) as found:
        found.sandbox.answers = LongAnswers(60)
        found.supervisor.send(Submit(TASK))
        assert (await ended(found)).reason == "done"
        assert found.log.of(CompactionEnded) == []
        found.simulator.faults.add_next(Fault.HTTP_500)
        found.supervisor.send(Compact())
        summed = await found.log.wait_for(CompactionEnded, lambda e: e.error is None)
        assert summed.summary
        assert [e.attempt for e in found.log.of(BackendRetried)] == [1]
        found.supervisor.send(Submit("say hello"))
        assert (await ended(found, 2)).reason == "done"
        [replaced] = found.log.of(HistoryReplaced)
        kept = [m for m in replaced.messages if m["role"] == "tool"]
        assert len(kept) < found.log.of(RunEnded)[0].commands


class LongAnswers(dict[str, tuple[int, bytes]]):
    """Every command says a lot."""

    def __init__(self, lines: int) -> None:
        super().__init__()
        self._lines = lines

    def get(  # type: ignore[override]
        self, key: str, default: tuple[int, bytes] | None = None
    ) -> tuple[int, bytes]:
        return 0, b"a line of output that fills the context\n" * self._lines


class HangsOnce(dict[str, Hang]):
    """The first command hangs, whatever it is."""

    def __init__(self, hang: Hang) -> None:
        super().__init__()
        self._hang: Hang | None = hang

    def get(self, key: str, default: Hang | None = None) -> Hang | None:  # type: ignore[override]
        hang, self._hang = self._hang, None
        return hang


async def quiet(found: Rig) -> None:
    """Give whatever would go on by mistake the time to do so."""
    for _ in range(20):
        await asyncio.sleep(0.01)
    assert found.log.of(RunEnded) == []
