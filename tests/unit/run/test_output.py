from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentui.events import CallId, ToolOutput
from agentui.run.execute import model_text
from agentui.run.output import SHOWN_BYTES, OutputCollector, model_budget_bytes
from agentui.sandbox.base import CommandResult, OutputChunk
from tests.fakes import MemorySink


def collect(chunks: list[bytes], budget: int) -> tuple[OutputCollector, MemorySink, list[ToolOutput]]:
    shown: list[ToolOutput] = []
    sink = MemorySink()
    collector = OutputCollector(CallId("c"), sink, budget, shown.append)
    for chunk in chunks:
        collector.take(OutputChunk("stdout", chunk))
    return collector, sink, shown


@given(st.lists(st.binary(max_size=50), max_size=30), st.integers(20, 400))
def test_all_is_kept_on_disk_and_the_model_gets_a_bounded_part(chunks: list[bytes], budget: int) -> None:
    collector, sink, _ = collect(chunks, budget)
    whole = b"".join(chunks)
    assert bytes(sink.data) == whole
    text = collector.for_model()
    if len(whole) <= budget:
        assert text == whole.decode("utf-8", "replace")
    else:
        assert "left out" in text
        assert len(text) <= budget + 120


def test_head_and_tail_survive_with_a_note_of_what_is_missing() -> None:
    collector, _, _ = collect([b"A" * 50, b"x" * 10_000, b"Z" * 50], 100)
    text = collector.for_model()
    assert text.startswith("A" * 50)
    assert text.endswith("Z" * 50)
    assert "10,000 of 10,100 bytes left out" in text


def test_a_character_cut_between_chunks_is_shown_whole() -> None:
    data = "größe €".encode()
    _, _, shown = collect([data[i : i + 1] for i in range(len(data))], 100)
    assert "".join(event.text for event in shown) == "größe €"


def test_a_flood_stops_becoming_events_but_is_counted() -> None:
    collector, _, shown = collect([b"y\n" * 8192] * 64, 100)
    assert collector.total_bytes == 64 * 16384
    assert sum(len(event.text) for event in shown) < SHOWN_BYTES + 20_000
    assert "kept on disk" in shown[-1].text


def test_the_budget_is_a_tenth_of_the_context() -> None:
    assert model_budget_bytes(40_000) == 12_000
    assert model_budget_bytes(None) == 12_000
    assert model_budget_bytes(100) == 600


def test_the_last_line_for_the_model_says_how_the_command_ended() -> None:
    assert model_text(CommandResult("ok", 0, 1.0), "a", 5) == "a\n[exit 0]"
    assert model_text(CommandResult("timeout", 137, 5.0), "", 5) == "[killed: it ran longer than 5 s]"
    lost = CommandResult("lost", None, 1.0, message="the container is gone")
    assert model_text(lost, "", 5) == "[lost: the container is gone]"
