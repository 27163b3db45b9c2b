from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agentui.errors import SessionBusy, UsageError
from agentui.events import (
    CheckResult,
    EndReason,
    KvSample,
    ModelFacts,
    RequestEnded,
    RequestId,
    RunEnded,
    RunStarted,
    TurnStarted,
    Usage,
)
from agentui.session.compare import Comparison, Outcome, Plan, Variant, begin, last_card, load, read_variant
from agentui.session.recorder import Recorder
from agentui.session.store import SessionStore
from agentui.session.writer import JournalWriter
from tests.unit.session.fakes import FakeTime
from tests.unit.view.scenes import GIB, memory

FAST, SLOW = Variant((("model", "fast"),)), Variant((("model", "slow"), ("context", "64k")))
PLAN = Plan("split it", "/p", (FAST, SLOW), runs=2, check="test")


class Killed(Exception):
    """Stands for a kill: nothing after it is done."""


class Machine:
    """Two models that differ in speed, memory and what their work is worth; keeps what was run."""

    def __init__(self, store: SessionStore, dies_at: int | None = None, ends: Sequence[EndReason] = ()) -> None:
        self._store = store
        self._dies_at = dies_at
        self._ends = list(ends)
        self.folders: list[Path] = []
        self.ran: list[str] = []

    async def start_run(self, variant: Variant, folder: Path) -> Outcome:
        assert not folder.exists()
        folder.mkdir()
        self.folders.append(folder)
        self.ran.append(variant.name)
        is_fast = variant is FAST or variant == FAST
        held = self._store.create(datetime(2026, 5, 4, tzinfo=UTC))
        recorder = Recorder(JournalWriter(held.journal), FakeTime().clock)
        speed = 40.0 if is_fast else 10.0
        model = ModelFacts("fast" if is_fast else "slow", quantization="Q4_K_M")
        recorder.emit(RunStarted("split it", model, "b", "/w", "loop", None))
        recorder.emit(memory(20.0 if is_fast else 50.0))
        recorder.emit(KvSample(GIB if is_fast else 3 * GIB, 4 * GIB, None, 9, "estimated"))
        for turn, prompt in enumerate((1_000, 9_000), start=1):
            recorder.emit(TurnStarted(turn))
            usage, request = Usage(prompt, 100, None, 0), RequestId(f"r{turn}")
            recorder.emit(RequestEnded(request, "done", "stop", usage, 1, 1, 2, speed / turn, 500.0))
        if len(self.ran) == self._dies_at:
            recorder.flush()
            held.close()
            raise Killed
        reason = self._ends.pop(0) if self._ends else "done"
        recorder.emit(RunEnded(reason, turns=2, wall_s=60.0 if is_fast else 240.0))
        recorder.flush()
        held.close()
        code = 0 if is_fast else 1
        check = CheckResult("test", "ok" if is_fast else "error", code, 1.0)
        return Outcome(str(held.journal), last_card(held.journal), check)


def silent(text: str) -> None:
    """Nothing is told."""


async def compared(root: Path, store: SessionStore) -> Comparison:
    comparison, goes_on = begin(root, PLAN)
    assert not goes_on
    await comparison.run(Machine(store).start_run, silent)
    return comparison


@pytest.fixture
def store(tmp_path: Path) -> SessionStore:
    return SessionStore(tmp_path / "sessions")


async def test_two_models_stand_beside_each_other_with_speed_memory_and_check(
    tmp_path: Path, store: SessionStore
) -> None:
    comparison = await compared(tmp_path / "c", store)
    fast, slow = comparison.columns()
    assert (fast.name, slow.name) == ("model=fast", "model=slow,context=64k")
    assert (fast.runs, fast.done, fast.passed, fast.checked, fast.check) == (2, 2, 2, 2, "test")
    assert (slow.passed, slow.checked) == (0, 2)
    assert (fast.minutes, slow.minutes) == (1.0, 4.0)
    assert [(depth, round(speed, 6)) for depth, speed in fast.depths] == [(4_096, 40.0), (16_384, 20.0)]
    assert [(depth, round(speed, 6)) for depth, speed in slow.depths] == [(4_096, 10.0), (16_384, 5.0)]
    assert (fast.peak_memory_bytes, slow.peak_memory_bytes) == (20 * GIB, 50 * GIB)
    assert (fast.peak_kv_bytes, slow.peak_kv_bytes) == (GIB, 3 * GIB)
    assert (fast.prompt_tokens, fast.completion_tokens) == (10_000, 200)


