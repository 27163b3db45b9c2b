from __future__ import annotations

from pathlib import Path

import pytest

from agentui.errors import SessionError
from agentui.events import CallId, Event, Recorded, RunId, SessionEnded, SessionStarted, ToolEnded, Warned
from agentui.session.verify import verify
from agentui.session.writer import JournalWriter


def session(folder: Path, output: str | None = "outputs/00001-c.txt") -> Path:
    (folder / "outputs").mkdir()
    (folder / "outputs" / "00001-c.txt").write_bytes(b"all of it")
    events: list[Event] = [
        SessionStarted("s1", "/p", "0"),
        *(Warned("x", f"text {n}") for n in range(30)),
        ToolEnded(CallId("c"), "ok", 0, 0.1, 9, output_path=output),
        SessionEnded("closed"),
    ]
    writer = JournalWriter(folder / "journal.jsonl", 1000)
    for seq, event in enumerate(events, start=1):
        writer.append(Recorded(seq, 0.0, "", RunId(""), event))
    writer.close()
    return folder / "journal.jsonl"


def test_a_whole_session_is_clean(tmp_path: Path) -> None:
    verdict = verify(session(tmp_path))
    assert verdict.is_clean
    assert (verdict.session_id, verdict.records, verdict.was_closed) == ("s1", 33, True)
    assert verdict.parts > 1


def test_a_session_cut_off_at_any_byte_is_clean_and_said_to_be_unfinished(tmp_path: Path) -> None:
    journal = session(tmp_path)
    content = journal.read_bytes()
    for length in range(len(content) - 1):
        journal.write_bytes(content[:length])
        verdict = verify(journal)
        assert verdict.is_clean
        assert not verdict.was_closed
        rest = length - (content[:length].rfind(b"\n") + 1)
        assert verdict.torn_bytes in (rest, 0)


def test_a_session_that_a_crash_cut_off_before_its_first_record_is_clean(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    for content in (b"", b'{"v":2,"seq":1'):
        journal.write_bytes(content)
        verdict = verify(journal)
        assert (verdict.is_clean, verdict.records, verdict.torn_bytes) == (True, 0, len(content))
    (tmp_path / "outputs").mkdir()
    assert "no record" in verify(journal).findings[0].text


def test_flipped_bytes_are_told_with_file_and_line(tmp_path: Path) -> None:
    journal = session(tmp_path)
    content = bytearray(journal.read_bytes())
    content[content.rindex(b"ToolEnded")] ^= 1
    journal.write_bytes(content)
    line = content[: content.rindex(b"oolEnded")].count(b"\n") + 1
    (finding,) = verify(journal).findings
    assert (finding.file, finding.line) == ("journal.jsonl", line)
    assert "checksum" in finding.text


def test_a_missing_part_is_told(tmp_path: Path) -> None:
    journal = session(tmp_path)
    (tmp_path / "journal-000001.jsonl.gz").unlink()
    findings = verify(journal).findings
    assert any("begins with" in finding.text for finding in findings)


@pytest.mark.parametrize(
    ("output", "said"), [("outputs/gone.txt", "missing"), ("../../etc/passwd", "outside the session")]
)
def test_outputs_that_are_not_there_or_lie_elsewhere_are_told(tmp_path: Path, output: str, said: str) -> None:
    (finding,) = verify(session(tmp_path, output)).findings
    assert said in finding.text


def test_a_session_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="no session"):
        verify(tmp_path / "journal.jsonl")
