"""`agentui doctor models`: your models.json, and what Pi is given instead, field by field with the reason."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from agentui.backends.models_json import ModelsFile, ProviderModel
from agentui.backends.private_models import PrivateFiles, private_models
from agentui.cli.arguments import Start
from agentui.cli.providers import models_file, with_keys
from agentui.config import Settings, host_of, is_private_host
from agentui.config.trust import TrustStore
from agentui.errors import AgentuiError
from agentui.events import ModelFacts
from agentui.harness.pi.config import read_pi_settings
from agentui.paths import pi_folder
from agentui.text import clean, clean_line

GATEWAY_URL = "http://127.0.0.1:1234/v1"
"""How the gateway looks from where Pi runs."""
_ASK_S = 10.0


@dataclass(frozen=True, slots=True)
class ModelReport:
    """One model of the file. `trouble` says what the server could not be asked, or why it cannot be used."""

    label: str
    trouble: str | None
    is_usable: bool
    private: PrivateFiles | None


def show_models(begun: Start, *, as_json: bool) -> int:
    """Report on the file and each of its models; asks private servers only. 0 if the file can be used.

    Raises:
        ConfigError: If the file cannot be used; names line and column.
    """
    file = models_file(begun.loaded.settings, begun.places.home)
    user_settings = read_pi_settings(pi_folder(begun.places.home, os.environ) / "settings.json")
    reports = asyncio.run(_reports(file, begun, user_settings))
    if as_json:
        print(json.dumps(report_object(file, reports)))
    else:
        print("\n".join(report_lines(file, reports)))
    return 0


async def _reports(file: ModelsFile, begun: Start, user_settings: dict[str, Any]) -> list[ModelReport]:
    tasks = [_report(model, begun, user_settings) for model in file.models]
    return list(await asyncio.gather(*tasks))


async def _report(model: ProviderModel, begun: Start, user_settings: dict[str, Any]) -> ModelReport:
    if model.why_not is not None:
        return ModelReport(model.label, model.why_not, False, None)
    facts = ModelFacts(model.id, model.name)
    trouble = None
    try:
        facts = await _asked(model, begun)
    except AgentuiError as error:
        trouble = error.message
    except TimeoutError:
        trouble = f"the server at {model.url} did not answer in time"
    return ModelReport(model.label, trouble, True, private_models(model, facts, GATEWAY_URL, user_settings))


async def _asked(model: ProviderModel, begun: Start) -> ModelFacts:
    """What the server says of a model.

    Raises:
        AgentuiError: If it may not be asked, or does not answer.
    """
    route = model.route()
    if not is_private_host(host_of(route.url)):
        raise AgentuiError(f"{host_of(route.url)} is not on your machine or network, and was not asked")
    from agentui import wire

    bare = replace(Settings(), url=route.url, model=route.model, provider=route)
    trust = TrustStore(begun.files.trust)
    settings = await asyncio.to_thread(with_keys, bare, trust, begun.places.home, may_ask=False)
    async with asyncio.timeout(_ASK_S):
        backend = await wire.find_backend(settings)
        try:
            return await backend.describe(route.model)
        finally:
            await backend.aclose()


def report_object(file: ModelsFile, reports: Sequence[ModelReport]) -> dict[str, Any]:
    """The report as one JSON object; keys and headers are never in it."""
    return {
        "file": str(file.path),
        "unknown_fields": [asdict(found) for found in file.unknown],
        "given_twice": [asdict(found) for found in file.given_twice],
        "models": [
            {
                "model": report.label,
                "is_usable": report.is_usable,
                "trouble": report.trouble,
                "differences": [asdict(found) for found in report.private.differences]
                if report.private
                else [],
                "written_models": report.private.models if report.private else None,
                "written_settings": report.private.settings if report.private else None,
            }
            for report in reports
        ],
    }


def report_lines(file: ModelsFile, reports: Sequence[ModelReport]) -> list[str]:
    """The report for people."""
    lines = [f"your list of providers: {file.path}"]
    if not file.providers:
        lines.append("  it is not there, or holds no providers; the server in use is asked for its models")
    for found in file.unknown:
        lines.append(f"  line {found.line}: {found.where} is not known here; it is kept for Pi")
    for found in file.given_twice:
        lines.append(f"  line {found.line}: {found.where} is given twice; the last one counts")
    for report in reports:
        lines += ["", report.label]
        if not report.is_usable:
            lines.append(f"  cannot be used: {report.trouble}")
            continue
        if report.trouble:
            lines.append(f"  the server was not heard: {report.trouble}")
        if report.private is not None:
            lines += _rows(report.private)
    return [clean(line) for line in lines]


def _rows(private: PrivateFiles) -> list[str]:
    width = max(len(found.field) for found in private.differences) if private.differences else 0
    lines = [f"  {'yours':>{width + 7}} → for Pi, who knows it as {clean_line(private.label)}"]
    for found in private.differences:
        change = f"{_shown(found.yours)} → {_shown(found.written)}"
        lines += [f"  {clean_line(found.field).ljust(width)}  {change}", f"  {'':{width}}  {found.reason}"]
    return lines


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return clean_line(value if isinstance(value, str) else json.dumps(value))
