"""Write a check into the user's settings file, without touching what stands there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from agentui.config.checks import checks_of_user
from agentui.config.toml_lines import parse_toml
from agentui.errors import ConfigError


def add_check(file: Path, project: Path, name: str, run: str, source: Mapping[str, str]) -> None:
    """Add a check of `project`; `source` has image, dockerfile or devcontainer, and lock. Comments stay.

    Raises:
        ConfigError: If there is such a check, or the file would not be usable with it; it is unchanged then.
    """
    try:
        before = file.read_text(encoding="utf-8") if file.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"settings file {file} cannot be read: {error}") from error
    path = os.path.realpath(project)
    held = checks_of_user(_table(before, file).get("checks", {}), before, file, project)
    if held.find(name) is not None:
        raise ConfigError(f"{file} has a check {name!r} for this project already", hint="change it there")
    key = next((key for key in _table(before, file).get("checks", {}) if _is(key, path)), path)
    values = {"run": run, **source}
    # JSON's strings are TOML's basic strings.
    lines = [f"{word} = {json.dumps(value, ensure_ascii=False)}" for word, value in values.items()]
    text = f"[checks.{json.dumps(key, ensure_ascii=False)}.{json.dumps(name, ensure_ascii=False)}]"
    after = before + ("\n" if before and not before.endswith("\n\n") else "") + "\n".join([text, *lines]) + "\n"
    checks_of_user(_table(after, file)["checks"], after, file, project)
    _write(file, after)


def _is(key: str, path: str) -> bool:
    return os.path.realpath(os.path.expanduser(key)) == path


def _table(content: str, file: Path) -> dict[str, dict[str, object]]:
    try:
        return parse_toml(content)
    except ValueError as error:
        raise ConfigError(f"settings file {file} is no valid TOML: {error}") from None


def _write(file: Path, content: str) -> None:
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.write_text(content, encoding="utf-8")
        os.replace(fresh, file)
    except OSError as error:
        raise ConfigError(
            f"settings file {file} cannot be written: {error.strerror}", hint="make its folder writable"
        ) from error
