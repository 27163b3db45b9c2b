"""Pi's ``models.json`` as a list of providers: which servers and models there are, and how to speak with each.

What is not known is kept and named; what cannot be used says why. Reads text, no network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentui.backends.jsonc import JsonText, JsonTextError, KeyPath, parse_jsonc
from agentui.backends.models_fields import COST_FIELDS, dotted, problem_of, unknown_fields
from agentui.config.provider import ProviderRoute
from agentui.config.url import normal_url
from agentui.errors import ConfigError
from agentui.paths import pi_folder

MOST_BYTES = 4 << 20
CHAT_API = "openai-completions"
DEFAULT_CONTEXT_TOKENS = 128_000
DEFAULT_MAX_TOKENS = 16_384
"""What Pi assumes of a model that does not say."""
THINKING_LEVELS = ("off", "minimal", "low", "medium", "high", "xhigh", "max")

# In a container these names mean the machine that we run on.
_HOST_NAMES = ("host.docker.internal", "host.containers.internal", "gateway.docker.internal")
_MERGED = ("cost", "promptCache", "samplingParams", "thinkingLevelMap")
_MERGED_DEEP = ("inputLimits", "samplingParamsByThinkingLevel")
_MERGED_FLAGS = ("openRouterRouting", "vercelGatewayRouting", "chatTemplateKwargs", "chatTemplateArgs")
"""What Pi merges field by field, where two places say something; all else is replaced."""


@dataclass(frozen=True, slots=True)
class UnknownField:
    """A field that is in the file, but not in the form we know; kept as it is. `line` counts from 1."""

    where: str
    line: int


@dataclass(frozen=True, slots=True)
class ProviderModel:
    """A model of a provider. `fields` are as written, with what its provider's overrides add.

    `why_not` says why agentui cannot use it; ``None`` where it can.
    """

    provider: str
    id: str
    name: str
    url: str | None
    fields: Mapping[str, Any]
    compat: Mapping[str, Any]
    api_key: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    why_not: str | None = None
    provider_fields: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def label(self) -> str:
        """What ``--model`` takes for it."""
        return f"{self.provider}/{self.id}"

    @property
    def context_tokens(self) -> int | None:
        """The length that the file names; ``None`` where it names none."""
        return self.fields.get("contextWindow")

    def route(self, thinking_level: str | None = None) -> ProviderRoute:
        """How to reach it; keys and headers as written.

        Raises:
            ConfigError: If it cannot be used, or does not have that level of thinking.
        """
        if self.why_not is not None or self.url is None:
            raise ConfigError(f"{self.label} cannot be used: {self.why_not}")
        levels = self.fields.get("thinkingLevelMap") or {}
        if thinking_level is not None and levels.get(thinking_level, "") is None:
            raise ConfigError(f"{self.label} has no thinking level {thinking_level!r}, says its models.json")
        by_level = self.fields.get("samplingParamsByThinkingLevel") or {}
        sampling = {
            **(self.fields.get("samplingParams") or {}),
            **(by_level.get(thinking_level or "off") or {}),
        }
        return ProviderRoute(
            provider=self.provider,
            model=self.id,
            url=self.url,
            api_key=self.api_key,
            headers=tuple(self.headers.items()),
            compat=self.compat,
            sampling=sampling,
            reasoning=bool(self.fields.get("reasoning")),
            thinking_level=thinking_level,
            thinking_levels=levels,
            context_tokens=self.context_tokens,
            max_tokens=self.fields.get("maxTokens"),
        )


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider as written. `models` are those that it lists; one that lists none is asked for its own."""

    id: str
    name: str
    fields: Mapping[str, Any] = field(repr=False)
    models: tuple[ProviderModel, ...]

    def model(self, model_id: str) -> ProviderModel:
        """The model with this id; one that is not listed has what the provider says of all, and of this id."""
        listed = next((model for model in self.models if model.id == model_id), None)
        return listed or _model(self.id, self.fields, {"id": model_id})


@dataclass(frozen=True, slots=True)
class ModelsFile:
    """A file of providers. `value` is all of it, as read."""

    path: Path
    providers: tuple[Provider, ...] = ()
    unknown: tuple[UnknownField, ...] = ()
    given_twice: tuple[UnknownField, ...] = ()
    value: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def models(self) -> Iterator[ProviderModel]:
        """All models that are listed."""
        for provider in self.providers:
            yield from provider.models

    def find(self, name: str) -> tuple[ProviderModel, str | None] | None:
        """The model that ``provider/id`` or ``provider/id:level`` means, with the level.

        ``None`` where no provider is named by it, or the provider lists models and this is none of them: it
        may be the name of a model on the server in use.
        """
        named = [found for found in self.providers if name.startswith(f"{found.id}/")]
        provider = max(named, key=lambda found: len(found.id), default=None)
        if provider is None or name == f"{provider.id}/":
            return None
        model_id = name.removeprefix(f"{provider.id}/")
        bare, _, level = model_id.rpartition(":")
        ids = [model.id for model in provider.models]
        if bare and level in THINKING_LEVELS and model_id not in ids and (bare in ids or not ids):
            return provider.model(bare), level
        if ids and model_id not in ids:
            return None
        return provider.model(model_id), None


def models_path(named: Path | None, home: Path, environ: Mapping[str, str]) -> Path:
    """Where the list is: the file that was `named`, else Pi's own."""
    return named or pi_folder(home, environ) / "models.json"


