"""The WebSocket under LM Studio's SDK: the few calls a dashboard needs, on /llm and /system."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time

from aiohttp import WSMsgType, web

from agentui.simulator.answers import Refusal
from agentui.simulator.chat_request import JsonObject, as_object
from agentui.simulator.faults import Fault
from agentui.simulator.registry import Instance, LoadSettings
from agentui.simulator.state import STATE, VERSION, ServerState

logger = logging.getLogger(__name__)

NAMESPACES = ("llm", "embedding", "system")


class _CallError(Exception):
    """A call that is answered with rpcError."""


async def connect(request: web.Request) -> web.WebSocketResponse:
    """Serve one WebSocket connection until the client leaves."""
    socket = web.WebSocketResponse(heartbeat=None)
    await socket.prepare(request)
    session = _Session(request.app[STATE], request.match_info["namespace"], socket)
    try:
        await session.serve()
    finally:
        await session.end()
    return socket


class _Session:
    """One connection: the authentication frame first, then calls and channels."""

    def __init__(self, state: ServerState, namespace: str, socket: web.WebSocketResponse) -> None:
        self._state = state
        self._namespace = namespace
        self._socket = socket
        self._channels: dict[int, asyncio.Task[None]] = {}

    async def serve(self) -> None:
        is_known = False
        async for frame in self._socket:
            if frame.type is not WSMsgType.TEXT:
                continue
            try:
                message = as_object(json.loads(frame.data))
            except ValueError:
                await self._warn("Received a frame that is not JSON.")
                continue
            if is_known:
                await self._dispatch(message)
                continue
            is_known = self._may_enter(message)
            if not is_known:
                await self._send({"success": False, "error": "Authentication failed: wrong client passkey."})
                await self._socket.close()
                return
            await self._send({"success": True})

    async def end(self) -> None:
        for task in self._channels.values():
            task.cancel()
        if self._channels:
            await asyncio.wait(self._channels.values())

    def _may_enter(self, message: JsonObject) -> bool:
        if message.get("authVersion") != 1 or not isinstance(message.get("clientIdentifier"), str):
            return False
        token = self._state.config.api_token
        if not token:
            return bool(message.get("clientPasskey"))
        # A token sk-lm-AAAAAAAA:BBBB… is split into identifier and passkey.
        identifier, _, passkey = token.removeprefix("sk-lm-").partition(":")
        return (message["clientIdentifier"], message.get("clientPasskey")) == (identifier, passkey)

    async def _send(self, message: JsonObject) -> None:
        with contextlib.suppress(ConnectionError):
            await self._socket.send_str(json.dumps(message, ensure_ascii=False))

    async def _warn(self, warning: str) -> None:
        await self._send({"type": "communicationWarning", "warning": warning})

    async def _dispatch(self, message: JsonObject) -> None:
        match message.get("type"):
            case "keepAlive":
                await self._send({"type": "keepAliveAck"})
            case "rpcCall":
                await self._call(message)
            case "channelCreate":
                await self._create_channel(message)
            case "channelSend":
                self._receive(message)
            case kind:
                await self._warn(f"Received a message of unknown type, type = {kind}")

    # -- calls -----------------------------------------------------------------------------------

    async def _call(self, message: JsonObject) -> None:
        endpoint, call_id = str(message.get("endpoint")), message.get("callId")
        self._state.truth.count_call("WS", f"/{self._namespace}/{endpoint}")
        try:
            result = self._result(endpoint, message.get("parameter"))
        except _CallError as error:
            await self._send({"type": "rpcError", "callId": call_id, "error": {"title": str(error)}})
            return
        except LookupError:
            await self._warn(f"Received rpcCall for unknown endpoint, endpoint = {endpoint}")
            return
        await self._send({"type": "rpcResult", "callId": call_id, "result": result})

    def _result(self, endpoint: str, parameter: object) -> object:
        match self._namespace, endpoint:
            case "system", "info":
                return {"pid": os.getpid(), "isDaemon": False, "version": VERSION}
            case "system", "version":
                return {"version": VERSION, "build": 1}
            case "llm" | "embedding", "listLoaded":
                if parameter is not None:
                    raise _CallError("Endpoint listLoaded takes no parameter.")
                wanted = self._namespace == "embedding"
                instances = self._state.registry.instances.values()
                return [instance_info(item) for item in instances if item.model.is_embedding == wanted]
            case "llm", "getInstanceProcessingState":
                return self._processing_state(self._instance(parameter))
            case "llm", "getLoadConfig":
                return {"fields": load_config_fields(self._state, self._instance(parameter))}
            case _:
                raise LookupError(endpoint)

    def _instance(self, parameter: object) -> Instance:
        specifier = as_object(as_object(parameter).get("specifier"))
        found: Instance | None = None
        if specifier.get("type") == "instanceReference":
            found = self._state.registry.by_reference(str(specifier.get("instanceReference")))
        elif specifier.get("type") == "query":
            query = as_object(specifier.get("query"))
            found = self._state.registry.find(str(query.get("identifier") or query.get("modelKey") or ""))
        if found is None:
            raise _CallError("Cannot find an LLM instance matching the given specifier.")
        return found

    def _processing_state(self, instance: Instance) -> JsonObject:
        if self._state.plan.is_on(Fault.BUSY):
            return {"status": "generating", "queued": instance.queued + 1}
        return {"status": instance.status, "queued": instance.queued}

    # -- channels --------------------------------------------------------------------------------

    async def _create_channel(self, message: JsonObject) -> None:
        endpoint, channel_id = str(message.get("endpoint")), message.get("channelId")
        if endpoint != "loadModel" or not isinstance(channel_id, int):
            await self._warn(f"Received channelCreate for unknown endpoint, endpoint = {endpoint}")
            return
        parameter = as_object(message.get("creationParameter"))
        self._channels[channel_id] = asyncio.create_task(self._load(channel_id, parameter))

    def _receive(self, message: JsonObject) -> None:
        channel_id = message.get("channelId")
        task = self._channels.get(channel_id) if isinstance(channel_id, int) else None
        if task is not None and as_object(message.get("message")).get("type") == "cancel":
            task.cancel()

    async def _load(self, channel_id: int, parameter: JsonObject) -> None:
        async def tell(message: JsonObject) -> None:
            await self._send({"type": "channelSend", "channelId": channel_id, "message": message})

        key = str(parameter.get("modelKey"))
        model = self._state.registry.model(key)
        error = {"type": "channelError", "channelId": channel_id}
        if model is None:
            await self._send({**error, "error": {"title": f"Cannot find a model with key “{key}”."}})
            return
        steps: asyncio.Queue[float | None] = asyncio.Queue()
        settings = _settings_of(self._state, parameter, model.num_experts)
        loading = asyncio.create_task(self._state.engine.load(model, settings, steps.put_nowait))
        loading.add_done_callback(lambda _: steps.put_nowait(None))
        try:
            while (step := await steps.get()) is not None:
                await tell({"type": "progress", "progress": step})
            instance = await loading
        except Refusal as refusal:
            details = as_object(refusal.body.get("error"))
            await self._send({**error, "error": {"title": str(details.get("message", "Load failed."))}})
            return
        finally:
            loading.cancel()
        await tell({"type": "success", "info": instance_info(instance)})
        await self._send({"type": "channelClose", "channelId": channel_id})


def _settings_of(state: ServerState, parameter: JsonObject, num_experts: int | None) -> LoadSettings:
    context_length, parallel = state.config.context_length, state.config.parallel
    layers = as_object(parameter.get("loadConfigStack")).get("layers")
    for layer in layers if isinstance(layers, list) else []:
        fields = as_object(as_object(layer).get("config")).get("fields")
        for field in fields if isinstance(fields, list) else []:
            entry = as_object(field)
            value = entry.get("value")
            if not isinstance(value, int):
                continue
            if entry.get("key") == "llm.load.contextLength":
                context_length = value
            elif entry.get("key") == "llm.load.numParallelSessions":
                parallel = value
    return LoadSettings(context_length, parallel, num_experts=num_experts)


def instance_info(instance: Instance) -> JsonObject:
    """Return one element of `listLoaded`, the same as in `lms ps --json` plus the reference."""
    model = instance.model
    info: JsonObject = {
        "type": model.type,
        "modelKey": model.key,
        "format": model.format,
        "displayName": model.display_name,
        "publisher": model.publisher,
        "path": model.path,
        "sizeBytes": model.size_bytes,
        "indexedModelIdentifier": model.path,
        "deviceIdentifier": None,
        "paramsString": model.params,
        "architecture": model.architecture,
        "quantization": {"name": model.quantization, "bits": model.bits_per_weight},
        "identifier": instance.id,
        "instanceReference": instance.reference,
        "ttlMs": None if instance.ttl_s is None else round(instance.ttl_s * 1000),
        "lastUsedTime": None if instance.last_used_s is None else round(time.time() * 1000),
        "vision": model.vision,
        "trainedForToolUse": model.trained_for_tool_use,
        "maxContextLength": model.max_context_length,
        "contextLength": instance.settings.context_length,
        "status": instance.status,
        "queued": instance.queued,
        "parallel": instance.settings.parallel,
    }
    if model.variants:
        info["variants"] = list(model.variants)
        info["selectedVariant"] = model.variants[0]
    return info


def load_config_fields(state: ServerState, instance: Instance) -> list[JsonObject]:
    """Return the fields of `getLoadConfig`; the cache types are told nowhere else."""
    settings, config = instance.settings, state.config
    fields: JsonObject = {
        "llm.load.contextLength": settings.context_length,
        "llm.load.numParallelSessions": settings.parallel,
    }
    if instance.model.format == "mlx":
        fields["llm.load.mlx.kvCacheQuantization"] = {
            "enabled": False,
            "bits": 8,
            "groupSize": 64,
            "quantizedStart": 5000,
        }
        fields["llm.load.mlx.autoFit"] = True
        return [{"key": key, "value": value} for key, value in fields.items()]
    fields |= {
        "llm.load.useUnifiedKvCache": True,
        "llm.load.offloadKVCacheToGpu": settings.offload_kv_cache_to_gpu,
        "llm.load.llama.flashAttention": settings.flash_attention,
        "llm.load.llama.evalBatchSize": settings.eval_batch_size,
        "llm.load.llama.physicalBatchSize": 512,
        "llm.load.llama.contextCheckpoints": 32,
        "llm.load.llama.kCacheQuantizationType": _cache_type(config.k_cache_type),
        "llm.load.llama.vCacheQuantizationType": _cache_type(config.v_cache_type),
    }
    if settings.num_experts is not None:
        fields["llm.load.numExperts"] = settings.num_experts
    return [{"key": key, "value": value} for key, value in fields.items()]


def _cache_type(name: str) -> JsonObject:
    return {"checked": name != "f16", "value": name}
