from __future__ import annotations

import os
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentui.errors import ModelFileError
from agentui.telemetry.kv import read_gguf_metadata
from agentui.telemetry.kv.gguf import MAX_KEPT_BYTES, SkippedValue
from tests.unit.telemetry.kv.cases import (
    GEMMA_12B,
    GEMMA_26B,
    QWEN_35,
    TINY_GEMMA,
    array,
    gguf,
    metadata_of,
    scalar,
    string,
    text,
)

BUSY = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
FUZZ = settings(max_examples=300, suppress_health_check=BUSY)
BOUND_BYTES = 3 * MAX_KEPT_BYTES


def refused(path: Path, data: bytes, sparse_bytes: int = 0) -> str:
    """Write a file, see it refused within bounded memory, return the message."""
    path.write_bytes(data)
    if sparse_bytes:
        os.truncate(path, sparse_bytes)
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError) as caught:
            read_gguf_metadata(path)
        assert tracemalloc.get_traced_memory()[1] < BOUND_BYTES
    finally:
        tracemalloc.stop()
    assert caught.value.hint
    return caught.value.message


@pytest.mark.parametrize(
    ("path", "geometry"),
    [
        (GEMMA_26B, "gemma4-26b-a4b"),
        (GEMMA_12B, "gemma4-12b"),
        (QWEN_35, "qwen3.5-9b"),
    ],
)
def test_real_headers_hold_the_recorded_metadata(path: Path, geometry: str) -> None:
    found = read_gguf_metadata(path)
    for key, value in metadata_of(geometry).items():
        if ".attention." in key or key.endswith(("block_count", "context_length", "architecture")):
            assert found[key] == pytest.approx(value)


def test_a_complete_loadable_model_is_read_up_to_its_tensors() -> None:
    found = read_gguf_metadata(TINY_GEMMA)
    assert found["gemma4.attention.head_count_kv"] == [2, 2, 2, 2, 2, 1]
    assert found["gemma4.attention.sliding_window_pattern"] == [True] * 5 + [False]
    assert found["tokenizer.ggml.tokens"] == SkippedValue(512)
    assert found["tokenizer.ggml.add_bos_token"] is False


def test_every_type_is_read_and_the_vocabulary_is_passed_over(tmp_path: Path) -> None:
    words = [f"w{index}" * (index % 7) for index in range(70_000)]
    entries = {
        "u8": scalar(0, 255),
        "i8": scalar(1, -1),
        "u16": scalar(2, 65535),
        "i16": scalar(3, -2),
        "u32": scalar(4, 2**32 - 1),
        "i32": scalar(5, -3),
        "f32": scalar(6, 0.5),
        "bool": scalar(7, 1),
        "tokens": array(8, words),
        "scores": array(6, [0.0] * 70_000),
        "few": array(8, ["a", "é"]),
        "flags": array(7, [1, 0]),
        "u64": scalar(10, 2**64 - 1),
        "i64": scalar(11, -4),
        "f64": scalar(12, 0.25),
        "last": string("end"),
    }
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf(entries, version=2))
    assert read_gguf_metadata(path) == {
        "u8": 255,
        "i8": -1,
        "u16": 65535,
        "i16": -2,
        "u32": 2**32 - 1,
        "i32": -3,
        "f32": 0.5,
        "bool": True,
        "tokens": SkippedValue(70_000),
        "scores": SkippedValue(70_000),
        "few": ["a", "é"],
        "flags": [True, False],
        "u64": 2**64 - 1,
        "i64": -4,
        "f64": 0.25,
        "last": "end",
    }


