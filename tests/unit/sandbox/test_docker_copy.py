from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentui.errors import SandboxError
from agentui.sandbox import docker_copy
from agentui.sandbox.docker_copy import nanoseconds, parse_manifest
from agentui.sandbox.image import TOOLS_FOLDER


def find_format() -> str:
    """The format the copy script gives to find."""
    line = next(line for line in (TOOLS_FOLDER / "lib/copy").read_text().splitlines() if "-printf" in line)
    return line.split("'")[1]


@pytest.mark.skipif(sys.platform == "darwin", reason="needs GNU find; the script runs in the image")
def test_what_find_prints_is_what_the_file_system_says(tmp_path: Path) -> None:
    base = os.fsencode(tmp_path)
    for name in (b"plain", b"new\nline", b"a b\xff", b"-x"):
        with open(os.path.join(base, name), "wb") as file:
            file.write(name)
        os.utime(os.path.join(base, name), ns=(1, 1_234_567_890_000_000_007))
    os.mkfifo(tmp_path / "pipe")
    os.symlink(b"to\n\xfe", os.path.join(base, b"link"))
    (tmp_path / "empty").mkdir(mode=0o710)
    printed = subprocess.run(
        ["find", ".", "-mindepth", "1", "-printf", find_format()], cwd=tmp_path, capture_output=True, check=True
    ).stdout
    entries = {entry.path: entry for entry in parse_manifest(printed)}
    assert set(entries) == {b"plain", b"new\nline", b"a b\xff", b"-x", b"pipe", b"link", b"empty"}
    for path, entry in entries.items():
        status = os.lstat(os.path.join(base, path))
        assert (entry.size_bytes, entry.mtime_ns) == (status.st_size, status.st_mtime_ns)
        assert entry.mode == status.st_mode & 0o777
        assert entry.fingerprint.endswith(f" {status.st_ino}")
    assert (entries[b"link"].type, entries[b"link"].link_target) == ("link", b"to\n\xfe")
    assert (entries[b"pipe"].type, entries[b"empty"].type) == ("fifo", "dir")


def test_a_list_that_was_cut_is_not_taken_for_whole() -> None:
    record = b"f 644 1 1.5 1.5 7\0name\0\0"
    assert len(parse_manifest(record * 2)) == 2
    for end in range(1, len(record)):
        with pytest.raises(SandboxError, match="not arrive whole"):
            parse_manifest(record + record[:end])


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (b"0.0000000000", 0),
        (b"1700000000.1234567890", 1_700_000_000_123_456_789),
        (b"-1.5000000000", -1_500_000_000),
    ],
)
def test_times_are_read_to_the_nanosecond(printed: bytes, expected: int) -> None:
    assert nanoseconds(printed) == expected


def test_a_list_of_too_many_entries_is_not_read_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(docker_copy, "MAX_ENTRIES", 2)
    assert docker_copy._bounded(io.BytesIO(b"f\0p\0\0" * 2)) == b"f\0p\0\0" * 2
    stream = io.BytesIO(b"f\0p\0\0" * (1 << 20))
    with pytest.raises(SandboxError, match="too many"):
        docker_copy._bounded(stream)
    assert stream.tell() == 1 << 20
