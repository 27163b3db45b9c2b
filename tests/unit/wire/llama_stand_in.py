"""A llama-server made of recorded answers, whose moment a test chooses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tests.unit.backends.replay import DATA, LLAMA_ROUTES, Canned, ReplayServer, as_json, recorded

TINY = Path(__file__).resolve().parents[2] / "data" / "kv" / "tiny-gemma4-fixture.gguf"


def at(moment: str) -> Mapping[str, Canned]:
    """Its routes before (idle), during (busy) and after one request."""
    props = json.loads((DATA / "props.json").read_text())
    counters = (DATA / f"metrics-{'start' if moment == 'idle' else moment}.txt").read_bytes()
    return {
        **LLAMA_ROUTES,
        "GET /props": as_json({**props, "model_path": str(TINY)}),
        "GET /slots": recorded(f"slots-{moment}.json"),
        "GET /metrics": Canned(counters, content_type="text/plain; version=0.0.4"),
    }


def stand_in(moment: str, **replaced: Canned) -> ReplayServer:
    """A server at that moment; `slots` and `metrics` may be replaced."""
    routes = dict(at(moment))
    routes |= {f"GET /{name}": replace(canned) for name, canned in replaced.items()}
    return ReplayServer(routes, server_header="llama.cpp")
