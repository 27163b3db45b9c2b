from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from agentui.cli import main
from agentui.cli.compare import markdown_lines, plot_text, table_lines
from agentui.session.compare import Column
from tests.unit.cli.sessions import a_run, recorded_session

COLUMN = Column(
    name="model=a",
    model="Gemma Q4",
    runs=2,
    done=1,
    check="test",
    passed=1,
    checked=2,
    minutes=2.5,
    turns=7.5,
    prompt_tokens=10_000,
    completion_tokens=200,
    prefill_tok_per_s=812.0,
    decode_tok_per_s=42.3,
    depths=((4096, 44.0), (8192, 30.0)),
    peak_memory_bytes=44 << 30,
    peak_kv_bytes=None,
    kv_source=None,
)


def test_the_table_says_what_is_known_and_marks_what_is_not() -> None:
    head, row = table_lines([COLUMN])
    assert head.split()[:3] == ["MODEL", "CHECK", "ENDED"]
    for words in ("test 1/2 passed", "done 1/2", "2 min 30 s", "7.5", "10.0k", "30.0 to 8k", "44.0 GiB"):
        assert words in row
    assert row.endswith("?")
    _, estimated = table_lines([replace(COLUMN, peak_kv_bytes=1 << 30, kv_source="estimated")])
    assert estimated.endswith("~1.00 GiB")
    lines = markdown_lines([replace(COLUMN, name="a|b<x>\x1b[31m")])
    assert lines[1].count("---") == head.count("  ") or lines[1].startswith("| --- |")
    assert lines[2].startswith("| a\\|b&lt;x> | Gemma Q4 |")


def test_the_plot_has_a_mark_for_each_side_and_is_empty_without_speeds() -> None:
    plot = plot_text([COLUMN, replace(COLUMN, name="model=b", depths=((4096, 10.0), (8192, 9.0)))])
    assert "o model=a   x model=b" in plot
    assert plot.count("o") > 2
    assert "\x1b" not in plot
    assert plot_text([replace(COLUMN, depths=())]) == ""


def test_equal_curves_are_both_seen() -> None:
    plot = plot_text([COLUMN, replace(COLUMN, name="model=b")])
    curves = plot.rpartition("\n")[0]
    assert min(curves.count("o"), curves.count("x")) > 10


def test_sides_stand_beside_each_other_where_rows_would_be_too_long() -> None:
    head, *lines = table_lines([COLUMN, replace(COLUMN, name="model=b")], 80)
    assert head.split() == ["model=a", "model=b"]
    assert "CHECK     test 1/2 passed  test 1/2 passed" in lines
    assert all(len(line) <= 80 for line in lines)


def test_finished_sessions_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    names = [recorded_session(Path("/p"), a_run(task)).parent.name for task in ("one", "two")]
    assert main(["compare", *names, "--json"]) == 0
    columns = json.loads(capsys.readouterr().out)["columns"]
    assert [column["name"] for column in columns] == [name[-8:] for name in names]
    assert main(["compare", *names]) == 0
    assert "done 1/1" in capsys.readouterr().out
    assert main(["compare", *names, "--format", "md"]) == 0
    assert capsys.readouterr().out.startswith("|  | MODEL |")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["task"], "cannot be compared"),
        (["task", "--with", "model=a", "--with", "model=a"], "the same"),
        (["task", "--with", "api_key=x"], "NAME=VALUE"),
        (["task", "--with", "context=never"], "--with context=never"),
        (["task", "--with", "system=/nowhere.txt"], "/nowhere.txt cannot be read"),
        (["task", "--with", "sandbox=none"], "names: context, harness"),
        (["task", "--with", "model=a", "--runs", "0"], "--runs"),
        (["a", "b", "--with", "model=a"], "one task"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *words]) == 2
    assert said in capsys.readouterr().err
