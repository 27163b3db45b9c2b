from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from agentui.events import (
    CallId,
    Change,
    MessageEnded,
    MessageId,
    MessageStarted,
    Recorded,
    RunStarted,
    SessionStarted,
    TextDelta,
    ThinkingDelta,
    ToolEnded,
    ToolOutput,
    ToolStarted,
    Warned,
    WorkspaceChanged,
)
from agentui.session.document import OUTPUT_CHARS, make_document
from agentui.session.export import POLICY, render
from agentui.session.redact import Redactor
from agentui.session.svg_chart import Line, line_chart, thinned
from tests.unit.view.scenes import MODEL, Tape, kv, memory, whole_run


def hostile_texts(url: str) -> list[str]:
    return [
        f"<script>document.title='owned';fetch('{url}/script')</script>",
        f"<img src='{url}/img' onerror=\"document.title='owned'\">",
        f"\"><svg onload=\"location='{url}/svg'\"><style>@import '{url}/css';body{{background:url({url}/bg)}}",
        f"</pre></details></div><iframe src='{url}/frame'></iframe><link rel=stylesheet href={url}/link>",
        f"<!-- --!><meta http-equiv=refresh content='0;url={url}/refresh'>",
        "</title></style><base href=//evil><a href=javascript:alert(1) id=x>x</a>",
        "\x1b]0;owned\x07\x00\x9b2J\u202e</textarea></noscript>]]>",
    ]


def hostile_session(url: str = "http://127.0.0.1:9") -> list[Recorded]:
    tape = Tape()
    texts = hostile_texts(url)
    all_of_it = "\n".join(texts)
    tape.add(SessionStarted(texts[0], f"/p/{texts[1]}", "0", branch=texts[2]))
    tape.add(RunStarted(all_of_it, MODEL, texts[0], "/w", texts[3], None, sampling={texts[4]: texts[5]}))
    for number, text in enumerate(texts):
        mid, call = MessageId(f"m{number}"), CallId(f"c{number}")
        tape.add(MessageStarted(mid, "assistant"), ThinkingDelta(mid, text))
        # cut anywhere: no piece alone is the tag
        tape.add(*(TextDelta(mid, text[at : at + 3]) for at in range(0, len(text), 3)))
        tape.add(MessageEnded(mid, "stop"), ToolStarted(call, "bash", text, "/w", check=text))
        tape.add(ToolOutput(call, "stdout", text), ToolEnded(call, "error", 1, 0.1, message=text))
        tape.add(Warned("x", text, text))
        tape.wait(1).add(memory(), kv(1000 * (number + 1)))
    tape.add(WorkspaceChanged(tuple(Change(text, "added") for text in texts)))
    return tape.records


