"""A session for others to read: Markdown, JSON, or one HTML file that needs nothing else."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from agentui.session.document import Document
from agentui.session.svg_chart import Line, line_chart
from agentui.text import clean, clock_time, human_bytes, human_rate, human_tokens, plural

FORMATS = ("md", "json", "html")

# No script at all, and a policy under which none would run and nothing could be fetched.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
# Each colour has a contrast of at least 4.5 to its ground, light and dark.
_STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--ground:#fff;--soft:#4b5563;--box:#f4f5f7;--rule:#d5d9df}
:root{--l0:#2867a8;--l1:#a34a24;--l2:#2f7a3f;--l3:#7d45a0}
@media(prefers-color-scheme:dark){:root{--ink:#e3e6ea;--ground:#15181c;--soft:#a3abb6;--box:#20252b;
--rule:#3a414b;--l0:#6cabec;--l1:#e58a62;--l2:#6cc280;--l3:#c293e3}}
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
body{color:var(--ink);background:var(--ground)}h1{font-size:1.4rem}h2{font-size:1.15rem}
pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.3rem 0;padding:.6rem .8rem}
pre{background:var(--box);border-radius:6px}pre.said{background:none;padding:0;font:inherit}
p,td,h1,li{overflow-wrap:anywhere}table{border-collapse:collapse}
td,th{padding:.1rem .9rem .1rem 0;text-align:left;vertical-align:top}th{white-space:nowrap}
.item{margin:.9rem 0;border-left:3px solid var(--rule);padding-left:.8rem}
.user,.task{border-color:var(--l0)}.bad{border-color:var(--l1)}
.when{color:var(--soft);font-size:.85em}summary{cursor:pointer;color:var(--soft)}
svg{display:block;margin:.8rem 0;width:100%;height:auto}
svg text{font:11px system-ui,sans-serif;fill:var(--soft)}svg .t{font-weight:600}
svg .a{stroke:var(--soft)}svg polyline{fill:none;stroke-width:1.4}
svg text.l0{fill:var(--l0)}svg text.l1{fill:var(--l1)}svg text.l2{fill:var(--l2)}svg text.l3{fill:var(--l3)}
polyline.l0{stroke:var(--l0)}polyline.l1{stroke:var(--l1)}
polyline.l2{stroke:var(--l2)}polyline.l3{stroke:var(--l3)}
"""
_LIVE = re.compile(r"(?i)<[a-z!/?]|!\[|\]:|&[#a-z]|\]\([\s<]*(?!https?:|mailto:)[a-z][a-z0-9+.-]*:")
_FENCE = re.compile(r"(?P<before>[-\s>*+.)0-9]*)(?P<fence>`{3,}|~{3,})(?P<rest>.*)")
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
    """The gauges over the whole session, all on the same axis of time."""

    def line(name: str, key: str) -> Line:
        return Line(name, [(float(t), float(v)) for t, v in samples.get(key, ())])

    def whole(words: Callable[[int], str]) -> Callable[[float], str]:
        return lambda value: words(round(value))

    last_s = max((float(points[-1][0]) for points in samples.values() if points), default=0.0)
    size, tokens = whole(human_bytes), whole(human_tokens)
    memory = [line("machine", "memory_bytes"), line("model", "model_bytes")]
    return [
        line_chart("Memory", memory, last_s, size),
        line_chart("KV cache", [line("filled", "kv_bytes")], last_s, size),
        line_chart("Context, tokens", [line("used", "context_tokens")], last_s, tokens),
        line_chart("Decode, tokens per second", [line("decode", "decode_tok_per_s")], last_s, human_rate),
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
        listed = (f"- {_plain(c['kind'])} {_plain(c['path'])}" for c in document["changes"])
        lines += ["## Changes", "", *listed, ""]
    return "\n".join(lines)


def _markdown_item(item: Mapping[str, Any]) -> Iterable[str]:
    kind = item["kind"]
    head = f"**{_plain(_LABELS.get(kind, kind))}** {clock_time(item['t_s'])}"
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
    """An answer as Markdown without HTML, pictures (they would be fetched when it is read) and links that run.

    In code the escapes would show; there `<` is harmless, but only if reader and we agree what is code, so
    answers with any of these in them become one block of code. So do those that may leave a block open: what
    follows them would be read in another way than it was written.
    """
    return _fenced(text, "markdown") if _LIVE.search(text) or _may_stay_open(text) else text


def _may_stay_open(text: str) -> bool:
    """Whether a block of code in `text` may reach beyond its end; true where that takes a parser to know."""
    opened: re.Match[str] | None = None
    for line in text.split("\n"):
        fence = _FENCE.match(line)
        if opened is None:
            if fence and fence["fence"][0] == "`" and "`" in fence["rest"]:
                continue  # code within a line
            if fence and fence["before"].strip():
                return True
            opened = fence
        elif line.strip() and not line.startswith(opened["before"]):
            return True  # outside of the list that the block began in, which ends both
        elif fence and fence["fence"][0] == opened["fence"][0]:
            if fence["before"] != opened["before"]:
                return True
            if len(fence["fence"]) >= len(opened["fence"]) and not fence["rest"].strip():
                opened = None
    return opened is not None


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
