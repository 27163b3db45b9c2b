from __future__ import annotations

from agentui.sandbox.docker_keeper import Vitals, parse_answer


def test_an_answer_is_read_with_any_directory_name() -> None:
    assert parse_answer([b"3", b"1", b"4096", b"/workspace/a\nb\xff", b"17"]) == (
        "17",
        Vitals(tasks=3, oom_kills=1, memory_bytes=4096, cwd="/workspace/a\nb\udcff"),
    )


def test_what_the_kernel_does_not_tell_is_unknown_not_zero() -> None:
    _, vitals = parse_answer([b"", b"max", b"-1", b"", b"1"])
    assert (vitals.tasks, vitals.oom_kills, vitals.memory_bytes) == (None, None, None)