class Tags(HTMLParser):
    """All tags and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.values: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.values += [value or "" for _, value in attrs]


def test_whatever_a_session_holds_the_page_has_our_own_tags_only() -> None:
    page = render(make_document(hostile_session()), "html", {})
    found = Tags()
    found.feed(page)
    ours = "html head meta title style body h1 h2 p br table tr th td div span b pre details summary ul li"
    assert found.tags <= {*ours.split(), "svg", "text", "line", "polyline"}
    assert not {name for name in found.attributes if name.startswith("on")}
    assert not {"href", "src", "action", "xlink:href", "srcset"} & found.attributes
    assert not [value for value in found.values if "http" in value and value != POLICY]
    assert POLICY in found.values or POLICY in page.replace("&#x27;", "'")
    assert not {"\x1b", "\x07", "\x00", "\x9b", "\u202e"} & set(page)


def test_markdown_of_a_hostile_session_has_no_live_html_and_no_pictures() -> None:
    tape = Tape()
    mid = MessageId("m")
    tape.add(MessageStarted(mid, "assistant"), TextDelta(mid, "![x](http://evil/x.png) <img src=http://evil>"))
    tape.add(MessageEnded(mid, "stop"), MessageStarted(MessageId("n"), "assistant"))
    tape.add(TextDelta(MessageId("n"), "I look at `a.py` **first**."))
    tape.add(
        ToolStarted(CallId("c"), "bash", "echo '```'\n```\n<b>", "/w"), ToolEnded(CallId("c"), "ok", 0, 0.1)
    )
    text = render(make_document(tape.records), "md", None)
    outside = re.sub(r"(?ms)^(`{3,})\w*\n.*?^\1$", "", text)
    assert "<img" in text
    assert "evil" not in outside
    assert "<b>" not in outside
    assert "I look at `a.py` **first**." in outside


def _said(text: str) -> str:
    """The Markdown of a session in which the agent says `text`, without what stands around it."""
    tape = Tape()
    tape.add(MessageStarted(MessageId("m"), "assistant"), TextDelta(MessageId("m"), text))
    shown = render(make_document(tape.records), "md", None)
    return shown.partition("**agent**")[2].partition("\n\n")[2].strip()


@pytest.mark.parametrize(
    "text",
    [
        "see [this](javascript:alert(1))",
        "see [this]( <data:text/html,x>)",
        "see [this](JavaScript:x)",
        "cut here:\n```python\nx = 1",
        "cut here:\n~~~~\nx\n~~~",
        "1. do\n   ```\nx\n   ```",
        "- ```\n```",
        "> ```\n```\n```",
        "```\n   ```\n```\n",
    ],
)
def test_an_answer_that_is_live_or_may_leave_code_open_becomes_one_block_of_code(text: str) -> None:
    shown = _said(text).splitlines()
    fence = shown[0].removesuffix("markdown")
    assert shown[-1] == fence
    assert not any(line.strip().startswith(fence) for line in shown[1:-1])
    assert "\n".join(shown[1:-1]) == text.rstrip()


@pytest.mark.parametrize(
    "text",
    [
        "see [this](https://example.org/a:b) and [that](#there) and [more](a.md)",
        "so:\n```python\nx = 1\n```\nand ```y``` too, or ``` z",
        "1. do\n   ```sh\n   make\n\n   make test\n   ```\n2. look\n~~~\n```\n~~~",
    ],
)
def test_an_answer_that_is_neither_stays_markdown(text: str) -> None:
    assert _said(text) == text


def test_a_secret_is_taken_out_also_where_only_its_end_is_shown() -> None:
    body = "\n".join("c2VjcmV0IG9mIGFubg" * 3 for _ in range(40))
    key = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----"
    tape = Tape()
    tape.add(ToolStarted(CallId("c"), "bash", "cat key log", "/w"))
    tape.add(ToolOutput(CallId("c"), "stdout", "y" * 1000 + key + "\n" + "x\n" * (OUTPUT_CHARS // 2 - 500)))
    redactor = Redactor()
    text = render(redactor.value(make_document(tape.records, redactor.text)), "md", redactor.counts)
    assert "c2VjcmV0" not in text
    assert redactor.counts == {"private key": 1}


def test_json_holds_cards_transcript_and_samples() -> None:
    held = json.loads(render(make_document(whole_run()), "json", {"home path": 2}))
    assert held["runs"][0]["card"]["model"]["quantization"] == "Q4_K_M"
    assert held["redacted"] == {"home path": 2}
    assert held["transcript"][0] == {
        "kind": "task",
        "t_s": 0.0,
        "at_utc": held["session"]["started_utc"],
        "text": "split report.py into modules, PEP 585",
    }
    assert len(held["samples"]["memory_bytes"]) == 40


def test_a_secret_that_came_in_pieces_is_redacted_as_a_whole() -> None:
    tape = Tape()
    mid, secret = MessageId("m"), "ghp_" + "z9" * 18
    tape.add(MessageStarted(mid, "assistant"), *(TextDelta(mid, letter) for letter in f"it is {secret}!"))
    for form in ("md", "json", "html"):
        redactor = Redactor("/home/ann")
        text = render(redactor.value(make_document(tape.records)), form, redactor.counts)
        assert secret not in text
        assert redactor.counts == {"GitHub token": 1}
        assert "GitHub token" in text


def test_a_long_output_is_shown_from_its_end() -> None:
    tape = Tape()
    tape.add(ToolStarted(CallId("c"), "bash", "yes", "/w"))
    tape.add(*(ToolOutput(CallId("c"), "stdout", f"line {n}\n") for n in range(OUTPUT_CHARS)))
    (item,) = make_document(tape.records)["transcript"]
    assert len(item["output"]) < OUTPUT_CHARS + 100
    assert item["output"].endswith(f"line {OUTPUT_CHARS - 1}\n")


def test_charts_keep_their_peaks_and_need_nothing_from_outside() -> None:
    points = [(float(n), 1.0 if n != 7_777 else 50.0) for n in range(10_000)]
    assert len(thinned(points)) <= 500
    assert max(value for _, value in thinned(points)) == 50.0
    chart = line_chart("a & <b>", [Line("<x>", points), Line("y", [(0.0, 2.0)])], 10_000, "{:.0f} <GiB>".format)
    assert "a &amp; &lt;b&gt;" in chart
    assert chart.count("<polyline") == 2
    assert "50 &lt;GiB&gt;" in chart
    assert line_chart("t", [Line("empty", [])], 1.0, str) == ""


_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in _NAMES if (path := shutil.which(name))), "")


class _Server(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""


@pytest.fixture
def server() -> Iterator[str]:
    """The address of a server that keeps what it was asked."""
    _Server.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def browse(page: Path) -> tuple[str, bytes]:
    """Open a page in a browser; what it became, and what the browser said of it."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    flags += ["--enable-logging=stderr", "--virtual-time-budget=3000", "--disable-background-networking"]
    flags += ["--disable-component-update", f"--user-data-dir={page.parent / 'profile'}", "--dump-dom"]
    done = subprocess.run([CHROMIUM, *flags, page.as_uri()], capture_output=True, timeout=120, check=True)
    return done.stdout.decode(), done.stderr


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium or Chrome on this machine")
def test_a_browser_asks_for_nothing_runs_nothing_and_shows_hostile_strings_as_text(
    tmp_path: Path, server: str
) -> None:
    page = tmp_path / "session.html"
    page.write_text(render(make_document(hostile_session(server)), "html", {}), encoding="utf-8")
    dom, said = browse(page)
    assert _Server.asked == []
    assert b"CONSOLE" not in said
    assert "<title>agentui session &lt;script&gt;" in dom
    assert "<script" not in dom
    assert dom.count("&lt;script&gt;document.title='owned'") >= 5
    # The same strings as they are do all of that: the browser was able to.
    page.write_text("<!doctype html><body>" + "".join(hostile_texts(server)[:2]), encoding="utf-8")
    dom, _ = browse(page)
    assert "/img" in _Server.asked
    assert "owned" in dom