def read_models_file(path: Path, *, must_exist: bool = False) -> ModelsFile:
    """Read a file; an absent one holds nothing, unless it was named. Blocks for the read.

    Raises:
        ConfigError: If it cannot be read or is not in the form; names line, column and what is expected.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        text = content.decode("utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        if must_exist:
            raise ConfigError(
                f"there is no {path.absolute()}", hint="--models-file or the setting models_file names it"
            ) from error
        return ModelsFile(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no UTF-8 text, from byte {error.start} on") from error
    if len(content) > MOST_BYTES:
        raise ConfigError(f"{path} is over {MOST_BYTES >> 20} MiB: that is no list of models")
    return parse_models(text, path)


def parse_models(text: str, path: Path) -> ModelsFile:
    """Read the text of a file; `path` is for messages.

    Raises:
        ConfigError: If it is not in the form; names line, column and what is expected.
    """
    try:
        read = parse_jsonc(text)
    except JsonTextError as error:
        raise ConfigError(f"{path}, {error}", hint="Pi could not read it either") from None
    problem = problem_of(read.value)
    if problem is not None:
        where, expected = problem
        line, column = _place(read, where)
        name = f"{dotted(where)}: " if where else ""
        raise ConfigError(f"{path}, line {line}, column {column}: {name}{expected}")
    providers = tuple(_provider(name, fields) for name, fields in read.value["providers"].items())
    unknown = tuple(_named(read, where) for where in unknown_fields(read.value))
    given_twice = (*read.given_twice, *_models_twice(read.value["providers"]))
    twice = tuple(_named(read, where) for where in given_twice)
    return ModelsFile(path, providers, unknown, twice, read.value)


def _place(read: JsonText, where: KeyPath) -> tuple[int, int]:
    while where not in read.places:
        where = where[:-1]
    return read.places[where]


def _named(read: JsonText, where: KeyPath) -> UnknownField:
    return UnknownField(dotted(where), _place(read, where)[0])


def _provider(provider_id: str, fields: Mapping[str, Any]) -> Provider:
    # Of a model that is listed twice the last counts, as for Pi.
    models = {model["id"]: _model(provider_id, fields, model) for model in fields.get("models") or ()}
    return Provider(provider_id, fields.get("name") or provider_id, fields, tuple(models.values()))


def _models_twice(providers: Mapping[str, Any]) -> Iterator[KeyPath]:
    for provider_id, fields in providers.items():
        seen: set[str] = set()
        for number, model in enumerate(fields.get("models") or ()):
            if model["id"] in seen:
                yield "providers", provider_id, "models", number, "id"
            seen.add(model["id"])


def _model(provider_id: str, provider: Mapping[str, Any], own: Mapping[str, Any]) -> ProviderModel:
    override = (provider.get("modelOverrides") or {}).get(own["id"], {})
    fields = _overridden(own, override)
    base_url = fields.get("baseUrl") or provider.get("baseUrl")
    api = fields.get("api") or provider.get("api")
    url, why_not = _usable(base_url, api, provider)
    compat: Mapping[str, Any] = {}
    for said in (provider, own, override):
        compat = _with_flags(compat, said.get("compat") or {})
    return ProviderModel(
        provider=provider_id,
        id=fields["id"],
        name=fields.get("name") or fields["id"],
        url=url,
        fields=fields,
        compat=compat,
        api_key=provider.get("apiKey"),
        headers={
            name: value
            for said in (provider, override, own)
            for name, value in (said.get("headers") or {}).items()
        },
        why_not=why_not,
        provider_fields=provider,
    )


def _overridden(own: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """A model's fields with what its provider's overrides say of it, merged as Pi merges them."""
    fields = dict(own)
    for name, value in override.items():
        if name in _MERGED_DEEP:
            fields[name] = _deep(fields.get(name), value)
        elif name in _MERGED:
            fields[name] = {**(fields.get(name) or {}), **value}
        else:
            fields[name] = value
    for name in ("contextWindow", "maxTokens"):
        if name in fields:
            fields[name] = int(fields[name])  # 32768.0 is a whole number too
    if "cost" in fields:
        fields["cost"] = {**dict.fromkeys(COST_FIELDS, 0), **fields["cost"]}
    return fields


def _deep(held: Any, over: Any) -> Any:
    if not isinstance(held, Mapping) or not isinstance(over, Mapping):
        return over
    return {**held, **{name: _deep(held.get(name), value) for name, value in over.items()}}


def _with_flags(held: Mapping[str, Any], over: Mapping[str, Any]) -> Mapping[str, Any]:
    merged = {**held, **over}
    for name in _MERGED_FLAGS:
        if isinstance(held.get(name), Mapping) and isinstance(over.get(name), Mapping):
            merged[name] = {**held[name], **over[name]}
    return merged


def _usable(
    base_url: str | None, api: str | None, provider: Mapping[str, Any]
) -> tuple[str | None, str | None]:
    """The address to use, or why there is none."""
    if provider.get("oauth"):
        return None, "it needs a login of Pi's, which agentui does not have"
    if base_url is None:
        return None, "no baseUrl: a provider that is built into Pi, which agentui does not have"
    if api is None:
        return None, f"no api is named; expected {CHAT_API!r}"
    if api != CHAT_API:
        return None, f"its api is {api!r}; agentui speaks {CHAT_API!r} only"
    try:
        return normal_url(_on_this_machine(base_url)), None
    except ValueError as error:
        return None, f"baseUrl is no usable address: {error}"


def _on_this_machine(base_url: str) -> str:
    """An address for a container's eyes, for ours: there its names for the host mean this machine."""
    for name in _HOST_NAMES:
        base_url = base_url.replace(f"://{name}:", "://127.0.0.1:").replace(f"://{name}/", "://127.0.0.1/")
        if base_url.endswith(f"://{name}"):
            base_url = base_url.replace(f"://{name}", "://127.0.0.1")
    return base_url
