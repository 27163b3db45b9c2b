"""How far a script has come, and what comes next."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from agentui.simulator.scripts.script import CHECK_COMMAND, Script, SteerRule, Step

# A command that was answered like this has not been carried out, so it is asked for again.
_NOT_RUN = re.compile(r"\W*(skipped|not run|cancell?ed|interrupted|withdrawn)\b", re.IGNORECASE)
_DENIED = re.compile(r"\W*(denied|refused|not allowed|rejected)\b", re.IGNORECASE)
_EXIT = re.compile(
    r"\bexit(?:ed)?(?:\s{1,4}with)?(?:\s{1,4}(?:code|status))?\s{0,4}[:=]?\s{0,4}(\d{1,3})\b", re.IGNORECASE
)
# What a shell makes of SIGKILL.
_KILLED = 137
# How often an unanswered command is asked for before it counts as impossible.
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Result:
    """What came back of one command."""

    text: str
    exit_code: int = 0
    was_run: bool = True
    was_denied: bool = False


def read_result(text: str) -> Result:
    """Read a tool result; the exit code is looked for in its first and last lines, and 0 without one."""
    if _NOT_RUN.match(text):
        return Result(text, was_run=False)
    if _DENIED.match(text):
        return Result(text, was_denied=True)
    lines = [line for line in text.splitlines() if line.strip()]
    ending = lines[-1] if lines else ""
    if ending.startswith("[") and _NOT_RUN.match(ending):
        return Result(text, was_run=False)
    if ending.startswith("[killed"):
        return Result(text, _KILLED)
    for line in [*lines[:1], *reversed(lines[-3:])]:
        found = _EXIT.search(line)
        if found:
            return Result(text, int(found.group(1)))
    return Result(text)


@dataclass(frozen=True, slots=True)
class Steer:
    """A message of the user's in the middle of the work, and what the script makes of it."""

    text: str
    rule: SteerRule


@dataclass(slots=True)
class Progress:
    """The state of one task. `has_check` says whether the user's own check can be called."""

    script: Script
    task: str
    has_check: bool = False
    steers: list[Steer] = field(default_factory=list)
    unanswered: list[Steer] = field(default_factory=list)
    results: dict[str, Result] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    last_commands: list[str] = field(default_factory=list)
    steps_done: set[str] = field(default_factory=set)
    """Ids of steps that the summary of an earlier conversation says are done."""
    was_cut: bool = False
    ended: bool = False
    is_follow_up: bool = False

    def add_steer(self, text: str) -> None:
        """Take in a message of the user's; after the end it is a follow-up."""
        steer = Steer(text, self._rule_for(text))
        self.steers.append(steer)
        self.unanswered.append(steer)
        if self.ended:
            self.ended, self.is_follow_up = False, True

    def matching_rule(self, text: str) -> SteerRule | None:
        """Return the rule whose words are in a text."""
        return next((rule for rule in self.script.rules if rule.words.search(text)), None)

    def _rule_for(self, text: str) -> SteerRule:
        rule = self.matching_rule(text)
        if rule is not None:
            return rule
        fallbacks = self.script.fallbacks
        used = sum(1 for steer in self.steers if steer.rule in fallbacks)
        return fallbacks[min(used, len(fallbacks) - 1)]

    def commands_of(self, step: Step) -> tuple[str, ...]:
        """Return what a step runs here."""
        return (CHECK_COMMAND,) if step.uses_check and self.has_check else step.commands

    def is_done(self, command: str) -> bool:
        """Tell whether a command was carried out, or cannot be."""
        result = self.results.get(command)
        return (result is not None and result.was_run) or self.is_hopeless(command)

    def is_hopeless(self, command: str) -> bool:
        """Tell whether a command was asked for so often without being run that it is left out."""
        return self.attempts.get(command, 0) >= _ATTEMPTS

    def open_commands(self, step: Step) -> tuple[str, ...]:
        """Return the commands of a step that are still to be run."""
        if step.id in self.steps_done:
            return ()
        return tuple(command for command in self.commands_of(step) if not self.is_done(command))

    def next_step(self) -> Step | None:
        """Return the step to take now, None at the end.

        What was asked for and not run comes first, then what steers asked for, then the script's own order.
        """
        return next((step for step in self._in_order() if self.open_commands(step)), None)

    def _in_order(self) -> Iterator[Step]:
        dropped = frozenset[str]().union(*(steer.rule.drops for steer in self.steers))
        base = [step for step in self.script.steps if step.id not in dropped]
        extra = [step for steer in self.steers for step in steer.rule.steps]
        known = [*base, *extra]
        yield from (step for step in known if any(c in self.attempts for c in self.commands_of(step)))
        for steer in self.steers:
            if self._is_past(steer.rule.after):
                yield from steer.rule.steps
        yield from base
        yield from extra

    def _is_past(self, step_id: str) -> bool:
        return all(not self.open_commands(step) for step in self.script.steps if step.id == step_id)

    def final_text(self) -> str:
        """Return what is said at the end of the task."""
        if self.is_follow_up:
            return self.script.again
        replaced = [steer.rule.final for steer in self.steers if steer.rule.final]
        return replaced[-1] if replaced else self.script.final.text

    def step_of(self, command: str) -> Step | None:
        """Return the step a command belongs to."""
        extra = (step for steer in self.steers for step in steer.rule.steps)
        every = (*self.script.steps, *extra)
        return next((step for step in every if command in self.commands_of(step)), None)

    def done_ids(self) -> list[str]:
        """Return the ids of the finished steps, in order."""
        extra = (step for steer in self.steers for step in steer.rule.steps)
        steps = (*self.script.steps, *extra)
        return list(dict.fromkeys(step.id for step in steps if not self.open_commands(step)))
