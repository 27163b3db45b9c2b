"""A journal of an older format becomes one of today's; the original stays beside it.

The new file is whole and on the disk before it takes the old one's name, so that a crash at any moment leaves
either the old journal, or the new one and the old one under its other name.
"""

from __future__ import annotations

import os
from pathlib import Path

from agentui.errors import SessionError
from agentui.session.format import FORMAT_VERSION
from agentui.session.journal import encode_record, scan_journal
from agentui.session.parts import read_blocks, sync_folder


def version_of(journal: Path) -> int | None:
    """The format of the oldest line that can be read for it; ``None`` for an empty or unreadable journal."""
    import json

    try:
        for block in read_blocks(journal):
            for line in block.content.split(b"\n"):
                try:
                    version = json.loads(line)["v"]
                except (ValueError, KeyError, TypeError, RecursionError):
                    continue
                if isinstance(version, int):
                    return version
    except OSError:
        pass
    return None


def refuse_newer(journal: Path) -> None:
    """Let nobody write a journal that a newer agentui wrote. Blocks.

    Raises:
        SessionError: If it is one.
    """
    version = version_of(journal)
    if version is not None and version > FORMAT_VERSION:
        raise SessionError(
            f"{journal} is of format {version}, which a newer agentui wrote",
            hint="update agentui to go on with it",
        )


def kept_original(journal: Path, version: int) -> Path:
    """Where the journal of an older `version` is kept."""
    return journal.with_name(f"{journal.stem}.v{version}.jsonl")


def migrate(journal: Path) -> Path | None:
    """Write `journal` anew in today's format if it is older; returns where the original is kept. Blocks.

    For the one writer only. Lines that cannot be read stay in the original alone.

    Raises:
        SessionError: If it cannot be written; the journal is then as it was.
    """
    version = version_of(journal)
    if version is None or version >= FORMAT_VERSION:
        return None
    original = kept_original(journal, version)
    draft = journal.with_name(journal.name + ".new")
    try:
        with draft.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            for recorded in scan_journal(journal):
                file.write(encode_record(recorded))
            file.flush()
            os.fsync(file.fileno())
        if not original.exists():
            os.link(journal, original)
        os.replace(draft, journal)
        sync_folder(journal.parent)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise SessionError(
            f"session file {journal} of format {version} cannot be rewritten: {error.strerror}",
            hint="make room on the disk; the session is as it was",
        ) from error
    return original
