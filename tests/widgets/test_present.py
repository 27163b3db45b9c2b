from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agentui.events import (
    CallId,
    ContextMeasured,
    EgressDecided,
    ForecastMade,
    KvSample,
    MemorySample,
    MessageEnded,
    MessageId,
    ModelSeen,
    ProcessSample,
    RateSample,
    RunEnded,
    RunStarted,
    SandboxFacts,
    SandboxStarted,
    SessionStarted,
    StateChanged,
    ToolCallDelta,
    ToolEnded,
    ToolOutput,
    ToolStarted,
)
from agentui.tui import present_bars as bars
from agentui.tui import present_gauges as figures
from agentui.tui.attention import desktop_notification
from agentui.tui.choices import context_choices, reload_cost
from agentui.tui.present_transcript import entry_of, tool_result, tool_row
from agentui.view.fold import View
from agentui_widgets.gauges import LegendRow, TextRow
from agentui_widgets.line_bar import fit
from tests.unit.view.scenes import MODEL, SANDBOX, Tape, kv, memory, whole_run


def view_of(tape: Tape) -> View:
    view = View()
    view.apply_all(tape.records)
    return view


def words(rows: list[object]) -> str:
    out: list[str] = []
    for row in rows:
        if isinstance(row, TextRow):
            out += [row.label, *(fact.text for fact in row.facts)]
        elif isinstance(row, LegendRow):
            out += [part.text for part in row.parts]
    return " ".join(out)


def test_unknown_is_a_question_mark_and_never_a_zero() -> None:
    view = View()
    shown = words([*figures.rows_above(view.gauges), *figures.rows_below(view.gauges)])
    assert shown.count("?") >= 5
    assert "0" not in shown
    left, _ = figures.gauge_line(view.gauges)
    assert left[0].text == "mem ?/? GiB"


def test_estimates_wear_a_tilde_and_measurements_do_not() -> None:
    tape = Tape()
    tape.add(memory(), kv(12_000), ContextMeasured(12_400, 65_536, "estimated"))
    tape.add(RateSample(42.3, None, None, None, "measured"))
    gauges = view_of(tape).gauges
    shown = words([*figures.rows_above(gauges), *figures.rows_below(gauges)])
    assert "44.1 of 64.0 GiB" in shown
    assert "~44.1" not in shown
    assert "~kv 1.5" in shown
    assert "~0.42 of 1.50 GiB filled" in shown
    assert "~12.4k / 64k" in shown
    assert "decode 42.3" in shown
    tape.add(replace(kv(12_000), source="measured"))
    assert "~0.42" not in words(list(figures.rows_above(view_of(tape).gauges)))


def test_a_sampler_that_failed_says_why() -> None:
    tape = Tape()
    tape.add(KvSample(None, None, None, None, "estimated", error="no \x1b[1mshape"))
    assert "KV ? no shape" in words(list(figures.rows_above(view_of(tape).gauges)))


def test_the_bar_never_adds_up_to_more_than_was_used() -> None:
    tape = Tape()
    tape.add(memory(), kv(12_000))
    row = figures.rows_above(view_of(tape).gauges)[2]
    assert isinstance(row, LegendRow)
    assert abs(sum(part.ratio for part in row.parts) - 44.1 / 64) < 0.001


def test_a_small_owner_is_told_in_a_unit_of_its_size() -> None:
    tape = Tape()
    tape.add(replace(memory(), sandbox_bytes=21 << 20))
    assert "sandbox 21 MiB" in words(list(figures.rows_above(view_of(tape).gauges)))


def test_a_near_limit_is_a_warning() -> None:
    tape = Tape()
    tape.add(ForecastMade("context", 2.0, None, "x"), ForecastMade("memory", None, 4.0, "x"))
    facts = figures.forecast_facts(view_of(tape).gauges)
    assert [(fact.text, fact.tone) for fact in facts] == [
        ("~context full in 2 turns", "warning"),
        ("~wall in 4 min 00 s", "warning"),
    ]


LONG = "mkdir -p a/very/long/path/to/some/folder && cp -r other/files/into/it . && echo done"


def header_texts(
    width: int, *more: StateChanged, kind: str = "docker", label: str = "docker, no network"
) -> str:
    """The header of a run with a simulated model, in as many cells."""
    tape = Tape()
    tape.add(SessionStarted("s1", "/home/x/shop", "0.1", branch="main"))
    model = replace(MODEL, is_simulated=True)
    sandbox = replace(SANDBOX, kind=kind, label=label, is_isolated=kind == "docker")
    tape.add(RunStarted("t", model, "u", "/w", "loop", sandbox), *more)
    left, right = fit(*bars.header(view_of(tape), read_only=False), width - 2)
    return "  ".join(fact.text for fact in [*left, *right])


