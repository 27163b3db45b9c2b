"""Classes of attack beside the listed cases: on the container's kernel, keeper, disk and host-side helpers."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from agentui.sandbox.base import Command, OutputChunk, Sandbox
from agentui.sandbox.bubblewrap import Bubblewrap
from agentui.sandbox.docker import DockerSandbox
from agentui.sandbox.host_process import HostRunner
from agentui.sandbox.image import ToolsImage
from agentui.sandbox.jailed import JailedSandbox
from agentui.sandbox.limits import SandboxLimits
from tests.contracts.sandboxes import docker_sandbox, host_sandbox, play, started

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True, slots=True)
class Attack:
    """A command and what its output must and must not hold. `given_up` names what bubblewrap does not hold."""

    name: str
    text: str
    holds: str = ""
    never: str = "REACHED"
    given_up: str = ""


# A file that is masked with /dev/null takes writes, and loses them.
MASKED = re.compile(r"/proc/(keys|timer_list|sched_debug|latency_stats|kcore|interrupts)$")
ATTACKS = (
    Attack(
        "no file of the kernel can be written",
        "find /proc /sys -maxdepth 4 -type f -not -path '/proc/[0-9]*' 2>/dev/null |"
        ' while read -r f; do { echo 1 >"$f"; } 2>/dev/null && echo REACHED $f; done; echo tried',
        holds="tried",
    ),
    Attack(
        "no file of a process can be written",
        "for f in /proc/self/* /proc/self/attr/* /proc/1/* /proc/$$/task/$$/*; do"
        ' [[ -f $f ]] && { : >>"$f"; } 2>/dev/null && echo REACHED $f; done; echo tried',
        holds="tried",
    ),
    Attack(
        "nothing outside of the workspace and its temporary folders can be written",
        "find / -xdev -type d -writable 2>/dev/null | grep -vE '^/(workspace|tmp|proc|run/agentui)' |"
        ' while read -r d; do { : >"$d/probe"; } 2>/dev/null && echo REACHED $d; done; echo tried',
        holds="tried",
    ),
    Attack(
        "every mount that can be written is noexec and nosuid",
        "while read -r _ _ _ _ at options _; do"
        " [[ $options == rw* && -d $at && $at != /dev && $at != /proc ]] || continue;"
        ' [[ ,$options, == *,noexec,* && ,$options, == *,nosuid,* ]] || echo "REACHED $at $options";'
        " done </proc/self/mountinfo; echo tried",
        holds="tried",
        given_up="noexec",
    ),
    Attack(
        "the first processes take no signal",
        "for s in HUP INT TERM STOP KILL USR1; do for p in 1 6 7; do"
        " grep -q root /proc/$p/cmdline 2>/dev/null; kill -$s $p; done; done 2>/dev/null; echo alive",
        holds="alive",
    ),
    Attack(
        "no namespace, mount or trace can be made",
        "for t in unshare nsenter mount umount chroot pivot_root setpriv capsh strace gdb su sudo newuidmap; do"
        " type -P $t && echo REACHED; done; echo tried",
        holds="tried",
    ),
    Attack(
        "no library of the workspace is loaded",
        "cp /lib*/*-linux-gnu*/libc.so.6 x.so; LD_PRELOAD=$PWD/x.so ls /nowhere;"
        " enable -f $PWD/x.so foo && echo REACHED",
        holds="failed to map segment",
        given_up="noexec",
    ),
    Attack(
        "another start file brings no interpreter",
        "BASH_ENV=$PWD/x bash -c 'python3 -c 1'; echo rc=$?; env -i /bin/bash -c 'perl -e 1'; echo rc=$?",
        holds="rc=127\n(.*\n)*rc=127",
    ),
    Attack(
        "awk, sed and make start only what bash can start too",
        "awk 'BEGIN{system(\"id -u\")}'; sed -n '1e id -u' /etc/passwd; make -f <(printf 'a:\\n\\t@id -u\\n');"
        " awk 'BEGIN{system(\"python3 -c 1 || echo none\")}'",
        holds="1000\n1000\n1000\nnone",
    ),
    Attack(
        "no transport of git reaches anything",
        "for u in git://1.1.1.1/x ssh://1.1.1.1/x https://1.1.1.1/x 'ext::sh -c id% -u'; do"
        ' timeout 5 git ls-remote "$u" && echo REACHED; done; echo tried',
        holds="tried",
    ),
    Attack(
        "no other network family answers",
        "timeout 2 bash -c 'exec 3<>/dev/udp/8.8.8.8/53' && echo REACHED;"
        " timeout 2 bash -c 'exec 3<>/dev/tcp/::1/22' && echo REACHED; find / -type s 2>/dev/null | grep . &&"
        " echo REACHED; echo tried",
        holds="tried",
    ),
    Attack(
        "the host's name servers are not told", "cat /etc/resolv.conf", never=r"nameserver (?!127\.0\.0\.1)"
    ),
    Attack(
        "the environment of our own process is nowhere to be read",
        "cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'; echo tried",
        holds="tried",
        never="AGENTUI_TEST_SECRET",
    ),
    Attack(
        "a huge argument is refused, not a crash",
        'x=$(printf "a%.0s" {1..300000}); /bin/echo "$x"; echo rc=$?',
        "rc=126",
    ),
    Attack(
        "standard input gives nothing to readers of it", "cat; less; read -r x; echo rc=$?; git commit", "rc=1"
    ),
    Attack(
        "an endless name for the current folder is not carried",
        'for i in {1..30}; do n=$(printf "d%.0s" {1..200}); mkdir $n && cd $n || break; done; echo tried',
        holds="tried",
    ),
    Attack(
        "an edit reaches no file that bash could not write",
        "printf '<<<<<<< SEARCH\\nagent\\n=======\\nroot\\n>>>>>>> REPLACE\\n' >b;"
        " edit /etc/passwd <b && echo REACHED;"
        " ln -s /etc/passwd l; edit l <b && echo REACHED; edit ../etc/passwd <b && echo REACHED; echo tried",
        holds="tried",
    ),
)


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=[pytest.param("docker", marks=pytest.mark.docker), "bubblewrap"],
)
async def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Sandbox]:
    os.environ["AGENTUI_TEST_SECRET"] = "geheim"
    sandbox: Sandbox
    if request.param == "docker":
        sandbox = docker_sandbox(request.getfixturevalue("tools_image"))
    else:
        sandbox = host_sandbox(request.param, tmp_path_factory.mktemp("sandbox") / "copy")
    await started(sandbox)
    yield sandbox
    await sandbox.aclose()
    del os.environ["AGENTUI_TEST_SECRET"]


@pytest_asyncio.fixture(loop_scope="module")
async def sandbox(running: Sandbox) -> Sandbox:
    await running.copy.clear()
    return running


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.name for attack in ATTACKS])
async def test_the_attack_reaches_nothing(sandbox: Sandbox, attack: Attack) -> None:
    if attack.given_up and isinstance(sandbox, JailedSandbox):
        pytest.skip(f"bubblewrap: {Bubblewrap().not_given[attack.given_up]}")
    ran = await play(sandbox, attack.text)
    said = (ran.stdout + ran.stderr).decode("utf-8", "replace")
    assert re.search(attack.holds, said), said
    masked = {"/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/latency_stats", "/proc/kcore"}
    reached = [
        line for line in said.splitlines() if re.search(attack.never, line) and line.split()[-1] not in masked
    ]
    assert reached == []
    assert (await play(sandbox, "echo next")).stdout == b"next\n"


async def test_a_doubly_forked_deaf_daemon_is_gone_afterwards(sandbox: Sandbox) -> None:
    daemon = (
        "( setsid bash -c '(trap \"\" TERM HUP INT; while :; do echo x >>beat; done) & disown'"
        " >/dev/null 2>&1 & )"
    )
    ran = await play(sandbox, f"{daemon}; until [[ -s beat ]]; do :; done; echo up")
    assert (ran.result.outcome, ran.stdout) == ("ok", b"up\n")
    sizes = [(await play(sandbox, "wc -c <beat")).stdout for _ in range(2)]
    assert sizes[0] == sizes[1]


async def test_a_stopped_command_ends_at_its_deadline(sandbox: Sandbox) -> None:
    ran = await play(sandbox, "sleep 100 & kill -STOP $!; kill -STOP $$; echo never", timeout_s=1)
    assert (ran.result.outcome, ran.stdout) == ("timeout", b"")


async def test_a_full_temporary_folder_leaves_the_next_command_running(sandbox: Sandbox) -> None:
    ran = await play(
        sandbox, "head -c 1G /dev/zero >/tmp/big; echo rc=$?; ls -s /tmp/big >/dev/null && echo there"
    )
    assert b"rc=1" in ran.stdout or ran.result.outcome == "oom"
    assert (await play(sandbox, "rm -f /tmp/big; echo next")).stdout == b"next\n"


async def test_links_put_into_the_copy_lead_its_helpers_nowhere(sandbox: Sandbox, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_text("host")
    source = tmp_path / "source"
    (source / "d").mkdir(parents=True)
    (source / "d/f").write_text("new")
    await play(sandbox, f"ln -s '{outside}' d; ln -s '{outside}/f' f; ln -s /etc e")
    await sandbox.copy.seed(source, [b"d", b"d/f"], lambda *_: None)
    await sandbox.copy.remove([b"e/passwd", b"f"])
    assert (outside / "f").read_text() == "host"
    assert (
        await play(sandbox, "cat d/f; [[ -L d ]] || echo real; [[ -e /etc/passwd ]] && echo kept")
    ).stdout == (b"newreal\nkept\n")


async def test_no_git_of_the_host_runs_in_the_copy(sandbox: Sandbox, tmp_path: Path) -> None:
    """A planted configuration would run its command at the first status or diff."""
    await play(
        sandbox,
        "git init -q; echo a >a; git add a; git commit -qm a;"
        " git config core.fsmonitor 'touch /tmp/PWNED-agentui;';"
        " git config diff.x.textconv 'touch /tmp/PWNED-agentui;'; echo '* diff=x filter=x' >.gitattributes;"
        " git config filter.x.clean 'touch /tmp/PWNED-agentui;'; echo b >>a",
    )
    await sandbox.copy.manifest()
    into = tmp_path / "into"
    into.mkdir()
    await sandbox.copy.fetch([b"a", b".git/config"], into)
    assert not Path("/tmp/PWNED-agentui").exists()


async def test_a_command_that_fills_the_disk_is_ended(
    running: Sandbox, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    limits = SandboxLimits(free_disk_bytes=1 << 60)
    full: DockerSandbox | HostRunner
    if isinstance(running, DockerSandbox):
        image: ToolsImage = request.getfixturevalue("tools_image")
        full = DockerSandbox(
            image.engine, image, f"{running.workspace_id}-disk", limits=limits, is_throwaway=True
        )
        await full.start(lambda _: None)
    else:
        # Its self-test would be ended too, so it is run without one.
        folder = tmp_path / "copy"
        folder.mkdir()
        full = HostRunner(folder, launcher=Bubblewrap(limits))
        await asyncio.to_thread(full.open)
    try:
        result = await full.run(Command("while :; do echo x >>f; done", timeout_s=60), lambda _: None)
        assert result.outcome == "killed"
        assert "GiB are left on the disk" in result.message
    finally:
        await full.aclose()


async def test_a_gigabyte_of_output_needs_no_more_memory_than_a_little(sandbox: Sandbox) -> None:
    size = peak = 0
    process = psutil.Process()
    before = process.memory_info().rss

    def take(chunk: OutputChunk) -> None:
        nonlocal size, peak
        size += len(chunk.data)
        if size % (1 << 24) < len(chunk.data):
            peak = max(peak, process.memory_info().rss)

    result = await sandbox.run(Command("head -c 1G /dev/zero", timeout_s=110), take)
    assert (result.outcome, size) == ("ok", 1 << 30)
    assert peak - before < 64 << 20
