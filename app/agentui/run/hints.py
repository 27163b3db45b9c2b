"""What is explained once in a session: tests that need a check, and tools of the host that cannot run here."""

from __future__ import annotations

import re
from collections.abc import Callable

from agentui.events import Event, ToolOutcome, Warned

# A test or lint runner at the beginning of a command, also behind `cd x &&`, `VAR=1` or `timeout 60`.
_RUNNERS = re.compile(
    r"""(?:^|[;&|(]|\bthen\b|\bdo\b)\s*
    (?:\w+=\S*\s+)*(?:timeout\s+\S+\s+|env\s+|time\s+)*
    (?P<runner>
        (?:python[\d.]*\s+-m\s+)?(?:pytest|tox|nox|unittest|mypy|ruff|pyright)\b
        | (?:uv|poetry|pipenv|pdm|hatch)\s+run\s+\S+
        | (?:npm|pnpm|yarn|bun)\s+(?:run\s+)?(?:test|t|lint|check|build)\b
        | (?:npx|bunx)\s+\S+
        | (?:jest|vitest|mocha|tsc|eslint)\b
        | (?:cargo|go|swift|dotnet|mvn|gradle|\./gradlew)\s+(?:test|check|build|vet|clippy)\b
        | bundle\s+exec\s+\S+
        | (?:deno|rspec|phpunit|ctest)\b
    )""",
    re.VERBOSE,
)
_HOST_TOOLS = re.compile(r"(?:^|[\s;&|('\"/])((?:\.venv|venv|\.tox|node_modules/\.bin))/")
_NOT_RUNNABLE = (126, 127)
_MOST_CHARACTERS = 1000
"""How much of a command is looked at. What a model writes may be long and of any form, and a search may then
begin again at every separator."""


def runner_in(command: str) -> str | None:
    """The test runner (or the like) that a command line starts, as it is written there; ``None`` if none."""
    found = _RUNNERS.search(command[:_MOST_CHARACTERS])
    return " ".join(found["runner"].split()) if found else None


def host_tools(command: str) -> str | None:
    """The folder of tools installed on the host that a command line reaches into; ``None`` if none."""
    found = _HOST_TOOLS.search(command)
    return found[1] if found else None


class Hints:
    """Says each thing once. `set_up` is how a check is configured; empty: that is not spoken of."""

    def __init__(self) -> None:
        self.set_up = ""
        self._told: set[str] = set()

    def observe(
        self,
        command: str,
        outcome: ToolOutcome,
        exit_code: int | None,
        has_checks: bool,
        emit: Callable[[Event], None],
    ) -> None:
        """Look at a command that ran in the shell, and emit what the user should know of it."""
        is_activation = exit_code == 1 and "activate" in command
        if outcome != "error" or not (exit_code in _NOT_RUNNABLE or is_activation):
            return
        if (folder := host_tools(command)) and "host_tools" not in self._told:
            self._told.add("host_tools")
            text = f"{folder} of your project was made for this machine and does not run in the sandbox"
            emit(Warned("host_tools", text, "" if has_checks else self.set_up))
            return
        runner = runner_in(command) if exit_code == 127 and self.set_up and not has_checks else None
        if runner and "no_check" not in self._told:
            self._told.add("no_check")
            emit(Warned("no_check", f"the agent tried {runner}, which needs a check", self.set_up))
