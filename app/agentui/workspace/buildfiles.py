"""Whether a change needs a yes by what it changes, in files that are edited often and harmlessly.

In package.json, pyproject.toml and Cargo.toml that is what tools run or install; in a .gitignore what is no
longer ignored: the next copy of the project would hold it, for the agent to read, and so might the next commit.
"""

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
_CRATE_METADATA = (
    *("name", "version", "edition", "rust-version", "authors", "description", "documentation", "readme"),
    *("homepage", "repository", "license", "license-file", "keywords", "categories", "publish"),
)
_NAMES = ("package.json", "pyproject.toml", "cargo.toml", ".gitignore")
_HARMLESS_TOOLS = ("ruff", "pyright", "black", "isort")
"""Others load plugins that their settings name, from the project too."""


def build_reason(path: bytes, before: bytes | None, after: bytes | None) -> str | None:
    """Why a changed file of these names needs a yes, ``None`` if it is another or only harmless parts differ.

    Contents are ``None`` where the file is absent or its content is not known; then it needs a yes.
    """
    match fold_name(path.rpartition(b"/")[2]):
        case "package.json":
            same = _same_but(before, after, _package_rest)
            return None if same else "a package manager runs its scripts"
        case "pyproject.toml":
            same = _same_but(before, after, _pyproject_rest)
            return None if same else "build tools run what it names"
        case "cargo.toml":
            same = _same_but(before, after, _crate_rest)
            return None if same else "the build runs what it names"
        case ".gitignore":
            return (
                None if _ignores_no_less(before or b"", after) else "what it no longer ignores would be copied"
            )
        case _:
            return None


def is_build_file(path: bytes) -> bool:
    """Whether `build_reason` wants to see contents."""
    return fold_name(path.rpartition(b"/")[2]) in _NAMES


def _ignores_no_less(before: bytes, after: bytes | None) -> bool:
    """Whether lines were only added, and none that takes back what another ignores."""
    if after is None:
        return False
    old, new = _patterns(before), _patterns(after)
    kept = iter(new)
    added = set(new) - set(old)
    return all(line in kept for line in old) and not any(line.startswith(b"!") for line in added)


def _patterns(content: bytes) -> list[bytes]:
    lines = (line.rstrip() for line in content.splitlines())
    return [line for line in lines if line and not line.startswith(b"#")]


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


def _crate_rest(content: bytes) -> object:
    whole = tomllib.loads(content.decode("utf-8"))
    package = whole.get("package", {})
    if not isinstance(package, dict):
        raise ValueError("not a table")
    return {
        **whole,
        "package": {key: value for key, value in package.items() if key not in _CRATE_METADATA},
    }
