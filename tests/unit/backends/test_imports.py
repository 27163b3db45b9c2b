from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["discover", "meter", "stall", "leaks", "lmstudio.start"])
def test_importing_a_backend_loads_nothing_slow(module: str) -> None:
    code = (
        f"import sys, agentui.backends.{module}; "
        "print([name for name in ('openai', 'websockets', 'aiohttp', 'httpx2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_harness_side_needs_no_http_client_either() -> None:
    code = (
        "import sys, agentui.backends.base, agentui.backends.meter; "
        "import agentui.backends.stall, agentui.backends.leaks; "
        "print('httpx' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
