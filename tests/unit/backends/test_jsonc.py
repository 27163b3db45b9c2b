from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.backends.jsonc import JsonTextError, parse_jsonc, place_of

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(values, st.sampled_from([None, 1, "\t"]), st.booleans())
def test_whatever_json_writes_is_read_back(value: Any, indent: int | str | None, ascii_only: bool) -> None:
    assert parse_jsonc(json.dumps(value, indent=indent, ensure_ascii=ascii_only)).value == value


@given(values)
def test_comments_and_last_commas_change_nothing(value: Any) -> None:
    lines = json.dumps(value, indent=1).splitlines()
    noted = [f'{line} // a note, with }} and " in it' for line in lines]
    for number, line in enumerate(noted[1:], start=1):
        if line.lstrip()[:1] in ("}", "]") and not noted[number - 1].split(" //")[0].rstrip().endswith(
            ("{", "[")
        ):
            noted[number - 1] = noted[number - 1].replace(" // a note", ", // a note", 1)
    assert parse_jsonc("\ufeff" + "\n".join(noted)).value == value


@given(st.text(alphabet='{}[]":,/*\\ntrue0-1.e \n"', max_size=40) | st.text(max_size=40))
def test_any_text_is_read_as_json_reads_it_or_refused_with_a_place_inside(text: str) -> None:
    try:
        expected = json.loads(text, parse_constant=_no)
    except (ValueError, RecursionError):
        expected = _REFUSED
    problem, found = None, None
    try:
        found = parse_jsonc(text).value
    except JsonTextError as error:
        problem = error
    if problem is None:
        assert found == expected or "//" in text or "," in text or text.startswith("\ufeff")
        return
    assert expected is _REFUSED
    lines = text.split("\n")
    assert 1 <= problem.line <= len(lines)
    assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1


_REFUSED = object()


def _no(word: str) -> None:
    raise ValueError(word)


@given(values, st.data())
def test_a_wrong_character_is_found_where_it_stands(value: Any, data: st.DataObject) -> None:
    text = json.dumps({"a": value, "b": [1, 2]}, indent=1)
    gaps = [at for at in range(len(text)) if text[at] == "\n"]
    at = data.draw(st.sampled_from(gaps)) + 1
    broken = text[:at] + "@" + text[at:]
    with pytest.raises(JsonTextError) as caught:
        parse_jsonc(broken)
    assert (caught.value.line, caught.value.column) == place_of(broken, at)
    assert "'@'" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1\n "b": 2}', "line 2, column 2: found '\"'; expected a comma or }"),
        ('{"a" 1}', "line 1, column 6: found '1'; expected a colon after the name 'a'"),
        ("{a: 1}", "line 1, column 2: found 'a'; expected a name in double quotes, or }"),
        ('{"a": [1, 2}', "line 1, column 12: found '}'; expected a comma or ]"),
        ('{"a": "x\n"}', "line 1, column 9: a line break or control character inside a text"),
        ('{"a": "x', "line 1, column 7: this text has no closing double quote"),
        ('{"a": 1', "line 1, column 8: the file ends here; expected a comma or }"),
        ("/* no */ {}", "line 1, column 1: /* */ is no comment here; expected // comments only"),
        ("{} {}", "line 1, column 4: found '{'; expected the end of the file"),
        ("[1e999]", "line 1, column 2: a number that no computer holds"),
        ("", "line 1, column 1: the file ends here; expected a value"),
    ],
)
def test_what_was_expected_is_said(text: str, message: str) -> None:
    with pytest.raises(JsonTextError) as caught:
        parse_jsonc(text)
    assert str(caught.value).startswith(message)


def test_every_value_has_its_place_and_a_key_given_twice_is_told() -> None:
    read = parse_jsonc('{\n  "a": [1,\n    {"b": true}],\n  "a": 2\n}')
    assert read.value == {"a": 2}
    assert read.places[("a", 1, "b")] == (3, 6)
    assert read.places[("a",)] == (4, 3)
    assert read.given_twice == (("a",),)


def test_a_bottomless_text_is_refused_instead_of_ending_the_program() -> None:
    with pytest.raises(JsonTextError, match="nested"):
        parse_jsonc("[" * 100_000)
