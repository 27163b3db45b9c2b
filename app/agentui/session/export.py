"""A session for others to read: Markdown, JSON, or one HTML file that needs nothing else."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from agentui.session.document import Document
from agentui.session.svg_chart import Line, line_chart
from agentui.text import GIB, clean, clock_time, plural

FORMATS = ("md", "json", "html")

# No script at all, and a policy under which none would run and nothing could be fetched.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
body{color:#1b1f24;background:#fff}h1{font-size:1.4rem}h2{font-size:1.15rem}
pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.3rem 0;padding:.6rem .8rem}
pre{background:#f4f5f7;border-radius:6px}pre.said{background:none;padding:0;font:inherit}
table{border-collapse:collapse}td,th{padding:.1rem .9rem .1rem 0;text-align:left;vertical-align:top}
.item{margin:.9rem 0;border-left:3px solid #d5d9df;padding-left:.8rem}.user,.task{border-color:#2f6fb3}
.bad{border-color:#b3562f}.when{color:#6b7280;font-size:.85em}summary{cursor:pointer;color:#4b5563}
svg{display:block;margin:.8rem 0;max-width:100%;height:auto}
svg text{font:11px system-ui,sans-serif;fill:#4b5563}svg .t{font-weight:600}
svg .a{stroke:#9aa1ab}svg polyline{fill:none;stroke-width:1.4}
@media(prefers-color-scheme:dark){body{color:#e3e6ea;background:#15181c}
pre{background:#20252b}pre.said{background:none}}
"""
_LABELS = {"task": "task", "user": "user", "assistant": "agent", "system": "system", "notice": "notice"}


def redacted_words(counts: Mapping[str, int]) -> str:
    """What was taken out, in words: ``3 home paths, 1 GitHub token``; empty for nothing."""
    return ", ".join(plural(count, kind) for kind, count in sorted(counts.items()))


def render(document: Document, form: str, redacted: Mapping[str, int] | None) -> str:
    """The document in one of `FORMATS`; `redacted` is what was taken out, ``None`` if nothing was."""
    renderers: dict[str, Callable[[Document, Mapping[str, int] | None], str]] = {
        "json": _json,
        "md": _markdown,
        "html": _html,
    }
    return renderers[form](document, redacted)


def _json(document: Document, redacted: Mapping[str, int] | None) -> str:
    held = {**document, "redacted": None if redacted is None else dict(redacted)}
    return json.dumps(held, indent=1) + "\n"


def _note(redacted: Mapping[str, int] | None) -> str:
    if redacted is None:
        return "Nothing was redacted."
    return f"Redacted: {redacted_words(redacted) or 'nothing was found'}."


# --- HTML ----------------------------------------------------------------------------------------


