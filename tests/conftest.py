"""What every test stands on: a home and a folder of its own, and an environment that names no server."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no failure: how long an example takes is for the benchmarks to say.
settings.register_profile("agentui", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("agentui")

# A shell's background job ignores SIGINT, and under nohup SIGHUP; so would every program that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

_TERMINAL = {
    "TERM": "xterm-256color",
    "COLORTERM": "truecolor",
    "COLUMNS": "120",
    "LINES": "40",
    "TZ": "UTC",
    "LANG": "C.UTF-8",
    "PYTHONUTF8": "1",
}
# What could name a server, a key, a proxy or another look; tests say what they want of these themselves.
_FORBIDDEN_PREFIXES = ("AGENTUI_", "OPENAI_", "LM_API_", "LMSTUDIO_", "OLLAMA_", "XDG_", "TEXTUAL_", "PI_")
_FORBIDDEN = {
    "NO_COLOR",
    "FORCE_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "TMUX",
    "EDITOR",
    "VISUAL",
    "SSH_CONNECTION",
}

# The image of the Docker tests is chosen from outside; the snapshot plugin keeps its own folder here.
_KEPT = {"AGENTUI_BASE_IMAGE", "TEXTUAL_SNAPSHOT_TEMPDIR"}


@pytest.fixture(autouse=True)
def own_place(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test its own HOME, AGENTUI_HOME and current folder; returns the home."""
    place = tmp_path_factory.mktemp("place")
    home, folder = place / "home", place / "folder"
    home.mkdir()
    folder.mkdir()
    for name in list(os.environ):
        if name.startswith(_FORBIDDEN_PREFIXES) or name in _FORBIDDEN or name.lower().endswith("_proxy"):
            if name in _KEPT:
                continue
            monkeypatch.delenv(name)
    for name, value in _TERMINAL.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AGENTUI_HOME", str(home / "agentui"))
    monkeypatch.chdir(folder)
    return home
