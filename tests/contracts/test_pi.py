"""A real Pi from npm behind the harness protocol: what is its own."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from agentui.backends.models_json import ProviderModel
from agentui.control import Answer, Compact, Interrupt, Quit, Submit
from agentui.errors import HarnessUnavailable
from agentui.events import (
    ApprovalAsked,
    CompactionEnded,
    HarnessStarted,
    HistoryAppended,
    HistoryReplaced,
    ModelFacts,
    Recorded,
    RunEnded,
    RunId,
    SteerQueued,
    ToolEnded,
    ToolStarted,
    Warned,
)
from agentui.harness.pi.config import ModelOptions
from agentui.harness.pi.harness import PiHarness, PiSettings
from agentui.harness.pi.host import HostPlace
from agentui.harness.pi.install import PI_VERSION, PiInstallation
from agentui.harness.pi.launch import PiFolders
from agentui.history import fold_history
from agentui.paths import PI_EXTENSION
from agentui.run.resumed import ResumedState, Unfinished, resumed_from
from agentui.simulator.config import SimulatorConfig
from tests.contracts.pi_rig import installed_pi, pi_folder, rig
from tests.contracts.test_harness_contract import FAST, SLOW, TASK, HangsOnce, LongAnswers, ended
from tests.fakes import ATTENDED, Hang, Log, PlayedBackend
from tests.serving import assert_balanced

EXTENSION = """
export default function (pi) {
  pi.on("tool_call", async (event, ctx) => {
    const name = await ctx.ui.input("What is it called?", "a name");
    const sure = await ctx.ui.confirm("Sure?", "it is " + name);
    if (!sure) return { block: true, reason: "not sure about " + name };
  });
}
"""


@pytest.fixture(scope="session")
def installation() -> PiInstallation:
    found = installed_pi()
    if isinstance(found, str):
        pytest.skip(f"no Pi: {found}")
    return found


def running_pis() -> list[psutil.Process]:
    """The Pis that this process has started; they change their own command line."""
    return [child for child in psutil.Process().children(recursive=True) if child.name() == "pi"]


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.02)


async def test_no_command_runs_where_pi_runs(installation: PiInstallation, tmp_path: Path) -> None:
    async with rig("pi", installation, tmp_path, config=FAST) as found:
        found.supervisor.send(Submit(TASK))
        assert (await ended(found)).reason == "done"
        written = [command for command in found.sandbox.ran if "cat > " in command]
        assert written, "the task writes files, wherever it is executed"
        assert list(found.folders.workdir.iterdir()) == []
        assert not list(tmp_path.rglob("report*"))
        assert found.log.of(HarnessStarted)[0].version == PI_VERSION


async def test_a_pi_that_is_killed_ends_the_run_and_the_next_task_starts_another(
    installation: PiInstallation, tmp_path: Path
) -> None:
    hang = Hang()
    async with rig("pi", installation, tmp_path, config=FAST) as found:
        found.sandbox.hangs = HangsOnce(hang)
        found.supervisor.send(Submit(TASK))
        await asyncio.wait_for(hang.reached.wait(), 30)
        [process] = running_pis()
        process.send_signal(signal.SIGKILL)
        end = await ended(found)
        assert end.reason == "unavailable"
        assert end.error == "Pi was killed by signal 9"
        assert [e.outcome for e in found.log.of(ToolEnded)] == ["cancelled"]
        found.supervisor.send(Submit(TASK))
        assert (await ended(found, 2)).reason == "done"
    assert running_pis() == []


async def test_nothing_is_left_when_the_session_ends_in_the_middle_of_an_answer(
    installation: PiInstallation, tmp_path: Path
) -> None:
    async with rig("pi", installation, tmp_path, config=SLOW) as found:
        found.supervisor.send(Submit(TASK))
        await found.log.wait_for(HistoryAppended)
        groups = [os.getpgid(process.pid) for process in running_pis()]
        assert groups
        assert os.getpgid(0) not in groups
        found.supervisor.send(Quit())
        await until(lambda: bool(found.log.of(RunEnded)))
        await until(lambda: not running_pis())
        assert_balanced(found.log)
        assert found.log.of(RunEnded)[0].is_saved
        await until(lambda: not found.folders.private.exists())


async def test_a_session_goes_on_with_pis_own_file(installation: PiInstallation, tmp_path: Path) -> None:
    async with rig("pi", installation, tmp_path, config=FAST) as found:
        found.supervisor.send(Submit(TASK))
        assert (await ended(found)).reason == "done"
        reference = found.log.of(HarnessStarted)[0].session_ref
        assert reference is not None
        first_prompt = found.log.of(RunEnded)[0].usage.prompt_tokens
    assert Path(reference).is_file()
    assert Path(reference).parent == tmp_path / "sessions"
    assert first_prompt
    resumed = ResumedState(harness_ref=reference)
    async with rig("pi", installation, tmp_path, config=FAST, resumed=resumed) as again:
        assert again.log.of(HarnessStarted)[0].session_ref == reference
        again.supervisor.send(Submit("say hello"))
        assert (await ended(again)).reason == "done"
        text = Path(reference).read_text(encoding="utf-8")
        assert TASK in text
        assert "say hello" in text


async def test_a_summary_that_was_the_last_thing_is_in_the_history_after_the_next_start(
    installation: PiInstallation, tmp_path: Path
) -> None:
    config = SimulatorConfig(unpaced=True, context_length=32768)
    async with rig("pi", installation, tmp_path, config=config) as found:
        found.sandbox.answers = LongAnswers(60)
        found.supervisor.send(Submit(TASK))
        assert (await ended(found)).reason == "done"
        found.supervisor.send(Compact())
        await found.log.wait_for(CompactionEnded, lambda e: e.error is None)
        records = [Recorded(n, 0.0, "", RunId("r"), event) for n, event in enumerate(found.log.events)]
    state = resumed_from(records)
    async with rig("pi", installation, tmp_path, config=config, resumed=state) as again:
        again.supervisor.send(Submit("say hello"))
        assert (await ended(again)).reason == "done"
        [replaced] = again.log.of(HistoryReplaced)
        assert len(replaced.messages) < len(state.messages)
        assert replaced.messages[-1]["role"] == "user"


async def test_a_run_that_was_saved_goes_on_without_new_words_of_the_user(
    installation: PiInstallation, tmp_path: Path
) -> None:
    hang = Hang()
    async with rig("pi", installation, tmp_path, config=FAST) as found:
        found.sandbox.hangs = HangsOnce(hang)
        found.supervisor.send(Submit(TASK))
        await asyncio.wait_for(hang.reached.wait(), 30)
        found.supervisor.send(Quit())
        await until(lambda: bool(found.log.of(RunEnded)))
        reference = found.log.of(HarnessStarted)[0].session_ref
        history = tuple(fold_history(found.log.events))
    unfinished = Unfinished(TASK, is_said=True, is_held=False)
    resumed = ResumedState(messages=history, harness_ref=reference, unfinished=unfinished)
    async with rig("pi", installation, tmp_path, config=FAST, resumed=resumed) as again:
        assert (await ended(again)).reason == "done"
        assert again.sandbox.ran
        assert again.log.of(SteerQueued) == []


async def test_an_extension_that_the_user_named_asks_on_the_screen(
    installation: PiInstallation, tmp_path: Path
) -> None:
    users = tmp_path / "users-pi"
    (users / "extensions").mkdir(parents=True)
    (users / "extensions" / "asker.ts").write_text(EXTENSION)
    (users / "auth.json").write_text("{}")
    settings = PiSettings(user_folder=users, extensions=("asker",))
    async with rig("pi", installation, tmp_path, config=FAST, pi_settings=settings) as found:
        found.supervisor.send(Submit(TASK))
        name = await found.log.wait_for(ApprovalAsked)
        assert (name.kind, name.question, name.text) == ("input", "What is it called?", "a name")
        found.supervisor.send(Answer(name.ask_id, "Käse"))
        sure = await found.log.wait_for(ApprovalAsked, lambda e: e.kind == "confirm")
        assert (sure.question, sure.why) == ("Sure?", "it is Käse")
        found.supervisor.send(Answer(sure.ask_id, "no"))
        blocked = await found.log.wait_for(ToolEnded)
        assert blocked.outcome == "error"
        assert "Käse" in blocked.message
        assert found.sandbox.ran == []
        found.supervisor.send(Interrupt())
        assert (await ended(found)).reason == "interrupted"
        assert len(found.log.of(ToolStarted)) == len(found.log.of(ToolEnded))
        [left_out] = [e.text for e in found.log.of(Warned) if e.code == "pi_left_out"]
        assert "auth.json (never given away)" in left_out


async def test_an_extension_that_asks_while_pi_starts_is_named_when_that_ends_pi(
    installation: PiInstallation, tmp_path: Path
) -> None:
    users = tmp_path / "users-pi"
    (users / "extensions").mkdir(parents=True)
    early = 'pi.on("session_start", async (event, ctx) => { await ctx.ui.confirm("So early?", "yes"); });'
    (users / "extensions" / "early.ts").write_text(f"export default function (pi) {{ {early} }}\n")
    folders = PiFolders(tmp_path / "private", tmp_path / "sessions", tmp_path / "workdir", PI_EXTENSION)
    settings = PiSettings(user_folder=users, extensions=("early",))
    log, model = Log(), ModelFacts("m", "M")
    harness = PiHarness(
        HostPlace(pi_folder()), folders, PlayedBackend([]), model, settings, lambda prefix: prefix
    )
    try:
        with pytest.raises(HarnessUnavailable, match="asked “So early\\?” while Pi started"):
            await harness.start(log.emit)
    finally:
        await harness.aclose()
    assert running_pis() == []


async def test_a_pi_that_takes_another_model_than_the_one_it_was_given_is_not_used(
    installation: PiInstallation, tmp_path: Path
) -> None:
    flags = {"thinkingFormat": "of a later Pi"}
    # Pi has models of its own whose names resemble a/m.
    listed = ProviderModel("a", "m", "M", None, {"id": "m"}, flags)
    folders = PiFolders(tmp_path / "private", tmp_path / "sessions", tmp_path / "workdir", PI_EXTENSION)
    settings = PiSettings(ModelOptions(listed=listed))
    model, place = ModelFacts("m", "M"), HostPlace(pi_folder())
    harness = PiHarness(place, folders, PlayedBackend([]), model, settings, lambda prefix: prefix)
    try:
        with pytest.raises(HarnessUnavailable, match="does not take what agentui wrote for it of a/m"):
            await harness.start(Log().emit)
    finally:
        await harness.aclose()
    assert running_pis() == []


@pytest.mark.parametrize(
    ("first", "given"),
    [
        ("/review report.py", "Look at report.py with care.\n"),
        ("  two  \r\n lines\u2028 \udcff\t", None),
        ("/no-such-prompt x", "/no-such-prompt x"),
    ],
)
async def test_a_task_that_pi_words_otherwise_is_not_given_again_with_the_next(
    installation: PiInstallation, tmp_path: Path, first: str, given: str | None
) -> None:
    users = tmp_path / "users-pi"
    (users / "prompts").mkdir(parents=True)
    (users / "prompts" / "review.md").write_text("Look at $1 with care.\n")
    settings = PiSettings(user_folder=users)
    async with rig("pi", installation, tmp_path, config=FAST, pi_settings=settings) as found:
        found.supervisor.send(Submit(first))
        assert (await ended(found)).reason == "done"
        found.supervisor.send(Submit("the second"))
        assert (await ended(found, 2)).reason == "done"
        said = [e.message["content"] for e in found.log.of(HistoryAppended) if e.message["role"] == "user"]
        assert said == [said[0] if given is None else given, "the second"]


async def test_a_command_of_the_users_extension_is_done_when_it_is_done(
    installation: PiInstallation, tmp_path: Path
) -> None:
    users = tmp_path / "users-pi"
    (users / "extensions").mkdir(parents=True)
    command = 'pi.registerCommand("mark", { handler: async (args, ctx) => ctx.ui.notify("marked " + args) });'
    (users / "extensions" / "marker.ts").write_text(f"export default function (pi) {{ {command} }}\n")
    settings = PiSettings(user_folder=users, extensions=("marker",))
    async with rig("pi", installation, tmp_path, config=FAST, pi_settings=settings) as found:
        found.supervisor.send(Submit("/mark here"))
        assert found.log.of(HarnessStarted)[0].commands == ("mark",)
        end = await ended(found)
        assert (end.reason, end.error, end.turns) == ("done", None, 0)
        assert "an extension of Pi says: marked here" in [e.text for e in found.log.of(Warned)]
        found.supervisor.send(Submit("say hello"))
        assert (await ended(found, 2)).reason == "done"


async def test_without_a_sandbox_pi_can_only_talk(installation: PiInstallation, tmp_path: Path) -> None:
    settings = PiSettings(has_tools=False)
    async with rig("pi", installation, tmp_path, config=FAST, pi_settings=settings) as found:
        found.supervisor.send(Submit(TASK))
        assert (await ended(found)).reason == "done"
        assert found.sandbox.ran == []
        assert found.log.of(ToolStarted) == []


async def test_a_small_context_is_summarised_in_the_middle_of_a_run(
    installation: PiInstallation, tmp_path: Path
) -> None:
    config = SimulatorConfig(unpaced=True, context_length=16384)
    async with rig("pi", installation, tmp_path, config=config) as found:
        found.sandbox.answers = LongAnswers(150)
        found.supervisor.send(Submit(TASK))
        end = await ended(found)
        assert (end.reason, end.error) == ("done", None)
        started = [type(e).__name__ for e in found.log.events if "Compaction" in type(e).__name__]
        assert started[:2] == ["CompactionStarted", "CompactionEnded"]


async def test_a_limit_of_turns_ends_the_run_before_the_next_request(
    installation: PiInstallation, tmp_path: Path
) -> None:
    policy = replace(ATTENDED, max_turns=2)
    async with rig("pi", installation, tmp_path, config=FAST, policy=policy) as found:
        found.supervisor.send(Submit(TASK))
        end = await ended(found)
        assert (end.reason, end.turns) == ("limit", 2)
