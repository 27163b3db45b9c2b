"""Long answers on demand, for benchmarks: a task such as "stream 10000 tokens" gets that many."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from agentui.simulator.reply import Reply
from agentui.simulator.tokens import text_of, tokenize

_WANTED = re.compile(r"\bstream\s+(\d{1,7})\s+tokens\b", re.IGNORECASE)
_PARAGRAPHS = (
    "## Reading the gauges\n\n",
    "Weights are loaded once and stay; the cache grows with every token that is read or written. ",
    "That is why a long conversation gets *slower* as well as larger, even though nothing else changed.\n\n",
    "- `filled` counts the positions in use\n- `allocated` is what the server holds back for them\n"
    "- the rest belongs to other programs\n\n",
    "```python\ndef total(values: list[int]) -> int:\n    return sum(value for value in values if value > 0)\n"
    "```\n\n",
    "A rate without its source is a guess: **measured** here, **reported** by the server, or estimated. ",
    "Größe, Länge, naïve café, 東京 and → are ordinary text too.\n\n",
    "1. read the prompt\n2. write the answer\n3. run what was asked for\n\n",
)


def filler_reply(messages: Sequence[Mapping[str, object]]) -> Reply | None:
    """Return an answer of the wanted length if the last message asks for one; every paragraph counts."""
    last = messages[-1] if messages else {}
    found = _WANTED.search(text_of(last.get("content"))) if last.get("role") == "user" else None
    if found is None:
        return None
    wanted = int(found.group(1))
    round_ = "".join(_PARAGRAPHS)
    # Cut at a token's end, the text is cut into the very same tokens again.
    text = round_ * (wanted // len(tokenize(round_)) + 2)
    return Reply(text="".join(tokenize(text)[:wanted]))
