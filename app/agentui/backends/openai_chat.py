"""Streamed chat with an OpenAI-style server, through the `openai` package.

The package is imported with the first request, because that costs the better part of a second.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING, Any

from agentui import __version__
from agentui.backends.base import ChatPart, ChatRequest
from agentui.backends.dialect import Dialect
from agentui.backends.failures import (
    MORE_CONTEXT_HINT,
    NOTHING_SAID,
    from_exception,
    is_error,
    malformed,
    refusal,
    unfinished,
)
from agentui.backends.fields import as_object, parse_json
from agentui.backends.openai_chunks import ChunkReader
from agentui.backends.sse import SseReader
from agentui.errors import BackendError, BackendRefused, ContextOverflow

if TYPE_CHECKING:
    from openai import AsyncOpenAI, AsyncStream

_log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 3600.0
"""Longest silence on the wire. A cold prefill may take many minutes; whether it moves is judged elsewhere."""

_PLAIN = Dialect()
_TAIL_S = 10.0
_STREAM_BEGINNINGS = (b"data:", b"event:", b": ")
_CHARACTERS_PER_TOKEN = 4
_NO_STREAM = re.compile(
    r"\bstream(?:ing|ed)?\b.{0,40}?(?:not|n't|un)\s?(?:supported|allowed|available|implemented)", re.I
)
_SENT_HEADERS = frozenset(
    {"host", "accept", "accept-encoding", "connection", "content-type", "content-length", "transfer-encoding"}
)


class OpenAiChat:
    """One server's chat route. Every request has its own connection, so that cancelling closes it.

    Args:
        base_url: Base of the routes, with ``/v1`` where the server has it.
        api_key: Sent as a bearer token; nothing is sent without one.
        address: The server in words for messages.
        dialect: How this provider wants its requests.
        extra_body: Fields that this kind of server understands beyond the standard.
        read_timeout_s: Longest silence on the wire.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        *,
        address: str,
        dialect: Dialect = _PLAIN,
        extra_body: Mapping[str, Any] | None = None,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        self.base_url = base_url
        self._api_key = api_key
        self._address = address
        self._dialect = dialect
        self._extra_body = dict(extra_body or {})
        self._read_timeout_s = read_timeout_s
        self._warming: asyncio.Task[AsyncOpenAI] | None = None
        self._asks_usage = dialect.asks_usage
        self._asks_stream = True
        self._gives_finish_reason = dialect.gives_finish_reason

    async def stream(self, request: ChatRequest, context_tokens: int | None) -> AsyncGenerator[ChatPart, None]:
        """Send `request` and yield its parts, ending with a `FinishPart`.

        Args:
            request: What to send.
            context_tokens: The loaded context where it is known, to judge an answer without any content.

        Raises:
            BackendError: Any of its kinds.
        """
        reader = ChunkReader()
        try:
            async with AsyncExitStack() as stack:
                stream = await self._open(request)
                stack.push_async_callback(stream.close)
                async with aclosing(self._read(stream, reader)) as parts:
                    async for part in parts:
                        yield part
        except BackendError:
            raise
        except Exception as error:
            if reader.finish_reason is None or not reader.has_answer:
                raise self._classified(error) from error
            _log.warning("The stream broke after the answer was complete: %s", error)
        _require_answer(reader, request, context_tokens)
        for part in reader.finish():
            yield part

    def warm_up(self) -> None:
        """Begin to import and build what the first request needs, in a thread; returns at once.

        It takes up to a second or two, and would count as the server's time if it ran inside the request.
        """
        if self._warming is None:
            build = asyncio.to_thread(
                _build_client, self.base_url, self._api_key, self._dialect.headers, self._read_timeout_s
            )
            self._warming = asyncio.create_task(build)

    async def prepare(self) -> None:
        """Wait for what `warm_up` begins.

        Raises:
            BackendError: If there can be no client.
        """
        try:
            await self._connected()
        except Exception as error:
            raise self._classified(error) from error

    async def aclose(self) -> None:
        """Close the client; running requests are cut."""
        warming, self._warming = self._warming, None
        if warming is None:
            return
        try:
            client = await warming
        except Exception as error:  # the request that needed it has said so already
            _log.info("There was no client to close: %s", error)
            return
        await client.close()

    async def _read(self, stream: AsyncStream[object], reader: ChunkReader) -> AsyncGenerator[ChatPart, None]:
        kind = stream.response.headers.get("content-type", "")
        is_packed = "content-encoding" in stream.response.headers
        arriving = stream.response.aiter_bytes() if is_packed else stream.response.aiter_raw()
        pieces: AsyncIterator[bytes] = arriving
        if kind.startswith(("application/json", "text/html")):
            head = await _head(pieces)
            if not head.lstrip().startswith(_STREAM_BEGINNINGS):
                body = head + b"".join([piece async for piece in pieces])
                for part in self._read_whole(body, reader):
                    yield part
                return
            pieces = _from_head(head, pieces)  # Flask, for one, calls a stream HTML unless it is told otherwise
        records, is_cut = SseReader(), False
        while not records.is_done:
            piece = await _next_piece(pieces, reader.finish_reason is not None)
            for data in records.finish() if piece is None else records.feed(piece):
                for part in reader.read(_checked(json.loads(data.decode()), self._address)):
                    yield part
            is_cut = piece is None
        if reader.finish_reason is not None or not self._gives_finish_reason:
            return
        if is_cut or not reader.has_calls:
            raise unfinished(self._address)
        # A call that the end mark follows is whole: this server gives no reasons, so not with its texts either.
        self._gives_finish_reason = False

    def _read_whole(self, body: bytes, reader: ChunkReader) -> list[ChatPart]:
        answer = as_object(parse_json(body))
        if not answer.get("choices"):
            raise refusal(200, body, self._address)
        return reader.read(answer)

    async def _open(self, request: ChatRequest) -> AsyncStream[object]:
        client = await self._connected()
        while True:
            try:
                return await self._create(client, request)
            except Exception as error:
                if not self._can_do_without(str(getattr(error, "body", ""))):
                    raise

    def _can_do_without(self, refusal_text: str) -> bool:
        """Whether a server refused a field instead of ignoring it; from then on it is not sent."""
        if self._asks_usage and "stream_options" in refusal_text:
            self._asks_usage = False
            return True
        if self._asks_stream and _NO_STREAM.search(refusal_text):
            self._asks_stream = self._asks_usage = False
            return True
        return False

    async def _create(self, client: AsyncOpenAI, request: ChatRequest) -> AsyncStream[object]:
        from openai import AsyncStream

        body = {**self._extra_body, **self._dialect.body(request, asks_usage=self._asks_usage)}
        body["stream"] = self._asks_stream
        # The plain JSON instead of the package's chunk objects: building those costs four times as much as all
        # the rest of a token, and they would only be taken apart again.
        return await client.post(
            "/chat/completions", cast_to=object, body=body, stream=True, stream_cls=AsyncStream[object]
        )

    async def _connected(self) -> AsyncOpenAI:
        self.warm_up()
        assert self._warming is not None
        # Shielded: a cancelled request must not take the client from the next one.
        return await asyncio.shield(self._warming)

    def _classified(self, error: Exception) -> BackendError:
        found = from_exception(error, self._address)
        if found is None:
            _log.exception("The answer of %s could not be read", self._address)
            return malformed(self._address, f"{type(error).__name__}: {error}")
        return found