def test_long_strings_inside_and_outside_a_vocabulary_are_passed_over(tmp_path: Path) -> None:
    long = "x" * 1_500_000
    words = [long if index % 30 == 0 else "w" for index in range(100)]
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf({"tokens": array(8, words), "template": string(long), "last": scalar(4, 7)}))
    expected = {"tokens": SkippedValue(100), "template": SkippedValue(1_500_000), "last": 7}
    assert read_gguf_metadata(path) == expected


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a GGUF file"),
        (b"GGU", "not a GGUF file"),
        (b"PK\x03\x04" * 10, "not a GGUF file"),
        (b"GGUF", "ends within its header"),
        (gguf({}, version=1), "version 1"),
        (gguf({}, version=4), "version 4"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (gguf({}, count=2**63), "metadata entries"),
        (gguf({"a": scalar(4, 1)}, count=2), "metadata entries"),
        (gguf({}) + text("x" * 40), None),
        (gguf({"a": struct.pack("<I", 77)}) + b"0" * 64, "unknown type 77"),
        (gguf({"a": struct.pack("<IIQ", 9, 77, 1)}) + b"0" * 64, "unknown type 77"),
        (gguf({"a": struct.pack("<IIQ", 9, 9, 1)}) + b"0" * 64, "holds arrays"),
        (gguf({"a": array(4, [], count=2**61)}), "claims"),
        (gguf({"a": array(8, ["b"], count=2**61)}), "claims"),
        (gguf({"a": array(4, [1, 2], count=3)}), "claims"),
        (gguf({"a": struct.pack("<IQ", 8, 2**63)}), "ends within"),
        (gguf({"a": array(8, ["w"] * 100)})[:-1], "ends within"),
        (gguf({"a": scalar(4, 1)})[:-1], "ends within"),
        (gguf({"k" * 70_000: scalar(4, 1)}), "key"),
        (gguf({"a": scalar(4, 1)}, count=2) + text("a") + scalar(4, 2), "twice"),
    ],
)
def test_a_damaged_or_hostile_header_is_refused(data: bytes, says: str | None, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    if says is None:
        path.write_bytes(data)
        assert read_gguf_metadata(path) == {}
    else:
        assert says in refused(path, data)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (struct.pack("<IIQ", 9, 8, 2**32), "strings"),
        (struct.pack("<IQ", 8, 2**36 - 40), "ends within"),
        (struct.pack("<IIQ", 9, 12, 2**33), "claims"),
    ],
)
def test_a_sparse_file_of_64_gib_costs_no_memory(entry: bytes, says: str, tmp_path: Path) -> None:
    assert says in refused(tmp_path / "m.gguf", gguf({"a": entry}, count=2), sparse_bytes=2**36)


def test_many_large_values_are_refused_before_they_fill_memory(tmp_path: Path) -> None:
    strings = {f"k{index}": string("x" * 1_000_000) for index in range(40)}
    assert "larger than any model's" in refused(tmp_path / "strings.gguf", gguf(strings))
    numbers = {f"k{index}": array(5, [70_000] * 4096) for index in range(100)}
    assert "larger than any model's" in refused(tmp_path / "numbers.gguf", gguf(numbers))
    words = {f"k{index}": array(8, ["ab"] * 64) for index in range(5000)}
    assert "larger than any model's" in refused(tmp_path / "words.gguf", gguf(words))


def test_folders_pipes_and_missing_files_are_refused_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "missing.gguf", Path("a\0b")):
        with pytest.raises(ModelFileError):
            read_gguf_metadata(path)


def reads_or_refuses(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        found = read_gguf_metadata(path)
    except ModelFileError:
        return
    assert isinstance(found, dict)


@FUZZ
@given(data=st.binary(max_size=400))
def test_any_bytes_after_the_magic_are_read_or_refused(tmp_path: Path, data: bytes) -> None:
    reads_or_refuses(tmp_path / "m.gguf", b"GGUF" + struct.pack("<I", 3) + data)


@FUZZ
@given(
    edits=st.lists(st.tuples(st.integers(0, 2500), st.binary(min_size=1, max_size=8)), max_size=4),
    length=st.integers(0, 2600),
)
def test_any_damage_to_a_real_header_is_read_or_refused(
    tmp_path: Path, edits: list[tuple[int, bytes]], length: int
) -> None:
    data = bytearray(GEMMA_26B.read_bytes()[:2600])
    for position, replacement in edits:
        data[position : position + len(replacement)] = replacement
    reads_or_refuses(tmp_path / "m.gguf", bytes(data[:length]))


NUMBERS = st.integers(0, 2**32 - 1)
VALUES: st.SearchStrategy[tuple[Any, bytes]] = st.one_of(
    NUMBERS.map(lambda value: (value, scalar(4, value))),
    st.booleans().map(lambda value: (value, scalar(7, value))),
    st.text(alphabet=st.characters(codec="utf-8"), max_size=30).map(lambda value: (value, string(value))),
    st.lists(NUMBERS, max_size=20).map(lambda value: (value, array(4, value))),
    st.lists(st.booleans(), max_size=20).map(lambda value: (value, array(7, value))),
    st.lists(st.text(alphabet="abé", max_size=9), max_size=60).map(lambda value: (value, array(8, value))),
    st.lists(st.text(alphabet="abé", max_size=9), min_size=65, max_size=90).map(
        lambda value: (SkippedValue(len(value)), array(8, value))
    ),
)


@FUZZ
@given(entries=st.dictionaries(st.text(alphabet="abc._", min_size=1, max_size=20), VALUES, max_size=12))
def test_whatever_is_written_is_read_back(tmp_path: Path, entries: dict[str, tuple[Any, bytes]]) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf({key: data for key, (_, data) in entries.items()}) + b"tensors")
    assert read_gguf_metadata(path) == {key: value for key, (value, _) in entries.items()}
