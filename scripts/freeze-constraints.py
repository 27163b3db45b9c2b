"""Print the versions of everything that agentui and its development tools need, as this environment has them.

The list is the closure of `agentui[dev]` over the installed distributions, so whatever else lies in the
environment stays out. `make constraints` writes it to constraints.txt.
"""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HEADER = """\
# Versions that were tested together; made by `make constraints`. Used as `pip install -c constraints.txt`:
# it limits versions and installs nothing by itself.
"""


def closure(roots: list[Requirement]) -> dict[str, str]:
    """Name and version of every distribution that `roots` need here, themselves included.

    A requirement that is not installed (another platform's, say) is left out and named on stderr.
    """
    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = list(roots)
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        key = (name, frozenset(wanted.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            print(f"not installed, so not pinned: {name}", file=sys.stderr)
            continue
        found[name] = installed.version
        for line in installed.requires or ():
            needed = Requirement(line)
            extras = wanted.extras or {""}
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(needed)
    return found


def main() -> None:
    """Print constraints for the project that this script belongs to."""
    text = (Path(__file__).resolve().parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    pins = closure([Requirement(line) for line in lines])
    print(HEADER + "\n".join(f"{name}=={version}" for name, version in sorted(pins.items())))


if __name__ == "__main__":
    main()
