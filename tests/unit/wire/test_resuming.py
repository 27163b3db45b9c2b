"""Opening a session again, and a branch of it, from the files alone."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agentui.config import Settings
from agentui.errors import SessionBusy, SessionError, UsageError
from agentui.events import (
    CallId,
    Event,
    HarnessStarted,
    HistoryAppended,
    ModelFacts,
    Recorded,
    RunId,
    RunStarted,
    SandboxEnded,
    SandboxFacts,
    SandboxStarted,
    SessionResumed,
    SessionStarted,
    SteerId,
    SteerQueued,
    ToolEnded,
    ToolStarted,
    TurnEnded,
    TurnStarted,
    Usage,
    WorkspaceSeeded,
)
from agentui.history import fold_history, user_message
from agentui.paths import Places, places
from agentui.run.resumed import resumed_from
from agentui.session.card import short_hash
from agentui.session.format import FORMAT_VERSION
from agentui.session.journal import encode_record, read_journal
from agentui.session.store import SessionFolder, SessionStore
from agentui.session.verify import verify
from agentui.session.writer import JournalWriter
from agentui.wire.harnesses import as_before
from agentui.wire.resuming import BRANCHED, branch, reopen


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        (("harness", "pi_place"), ("pi", "host")),
        (("pi_place",), ("loop", "host")),
        (("harness",), ("pi", "container")),
        ((), ("loop", "container")),
    ],
)
def test_what_thought_in_a_session_goes_on_unless_something_else_was_typed(
    kept: tuple[str, ...], expected: tuple[str, str]
) -> None:
    records = [
        Recorded(1, 0.0, "", RunId(""), HarnessStarted("loop", "0")),
        Recorded(2, 0.0, "", RunId(""), HarnessStarted("pi", "1.5.2", "/sessions/1.jsonl", "host")),
    ]
    found = as_before(Settings(), resumed_from(records), kept)
    assert (found.harness, found.pi_place) == expected


def test_a_session_that_does_not_say_what_thought_in_it_goes_on_with_the_settings() -> None:
    settings = Settings(harness="pi")
    assert as_before(settings, resumed_from([]), ("harness", "pi_place")) == settings
    strange = [Recorded(1, 0.0, "", RunId(""), HarnessStarted("foreign", "1", None, "moon"))]
    assert as_before(settings, resumed_from(strange), ("harness", "pi_place")) == settings


def test_pi_does_not_go_on_with_a_conversation_that_it_has_no_record_of() -> None:
    records = [
        Recorded(1, 0.0, "", RunId(""), HarnessStarted("pi", "1.5.2", "/sessions/1.jsonl", "host")),
        Recorded(2, 0.0, "", RunId(""), HarnessStarted("loop", "0")),
        Recorded(3, 0.0, "", RunId(""), HistoryAppended({"role": "user", "content": "hello"})),
    ]
    with pytest.raises(UsageError, match="no record of it"):
        as_before(Settings(harness="pi"), resumed_from(records), ("pi_place",))
    assert as_before(Settings(harness="pi"), resumed_from(records), ("harness",)).harness == "loop"
    assert as_before(Settings(harness="pi"), resumed_from(records[:2]), ()).harness == "pi"


@pytest.fixture
def where(tmp_path: Path) -> Places:
    return places({"AGENTUI_HOME": str(tmp_path / "home")})


def events_of(session_id: str, project: Path) -> list[Event]:
    return [
        SessionStarted(session_id, str(project), "0"),
        SandboxStarted(SandboxFacts("docker", "docker", True, "none")),
        RunStarted("the task", ModelFacts("m"), "b", "/p", "loop", None),
        HistoryAppended({"role": "system", "content": "s"}),
        HistoryAppended(user_message("the task")),
        TurnStarted(1),
        HistoryAppended({"role": "assistant", "content": "one"}),
        ToolStarted(CallId("c1"), "bash", "ls", ""),
        ToolEnded(CallId("c1"), "ok", 0, 0.1, 3, output_path="outputs/00001-c1.txt"),
        TurnEnded(1, Usage()),
        SteerQueued(SteerId("s1"), "later", "follow_up"),
        TurnStarted(2),
        HistoryAppended({"role": "assistant", "content": "two"}),
        TurnEnded(2, Usage()),
        ToolStarted(CallId("c2"), "bash", "make", ""),
    ]


def killed_session(where: Places, project: Path) -> Path:
    """A session that was killed while its second command ran."""
    project.mkdir(exist_ok=True)
    folder = SessionStore(where.sessions).create(datetime(2026, 5, 4, tzinfo=UTC))
    output = folder.new_output("c1")
    output.write("stdout", b"a.py")
    output.close()
    writer = JournalWriter(folder.journal)
    for seq, event in enumerate(events_of(folder.session_id, project), start=1):
        writer.append(Recorded(seq, float(seq), "", RunId("r"), event))
    writer.close()
    folder.close()
    return folder.journal


def closed(folder: SessionFolder, writer: JournalWriter) -> None:
    writer.close()
    folder.close()


def test_a_session_goes_on_in_the_same_file_from_its_last_record(where: Places, tmp_path: Path) -> None:
    journal = killed_session(where, tmp_path / "p")
    before = read_journal(journal).records
    continued = reopen(where, journal)
    assert continued.folder.journal == journal
    assert continued.project == tmp_path / "p"
    assert [r.seq for r in continued.last.records] == [len(before)]
    assert list(continued.state.messages) == fold_history(r.event for r in before)
    assert continued.state.unfinished is not None
    assert continued.warning is None
    told = continued.standing.as_object()
    assert (told["session_id"], told["project"]) == (journal.parent.name, str(tmp_path / "p"))
    assert (told["task"], told["queued"], told["state"]) == ("the task", ["later"], "starting")
    card = continued.cards.current()
    assert card is not None
    assert (card.turns, card.commands, card.system_hash) == (2, 1, short_hash("s"))
    with pytest.raises(SessionBusy, match="being written"):
        reopen(where, journal)
    closed(continued.folder, continued.writer)


def test_damage_is_told_when_a_session_goes_on(where: Places, tmp_path: Path) -> None:
    journal = killed_session(where, tmp_path / "p")
    content = bytearray(journal.read_bytes())
    content[content.index(b'"one"') + 1] ^= 1
    journal.write_bytes(content)
    continued = reopen(where, journal)
    assert continued.warning is not None
    assert "line 7" in continued.warning.text
    closed(continued.folder, continued.writer)


def test_a_session_without_its_project_does_not_go_on_and_is_not_locked(where: Places, tmp_path: Path) -> None:
    journal = killed_session(where, tmp_path / "p")
    (tmp_path / "p").rmdir()
    for _ in range(2):
        with pytest.raises(SessionError, match="is not there") as caught:
            reopen(where, journal)
        assert "agentui replay" in caught.value.hint


def test_a_branch_begins_after_its_turn_and_leaves_the_session_as_it_was(where: Places, tmp_path: Path) -> None:
    journal = killed_session(where, tmp_path / "p")
    before = journal.read_bytes()
    branched = branch(where, journal, 1)
    assert journal.read_bytes() == before
    assert branched.parent != journal.parent
    assert verify(branched).is_clean
    records = read_journal(branched).records
    started = records[0].event
    assert isinstance(started, SessionStarted)
    assert (started.session_id, started.resumed_from) == (branched.parent.name, journal.parent.name)
    state = resumed_from(records)
    assert [m["content"] for m in state.messages] == ["s", "the task", "one"]
    assert state.unfinished is None
    assert (state.queue, state.closings, state.notices) == ((), (), (BRANCHED,))
    assert [r.event.why for r in records if isinstance(r.event, SandboxEnded)] == ["closed"]
    assert (branched.parent / "outputs" / "00001-c1.txt").read_bytes() == b"a.py"
    continued = reopen(where, branched)
    assert continued.is_branch
    closed(continued.folder, continued.writer)


def test_a_branch_that_was_killed_before_its_files_were_there_still_begins_with_those_of_now(
    where: Places, tmp_path: Path
) -> None:
    branched = branch(where, killed_session(where, tmp_path / "p"), 1)
    expected: list[tuple[Event, bool]] = [
        (SessionResumed(1, "0"), True),
        (WorkspaceSeeded("w", 1, 1, (), 0.1), False),
    ]
    for event, is_branch in expected:
        continued = reopen(where, branched)
        last = continued.last.records[0]
        continued.writer.append(replace(last, seq=last.seq + 1, event=event))
        closed(continued.folder, continued.writer)
        again = reopen(where, branched)
        assert again.is_branch is is_branch
        closed(again.folder, again.writer)


def test_a_branch_of_pis_has_a_record_of_pis_own_up_to_its_turn(where: Places, tmp_path: Path) -> None:
    pis = tmp_path / "pi.jsonl"
    said = [("user", "00.500"), ("assistant", "01.000"), ("user", "03.000"), ("assistant", "04.000")]
    entries: list[dict[str, object]] = [{"type": "session", "id": "a", "timestamp": "2026-11-22T20:00:00.000Z"}]
    for role, second in said:
        stamp = f"2026-11-22T20:00:{second}Z"
        entries.append({"type": "message", "timestamp": stamp, "message": {"role": role}})
    pis.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    (tmp_path / "p").mkdir()
    events: list[tuple[int, Event]] = [
        (0, SessionStarted("x", str(tmp_path / "p"), "0")),
        (0, HarnessStarted("pi", "1.5.2", str(pis), "host")),
        (2, TurnEnded(1, Usage())),
        (5, TurnEnded(2, Usage())),
    ]
    journal = tmp_path / "journal.jsonl"
    records = [
        Recorded(n, float(s), f"2026-11-22T20:00:0{s}.000Z", RunId("r"), event)
        for n, (s, event) in enumerate(events, start=1)
    ]
    journal.write_bytes(b"".join(encode_record(r) for r in records))
    state = resumed_from(read_journal(branch(where, journal, 1)).records)
    assert state.harness_ref is not None
    assert state.harness_ref != str(pis)
    assert len(Path(state.harness_ref).read_text().splitlines()) == 3


def test_there_is_no_branch_from_a_turn_that_was_not_finished(where: Places, tmp_path: Path) -> None:
    journal = killed_session(where, tmp_path / "p")
    with pytest.raises(SessionError, match="the session has 2 turns"):
        branch(where, journal, 3)
    assert len(SessionStore(where.sessions).sessions()) == 1


def test_a_journal_from_elsewhere_is_copied_into_a_session_of_its_own(where: Places, tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    sent = tmp_path / "sent.jsonl"
    records = [
        Recorded(n, 0.0, "", RunId("r"), e) for n, e in enumerate(events_of("x", tmp_path / "p"), start=1)
    ]
    sent.write_bytes(b"".join(encode_record(r) for r in records))
    before = sent.read_bytes()
    continued = reopen(where, sent)
    assert sent.read_bytes() == before
    assert continued.folder.folder.parent == where.sessions
    assert len(continued.state.messages) == 4
    closed(continued.folder, continued.writer)


def test_a_journal_of_a_newer_agentui_is_not_touched(where: Places, tmp_path: Path) -> None:
    journal = killed_session(where, tmp_path / "p")
    records = read_journal(journal).records
    newer = b"".join(encode_record(replace(record, v=FORMAT_VERSION + 1)) for record in records)[:-1]
    journal.write_bytes(newer)
    sent = tmp_path / "sent.jsonl"
    sent.write_bytes(newer)
    for path in (journal, sent):
        with pytest.raises(SessionError, match="newer agentui") as caught:
            reopen(where, path)
        assert "update" in caught.value.hint
        assert path.read_bytes() == newer
    assert len(SessionStore(where.sessions).sessions()) == 1


def test_a_journal_without_a_beginning_leaves_no_session_behind(where: Places, tmp_path: Path) -> None:
    sent = tmp_path / "sent.jsonl"
    sent.write_bytes(encode_record(Recorded(9, 0.0, "", RunId("r"), TurnStarted(1))))
    with pytest.raises(SessionError, match="beginning cannot be read"):
        reopen(where, sent)
    assert not list(where.sessions.iterdir())


def test_a_journal_from_elsewhere_whose_project_is_gone_leaves_no_session_behind(
    where: Places, tmp_path: Path
) -> None:
    sent = tmp_path / "sent.jsonl"
    events = events_of("x", tmp_path / "gone")
    records = [Recorded(n, 0.0, "", RunId("r"), e) for n, e in enumerate(events, start=1)]
    sent.write_bytes(b"".join(encode_record(r) for r in records))
    with pytest.raises(SessionError, match="its project"):
        reopen(where, sent)
    assert list(where.sessions.iterdir()) == []
