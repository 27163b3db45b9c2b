"""The record of one apply on disk: its plan, and how far it came.

A unit is a folder: ``plan.jsonl`` (written whole, then renamed into place), ``journal.jsonl`` (each line
durable before what it announces is done), ``slots/`` (contents). Names are JSON strings with surrogate escapes
for bytes that are no UTF-8, so every name survives. A torn last line counts as never written: what it announced
was not begun.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from agentui.errors import WorkspaceError
from agentui.events import Change
from agentui.workspace.hosttree import Node
from agentui.workspace.ignore import bytes_of, text_of
from agentui.workspace.plan import Op, Plan, Target

UnitState = Literal["staged", "applied", "undone", "superseded", "torn", "dropped"]
_PLAN = "plan.jsonl"
_JOURNAL = "journal.jsonl"


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a unit stands. Only a torn one has steps that may or may not have happened: the first `announced`.

    `was` is the state before the run that `forward` names. `times` are those of the touched folders after the
    last complete run forward, `times_before` those before the run that was cut.
    """

    state: UnitState
    forward: bool = True
    announced: int = 0
    was: UnitState = "staged"
    times: Mapping[bytes, int] | None = None
    times_before: Mapping[bytes, int] | None = None


@dataclass(frozen=True, slots=True)
class UnitHead:
    """What the list of applies shows of one."""

    apply_id: str
    at_utc: str
    by: Literal["user", "auto"]
    changes: tuple[Change, ...]


class Unit:
    """One apply's folder. Blocking."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def slots(self) -> Path:
        """Folder of the contents."""
        return self.folder / "slots"

    @property
    def label(self) -> str:
        """Short name, part of the names of temporary files on the host."""
        return self.folder.name

    @property
    def has_plan(self) -> bool:
        """Whether the apply got as far as a complete plan."""
        return (self.folder / _PLAN).exists()

    def write_plan(self, head: UnitHead, plan: Plan) -> None:
        """Write the plan durably; nothing of the host may be touched before."""
        lines: list[object] = [
            {
                "v": 1,
                "id": head.apply_id,
                "at_utc": head.at_utc,
                "by": head.by,
                "changes": [asdict(change) for change in head.changes],
                "times": {text_of(path): mtime for path, mtime in plan.folder_times.items()},
            }
        ]
        lines += [
            {"path": text_of(path), "before": _node_out(target.before), "after": _node_out(target.after)}
            for path, target in plan.targets.items()
        ]
        lines += [
            {
                "op": op.kind,
                "path": text_of(op.path),
                "node": _node_out(op.node),
                "slot": op.slot,
                "from": op.from_mode,
            }
            for op in plan.ops
        ]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        part = self.folder / (_PLAN + ".part")
        with part.open("wb") as stream:
            stream.write(text.encode("ascii"))
            stream.flush()
            os.fsync(stream.fileno())
        part.rename(self.folder / _PLAN)
        _sync_folder(self.folder)
        _sync_folder(self.folder.parent)

    def read_head(self) -> UnitHead:
        """The first line of the plan."""
        with (self.folder / _PLAN).open("rb") as stream:
            return _head(self._load(stream.readline()))

    def read_plan(self) -> Plan:
        """The whole plan.

        Raises:
            WorkspaceError: If it is damaged.
        """
        lines = [self._load(line) for line in (self.folder / _PLAN).read_bytes().splitlines()]
        try:
            times = {bytes_of(path): mtime for path, mtime in lines[0]["times"].items()}
            targets = {
                bytes_of(line["path"]): Target(_node_in(line["before"]), _node_in(line["after"]))
                for line in lines[1:]
                if "op" not in line
            }
            ops = tuple(
                Op(line["op"], bytes_of(line["path"]), _node(line["node"]), line["slot"], line["from"])
                for line in lines[1:]
                if "op" in line
            )
        except (KeyError, TypeError, IndexError) as error:
            raise WorkspaceError(f"the plan of the apply {self.folder} is damaged: {error!r}") from error
        return Plan(targets, ops, times)

    def _load(self, line: bytes) -> dict[str, Any]:
        try:
            found = json.loads(line)
        except ValueError as error:
            raise WorkspaceError(f"the plan of the apply {self.folder} is damaged") from error
        if not isinstance(found, dict):
            raise WorkspaceError(f"the plan of the apply {self.folder} is damaged")
        return found

    def log(self, line: Mapping[str, object]) -> None:
        """Append one line and make it durable."""
        fd = os.open(self.folder / _JOURNAL, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(fd).st_size
            # After a torn line a new one begins, else both would be lost.
            torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
            os.write(fd, (b"\n" if torn else b"") + json.dumps(line).encode("ascii") + b"\n")
            os.fsync(fd)
        finally:
            os.close(fd)

    def progress(self) -> Progress:
        """Fold the journal."""
        try:
            raw = (self.folder / _JOURNAL).read_bytes()
        except FileNotFoundError:
            return Progress("staged")
        now = Progress("staged")
        complete = raw[: raw.rfind(b"\n") + 1]
        for line in complete.splitlines():
            try:
                found = json.loads(line)
            except ValueError:
                continue
            now = _advance(now, found)
        return now


def _advance(now: Progress, line: dict[str, Any]) -> Progress:
    if "run" in line:
        # A run that begins anew after a tear keeps what it was before the first one.
        was = now.was if now.state == "torn" else now.state
        return Progress("torn", line["run"] == "forward", 0, was, now.times, _times_in(line))
    if "do" in line:
        return replace(now, state="torn", announced=max(now.announced, int(line["do"])))
    if "end" in line:
        times = now.times
        if now.forward:
            times = _times_in(line)
        return Progress("applied" if now.forward else "undone", times=times)
    if "superseded" in line:
        return Progress("superseded", times=now.times)
    if "back" in line:
        return Progress("dropped" if now.was == "staged" else now.was, times=now.times)
    return now


def _times_in(line: dict[str, Any]) -> dict[bytes, int]:
    return {bytes_of(path): mtime for path, mtime in line.get("times", {}).items()}


def _head(line: dict[str, Any]) -> UnitHead:
    changes = tuple(Change(**change) for change in line["changes"])
    return UnitHead(line["id"], line["at_utc"], "auto" if line["by"] == "auto" else "user", changes)


def _node_out(node: Node | None) -> dict[str, object] | None:
    if node is None:
        return None
    target = None if node.link_target is None else text_of(node.link_target)
    return {
        "type": node.type,
        "mode": node.mode,
        "size": node.size_bytes,
        "mtime": node.mtime_ns,
        "sha": node.sha256.hex(),
        "target": target,
    }


def _node_in(line: dict[str, Any] | None) -> Node | None:
    return None if line is None else _node(line)


def _node(line: dict[str, Any]) -> Node:
    target = None if line["target"] is None else bytes_of(line["target"])
    return Node(line["type"], line["mode"], line["size"], line["mtime"], bytes.fromhex(line["sha"]), target)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
