from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.events import (
    CallId,
    Event,
    ModelFacts,
    Recorded,
    RequestEnded,
    RequestId,
    RequestStarted,
    RunEnded,
    RunId,
    RunStarted,
    Slept,
    StateChanged,
    ToolEnded,
    ToolFrozen,
    ToolStarted,
    ToolThawed,
    TurnEnded,
    TurnTimed,
    Usage,
)
from agentui.telemetry.accounts import TimeAccount

RUN = RunStarted("task", ModelFacts("m"), "lmstudio", "/", "loop", None)
ASKED = RequestStarted(RequestId("q"), 1, 2, 100, 50)
PAUSED = StateChanged("working", "paused")
GOES_ON = StateChanged("working", "none")
CALL = CallId("c")
STARTED = ToolStarted(CALL, "bash", "ls", "/")
CHECK = ToolStarted(CALL, "bash", "check test", "/", "check")
ENDED = ToolEnded(CALL, "ok", 0, 1.0)
TURN = TurnEnded(1, Usage())


def answered(ttft_s: float | None) -> RequestEnded:
    """An answer whose first token came after so many seconds."""
    return RequestEnded(RequestId("q"), "done", "stop", Usage(), ttft_s, None, 0.0)


@dataclass
class Tape:
    """Plays events at given times."""

    account: TimeAccount = field(default_factory=TimeAccount)
    closed: list[TurnTimed] = field(default_factory=list)

    def play(self, *timed: tuple[float, Event]) -> TurnTimed:
        """The last account that was closed."""
        for seq, (t_s, event) in enumerate(timed, start=1):
            found = self.account.end(t_s) if isinstance(event, RunEnded) else None
            found = found or self.account.observe(Recorded(seq, t_s, "", RunId("r"), event))
            if found is not None:
                self.closed.append(found)
        return self.closed[-1]


def test_a_turn_is_split_into_reading_writing_commands_and_checks() -> None:
    timed = Tape().play(
        (0.0, RUN),
        (1.0, ASKED),
        (11.0, answered(4.0)),
        (11.5, STARTED),
        (14.5, ENDED),
        (14.5, CHECK),
        (20.0, ENDED),
        (21.0, TURN),
    )
    assert timed == TurnTimed(1, 21.0, 4.0, 6.0, 3.0, 5.5, 0.0, 0.0, 2.5)


def test_a_pause_is_waiting_whatever_it_interrupts() -> None:
    timed = Tape().play(
        (0.0, RUN),
        (0.0, STARTED),
        (2.0, ToolFrozen(CALL)),
        (5.0, ToolThawed(CALL, 3.0)),
        (6.0, ENDED),
        (6.0, PAUSED),
        (16.0, GOES_ON),
        (16.0, TURN),
    )
    assert (timed.commands_s, timed.waiting_s, timed.wall_s) == (3.0, 13.0, 16.0)


def test_sleep_is_taken_out_of_what_it_fell_into() -> None:
    timed = Tape().play((0.0, RUN), (1.0, STARTED), (601.0, Slept(590.0)), (605.0, ENDED), (605.0, TURN))
    assert timed.slept_s == 590.0
    assert timed.commands_s == pytest.approx(14.0)


def test_a_request_without_a_token_was_all_reading() -> None:
    timed = Tape().play((0.0, RUN), (0.0, ASKED), (9.0, answered(None)), (9.0, TURN))
    assert (timed.prefill_s, timed.decode_s) == (9.0, 0.0)


def test_what_comes_after_the_last_turn_is_told_at_the_end_of_the_run() -> None:
    tape = Tape()
    last = tape.play((0.0, RUN), (3.0, TURN), (5.0, RunEnded("done")), (90.0, PAUSED))
    assert (last.turn, last.wall_s, last.other_s) == (0, 2.0, 2.0)
    assert len(tape.closed) == 2


REQUESTS = [ASKED, answered(0.5), answered(None)]
COMMANDS = [STARTED, CHECK, ENDED, ToolFrozen(CALL), ToolThawed(CALL, 1.0)]
EVENTS = st.sampled_from([*REQUESTS, *COMMANDS, PAUSED, GOES_ON, Slept(0.5), TURN])


@given(st.lists(st.tuples(st.floats(0, 100), EVENTS), max_size=40))
def test_the_kinds_of_every_turn_add_up_to_its_wall_time_and_the_turns_to_the_run(
    steps: list[tuple[float, Event]],
) -> None:
    now_s = 0.0
    timed: list[tuple[float, Event]] = [(0.0, RUN)]
    for gap_s, event in steps:
        now_s += gap_s
        timed.append((now_s, event))
    tape = Tape()
    tape.play(*timed, (now_s + 1.0, RunEnded("done")))
    for closed in tape.closed:
        kinds = (closed.prefill_s, closed.decode_s, closed.commands_s, closed.checks_s)
        others = (closed.waiting_s, closed.slept_s, closed.other_s)
        assert min(*kinds, *others) >= 0
        assert sum(kinds) + sum(others) == pytest.approx(closed.wall_s, abs=1e-6)
    assert sum(closed.wall_s for closed in tape.closed) == pytest.approx(now_s + 1.0, abs=1e-6)
