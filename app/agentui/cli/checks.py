"""`agentui checks list|build|run|add`: the tests and the like that run outside of the agent's shell.

A check is a command of yours with an image that has what it needs (Python, Node, …). It runs in a throwaway
container: on a copy of the files, without network, under its own limits.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from agentui.cli.arguments import Start, add_settings, start
from agentui.config.check_file import add_check
from agentui.config.checks import CheckDefinition, ImageRecipe
from agentui.config.settings import PROFILES
from agentui.config.trust import TrustStore
from agentui.errors import SandboxUnavailable, UsageError
from agentui.text import clean_line

if TYPE_CHECKING:
    from agentui.sandbox.base import CommandResult, OutputChunk
    from agentui.sandbox.project_image import ProjectImage

TIMED_OUT, KILLED, UNAVAILABLE = 124, 137, 75
EXIT_CODES = """exit codes: 0 done, 1 failed, 2 usage, 75 engine or image not there, or not agreed to;
            of run the check's own; 124 it ran out of time, 137 it was killed, 75 it was refused"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions of `agentui checks` and their flags."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|build|run|add")
    listing = actions.add_parser("list", help="the checks of this project and whether their images are built")
    build = actions.add_parser("build", help="build the images; the only step with a network")
    build.add_argument("--yes", action="store_true", help="agree to the network without being asked")
    profile_help = "project: build the agent's own shell for --profile project, and agree to it"
    build.add_argument("--profile", choices=PROFILES, default="default", help=profile_help)
    run_one = actions.add_parser("run", help="run one check and exit as it does")
    run_one.add_argument("--fresh", action="store_true", help="on a fresh copy of the folder, not the agent's")
    add = actions.add_parser("add", help="write a check for this project into your own settings file")
    source = add.add_mutually_exclusive_group()
    source.add_argument("--image", metavar="NAME", help="the image it runs in")
    source.add_argument("--dockerfile", metavar="FILE", help="or the project's Dockerfile")
    source.add_argument("--devcontainer", metavar="FILE", help="or the project's devcontainer.json")
    add.add_argument("--lock", metavar="FILE", help="the lock file that `build` installs from")
    for action in (listing, build, run_one, add):
        add_settings(action, ())
        action.add_argument("--trust-project", action="store_true", help="agree to the project's settings file")
    for action in (listing, run_one):
        action.add_argument("--json", action="store_true", help="one JSON object on standard output")
    add.add_argument("name", metavar="NAME", help="what it is called")
    add.add_argument("command", metavar="COMMAND", help="what it runs; {args} is where arguments go")
    run_one.add_argument("name", metavar="NAME", help="which check")
    run_one.add_argument("arguments", metavar="ARG", nargs=argparse.REMAINDER, help="its arguments")


def run(args: argparse.Namespace) -> int:
    """Do the action.

    Raises:
        UsageError: If there is no such check, or the settings cannot be used.
        SandboxUnavailable: If there is no engine, or an image cannot be built or was not agreed to.
    """
    begun = start(args)
    match args.action:
        case "list":
            return _list(begun, as_json=args.json)
        case "build":
            return _build(begun, wants_shell=args.profile == "project", agrees=args.yes)
        case "add":
            return _add(begun, args)
        case _:
            return _run(begun, args)


# --- list ----------------------------------------------------------------------------------------


def _list(begun: Start, *, as_json: bool) -> int:
    checks = begun.loaded.settings.checks.checks
    states = {check.name: _state(begun, check) for check in checks}
    if as_json:
        rows = [
            {
                "name": check.name,
                "run": check.run,
                "image": f"{check.recipe.kind} {check.recipe.source}",
                "writes": list(check.writes),
                "state": states[check.name],
            }
            for check in checks
        ]
        print(json.dumps({"checks": rows, "where": begun.loaded.settings.checks.where}))
        return 0
    if not checks:
        print("no check is configured for this project")
        print("add one:  agentui checks add test 'pytest -q {args}' --image python:3.12-slim")
        return 0
    width = max(len(check.name) for check in checks)
    for check in checks:
        image = f"{check.recipe.kind} {check.recipe.source}"
        print(clean_line(f"{check.name:<{width}}  {check.run}  ({image}: {states[check.name]})"))
    return 0


def _state(begun: Start, check: CheckDefinition) -> str:
    try:
        image = _image(begun, check.recipe)
        if image.is_built():
            return "built"
        return "not built" if image.network_reason() else "built when first used"
    except (SandboxUnavailable, UsageError) as error:
        return f"unknown: {error.message}"


def _image(begun: Start, recipe: ImageRecipe) -> ProjectImage:
    from agentui import wire

    engine = wire.tools_image(begun.loaded.settings).engine
    return wire.project_image(engine, recipe, begun.project)


