"""Every case of the list is played by a test that names it, or left out by name with the reason."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

from tests.contracts.test_sandbox_cases import CASES, PLAYED

TESTS = Path(__file__).parents[1]
NOT_PLAYED = {
    case["id"]: "the research profile's egress proxy is not part of the program yet"
    for case in CASES
    if case["profile"] == "research"
}


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
    if name in NOT_PLAYED:
        pytest.skip(NOT_PLAYED[name])
    assert name in {case["id"] for case in PLAYED} or marked()[name]


def test_a_fault_is_played_by_a_test_of_its_own() -> None:
    faults = {case["id"] for case in CASES if "fault" in case}
    assert faults <= marked().keys()


def test_tests_name_only_cases_that_there_are() -> None:
    assert marked().keys() <= {case["id"] for case in CASES}
