from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import httpx
import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.backends.failures import from_exception, is_unknown_route, refusal, server_words
from agentui.errors import (
    AuthenticationFailed,
    BackendError,
    BackendStalled,
    BackendUnavailable,
    ContextOverflow,
    ModelNotFound,
    StreamBroken,
)

HERE = "http://127.0.0.1:1234"
DATA = Path(__file__).resolve().parents[2] / "data" / "backends"


@dataclass(frozen=True, slots=True)
class Row:
    """One answer as some server has given it, and what it means."""

    name: str
    status: int
    error: str
    body: object

    @property
    def found(self) -> BackendError:
        return refusal(self.status, self.body, HERE)


ROWS = {row["name"]: Row(**row) for row in json.loads((DATA / "error-bodies.json").read_text(encoding="utf-8"))}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_every_known_error_body_is_classified(row: Row) -> None:
    assert type(row.found).__name__ == row.error
    assert row.found.message
    assert row.found.hint or row.name == "other"
    if isinstance(row.body, dict):
        as_text = refusal(row.status, json.dumps(row.body), HERE)
        assert (type(as_text).__name__, as_text.message) == (row.error, row.found.message)


@pytest.mark.parametrize("name", ["crash", "inside", "still loading"])
def test_what_may_pass_is_retryable(name: str) -> None:
    assert ROWS[name].found.retryable


@pytest.mark.parametrize("name", ["overflow event", "unknown model", "token", "grammar", "unknown path"])
def test_what_will_not_pass_is_not_retryable(name: str) -> None:
    assert not ROWS[name].found.retryable


def test_only_unknown_paths_count_as_such() -> None:
    unknown = {name for name, row in ROWS.items() if is_unknown_route(row.found)}
    assert unknown == {"unknown path", "unknown path elsewhere"}


def test_an_error_inside_a_good_answer_is_not_called_a_refusal() -> None:
    assert (
        str(refusal(200, {"error": "boom"}, HERE)) == f"The model server at {HERE} answered with an error: boom"
    )
    assert "refused the request (HTTP 418): boom" in str(refusal(418, {"error": "boom"}, HERE))


def test_html_is_reduced_to_its_words() -> None:
    page = "<html><head><title>Error</title><style>p{}</style></head><pre>Internal Server Error</pre></html>"
    assert server_words(page).text == "Internal Server Error"


def test_long_words_are_cut() -> None:
    assert len(server_words("x" * 5000).text) <= 600


KEYS = st.sampled_from(["error", "message", "type", "code", "x"])


@given(
    st.integers(200, 599),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=30),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["error", "message", "type", "code", "x"]), inner)
        ),
        max_leaves=6,
    ),
)
def test_any_body_becomes_an_error_with_a_message(status: int, body: object) -> None:
    assert refusal(status, body, HERE).message


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def _lost(cause: Exception) -> Exception:
    return _caused(openai.APIConnectionError(request=REQUEST), cause)


REQUEST = httpx2.Request("POST", HERE)
RESPONSE = httpx2.Response(401, text='{"error": "who?"}', request=REQUEST)
EXCEPTIONS: list[tuple[str, Exception, type[BackendError]]] = [
    (
        "refused",
        _lost(httpx2.ConnectError("refused")),
        BackendUnavailable,
    ),
    ("slow connect", _caused(openai.APITimeoutError(REQUEST), httpx2.ConnectTimeout("")), BackendUnavailable),
    ("silent", _caused(openai.APITimeoutError(REQUEST), httpx2.ReadTimeout("")), BackendStalled),
    (
        "cut",
        _caused(
            openai.APIConnectionError(request=REQUEST), httpx2.RemoteProtocolError("peer closed connection")
        ),
        StreamBroken,
    ),
    ("reset", _lost(httpx2.ReadError("")), StreamBroken),
    ("closed by us", openai.APIConnectionError(request=REQUEST), StreamBroken),
    ("status", openai.AuthenticationError("no", response=RESPONSE, body=None), AuthenticationFailed),
    (
        "event",
        openai.APIError("x", REQUEST, body={"message": "Context size has been exceeded."}),
        ContextOverflow,
    ),
    ("event with text", openai.APIError("An error occurred", REQUEST, body="No models loaded"), ModelNotFound),
    ("malformed", json.JSONDecodeError("Expecting value", "x", 0), StreamBroken),
    ("native refused", httpx.ConnectError("All connection attempts failed"), BackendUnavailable),
    ("native silent", httpx.ReadTimeout(""), BackendStalled),
    ("native cut", httpx.RemoteProtocolError("Server disconnected"), StreamBroken),
    ("system", ConnectionResetError(104, "Connection reset by peer"), StreamBroken),
    ("own", ContextOverflow("as it is"), ContextOverflow),
]


@pytest.mark.parametrize(
    ("caught", "error"), [row[1:] for row in EXCEPTIONS], ids=[row[0] for row in EXCEPTIONS]
)
def test_every_exception_of_the_clients_is_classified(caught: Exception, error: type[BackendError]) -> None:
    assert type(from_exception(caught, HERE)) is error


def test_a_bug_of_ours_is_not_taken_for_a_failure_of_the_server() -> None:
    assert from_exception(KeyError("x"), HERE) is None


def test_a_certificate_that_is_not_trusted_is_called_that() -> None:
    said = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate (_ssl.c:1006)"
    error = from_exception(httpx.ConnectError(said), HERE)
    assert isinstance(error, BackendUnavailable)
    assert (
        error.message
        == f"The certificate of the model server at {HERE} is not trusted: self-signed certificate."
    )


def test_a_refused_connection_names_the_address_and_the_next_step() -> None:
    error = from_exception(httpx.ConnectError("All connection attempts failed"), HERE)
    assert error is not None
    assert HERE in error.message
    assert "refused" in error.message
    assert "--url" in error.hint


def test_a_page_of_openings_without_an_end_is_read_in_linear_time() -> None:
    # What is quadratic here takes minutes, so that the time limit of every test ends it.
    assert server_words("bad gateway " + "<style" * 80_000).text == "bad gateway"
