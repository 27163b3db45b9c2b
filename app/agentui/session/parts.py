"""A journal in parts: full ones are closed and compressed, so that a long session stays small.

``journal.jsonl`` is the part that is written. Full, it becomes ``journal-000001.jsonl`` by a rename and then,
in the background, ``journal-000001.jsonl.gz``; the plain file goes when the compressed one is safely on the
disk. A crash at any moment leaves each part plain, compressed, or both. Compressed parts are usual gzip of
several members, so that a damaged place costs one member and not the rest.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PART_BYTES = 8 << 20
"""A part is closed when it is longer than this."""

MEMBER_BYTES = 512 << 10
"""Text in a member of a compressed part; 1 % longer than in one member, and read for itself."""

# Of a gzip member as written here: deflate, no name, no time, unknown system.
_HEADER = bytes.fromhex("1f8b08000000000000ff")


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive bytes of a journal; `lost` says why bytes before them are missing."""

    file: str
    content: bytes
    lost: str = ""


def closed_parts(journal: Path) -> list[Path]:
    """The closed parts of a journal, oldest first; of one that is there twice the plain one."""
    name = re.compile(re.escape(journal.stem) + r"-(\d{6,})\.jsonl(\.gz)?")
    found: dict[int, Path] = {}
    try:
        entries = sorted(os.listdir(journal.parent))  # the plain name sorts before the one with .gz
    except OSError:
        return []
    for entry in entries:
        if match := name.fullmatch(entry):
            found.setdefault(int(match[1]), journal.parent / entry)
    return [found[number] for number in sorted(found)]


def all_parts(journal: Path) -> list[Path]:
    """All files of a journal, oldest first; the one that is written is the last."""
    return [*closed_parts(journal), *([journal] if journal.exists() else [])]


def size_bytes(journal: Path) -> int:
    """What the journal takes on the disk, all parts together."""
    total = 0
    for part in all_parts(journal):
        try:
            total += part.stat().st_size
        except OSError:
            continue
    return total


def part_path(journal: Path, number: int) -> Path:
    """Where the closed part `number` lies before it is compressed."""
    return journal.parent / f"{journal.stem}-{number:06d}.jsonl"


def next_number(journal: Path) -> int:
    """The number for the next part to be closed."""
    closed = closed_parts(journal)
    return 1 if not closed else int(closed[-1].name.removesuffix(".gz")[len(journal.stem) + 1 : -6]) + 1


def compressed(content: bytes) -> bytes:
    """`content` as gzip, in members that begin at line starts."""
    members: list[bytes] = []
    start = 0
    while start < len(content):
        end = content.find(b"\n", min(start + MEMBER_BYTES, len(content))) + 1 or len(content)
        piece = content[start:end]
        deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        body = deflate.compress(piece) + deflate.flush()
        tail = zlib.crc32(piece).to_bytes(4, "little") + (len(piece) & 0xFFFFFFFF).to_bytes(4, "little")
        members.append(_HEADER + body + tail)
        start = end
    return b"".join(members)


def compress_part(plain: Path) -> None:
    """Put ``….jsonl.gz`` in the place of a closed part. Blocks: some 0.3 s for 8 MiB.

    Raises:
        OSError: If it cannot be written; the plain part is then still there.
    """
    packed = plain.with_name(plain.name + ".gz")
    draft = plain.with_name(plain.name + ".gz.new")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        rest = memoryview(compressed(plain.read_bytes()))
        while rest:
            rest = rest[os.write(fd, rest) :]
        os.fsync(fd)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
    os.replace(draft, packed)
    sync_folder(plain.parent)
    plain.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Bring renames in a folder to the disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read_blocks(part: Path) -> Iterator[Block]:
    """The bytes of one part, block by block; what cannot be unpacked is left out and told.

    Raises:
        OSError: If the file cannot be read.
    """
    content = part.read_bytes()
    if part.suffix != ".gz":
        yield Block(part.name, content)
        return
    at, lost = 0, ""
    while at < len(content):
        found = content.find(_HEADER, at)
        if found < 0:
            break
        if found > at:
            lost = lost or f"{found - at} compressed bytes are damaged"
        text, used, is_whole = _member(content, found)
        if is_whole:
            yield Block(part.name, text, lost)
            lost, at = "", found + used
        else:
            if text:
                yield Block(part.name, text[: text.rfind(b"\n") + 1], lost)
            lost, at = "a compressed block is damaged; what could not be unpacked is left out", found + 10
    if at < len(content) or lost:
        yield Block(part.name, b"", lost or f"{len(content) - at} compressed bytes are damaged")


def _member(content: bytes, start: int) -> tuple[bytes, int, bool]:
    """The text of the member at `start`, its length in the file, and whether its checksum fits."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    packed = content[start + len(_HEADER) :]
    try:
        text = inflate.decompress(packed)
    except zlib.error:
        return _readable(packed), 0, False
    used = len(_HEADER) + len(packed) - len(inflate.unused_data)
    tail = content[start + used : start + used + 8]
    is_whole = inflate.eof and tail[:4] == zlib.crc32(text).to_bytes(4, "little")
    return text, used + 8, is_whole


def _readable(packed: bytes) -> bytes:
    """What of a damaged member can be unpacked before the damage."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    texts: list[bytes] = []
    try:
        for at in range(0, len(packed), 4096):
            texts.append(inflate.decompress(packed[at : at + 4096]))
    except zlib.error:
        pass
    return b"".join(texts)
