"""All settings, each with its default, its name in a file, and who may set it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Literal, TypeVar

from agentui.config import values
from agentui.config.checks import ProjectChecks
from agentui.config.provider import ProviderRoute
from agentui.config.values import Parse
from agentui.frozen import frozen

OriginKind = Literal["flag", "environment", "project file", "user file", "LM Studio", "default"]

HARNESSES = ("loop", "pi")
PI_PLACES = ("container", "host")
SANDBOXES = ("auto", "docker", "bubblewrap", "seatbelt", "none")
PROFILES = ("default", "project", "research")
APPLIES = ("ask", "auto", "never")
APPROVALS = ("never", "ask")
DEFAULT_URL = "http://127.0.0.1:1234"

T = TypeVar("T")


@frozen
class Origin:
    """Where a value came from; `where` names the flag, the variable or the file."""

    kind: OriginKind
    where: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.where}".rstrip()


@frozen
class SettingRule:
    """How a setting is named and read. `key` is dotted, as in TOML; `flag` is empty where there is none.

    `in_project` says whether a project's file may set it: never what decides over the user's machine, keys or
    consent. `typed_only` are values that count only from the command line.
    """

    name: str
    key: str
    parse: Parse
    flag: str = ""
    in_project: bool = False
    typed_only: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return "AGENTUI_" + self.key.replace(".", "_").upper()


def _setting(
    default: T,
    parse: Parse,
    *,
    key: str = "",
    flag: str = "",
    in_project: bool = False,
    typed_only: tuple[str, ...] = (),
    shown: bool = True,
) -> T:
    """A dataclass field whose metadata become its `SettingRule`."""
    rule = SettingRule("", key, parse, flag, in_project, typed_only)
    return field(default=default, repr=shown, metadata={"rule": rule})


@frozen
class Settings:
    """Every setting of a session. ``None`` means: not set, let the server or the program decide.

    `url` is without ``/v1``. Lengths are in tokens, times in seconds, sizes in bytes; `max_turns` counts model
    requests of one run. `keymap` goes from ids of actions to keys. `api_key` never shows in a ``repr``.
    """

    url: str = _setting(DEFAULT_URL, values.url, flag="--url")
    api_key: str | None = _setting(None, values.secret, shown=False)
    model: str | None = _setting(None, values.text, flag="--model", in_project=True)
    models_file: Path | None = _setting(None, values.path, flag="--models-file")
    context_tokens: int | None = _setting(None, values.context_tokens, flag="--context", in_project=True)
    harness: str = _setting("loop", values.choice(*HARNESSES), flag="--harness", in_project=True)
    pi_place: str = _setting("container", values.choice(*PI_PLACES), key="pi.place", flag="--pi-host")
    pi_extensions: tuple[str, ...] = _setting((), values.texts, key="pi.extensions")
    sandbox: str = _setting("auto", values.choice(*SANDBOXES), flag="--sandbox", typed_only=("none",))
    profile: str = _setting("default", values.choice(*PROFILES), flag="--profile")
    apply: str = _setting("ask", values.choice(*APPLIES), flag="--apply")
    approve: str = _setting("never", values.choice(*APPROVALS), flag="--approve")
    max_turns: int | None = _setting(None, values.whole(1, 100_000), flag="--max-turns", in_project=True)
    command_timeout_s: float = _setting(300.0, values.number(1, 86_400), in_project=True)
    theme: str | None = _setting(None, values.text, flag="--theme")
    system_file: Path | None = _setting(None, values.path, flag="--system", in_project=True)
    keymap: tuple[tuple[str, str], ...] = _setting((), values.pairs, key="keys")

    base_image: str | None = _setting(None, values.text)
    memory_limit_bytes: int = _setting(
        2 << 30, values.scaled(64 << 20, 1 << 42, "bytes"), key="limits.memory", in_project=True
    )
    cpus: float = _setting(2.0, values.number(0.1, 1024), key="limits.cpus", in_project=True)
    pids_limit: int = _setting(256, values.whole(16, 1 << 20), key="limits.pids", in_project=True)
    tmp_bytes: int = _setting(
        256 << 20, values.scaled(1 << 20, 1 << 40, "bytes"), key="limits.tmp", in_project=True
    )
    open_files: int = _setting(1024, values.whole(64, 1 << 20), key="limits.files", in_project=True)

    seed_include: tuple[str, ...] = _setting((), values.texts, key="seed.include", in_project=True)
    seed_exclude: tuple[str, ...] = _setting((), values.texts, key="seed.exclude", in_project=True)
    seed_limit_bytes: int = _setting(
        500_000_000, values.scaled(1, 1 << 42, "bytes"), key="seed.limit", flag="--seed-limit"
    )

    research_allow: tuple[str, ...] = _setting((), values.texts, key="research.allow", flag="--allow")

    temperature: float | None = _setting(None, values.number(0, 5), key="sampling.temperature", in_project=True)
    top_p: float | None = _setting(None, values.number(0, 1), key="sampling.top_p", in_project=True)
    top_k: int | None = _setting(None, values.whole(0, 1 << 20), key="sampling.top_k", in_project=True)
    min_p: float | None = _setting(None, values.number(0, 1), key="sampling.min_p", in_project=True)
    repeat_penalty: float | None = _setting(
        None, values.number(0, 10), key="sampling.repeat_penalty", in_project=True
    )
    seed: int | None = _setting(None, values.whole(0, (1 << 32) - 1), key="sampling.seed", in_project=True)
    max_tokens: int | None = _setting(
        None, values.whole(1, 1 << 24), key="sampling.max_tokens", in_project=True
    )

    keep_days: int | None = _setting(None, values.whole(1, 36_500), key="sessions.keep_days")
    keep_bytes: int | None = _setting(None, values.scaled(1 << 20, 1 << 50, "bytes"), key="sessions.keep_size")

    memory_sample_s: float = _setting(1.0, values.number(0.2, 60), key="samples.memory_s")
    rate_sample_s: float = _setting(0.5, values.number(0.2, 60), key="samples.rate_s")
    process_sample_s: float = _setting(2.0, values.number(0.2, 60), key="samples.process_s")

    checks: ProjectChecks = field(default_factory=ProjectChecks)
    """The checks of this project; a table of its own form, see `agentui.config.checks`."""
    provider: ProviderRoute | None = None
    """What `model` names in the user's list of providers; its `url` is then `url`."""

    @property
    def sampling(self) -> dict[str, Any]:
        """What is set of the sampling parameters, in a fixed order; without `max_tokens`.

        What the user's list of providers says of the model comes first, and yields to the settings.
        """
        names = ("temperature", "top_p", "top_k", "min_p", "repeat_penalty", "seed")
        own = {name: value for name in names if (value := getattr(self, name)) is not None}
        return {**(self.provider.sampling if self.provider else {}), **own}

    @property
    def answer_tokens(self) -> int | None:
        """Longest answer to ask for: `max_tokens`, else what the list of providers says of the model."""
        if self.max_tokens is not None or self.provider is None:
            return self.max_tokens
        return self.provider.max_tokens


def _rule_of(found: dataclasses.Field[Any]) -> SettingRule:
    rule: SettingRule = found.metadata["rule"]
    return dataclasses.replace(rule, name=found.name, key=rule.key or found.name)


RULES: Mapping[str, SettingRule] = {
    f.name: _rule_of(f) for f in dataclasses.fields(Settings) if "rule" in f.metadata
}
"""The rule of every setting that is one value, by the name of its field."""
