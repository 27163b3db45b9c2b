"""`agentui sandbox list|remove|trash`: which copies are kept, and what applies replaced."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING, Any

from agentui.cli import exit_code
from agentui.cli.arguments import Start, add_settings, start
from agentui.cli.sandbox_output import in_words, json_line
from agentui.errors import AgentuiError, UsageError
from agentui.text import clean_line, human_bytes, plural

if TYPE_CHECKING:
    from agentui.workspace.record import WorkspaceRecord
    from agentui.workspace.undo import PastApply

_EPILOGS = {
    "list": "exit codes: 0 listed; 2 usage",
    "remove": """\
Removes the copy with the changes that were not applied. What applies replaced in the project stays, so undo
still works; `agentui sandbox trash --empty` removes that.

exit codes: 0 removed; 1 one could not be removed; 2 usage;
            75 the engine is not there, or another agentui works on the project""",
    "trash": "exit codes: 0 shown or emptied; 1 failed; 2 usage; 75 another agentui works on the project",
}


def add_arguments(parser: argparse.ArgumentParser, action: str) -> None:
    """Declare the flags of one action."""
    parser.epilog = _EPILOGS[action]
    add_settings(parser, ())
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    if action == "remove":
        parser.add_argument("ids", nargs="*", metavar="ID", help="the copies (default: that of the folder)")
    if action in ("remove", "trash"):
        parser.add_argument("--workspace", metavar="ID", help="the copy (default: that of the folder)")
    if action == "trash":
        parser.add_argument("--empty", action="store_true", help="delete it for good: no undo any more")
        parser.add_argument(
            "--keep", type=_count, default=0, metavar="N", help="with --empty: but not of the last N applies"
        )


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of applies")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Do one action; returns the exit code.

    Raises:
        UsageError: If there is no such copy.
        AgentuiError: Without ``--json``: what stood against it.
    """
    begun = start(args)
    try:
        match args.action:
            case "list":
                return _list(args, begun)
            case "remove":
                return asyncio.run(_remove(args, begun))
            case _:
                return asyncio.run(_trash(args, begun))
    except AgentuiError as error:
        if not args.json or isinstance(error, UsageError):
            raise
        print(json_line({"outcome": "failed", "message": in_words(error)}))
        return exit_code(error)


def _list(args: argparse.Namespace, begun: Start) -> int:
    from agentui import wire

    records = wire.list_workspaces(begun.places)
    if args.json:
        print(json_line({"workspaces": [_record(record) for record in records]}))
        return 0
    if not records:
        print("no copies are kept")
    for record in records:
        kept = f"kept for undo: {record.applies}, {human_bytes(record.trash_bytes)}"
        where = ", ".join(record.kinds) or "no copy any more"
        line = f"{record.workspace_id}  {record.project}  ({where}; used {record.used_at_utc}; {kept})"
        print(clean_line(line))
    return 0


def _record(record: WorkspaceRecord) -> dict[str, Any]:
    return {
        "id": record.workspace_id,
        "project": str(record.project),
        "copies": list(record.kinds),
        "everything": record.everything,
        "used_at_utc": record.used_at_utc,
        "applies": record.applies,
        "trash_bytes": record.trash_bytes,
    }


async def _remove(args: argparse.Namespace, begun: Start) -> int:
    from agentui import wire

    ids = [*args.ids, *([args.workspace] if args.workspace else [])]
    settings, places, project = begun.loaded.settings, begun.places, begun.project
    benches = [wire.open_bench(settings, places, project, workspace_id=name) for name in ids or [None]]
    removed: list[str] = []
    for bench in benches:
        if not bench.is_known:
            raise UsageError(f"there is no copy of {bench.project}")
        await bench.remove()
        removed.append(bench.place.workspace_id)
        if not args.json:
            print(f"removed {bench.place.workspace_id}")
    if args.json:
        print(json_line({"outcome": "removed", "removed": removed}))
    return 0


async def _trash(args: argparse.Namespace, begun: Start) -> int:
    from agentui import wire

    bench = wire.open_bench(begun.loaded.settings, begun.places, begun.project, workspace_id=args.workspace)
    if not bench.is_known:
        raise UsageError(f"there is no copy of {bench.project}, so no trash")
    try:
        await bench.open_trash()
        freed = await bench.workspace.empty_trash(args.keep) if args.empty else 0
        past = await bench.workspace.history()
    finally:
        await bench.aclose()
    if args.json:
        applies = [_apply_record(one) for one in past]
        record = {"workspace": bench.place.workspace_id, "applies": applies}
        print(json_line({**record, "freed_bytes": freed} if args.empty else record))
        return 0
    if args.empty:
        print(f"freed {human_bytes(freed)}; what was replaced cannot be brought back any more")
    for one in past:
        size = human_bytes(one.size_bytes)
        files = plural(len(one.head.changes), "change")
        print(clean_line(f"{one.head.apply_id}  {one.head.at_utc}  {one.state}  {files}  {size}"))
    if not past:
        print("nothing is kept", file=sys.stderr)
    return 0


def _apply_record(one: PastApply) -> dict[str, Any]:
    return {
        "apply_id": one.head.apply_id,
        "at_utc": one.head.at_utc,
        "by": one.head.by,
        "state": one.state,
        "paths": [change.path for change in one.head.changes],
        "size_bytes": one.size_bytes,
    }