@pytest.mark.parametrize(
    "state", [StateChanged("running_command", "none", LONG), StateChanged("failed", "none", LONG)]
)
def test_however_long_the_state_is_the_header_keeps_project_model_and_context(state: StateChanged) -> None:
    for width in (90, 110, 160):
        shown = header_texts(width, state)
        assert "shop (main)" in shown
        assert MODEL.model in shown
        assert "ctx" in shown
        assert len(shown) <= width - 2
    assert "mkdir -p" in header_texts(160, state)


@pytest.mark.parametrize("width", [30, 40, 60, 80])
@pytest.mark.parametrize(
    ("kind", "label"),
    [("docker", "docker, no network"), ("scripted", "scripted: only the demo's own commands")],
)
def test_the_sandbox_and_the_simulated_label_are_the_last_to_go(width: int, kind: str, label: str) -> None:
    shown = header_texts(width, StateChanged("running_command", "none", LONG), kind=kind, label=label)
    assert "simulated" in shown
    assert kind in shown


def test_a_narrow_header_names_the_model_and_the_sandboxs_kind_rather_than_all_of_its_label() -> None:
    shown = header_texts(
        80, StateChanged("generating", "none"), kind="scripted", label="scripted: a long explanation"
    )
    assert MODEL.model in shown
    assert "simulated  scripted  " in shown


def test_the_header_is_red_where_something_is_not_as_it_should_be() -> None:
    tape = Tape()
    tape.add(ModelSeen(replace(MODEL, loaded_context_tokens=8192, is_remote=True, is_simulated=True)))
    tape.add(SandboxStarted(SandboxFacts("none", "no sandbox", is_isolated=False)))
    left, right = bars.header(view_of(tape), read_only=False)
    tones = {fact.text: fact.tone for fact in left}
    assert tones["ctx 8k, asked 64k"] == tones["remote model"] == tones["no sandbox"] == "error"
    assert tones["simulated model"] == "warning"
    assert right[0].text == "○ ready"


def test_what_keeps_the_machine_safe_and_the_state_stay_in_every_width() -> None:
    tape = Tape()
    long = "a rather long name for a project that nobody would type"
    label = "docker, no network"
    tape.add(SessionStarted("s", f"/home/somebody/{long}", "1", branch="feature/long"))
    tape.add(RunStarted("t", replace(MODEL, is_simulated=True), "b", "/w", "loop", SANDBOX))
    tape.add(SandboxStarted(SandboxFacts("docker", label, is_isolated=True)))
    tape.add(StateChanged("running_command", "none", "for name in a b c"))
    left, right = bars.header(view_of(tape), read_only=True)
    for width in (40, 80, 100, 120, 160):
        kept, state = fit(left, right, width - 2)
        texts = [fact.text for fact in kept]
        assert (label if width == 160 else "docker") in texts
        assert state[0].text.startswith("● running command")
        assert ("agentui" in texts) <= (MODEL.model in " ".join(texts))


def test_a_talk_without_a_sandbox_says_so_whatever_ran_before() -> None:
    tape = Tape()
    tape.add(RunStarted("t", MODEL, "b", "/w", "loop", SANDBOX), SandboxStarted(SANDBOX), RunEnded("done"))
    tape.add(RunStarted("t", MODEL, "b", "/w", "loop", None))
    texts = [fact.text for fact in bars.header(view_of(tape), read_only=False)[0]]
    assert "no sandbox: talk only" in texts
    assert SANDBOX.label not in texts


def test_a_call_without_a_tool_is_shown_as_refused() -> None:
    tape = Tape()
    tape.add(RunStarted("t", MODEL, "b", "/w", "loop", None))
    tape.add(ToolCallDelta(MessageId("m"), 0, "bash", '{"command": "rm -rf x"}'))
    view = view_of(tape)
    draft = entry_of(view.transcript.blocks[-1], view)
    tape.add(MessageEnded(MessageId("m"), "tool_calls"))
    view = view_of(tape)
    unsent = entry_of(view.transcript.blocks[-1], view)
    assert draft.title.startswith("writing a command")
    assert (unsent.title.partition(" ·")[0], unsent.tone) == ("command refused: no sandbox, talk only", "error")
    tape.add(ToolStarted(CallId("c"), "bash", "", "/w"))
    tape.add(ToolEnded(CallId("c"), "error", None, 0.0, message="There is no tool 'bash'."))
    view = view_of(tape)
    row = entry_of(view.transcript.blocks[-1], view)
    assert (row.title, row.aside.split()[0], row.aside_tone) == ("rm -rf x", "refused", "error")
    assert "There is no tool" in tool_row(view.tools.entries[0], 1.0).command


