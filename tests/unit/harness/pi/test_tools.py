"""Which tools of Pi's are shown from what Pi says of them."""

from __future__ import annotations

from agentui.events import Event, ToolEnded, ToolStarted
from agentui.harness.pi.records import ToolFinished
from agentui.harness.pi.tools import ForeignTools


def test_a_command_of_ours_that_pi_ends_after_the_run_is_not_shown_again() -> None:
    told: list[Event] = []
    tools = ForeignTools(told.append)
    tools.hand_over("c1")
    tools.close("interrupted")
    tools.finished(ToolFinished("c1", "bash", "stopped", True))
    assert told == []
    tools.finished(ToolFinished("c1", "bash", "stopped", True))
    assert [type(told[0]), type(told[-1])] == [ToolStarted, ToolEnded]