@pytest.mark.parametrize("dies_at", [1, 2, 3, 4])
async def test_killed_and_started_again_it_goes_on_and_gives_the_same_table(
    tmp_path: Path, store: SessionStore, dies_at: int
) -> None:
    whole = await compared(tmp_path / "whole", store)
    root = tmp_path / "killed"
    first, _ = begin(root, PLAN)
    dying = Machine(store, dies_at)
    with pytest.raises(Killed):
        await first.run(dying.start_run, silent)
    second, goes_on = begin(root, PLAN)
    assert goes_on
    assert second.folder == first.folder
    assert len(second.outcomes) == dies_at - 1
    machine = Machine(store)
    said: list[str] = []
    await second.run(machine.start_run, said.append)
    assert len(machine.ran) == 4 - (dies_at - 1)
    assert len([words for words in said if words.endswith("done before")]) == dies_at - 1
    assert second.columns() == whole.columns()
    assert not set(machine.folders) & set(dying.folders)


async def test_a_finished_plan_is_known_again_without_its_sessions_and_another_one_is_not(
    tmp_path: Path, store: SessionStore
) -> None:
    done = await compared(tmp_path / "c", store)
    shutil.rmtree(store.root)
    again, is_known = begin(tmp_path / "c", PLAN)
    assert is_known
    assert again.is_done
    assert (again.folder, again.plan, again.outcomes) == (done.folder, done.plan, done.outcomes)
    assert again.columns() == done.columns()
    for other in (
        replace(PLAN, project="/other"),
        replace(PLAN, runs=3),
        replace(PLAN, basis="another prompt"),
    ):
        assert begin(tmp_path / "c", other)[1] is False
    anew, is_known = begin(tmp_path / "c", PLAN, fresh=True)
    assert not is_known
    assert begin(tmp_path / "c", PLAN)[0].folder == anew.folder


@pytest.mark.parametrize("end", ["unavailable", "interrupted"])
async def test_a_run_that_was_stopped_is_no_result_and_all_stops_with_it(
    tmp_path: Path, store: SessionStore, end: EndReason
) -> None:
    comparison, _ = begin(tmp_path / "c", PLAN)
    machine = Machine(store, ends=["failed", end])
    stopped = await comparison.run(machine.start_run, silent)
    assert stopped is not None
    assert stopped.reason == end
    assert machine.ran == [FAST.name, SLOW.name]
    again, _ = begin(tmp_path / "c", PLAN)
    assert list(again.outcomes) == [(0, 0)]
    assert again.left_behind() == machine.folders[1:]
    assert await again.run(Machine(store).start_run, silent) is None
    assert again.is_done


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"v": 3}', b'{"v": 2, "plan": {}}', b"\xff"])
def test_a_state_that_cannot_be_read_is_passed_over(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "c" / "x"
    folder.mkdir(parents=True)
    (folder / "state.json").write_bytes(content)
    assert load(folder) is None
    assert begin(tmp_path / "c", PLAN)[1] is False


def test_a_side_is_written_as_names_and_values() -> None:
    allowed = ("model", "context")
    assert read_variant("model=a, context=64k", allowed) == Variant((("model", "a"), ("context", "64k")))
    for wrong in ("", "model", "model=", "url=http://x", "model=a,model=b", "model=a,"):
        with pytest.raises(UsageError, match="NAME=VALUE"):
            read_variant(wrong, allowed)


async def test_what_a_killed_run_left_is_known_and_nobody_else_goes_on_meanwhile(tmp_path: Path) -> None:
    machine = Machine(SessionStore(tmp_path / "sessions"), dies_at=1)
    comparison, _ = begin(tmp_path / "comparisons", PLAN)
    with comparison.held(), pytest.raises(Killed):
        await comparison.run(machine.start_run, lambda text: None)
    found, goes_on = begin(tmp_path / "comparisons", PLAN)
    assert goes_on
    assert found.left_behind() == machine.folders
    with found.held():
        other, _ = begin(tmp_path / "comparisons", PLAN)
        with pytest.raises(SessionBusy, match="another agentui"), other.held():
            pass
    with other.held():
        pass


@pytest.mark.parametrize("has_begun", [False, True])
def test_a_comparison_that_could_not_begin_leaves_nothing_behind(tmp_path: Path, has_begun: bool) -> None:
    comparison, _ = begin(tmp_path / "c", PLAN)
    if has_begun:
        (comparison.folder / "run-0-0-abcd").mkdir()
    comparison.drop_unbegun()
    assert comparison.folder.exists() is has_begun