def _html(document: Document, redacted: Mapping[str, int] | None) -> str:
    session = document["session"]
    title = f"agentui session {session.get('id', '')}"
    body = [f"<h1>{_e(title)}</h1>", f"<p>{_e(_where(session))}<br>{_e(_note(redacted))}</p>"]
    for number, run in enumerate(document["runs"], start=1):
        rows = "".join(f"<tr><th>{_e(label)}</th><td>{_e(text)}</td></tr>" for label, text in run["rows"])
        body.append(f"<h2>Run {number}</h2><p>{_e(run['title'])}</p><table>{rows}</table>")
    body += _charts(document["samples"])
    body.append("<h2>Transcript</h2>")
    body += [_html_item(item) for item in document["transcript"] if not _is_empty(item)]
    if document["changes"]:
        listed = "".join(f"<li>{_e(c['kind'])} {_e(c['path'])}</li>" for c in document["changes"])
        body.append(f"<h2>Changes</h2><ul>{listed}</ul>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_e(POLICY)}">'
        '<meta name="referrer" content="no-referrer">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{_e(title)}</title><style>{_STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _e(text: object) -> str:
    return html.escape(clean(str(text)), quote=True)


def _charts(samples: Mapping[str, Any]) -> list[str]:
    def line(name: str, key: str) -> Line:
        return Line(name, [(float(t), float(v)) for t, v in samples.get(key, ())])

    return [
        line_chart(
            "Memory, GiB", [line("machine", "memory_bytes"), line("model", "model_bytes")], "GiB", float(GIB)
        ),
        line_chart("KV cache, GiB", [line("filled", "kv_bytes")], "GiB", float(GIB)),
        line_chart("Context, tokens", [line("used", "context_tokens")], ""),
        line_chart("Decode, tokens per second", [line("decode", "decode_tok_per_s")], "tok/s"),
    ]


def _html_item(item: Mapping[str, Any]) -> str:
    kind = item["kind"]
    head = f'<span class="when">{_e(clock_time(item["t_s"]))}</span> <b>{_e(_LABELS.get(kind, kind))}</b>'
    if "command" in item:
        is_bad = item.get("outcome") not in (None, "ok")
        result = f' <span class="when">{_e(_result(item))}</span>'
        output = _fold("output", item["output"]) if item["output"] else ""
        mark = " bad" if is_bad else ""
        return f'<div class="item{mark}">{head}{result}<pre>{_e(item["command"])}</pre>{output}</div>'
    thinking = _fold("thinking", item["thinking"]) if item.get("thinking") else ""
    name = kind if kind in _LABELS else "other"
    return f'<div class="item {name}">{head}{thinking}<pre class="said">{_e(item["text"])}</pre></div>'


def _fold(title: str, text: str) -> str:
    return f"<details><summary>{_e(title)}</summary><pre>{_e(text)}</pre></details>"


# --- Markdown ------------------------------------------------------------------------------------


def _markdown(document: Document, redacted: Mapping[str, int] | None) -> str:
    session = document["session"]
    lines = [f"# agentui session {_plain(session.get('id', ''))}", "", _plain(_where(session)), ""]
    lines += [_plain(_note(redacted)), ""]
    for number, run in enumerate(document["runs"], start=1):
        lines += [f"## Run {number}", "", _plain(run["title"]), "", "| | |", "|---|---|"]
        lines += [f"| {_cell(label)} | {_cell(text)} |" for label, text in run["rows"]]
        lines.append("")
    lines += ["## Transcript", ""]
    for item in document["transcript"]:
        if not _is_empty(item):
            lines += [*_markdown_item(item), ""]
    if document["changes"]:
        lines += ["## Changes", "", *(f"- {c['kind']} {_plain(c['path'])}" for c in document["changes"]), ""]
    return "\n".join(lines)


def _markdown_item(item: Mapping[str, Any]) -> Iterable[str]:
    kind = item["kind"]
    head = f"**{_LABELS.get(kind, kind)}** {clock_time(item['t_s'])}"
    if "command" in item:
        yield f"{head} {_plain(_result(item))}"
        yield _fenced(item["command"], "sh")
        if item["output"]:
            yield _fenced(item["output"], "text")
        return
    yield head
    yield ""
    yield _said(item["text"])


def _fenced(text: str, language: str) -> str:
    """A code block whose fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _said(text: str) -> str:
    """An answer as Markdown without HTML and without pictures, which would be fetched when it is read.

    In code the escapes would show; there `<` is harmless, but only if reader and we agree what is code, so
    answers with HTML or pictures in them become one block of code.
    """
    return _fenced(text, "markdown") if re.search(r"<[A-Za-z!/?]|!\[|\]:|&[#A-Za-z]", text) else text


def _plain(text: object) -> str:
    return re.sub(r"([\\`*_{}\[\]<>|!#&])", r"\\\1", " ".join(clean(str(text)).split()))


_cell = _plain


# --- both ----------------------------------------------------------------------------------------


def _where(session: Mapping[str, Any]) -> str:
    branch = f" ({session['branch']})" if session.get("branch") else ""
    return f"{session.get('project', '?')}{branch}, {session.get('started_utc', '?')}"


def _result(item: Mapping[str, Any]) -> str:
    outcome = item.get("outcome")
    if outcome is None:
        return "did not end"
    ended = f"exit {item['exit_code']}" if item.get("exit_code") is not None else str(outcome)
    return f"{ended}, {item['wall_s']:.1f} s"


def _is_empty(item: Mapping[str, Any]) -> bool:
    return "command" not in item and not item.get("text") and not item.get("thinking")
