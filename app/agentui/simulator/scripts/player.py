"""The simulated model's mind: from the messages of a request to its answer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from agentui.simulator.reply import Reply, ToolCall
from agentui.simulator.scripts.conversation import ConversationReader, JsonMessage, summary_lines
from agentui.simulator.scripts.filler import filler_reply
from agentui.simulator.scripts.progress import Progress
from agentui.simulator.scripts.script import Step

_QUOTE_CHARACTERS = 160
_COMMAND_CHARACTERS = 60


def reply_to(messages: Sequence[JsonMessage], tools: Sequence[JsonMessage]) -> Reply:
    """Return the answer to a chat; the same messages and tools always get the same one."""
    filler = filler_reply(messages)
    if filler is not None:
        return filler
    reader = ConversationReader(has_tools=bool(tools))
    reader.read(messages)
    progress = reader.progress
    if progress is None:
        return Reply(text="I am a simulated model, and there is no task in this conversation yet.")
    if reader.wants_summary:
        return _summary(progress)
    if not tools:
        return Reply(thinking="No tools are offered, so I can only talk.", text=progress.script.plan)
    return _next_message(progress, tools)


def _next_message(progress: Progress, tools: Sequence[JsonMessage]) -> Reply:
    step = progress.next_step()
    text = step.text if step else progress.final_text()
    thinking = [(step or progress.script.final).thinking]
    if progress.unanswered:
        thinking.insert(0, "The user wrote something while I was at work; that comes first.")
    parts = [*_acknowledged(progress), *_reactions(progress), text]
    return Reply(
        thinking="\n".join(part for part in thinking if part),
        text="\n\n".join(part for part in parts if part),
        calls=_calls(progress, step, tools),
    )


def _quoted(text: str, length: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def _acknowledged(progress: Progress) -> Iterable[str]:
    for steer in progress.unanswered:
        yield f"You said: “{_quoted(steer.text, _QUOTE_CHARACTERS)}” {steer.rule.say}"


def _reactions(progress: Progress) -> Iterable[str]:
    if progress.is_follow_up and progress.unanswered:
        return
    for command in progress.last_commands:
        result, step = progress.results.get(command), progress.step_of(command)
        name = f"`{_quoted(command, _COMMAND_CHARACTERS)}`"
        if result is None or not result.was_run:
            if progress.is_hopeless(command):
                yield f"I cannot get {name} run here, so I go on without it."
            elif result is not None:
                yield f"{name} was not run, so I ask for it again."
            continue
        if result.was_denied:
            yield f"You did not want {name} to run, so I leave it out."
            continue
        yield _reaction(step, name, result.exit_code, result.text)


def _reaction(step: Step | None, name: str, exit_code: int, output: str) -> str:
    for reaction in step.reactions if step else ():
        if reaction.fits(exit_code, output):
            return reaction.say
    if exit_code == 0:
        return ""
    return f"{name} ended with exit code {exit_code}, which I did not expect. I go on with what is there."


def _calls(progress: Progress, step: Step | None, tools: Sequence[JsonMessage]) -> tuple[ToolCall, ...]:
    if step is None:
        return ()
    name, argument = _shell_tool(tools)
    return tuple(
        ToolCall(name, json.dumps({argument: command}, ensure_ascii=False))
        for command in progress.open_commands(step)
    )


def _shell_tool(tools: Sequence[JsonMessage]) -> tuple[str, str]:
    """Return the name of the tool that runs commands, and of its argument."""
    functions = [function for tool in tools if isinstance(function := tool.get("function"), Mapping)]
    named = [function for function in functions if function.get("name") == "bash"]
    chosen = (named or functions or [{"name": "bash"}])[0]
    parameters = chosen.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    names = [str(name) for name in properties] if isinstance(properties, Mapping) else []
    argument = "command" if "command" in names or not names else names[0]
    return str(chosen.get("name", "bash")), argument


def _summary(progress: Progress) -> Reply:
    following = progress.next_step()
    after = following.text.splitlines()[0] if following and following.text else "tell the user the result"
    return Reply(
        thinking="I am asked for a summary, so I name the task, what is done and what is next.",
        text=(
            f"Task: {_quoted(progress.task, 400)}\n\n{summary_lines(progress)}\n\nNext: {_quoted(after, 200)}"
        ),
    )
