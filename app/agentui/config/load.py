"""Bring all sources of settings together: flags > environment > project > user > LM Studio > defaults."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from agentui.config.checks import checks_of_project, checks_of_user
from agentui.config.settings import RULES, Origin, OriginKind, SettingRule, Settings
from agentui.config.toml_lines import parse_toml
from agentui.config.trust import TrustStore, digest_of
from agentui.config.url import host_of, is_private_host, normal_url
from agentui.errors import ConfigError, UsageError
from agentui.frozen import frozen, mutable

MAX_FILE_BYTES = 256 * 1024
# Variables of ours that are no settings: the place of our folders.
_OTHER_VARIABLES = ("AGENTUI_HOME",)


@frozen
class ConfigFiles:
    """The files that settings are read from; `project` is the project's folder."""

    user: Path
    project: Path
    project_file: Path
    trust: Path
    lmstudio: Path


@frozen
class Loaded:
    """Settings with the origin of each, by name of the field, and what the user should know.

    `remote_host` is set when the server is neither on this machine nor on a private network, the user did not
    name it themselves by flag or in their own file, and did not agree to it before: nothing may be sent there
    before a yes.
    """

    settings: Settings
    origins: Mapping[str, Origin]
    warnings: tuple[str, ...] = ()
    remote_host: str | None = None


