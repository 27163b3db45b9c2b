from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentui.errors import UsageError
from agentui.telemetry.kv.llama_cpp import LlamaCppCache
from agentui.telemetry.llama_start import LlamaStart, file_of_server, llama_start, slots_guess


def settings_of(line: str, slot_tokens: int, slots: int) -> LlamaCppCache:
    return LlamaStart(("llama-server", "-m", "m.gguf", *line.split())).settings(slot_tokens, slots)


@pytest.mark.parametrize(
    ("line", "told", "expected"),
    [
        ("", (8192, 4), LlamaCppCache(8192, 4, unified=True)),
        ("-np 4", (2048, 4), LlamaCppCache(8192, 4, unified=False)),
        ("--parallel 4 --kv-unified", (8192, 4), LlamaCppCache(8192, 4, unified=True)),
        ("-np 1", (8192, 1), LlamaCppCache(8192, 1, unified=True)),
        ("--no-kv-unified", (2048, 4), LlamaCppCache(8192, 4, unified=False)),
        ("-np -1", (8192, 4), LlamaCppCache(8192, 4, unified=True)),
        (
            "-ctk q8_0 --cache-type-v q4_1 --swa-full",
            (512, 4),
            LlamaCppCache(512, 4, True, "q8_0", "q4_1", True),
        ),
        (
            "-b 1024 -ub 256 -fa off",
            (512, 4),
            LlamaCppCache(512, 4, batch=1024, ubatch=256, flash_attention="off"),
        ),
        ("-fa on -ub 64 -ub 128", (512, 4), LlamaCppCache(512, 4, ubatch=128, flash_attention="on")),
    ],
)
def test_the_cache_is_what_the_arguments_say(line: str, told: tuple[int, int], expected: LlamaCppCache) -> None:
    assert settings_of(line, *told) == expected


@pytest.mark.parametrize("line", ["-ctk q6_k", "-ub many", "-fa off -ctv q8_0"])
def test_arguments_that_no_engine_takes_are_an_error(line: str) -> None:
    with pytest.raises(UsageError):
        settings_of(line, 8192, 4)


def test_without_a_start_the_default_four_slots_share_and_others_are_separate() -> None:
    assert slots_guess(8192, 4) == LlamaCppCache(8192, 4, unified=True)
    assert slots_guess(4096, 3) == LlamaCppCache(12_288, 3, unified=False)


LISTENS = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[int]:
    """The port of a process that is called llama-server, was given a relative path, and listens."""
    name = tmp_path / "llama-server"
    name.symlink_to(Path(sys.executable).resolve())
    script = tmp_path / "listens.py"
    script.write_text(LISTENS)
    arguments = [str(name), str(script), "-m", "models/tiny.gguf", "-ctk", "q8_0"]
    with subprocess.Popen(
        arguments, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.communicate()


def test_a_running_servers_arguments_and_folder_are_read_from_its_process(server: int, tmp_path: Path) -> None:
    start = llama_start(server)
    assert start is not None
    assert file_of_server("models/tiny.gguf", server) == tmp_path / "models/tiny.gguf"
    assert file_of_server("/models/tiny.gguf", server) == Path("/models/tiny.gguf")
    assert start.settings(4096, 4).cache_k == "q8_0"


def test_a_process_that_is_no_llama_server_tells_its_folder_only(tmp_path: Path) -> None:
    script = tmp_path / "listens.py"
    script.write_text(LISTENS)
    arguments = [sys.executable, str(script), "-m", "models/tiny.gguf"]
    with subprocess.Popen(
        arguments, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        assert llama_start(port) is None
        assert file_of_server("models/tiny.gguf", port) == tmp_path / "models/tiny.gguf"
        process.communicate()
