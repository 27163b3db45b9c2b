"""Pi's own record of a conversation, cut after a turn; the record is one that Pi wrote."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from agentui.errors import SessionError
from agentui.harness.pi.session_file import cut_session
from tests.unit.harness.pi.captures import FOLDER

RECORDED = (FOLDER / "11-session-file.session.jsonl").read_bytes()
LATER = datetime.fromisoformat("2026-11-23T00:00:00Z")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "session.jsonl"
    path.write_bytes(RECORDED)
    return path


def entries(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").rstrip("\n").split("\n")]


@pytest.mark.parametrize(
    ("until", "last"),
    [
        pytest.param("20:35:07.978Z", "6f4473b4", id="after the first answer"),
        pytest.param("20:35:08.100Z", "6f4473b4", id="the next text was written already"),
        pytest.param("20:35:09.382Z", "90b3d232", id="after the results of two commands"),
        pytest.param("20:35:23.000Z", "391a7c50", id="the user's own commands belong to no turn"),
    ],
)
def test_a_cut_record_ends_with_the_turn_and_has_a_name_of_its_own(file: Path, until: str, last: str) -> None:
    copy = cut_session(file, datetime.fromisoformat(f"2026-11-22T{until}"))
    assert copy.parent == file.parent
    header, *rest = entries(copy)
    own_header, *own = entries(file)
    assert rest == own[: len(rest)]
    assert rest[-1]["id"] == last
    assert header["id"] != own_header["id"]
    assert header | {"id": own_header["id"]} == own_header
    assert file.read_bytes() == RECORDED
    assert copy.stat().st_mode & 0o777 == 0o600


def test_separators_of_unicodes_inside_of_a_text_end_no_line(file: Path) -> None:
    text = "one\u2028two\u2029three\x85four"
    lines = RECORDED.decode().split("\n")
    at = next(i for i, line in enumerate(lines) if '"role":"user"' in line)
    entry = json.loads(lines[at])
    entry["message"]["content"] = text
    lines[at] = json.dumps(entry, ensure_ascii=False)
    file.write_text("\n".join(lines), "utf-8")
    copy = cut_session(file, datetime.fromisoformat("2026-11-22T20:35:07.978Z"))
    assert text in [entry.get("message", {}).get("content") for entry in entries(copy)]


def test_a_line_that_a_crash_tore_after_the_cut_does_not_matter(file: Path) -> None:
    file.write_bytes(RECORDED[:-30])
    copy = cut_session(file, datetime.fromisoformat("2026-11-22T20:35:09.400Z"))
    assert entries(copy)[-1]["id"] == "90b3d232"


@pytest.mark.parametrize("content", [b"", b"{}", b"not json", RECORDED[:40], b"\xff\n", b"[]\n[]\n"])
def test_what_is_no_record_of_pis_is_an_error_and_leaves_no_copy(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "session.jsonl"
    path.write_bytes(content)
    with pytest.raises(SessionError):
        cut_session(path, LATER)
    assert list(tmp_path.iterdir()) == [path]


def test_a_record_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="cannot be copied"):
        cut_session(tmp_path / "gone.jsonl", LATER)
