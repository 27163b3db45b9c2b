"""A real engine and a real image, or a stated reason why not."""

from __future__ import annotations

import os

import pytest

from agentui.errors import SandboxUnavailable
from agentui.sandbox.engine import Engine, find_engine
from agentui.sandbox.image import DEFAULT_BASE, ToolsImage

LOCAL_BASE = "agentui-base:bookworm"
"""What scripts/make-base-image.sh makes."""


@pytest.fixture(scope="session")
def engine() -> Engine:
    try:
        return find_engine()
    except SandboxUnavailable as error:
        pytest.skip(f"no container engine: {error.message}")


@pytest.fixture(scope="session")
def tools_image(engine: Engine) -> ToolsImage:
    """The image of this checkout, on a base that is there already: tests build it, but pull nothing."""
    local = {tag for image in engine.api.images() for tag in image.get("RepoTags") or []}
    named = os.environ.get("AGENTUI_BASE_IMAGE", "")
    base = next((base for base in (named, LOCAL_BASE, DEFAULT_BASE) if base in local), None)
    if base is None:
        pytest.skip(f"no base image: neither AGENTUI_BASE_IMAGE nor {LOCAL_BASE} (scripts/make-base-image.sh)")
    return ToolsImage(engine, base)


PYTHON_IMAGE = "agentui-python:bookworm"
"""What scripts/make-base-image.sh makes with --with python3."""


@pytest.fixture(scope="session")
def python_image(engine: Engine) -> str:
    """An image that has Python and is there already."""
    local = {tag for image in engine.api.images() for tag in image.get("RepoTags") or []}
    if PYTHON_IMAGE not in local:
        pytest.skip(f"no {PYTHON_IMAGE} (scripts/make-base-image.sh --with python3 {PYTHON_IMAGE})")
    return PYTHON_IMAGE
