"""The same task under different settings, one run after the other, and what they say beside each other.

A comparison has a folder of its own with its plan, its outcomes so far and a snapshot of the project. Whoever
starts the same plan again goes on after the last run that ended, and of a finished one gets what was found.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

from agentui.card_text import model_text
from agentui.errors import SessionBusy, SessionError, UsageError
from agentui.event_json import plain, rebuilt
from agentui.events import CheckResult, RunCard, Source
from agentui.session.card import run_cards
from agentui.session.journal import read_journal

STATE = "state.json"
SNAPSHOT = "snapshot"
FORMAT_VERSION = 2

STOPPED = ("unavailable", "interrupted")
"""Ends of runs that say nothing of what is compared: such a run is begun anew another time."""


@dataclass(frozen=True, slots=True)
class Variant:
    """Settings that one side of a comparison has: names of settings and their values as typed."""

    settings: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """How it is called in the table."""
        return ",".join(f"{name}={value}" for name, value in self.settings) or "as configured"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is compared: a task on a project, `runs` times with each variant, then a check (if any).

    `basis` stands for everything else that decides what the runs do: with another one it is another plan.
    """

    task: str
    project: str
    variants: tuple[Variant, ...]
    runs: int = 1
    check: str | None = None
    basis: str = ""

    @property
    def places(self) -> tuple[tuple[int, int], ...]:
        """Variant and number of every run, in order: all variants once, then again, so that all age alike."""
        return tuple((index, number) for number in range(self.runs) for index in range(len(self.variants)))


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run that ended: its journal, its card, and how the check of the comparison ended.

    The card is kept here, since a session may be removed while the others run.
    """

    journal: str
    card: RunCard | None
    check: CheckResult | None = None


StartRun = Callable[[Variant, Path], Awaitable[Outcome]]
"""Runs the task with a variant in a folder made for it, which does not exist yet; returns when it has ended."""


def read_variant(text: str, allowed: Iterable[str]) -> Variant:
    """A variant as typed: ``model=b,context=64k``.

    Raises:
        UsageError: If a part is no setting, or comes twice.
    """
    names = sorted(allowed)
    found: dict[str, str] = {}
    for part in text.split(","):
        name, has_value, value = part.partition("=")
        name, value = name.strip().replace("-", "_"), value.strip()
        if not has_value or not value or name not in names or name in found:
            raise UsageError(
                f"--with {text}: {part.strip()!r} is not NAME=VALUE with a name of its own",
                hint=f"names: {', '.join(names)}",
            )
        found[name] = value
    return Variant(tuple(found.items()))


class Comparison:
    """A plan, and the outcomes so far. Each ended run is on the disk when `run` goes on to the next."""

    def __init__(self, folder: Path, plan: Plan, outcomes: dict[tuple[int, int], Outcome]) -> None:
        self.folder = folder
        self.plan = plan
        self.outcomes = outcomes

    @property
    def is_done(self) -> bool:
        """Whether every run has ended."""
        return len(self.outcomes) == len(self.plan.places)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the only one that works on it.

        Raises:
            SessionBusy: If another agentui does.
            SessionError: If that cannot be asked.
        """
        try:
            fd = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SessionError(f"{self.folder} cannot be written: {error.strerror}") from error
        try:
            _lock(fd)
            yield
        finally:
            os.close(fd)

    def drop_unbegun(self) -> None:
        """Remove the folder if no run has begun: there is nothing in it to go on with. Blocks."""
        if not self.outcomes and not any(self.folder.glob("run-*")):
            shutil.rmtree(self.folder, ignore_errors=True)

    def left_behind(self) -> list[Path]:
        """Folders of runs that were killed before they ended. Blocks."""
        found = [(folder, folder.name.split("-")) for folder in self.folder.glob("run-*-*-*")]
        return [
            folder for folder, (_, index, number, _) in found if (int(index), int(number)) not in self.outcomes
        ]

    async def run(self, start_run: StartRun, note: Callable[[str], None]) -> RunCard | None:
        """Do what is left, one after the other; `note` hears of the progress.

        Returns the card of a run that was `STOPPED`, with which all stops; ``None`` when all is done.
        """
        places = self.plan.places
        for count, (index, number) in enumerate(places, start=1):
            variant = self.plan.variants[index]
            words = f"{count} of {len(places)}: {variant.name}"
            if (index, number) in self.outcomes:
                note(f"{words}: done before")
                continue
            note(f"{words}: running")
            folder = self.folder / f"run-{index}-{number}-{secrets.token_hex(2)}"
            outcome = await start_run(variant, folder)
            if outcome.card is not None and outcome.card.reason in STOPPED:
                return outcome.card
            self.outcomes[index, number] = outcome
            self.save()
        return None

    def save(self) -> None:
        """Bring plan and outcomes to the disk, whole or not at all. Blocks.

        Raises:
            SessionError: If that cannot be done.
        """
        held = {
            "v": FORMAT_VERSION,
            "plan": plain(self.plan),
            "outcomes": [
                {"variant": index, "number": number, **plain(outcome)}
                for (index, number), outcome in sorted(self.outcomes.items())
            ],
        }
        temporary = self.folder / f"{STATE}.new"
        try:
            with temporary.open("w", encoding="utf-8") as file:
                json.dump(held, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.folder / STATE)
        except OSError as error:
            raise SessionError(f"{self.folder} cannot be written: {error.strerror}") from error

    def columns(self) -> list[Column]:
        """What was found, for each variant that has an ended run."""
        found: list[Column] = []
        for index, variant in enumerate(self.plan.variants):
            outcomes = [o for (i, _), o in sorted(self.outcomes.items()) if i == index]
            pairs = [(o.card, o.check) for o in outcomes if o.card is not None]
            if pairs:
                found.append(make_column(variant.name, pairs, self.plan.check))
        return found


