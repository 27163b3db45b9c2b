"""Keys and headers as ``models.json`` writes them: literal, with ``$NAME`` inside, or ``!command``.

Nothing is run but what the caller asks to run, which the user must have allowed.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from agentui.config.provider import ProviderRoute
from agentui.errors import BackendUnavailable, ConfigError
from agentui.program import run_program

COMMAND_S = 10.0
"""How long a command may take; Pi waits as long."""

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_PART = re.compile(r"\$(?:([$!])|\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


def command_in(value: str) -> str | None:
    """The command that a value is the output of; ``None`` where it is none."""
    return value[1:].strip() if value.startswith("!") else None


def with_variables(value: str, environ: Mapping[str, str], what: str) -> str:
    """A value that is no command, with its variables filled in; ``$$`` and ``$!`` mean the character itself.

    Raises:
        ConfigError: If a variable is not set or empty; `what` names the value in the message.
    """

    def part(match: re.Match[str]) -> str:
        escaped, braced, bare = match.groups()
        if escaped:
            return str(escaped)
        name = braced or bare
        if not (found := environ.get(name)):
            raise ConfigError(
                f"{what} is taken from the variable {name}, which is not set",
                hint=f"set it: export {name}=…",
            )
        return found

    return _PART.sub(part, value)


def output_of(command: str, environ: Mapping[str, str], folder: Path, what: str) -> str:
    """What a command of the user's prints, without space around it. Blocks for up to `COMMAND_S`.

    It runs in `folder`, so that no project's file can stand in for it, and is killed with its group when it
    takes too long.

    Raises:
        BackendUnavailable: If it cannot be run, fails, takes too long, or prints nothing. Never repeats output.
    """
    try:
        done = run_program(["/bin/sh", "-c", command], folder, environ, COMMAND_S)
    except OSError as error:
        raise _unusable(what, command, f"cannot be run: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise _unusable(what, command, f"did not end within {COMMAND_S:.0f} s") from error
    if done.returncode:
        raise _unusable(what, command, f"ended with exit code {done.returncode}")
    text = done.stdout.decode("utf-8", "replace").strip()
    if not text:
        raise _unusable(what, command, "printed nothing")
    return text


def resolved_route(route: ProviderRoute, environ: Mapping[str, str], folder: Path) -> ProviderRoute:
    """The route with its key and headers filled in. Runs their commands, which the user must have allowed.

    Blocks for up to `COMMAND_S` for each different command.

    Raises:
        ConfigError: If a variable is not set, or a value cannot stand in a header.
        BackendUnavailable: If a command gives nothing.
    """
    outputs: dict[str, str] = {}

    def filled(value: str, what: str) -> str:
        command = command_in(value)
        if command is None:
            found = with_variables(value, environ, what).strip()
        else:
            found = outputs.get(command) or output_of(command, environ, folder, what)
            outputs[command] = found
        if not found.isascii() or not found.isprintable():
            raise ConfigError(f"{what} holds characters that no header can carry")
        return found

    where = f"of provider {route.provider}"
    key = route.api_key and filled(route.api_key, f"the apiKey {where}")
    for name, _ in route.headers:
        if _HEADER_NAME.fullmatch(name) is None:
            raise ConfigError(f"{name!r} {where} is no name of a header")
    headers = tuple((name, filled(value, f"the header {name} {where}")) for name, value in route.headers)
    return replace(route, api_key=key, headers=headers)


def commands_of(route: ProviderRoute) -> tuple[str, ...]:
    """The commands that must run before the route can be used, each once."""
    values = [route.api_key or "", *(value for _, value in route.headers)]
    return tuple(dict.fromkeys(found for value in values if (found := command_in(value)) is not None))


def _unusable(what: str, command: str, why: str) -> BackendUnavailable:
    return BackendUnavailable(
        f"{what} comes from the command “{command}”, which {why}", hint="run it by hand to see what it says"
    )
