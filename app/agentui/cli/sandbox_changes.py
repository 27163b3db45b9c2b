"""`agentui sandbox diff|apply|discard|undo|redo`: what changed in a copy, and its way to the project."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from agentui.cli import exit_code
from agentui.cli.arguments import add_settings, start
from agentui.cli.sandbox_output import in_words, json_line
from agentui.errors import (
    AgentuiError,
    ApplyConflict,
    ProjectBusy,
    SandboxUnavailable,
    UsageError,
    WorkspaceError,
)
from agentui.events import Change
from agentui.text import clean, clean_line, plural

if TYPE_CHECKING:
    from agentui.wire import Bench

_LETTERS = {"added": "A", "deleted": "D", "modified": "M", "mode": "m", "link": "L", "type": "T"}
_RULES = {"ask": "needs a yes", "never": "never applied", "conflict": "conflict"}

_NOT_NOW = "75 the copy cannot be reached, or another agentui works on the project"
_EPILOGS: dict[str, str] = {
    "diff": f"exit codes: 0 shown, changes or none; 1 failed; 2 usage;\n            {_NOT_NOW}",
    "apply": f"""\
Applies everything that is free, or the named files and folders, as one unit: all of it or nothing. Git's own
files, agentui's settings, special files and links that leave the project are never applied. What tools run by
themselves (build files, hooks, editor settings) needs --include-ask.

exit codes: 0 applied, or there was nothing to apply (what is left in the copy is named);
            1 nothing was written: conflicts, or all of it waits for a yes, or it failed; 2 usage;
            {_NOT_NOW}
--json:     outcome (applied, nothing, waits, conflict, failed, unavailable), changes, left, message""",
    "discard": f"exit codes: 0 dropped, or there was nothing; 1 failed; 2 usage;\n            {_NOT_NOW}",
    "undo": """\
Works without the sandbox too: the project is put back, and the copy follows at its next start.

