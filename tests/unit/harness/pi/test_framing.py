from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from agentui.harness.pi.framing import LineSplitter, encoded


@given(st.lists(st.binary().filter(lambda b: b"\n" not in b)), st.lists(st.integers(1, 9)))
def test_lines_are_the_same_however_the_stream_is_cut(lines: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    splitter, at = LineSplitter(), 0
    found: list[bytes] = []
    for size in [*cuts, len(stream)]:
        found += splitter.feed(stream[at : at + size])
        at += size
    assert found == [line.strip() for line in lines if line.strip()]


def test_only_a_line_feed_ends_a_record() -> None:
    record = {"text": "a\u2028b\u2029c\u0085d\x0be"}
    line = json.dumps(record, ensure_ascii=False).encode()
    assert [json.loads(found) for found in LineSplitter().feed(line + b"\r\n")] == [record]


def test_a_line_that_is_too_long_is_dropped_and_the_next_one_is_read() -> None:
    splitter = LineSplitter(most_bytes=8)
    found = [*splitter.feed(b"12345"), *splitter.feed(b"6789"), *splitter.feed(b"0" * 99 + b"\nnext\n")]
    assert (found, splitter.too_long) == ([b"next"], 1)


@given(st.text())
def test_a_command_is_one_line_whatever_the_user_wrote(text: str) -> None:
    line = encoded({"type": "prompt", "message": text})
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert json.loads(line)["message"] == text
