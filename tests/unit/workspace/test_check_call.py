"""A call of a check is recognised only where bash would see the same words and nothing else."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentui.workspace.check_call import called_words, with_arguments

WORDS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=10), max_size=5)
PIECES = st.lists(
    st.sampled_from([*"'\"\\ $`;&|<>()*?[]{}~#!=\n\tax-", "''", '""', "\\\n", "{a,b}", "$HOME"]), max_size=12
).map("".join)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("check test", ["test"]),
        ("  check test\n", ["test"]),
        ("check", []),
        (
            "check test -k 'a and b' tests/test_a.py::test_b[x-1]",
            ["test", "-k", "a and b", "tests/test_a.py::test_b[x-1]"],
        ),
        ('check test "it\'s"', ["test", "it's"]),
        ("check test 'a;b' '$x'", ["test", "a;b", "$x"]),
        (r"check test a\ b", ["test", "a b"]),
    ],
)
def test_a_whole_command_is_a_call(command: str, words: list[str]) -> None:
    assert called_words(command) == words


@pytest.mark.parametrize(
    "command",
    [
        "check test && x",
        "cd a; check test",
        "check test | tail",
        "check test > out",
        "check test 2>&1",
        "check test $X",
        'check test "$(id)"',
        "check test `id`",
        "check test *.py",
        "check test {a,b}",
        "check test ~/x",
        "check test # why",
        "check test 'open",
        "check test \\",
        "check test\ncheck lint",
        "CI=1 check test",
        "checks test",
        "./check test",
        "(check test)",
        "echo check test",
        "",
    ],
)
def test_anything_else_is_left_to_the_shell(command: str) -> None:
    assert called_words(command) is None


@given(WORDS)
def test_quoted_words_come_back_as_they_were(words: list[str]) -> None:
    line = shlex.join(["check", *words])
    assert called_words(line) == words


@settings(max_examples=150, deadline=None)
@given(PIECES)
@example('a "b\\c"')
@example("a\\\nb")
def test_what_is_taken_for_a_call_has_the_words_that_bash_sees(text: str) -> None:
    words = called_words(f"check {text}")
    if words is None:
        return
    # A function in the place of the check; `-f` as no file of this folder may match.
    script = f"set -f; check() {{ printf '%s\\0' \"$@\"; }}\ncheck {text}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=False, cwd="/")
    seen = done.stdout.decode().split("\0")[:-1]
    assert seen == (words or [""])
    assert done.stderr == b""


def test_a_check_without_a_place_for_arguments_takes_none() -> None:
    assert with_arguments("make test", []) == "make test"
    assert with_arguments("make test", ["x"]) is None


def test_a_check_without_arguments_runs_without_them() -> None:
    assert with_arguments("pytest -q {args}", []) == "pytest -q "
