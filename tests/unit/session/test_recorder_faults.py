from __future__ import annotations

from pathlib import Path

from agentui.events import HistoryAppended, Warned
from agentui.session.journal import read_journal
from agentui.session.recorder import Recorder
from agentui.session.writer import JournalWriter


async def test_a_record_that_is_no_json_costs_itself_and_nothing_after_it(tmp_path: Path) -> None:
    recorder = Recorder(JournalWriter(tmp_path / "journal.jsonl"))
    seen: list[int] = []
    recorder.subscribe(lambda recorded: seen.append(recorded.seq))
    recorder.emit(HistoryAppended({"role": object()}))
    recorder.emit(Warned("later", "still written"))
    await recorder.aclose()
    assert seen == [1, 2]
    assert recorder.unwritten == 0
    assert [r.event for r in read_journal(tmp_path / "journal.jsonl").records] == [
        Warned("later", "still written")
    ]
