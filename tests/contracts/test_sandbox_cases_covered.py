"""Every case of the list is played: in turn with all of its profile, or by a test that names it."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

from tests.contracts.test_research import CASES as RESEARCH
from tests.contracts.test_sandbox_cases import CASES, PLAYED

TESTS = Path(__file__).parents[1]
IN_TURN = {case["id"] for case in (*PLAYED, *RESEARCH)}


def marked() -> dict[str, list[str]]:
    """Ids named by ``pytest.mark.case``, and the tests that name them."""
    found: dict[str, list[str]] = defaultdict(list)
    for file in sorted(TESTS.rglob("test_*.py")):
        text = file.read_text(encoding="utf-8")
        if "mark.case(" not in text:
            continue
        for test in ast.walk(ast.parse(text)):
            if not isinstance(test, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for decorator in test.decorator_list:
                match decorator:
                    case ast.Call(func=ast.Attribute(attr="case"), args=[ast.Constant(value=str(name))]):
                        found[name].append(f"{file.relative_to(TESTS)}::{test.name}")
    return found


@pytest.mark.parametrize("name", [case["id"] for case in CASES])
def test_the_case_is_played_by_a_test(name: str) -> None:
    assert name in IN_TURN or marked()[name]


def test_a_fault_is_played_by_a_test_of_its_own() -> None:
    faults = {case["id"] for case in CASES if "fault" in case}
    assert faults <= marked().keys()


def test_tests_name_only_cases_that_there_are() -> None:
    assert marked().keys() <= {case["id"] for case in CASES}
