from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.cli.keys import key_names, single_presses, spelled


@pytest.mark.parametrize(
    ("arrived", "shown", "names"),
    [
        (b"a", "a", ["a"]),
        (b" ", "\\x20", ["space"]),
        (b"\x1b", "ESC", ["escape"]),
        (b"\x1b[A", "ESC [A", ["up"]),
        (b"\x0f", "\\x0f", ["ctrl+o"]),
        (b"\r", "\\x0d", ["enter"]),
        (b"\x1b[13;3u", "ESC [13;3u", ["alt+enter"]),
        ("ü".encode(), "\\xc3\\xbc", None),
    ],
)
def test_keys_are_named_as_the_dashboard_names_them(
    arrived: bytes, shown: str, names: list[str] | None
) -> None:
    assert spelled(arrived) == shown
    if names is not None:
        assert key_names(arrived) == names


KEYS = [
    b"a",
    b"q",
    b" ",
    "ü".encode(),
    "日".encode(),
    b"\x1b[A",
    b"\x1b[1;5C",
    b"\x1bOP",
    b"\x0f",
    b"\x1b[13;3u",
    b"\x1bx",
]


@given(st.lists(st.sampled_from(KEYS), min_size=1))
def test_keys_that_arrive_together_are_read_one_by_one(keys: list[bytes]) -> None:
    assert single_presses(b"".join(keys)) == keys


@given(st.binary())
def test_nothing_that_arrives_is_left_out(arrived: bytes) -> None:
    assert b"".join(single_presses(arrived)) == arrived


def test_what_arrives_cannot_act_on_the_terminal() -> None:
    assert spelled(bytes(range(256))).isprintable()


def test_keys_are_shown_on_a_real_terminal_until_q_is_pressed_twice() -> None:
    main_end, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "agentui", "doctor", "keys"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    os.close(terminal)
    seen = _read_until(main_end, b"\x1b[>1u")
    for key, name in ((b"\x0f", b"ctrl+o"), (b"q", b"q"), (b"x", b"x"), (b"q", b"q")):
        os.write(main_end, key)
        seen = _read_until(main_end, name + b"\r\n")
    os.write(main_end, b"ab\x1b[A")
    seen = _read_until(main_end, b"up\r\n")
    assert [line.split()[-1] for line in seen.splitlines()[-3:]] == [b"a", b"b", b"up"]
    os.write(main_end, b"qq")
    assert _read_until(main_end, b"\x1b[<u")
    assert process.wait(30) == 0
    os.close(main_end)


def _read_until(fd: int, wanted: bytes) -> bytes:
    seen = b""
    while wanted not in seen:
        seen += os.read(fd, 4096)
    return seen
