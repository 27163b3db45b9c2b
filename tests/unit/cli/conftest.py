from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_log_handlers() -> Iterator[None]:
    """Each test has its own home, so each needs its own log file."""
    yield
    root = logging.getLogger("agentui")
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    root.propagate = True
