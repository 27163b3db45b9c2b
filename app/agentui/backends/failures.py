"""One classifier for everything that a model server or the way to it can do wrong.

Servers disagree on status codes and wording, and a 200 proves nothing: errors come as bodies of good answers
and as events in running streams. So the words decide first, the status last. The wordings are those that
LM Studio 0.3 to 0.4, llama-server, Ollama, vLLM and OpenAI have been seen to use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from agentui.backends.fields import as_text, parse_json
from agentui.errors import (
    AuthenticationFailed,
    BackendError,
    BackendRefused,
    BackendStalled,
    BackendUnavailable,
    ContextOverflow,
    ModelLoadFailed,
    ModelNotFound,
    StreamBroken,
)

_MOST_CHARACTERS = 600
# What is never closed goes to the end: to look for that end again from every opening would be quadratic.
_TAG = re.compile(
    r"<(?:style|script|title).*?(?:</(?:style|script|title)>|\Z)|<[^<>]+>", re.DOTALL | re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class ServerWords:
    """What a server said about an error: its text, and the type and code where it gave them."""

    text: str
    kinds: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table; it holds when a code, the words or the status match."""

    error: type[BackendRefused] | type[BackendUnavailable]
    says: str
    hint: str
    words: re.Pattern[str] | None = None
    kinds: frozenset[str] = frozenset()
    statuses: frozenset[int] = frozenset()
    retryable: bool = False

    def matches(self, status: int, words: ServerWords) -> bool:
        """Whether this row describes the answer."""
        if self.kinds & words.kinds or status in self.statuses:
            return True
        return bool(self.words and self.words.search(words.text))


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)


_LIST_MODELS = "“agentui models” lists them; --model NAME chooses one, “agentui load NAME” loads it."
NO_SUCH_ROUTE = "has no such path"
NOTHING_SAID = (
    "The server answered with nothing at all, as LM Studio does when a prompt does not fit into the loaded "
    "context"
)
MORE_CONTEXT_HINT = "Load the model with more context (--context N, /context N), or compact the conversation."

RULES: tuple[Rule, ...] = (
    Rule(
        AuthenticationFailed,
        "The model server at {address} wants an API token, or another one",
        "Give it as AGENTUI_API_KEY (LM Studio: LM_API_TOKEN) or in the settings file.",
        kinds=frozenset({"invalid_api_key", "authentication_error"}),
        statuses=frozenset({401, 403}),
    ),
    Rule(
        ModelLoadFailed,
        "There is not enough memory to load the model",
        "Load it with a smaller context (--context N), unload other models, or choose a smaller one.",
        words=_words(r"insufficient system resources|requires more (?:system )?memory|failed to allocate"),
    ),
    Rule(
        BackendRefused,
        "The server at {address} " + NO_SUCH_ROUTE,
        "Check the address: it is the part before /v1, like http://127.0.0.1:1234.",
        words=_words(r"unexpected endpoint or method"),
        kinds=frozenset({"unknown_route"}),
    ),
    Rule(
        ModelNotFound,
        "No model is loaded at {address}",
        _LIST_MODELS,
        words=_words(r"\bno models? (?:is |are )?(?:currently )?loaded"),
    ),
    Rule(
        ModelLoadFailed,
        "The server could not load the model",
        "See the server's own log; a smaller context or another quantization may load.",
        words=_words(r"failed to load (?:the )?model|error loading model|model loading failed"),
        kinds=frozenset({"model_load_failed"}),
    ),
    Rule(
        ModelNotFound,
        "The server at {address} has no such model",
        _LIST_MODELS,
        words=_words(
            r"invalid model identifier|model not found|model [\"'`“].{1,200}?[\"'`”],? (?:was )?not found"
            r"|model [\"'`“]?\S{1,200} does not exist"
        ),
        kinds=frozenset({"model_not_found"}),
    ),
    Rule(
        ContextOverflow,
        "The prompt does not fit into the loaded context",
        MORE_CONTEXT_HINT,
        words=_words(
            r"context.{0,80}?(?:length|size|window|exceed|overflow|\bfit)"
            r"|(?:exceed|overflow|\bfit\b).{0,80}?context|prompt (?:is )?too long"
        ),
        kinds=frozenset({"context_length_exceeded", "exceed_context_size_error"}),
    ),
    Rule(
        BackendRefused,
        "The server could not turn the tool's description into a grammar",
        "Update the server's engine, or choose another model.",
        words=_words(r"(?:parse|parsing|invalid|unsupported) grammar|grammar (?:error|could not)"),
    ),
    Rule(
        BackendUnavailable,
        "The server at {address} is still loading its model",
        "Wait until it has finished, then ask again.",
        words=_words(r"^loading model"),
        retryable=True,
    ),
    Rule(
        BackendRefused,
        "The model's engine crashed",
        "The server usually loads it again by itself; if it keeps crashing, load it with a smaller context.",
        words=_words(
            r"crashed|exit code|engine .{0,40}(?:died|exited|terminated)|model (?:has been|was) unloaded"
        ),
        retryable=True,
    ),
    Rule(
        BackendRefused,
        "The server at {address} " + NO_SUCH_ROUTE,
        "Check the address: it is the part before /v1, like http://127.0.0.1:1234.",
        statuses=frozenset({404, 405, 501}),
    ),
    Rule(
        BackendRefused,
        "The server at {address} redirects elsewhere",
        "Give the address it redirects to with --url.",
        statuses=frozenset({301, 302, 303, 307, 308}),
    ),
    Rule(
        BackendRefused,
        "The server at {address} is busy or failed inside (HTTP {status})",
        "Asking again often helps; the server's own log says more.",
        statuses=frozenset({408, 425, 429, 500, 502, 503, 504, 529}),
        retryable=True,
    ),
)


