"""Speeds, prompts and time of a whole run, against what the simulated server knows of itself."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import pytest

from agentui import wire
from agentui.config.settings import Settings
from agentui.events import (
    Event,
    PrefixMeasured,
    Recorded,
    RequestEnded,
    RunEnded,
    RunStarted,
    TurnTimed,
)
from agentui.simulator.config import SimulatorConfig
from agentui.simulator.server import RunningSimulator
from agentui.simulator.truth import RequestRecord

_E = TypeVar("_E", bound=Event)

TASK = "split report.py into modules"


@pytest.fixture
def simulator_config() -> SimulatorConfig:
    return SimulatorConfig(speed=16)


async def recorded_run(url: str, project: Path) -> list[Recorded]:
    """A run of the own loop on a private copy, with real commands."""
    session = wire.open_session(Settings(url=url, sandbox="none", apply="never"), project=project)
    records: list[Recorded] = []
    session.recorder.subscribe(records.append)
    try:
        ended = await session.run_task(TASK)
    finally:
        await session.aclose()
    assert ended.reason == "done"
    return records


def of(records: list[Recorded], kind: type[_E]) -> list[_E]:
    return [record.event for record in records if isinstance(record.event, kind)]


def at_s(records: list[Recorded], kind: type[Event]) -> float:
    return next(record.t_s for record in records if isinstance(record.event, kind))


def spent_s(timed: TurnTimed) -> float:
    """All kinds of a turn's time together."""
    worked = timed.prefill_s + timed.decode_s + timed.commands_s + timed.checks_s
    return worked + timed.waiting_s + timed.slept_s + timed.other_s


async def test_the_accounts_of_a_run_add_up_and_agree_with_the_server(
    simulator: RunningSimulator, project: Path
) -> None:
    records = await recorded_run(simulator.url, project)
    truth = simulator.truth.requests
    last = next(index for index, record in enumerate(records) if isinstance(record.event, RunEnded))
    turns = of(records[:last], TurnTimed)  # the end is the last that is told of a run
    assert turns == of(records, TurnTimed)
    for timed in turns:
        assert spent_s(timed) == pytest.approx(timed.wall_s, abs=1e-6)
    wall_s = at_s(records, RunEnded) - at_s(records, RunStarted)
    assert sum(timed.wall_s for timed in turns) == pytest.approx(wall_s, rel=0.01)
    ended = of(records, RequestEnded)
    prefill_s = sum(timed.prefill_s for timed in turns)
    assert prefill_s == pytest.approx(sum(answer.ttft_s or 0.0 for answer in ended), rel=0.05)
    assert prefill_s > sum(record.prefill_s for record in truth)
    assert sum(timed.decode_s for timed in turns) >= sum(answer.decode_s or 0.0 for answer in ended)
    _agree(ended, of(records, PrefixMeasured), truth)


def _agree(ended: list[RequestEnded], prefixes: list[PrefixMeasured], truth: list[RequestRecord]) -> None:
    assert len(ended) == len(prefixes) == len(truth) > 3
    for answer, prefix, record in zip(ended, prefixes, truth, strict=True):
        assert answer.usage.prompt_tokens == record.prompt_tokens
        assert prefix.first_changed is None
        assert (prefix.reused_tokens or 0) + (prefix.reread_tokens or 0) == record.prompt_tokens
        # The last token of an answer, and the marks around a message, are the template's.
        assert prefix.reused_tokens == pytest.approx(record.cached_tokens, abs=16)
