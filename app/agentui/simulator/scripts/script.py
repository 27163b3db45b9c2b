"""Scripts as data: what the model thinks, says and runs, and how it reacts.

A script is a folder with a `script.toml` and, below `files/`, the texts of the files it writes; their names
end in `.txt` so that no tool takes them for source code of this package.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

CHECK_COMMAND = "check test"
_DATA = resources.files("agentui.simulator.scripts")
# In this order: the first script whose words are in the task plays it.
SCRIPT_NAMES = ("two_tower", "post", "split", "tests")
GENERIC_NAME = "generic"


@dataclass(frozen=True, slots=True)
class Reaction:
    """What to say about a command's result. `exit` is a code, "ok", "fail" or "any"."""

    exit: str
    say: str
    contains: str = ""

    def fits(self, exit_code: int, output: str) -> bool:
        """Tell whether this is the thing to say about such a result."""
        if self.contains and self.contains not in output:
            return False
        match self.exit:
            case "any":
                return True
            case "ok":
                return exit_code == 0
            case "fail":
                return exit_code != 0
            case code:
                return str(exit_code) == code


@dataclass(frozen=True, slots=True)
class Step:
    """One message of the model: a thought, a text, and the commands it wants to run."""

    id: str
    thinking: str
    text: str
    commands: tuple[str, ...]
    reactions: tuple[Reaction, ...] = ()
    uses_check: bool = False
    """Whether the user's own check replaces the commands, where one is configured."""


@dataclass(frozen=True, slots=True)
class SteerRule:
    """What to do about a message of the user's in the middle of the work."""

    words: re.Pattern[str]
    say: str
    steps: tuple[Step, ...]
    after: str = ""
    """Id of the step that must be done first; empty does it at once."""
    drops: frozenset[str] = frozenset()
    """Ids of steps that are left out from then on."""
    final: str = ""
    """What is said at the end instead, where leaving steps out makes the script's own words untrue."""


@dataclass(frozen=True, slots=True)
class Script:
    """One task the model can do."""

    name: str
    words: re.Pattern[str]
    plan: str
    """What it says when it has no tools."""
    steps: tuple[Step, ...]
    rules: tuple[SteerRule, ...]
    fallbacks: tuple[SteerRule, ...]
    """Rules for messages that no rule's words are in, used one after the other."""
    final: Step
    again: str
    """What it says at the end of a follow-up."""

    def commands(self) -> frozenset[str]:
        """Return every command the script may ask for."""
        every = [*self.steps, *(step for rule in (*self.rules, *self.fallbacks) for step in rule.steps)]
        found = {command for step in every for command in step.commands}
        if any(step.uses_check for step in every):
            found.add(CHECK_COMMAND)
        return frozenset(found)


_GO_ON = SteerRule(
    words=re.compile(
        r"^\W*(please )?(go on|continue|carry on|proceed|resume|ok(ay)?|yes|good|thanks|thank you)\W*$",
        re.IGNORECASE,
    ),
    say="I go on.",
    steps=(),
)
"""Part of every script: a nod is not a wish."""


def _write_command(script: str, path: str) -> str:
    text = (_DATA / script / "files" / f"{path}.txt").read_text(encoding="utf-8")
    folder = path.rpartition("/")[0]
    prepare = f"mkdir -p {folder} && " if folder else ""
    return f"{prepare}cat > {path} <<'EOF'\n{text}EOF"


def _step(script: str, data: dict[str, Any]) -> Step:
    commands = [str(command).strip("\n") for command in data.get("commands", [])]
    writes = [_write_command(script, path) for path in data.get("write", [])]
    if writes:
        commands.insert(0, "\n".join([*writes, *([data["then"]] if "then" in data else [])]))
    reactions = tuple(
        Reaction(str(item.get("exit", "any")), item["say"].strip(), item.get("has", ""))
        for item in data.get("reaction", [])
    )
    return Step(
        id=data.get("id", ""),
        thinking=data.get("thinking", "").strip(),
        text=data.get("text", "").strip(),
        commands=tuple(commands),
        reactions=reactions,
        uses_check=data.get("check", False),
    )


def _rule(script: str, data: dict[str, Any]) -> SteerRule:
    return SteerRule(
        words=re.compile(data.get("words", "."), re.IGNORECASE | re.DOTALL),
        say=data["say"].strip(),
        steps=tuple(_step(script, step) for step in data.get("step", [])),
        after=data.get("after", ""),
        drops=frozenset(data.get("drops", [])),
        final=data.get("final", "").strip(),
    )


@cache
def load_script(name: str) -> Script:
    """Return a shipped script; read once from the package's data."""
    data = tomllib.loads(
        (_DATA / name / "script.toml").read_text(encoding="utf-8"),
    )
    rules = [_GO_ON, *(_rule(name, item) for item in data.get("rule", []))]
    fallbacks = [_rule(name, item) for item in data.get("fallback", [])]
    return Script(
        name=name,
        words=re.compile(data["words"], re.IGNORECASE | re.DOTALL),
        plan=data["plan"].strip(),
        steps=tuple(_step(name, step) for step in data["step"]),
        rules=tuple(rules),
        fallbacks=tuple(fallbacks),
        final=_step(name, data["final"]),
        again=data["again"].strip(),
    )


def choose_script(task: str) -> Script | None:
    """Return the script that plays a task, None when no script's words are in it."""
    for name in SCRIPT_NAMES:
        script = load_script(name)
        if script.words.search(task):
            return script
    return None


@cache
def shipped_commands() -> frozenset[str]:
    """Return every command that any script may ask for, byte for byte."""
    scripts = [load_script(name) for name in (*SCRIPT_NAMES, GENERIC_NAME)]
    return frozenset().union(*(script.commands() for script in scripts))
