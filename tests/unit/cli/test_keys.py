from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.cli.keys import bindings_text, key_names, single_presses, spelled
from agentui.tui import keys


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
    assert b"run.pause" in seen
    for key, name in ((b"\x0f", b"ctrl+o"), (b"q", b"q"), (b"x", b"x"), (b"q", b"q")):
        os.write(main_end, key)
        seen = _read_until(main_end, name + (b"            fold" if name == b"ctrl+o" else b"\r\n"))
    os.write(main_end, b"ab\x1b[A")
    seen = _read_until(main_end, b"the history\r\n")
    assert [line.split()[:3] for line in seen.splitlines()[-3:]] == [
        [b"a", b"a", b"apply"],
        [b"b", b"b"],
        [b"ESC", b"[A", b"up"],
    ]
    os.write(main_end, b"qq")
    assert _read_until(main_end, b"\x1b[<u")
    assert process.wait(30) == 0
    os.close(main_end)


def test_what_can_be_bound_is_listed_with_the_users_own_keys_and_what_there_is_not() -> None:
    text = "\n".join(bindings_text({"run.pause": "f9", "run.paws": "f8"}, Path("settings.toml")))
    assert all(key.id in text for key in keys.KEYS)
    assert "run.pause          f9 " in text
    assert "bind what there is not: run.paws" in text
    assert "in settings.toml" in text


def test_what_a_key_does_follows_the_users_own_keys() -> None:
    does = keys.actions_by_key({"run.pause": "f9,f10"})
    assert does["f9"] == does["f10"] == "pause or resume; again while pausing: freeze"
    assert "space" not in does
    assert does["tab"].startswith("queue")


def _read_until(fd: int, wanted: bytes) -> bytes:
    seen = b""
    while wanted not in seen:
        seen += os.read(fd, 4096)
    return seen
