"""One chat with a server that answers with canned bytes."""

from __future__ import annotations

from agentui.backends.base import ChatPart, ChatRequest
from agentui.backends.openai_chat import OpenAiChat
from agentui.errors import BackendError
from tests.unit.backends.replay import Canned, ReplayServer, Seen

ROUTE = "POST /v1/chat/completions"
REQUEST = ChatRequest("tiny", ({"role": "user", "content": "say something"},))


async def ask(
    canned: Canned,
    request: ChatRequest = REQUEST,
    *,
    context_tokens: int | None = 8192,
    read_timeout_s: float = 30.0,
    api_key: str | None = None,
) -> tuple[list[ChatPart], BackendError | None, list[Seen]]:
    """The parts of one answer, the error after them, and what the server saw."""
    parts: list[ChatPart] = []
    error: BackendError | None = None
    async with ReplayServer({ROUTE: canned}) as server:
        chat = OpenAiChat(f"{server.url}/v1", api_key, address=server.url, read_timeout_s=read_timeout_s)
        try:
            async for part in chat.stream(request, context_tokens):
                parts.append(part)
        except BackendError as raised:
            error = raised
        finally:
            await chat.aclose()
        return parts, error, server.seen


def call(index: int | None, **fields: object) -> dict[str, object]:
    function = {key: fields.pop(key) for key in ("name", "arguments") if key in fields}
    return {"tool_calls": [{**({} if index is None else {"index": index}), **fields, "function": function}]}
