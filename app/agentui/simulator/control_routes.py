"""The simulator's own routes, for tests and benchmarks in another process: faults and truth."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from agentui.errors import UsageError
from agentui.simulator.answers import Refusal
from agentui.simulator.chat_request import JsonObject
from agentui.simulator.faults import FaultPlan, parse_fault
from agentui.simulator.state import STATE, ServerState, read_json


async def faults(request: web.Request) -> web.Response:
    """Answer GET and POST /simulator/faults.

    The body of a POST may hold `clear` (true), `every` (a name or null), `next` (a name or a list of
    names) and `at` (an object of request number to name); they are carried out in this order.
    """
    state = request.app[STATE]
    if request.method == "POST":
        try:
            change_plan(state.plan, await read_json(request))
        except Refusal as refusal:
            return web.json_response(refusal.body, status=refusal.status)
        except UsageError as error:
            return web.json_response({"error": f"{error.message} {error.hint}".strip()}, status=400)
    return web.json_response(state.plan.describe())


def change_plan(plan: FaultPlan, body: JsonObject) -> None:
    """Change a plan as a body says.

    Raises:
        UsageError: If a fault has no known name or a request no number; then nothing more is changed.
    """
    if body.get("clear") is True:
        plan.clear()
    if "every" in body:
        plan.set_every(None if body["every"] is None else parse_fault(str(body["every"])))
    following = body.get("next")
    for name in following if isinstance(following, list) else [following] if following else []:
        plan.add_next(parse_fault(str(name)))
    at = body.get("at")
    for number, name in at.items() if isinstance(at, Mapping) else []:
        if not str(number).isdigit():
            raise UsageError(f"“{number}” is not the number of a request.")
        plan.set_at(int(number), parse_fault(str(name)))


async def truth(request: web.Request) -> web.Response:
    """Answer GET /simulator/truth with what really happened."""
    return web.json_response(describe_truth(request.app[STATE]))


def describe_truth(state: ServerState) -> JsonObject:
    """Return the truth as JSON; bodies are left out."""
    instances = [
        {
            "id": item.id,
            "status": item.status,
            "queued": item.queued,
            "context_length": item.settings.context_length,
            "kv_tokens": item.kv_tokens,
            "kv_bytes": item.kv_bytes,
            "slots": [len(slot.tokens) for slot in item.slots],
            "transitions": list(item.transitions),
        }
        for item in state.registry.instances.values()
    ]
    return {
        "instances": instances,
        "requests": [record.describe() for record in state.truth.requests],
        "calls": dict(state.truth.calls),
        "open": state.truth.open_count,
        "disconnects": state.truth.disconnects,
        "loads": state.truth.loads,
        "restarts": state.truth.restarts,
    }
