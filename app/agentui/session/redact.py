"""Takes secrets and home paths out of text that is to be shown to others, and counts what it took."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

HOME = "home path"
NAMED = "value named as a secret"

# Forms in which well-known services write their keys.
_SECRETS: tuple[tuple[str, str], ...] = (
    (
        "private key",
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[\s\S]*?"
        r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)|\bAGE-SECRET-KEY-1[A-Z0-9]{50,60}"
        r"|\bPuTTY-User-Key-File-\d:[\s\S]*?(?:\bPrivate-MAC:[^\n]{0,200}|\Z)",
    ),
    ("password hash", r"\$(?:1|2[abxy]?|5|6|7|y|gy|apr1|scrypt|argon2(?:id|i|d))\$[A-Za-z0-9./+=,$-]{10,500}"),
    ("GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_[A-Za-z0-9_]{20,255})"),
    ("GitLab token", r"\bgl(?:pat|dt|rt|ptt|cbt|soat|ft|imt|agent|oas)-[A-Za-z0-9_-]{16,255}"),
    (
        "Slack token",
        r"\b(?:xox[abceoprs]|xapp)-[A-Za-z0-9-]{10,255}|\bhooks\.slack\.com/services/[A-Za-z0-9/]{20,100}",
    ),
    ("AWS key", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    (
        "Google key",
        r"\bAIza[0-9A-Za-z_-]{35}|\bya29\.[0-9A-Za-z_-]{20,2000}|\bGOCSPX-[0-9A-Za-z_-]{20,40}"
        r"|\b1//0[0-9A-Za-z_-]{30,200}",
    ),
    ("Hugging Face token", r"\bhf_[A-Za-z0-9]{20,255}"),
    ("npm token", r"\bnpm_[A-Za-z0-9]{30,255}"),
    ("PyPI token", r"\bpypi-[A-Za-z0-9_-]{30,1000}"),
    ("Stripe key", r"\b(?:[srp]k_(?:live|test)_|whsec_)[A-Za-z0-9+/]{16,255}"),
    ("LM Studio token", r"\bsk-lm-[A-Za-z0-9]{4,40}(?::|%3[aA])[A-Za-z0-9]{8,80}"),
    ("API key", r"\bsk-[A-Za-z0-9_-]{16,255}"),
    ("web token", r"\beyJ[A-Za-z0-9_-]{8,2000}\.[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{8,2000}"),
    (
        "service token",
        r"\b(?:SG\.[A-Za-z0-9_-]{16,40}\.[A-Za-z0-9_-]{16,80}"  # SendGrid
        r"|\d{8,10}:AA[A-Za-z0-9_-]{33}"  # Telegram
        r"|discord(?:app)?\.com/api/webhooks/\d{10,25}/[A-Za-z0-9_-]{20,100}"
        r"|do[opr]_v1_[a-f0-9]{40,64}|dapi[a-f0-9]{32}|hv[sbr]\.[A-Za-z0-9_-]{20,200}"
        r"|shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32}|sq0(?:atp|csp)-[A-Za-z0-9_-]{20,50}|SK[a-f0-9]{32}"
        r"|key-[a-f0-9]{32}|[a-f0-9]{32}-us\d{1,2}|pul-[a-f0-9]{40}|rubygems_[a-f0-9]{48}"
        r"|nfp_[A-Za-z0-9]{30,60}|\bfm[12][ar]?_[A-Za-z0-9+/=,_-]{30,2000}|EAACEdEose0cBA[A-Za-z0-9]{20,400}"
        r"|(?:gsk|r8|sbp|figd|ntn|secret|glsa|glc|sntrys|lin_api|dckr_pat|pscale_tkn|jina|ATATT3x|ATCTT3x)_?"
        r"[A-Za-z0-9+/=_-]{30,500}"
        r"|(?:xai|pplx|nvapi|tvly|tskey|PMAK|NRAK|HRKU)-[A-Za-z0-9-]{20,200})",
    ),
)
_PATTERNS = tuple((kind, re.compile(pattern)) for kind, pattern in _SECRETS)
# After a space a word of small letters alone is one of a sentence: "basic understanding".
_BEARER = re.compile(
    r"((?:\b|%20)(?i:bearer|basic))(\s+(?![a-z]+(?![A-Za-z0-9+/_.=~-]))|%20|\+)([A-Za-z0-9+/_.=~-]{12,})"
)
_HEADER = re.compile(
    r"(?i)(\bauthorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:[a-z]{2,20}[ ])?)([^\s\"',\[(]{8,2000})"
    r"|(cookie:\s{1,3})([^\s=;\[]{1,100}=[^\n\"']{4,4000})"
)
_URL_PASSWORD = re.compile(r"(://)(?:([^\s/:@]{0,200}:)[^\s/\[]{1,200}|[^\s/:@\[]{20,255})(@)")
_URL_ENCODED_PASSWORD = re.compile(
    r"(%3[aA](?://|%2[fF]%2[fF])(?:(?!%3[aA])[^\s/:@]){0,200}%3[aA])((?:(?!%40)[^\s/\[]){1,200})(%40)"
)
_SIGNED_URL = re.compile(
    r"([?&](?:sig|X-Amz-Signature|X-Goog-Signature|X-Amz-Security-Token)=)([^\s&\"'\[]{16,2000})"
)
_DOCKER_AUTH = re.compile(r"(\\{0,7}\"auth\\{0,7}\"\s{0,3}:\s{0,3}\\{0,7}\")([A-Za-z0-9+/=]{12,4000})")
# The end of a name whose value is not for others, in code, settings or JSON. Names begin anywhere, so a
# search from their beginning would be slow.
_NAME = (
    r"(?:passw(?:or)?d|passphrase|secret(?:[_-]?key)?|token|(?:api|access|account|private|signing|encryption|master"
    r"|auth|license|subscription)[_-]?key|[_-](?:pass|pwd|pw|psk)|\bpsk|credentials?)"
    r"(?:[_-]?(?:base|base64|hash|prod|dev|test|live|old|new|[0-9]{1,3}))?"
)
# Names and values may stand in JSON that stands in JSON, or in a URL.
_IS = r"(?:\\{0,7}[\"'])?\s{0,3}(?:[=:]|%3[dDaA]|\bvalue=)\s{0,3}"
_QUOTED = re.compile(rf"(?i)((?:{_NAME}|\bpass|\bpw){_IS}(\\{{0,7}}[\"']))((?:(?!\2)[^\n]){{4,500}})(\2)")
_ELEMENT = re.compile(rf"(?i)(<[\w.:-]{{0,60}}{_NAME}>)([^<>\n]{{4,500}})(?=</)")
_BARE = re.compile(
    rf"(?i)({_NAME}{_IS}"
    r"|--(?:password|passwd|passphrase|token|api-?key|secret|access-?key|auth-?token|client-?secret)\s{1,3}"
    rf"|\b(?:setx?|ENV|ARG)\s{{1,3}}(?:-[a-z]{{1,3}}\s{{1,3}})?\w{{0,60}}{_NAME}\s{{1,3}}"
    r"|(?<![\w-])_auth\s{0,3}=\s{0,3}|\s-pass(?:in|out)?\s{1,3}pass:"
    r"|\bhtpasswd\s{1,3}-\w{0,5}b\w{0,5}(?:\s{1,3}[^\s-]\S{0,100}){2}\s{1,3}"
    r"|\bpwd\s{0,3}=\s{0,3}(?![/~.\\]|[a-z]:)"
    r"|\b(?:mysql|mariadb)[a-z]{0,10}\s[^\n]{0,200}?-p(?=[^\s-])"
    r"|\b(?:docker|podman|helm)\s[^\n]{0,80}?login\s[^\n]{0,200}?-p\s{1,3}"
    r"|\bcurl\b[^\n]{0,200}?\s(?:-u|--user)[ =]?[\"']?[^\s:\"'\[]{1,100}:"
    r"|\bsshpass\s{1,3}-p\s{0,3}|\blogin\s{1,3}[^\s\[]{1,100}\s{1,3}password\s{1,3})"
    r"((?:[^\s\"'`,;&(){}\[\]<>$%\\]|%(?!2[0267cC]|3[bB])|\\(?![\\\"'nrt])){6,500}+)(?![\w(\[])"
)
# No secrets but code: a type, a constant, the name of something that holds the value.
_CODE = re.compile(
    r"(?i)(?:option(?:al)?|string|boolean|number|undefined|secretstr|pathbuf|(?:[a-z_]+\.)+[a-z_]+"
    r"|expected|required|enabled|disabled|missing|invalid|include|same-origin"
    r"|</?[\w|.-]{1,60}>|\[(?-i:[A-Z_]{2,20})\])"  # tokens of a model's vocabulary
)
# A path's separators also as JSON in JSON writes them, and as a URL does.
_SLASH = r"(?:\\{0,7}/|%2[fF])"
_ANY_SLASH = r"(?:\\{0,7}/|\\{1,8}|%2[fF]|%5[cC])"
_USER = r"(?:(?!%2[fF]|%5[cC]|%2[02])[^/\\\s\"'`:<>,;|()\[\]{}?#&*!]){1,100}"
_HOMES = re.compile(
    rf"{_SLASH}(?:Users|home){_SLASH}{_USER}"
    rf"|(?<![\w.~-]){_SLASH}root(?=$|[^\w.~-])"
    rf"|(?:\b[A-Za-z](?::|%3[aA])|\\{{2,8}}[\w.-]{{1,100}}){_ANY_SLASH}(?i:users){_ANY_SLASH}{_USER}"
)


def _home_pattern(home: str) -> re.Pattern[str] | None:
    """The user's own home, also as a folder's name is made of it (``-home-ann``)."""
    parts = [part for part in home.replace("\\", "/").split("/") if part]
    if not parts:
        return None
    written = [f"(?:{re.escape(part)}|{re.escape(quote(part))})" for part in parts]
    start = "" if re.fullmatch("[A-Za-z]:", parts[0]) else _ANY_SLASH
    as_path, as_name = start + _ANY_SLASH.join(written), "-" + "-".join(map(re.escape, parts))
    return re.compile(rf"(?:{as_path}(?![A-Za-z0-9._-])|(?<![\w-]){as_name}(?![A-Za-z0-9_]))")


class Redactor:
    """Replaces what should not leave the machine; `counts` says how many of which kind. One per export.

    Args:
        home: The user's home folder; others' homes are taken out by their usual form.
        secrets: Further texts that must not appear, such as the server's key.
    """

    def __init__(self, home: str = "", secrets: tuple[str, ...] = ()) -> None:
        self.counts: Counter[str] = Counter()
        self._home = _home_pattern(home)
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
        text = self._replace(_HEADER, r"\1\3[redacted: credentials]", text, "credentials")
        text = self._replace(_URL_PASSWORD, r"\1\2[redacted]\3", text, "password in a URL")
        text = self._replace(_URL_ENCODED_PASSWORD, r"\1[redacted]\3", text, "password in a URL")
        text = self._replace(_DOCKER_AUTH, r"\1[redacted: credentials]", text, "credentials")
        text = self._replace(_SIGNED_URL, r"\1[redacted: signature]", text, "signature of a URL")
        text = self._replace(_QUOTED, _without_value, text, NAMED)
        text = self._replace(_ELEMENT, _without_value, text, NAMED)
        text = self._replace(_BARE, _without_value, text, NAMED)
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

    def _replace(
        self, pattern: re.Pattern[str], by: str | Callable[[re.Match[str]], str], text: str, kind: str
    ) -> str:
        found = 0

        def changed(match: re.Match[str]) -> str:
            nonlocal found
            new = match.expand(by) if isinstance(by, str) else by(match)
            found += new != match[0]
            return new

        text = pattern.sub(changed, text)
        if found:
            self.counts[kind] += found
        return text


def _without_value(match: re.Match[str]) -> str:
    """What `_QUOTED`, `_ELEMENT` or `_BARE` found without its value; as it is where that is gone, or code."""
    is_quoted = match.re is _QUOTED
    value = match[3] if is_quoted else match[2]
    is_itself = not is_quoted and match[1].startswith(f"{value}=")  # f(password=password)
    if value.startswith(("[redacted", "$")) or is_itself or _CODE.fullmatch(value):
        return match[0]
    return f"{match[1]}[redacted: value]{match[4] if is_quoted else ''}"
