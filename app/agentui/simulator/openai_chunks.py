"""The JSON of the OpenAI-compatible answers: stream records and whole answers."""

from __future__ import annotations

import random
import string
import time
from collections.abc import Sequence

from agentui.simulator.reply import Piece
from agentui.simulator.sse import encode
from agentui.simulator.truth import RequestRecord

_ID_CHARACTERS = string.ascii_lowercase + string.digits
_MARK = "\u0000"


def completion_id(prefix: str, seed: str) -> str:
    """Return an id like `chatcmpl-um3b2l9t12bzrtha63q8x`: a prefix and 21 lowercase alphanumerics."""
    chooser = random.Random(seed)
    return prefix + "".join(chooser.choice(_ID_CHARACTERS) for _ in range(21))


def usage_of(record: RequestRecord, *, is_thinking_model: bool = True) -> dict[str, object]:
    """Return the usage of a finished request; completion tokens include the reasoning."""
    usage: dict[str, object] = {
        "prompt_tokens": record.prompt_tokens,
        "completion_tokens": record.completion_tokens,
        "total_tokens": record.prompt_tokens + record.completion_tokens,
    }
    if is_thinking_model:
        usage["completion_tokens_details"] = {"reasoning_tokens": record.reasoning_tokens}
    return usage


def llama_timings(record: RequestRecord) -> dict[str, object]:
    """Return llama-server's timings of a request."""
    read, written = record.uncached_tokens, record.completion_tokens
    prefill_s, decode_s = max(record.prefill_s, 1e-6), max(record.decode_s, 1e-6)
    return {
        "cache_n": record.cached_tokens,
        "prompt_n": read,
        "prompt_ms": prefill_s * 1000,
        "prompt_per_token_ms": prefill_s * 1000 / max(read, 1),
        "prompt_per_second": read / prefill_s,
        "predicted_n": written,
        "predicted_ms": decode_s * 1000,
        "predicted_per_token_ms": decode_s * 1000 / max(written, 1),
        "predicted_per_second": written / decode_s,
    }


class ChunkMaker:
    """Makes the records of one stream; what is the same in all of them is encoded once."""

    def __init__(self, model: str, seed: str, *, reasoning_name: str = "reasoning_content") -> None:
        self.id = completion_id("chatcmpl-", seed)
        self.created = int(time.time())
        self.model = model
        self._reasoning_name = reasoning_name
        choice = {"index": 0, "delta": _MARK, "logprobs": None, "finish_reason": None}
        head, tail = encode(self.chunk([choice])).split(encode(_MARK))
        self._head, self._tail = b"data: " + head, tail + b"\n\n"

    def chunk(self, choices: Sequence[object]) -> dict[str, object]:
        """Return a chunk object."""
        return {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.model,
            "choices": list(choices),
        }

    def delta(self, delta: dict[str, object]) -> bytes:
        """Return the record of one delta."""
        return self._head + encode(delta) + self._tail

    def piece(self, piece: Piece) -> bytes:
        """Return the record of one piece."""
        match piece.kind:
            case "reasoning":
                return self.delta({"role": "assistant", self._reasoning_name: piece.text})
            case "content":
                return self.delta({"role": "assistant", "content": piece.text})
            case "call":
                function = {"name": piece.text, "arguments": ""}
                call = {
                    "index": piece.call_index,
                    "id": piece.call_id,
                    "type": "function",
                    "function": function,
                }
                return self.delta({"role": "assistant", "tool_calls": [call]})
            case "arguments":
                fragment = {"index": piece.call_index, "function": {"arguments": piece.text}}
                return self.delta({"tool_calls": [fragment]})

    def finish(self, reason: str) -> dict[str, object]:
        """Return the last chunk with a choice."""
        return self.chunk([{"index": 0, "delta": {}, "logprobs": None, "finish_reason": reason}])


def message_of(pieces: Sequence[Piece], reasoning_name: str = "reasoning_content") -> dict[str, object]:
    """Join pieces to the message of a whole answer."""
    message: dict[str, object] = {"role": "assistant", "content": _joined(pieces, "content")}
    reasoning = _joined(pieces, "reasoning")
    if reasoning:
        message[reasoning_name] = reasoning
    calls = [
        {
            "id": opening.call_id,
            "type": "function",
            "function": {
                "name": opening.text,
                "arguments": "".join(
                    piece.text
                    for piece in pieces
                    if piece.kind == "arguments" and piece.call_index == opening.call_index
                ),
            },
        }
        for opening in pieces
        if opening.kind == "call"
    ]
    if calls:
        message["tool_calls"] = calls
    return message


def _joined(pieces: Sequence[Piece], kind: str) -> str:
    return "".join(piece.text for piece in pieces if piece.kind == kind)
