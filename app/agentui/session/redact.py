"""Takes secrets and home paths out of text that is to be shown to others, and counts what it took."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

HOME = "home path"

# Forms in which well-known services write their keys; the last ones are guesses by the name before the value.
_SECRETS: tuple[tuple[str, str], ...] = (
    ("private key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"),
    ("GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_[A-Za-z0-9_]{20,255})"),
    ("GitLab token", r"\bglpat-[A-Za-z0-9_-]{16,255}"),
    ("Slack token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,255}"),
    ("AWS key", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    ("Google key", r"\bAIza[0-9A-Za-z_-]{35}"),
    ("Hugging Face token", r"\bhf_[A-Za-z0-9]{20,255}"),
    ("npm token", r"\bnpm_[A-Za-z0-9]{30,255}"),
    ("API key", r"\bsk-[A-Za-z0-9_-]{16,255}"),
    ("web token", r"\beyJ[A-Za-z0-9_-]{8,2000}\.[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{8,2000}"),
)
_PATTERNS = tuple((kind, re.compile(pattern)) for kind, pattern in _SECRETS)
_BEARER = re.compile(r"(?i)\b(bearer|basic)(\s+)([A-Za-z0-9+/_.=~-]{12,})")
_URL_PASSWORD = re.compile(r"([a-z][a-z0-9+.-]{1,20}://[^\s/:@]{1,200}:)([^\s/@]{1,200})(@)", re.IGNORECASE)
_NAMED = re.compile(
    r"(?i)\b([a-z0-9_-]{0,40}(?:password|passwd|secret|token|api[_-]?key|access[_-]?key)"
    r"[\"']?\s{0,3}[=:]\s{0,3}[\"']?)([^\s\"',;)}\[]{6,500})"
)
_HOMES = re.compile(r"(?:/Users|/home)/[^/\s\"':<>]{1,100}(?=$|[/\s\"':,;)<>])|/root(?=$|[/\s\"':,;)])")


class Redactor:
    """Replaces what should not leave the machine; `counts` says how many of which kind. One per export.

    Args:
        home: The user's home folder; others' homes are taken out by their usual form.
        secrets: Further texts that must not appear, such as the server's key.
    """

    def __init__(self, home: str = "", secrets: tuple[str, ...] = ()) -> None:
        self.counts: Counter[str] = Counter()
        self._home = re.compile(re.escape(home) + r"(?![A-Za-z0-9._-])") if len(home) > 1 else None
        self._secrets = tuple(secret for secret in secrets if len(secret) >= 4)

    def text(self, text: str) -> str:
        """`text` without secrets and home paths. Linear in its length."""
        for secret in self._secrets:
            if found := text.count(secret):
                self.counts["configured key"] += found
                text = text.replace(secret, "[redacted: configured key]")
        for kind, pattern in _PATTERNS:
            text = self._replace(pattern, f"[redacted: {kind}]", text, kind)
        text = self._replace(_BEARER, r"\1\2[redacted: credentials]", text, "credentials")
        text = self._replace(_URL_PASSWORD, r"\1[redacted]\3", text, "password in a URL")
        text = self._replace(_NAMED, r"\1[redacted: value]", text, "value named as a secret")
        if self._home is not None:
            text = self._replace(self._home, "~", text, HOME)
        return self._replace(_HOMES, "~", text, HOME)

    def value(self, value: Any) -> Any:
        """A JSON value with every text in it redacted, keys too."""
        match value:
            case str():
                return self.text(value)
            case dict():
                return {self.text(str(key)): self.value(item) for key, item in value.items()}
            case list() | tuple():
                return [self.value(item) for item in value]
            case _:
                return value

    def _replace(self, pattern: re.Pattern[str], by: str, text: str, kind: str) -> str:
        text, found = pattern.subn(by, text)
        if found:
            self.counts[kind] += found
        return text
