"""The ``[checks]`` table: named commands of the user's, and the image each of them runs in.

In a project's own file the table names the checks; in the user's file it is keyed by the project's path::

    [checks."~/shop"]                       # in the project's file: [checks]
    image = "python:3.12-slim"              # or dockerfile = "…", or devcontainer = "…/devcontainer.json"
    lock = "requirements.txt"               # what `agentui checks build` installs from
    test = "pytest -q {args}"
    format = { run = "ruff format", writes = ["**/*.py"] }
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from agentui.config import values
from agentui.config.toml_lines import line_of
from agentui.errors import ConfigError
from agentui.frozen import frozen

RecipeKind = Literal["image", "dockerfile", "devcontainer"]

ARGS = "{args}"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_SOURCES: tuple[RecipeKind, ...] = ("image", "dockerfile", "devcontainer")
_EXAMPLE = 'write  test = "pytest -q {args}"  with  image = "python:3.12-slim"  beside it'


@frozen
class ImageRecipe:
    """What an image is made from. `source` is an image's name, or a file relative to the project.

    `lock` are lock files relative to the project; `install` the command that installs from them, ``None``
    where it follows from the lock file's name.
    """

    kind: RecipeKind
    source: str
    lock: tuple[str, ...] = ()
    install: str | None = None


@frozen
class CheckLimits:
    """Bounds of a check; ``None`` means those of the agent's shell."""

    memory_bytes: int | None = None
    cpus: float | None = None
    pids: int | None = None
    timeout_s: float | None = None


@frozen
class CheckDefinition:
    """One named check. `run` may hold ``{args}``; `writes` are globs of what may come back into the copy."""

    name: str
    run: str
    recipe: ImageRecipe
    limits: CheckLimits = CheckLimits()
    writes: tuple[str, ...] = ()


@frozen
class ProjectChecks:
    """What is configured for one project. `recipe` is also the image of ``--profile project``."""

    checks: tuple[CheckDefinition, ...] = ()
    recipe: ImageRecipe | None = None
    where: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The checks' names in their order."""
        return tuple(check.name for check in self.checks)

    def find(self, name: str) -> CheckDefinition | None:
        """The check called `name`."""
        return next((check for check in self.checks if check.name == name), None)


def checks_of_project(table: object, content: str, path: Path) -> ProjectChecks:
    """Read the ``[checks]`` table of a project's own file.

    Raises:
        ConfigError: With file, line and what to write instead.
    """
    return _Reader(content, path, ("checks",)).read(table)


def checks_of_user(table: object, content: str, path: Path, project: Path) -> ProjectChecks:
    """Read the part of the user's ``[checks]`` table that is for `project`; all of the table is looked at.

    Raises:
        ConfigError: With file, line and what to write instead.
    """
    reader = _Reader(content, path, ("checks",))
    if not isinstance(table, Mapping):
        raise reader.error((), "must be a table", f'[checks."{project}"] begins one')
    found = ProjectChecks()
    for key, value in table.items():
        folder = os.path.expanduser(key)
        if not folder.startswith("/"):
            hint = f'in your own file checks belong to a project: [checks."{project}"] begins its table'
            raise reader.error((key,), f"{key!r} is no path of a project", hint)
        checks = _Reader(content, path, ("checks", key)).read(value)
        if os.path.realpath(folder) == os.path.realpath(project):
            found = checks
    return found


