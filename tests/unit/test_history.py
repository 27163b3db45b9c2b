from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentui.events import Event, HistoryAppended, HistoryReplaced, MessageId, TextDelta, TurnStarted
from agentui.history import assistant_message, fold_history, open_call_ids, tool_message, user_message


def call(call_id: str) -> dict[str, object]:
    return {"id": call_id, "type": "function", "function": {"name": "bash", "arguments": "{}"}}


def test_messages_are_those_appended_in_order() -> None:
    events: list[Event] = [
        HistoryAppended(user_message("a")),
        TurnStarted(1),
        TextDelta(MessageId("m"), "not history"),
        HistoryAppended(assistant_message("b")),
    ]
    assert fold_history(events) == [user_message("a"), assistant_message("b")]


def test_a_replacement_drops_everything_before_it() -> None:
    events: list[Event] = [
        HistoryAppended(user_message("a")),
        HistoryReplaced((user_message("summary"),), "compaction"),
        HistoryAppended(user_message("c")),
    ]
    assert fold_history(events) == [user_message("summary"), user_message("c")]


history_events = st.one_of(
    st.builds(HistoryAppended, st.builds(user_message, st.text(max_size=3))),
    st.builds(
        HistoryReplaced,
        st.lists(st.builds(user_message, st.text(max_size=3)), max_size=3).map(tuple),
        st.just("why"),
    ),
)


@given(st.lists(history_events, max_size=20), st.integers(0, 20))
def test_folding_in_two_parts_gives_the_same(events: list[Event], cut: int) -> None:
    first = fold_history(events[:cut])
    again: list[Event] = [HistoryReplaced(tuple(first), "resume"), *events[cut:]]
    assert fold_history(again) == fold_history(events)


def test_the_fold_does_not_change_what_was_replaced() -> None:
    replaced = HistoryReplaced((user_message("a"),), "why")
    fold_history([replaced, HistoryAppended(user_message("b"))])
    assert replaced.messages == (user_message("a"),)


def test_calls_without_result_are_open_in_the_order_they_were_made() -> None:
    messages = [
        assistant_message("", [call("c2"), call("c1"), call("c3")]),
        tool_message("c1", "done"),
        assistant_message("", [call("c4")]),
    ]
    assert open_call_ids(messages) == ["c2", "c3", "c4"]


def test_nothing_is_open_when_every_call_has_its_result() -> None:
    messages = [assistant_message("x", [call("c1")]), tool_message("c1", ""), user_message("next")]
    assert open_call_ids(messages) == []
    assert open_call_ids([]) == []


def test_an_answer_carries_only_what_there_is() -> None:
    assert assistant_message("hi") == {"role": "assistant", "content": "hi"}
    full = assistant_message("hi", [call("c")], "because")
    assert list(full) == ["role", "content", "tool_calls", "reasoning_content"]


def test_what_is_no_text_does_not_get_into_what_is_sent() -> None:
    broken = "caf\udce9 \ud83d\ude00 \ud800"
    for message in (user_message(broken), tool_message("c", broken), assistant_message(broken, (), broken)):
        for text in (message["content"], message.get("reasoning_content", "caf\ufffd \U0001f600 \ufffd")):
            assert text == "caf\ufffd \U0001f600 \ufffd"
