"""What the documents say of the program, held against it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agentui.config.settings import RULES, Settings
from agentui.event_json import EVENT_TYPES
from agentui.tui.keys import KEYS, Key, shown_key

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FORMAT = (ROOT / "docs" / "session-format.md").read_text(encoding="utf-8")


def section(heading: str, text: str = README) -> str:
    return text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of a table, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [
        [cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")] for line in lines[2:]
    ]


def settings_told() -> dict[str, tuple[str, str]]:
    """Key of each setting in the README to its default and flag as they stand there."""
    found: dict[str, tuple[str, str]] = {}
    for _, keys, default, flag in rows(section("Settings")):
        names = re.findall(r"`([a-z][\w.]*)`", keys)
        values = [value.strip("` ") for value in default.split(",")]
        for at, name in enumerate(names):
            found[name] = (values[at] if at < len(values) else default, flag.strip("`").partition(" ")[0])
    return found


TOLD = settings_told()


def test_the_readme_tells_every_setting_and_no_other() -> None:
    assert set(TOLD) == {rule.key for rule in RULES.values()} | {"checks"}


@pytest.mark.parametrize("name", RULES)
def test_a_setting_has_the_flag_and_the_default_that_the_readme_says(name: str) -> None:
    rule = RULES[name]
    told, flag = TOLD[rule.key]
    assert flag == rule.flag
    default = getattr(Settings(), name)
    if default not in (None, ()):
        assert rule.parse(told) == default


SPELLED = {"pageup": "PgUp", "pagedown": "PgDn"}


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.id)
def test_the_readme_names_every_key(key: Key) -> None:
    table = [cells[0] for cells in rows(section("Keys"))]
    words = {word for cell in table for word in re.findall(r"`([^`]+)`", cell)}
    shown = shown_key(key.keys)
    assert {SPELLED.get(shown), shown, shown.title()} & words


def test_every_event_of_a_journal_is_described() -> None:
    assert [name.strip("`") for name, *_ in rows(section("Events", FORMAT))] == list(EVENT_TYPES)


def test_every_place_that_the_table_of_contents_names_is_there() -> None:
    headings = {
        re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.+)$", README, re.M)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= headings


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/watch.md"])
def test_every_file_that_a_document_links_to_is_there(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert [link for link in links if not (ROOT / document).parent.joinpath(link).exists()] == []
