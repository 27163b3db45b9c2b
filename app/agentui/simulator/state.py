"""What all routes of one simulated server share."""

from __future__ import annotations

import asyncio
import json

from aiohttp import web

from agentui.simulator.answers import Refusal, text_error
from agentui.simulator.chat_request import JsonObject, as_object
from agentui.simulator.config import SimulatorConfig
from agentui.simulator.engine import Engine
from agentui.simulator.faults import FaultPlan
from agentui.simulator.registry import Registry
from agentui.simulator.truth import Truth

VERSION = "0.4.24+1"


class ServerState:
    """Configuration, models, faults and truth of one server; outlives its restarts."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config
        self.plan = FaultPlan(config.faults, config.fault_every)
        self.truth = Truth()
        self.registry = Registry(config)
        self.engine = Engine(config, self.registry, self.truth, self.plan)
        self.stored_chats: dict[str, list[JsonObject]] = {}
        self.restart_wanted = asyncio.Event()

    def forget(self) -> None:
        """Lose what a restarted server has lost."""
        self.registry.reset()
        self.stored_chats.clear()
        self.truth.restarts += 1


STATE: web.AppKey[ServerState] = web.AppKey("state", ServerState)


async def read_json(request: web.Request) -> JsonObject:
    """Return the JSON object a request carries.

    Raises:
        Refusal: With status 400, if the body is not JSON.
    """
    try:
        return as_object(json.loads(await request.text() or "{}"))
    except ValueError as error:
        raise Refusal(400, text_error(f"Invalid JSON in the request body: {error}")) from error