# --- build ---------------------------------------------------------------------------------------


def _build(begun: Start, *, wants_shell: bool, agrees: bool) -> int:
    if wants_shell:
        return _build_shell(begun, agrees=agrees)
    settings = begun.loaded.settings
    recipes = list(dict.fromkeys(check.recipe for check in settings.checks.checks))
    if not recipes:
        raise UsageError(
            "there is nothing to build: no check is configured for this project",
            hint="add one: agentui checks add test 'pytest -q {args}' --image python:3.12-slim",
        )
    trust = TrustStore(begun.files.trust)
    for recipe in recipes:
        image = _image(begun, recipe)
        if image.is_built():
            print(f"{image.tag()} is built already, from {clean_line(image.source.origin)}")
            continue
        reason = image.network_reason()
        if reason and not trust.builds_images(begun.project):
            _agree(f"To build the image of your checks, {reason}. Use the network for it?", agrees)
            trust.build_images(begun.project)
        print(f"{asyncio.run(image.build(_note))} is built, from {clean_line(image.source.origin)}")
    return 0


def _build_shell(begun: Start, *, agrees: bool) -> int:
    from agentui import wire

    shell = asyncio.run(wire.shell_image(begun.loaded.settings, begun.places, begun.project))
    if not asyncio.run(shell.is_built()):
        _agree(f"{shell.question}\n{shell.why}.\nBuild and use it?", agrees, f"{shell.command} --yes")
        asyncio.run(shell.build(_note))
    origin = clean_line(shell.image.source.origin)
    print(f"{shell.image.tag()} is the shell of --profile project here, from {origin}")
    return 0


def _agree(question: str, agrees: bool, command: str = "agentui checks build --yes") -> None:
    if agrees:
        return
    if not sys.stdin.isatty():
        raise SandboxUnavailable("this needs a yes that nobody can give here", hint=f"give it with: {command}")
    print(f"{clean_line(question)} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise SandboxUnavailable("nothing was built", hint=f"to mean it, type: {command}")


def _note(line: str) -> None:
    print(clean_line(line), file=sys.stderr)


# --- run -----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Output:
    """Passes output on as it is, or keeps it for one object."""

    is_kept: bool
    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)

    def take(self, chunk: OutputChunk) -> None:
        if self.is_kept:
            (self.stdout if chunk.stream == "stdout" else self.stderr).extend(chunk.data)
            return
        stream = (sys.stdout if chunk.stream == "stdout" else sys.stderr).buffer
        stream.write(chunk.data)
        stream.flush()


def _run(begun: Start, args: argparse.Namespace) -> int:
    from agentui import wire

    settings = begun.loaded.settings
    if settings.checks.find(args.name) is None:
        names = ", ".join(settings.checks.names) or "none is configured"
        raise UsageError(f"there is no check {args.name!r}; the checks are: {names}")
    command = shlex.join(["check", args.name, *args.arguments])
    output = _Output(args.json)
    running = wire.run_check(
        settings, begun.places, begun.project, command, output.take, _note, is_fresh=args.fresh
    )
    result = asyncio.run(running)
    if args.json:
        print(_as_json(args.name, command, result, output))
    elif result.message:
        print(f"agentui: {result.outcome}: {clean_line(result.message)}", file=sys.stderr)
    return _exit_code(result)


def _as_json(name: str, command: str, result: CommandResult, output: _Output) -> str:
    return json.dumps(
        {
            "check": name,
            "command": command,
            "exit_code": result.exit_code,
            "outcome": result.outcome,
            "wall_s": round(result.wall_s, 3),
            "stdout": output.stdout.decode("utf-8", "replace"),
            "stderr": output.stderr.decode("utf-8", "replace"),
            "stdout_bytes": len(output.stdout),
            "stderr_bytes": len(output.stderr),
            "message": result.message,
        }
    )


def _exit_code(result: CommandResult) -> int:
    match result.outcome:
        case "ok" | "error" if result.exit_code is not None:
            return result.exit_code
        case "timeout":
            return TIMED_OUT
        case "killed" | "oom":
            return KILLED
        case _:
            return UNAVAILABLE


# --- add -----------------------------------------------------------------------------------------


def _add(begun: Start, args: argparse.Namespace) -> int:
    source = {kind: value for kind in ("image", "dockerfile", "devcontainer") if (value := getattr(args, kind))}
    if args.lock:
        source["lock"] = args.lock
    file: Path = begun.files.user
    add_check(file, begun.project, args.name, args.command, source)
    print(f"check {args.name} is written to {file}; run it with: agentui checks run {args.name}")
    return 0
