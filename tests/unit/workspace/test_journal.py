from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentui.events import Change
from agentui.workspace.hosttree import Node
from agentui.workspace.ignore import bytes_of, text_of
from agentui.workspace.journal import Unit, UnitHead
from agentui.workspace.plan import Op, Plan, Target

names = st.binary(min_size=1, max_size=20).filter(lambda name: b"\0" not in name)
nodes = st.builds(
    Node,
    st.sampled_from(["file", "dir", "link"]),
    st.integers(0, 0o7777),
    st.integers(0, 2**60),
    st.integers(-(2**60), 2**62),
    st.binary(max_size=32),
    st.none() | names,
)
ops = st.builds(
    Op,
    st.sampled_from(["take", "put", "mkdir", "rmdir", "chmod"]),
    names,
    nodes,
    st.integers(-1, 99),
    st.integers(0, 511),
)
plans = st.builds(
    Plan,
    st.dictionaries(names, st.builds(Target, st.none() | nodes, st.none() | nodes), max_size=5),
    st.lists(ops, max_size=5).map(tuple),
    st.dictionaries(names, st.integers(0, 2**62), max_size=3),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plans)
def test_a_plan_is_read_as_it_was_written(tmp_path: Path, plan: Plan) -> None:
    unit = Unit(tmp_path)
    head = UnitHead("id", "2026-01-01T00:00:00.000+00:00", "auto", (Change("\udcff\n", "added"),))
    unit.write_plan(head, plan)
    assert unit.read_plan() == plan
    assert unit.read_head() == head


@given(names)
def test_names_survive_as_text(name: bytes) -> None:
    assert bytes_of(text_of(name)) == name


@given(ops)
def test_a_step_turned_round_twice_is_itself(op: Op) -> None:
    assert op.inverse().inverse() == op


STORY: list[tuple[dict[str, object], str, int]] = [
    ({"run": "forward"}, "torn", 0),
    ({"do": 64}, "torn", 64),
    ({"do": 70}, "torn", 70),
    ({"end": True, "times": {"a": 5}}, "applied", 0),
    ({"run": "backward"}, "torn", 0),
    ({"do": 64}, "torn", 64),
    ({"back": True}, "applied", 0),
    ({"run": "backward"}, "torn", 0),
    ({"do": 70}, "torn", 70),
    ({"end": True}, "undone", 0),
    ({"run": "forward"}, "torn", 0),
    ({"back": True}, "undone", 0),
    ({"superseded": True}, "superseded", 0),
]


def test_the_journal_folds_to_where_the_unit_stands(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    assert unit.progress().state == "staged"
    progress = unit.progress()
    for line, state, announced in STORY:
        unit.log(line)
        progress = unit.progress()
        assert (progress.state, progress.announced) == (state, announced), line
        # Asking does not change the answer, and a torn line after it says nothing.
        whole = (tmp_path / "journal.jsonl").read_bytes()
        (tmp_path / "journal.jsonl").write_bytes(whole + b'{"end": tr')
        assert unit.progress() == progress
    assert progress.times == {b"a": 5}


def test_a_unit_that_never_came_about_is_dropped(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    unit.log({"run": "forward"})
    unit.log({"do": 3})
    unit.log({"back": True})
    assert unit.progress().state == "dropped"
