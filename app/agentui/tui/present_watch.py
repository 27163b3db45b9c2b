"""The rows of the watch screen that the dashboard does not have: its header, its footer, the server's slots."""

from __future__ import annotations

from collections.abc import Sequence

from agentui.text import clean_line, human_bytes, human_context, human_percent, human_tokens
from agentui.tui.present_bars import model_facts, state_fact
from agentui.tui.watch_services import SlotShown, WatchServices
from agentui.view.fold import View
from agentui_widgets.line_bar import Fact

_MOST_SLOTS = 8


def header(view: View, services: WatchServices) -> tuple[list[Fact], list[Fact]]:
    """Server and model; what the server does at the right."""
    left = [Fact("agentui watch", "accent", 1)]
    server = services.server_words
    if not server and services.trouble_words is None:
        return [*left, Fact("looking for a server", "dim", 0)], []
    if not server:
        return [*left, Fact("no server: memory only", "warning", 0)], []
    if view.status.model is not None:
        left += model_facts(view.status.model)
    left.append(Fact(clean_line(server), "dim", 6))
    return left, [state_fact(view)]


def footer(view: View, services: WatchServices) -> tuple[list[Fact], list[Fact]]:
    """The keys, where clients are measured, and what we cost."""
    left = [Fact("q quit", "dim", 1), Fact("ctrl+p palette", "dim", 4)]
    if services.gateway_port is not None:
        left.append(Fact(f"clients at http://127.0.0.1:{services.gateway_port}/v1 are measured", "accent", 0))
    process = view.gauges.process
    if process is None:
        return left, []
    return left, [Fact(f"agentui {process.cpu_percent:.1f} % cpu {human_bytes(process.rss_bytes)}", "dim", 5)]


def trouble_rows(services: WatchServices) -> list[list[Fact]]:
    """Why there is nothing to see, and the next step."""
    trouble = services.trouble_words
    if trouble is None:
        return []
    rows = [[Fact(clean_line(trouble[0]), "warning", 0)]]
    if trouble[1]:
        rows.append([Fact(clean_line(trouble[1]), "dim", 0)])
    return rows


def slot_rows(slots: Sequence[SlotShown]) -> list[list[Fact]]:
    """A row for each sequence; the busy ones first where there are many."""
    shown = sorted(slots, key=lambda slot: (not slot.is_busy, slot.slot))[:_MOST_SLOTS]
    rows = [_slot_row(slot) for slot in sorted(shown, key=lambda slot: slot.slot)]
    if len(slots) > len(shown):
        rows.append([Fact(f"and {len(slots) - len(shown)} more", "dim", 0)])
    return rows


def _slot_row(slot: SlotShown) -> list[Fact]:
    share = None
    if slot.used_tokens is not None and slot.context_tokens:
        share = slot.used_tokens / slot.context_tokens
    used = f"{human_tokens(slot.used_tokens)} / {human_context(slot.context_tokens)}  {human_percent(share)}"
    facts = [
        Fact(f"slot {slot.slot}", "accent" if slot.is_busy else "dim", 0),
        Fact(used, "text" if slot.is_busy else "dim", 0),
    ]
    if slot.cached_tokens is not None:
        words = f"reused {human_tokens(slot.cached_tokens)}, re-read {human_tokens(slot.read_tokens)}"
        facts.append(Fact(words, "dim", 2))
    if slot.answer_tokens:
        facts.append(Fact(f"answer {human_tokens(slot.answer_tokens)}", "dim", 3))
    return facts
