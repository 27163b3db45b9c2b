"""Recorded conversations with Pi 1.5.2, and what must hold of events folded from them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from agentui.harness.pi.fold import ENDED_EARLY, PiFold
from agentui.harness.pi.records import PiRecord, parse_record
from tests.fakes import Log

FOLDER = Path(__file__).parents[3] / "data" / "pi-captures"
CAPTURES = sorted(path for path in FOLDER.glob("*.jsonl") if ".session." not in path.name)


def said_by_pi(path: Path) -> list[bytes]:
    """The lines of a capture that Pi wrote to standard output, as it writes them: UTF-8, not escaped."""
    lines: list[bytes] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        wrapped = json.loads(line)
        if wrapped["dir"] != "out":
            continue
        record = wrapped.get("rec", wrapped.get("raw"))
        text = record if isinstance(record, str) else json.dumps(record, ensure_ascii=False)
        lines.append(text.encode("utf-8", "surrogatepass"))
    return lines


def folded(records: Iterable[PiRecord], asked_tools: frozenset[str] = frozenset()) -> Log:
    """All events of a fold over the records, closed at the end."""
    log = Log()
    counter = iter(range(1, 1_000_000))
    seconds = iter(range(1, 10_000_000))
    fold = PiFold(log.emit, lambda prefix: f"{prefix}{next(counter)}", lambda: next(seconds) / 10, asked_tools)
    for record in records:
        fold.take(record)
    fold.close(ENDED_EARLY)
    return log


def folded_file(name: str, asked_tools: frozenset[str] = frozenset()) -> Log:
    """The events of the capture whose name begins with `name`."""
    path = next(path for path in CAPTURES if path.name.startswith(f"{name}-"))
    return folded((parse_record(line) for line in said_by_pi(path)), asked_tools)