exit codes: 0 done; 1 nothing to do, or a file was changed since (nothing was written); 2 usage;
            75 another agentui works on the project""",
}
_EPILOGS["redo"] = _EPILOGS["undo"]


def add_arguments(parser: argparse.ArgumentParser, action: str) -> None:
    """Declare the flags of one action."""
    parser.epilog = _EPILOGS[action]
    add_settings(parser, ("sandbox",))
    parser.add_argument("--workspace", metavar="ID", help="the copy (default: that of the folder)")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    if action in ("diff", "apply", "discard"):
        parser.add_argument("paths", nargs="*", metavar="PATH", help="only these files and folders")
    match action:
        case "diff":
            parser.add_argument("--stat", action="store_true", help="only the list of files")
        case "apply":
            parser.add_argument("--include-ask", action="store_true", help="also what needs a yes")
            parser.add_argument(
                "--leave-conflicts", action="store_true", help="apply the rest where files are in conflict"
            )
        case "undo" | "redo":
            parser.add_argument("-n", "--dry-run", action="store_true", help="only say what it would do")


def run(args: argparse.Namespace) -> int:
    """Do one action and tell how it went; returns the exit code.

    Raises:
        AgentuiError: Without ``--json``: what stood against it.
    """
    begun = start(args)
    from agentui import wire

    bench = wire.open_bench(begun.loaded.settings, begun.places, begun.project, workspace_id=args.workspace)
    if not bench.is_known:
        raise UsageError(
            f"there is no copy of {bench.project} yet",
            hint="one is made by a session, or by: agentui sandbox run --keep -- COMMAND",
        )
    told = _Told(bench.place.workspace_id, args.json)
    try:
        return asyncio.run(_with(bench, args, told))
    except AgentuiError as error:
        if not args.json or isinstance(error, UsageError):
            raise
        paths = list(error.paths) if isinstance(error, ApplyConflict) else []
        message = in_words(error)
        told.record(outcome=_outcome(error), message=message, paths=paths)
        return exit_code(error)


def _outcome(error: AgentuiError) -> str:
    match error:
        case ApplyConflict():
            return "conflict"
        case SandboxUnavailable() | ProjectBusy():
            return "unavailable"
        case _:
            return "failed"


class _Told:
    """Where results go: lines for people, or one object."""

    def __init__(self, workspace_id: str, as_json: bool) -> None:
        self._workspace_id = workspace_id
        self._as_json = as_json

    def record(self, **fields: Any) -> None:
        """Print the object, if that is what was asked for."""
        if self._as_json:
            print(json_line({"workspace": self._workspace_id, **fields}), flush=True)

    def lines(self, lines: Iterable[str]) -> None:
        """Print lines for people."""
        if not self._as_json:
            for line in lines:
                indent = " " * (len(line) - len(line.lstrip(" ")))
                print(indent + clean_line(line))

    def text(self, text: str) -> None:
        """Print text for people: exact, but to a terminal only what cannot drive it."""
        if self._as_json:
            return
        shown = clean(text) if sys.stdout.isatty() else text
        sys.stdout.flush()
        sys.stdout.buffer.write(shown.encode("utf-8", "surrogateescape"))
        sys.stdout.buffer.flush()


_Action = Callable[["Bench", argparse.Namespace, _Told], Awaitable[int]]


async def _with(bench: Bench, args: argparse.Namespace, told: _Told) -> int:
    actions: dict[str, _Action] = {
        "diff": _diff,
        "apply": _apply,
        "discard": _discard,
        "undo": _turn,
        "redo": _turn,
    }
    try:
        if args.action in ("undo", "redo"):
            await bench.open_history(_note)
        else:
            await bench.open_changes(_note)
        return await actions[args.action](bench, args, told)
    finally:
        await bench.aclose()


def _note(text: str) -> None:
    print(f"agentui: {clean_line(text)}", file=sys.stderr)


async def _diff(bench: Bench, args: argparse.Namespace, told: _Told) -> int:
    changes = _named(await bench.workspace.changes(), args.paths)
    told.lines(map(_line, changes))
    texts: dict[str, str] = {}
    for change in changes:
        if args.stat or change.rule == "never":
            continue
        text = await bench.workspace.diff_text(change.path)
        if args.json:
            texts[change.path] = text
        else:
            told.text("\n" + text.rstrip("\n") + "\n")
    told.record(changes=[{**_record(c), "diff": texts.get(c.path)} for c in changes])
    return 0


async def _apply(bench: Bench, args: argparse.Namespace, told: _Told) -> int:
    workspace, paths = bench.workspace, tuple(args.paths) or None
    before = await workspace.changes()
    conflicts = [change for change in before if change.rule == "conflict"]
    if conflicts and paths is None and not args.leave_conflicts:
        names = tuple(change.path for change in conflicts)
        raise ApplyConflict(
            f"changed in the project too: {', '.join(names[:5])}; nothing was written",
            hint="--leave-conflicts applies the rest; discard PATH takes the project's version",
            paths=names,
        )
    wanted = ("free", "ask") if args.include_ask else ("free",)
    if not any(change.rule in wanted for change in before) and paths is None:
        return _nothing(before, told)
    try:
        applied = await workspace.apply(paths, args.include_ask, "user")
    except ApplyConflict:
        raise
    except WorkspaceError as error:
        waits = not args.include_ask and any(change.rule == "ask" for change in before)
        hint = "--include-ask applies what needs a yes" if waits else error.hint
        raise WorkspaceError(error.message, hint=hint) from error
    done = {change.path for change in applied.changes}
    left = [change for change in before if change.path not in done]
    told.lines([f"applied {plural(len(done), 'change')} (undo: agentui sandbox undo)"])
    told.lines(f"  {_line(change)}" for change in applied.changes)
    _tell_left(left, told)
    told.record(
        outcome="applied",
        apply_id=applied.apply_id,
        changes=[_record(change) for change in applied.changes],
        left=[_record(change) for change in left],
    )
    return 0


def _nothing(changes: tuple[Change, ...], told: _Told) -> int:
    """Say why nothing was applied: there is nothing, or everything waits."""
    waits = [change for change in changes if change.rule == "ask"]
    told.lines([] if waits else ["nothing to apply"])
    if waits:
        _note(f"nothing was applied: --include-ask is needed for {plural(len(waits), 'change')}")
    _tell_left(changes, told)
    outcome = "waits" if waits else "nothing"
    told.record(outcome=outcome, apply_id=None, changes=[], left=[_record(change) for change in changes])
    return 1 if waits else 0


def _tell_left(left: Iterable[Change], told: _Told) -> None:
    lines = [f"  {_line(change)}" for change in left]
    told.lines(["left in the copy:", *lines] if lines else [])


async def _discard(bench: Bench, args: argparse.Namespace, told: _Told) -> int:
    if not args.paths and not await bench.workspace.changes():
        told.lines(["nothing to discard"])
        told.record(outcome="nothing", paths=[])
        return 0
    discarded = await bench.workspace.discard(tuple(args.paths) or None)
    told.lines([f"discarded {plural(len(discarded.paths), 'change')}"])
    told.lines(f"  {path}" for path in discarded.paths)
    told.record(outcome="discarded", paths=list(discarded.paths))
    return 0


async def _turn(bench: Bench, args: argparse.Namespace, told: _Told) -> int:
    """Undo or redo."""
    redo = args.action == "redo"
    preview = await bench.workspace.undo_preview(redo)
    if args.dry_run or preview is None:
        if preview is None:
            raise WorkspaceError(f"there is no apply to {args.action}")
        told.lines(f"would put back {path}" for path in preview.restores)
        told.lines(f"would remove {path}" for path in preview.removes)
        told.lines(f"would be refused: you changed {path} since" for path in preview.conflicts)
        fields = {
            "restores": list(preview.restores),
            "removes": list(preview.removes),
            "conflicts": list(preview.conflicts),
        }
        told.record(outcome="dry-run", apply_id=preview.apply_id, **fields)
        return 0
    done = await (bench.workspace.redo() if redo else bench.workspace.undo())
    told.lines([f"{args.action} of {preview.apply_id}:"])
    told.lines(f"  put back {path}" for path in preview.restores)
    told.lines(f"  removed {path}" for path in preview.removes)
    told.record(
        outcome="redone" if redo else "undone",
        apply_id=done.apply_id,
        restores=list(preview.restores),
        removes=list(preview.removes),
    )
    return 0


def _named(changes: tuple[Change, ...], paths: list[str]) -> list[Change]:
    """The changes at or below the named paths; all without names."""
    if not paths:
        return list(changes)
    names = [path.rstrip("/") for path in paths]
    return [c for c in changes if any(c.path == name or c.path.startswith(name + "/") for name in names)]


def _line(change: Change) -> str:
    counts = ""
    if change.added_lines is not None or change.removed_lines is not None:
        counts = f"  +{change.added_lines or 0} -{change.removed_lines or 0}"
    rule = _RULES.get(change.rule)
    why = f"  [{rule}: {change.why}]" if rule else ""
    return f"{_LETTERS.get(change.kind, '?')} {change.path}{counts}{why}"


def _record(change: Change) -> dict[str, Any]:
    return dataclasses.asdict(change)
