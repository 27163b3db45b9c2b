from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from agentui.sandbox.docker_labels import is_dead, owner_label


def test_a_living_owner_is_not_dead() -> None:
    assert not is_dead(owner_label())


def test_an_owner_that_ended_is_dead() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    machine = owner_label().split(":")[0]
    label = f"{machine}:{process.pid}:{psutil.Process(process.pid).create_time():.2f}"
    assert not is_dead(label)
    process.communicate(b"\n")
    assert is_dead(label)


def test_another_process_with_the_same_number_is_not_the_owner() -> None:
    machine = owner_label().split(":")[0]
    assert is_dead(f"{machine}:{os.getpid()}:{psutil.Process().create_time() - 60:.2f}")


@pytest.mark.parametrize("owner", ["", "x", "other:1:2.0", "other:999999999:1.0"])
def test_what_cannot_be_told_is_not_dead(owner: str) -> None:
    assert not is_dead(owner)


def test_an_unreadable_start_time_is_not_dead() -> None:
    machine = owner_label().split(":")[0]
    assert not is_dead(f"{machine}:{os.getpid()}:soon")