@mutable
class _Layers:
    """Values found so far; what is found first counts."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def put(self, name: str, value: Any, origin: Origin) -> None:
        if name not in self.values:
            self.values[name] = value
            self.origins[name] = origin


def load_settings(flags: Mapping[str, object], environ: Mapping[str, str], files: ConfigFiles) -> Loaded:
    """Read all sources. Blocks for a few small files.

    `flags` goes from names of settings to what was typed; ``None`` means not typed.

    Raises:
        UsageError: If a flag's value cannot be used.
        ConfigError: If a file or variable cannot be used, or sets what it may not set.
    """
    layers = _Layers()
    _read_flags(layers, flags)
    _read_environ(layers, environ)
    _read_project(layers, files)
    _read_user(layers, files)
    port_url = _lmstudio_url(files.lmstudio)
    if port_url:
        layers.put("url", port_url, Origin("LM Studio", str(files.lmstudio)))
    _read_keys(layers, environ)
    settings = Settings(**layers.values)
    names = (*RULES, "checks")
    origins = {name: layers.origins.get(name, Origin("default")) for name in names}
    host = host_of(settings.url)
    asks = origins["url"].kind == "environment" and not is_private_host(host)
    remote = host if asks and not TrustStore(files.trust).trusts_host(host) else None
    return Loaded(settings, origins, tuple(layers.warnings), remote)


def trust_project(files: ConfigFiles) -> bool:
    """Agree to the project's settings file as it is now, until it changes; False if there is none.

    Raises:
        ConfigError: If the file cannot be used, sets what it may not set, or the answer cannot be kept.
    """
    content = _read_file(files.project_file)
    if content is None:
        return False
    _read_toml(_Layers(), content, files, Origin("project file", str(files.project_file)))
    TrustStore(files.trust).trust_project(files.project, digest_of(content))
    return True


# --- flags and environment -----------------------------------------------------------------------


def _read_flags(layers: _Layers, flags: Mapping[str, object]) -> None:
    for name, value in flags.items():
        if value is None:
            continue
        rule = RULES[name]
        flag = rule.flag or name
        try:
            layers.put(name, rule.parse(value), Origin("flag", flag))
        except ValueError as error:
            raise UsageError(f"{flag} {error}") from None


def _read_environ(layers: _Layers, environ: Mapping[str, str]) -> None:
    names = {rule.variable: rule for rule in RULES.values()}
    for variable, value in environ.items():
        if not variable.startswith("AGENTUI_") or not value or variable in _OTHER_VARIABLES:
            continue
        rule = names.get(variable)
        if rule is None:
            layers.warnings.append(f"unknown variable {variable}{_nearest(variable, names)}")
        elif rule.name != "api_key":
            layers.put(rule.name, _checked(rule, value, f"{variable} in the environment"), _env(variable))
    if base := environ.get("OPENAI_BASE_URL"):
        layers.put(
            "url", _checked(RULES["url"], base, "OPENAI_BASE_URL in the environment"), _env("OPENAI_BASE_URL")
        )


def _env(variable: str) -> Origin:
    return Origin("environment", variable)


def _checked(rule: SettingRule, value: object, where: str) -> Any:
    try:
        parsed = rule.parse(value)
    except ValueError as error:
        raise ConfigError(f"{where} {error}") from None
    if parsed in rule.typed_only:
        raise ConfigError(
            f"{where} may not be {value!r}: that must be typed each time",
            hint=f"remove it; type {rule.flag} {value} where you really want it",
        )
    return parsed


def _nearest(name: str, known: Mapping[str, object]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


# --- files ---------------------------------------------------------------------------------------


def _read_file(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(f"settings file {path} cannot be read: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(
            f"settings file {path} is over {MAX_FILE_BYTES // 1024} KiB: that is no settings file"
        )
    return content


def _read_user(layers: _Layers, files: ConfigFiles) -> None:
    content = _read_file(files.user)
    if content is not None:
        _read_toml(layers, content, files, Origin("user file", str(files.user)))


def _read_project(layers: _Layers, files: ConfigFiles) -> None:
    content = _read_file(files.project_file)
    if content is None:
        return
    if not TrustStore(files.trust).trusts_project(files.project, digest_of(content)):
        layers.warnings.append(
            f"{files.project_file} is not used: you have not agreed to it as it is now; "
            "read it, then start once with --trust-project"
        )
        return
    _read_toml(layers, content, files, Origin("project file", str(files.project_file)))


def _read_toml(layers: _Layers, content: bytes, files: ConfigFiles, origin: Origin) -> None:
    path = Path(origin.where)
    try:
        text = content.decode("utf-8")
        table = parse_toml(text)
    except ValueError as error:
        raise ConfigError(f"settings file {path} is no valid TOML: {error}") from None
    if (checks := table.pop("checks", None)) is not None:
        if origin.kind == "project file":
            layers.put("checks", checks_of_project(checks, text, path), origin)
        elif (found := checks_of_user(checks, text, path, files.project)).checks or found.recipe:
            layers.put("checks", found, origin)
    by_key = {rule.key: rule for rule in RULES.values()}
    for key, value in _flat(table, by_key):
        rule = by_key.get(key)
        if rule is None:
            layers.warnings.append(f"unknown setting {key!r} in {path}{_nearest(key, by_key)}")
            continue
        if origin.kind == "project file" and not rule.in_project:
            raise ConfigError(
                f"{path} may not set {key!r}: a project does not decide that",
                hint="remove the line; set it in your own settings file or by flag",
            )
        layers.put(
            rule.name, _placed(rule, _checked(rule, value, f"{key!r} in {path}"), path, origin.kind), origin
        )


def _flat(table: Mapping[str, Any], known: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        key = f"{prefix}{name}"
        is_section = isinstance(value, dict) and key not in known
        if is_section and any(other.startswith(f"{key}.") for other in known):
            yield from _flat(value, known, f"{key}.")
        else:
            yield key, value


def _placed(rule: SettingRule, value: Any, path: Path, kind: OriginKind) -> Any:
    """A path in a file counts from that file's folder; a project's must stay inside the project."""
    if not isinstance(value, Path):
        return value
    if kind != "project file":
        return path.parent / value
    project = path.parent.parent.resolve()
    placed = (project / value).resolve()
    if not placed.is_relative_to(project):
        raise ConfigError(f"{rule.key!r} in {path} points out of the project: {value}")
    return placed


def _lmstudio_url(path: Path) -> str | None:
    """The address in LM Studio's own server configuration; a file in another form is no error."""
    try:
        held = json.loads(path.read_bytes())
        port, interface = held["port"], held.get("networkInterface")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
        return None
    is_one_address = isinstance(interface, str) and interface not in ("", "0.0.0.0", "::", "localhost")
    host = str(interface) if is_one_address else "127.0.0.1"
    try:
        return normal_url(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
    except ValueError:
        return None


# --- keys ----------------------------------------------------------------------------------------


def _read_keys(layers: _Layers, environ: Mapping[str, str]) -> None:
    """Choose the API key: each goes only to the server it was meant for.

    ``AGENTUI_API_KEY`` is said to us and goes wherever we are pointed. ``OPENAI_API_KEY`` goes only to the
    address that the environment named with it. ``LM_API_TOKEN`` is LM Studio's: only to a private host. A key
    in the user's file belongs to the address in that file, or to the local server if there is none.
    """
    rule = RULES["api_key"]
    url = layers.values.get("url", Settings().url)
    url_origin = layers.origins.get("url", Origin("default"))
    if value := environ.get("AGENTUI_API_KEY"):
        _set_key(layers, _checked(rule, value, "AGENTUI_API_KEY in the environment"), _env("AGENTUI_API_KEY"))
        return
    if url_origin.where == "OPENAI_BASE_URL":
        if value := environ.get("OPENAI_API_KEY"):
            _set_key(layers, _checked(rule, value, "OPENAI_API_KEY in the environment"), _env("OPENAI_API_KEY"))
            return
    elif (value := environ.get("LM_API_TOKEN")) and is_private_host(host_of(url)):
        _set_key(layers, _checked(rule, value, "LM_API_TOKEN in the environment"), _env("LM_API_TOKEN"))
        return
    held = layers.origins.get("api_key")
    if held and url_origin.kind not in ("user file", "LM Studio", "default"):
        del layers.values["api_key"], layers.origins["api_key"]
        layers.warnings.append(
            f"the api_key of {held.where} is not sent to {url}, which {url_origin} named; "
            "set AGENTUI_API_KEY for it"
        )


def _set_key(layers: _Layers, value: str, origin: Origin) -> None:
    layers.values["api_key"] = value
    layers.origins["api_key"] = origin
