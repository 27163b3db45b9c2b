from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_no_sandbox_module_loads_docker_when_imported() -> None:
    folder = Path(__file__).parents[3] / "app/agentui/sandbox"
    names = [f"agentui.sandbox.{path.stem}" for path in sorted(folder.glob("*.py"))]
    assert "agentui.sandbox.docker" in names
    program = f"import sys, {', '.join(names)}; print(*sorted({{'docker', 'requests'}} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(folder.parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "\n"
