"""Whether a change to a build file touches what tools run: package.json and pyproject.toml are edited often."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from agentui.workspace.folding import fold_name

# Keys that no tool executes or installs from.
_PACKAGE_METADATA = (
    *("name", "version", "description", "keywords", "author", "contributors", "license", "homepage"),
    *("repository", "bugs", "funding", "private", "type", "sideEffects", "browserslist"),
)
_PROJECT_METADATA = (
    *("name", "version", "description", "readme", "license", "license-files", "authors", "maintainers"),
    *("keywords", "classifiers", "urls", "requires-python"),
)
_HARMLESS_TOOLS = ("ruff", "mypy", "pyright", "black", "isort", "coverage")


def build_reason(path: bytes, before: bytes | None, after: bytes | None) -> str | None:
    """Why a changed build file needs a yes, ``None`` if it is none or only its metadata differs.

    Contents are ``None`` where the file is absent or its content is not known; then it needs a yes.
    """
    match fold_name(path.rpartition(b"/")[2]):
        case "package.json":
            same = _same_but(before, after, _package_rest)
            return None if same else "a package manager runs its scripts"
        case "pyproject.toml":
            same = _same_but(before, after, _pyproject_rest)
            return None if same else "build tools run what it names"
        case _:
            return None


def is_build_file(path: bytes) -> bool:
    """Whether `build_reason` wants to see contents."""
    return fold_name(path.rpartition(b"/")[2]) in ("package.json", "pyproject.toml")


def _same_but(before: bytes | None, after: bytes | None, rest: Any) -> bool:
    if before is None or after is None:
        return False
    try:
        return bool(rest(before) == rest(after))
    except (ValueError, RecursionError):
        return False


def _package_rest(content: bytes) -> object:
    whole = json.loads(content)
    if not isinstance(whole, dict):
        raise ValueError("not an object")
    return {key: value for key, value in whole.items() if key not in _PACKAGE_METADATA}


def _pyproject_rest(content: bytes) -> object:
    whole = tomllib.loads(content.decode("utf-8"))
    project = whole.get("project", {})
    tools = whole.get("tool", {})
    if not isinstance(project, dict) or not isinstance(tools, dict):
        raise ValueError("not tables")
    return {
        **whole,
        "project": {key: value for key, value in project.items() if key not in _PROJECT_METADATA},
        "tool": {key: value for key, value in tools.items() if key not in _HARMLESS_TOOLS},
    }