def test_the_row_of_a_running_command_is_another_one_with_every_second_it_takes() -> None:
    tape = Tape()
    tape.add(ToolStarted(CallId("c"), "bash", "sleep 60", "/w"))
    entry = view_of(tape).tools.entries[0]
    rows = [tool_row(entry, entry.started_t_s + seconds) for seconds in (1.0, 2.0, 40.0)]
    assert [row.duration for row in rows] == ["1.0 s", "2.0 s", "40 s"]
    tape.add(ToolEnded(CallId("c"), "ok", 0, 0.5))
    rows.append(tool_row(view_of(tape).tools.entries[0], 99.0))
    versions = [row.version for row in rows]
    assert versions == sorted(set(versions))


def test_each_connection_out_of_the_sandbox_is_a_row_of_the_tool_log() -> None:
    tape = Tape()
    tape.add(ToolStarted(CallId("c"), "bash", "curl https://evil.test", "/w"))
    tape.add(EgressDecided("api.good.test", 443, "allowed", "on the allow-list"))
    tape.add(EgressDecided("evil\x1b[2J.test", 443, "refused", "not on the allow-list"))
    tape.add(EgressDecided("[::1]:443", 0, "refused", "the target is no plain host:port"))
    log = view_of(tape).tools
    rows = [tool_row(entry, 1.0) for entry in log.entries]
    assert [(row.command, row.result, row.is_running) for row in rows[1:]] == [
        ("connection to api.good.test:443", "allowed", False),
        ("connection to evil.test:443", "refused", False),
        ("connection to [::1]:443", "refused", False),
    ]
    assert rows[2].facts == ["not on the allow-list"]
    assert log.running() == {0}


def test_a_command_of_the_users_shows_the_end_of_its_output_in_the_transcript() -> None:
    tape = Tape()
    tape.add(ToolStarted(CallId("c"), "bash", "ls", "/w", label="user"))
    tape.add(ToolOutput(CallId("c"), "stdout", "".join(f"\x1b[31mline {n}\x1b[0m\n" for n in range(50))))
    tape.add(ToolEnded(CallId("c"), "ok", 0, 0.1))
    view = view_of(tape)
    shown = entry_of(view.transcript.blocks[-1], view)
    lines = "".join(shown.parts).split("\n")
    assert not shown.is_folded
    assert lines[0] == "… 30 lines before; /output shows all"
    assert (lines[1], lines[-1], len(lines)) == ("line 30", "line 49", 21)
    tape.add(ToolStarted(CallId("d"), "bash", "true", "/w", label="user"), ToolEnded(CallId("d"), "ok", 0, 0.1))
    view = view_of(tape)
    assert entry_of(view.transcript.blocks[-1], view).parts == ["(no output)"]


def test_an_unknown_estimate_is_a_plain_question_mark() -> None:
    tape = Tape()
    tape.add(KvSample(None, None, None, None, "estimated"), ContextMeasured(10, 100, "estimated"))
    gauges = view_of(tape).gauges
    left, _ = figures.gauge_line(gauges)
    assert "kv ?/?" in [fact.text for fact in left]
    shown = words([*figures.rows_above(gauges), *figures.rows_below(gauges)])
    assert "~?" not in shown
    assert "KV ?" in shown


def test_our_own_share_of_the_processor_is_unknown_until_it_was_measured() -> None:
    tape = Tape()
    tape.add(ProcessSample(None, 92 * 1024**2))
    _, right = bars.footer(view_of(tape), read_only=False)
    assert right[0].text == "agentui ? % cpu 92 MiB"


def test_a_long_path_keeps_its_end_and_the_home_folder_is_a_tilde() -> None:
    home = str(Path.home())
    assert bars.short_path(f"{home}/shop") == "~/shop"
    assert not bars.short_path(f"{home}elsewhere/shop").startswith("~")
    assert bars.short_path("/a/very/long/way/to/the/folder/of/the/shop").endswith("/of/the/shop")
    assert len(bars.short_path("/a/very/long/way/to/the/folder/of/the/shop")) <= 36


def test_the_pickers_say_what_is_loaded_and_what_a_reload_costs() -> None:
    lengths = context_choices(replace(MODEL, loaded_context_tokens=65_536), {131_072: "fits"})
    assert [c.value for c in lengths] == ["4k", "8k", "16k", "32k", "64k", "128k", "256k"]
    assert [c.value for c in lengths if c.is_current] == ["64k"]
    assert [c.note for c in lengths if c.note] == ["fits"]
    assert context_choices(None) == []
    tape = Tape()
    tape.add(ContextMeasured(8_000, 65_536, "reported"), RateSample(None, 800.0, None, None, "measured"))
    assert reload_cost(view_of(tape).gauges).endswith("8.0k tokens are read again, ~10 s at 800 tok/s")


