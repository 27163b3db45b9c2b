"""How a command's help is laid out."""

from __future__ import annotations

import argparse

import pytest

from agentui.cli.help_text import HelpFormatter

TEXT = """\
Says `what` it does
in two lines: a colon in them begins nothing.

    an example --that stays
as it is.
exit codes: 0 done, and quite some more words; 75 one that
            goes on with it
--json:     one object
"""


def test_prose_is_filled_examples_stay_and_labelled_lines_hang_from_their_label(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "42")
    parser = argparse.ArgumentParser(prog="x", epilog=TEXT, formatter_class=HelpFormatter, add_help=False)
    assert parser.format_help().splitlines()[2:] == [
        "Says what it does in two lines: a colon",
        "in them begins nothing.",
        "",
        "    an example --that stays",
        "as it is.",
        "exit codes: 0 done, and quite some more",
        "            words; 75 one that goes on",
        "            with it",
        "--json:     one object",
    ]
