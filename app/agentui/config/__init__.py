"""Settings with their origin: what counts, where it came from, and what was wrong with it."""

from agentui.config.load import ConfigFiles, Loaded, load_settings, trust_project
from agentui.config.settings import Origin, OriginKind, Settings
from agentui.config.url import host_of, is_private_host, normal_url

__all__ = [
    "ConfigFiles",
    "Loaded",
    "Origin",
    "OriginKind",
    "Settings",
    "host_of",
    "is_private_host",
    "load_settings",
    "normal_url",
    "trust_project",
]
