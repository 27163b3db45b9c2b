"""The bodies LM Studio answers errors with; two shapes, and both are real."""

from __future__ import annotations

from collections.abc import Sequence

from agentui.simulator.faults import Fault

Body = dict[str, object]

NO_MODELS = "No models loaded. Please load a model in the developer page or use the 'lms load' command."
SHARED_CONTEXT = "Context size has been exceeded."
CRASHED = "The model has crashed without additional information. (Exit code: 6)"


class Refusal(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, body: Body) -> None:
        super().__init__(str(body))
        self.status = status
        self.body = body


def text_error(message: str) -> Body:
    """Return the plain shape."""
    return {"error": message}


def object_error(message: str, *, code: str | None, param: str | None = None) -> Body:
    """Return the shape of the OpenAI-compatible routes."""
    return {
        "error": {"message": message, "type": "invalid_request_error", "param": param, "code": code},
    }


def native_error(kind: str, message: str, *, code: str = "", param: str = "") -> Body:
    """Return the shape of /api/v1."""
    error: dict[str, object] = {"type": kind, "message": message}
    if code:
        error["code"] = code
    if param:
        error["param"] = param
    return {"error": error}


def unexpected_endpoint(method: str, path: str) -> Body:
    """Return what unknown paths get, with status 200."""
    return text_error(f"Unexpected endpoint or method. ({method} {path})")


def unknown_model(name: str, known: Sequence[str]) -> Refusal:
    """Return the refusal of a model that is not on disk."""
    names = ", ".join(known)
    message = f'Invalid model identifier "{name}". Please specify a valid downloaded model (e.g., {names}).'
    return Refusal(400, object_error(message, code="model_not_found", param="model"))


def no_models_loaded(*, as_text: bool = False) -> Refusal:
    """Return the refusal when nothing is loaded and nothing may be."""
    body = text_error(NO_MODELS) if as_text else object_error(NO_MODELS, code=None, param="model")
    return Refusal(400, body)


def jit_load_failed(name: str) -> Refusal:
    """Return the refusal of a request whose just-in-time load failed."""
    return Refusal(400, text_error(f'Failed to load model "{name}". Error: the engine stopped while loading.'))


def low_memory_message() -> str:
    """Return the words of the memory guardrail."""
    return (
        "Model loading was stopped due to insufficient system resources. Under the current settings, this "
        "model requires approximately 19.20 GB of memory. Continuing may overload your system "
        "and cause it to freeze."
    )


def unauthorized() -> Refusal:
    """Return the refusal of a request without a valid token."""
    message = (
        "An LM Studio API token is required to make requests to this server, but none was provided using the "
        "Authorization header using the 'Bearer' scheme."
    )
    body: Body = {"error": {"type": "invalid_request", "code": "invalid_api_key", "message": message}}
    return Refusal(401, body)


def overflow_message(form: Fault, prompt_tokens: int, context_length: int) -> str:
    """Return the words of one of the overflow errors; empty for the form that says nothing."""
    match form:
        case Fault.OVERFLOW_KEEP_FIRST:
            return (
                f"Trying to keep the first {prompt_tokens} tokens when context the overflows. However, the "
                f"model is loaded with context length of only {context_length} tokens, which is not enough. "
                "Try to load the model with a larger context length, or provide a shorter input"
            )
        case Fault.OVERFLOW_N_KEEP:
            return (
                "The number of tokens to keep from the initial prompt is greater than the context length "
                f"(n_keep: {prompt_tokens}>= n_ctx: {context_length}). Try to load the model with a larger "
                "context length, or provide a shorter input."
            )
        case Fault.OVERFLOW_SHARED:
            return SHARED_CONTEXT
        case Fault.OVERFLOW_EMPTY:
            return ""
        case _:
            return (
                f"Input does not fit in context length. The input has {prompt_tokens} tokens, but the context "
                f"length only supports {context_length} tokens."
            )


def event_error(message: str) -> Body:
    """Return the data of an `event: error`, which carries the message twice."""
    return {"error": {"message": message}, "message": message}
