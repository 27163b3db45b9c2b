"""What the copy was made from, kept across sessions: one entry per copied path, and small texts for merging.

Kept in one SQLite file, so that a crash leaves the state before or after a change, never between. Names are
stored as bytes: they may hold anything but NUL.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from agentui.errors import WorkspaceError
from agentui.sandbox.base import EntryType
from agentui.workspace.hosttree import Node

FORMAT = "1"
MAX_TEXT_BYTES = 256 * 1024

_SCHEMA = """
create table if not exists entries (
  path blob primary key, type text not null, mode int not null, size int not null, mtime int not null,
  sha blob not null, target blob, host_mark text not null, copy_mark text not null, copy_mode int not null
) without rowid;
create table if not exists texts (sha blob primary key, data blob not null) without rowid;
create table if not exists conflicts (path blob primary key, host text not null) without rowid;
create table if not exists meta (key text primary key, value text not null) without rowid;
"""


@dataclass(frozen=True, slots=True)
class Known:
    """One path as it was when host and copy last agreed.

    The marks say cheaply that a side has not changed since: `host_mark` is `hosttree.mark_of`, `copy_mark` the
    fingerprint of the copy's entry; empty means "compare the content". `copy_mode` is the mode as the copy
    showed it then, which some file systems change.
    """

    node: Node
    host_mark: str = ""
    copy_mark: str = ""
    copy_mode: int = 0


class Baseline:
    """The persisted base. Blocking; one writer at a time.

    Raises:
        WorkspaceError: From the constructor, if the file is damaged or of another format.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._entries: dict[bytes, Known] | None = None
        try:
            # SQLite would make it readable for all; what it writes beside the file takes the file's mode.
            file.touch(mode=0o600)
            with self._db() as db:
                db.executescript(_SCHEMA)
                found = db.execute("select value from meta where key = 'format'").fetchone()
                if found is None:
                    db.execute("insert into meta values ('format', ?)", (FORMAT,))
                elif found[0] != FORMAT:
                    raise WorkspaceError(
                        f"{file} was written by another version (format {found[0]})",
                        hint="remove the workspace and start again; pending changes in it are lost",
                    )
        except (OSError, sqlite3.DatabaseError) as error:
            raise WorkspaceError(
                f"the workspace's state {file} cannot be read: {error}",
                hint="remove the workspace and start again; pending changes in it are lost",
            ) from error

    @contextmanager
    def _db(self) -> Iterator[sqlite3.Connection]:
        # One short-lived connection per change: worker threads come and go.
        db = sqlite3.connect(self._file, timeout=10.0)
        try:
            with db:
                yield db
        finally:
            db.close()

    @property
    def entries(self) -> dict[bytes, Known]:
        """Every copied path. Read at the first use, then held in memory and always current."""
        if self._entries is None:
            with self._db() as db:
                self._entries = self._load(db)
        return self._entries

    @property
    def has_entries(self) -> bool:
        """Whether there are any; does not read them."""
        with self._db() as db:
            return db.execute("select 1 from entries limit 1").fetchone() is not None

    @staticmethod
    def _load(db: sqlite3.Connection) -> dict[bytes, Known]:
        entries: dict[bytes, Known] = {}
        for path, kind, mode, size, mtime, sha, target, host, copy, copy_mode in db.execute(
            "select path, type, mode, size, mtime, sha, target, host_mark, copy_mark, copy_mode from entries"
        ):
            node = Node(cast(EntryType, kind), mode, size, mtime, sha, target)
            entries[path] = Known(node, host, copy, copy_mode)
        return entries

    @property
    def is_seeded(self) -> bool:
        """Whether the copy was once made completely."""
        return self.meta("seeded") == "yes"

    def meta(self, key: str) -> str | None:
        """A remembered value."""
        with self._db() as db:
            found = db.execute("select value from meta where key = ?", (key,)).fetchone()
        return None if found is None else str(found[0])

    def set_meta(self, key: str, value: str) -> None:
        """Remember a value."""
        with self._db() as db:
            db.execute("insert or replace into meta values (?, ?)", (key, value))

    def replace(self, entries: Mapping[bytes, Known]) -> None:
        """Forget everything and start from `entries`, which are the whole copy."""
        with self._db() as db:
            db.execute("delete from entries")
            db.execute("delete from conflicts")
            db.executemany(_INSERT, map(_row, entries.items()))
            db.execute("insert or replace into meta values ('seeded', 'yes')")
            db.execute(_FORGET_WITNESS)
        self._entries = dict(entries)

    def begin_seeding(self) -> None:
        """Forget everything: the copy is being made anew and is worth nothing until `replace`."""
        with self._db() as db:
            db.execute("delete from entries")
            db.execute("delete from conflicts")
            db.execute("insert or replace into meta values ('seeded', 'no')")
            db.execute(_FORGET_WITNESS)
        self._entries = {}

    def update(self, put: Mapping[bytes, Known], drop: Iterable[bytes] = ()) -> None:
        """Set and forget entries in one step; nothing is written if nothing would change."""
        gone = [path for path in drop if path in self.entries and path not in put]
        new = {path: known for path, known in put.items() if self.entries.get(path) != known}
        if not gone and not new:
            return
        with self._db() as db:
            db.executemany("delete from entries where path = ?", ((path,) for path in gone))
            db.executemany(_INSERT, map(_row, new.items()))
            db.execute(_FORGET_WITNESS)
        for path in gone:
            del self.entries[path]
        self.entries.update(new)

    def add_texts(self, texts: Mapping[bytes, bytes]) -> None:
        """Keep contents by their hash, for merging and diffs."""
        if not texts:
            return
        with self._db() as db:
            # Compressing costs more than asking.
            kept = "select 1 from texts where sha = ?"
            new = {sha: data for sha, data in texts.items() if db.execute(kept, (sha,)).fetchone() is None}
            packed = ((sha, zlib.compress(data, 1)) for sha, data in new.items())
            db.executemany("insert or ignore into texts values (?, ?)", packed)

    def text(self, sha: bytes) -> bytes | None:
        """A kept content, ``None`` if it was not kept (too large, binary)."""
        with self._db() as db:
            found = db.execute("select data from texts where sha = ?", (sha,)).fetchone()
        return None if found is None else zlib.decompress(found[0])

    def prune_texts(self) -> None:
        """Drop contents that no entry refers to any more."""
        with self._db() as db:
            db.execute("delete from texts where sha not in (select sha from entries)")

    @property
    def has_told_conflicts(self) -> bool:
        """Whether any conflict was told that may be over by now."""
        with self._db() as db:
            return db.execute("select 1 from conflicts limit 1").fetchone() is not None

    def told_conflicts(self) -> dict[bytes, str]:
        """Conflicts that the user and the model were told of: path and what the host had."""
        with self._db() as db:
            rows: list[Any] = db.execute("select path, host from conflicts").fetchall()
        return dict(rows)

    def set_told_conflicts(self, told: Mapping[bytes, str]) -> None:
        """Remember which conflicts were told."""
        with self._db() as db:
            db.execute("delete from conflicts")
            db.executemany("insert into conflicts values (?, ?)", told.items())


WITNESS = "witness"
"""The value that says what the host was when it last agreed with this base; any change of the base drops it."""
_FORGET_WITNESS = f"delete from meta where key = '{WITNESS}'"
_LAST_NS = 2**63 - 1
_INSERT = "insert or replace into entries values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


def _row(item: tuple[bytes, Known]) -> tuple[object, ...]:
    path, known = item
    node = known.node
    return (
        path,
        node.type,
        node.mode,
        node.size_bytes,
        # Later than the year 2262 is later than the database can say; where times differ, contents decide.
        min(node.mtime_ns, _LAST_NS),
        node.sha256,
        node.link_target,
        known.host_mark,
        known.copy_mark,
        known.copy_mode,
    )
