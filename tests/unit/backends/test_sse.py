"""The reader of event streams: cut anywhere, it reads what the openai package's own reader reads."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentui.backends.sse import MAX_RECORD_BYTES, SseReader

VALUE = st.text(alphabet="a{}:é\u2028 ", max_size=6)
LINE = st.one_of(
    VALUE.map("data:".__add__),
    VALUE.map("data: ".__add__),
    VALUE.map(": ".__add__),
    st.sampled_from(["", "", "", "event: error", "id: 7", "retry: 10", "nonsense", "data: [DONE]"]),
)
STREAM = st.lists(st.tuples(LINE, st.sampled_from(["\n", "\r\n", "\r"])), max_size=12)


def read(pieces: Sequence[bytes]) -> list[bytes]:
    """Records as the program reads them: until done, then the rest."""
    reader, found = SseReader(), []
    for piece in pieces:
        found += reader.feed(piece)
        if reader.is_done:
            return found
    return found + reader.finish()


def by_openai(stream: bytes) -> list[bytes]:
    """The data of records until the last one, as the openai package reads them."""
    from openai._streaming import SSEDecoder

    found = []
    # What a stream does not end with an empty line is lost there; here it counts.
    for record in SSEDecoder().iter_bytes(iter([stream + b"\n\n"])):
        if record.data.startswith("[DONE]"):
            break
        found.append(record.data.encode())
    return found


def cut(stream: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[first:last] for first, last in itertools.pairwise(edges)]


@given(STREAM, st.lists(st.integers(0, 200), max_size=8), st.booleans())
@example([("data: a", "\r\n"), ("", "\r\n"), ("data: b", "\r"), ("", "\r")], [8, 9], False)
@example([("data: a", "\n"), ("", "\n")], [1, 2], True)
def test_a_stream_cut_anywhere_gives_the_same_records(
    lines: list[tuple[str, str]], places: list[int], has_mark: bool
) -> None:
    stream = b"\xef\xbb\xbf" * has_mark + "".join(line + end for line, end in lines).encode()
    whole = read([stream])
    assert read(cut(stream, places)) == whole
    assert read([bytes([byte]) for byte in stream]) == whole


@given(STREAM)
def test_the_openai_package_reads_the_same(lines: list[tuple[str, str]]) -> None:
    stream = "".join(line + end for line, end in lines).encode()
    # A named record without data is dispatched there, with nothing in it.
    assert [data for data in read([stream]) if data] == [data for data in by_openai(stream) if data]


def test_lines_of_data_are_joined_and_only_one_space_is_taken_off() -> None:
    assert read([b"data:  a\ndata:b\n: note\ndata: c\n\n"]) == [b" a\nb\nc"]


def test_the_last_record_needs_no_empty_line_behind_it() -> None:
    assert read([b"data: a\n\ndata: b"]) == [b"a", b"b"]


def test_nothing_after_the_end_is_read() -> None:
    reader = SseReader()
    assert reader.feed(b"data: a\n\ndata: [DONE]\n\ndata: b\n\n") == [b"a"]
    assert reader.is_done


def test_a_long_line_in_many_pieces_is_read_once() -> None:
    pieces = [b"data: ", *[b"x" * 1000] * 5000, b"\n\n"]
    assert [len(data) for data in read(pieces)] == [5_000_000]


@pytest.mark.parametrize("piece", [b"x" * (1 << 20), b"data: x\n" * (1 << 17)])
def test_a_record_without_an_end_is_given_up(piece: bytes) -> None:
    with pytest.raises(ValueError, match="longer than"):
        read([b"data: ", *[piece] * (MAX_RECORD_BYTES // len(piece) + 1)])


def test_comments_without_end_are_no_long_record() -> None:
    reader = SseReader()
    for _ in range(2 * MAX_RECORD_BYTES // (1 << 20)):
        assert reader.feed(b": ping\n\n" * (1 << 17)) == []