def server_words(body: object) -> ServerWords:
    """Find the words in an error body: an error object, a text, JSON text, HTML, or something else."""
    if isinstance(body, bytes):
        body = body.decode("utf-8", "replace")
    if isinstance(body, str):
        inner = parse_json(body)
        if isinstance(inner, Mapping):
            return server_words(inner)
        return ServerWords(_shortened(_TAG.sub(" ", body) if "<" in body else body))
    if not isinstance(body, Mapping):
        return ServerWords("" if body is None else _shortened(str(body)))
    error = body.get("error")
    if isinstance(error, Mapping | str) and error:
        return server_words(error)
    text = next((found for key in ("message", "detail", "title") if (found := as_text(body.get(key)))), "")
    kinds = frozenset(str(body[key]) for key in ("type", "code") if isinstance(body.get(key), str))
    return ServerWords(_shortened(text or str(dict(body))), kinds)


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"


def is_error(chunk: Mapping[str, object]) -> bool:
    """Whether a record of a stream is an error: one that says so, or one in disguise, with only words."""
    is_odd = chunk.get("choices") is None and chunk.get("usage") is None
    return bool(chunk.get("error")) or (is_odd and any(chunk.get(name) for name in ("message", "detail")))


def refusal(status: int, body: object, address: str) -> BackendError:
    """The error for an answer that is none: an HTTP error, or an error inside an HTTP 200.

    Args:
        status: HTTP status; 200 for errors inside a good answer or a running stream.
        body: The body as text or parsed JSON, or the error object out of it.
        address: The server, for the message.
    """
    words = server_words(body)
    for rule in RULES:
        if rule.matches(status, words):
            return _built(rule, status, words, address)
    is_late = status == 200  # inside a good answer, or in the middle of one
    did = "answered with an error" if is_late else f"refused the request (HTTP {status})"
    text = f"The model server at {address} {did}"
    return BackendRefused(_with_words(text, words), status=status)


def _built(rule: Rule, status: int, words: ServerWords, address: str) -> BackendError:
    message = _with_words(rule.says.format(address=address, status=status), words)
    if issubclass(rule.error, BackendRefused):
        return rule.error(message, hint=rule.hint, status=status, retryable=rule.retryable)
    return rule.error(message, hint=rule.hint)


def _with_words(text: str, words: ServerWords) -> str:
    return f"{text}: {words.text}" if words.text else f"{text}."


def is_unknown_route(error: BackendError) -> bool:
    """Whether an error means that the server has no such path, so that another one may be tried."""
    return type(error) is BackendRefused and NO_SUCH_ROUTE in error.message


