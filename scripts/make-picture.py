"""Draw the dashboard as an SVG, from a replayed session: nobody has to pose for the README's picture.

    python scripts/make-picture.py docs/dashboard.svg             record a demo run first, then draw it
    python scripts/make-picture.py docs/dashboard.svg JOURNAL     draw a recorded session

The figures are those of the machine that recorded the session.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from agentui.events import Recorded
from agentui.session.journal import read_journal
from agentui.session.replay import ReplayServices
from agentui.tui.app import AgentuiApp

SIZE = (150, 42)
TASK = "split report.py into modules, PEP 585 type hints"


def record_demo(home: Path) -> Path:
    """Run the demo without a screen in a home of its own; returns its journal.

    Raises:
        subprocess.CalledProcessError: If the run did not end well.
    """
    env = os.environ | {"HOME": str(home), "AGENTUI_HOME": str(home / "agentui")}
    command = [
        sys.executable,
        "-m",
        "agentui",
        "-p",
        "--demo",
        "--demo-speed",
        "1",
        "--mode",
        "json",
        "--samples",
        TASK,
    ]
    subprocess.run(command, env=env, cwd=home, check=True, stdout=subprocess.DEVNULL)
    (journal,) = home.glob("agentui/state/sessions/*/journal.jsonl")
    return journal


async def draw(records: Sequence[Recorded], folder: Path, title: str) -> str:
    """Play all records through the dashboard at once and return the picture of what it then shows."""
    app = AgentuiApp(ReplayServices(records, None, folder), apply_asks=False)
    async with app.run_test(size=SIZE) as pilot:
        for _ in range(20):  # the screen takes changes in at its own pace, some ten times a second
            await pilot.pause(0.1)
        return app.export_screenshot(title=title)


def main() -> None:
    """Record if need be, draw, write."""
    parser = argparse.ArgumentParser(description="draw the dashboard from a replayed session")
    parser.add_argument("picture", type=Path)
    parser.add_argument("journal", type=Path, nargs="?")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="agentui-picture-") as name:
        journal = given.journal or record_demo(Path(name))
        svg = asyncio.run(draw(read_journal(journal).records, journal.parent, "agentui"))
    given.picture.parent.mkdir(parents=True, exist_ok=True)
    given.picture.write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
