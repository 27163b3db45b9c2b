"""The filter is run here by a small interpreter of classic BPF, as the kernel would run it."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.sandbox.seccomp import DENIED, seccomp_filter

X86, ARM = 0xC000003E, 0xC00000B7
ALLOW, KILL = 0x7FFF0000, 0x80000000
MACHINES = [("x86_64", X86, 0), ("aarch64", ARM, 1)]


def verdict(program: bytes, architecture: int, number: int, argument: int = 0) -> int:
    steps = list(struct.iter_unpack("=HBBI", program))
    data = struct.pack("=II8xQ", number, architecture, argument)
    at, value = 0, 0
    while True:
        code, if_true, if_false, constant = steps[at]
        at += 1
        match code:
            case 0x20:
                (value,) = struct.unpack_from("=I", data, constant)
            case 0x15:
                at += if_true if value == constant else if_false
            case 0x35:
                at += if_true if value >= constant else if_false
            case 0x45:
                at += if_true if value & constant else if_false
            case 0x06:
                return int(constant)
            case _:
                raise AssertionError(f"no such instruction: {code:#x}")


def denied(number: int) -> int:
    return 0x00050000 | number


@pytest.mark.parametrize(("machine", "architecture", "column"), MACHINES)
def test_every_listed_call_is_refused(machine: str, architecture: int, column: int) -> None:
    program = seccomp_filter(machine)
    assert program is not None
    for name, numbers in DENIED.items():
        assert verdict(program, architecture, numbers[column]) == denied(errno.EPERM), name


@pytest.mark.parametrize(("machine", "architecture", "column"), MACHINES)
@given(number=st.integers(0, 500))
def test_every_other_call_goes_through(machine: str, architecture: int, column: int, number: int) -> None:
    program = seccomp_filter(machine)
    assert program is not None
    special = {numbers[column] for numbers in DENIED.values()} | {435, (41, 198)[column]}
    if number not in special:
        assert verdict(program, architecture, number) == ALLOW


@pytest.mark.parametrize(("machine", "clone", "socket"), [("x86_64", 56, 41), ("aarch64", 220, 198)])
def test_no_user_namespace_and_no_odd_socket(machine: str, clone: int, socket: int) -> None:
    program = seccomp_filter(machine)
    assert program is not None
    architecture = X86 if machine == "x86_64" else ARM
    assert verdict(program, architecture, clone, 0x11) == ALLOW
    assert verdict(program, architecture, clone, 0x10000011) == denied(errno.EPERM)
    assert verdict(program, architecture, 435) == denied(errno.ENOSYS)
    families = {family: verdict(program, architecture, socket, family) for family in range(46)}
    assert {family for family, answer in families.items() if answer == ALLOW} == {1, 2, 10, 16}
    assert set(families.values()) == {ALLOW, denied(errno.EAFNOSUPPORT)}


def test_another_instruction_set_is_ended() -> None:
    program = seccomp_filter("x86_64")
    assert program is not None
    assert verdict(program, 0x40000003, 1) == KILL
    assert verdict(program, X86, 0x40000001) == denied(errno.EPERM)


def test_an_unknown_machine_has_no_filter() -> None:
    assert seccomp_filter("riscv64") is None