@pytest.mark.parametrize(
    ("environ", "start"),
    [
        ({"TERM_PROGRAM": "iTerm.app"}, "\x1b]9;"),
        ({"TERM": "xterm-kitty"}, "\x1b]9;"),
        ({"TERM_PROGRAM": "WezTerm"}, "\x1b]777;notify;"),
        ({"TERM": "xterm-ghostty"}, "\x1b]777;notify;"),
        ({"TERM_PROGRAM": "Apple_Terminal", "TERM": "xterm-256color"}, None),
        ({"TERM_PROGRAM": "WezTerm", "TMUX": "/tmp/x"}, None),
    ],
)
def test_only_terminals_that_show_notifications_get_one(environ: dict[str, str], start: str | None) -> None:
    sent = desktop_notification(environ, "shop: done\x07\x1b]0;owned\x07; rm")
    if start is None:
        assert sent is None
    else:
        assert sent is not None
        assert sent.startswith(start)
        assert "\x07" not in sent
        assert sent.count("\x1b") == 2


def test_the_footer_names_what_space_does_now() -> None:
    tape = Tape()
    for hold, word in (("pausing", "space freeze now"), ("paused", "space resume")):
        tape.add(StateChanged("generating", hold))  # type: ignore[arg-type]
        left, _ = bars.footer(view_of(tape), read_only=False)
        assert word in [fact.text for fact in left]


def test_the_footer_names_the_users_own_keys_and_a_replay_has_nothing_to_interrupt() -> None:
    tape = Tape()
    tape.add(RunStarted("t", MODEL, "b", "/w", "loop", SANDBOX), StateChanged("generating", "none"))
    left, _ = bars.footer(view_of(tape), read_only=False, rebound={"run.pause": "f9,f8"})
    assert [fact.text for fact in left[:3]] == ["f9 pause", ". step", "esc interrupt"]
    left, _ = bars.footer(view_of(tape), read_only=True)
    assert "esc interrupt" not in [fact.text for fact in left]


def test_every_outcome_of_a_command_has_a_word() -> None:
    from typing import get_args

    from agentui.events import ToolOutcome

    for outcome in get_args(ToolOutcome):
        tape = Tape()
        tape.add(ToolStarted(CallId("c"), "bash", "x", "/"), ToolEnded(CallId("c"), outcome, None, 0.1))
        assert tool_result(view_of(tape).tools.entries[0])[0]


def test_the_ask_list_stands_first_and_in_red() -> None:
    view = View()
    view.apply_all(whole_run())
    rows = bars.change_rows(view.changes)
    assert (rows[0].path, rows[0].tone, rows[0].why) == ("setup.cfg", "error", "asks: build configuration")


def test_question_keys_are_unique_letters_or_numbers() -> None:
    assert bars.question_keys(("yes", "no", "always")) == {"y": "yes", "n": "no", "a": "always"}
    assert bars.question_keys(("compact", "continue", "go on")) == {
        "1": "compact",
        "2": "continue",
        "g": "go on",
    }


def test_a_cache_larger_than_what_is_used_holds_none_of_this_memory() -> None:
    """A simulated model's cache, or one on another machine: counting it would invent memory."""
    tape = Tape()
    tape.add(KvSample(1 << 30, 2 << 30, None, 10, "estimated"), memory_used(1 << 30))
    assert "kv" not in words(list(figures.rows_above(view_of(tape).gauges)))
    tape.add(memory_used(9 << 30))
    assert "kv" in words(list(figures.rows_above(view_of(tape).gauges)))


def memory_used(used_bytes: int) -> MemorySample:
    total = 24 << 30
    return MemorySample(total, used_bytes, total - used_bytes, 0, None, 0, 0, None, "ok", "measured")


def test_a_session_that_another_agentui_writes_is_no_replay_and_offers_no_keys_for_it() -> None:
    tape = Tape()
    tape.add(RunStarted("t", MODEL, "b", "/w", "loop", SANDBOX), StateChanged("working", "paused"))
    view = view_of(tape)
    said = [fact.text for fact in bars.header(view, read_only=True, follows=True)[0]]
    assert "read-only" in said
    assert "replay" not in said
    keys = " ".join(fact.text for fact in bars.footer(view, read_only=True, follows=True)[0])
    assert not [word for word in ("space", "step", "esc") if word in keys]
    ((title,), _) = bars.prompt_title(view, read_only=True, is_offered=False, follows=True)
    assert title.text == "read-only: nothing is sent"
