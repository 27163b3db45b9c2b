"""What every private copy must do: names of any bytes, no link followed, and the host tree untouched."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from agentui.errors import SandboxError
from agentui.sandbox.base import Entry, Sandbox
from tests.contracts.sandboxes import docker_sandbox, host_sandbox, play, shipped

pytestmark = pytest.mark.asyncio(loop_scope="module")

ODD_NAMES = [
    b"plain",
    b"with blank",
    b"-rf",
    b"--version",
    b"new\nline",
    b"\x1b]0;title\x07",
    b"invalid-\xff\xfe",
    b"quote'\"`$(x)*?[a]",
    b" leading and trailing ",
    b"\\back\\slash\\n",
    "ünïcødé-ß-漢字".encode(),
    b"x" * 255,
    b"deep/" + b"y" * 120 + b"/" + b"z" * 200,
    b"deep/-dash/f",
]
LINK_AWAY = shipped(
    "rm -rf d; mkdir -p elsewhere; echo keep >elsewhere/f; ln -s elsewhere d; ln -s nowhere dangling"
)
CLOSE = shipped("mkdir -p shut/in; echo secret >shut/in/f; chmod 000 shut/in/f shut/in shut")
SPECIAL = shipped("mkfifo pipe; mkdir empty; printf x >f; chmod 4755 f; ln f hard")
TOUCH = shipped("printf 12345 >a; touch -t 200001010000 a")
BACKDATE = shipped("printf 54321 >a; touch -t 200001010000 a")
READABLE = shipped("cat -- -rf && printf ' and more' >>-rf && cat -- -rf")
CLOSE_FOLDER = shipped("chmod 500 d")
FILL = shipped("rm -rf t; mkdir t; echo 1 >t/one; mkdir way; echo 2 >way/two")


def quiet(files: int, size_bytes: int) -> None:
    """Progress that nobody looks at."""


def lay_out(root: Path, names: Sequence[bytes]) -> None:
    for number, name in enumerate(names):
        path = os.path.join(os.fsencode(root), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"content %d" % number)
        os.chmod(path, 0o640 if number % 2 else 0o755)
        os.utime(path, ns=(10**18 + number, 10**18 + number))


async def entries(sandbox: Sandbox) -> dict[bytes, Entry]:
    listed = await sandbox.copy.manifest()
    by_path = {entry.path: entry for entry in listed}
    assert len(by_path) == len(listed)
    return by_path


async def fetch(sandbox: Sandbox, paths: Sequence[bytes], into: Path) -> dict[bytes, bytes]:
    into.mkdir()
    await sandbox.copy.fetch(paths, into)
    found: dict[bytes, bytes] = {}
    for folder, _, files in os.walk(os.fsencode(into)):
        for file in files:
            full = os.path.join(folder, file)
            with open(full, "rb") as content:
                found[os.path.relpath(full, os.fsencode(into))] = content.read()
    return found


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=[pytest.param("docker", marks=pytest.mark.docker), "scripted", "none"],
)
async def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Sandbox]:
    sandbox: Sandbox
    if request.param == "docker":
        sandbox = docker_sandbox(request.getfixturevalue("tools_image"))
    else:
        sandbox = host_sandbox(request.param, tmp_path_factory.mktemp("sandbox") / "copy")
    await sandbox.start(lambda _: None)
    yield sandbox
    await sandbox.aclose()


@pytest_asyncio.fixture(loop_scope="module")
async def sandbox(running: Sandbox) -> Sandbox:
    await running.copy.clear()
    return running


@pytest.fixture
def host(tmp_path: Path) -> Path:
    root = tmp_path / "host"
    root.mkdir()
    return root


async def test_a_fresh_copy_is_empty(sandbox: Sandbox) -> None:
    assert await sandbox.copy.manifest() == ()


async def test_any_name_survives_the_round_trip(sandbox: Sandbox, host: Path, tmp_path: Path) -> None:
    lay_out(host, ODD_NAMES)
    await sandbox.copy.seed(host, ODD_NAMES, quiet)
    seen = await entries(sandbox)
    assert set(seen) == {*ODD_NAMES, b"deep", b"deep/-dash", b"deep/" + b"y" * 120}
    for number, name in enumerate(ODD_NAMES):
        entry = seen[name]
        assert (entry.type, entry.mode) == ("file", 0o640 if number % 2 else 0o755)
        assert (entry.size_bytes, entry.mtime_ns) == (len(b"content %d" % number), 10**18 + number)
    fetched = await fetch(sandbox, ODD_NAMES, tmp_path / "into")
    assert fetched == {name: b"content %d" % number for number, name in enumerate(ODD_NAMES)}


async def test_only_the_listed_paths_are_brought_in(sandbox: Sandbox, host: Path) -> None:
    lay_out(host, [b"a/one", b"a/two", b"b/three"])
    await sandbox.copy.seed(host, [b"a/one"], quiet)
    assert set(await entries(sandbox)) == {b"a", b"a/one"}


async def test_links_folders_and_times_are_kept_as_they_are(sandbox: Sandbox, host: Path) -> None:
    (host / "empty").mkdir(mode=0o710)
    (host / "ro").mkdir()
    (host / "ro/f").write_bytes(b"x")
    os.symlink(b"/etc/passwd", host / "absolute")
    os.symlink(b"missing-\xff" + b"l" * 150, host / "dangling")
    os.symlink(b"empty", host / "to-folder")
    os.chmod(host / "ro", 0o555)
    os.utime(host / "ro", ns=(5, 1_234_567_890_123_456_789))
    await sandbox.copy.seed(host, [b"empty", b"ro", b"ro/f", b"absolute", b"dangling", b"to-folder"], quiet)
    seen = await entries(sandbox)
    assert {name: (entry.type, entry.link_target) for name, entry in seen.items()} == {
        b"empty": ("dir", None),
        b"ro": ("dir", None),
        b"ro/f": ("file", None),
        b"absolute": ("link", b"/etc/passwd"),
        b"dangling": ("link", b"missing-\xff" + b"l" * 150),
        b"to-folder": ("link", b"empty"),
    }
    assert (seen[b"empty"].mode, seen[b"ro"].mode) == (0o710, 0o555)
    assert seen[b"ro"].mtime_ns == 1_234_567_890_123_456_789
    os.chmod(host / "ro", 0o755)


async def test_the_agent_owns_what_was_brought_in(sandbox: Sandbox, host: Path) -> None:
    lay_out(host, [b"-rf"])
    await sandbox.copy.seed(host, [b"-rf"], quiet)
    assert (await play(sandbox, READABLE)).stdout == b"content 0content 0 and more"
    assert (host / "-rf").read_bytes() == b"content 0"


async def test_setuid_bits_stay_behind(sandbox: Sandbox, host: Path) -> None:
    (host / "f").write_bytes(b"x")
    os.chmod(host / "f", 0o6755)
    await sandbox.copy.seed(host, [b"f"], quiet)
    assert (await entries(sandbox))[b"f"].mode == 0o755


async def test_seeding_replaces_whatever_stands_in_the_way(
    sandbox: Sandbox, host: Path, tmp_path: Path
) -> None:
    await play(sandbox, FILL)
    (host / "t").write_bytes(b"now a file")
    (host / "way").mkdir()
    (host / "way/two").mkdir()
    (host / "way/two/three").write_bytes(b"3")
    await sandbox.copy.seed(host, [b"t", b"way/two/three"], quiet)
    assert {name: entry.type for name, entry in (await entries(sandbox)).items()} == {
        b"t": "file",
        b"way": "dir",
        b"way/two": "dir",
        b"way/two/three": "file",
    }
    assert await fetch(sandbox, [b"t"], tmp_path / "into") == {b"t": b"now a file"}


async def test_seeding_does_not_follow_a_link_the_agent_made(
    sandbox: Sandbox, host: Path, tmp_path: Path
) -> None:
    await play(sandbox, LINK_AWAY)
    (host / "d").mkdir()
    (host / "d/f").write_bytes(b"from the host")
    await sandbox.copy.seed(host, [b"d/f"], quiet)
    fetched = await fetch(sandbox, [b"elsewhere/f", b"d/f"], tmp_path / "into")
    assert fetched == {b"elsewhere/f": b"keep\n", b"d/f": b"from the host"}


async def test_removing_does_not_follow_a_link_the_agent_made(sandbox: Sandbox) -> None:
    await play(sandbox, LINK_AWAY)
    await sandbox.copy.remove([b"d/f"])
    assert b"elsewhere/f" in await entries(sandbox)
    await sandbox.copy.remove([b"d", b"dangling"])
    assert set(await entries(sandbox)) == {b"elsewhere", b"elsewhere/f"}


async def test_remove_takes_folders_whole_and_missing_ones_are_no_error(sandbox: Sandbox, host: Path) -> None:
    lay_out(host, ODD_NAMES)
    await sandbox.copy.seed(host, ODD_NAMES, quiet)
    await sandbox.copy.remove([b"deep", b"not/there", b"never", b"-rf", b"new\nline"])
    assert set(await entries(sandbox)) == {
        name for name in ODD_NAMES if not name.startswith(b"deep") and name not in (b"-rf", b"new\nline")
    }


async def test_closed_folders_are_listed_fetched_and_removed(sandbox: Sandbox, tmp_path: Path) -> None:
    assert (await play(sandbox, CLOSE)).result.exit_code == 0
    seen = await entries(sandbox)
    assert {name: entry.mode for name, entry in seen.items()} == {b"shut": 0, b"shut/in": 0, b"shut/in/f": 0}
    await sandbox.copy.remove([b"shut"])
    assert await sandbox.copy.manifest() == ()


async def test_special_files_and_hard_links_are_named_as_what_they_are(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    assert (await play(sandbox, SPECIAL)).result.exit_code == 0
    seen = await entries(sandbox)
    assert {name: entry.type for name, entry in seen.items()} == {
        b"pipe": "fifo",
        b"empty": "dir",
        b"f": "file",
        b"hard": "file",
    }
    assert seen[b"f"].mode == 0o4755
    assert await fetch(sandbox, [b"f", b"hard"], tmp_path / "into") == {b"f": b"x", b"hard": b"x"}


async def test_a_change_with_forged_size_and_time_has_another_fingerprint(sandbox: Sandbox) -> None:
    await play(sandbox, TOUCH)
    before = (await entries(sandbox))[b"a"]
    again = (await entries(sandbox))[b"a"]
    await play(sandbox, BACKDATE)
    after = (await entries(sandbox))[b"a"]
    assert before == again
    assert (before.size_bytes, before.mtime_ns) == (after.size_bytes, after.mtime_ns)
    assert before.fingerprint != after.fingerprint


async def test_fetching_what_is_not_there_says_so(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(SandboxError):
        await fetch(sandbox, [b"never"], tmp_path / "into")


async def test_fetched_files_are_private_and_plain(sandbox: Sandbox, host: Path, tmp_path: Path) -> None:
    lay_out(host, [b"run"])
    await sandbox.copy.seed(host, [b"run"], quiet)
    await fetch(sandbox, [b"run"], tmp_path / "into")
    assert stat.S_IMODE((tmp_path / "into/run").lstat().st_mode) == 0o600


async def test_what_vanished_on_the_host_is_left_out(sandbox: Sandbox, host: Path) -> None:
    lay_out(host, [b"here"])
    await sandbox.copy.seed(host, [b"gone", b"here", b"gone/too"], quiet)
    assert set(await entries(sandbox)) == {b"here"}


async def test_progress_ends_with_everything(sandbox: Sandbox, host: Path) -> None:
    names = [b"f%d" % number for number in range(250)]
    lay_out(host, names)
    told: list[tuple[int, int]] = []
    await sandbox.copy.seed(host, names, lambda files, size_bytes: told.append((files, size_bytes)))
    assert [files for files, _ in told] == [100, 200, 250]
    assert told[-1][1] >= sum(len(b"content %d" % number) for number in range(250))


async def test_seeding_below_a_folder_leaves_the_mode_that_the_commands_gave_it(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    host = tmp_path / "modes"
    (host / "d/e").mkdir(parents=True)
    (host / "d/e/f").write_text("1")
    (host / "d").chmod(0o755)
    await sandbox.copy.seed(host, [b"d", b"d/e", b"d/e/f"], lambda *_: None)
    await play(sandbox, CLOSE_FOLDER)
    (host / "d/e/f").write_text("2")
    await sandbox.copy.seed(host, [b"d/e/f"], lambda *_: None)
    modes = {entry.path: entry.mode for entry in await sandbox.copy.manifest()}
    assert (modes[b"d"], modes[b"d/e"]) == (0o500, 0o755)
    await sandbox.copy.remove([b"d/e"])
    assert [(entry.path, entry.mode) for entry in await sandbox.copy.manifest()] == [(b"d", 0o500)]
    await sandbox.copy.seed(host, [b"d"], lambda *_: None)
    assert [(entry.path, entry.mode) for entry in await sandbox.copy.manifest()] == [(b"d", 0o755)]


async def test_a_copy_that_holds_something_keeps_its_identity_whatever_commands_do(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "keep").write_text("k")
    await sandbox.copy.seed(tmp_path, [b"keep"], quiet)
    before = await sandbox.copy.identity()
    assert before
    await play(sandbox, SPECIAL)
    await sandbox.copy.seed(tmp_path, [b"keep"], quiet)
    assert await sandbox.copy.identity() == before
