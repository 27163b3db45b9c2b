"""The cleaning border for untrusted text, and figures in human units.

Whatever a model, a command or a file name says may hold terminal control. Neither Textual nor Rich takes it
out, so the view, the printers and the exporters call `clean` once, where the text enters them.
"""

from __future__ import annotations

import re

REPLACEMENT = "\ufffd"
HOLD_LIMIT_CHARS = 4096
"""Longest unfinished sequence that a stream holds back; longer ones are shown as text."""

# Sequences as in ECMA-48 section 5 and 8.3, in their 7-bit and 8-bit forms. An OSC may also end with BEL, as
# xterm does it. Payloads stop at the next ESC or C1 control, which also keeps the search linear.
_SEQUENCES = re.compile(
    r"(?:\x1b\]|\x9d)[^\x07\x1b\x80-\x9f\n]*(?:\x07|\x1b\\|\x9c)"
    r"|(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x80-\x9f]*(?:\x1b\\|\x9c)"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|\x1b[ -/]*[0-~]"
)
_UNFINISHED = re.compile(
    r"(?:(?:\x1b\]|\x9d)[^\x07\x1b\x80-\x9f\n]*\x1b?"
    r"|(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x80-\x9f]*\x1b?"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*"
    r"|\x1b[ -/]*"
    r"|\r)\Z"
)
_LINE_ENDS = re.compile("\r\n?|[\u2028\u2029]")
# C0 without newline and tab, DEL, C1, marks and overrides of writing direction, BOM, lone surrogates (they
# cannot be encoded), and the invisible tag characters that hide text from a reader.
_FORBIDDEN = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
    "\U000e0000-\U000e007f"
)
_CONTROL = re.compile(f"[{_FORBIDDEN}]")
_SUSPECT = re.compile(f"[{_FORBIDDEN}\u2028\u2029]")


def clean(text: str) -> str:
    """`text` without anything that a terminal would act on; newlines and tabs stay.

    Complete escape sequences vanish, line ends become newlines, what is left of control becomes U+FFFD.
    Linear in the length of `text`.
    """
    if _SUSPECT.search(text) is None:
        return text
    text = _SEQUENCES.sub("", text)
    text = _LINE_ENDS.sub("\n", text)
    return _CONTROL.sub(REPLACEMENT, text)


def whole(text: str) -> str:
    """A text that can be written as UTF-8: halves of characters become one, or U+FFFD; all else stays.

    JSON allows such halves, and Python makes them of bytes in arguments and file names that are no text.
    """
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def clean_line(text: str) -> str:
    """`text` cleaned and on one line: line breaks and tabs become single spaces."""
    return " ".join(clean(text).split())


class CleanStream:
    """Cleans text that comes in pieces, so that any cutting gives what `clean` gives for the whole."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """What can be shown after `text` arrived; holds back a sequence that may still be unfinished."""
        text = self._held + text if self._held else text
        self._held = ""
        if _SUSPECT.search(text) is None:
            return text
        start = _unfinished_start(text)
        if start is None:
            return clean(text)
        self._held = text[start:]
        return clean(text[:start])

    def close(self) -> str:
        """What was still held back, cleaned; the stream is then as new."""
        text, self._held = self._held, ""
        return clean(text)


def _unfinished_start(text: str) -> int | None:
    """Where an unfinished sequence at the end of `text` begins, if there is one."""
    if text.endswith("\r"):
        return len(text) - 1
    # Finished sequences are skipped one by one: an ESC inside the end mark of one does not start another.
    floor = max(0, len(text) - HOLD_LIMIT_CHARS)
    position = 0
    while (match := _INTRODUCER.search(text, position)) is not None:
        start = match.start()
        if (whole := _SEQUENCES.match(text, start)) is not None and not _may_grow(text, whole):
            position = whole.end()
        elif start >= floor and _UNFINISHED.match(text, start) is not None:
            return start
        else:
            position = start + 1
    return None


_INTRODUCER = re.compile("[\x1b\x90\x98\x9b\x9d-\x9f]")


def _may_grow(text: str, whole: re.Match[str]) -> bool:
    """True when `whole` is only the first two bytes of a longer sequence that has not ended yet."""
    is_string_start = whole.end() - whole.start() == 2 and text[whole.end() - 1] in "]PX^_["
    return is_string_start and _UNFINISHED.match(text, whole.start()) is not None


# --- human units ---------------------------------------------------------------------------------

UNKNOWN = "?"
GIB = 1024**3
MIB = 1024**2


def human_gib(size_bytes: int | None, digits: int = 1) -> str:
    """A size in GiB without its unit, ``?`` for unknown."""
    return UNKNOWN if size_bytes is None else f"{size_bytes / GIB:.{digits}f}"


def human_bytes(size_bytes: int | None) -> str:
    """A size in binary units, three digits before the point at most: ``15.6 GiB``, ``92 MiB``, ``812 B``."""
    if size_bytes is None:
        return UNKNOWN
    if abs(size_bytes) < 1024:
        return f"{size_bytes} B"
    value = float(size_bytes)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        value /= 1024
        if abs(value) < 999.5 or unit == "TiB":
            break
    digits = (
        2 if unit == "GiB" and abs(value) < 9.995 else 1 if unit in ("GiB", "TiB") or abs(value) < 9.95 else 0
    )
    return f"{value:.{digits}f} {unit}"


def human_copy_size(size_bytes: int) -> str:
    """A size in decimal units, as the limit for copying is given: ``1,234 MB``, ``3.2 MB``, ``12 kB``."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    if size_bytes < 999_500:
        return f"{size_bytes / 1e3:.0f} kB"
    return f"{size_bytes / 1e6:,.{1 if size_bytes < 9_950_000 else 0}f} MB"


