from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.sandbox.directory import cwd_below


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        ("/workspace", ""),
        ("/workspace/a", "a"),
        ("/workspace/a b/c\nd", "a b/c\nd"),
        ("/workspace/", "old"),
        ("/workspace/..", "old"),
        ("/workspace/a/../../etc", "old"),
        ("/workspace/./a", "old"),
        ("/workspace//a", "old"),
        ("/workspaces/a", "old"),
        ("/", "old"),
        ("", "old"),
        ("a", "old"),
    ],
)
def test_only_a_plain_path_below_the_root_is_taken(reported: str, expected: str) -> None:
    assert cwd_below(reported, "/workspace", "old") == expected


@given(st.text(alphabet="/.aw\n\0", max_size=12))
def test_nothing_reported_leads_out_of_the_root(rest: str) -> None:
    cwd = cwd_below("/workspace" + rest, "/workspace", "old")
    assert not cwd.startswith("/")
    assert not {"..", "."} & set(cwd.split("/"))
