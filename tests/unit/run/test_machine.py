from __future__ import annotations

from agentui.events import (
    ApprovalAsked,
    ApprovalGiven,
    AskId,
    BackendRetried,
    CallId,
    CompactionEnded,
    CompactionStarted,
    Event,
    MessageId,
    ModelFacts,
    ModelLoadEnded,
    ModelLoadProgressed,
    PauseAsked,
    Paused,
    RequestEnded,
    RequestId,
    RequestStarted,
    Resumed,
    RunEnded,
    RunStarted,
    TextDelta,
    ToolEnded,
    ToolStarted,
    Usage,
    WorkspaceSeedProgressed,
)
from agentui.run.machine import Machine

RUN = RunStarted("task", ModelFacts("m"), "http://x", "/p", "loop", None)
ASKED = RequestStarted(RequestId("q"), 1, 2, 10, 5)
ANSWERED = RequestEnded(RequestId("q"), "done", "stop", Usage(), None, None, 1.0)
COMMAND = ToolStarted(CallId("c"), "bash", "ls\nx", "")


def phases(*events: Event) -> list[str]:
    machine = Machine()
    changes = [machine.observe(event) for event in events]
    return [change.phase for change in changes if change]


def test_a_plain_turn_goes_from_prompt_to_text_to_command() -> None:
    ended = ToolEnded(CallId("c"), "ok", 0, 1.0)
    assert phases(RUN, ASKED, TextDelta(MessageId("m"), "x"), ANSWERED, COMMAND, ended) == [
        "starting",
        "reading_prompt",
        "generating",
        "working",
        "running_command",
        "working",
    ]


def test_an_approval_gives_back_the_phase_it_interrupted() -> None:
    asked = ApprovalAsked(AskId("a"), "run ls?", "asked")
    given = ApprovalGiven(AskId("a"), "yes", "user")
    assert phases(RUN, COMMAND, asked, given)[-2:] == ["waiting_for_user", "running_command"]


def test_asked_for_and_reached_are_different_holds() -> None:
    machine = Machine()
    machine.observe(RUN)
    holds = [machine.observe(e) for e in (PauseAsked("user"), Paused("before_request"), Resumed(1.0))]
    assert [c.hold for c in holds if c] == ["pausing", "paused", "none"]
    machine.observe(PauseAsked("user"))
    frozen = machine.observe(Paused("during_command"))
    assert frozen is not None
    assert frozen.hold == "frozen"


def test_a_request_inside_a_compaction_stays_compacting() -> None:
    text = TextDelta(MessageId("m"), "x")
    done = CompactionEnded(1, 1, 1, 1, "s")
    assert phases(RUN, CompactionStarted("full", 9), ASKED, text, ANSWERED, done)[1:] == [
        "compacting",
        "compacting",
        "working",
    ]


def test_a_retry_says_its_delay_and_the_next_request_ends_it() -> None:
    machine = Machine()
    machine.observe(RUN)
    retrying = machine.observe(BackendRetried(1, 2.0, "cut"))
    assert retrying is not None
    assert (retrying.phase, retrying.retry_in_s) == ("retrying", 2.0)
    again = machine.observe(ASKED)
    assert again is not None
    assert (again.phase, again.retry_in_s) == ("reading_prompt", None)


def test_progress_is_in_the_detail() -> None:
    machine = Machine()
    loading = machine.observe(ModelLoadProgressed("gemma", 0.5, 3.0))
    seeding = machine.observe(WorkspaceSeedProgressed(3, 9, 10, None))
    assert loading is not None
    assert seeding is not None
    assert loading.detail == "gemma 50%"
    assert seeding.detail == "3 of 9 files"


def test_the_end_of_a_run_ends_every_hold() -> None:
    machine = Machine()
    for event in (RUN, PauseAsked("user"), Paused("before_request")):
        machine.observe(event)
    end = machine.observe(RunEnded("interrupted"))
    assert end is not None
    assert (end.phase, end.hold, end.detail) == ("interrupted", "none", "")


def test_a_hold_says_where_the_run_stands_still() -> None:
    machine = Machine()
    machine.observe(RUN)
    details = []
    for at in ("before_request", "before_command", "during_request", "during_command"):
        machine.observe(PauseAsked("user"))
        held = machine.observe(Paused(at))
        assert held is not None
        details.append(held.detail)
        machine.observe(Resumed(1.0))
    assert details == [
        "before the next request",
        "before the next command",
        "in the middle of an answer",
        "in the middle of a command",
    ]
    assert machine.phase == "starting"


def test_a_load_outside_a_run_gives_back_what_was_before() -> None:
    loads = (ModelLoadProgressed("gemma", 0.5, 3.0), ModelLoadEnded("gemma", 4096, 9.0))
    assert phases(RUN, RunEnded("done"), *loads) == ["starting", "done", "loading_model", "done"]


def test_a_command_of_the_users_beside_a_run_leaves_the_agents_state_alone() -> None:
    mine = ToolStarted(CallId("u"), "bash", "make", "", "user")
    ended = ToolEnded(CallId("u"), "ok", 0, 1.0)
    assert phases(RUN, ASKED, mine, ended) == ["starting", "reading_prompt"]
    assert phases(mine, ended) == ["running_command", "idle"]
