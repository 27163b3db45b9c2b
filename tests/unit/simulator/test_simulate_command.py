"""`agentui simulate` as a program of its own."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import agentui
from agentui.cli import simulate
from agentui.errors import UsageError
from agentui.simulator.faults import Fault

START = "import sys; from agentui.cli import main; sys.exit(main(sys.argv[1:]))"


def started(*flags: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", START, "simulate", "--port", "0", *flags],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(agentui.__file__).parents[1])},
    )


def parsed(*flags: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    simulate.add_arguments(parser)
    return parser.parse_args(flags)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal_and_ends_cleanly(number: signal.Signals) -> None:
    with started("--json", "--unpaced") as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        greeting = httpx.get(f"{ready['url']}/lmstudio-greeting", trust_env=False, timeout=10)
        assert greeting.json() == {"lmstudio": True}
        assert ready["url"].endswith(f":{ready['port']}")
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
        assert (process.returncode, errors) == (0, "")


def test_it_ends_with_its_parent_when_told_to() -> None:
    with started("--exit-with-parent") as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert "http://127.0.0.1:" in process.stdout.readline()
        process.stdin.close()
        assert process.wait(timeout=20) == 0


def test_a_taken_port_is_a_usage_error_with_advice() -> None:
    with started("--json", "--exit-with-parent") as process:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        second = subprocess.run(
            [sys.executable, "-c", START, "simulate", "--port", str(port)],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
            env={**os.environ, "PYTHONPATH": str(Path(agentui.__file__).parents[1])},
        )
        process.communicate(timeout=20)
    assert second.returncode == 2
    assert "it is taken" in second.stderr
    assert "--port 0" in second.stderr


def test_the_address_can_go_to_a_descriptor_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    read, write = os.pipe()
    flags = parsed("--ready-fd", str(write))
    simulate._announce("http://127.0.0.1:1", 1, flags)
    with os.fdopen(read) as ready:
        assert json.loads(ready.read()) == {"url": "http://127.0.0.1:1", "port": 1}
    assert capfd.readouterr().out == ""


def test_flags_become_settings() -> None:
    flags = parsed(
        *("--port", "0", "--context", "8192", "--speed", "3", "--prefill-tok-per-s", "900"),
        *("--decode-tok-per-s", "60", "--fault", "no-usage", "--fault", "cut@2", "--fault", "reset@5"),
    )
    config = simulate.make_config(flags)
    assert (config.context_length, config.speed, config.prefill_tok_per_s) == (8192, 3, 900)
    assert config.decode_tok_per_s == 60
    assert config.fault_every is Fault.NO_USAGE
    assert dict(config.faults) == {2: Fault.CUT, 5: Fault.RESET}


@pytest.mark.parametrize("flags", [("--fault", "gremlins"), ("--fault", "cut@x"), ("--speed", "0")])
def test_flags_that_make_no_sense_are_usage_errors(flags: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        simulate.make_config(parsed(*flags))


def test_the_faults_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate.run(parsed("--list-faults")) == 0
    assert capsys.readouterr().out.split() == [fault.value for fault in Fault]