def _build_client(
    base_url: str, api_key: str | None, headers: Sequence[tuple[str, str]], read_timeout_s: float
) -> AsyncOpenAI:
    """Import the packages and build a client; blocks for up to two seconds, so it runs in a thread."""
    import httpx2
    import openai

    async def send_only_ours(outgoing: httpx2.Request) -> None:
        # The package adds facts about this machine, and headers that the environment holds for OpenAI.
        for name in [name for name in outgoing.headers if name.lower() not in _SENT_HEADERS]:
            del outgoing.headers[name]
        outgoing.headers["User-Agent"] = f"agentui/{__version__}"
        if api_key:
            outgoing.headers["Authorization"] = f"Bearer {api_key}"
        for name, value in headers:
            outgoing.headers[name] = value

    transport = openai.DefaultAsyncHttpxClient(
        trust_env=False,
        follow_redirects=False,
        limits=httpx2.Limits(max_keepalive_connections=0),
        event_hooks={"request": [send_only_ours]},
    )
    client = openai.AsyncOpenAI(
        base_url=base_url,
        api_key=api_key or "none",
        max_retries=0,
        timeout=httpx2.Timeout(read_timeout_s, connect=CONNECT_TIMEOUT_S),
        http_client=transport,
    )
    return client


async def _head(pieces: AsyncIterator[bytes]) -> bytes:
    """As many bytes as tell a stream of events from another body; all of a shorter one."""
    head = b""
    while len(head.lstrip()) < len(max(_STREAM_BEGINNINGS, key=len)):
        piece = await anext(pieces, None)
        if piece is None:
            break
        head += piece
    return head


async def _from_head(head: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    async for piece in pieces:
        yield piece


async def _next_piece(pieces: AsyncIterator[bytes], is_tail: bool) -> bytes | None:
    """The next bytes; after the finish reason only for a moment, since some servers never end a stream."""
    if not is_tail:
        return await anext(pieces, None)
    try:
        async with asyncio.timeout(_TAIL_S):
            return await anext(pieces, None)
    except TimeoutError:
        return None


def _checked(chunk: object, address: str) -> Mapping[str, Any]:
    """The chunk as an object; raises for what is none, for errors, and for errors in disguise: only words."""
    if not isinstance(chunk, Mapping):
        raise malformed(address, f"{str(chunk)[:80]} instead of a chunk")
    if is_error(chunk):
        raise refusal(200, chunk, address)
    return chunk


def _require_answer(reader: ChunkReader, request: ChatRequest, context_tokens: int | None) -> None:
    """Raise when a good answer holds nothing at all.

    Seen from LM Studio with GGUF models for prompts that do not fit. A model may also have nothing to say: then
    the server has counted at least the token that ends the answer.
    """
    usage = reader.usage
    if reader.has_answer or (usage is not None and usage.completion_tokens):
        return
    told = usage.prompt_tokens if usage else None
    prompt = told or sum(len(str(message)) for message in request.messages) // _CHARACTERS_PER_TOKEN
    of_context = f" of {context_tokens:,}" if context_tokens else ""
    message = f"{NOTHING_SAID} (here about {prompt:,}{of_context} tokens)."
    if context_tokens is None or prompt * 2 >= context_tokens or reader.finish_reason == "length":
        raise ContextOverflow(message, hint=MORE_CONTEXT_HINT, status=200)
    hint = (
        "Other programs may have filled the context; asking again often helps. The server's log may say more."
    )
    raise BackendRefused(message, hint=hint, status=200, retryable=True)