def human_tokens(tokens: int | None) -> str:
    """A count of tokens: ``312``, ``12.4k``, ``131k``, ``1.2M``; ``?`` for unknown."""
    if tokens is None:
        return UNKNOWN
    if abs(tokens) < 1000:
        return str(tokens)
    if abs(tokens) < 99_950:
        return f"{tokens / 1000:.1f}k"
    if abs(tokens) < 999_500:
        return f"{tokens / 1000:.0f}k"
    return f"{tokens / 1_000_000:.1f}M"


def human_context(tokens: int | None) -> str:
    """A context length as servers name it: multiples of 1024 as ``64k``, others as `human_tokens`."""
    if tokens is not None and tokens >= 1024 and tokens % 1024 == 0:
        return f"{tokens // 1024}k"
    return human_tokens(tokens)


def human_duration(seconds: float | None) -> str:
    """A duration: ``0.1 s``, ``42 s``, ``4 min 12 s``, ``1 h 04 min``; ``?`` for unknown."""
    if seconds is None:
        return UNKNOWN
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def human_rate(tok_per_s: float | None) -> str:
    """A speed in tokens per second without its unit: ``42.3``, ``812``; ``?`` for unknown."""
    if tok_per_s is None:
        return UNKNOWN
    return f"{tok_per_s:.1f}" if tok_per_s < 99.95 else f"{tok_per_s:.0f}"


def human_percent(ratio: float | None) -> str:
    """A ratio as whole per cent: ``19 %``; ``?`` for unknown."""
    return UNKNOWN if ratio is None else f"{ratio * 100:.0f} %"


def plural(count: int, noun: str) -> str:
    """``1 file``, ``6 files``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def clock_time(seconds: float) -> str:
    """A time since the beginning: ``0:07``, ``12:30``, ``1:02:30``."""
    whole = max(0, int(seconds))
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0}
_CLOCK_TIME = re.compile(r"(?:(?:(\d{1,4}):)?(\d{1,4}):)?(\d{1,7}(?:\.\d{1,6})?)")


def read_clock_time(text: str) -> float:
    """Seconds of a time as `clock_time` writes it, or as ``90``, ``90s``, ``5m``, ``1.5h``.

    Raises:
        ValueError: If it is none of these.
    """
    typed = text.strip().lower()
    unit_s = _UNIT_S.get(typed[-1:])
    match = _CLOCK_TIME.fullmatch(typed[:-1].rstrip() if unit_s else typed)
    if match is None or (unit_s and match[2]):
        raise ValueError(f"{text!r} is no time")
    return (int(match[1] or 0) * 3600 + int(match[2] or 0) * 60 + float(match[3])) * (unit_s or 1.0)
