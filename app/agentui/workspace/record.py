"""What is known of a workspace without opening it: whose copy it is, and what it keeps for undo."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agentui.workspace.copystate import remove_tree
from agentui.workspace.ignore import bytes_of, text_of
from agentui.workspace.settings import CopyKind
from agentui.workspace.undo import History

RECORD = "workspace.json"
APPLIES = "applies"
_KINDS: tuple[CopyKind, ...] = ("volume", "folder")


@dataclass(frozen=True, slots=True)
class WorkspaceRecord:
    """One workspace. `kinds` are the copies it has; `everything` says that they hold ignored files too."""

    workspace_id: str
    folder: Path
    project: Path
    everything: bool
    used_at_utc: str
    kinds: tuple[CopyKind, ...]
    applies: int
    trash_bytes: int


def base_file(folder: Path, kind: CopyKind) -> Path:
    """Where the base of a copy is kept."""
    return folder / f"base-{kind}.sqlite3"


def write_record(folder: Path, project: Path, everything: bool) -> None:
    """Note whose workspace this is and that it is used now.

    Raises:
        OSError: If it cannot be written.
    """
    line = {
        "v": 1,
        "project": text_of(os.fsencode(project)),
        "everything": everything,
        "used_at_utc": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    part = folder / f"{RECORD}.part"
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as out:
        out.write(json.dumps(line) + "\n")
    part.replace(folder / RECORD)


def read_record(folder: Path) -> WorkspaceRecord | None:
    """The workspace kept in `folder`; ``None`` if there is none or its note cannot be read. Blocking."""
    try:
        line = json.loads((folder / RECORD).read_text(encoding="ascii"))
        project = Path(os.fsdecode(bytes_of(line["project"])))
        everything, used = bool(line["everything"]), str(line["used_at_utc"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    applies, size_bytes = 0, 0
    if (folder / APPLIES).is_dir():
        past = History(folder / APPLIES).past()
        applies, size_bytes = len(past), sum(one.size_bytes for one in past)
    kinds: tuple[CopyKind, ...] = tuple(kind for kind in _KINDS if base_file(folder, kind).exists())
    return WorkspaceRecord(folder.name, folder, project, everything, used, kinds, applies, size_bytes)


def read_records(folder: Path) -> list[WorkspaceRecord]:
    """Every workspace below `folder`, by name. Blocking."""
    if not folder.is_dir():
        return []
    found = (read_record(inner) for inner in sorted(folder.iterdir()))
    return [record for record in found if record is not None]


def forget_copies(record: WorkspaceRecord) -> None:
    """Drop what was remembered of the copies. What applies replaced on the host stays, so undo still works.

    Blocking. The whole folder goes where nothing is kept for undo.

    Raises:
        OSError: If it cannot be removed.
    """
    for kind in _KINDS:
        base_file(record.folder, kind).unlink(missing_ok=True)
    if not record.applies:
        remove_tree(record.folder)
