"""``python -m agentui``: the same as the command ``agentui``."""

from __future__ import annotations

import sys

from agentui.cli import main

if __name__ == "__main__":
    sys.exit(main())
