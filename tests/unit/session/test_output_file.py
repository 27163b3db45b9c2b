from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.session.output_file import OutputFile
from tests.unit.session.fakes import files_end_at


@given(st.lists(st.binary(max_size=30), max_size=30), st.integers(0, 40), st.integers(0, 40))
def test_beginning_and_end_are_kept_whatever_the_chunks(parts: list[bytes], head: int, tail: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out"
        output = OutputFile(path, head_bytes=head, tail_bytes=tail)
        for part in parts:
            output.write("stdout", part)
        dropped = output.close()
        whole, held = b"".join(parts), path.read_bytes()
    assert dropped == max(0, len(whole) - head - tail)
    if not dropped:
        assert held == whole
        return
    note = f"\n[... {dropped} bytes not kept ...]\n".encode()
    assert held == whole[:head] + note + whole[len(whole) - tail :]


def test_the_beginning_is_on_disk_before_the_end(tmp_path: Path) -> None:
    output = OutputFile(tmp_path / "out")
    output.write("stdout", b"one\n")
    output.write("stderr", b"two\n")
    assert (tmp_path / "out").read_bytes() == b"one\ntwo\n"
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o600
    assert output.close() == 0
    assert output.close() == 0


def test_a_full_disk_costs_the_output_and_not_the_run(tmp_path: Path) -> None:
    output = OutputFile(tmp_path / "out", head_bytes=100, tail_bytes=10)
    output.write("stdout", b"x" * 10)
    with files_end_at(14):
        output.write("stdout", b"y" * 20)
    output.write("stdout", b"z" * 5)
    assert output.close() == 21
    assert (tmp_path / "out").read_bytes() == b"x" * 10 + b"y" * 4


def test_an_existing_file_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        OutputFile(tmp_path / "out")
    assert os.stat(tmp_path / "out").st_size == 3
