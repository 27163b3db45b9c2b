from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from agentui.errors import SandboxUnavailable
from agentui.sandbox.host_launch import host_tools
from agentui.sandbox.jailed import JailedSandbox
from agentui.sandbox.seatbelt import Seatbelt, profile


def test_the_profile_denies_first_and_names_neither_network_nor_interpreter() -> None:
    text = profile(host_tools())
    assert text.startswith("(version 1)\n(deny default)\n")
    assert "network" not in text
    assert text.count("(") == text.count(")")
    for name in ("python", "perl", "ruby", "osascript", "open", "launchctl", "curl", "ssh"):
        assert not re.search(rf'/{name}[0-9.]*"', text), name


def test_only_the_copy_the_report_and_the_private_home_can_be_written() -> None:
    text = profile(host_tools())
    written = text[text.index("(allow file-write*") :]
    assert set(re.findall(r'"([A-Z]+)"', written)) == {"REPORT", "PRIVATE", "COPY"}
    assert 'subpath (param "PRIVATE")' not in written


def test_no_name_can_become_a_rule() -> None:
    assert "evil" not in profile(['x") (allow default) ("evil'])


def test_it_says_that_nobody_has_seen_it_work() -> None:
    facts = Seatbelt().facts
    assert "not verified on a Mac" in " ".join(facts.notes)
    assert "experimental" in facts.label


@pytest.mark.skipif(sys.platform == "darwin", reason="this is a Mac")
async def test_elsewhere_it_refuses_to_start(tmp_path: Path) -> None:
    sandbox = JailedSandbox(tmp_path / "copy", Seatbelt())
    with pytest.raises(SandboxUnavailable, match="macOS only"):
        await sandbox.start(lambda _: None)