def unreachable(address: str, why: str = "nothing answers there") -> BackendUnavailable:
    """The error for a server that cannot be reached."""
    return BackendUnavailable(
        f"There is no model server at {address}: {why}.",
        hint="Start it (LM Studio: the Developer page, or “lms server start”), or name another with --url.",
    )


def unfinished(address: str) -> StreamBroken:
    """The error for an answer that ended without saying that it is finished."""
    return StreamBroken(
        f"The model server at {address} ended its answer before it was finished.",
        hint="The text so far is kept; asking again is safe.",
    )


def malformed(address: str, why: str) -> StreamBroken:
    """The error for an answer that cannot be understood."""
    return StreamBroken(
        f"The model server at {address} sent something that cannot be read: {why}",
        hint="Asking again is safe; if it stays so, the address may belong to another kind of server.",
    )


def from_exception(error: BaseException, address: str) -> BackendError | None:
    """The error for an exception of `httpx`, `openai` or `aiohttp`; ``None`` if it is not one of theirs.

    Goes by class names, because `openai` brings a transport of its own whose exceptions only share the names
    with httpx's, and none of the packages should be imported just to classify.
    """
    if isinstance(error, BackendError):
        return error
    if isinstance(error, ValueError) and type(error).__name__ in {"JSONDecodeError", "UnicodeDecodeError"}:
        return malformed(address, str(error))
    names = {cls.__name__ for cls in type(error).__mro__}
    status = getattr(error, "status_code", None)
    if "APIStatusError" in names and isinstance(status, int):
        refused = refusal(status, _body_of(error), address)
        refused.retry_after_s = _retry_after_s(error)
        return refused
    if names & {"APIConnectionError", "APITimeoutError"}:
        cause = error.__cause__
        found = from_exception(cause, address) if cause is not None else None
        return found or _dropped(address, error)
    if "APIError" in names:
        return refusal(200, getattr(error, "body", None) or str(error), address)
    return _from_transport(error, names, address)


def _body_of(error: BaseException) -> object:
    body, response = getattr(error, "body", None), getattr(error, "response", None)
    elsewhere = getattr(response, "headers", {}).get("location")
    return elsewhere or body or getattr(response, "text", "")


def _retry_after_s(error: BaseException) -> float | None:
    """The header's seconds; a date, which it may hold too, is not worth trusting two clocks for."""
    text = getattr(getattr(error, "response", None), "headers", {}).get("retry-after", "")
    return float(text) if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text) else None


def _from_transport(error: BaseException, names: set[str], address: str) -> BackendError | None:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return BackendUnavailable(
            f"The certificate of the model server at {address} is not trusted: {_certificate_fault(error)}.",
            hint="Use http:// on your own network, or a certificate that a public authority signed.",
        )
    if names & {"ConnectError", "ConnectTimeout", "ConnectionRefusedError", "PoolTimeout"}:
        return unreachable(address, _reason(error))
    if names & {"UnsupportedProtocol", "InvalidURL", "ProxyError"}:
        return unreachable(address, _reason(error))
    if names & {"ReadTimeout", "WriteTimeout", "TimeoutException"}:
        return BackendStalled(
            f"The model server at {address} did not answer in time.",
            hint="It may be busy or hung; asking again is safe.",
        )
    if names & {"TransportError", "HTTPError", "RequestError", "StreamError", "OSError", "ClientError"}:
        return _dropped(address, error)
    return None


def _certificate_fault(error: BaseException) -> str:
    """What OpenSSL says of it, without the places in its sources."""
    return str(error).rpartition("verify failed: ")[2].partition(" (_ssl")[0]


def _reason(error: BaseException) -> str:
    text = str(error)
    if "refused" in text or "All connection attempts failed" in text:
        return "the connection was refused"
    if "ConnectTimeout" in type(error).__name__:
        return "it did not accept the connection in time"
    return text or "it cannot be reached"


def _dropped(address: str, error: BaseException) -> StreamBroken:
    was_reset = type(error).__name__ in {"ReadError", "ConnectionResetError", "ClientPayloadError"}
    why = "it was reset" if was_reset else str(error).rstrip(".")
    return StreamBroken(
        f"The connection to the model server at {address} broke off: {why or type(error).__name__}.",
        hint="The text so far is kept; asking again is safe.",
    )