class _Reader:
    """Reads one table of checks; `at` is where it stands in the file."""

    def __init__(self, content: str, path: Path, at: tuple[str, ...]) -> None:
        self._content = content
        self._path = path
        self._at = at

    def error(self, key: Sequence[str], problem: str, hint: str) -> ConfigError:
        where = (*self._at, *key)
        line = line_of(self._content, where)
        place = f"{self._path}, line {line}" if line else str(self._path)
        return ConfigError(f"{place}: {'.'.join(where)} {problem}", hint=hint)

    def read(self, table: object) -> ProjectChecks:
        if not isinstance(table, Mapping):
            raise self.error((), "must be a table of checks", _EXAMPLE)
        recipe = self._recipe(table, (), None)
        limits = self._limits(table, (), CheckLimits())
        writes = self._writes(table, (), ())
        checks: list[CheckDefinition] = []
        for name, value in table.items():
            if name in _KEYS:
                continue
            checks.append(self._check(name, value, recipe, limits, writes))
        return ProjectChecks(tuple(checks), recipe, str(self._path))

    def _check(
        self,
        name: str,
        value: object,
        recipe: ImageRecipe | None,
        limits: CheckLimits,
        writes: tuple[str, ...],
    ) -> CheckDefinition:
        if not _NAME.fullmatch(name):
            hint = "use letters, digits and . _ - as in  unit-tests"
            raise self.error((name,), "is no name for a check", hint)
        own: Mapping[str, Any] = value if isinstance(value, Mapping) else {"run": value}
        for key in own:
            if key != "run" and key not in _KEYS:
                raise self.error((name, key), "is not known", f"a check has run, {', '.join(_KEYS)}")
        run = self._run(name, own.get("run"), is_table=own is value)
        mine = self._recipe(own, (name,), recipe)
        if mine is None:
            raise self.error((name,), "has no image to run in", 'add  image = "python:3.12-slim"  to its table')
        return CheckDefinition(
            name, run, mine, self._limits(own, (name,), limits), self._writes(own, (name,), writes)
        )

    def _run(self, name: str, run: object, *, is_table: bool) -> str:
        key = (name, "run") if is_table else (name,)
        if not isinstance(run, str) or not run.strip() or "\0" in run:
            raise self.error(key, "must be a command line", _EXAMPLE)
        if problem := args_problem(run):
            raise self.error(key, problem, f"let {ARGS} stand alone, as in  pytest -q {ARGS}")
        return run.strip()

    def _recipe(
        self, table: Mapping[str, Any], at: tuple[str, ...], outer: ImageRecipe | None
    ) -> ImageRecipe | None:
        named: list[RecipeKind] = [kind for kind in _SOURCES if kind in table]
        if len(named) > 1:
            raise self.error((*at, named[1]), f"stands beside {named[0]}", "name one of them")
        lock = self._lock(table, at)
        install = self._text(table, at, "install")
        if named:
            source = self._text(table, at, named[0]) or ""
            if named[0] != "image":
                source = self._inside(source, (*at, named[0]))
            base = ImageRecipe(named[0], source)
        elif outer is not None:
            base = outer
        else:
            if lock or install:
                hint = 'add  image = "python:3.12-slim"  to the table'
                raise self.error((*at, "lock" if lock else "install"), "has no image to go into", hint)
            return None
        if install is not None and not (lock or base.lock):
            hint = 'add  lock = "requirements.txt"  so that a change of it builds anew'
            raise self.error((*at, "install"), "has no lock file", hint)
        return replace(base, lock=lock or base.lock, install=install or base.install)

    def _lock(self, table: Mapping[str, Any], at: tuple[str, ...]) -> tuple[str, ...]:
        value = table.get("lock")
        if value is None:
            return ()
        files = [value] if isinstance(value, str) else value
        if not isinstance(files, list) or not files or not all(isinstance(f, str) and f for f in files):
            raise self.error((*at, "lock"), "must name lock files", 'write  lock = "requirements.txt"')
        return tuple(self._inside(file, (*at, "lock")) for file in files)

    def _inside(self, file: str, key: tuple[str, ...]) -> str:
        parts = Path(file).parts
        if file.startswith(("/", "~")) or ".." in parts or not parts:
            raise self.error(
                key, f"points out of the project: {file}", "name a file below the project's folder"
            )
        return "/".join(parts)

    def _text(self, table: Mapping[str, Any], at: tuple[str, ...], key: str) -> str | None:
        value = table.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            raise self.error((*at, key), "must be a text on one line", f'write  {key} = "…"')
        return value.strip()

    def _writes(self, table: Mapping[str, Any], at: tuple[str, ...], outer: tuple[str, ...]) -> tuple[str, ...]:
        value = table.get("writes")
        if value is None:
            return outer
        if not isinstance(value, list) or not all(isinstance(g, str) and g.strip() for g in value):
            raise self.error((*at, "writes"), "must be a list of globs", 'write  writes = ["docs/**"]')
        return tuple(value)

    def _limits(self, table: Mapping[str, Any], at: tuple[str, ...], outer: CheckLimits) -> CheckLimits:
        found: dict[str, Any] = {}
        for key, (name, parse) in _LIMITS.items():
            if key not in table:
                continue
            try:
                found[name] = parse(table[key])
            except ValueError as error:
                raise self.error((*at, key), str(error), f"write  {key} = {_LIMIT_EXAMPLES[key]}") from None
        return replace(outer, **found)


_LIMITS: Mapping[str, tuple[str, Callable[[object], Any]]] = {
    "memory": ("memory_bytes", values.scaled(64 << 20, 1 << 42, "bytes")),
    "cpus": ("cpus", values.number(0.1, 1024)),
    "pids": ("pids", values.whole(16, 1 << 20)),
    "timeout_s": ("timeout_s", values.number(1, 86_400)),
}
_LIMIT_EXAMPLES = {"memory": '"4g"', "cpus": "2", "pids": "512", "timeout_s": "600"}
_KEYS = (*_SOURCES, "lock", "install", "writes", *_LIMITS)


def args_problem(command: str) -> str | None:
    """Why ``{args}`` does not stand where quoted words can be put in; ``None`` if it does, or is not there.

    It must be a word of its own: inside quotes, a comment or a here-document its words would not stay words.
    """
    quote = ""
    is_escaped = False
    position = 0
    while position < len(command):
        character = command[position]
        if command.startswith(ARGS, position):
            before = command[position - 1] if position else " "
            after = command[position + len(ARGS)] if position + len(ARGS) < len(command) else " "
            if quote or is_escaped:
                return f"has {ARGS} inside quotes"
            if before not in " \t\n;&|(" or after not in " \t\n;&|)":
                return f"has {ARGS} as part of a word"
            if "<<" in command:
                return f"has {ARGS} beside a here-document"
            position += len(ARGS)
            continue
        is_word_start = position == 0 or command[position - 1] in " \t\n;&|("
        if is_escaped:
            is_escaped = False
        elif character == "\\" and quote != "'":
            is_escaped = True
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"`":
            quote = character
        elif character == "#" and is_word_start and ARGS in command[position:]:
            return f"has {ARGS} after a comment"
        position += 1
    return None
