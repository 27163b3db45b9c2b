from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.backends.leaks import leaked_tool_call


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('<|tool_call>call:bash{command:<|"|>ls<|"|>}<tool_call|>', "bash"),
        ('I look first.\n<|tool_call>call:bash{command:"ls"}', "bash"),
        ('[TOOL_REQUEST]{"name": "bash", "arguments": {"command": "ls"}}[END_TOOL_REQUEST]', "bash"),
        ('<tool_call>\n{"name": "bash", "arguments": {"command": "ls"}}\n</tool_call>', "bash"),
        ("<tool_call>\n<function=bash>\n<parameter=command>ls</parameter>\n</function>", "bash"),
        ("<function=bash>\n<parameter=command>ls</parameter>", "bash"),
        ('[TOOL_CALLS][{"name": "bash", "arguments": {"command": "ls"}}]', "bash"),
        ('<|channel|>commentary to=functions.bash<|message|>{"command":"ls"}', "bash"),
        ("<start_function_call>call:bash{command:ls}", "bash"),
        ("```tool_code\nbash(command='ls')\n```", None),
        ("<|python_tag|>bash.call(command='ls')", None),
        ('{"name": "bash", "arguments": {"command": "ls"}}', "bash"),
        ('```json\n{"name": "bash", "parameters": {"command": "ls"}}\n```', "bash"),
        ('[{"type": "function", "function": {"name": "bash", "arguments": "{}"}}]', "bash"),
    ],
)
def test_a_call_written_as_text_is_described(text: str, name: str | None) -> None:
    found = leaked_tool_call(text)
    assert found is not None
    assert ("“bash”" in found) == (name is not None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Done: report.py is split into five modules.",
        "The template writes <tool_call> before every call.",
        "Some servers show `[TOOL_REQUEST]` in the text.",
        'An example:\n```\n<tool_call>\n{"name": "bash"}\n</tool_call>\n```\nThat is all.',
        '{"name": "report", "version": "1.0"}',
        "```python\ndef bash(command):\n    return command\n```",
        "[1, 2, 3]",
        "{not json}",
    ],
)
def test_talking_about_tools_is_no_leak(text: str) -> None:
    assert leaked_tool_call(text) is None


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_error(text: str) -> None:
    found = leaked_tool_call(text)
    assert found is None or found


@pytest.mark.parametrize(
    ("head", "repeated"),
    [
        ("<|tool_call>call", " "),
        ("```json\n", " "),
        ("", "```\n"),
        ("", "<tool_call>\n"),
        ("", " \n"),
    ],
)
def test_a_model_that_repeats_itself_without_end_is_read_in_linear_time(head: str, repeated: str) -> None:
    # What is quadratic here takes minutes, so that the time limit of every test ends it.
    found = leaked_tool_call(head + repeated * (500_000 // len(repeated)) + "!")
    assert (found is not None) == (repeated == "<tool_call>\n")