def _lock(fd: int) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        hint = "let it end, or begin another: --fresh"
        raise SessionBusy("another agentui works on this comparison", hint=hint) from error


def begin(root: Path, plan: Plan, *, fresh: bool = False) -> tuple[Comparison, bool]:
    """The comparison of a plan, and whether it was begun before: the newest of that plan, else a new one.

    Raises:
        SessionError: If no folder can be made.
    """
    if not fresh:
        for folder in sorted(root.glob("*/"), reverse=True) if root.is_dir() else ():
            found = load(folder)
            if found is not None and found.plan == plan:
                return found, True
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")  # the newest is the last by name
    folder = root / f"{stamp}-{secrets.token_hex(4)}"
    try:
        folder.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise SessionError(f"no comparison can be kept in {root}: {error.strerror}") from error
    comparison = Comparison(folder, plan, {})
    comparison.save()
    return comparison, False


def load(folder: Path) -> Comparison | None:
    """The comparison of a folder; ``None`` if there is none that can be read."""
    try:
        held = json.loads((folder / STATE).read_text(encoding="utf-8"))
        if held["v"] != FORMAT_VERSION:
            return None
        outcomes = {(int(one["variant"]), int(one["number"])): _read_outcome(one) for one in held["outcomes"]}
        return Comparison(folder, _read_plan(held["plan"]), outcomes)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read_plan(held: Mapping[str, Any]) -> Plan:
    variants = tuple(
        Variant(tuple((str(name), str(value)) for name, value in one["settings"])) for one in held["variants"]
    )
    return Plan(held["task"], held["project"], variants, int(held["runs"]), held["check"], held["basis"])


def _read_outcome(held: Mapping[str, Any]) -> Outcome:
    card, check = held["card"], held["check"]
    return Outcome(
        str(held["journal"]),
        rebuilt(RunCard, card) if card else None,
        rebuilt(CheckResult, check) if check else None,
    )


# --- what is put beside each other ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """One side of a comparison: means over its runs, the highest peaks; ``None`` for unknown.

    `check` is the name of what was checked, `passed` of `checked` runs passed it; `depths` are decode speeds by
    depth in tokens.
    """

    name: str
    model: str
    runs: int
    done: int
    check: str | None
    passed: int
    checked: int
    minutes: float | None
    turns: float
    prompt_tokens: float | None
    completion_tokens: float | None
    prefill_tok_per_s: float | None
    decode_tok_per_s: float | None
    depths: tuple[tuple[int, float], ...]
    peak_memory_bytes: int | None
    peak_kv_bytes: int | None
    kv_source: Source | None


def last_card(journal: Path) -> RunCard | None:
    """The card of the last run of a session. Blocks; O(session).

    Raises:
        SessionError: If the journal cannot be read at all.
    """
    cards = run_cards(read_journal(journal).records)
    return cards[-1] if cards else None


def make_column(
    name: str, pairs: Sequence[tuple[RunCard, CheckResult | None]], check: str | None = None
) -> Column:
    """Sum up the runs of one variant; without a check of its own, the last check of each run counts."""
    cards = [card for card, _ in pairs]
    results = [own or _last_check(card, check) for card, own in pairs]
    checked = [result for result in results if result is not None]
    return Column(
        name=name,
        model=model_text(cards[0]),
        runs=len(cards),
        done=sum(card.reason == "done" for card in cards),
        check=checked[0].name if checked else check,
        passed=sum(result.is_passed for result in checked),
        checked=len(checked),
        minutes=_mean(None if card.wall_s is None else card.wall_s / 60 for card in cards),
        turns=fmean(card.turns for card in cards),
        prompt_tokens=_mean(card.prompt_tokens for card in cards),
        completion_tokens=_mean(card.completion_tokens for card in cards),
        prefill_tok_per_s=_mean(card.prefill_tok_per_s for card in cards),
        decode_tok_per_s=_mean(card.decode_tok_per_s for card in cards),
        depths=_depths(cards),
        peak_memory_bytes=max((c.peak_memory_bytes for c in cards if c.peak_memory_bytes), default=None),
        peak_kv_bytes=max((c.peak_kv_bytes for c in cards if c.peak_kv_bytes), default=None),
        kv_source=_least_sure([c.kv_source for c in cards if c.peak_kv_bytes]),
    )


def _least_sure(sources: Sequence[Source | None]) -> Source | None:
    return "estimated" if "estimated" in sources else next((s for s in sources if s is not None), None)


def _last_check(card: RunCard, name: str | None) -> CheckResult | None:
    fitting = [check for check in card.checks if name is None or check.name == name]
    return fitting[-1] if fitting else None


def _depths(cards: Sequence[RunCard]) -> tuple[tuple[int, float], ...]:
    found: dict[int, list[float]] = {}
    for card in cards:
        for at in card.speeds:
            if at.decode_tok_per_s is not None:
                found.setdefault(at.depth_tokens, []).append(at.decode_tok_per_s)
    return tuple((depth, fmean(speeds)) for depth, speeds in sorted(found.items()))


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def column_object(column: Column) -> Mapping[str, Any]:
    """A column as JSON."""
    return asdict(column)
