"""What is said of an answer that ends a turn and is none: a call written as text, or nothing."""

from __future__ import annotations

from collections.abc import Iterator

from agentui.backends.leaks import leaked_tool_call
from agentui.events import Warned

LENGTH_HINT = "a longer context (/context N) leaves more room; a model that only thinks may need thinking off"
_EMPTY_HINT = "ask it to go on; where it happens often, check the model's chat template"
_LEAK_HINT = "the server did not recognise it: check the model's chat template, or update the engine"


def warnings_of(text: str, *, is_cut: bool) -> Iterator[Warned]:
    """What is odd about an answer; `is_cut` when it ended at the token limit, which is told otherwise."""
    if not text.strip() and not is_cut:
        yield Warned("empty_answer", "the model ended its turn without a word", _EMPTY_HINT)
    leak = leaked_tool_call(text)
    if leak:
        said = f"the model wrote a tool call as plain text ({leak}); not executed"
        yield Warned("leaked_tool_call", said, _LEAK_HINT)
