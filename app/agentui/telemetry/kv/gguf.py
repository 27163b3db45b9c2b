"""Reads the metadata of a GGUF file, and nothing else of it.

The header is `magic, version, tensor count, entry count` and then key, type, value for each entry, all little
endian, as the GGUF specification of ggml-org/ggml has it. Files come from strangers: every length is checked
against what is left of the file, what is kept is bounded, and large arrays (the vocabulary) are passed over.
"""

from __future__ import annotations

import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from agentui.errors import ModelFileError

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_STRING, _ARRAY, _BOOL = 8, 9, 7
_SCALARS: dict[int, struct.Struct] = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<B"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")

MAX_ENTRIES = 65_536
MAX_KEY_BYTES = 65_535
MAX_KEPT_STRING_BYTES = 1 << 20
MAX_KEPT_ARRAY = 4096
MAX_KEPT_BYTES = 16 << 20
"""Rough size in memory of everything that is kept, objects included."""
MAX_STRINGS = 4_000_000
"""Strings in all arrays together; the largest vocabularies with their merges have fewer than one million."""
_SKIP_BLOCK_BYTES = 256 << 10
_SMALLEST_ENTRY_BYTES = 8 + 4 + 1
_OBJECT_BYTES = 64


@dataclass(frozen=True, slots=True)
class SkippedValue:
    """Stands for a value that was passed over: `count` elements of an array, or bytes of a string."""

    count: int


def is_gguf(path: Path) -> bool:
    """Whether a regular file starts like a GGUF file, whatever its name (Ollama's have none)."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(4) == MAGIC
    except OSError:
        return False


def read_gguf_metadata(path: str | os.PathLike[str]) -> dict[str, object]:
    """Read all metadata of a GGUF file (version 2 or 3), complete or cut after its header.

    Numbers, booleans and strings become Python values, arrays become lists. Arrays of more than 4096 numbers
    or 64 strings and strings over 1 MiB are passed over and stand as `SkippedValue`. Of a split file pass the
    first part. Blocks while reading; takes time for the whole header (typically 5-15 MB) and at most some 16
    MiB.

    Raises:
        ModelFileError: The file cannot be read, is not GGUF, or contradicts itself.
    """
    location = Path(path)
    try:
        mode = location.stat().st_mode
        if not stat.S_ISREG(mode):
            raise ModelFileError(f"{location} is not a regular file", hint="pass the path of a .gguf file")
        with location.open("rb") as file:
            return _Reader(file, str(location)).metadata()
    except OSError as error:
        raise ModelFileError(
            f"cannot read {location}: {error.strerror or error}", hint="check the path and its permissions"
        ) from error
    except ValueError as error:
        raise ModelFileError(f"{str(location)!r} is not a usable path: {error}") from error


class _Reader:
    """One pass over one header."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._left = os.fstat(file.fileno()).st_size
        self._kept = 0
        self._strings = 0

    def metadata(self) -> dict[str, object]:
        if self._left < 4 or self._take(4) != MAGIC:
            raise ModelFileError(f"{self._name} is not a GGUF file", hint="pass a .gguf file or a config.json")
        self._check_version(self._number(_U32))
        self._number(_U64)
        entries = self._number(_U64)
        if entries > MAX_ENTRIES or entries * _SMALLEST_ENTRY_BYTES > self._left:
            raise self._broken(f"it claims {entries} metadata entries")
        found: dict[str, object] = {}
        for _ in range(entries):
            key = self._key()
            if key in found:
                raise self._broken(f"the key {key!r} appears twice")
            found[key] = self._value(self._number(_U32), key)
        return found

    def _check_version(self, version: int) -> None:
        if version in _VERSIONS:
            return
        if int.from_bytes(version.to_bytes(4, "little"), "big") in _VERSIONS:
            raise ModelFileError(
                f"{self._name} is a big-endian GGUF file", hint="get the little-endian file of this model"
            )
        raise ModelFileError(
            f"{self._name} is GGUF version {version}; versions 2 and 3 can be read",
            hint="convert the model again with a current llama.cpp",
        )

    def _key(self) -> str:
        length = self._number(_U64)
        if length > MAX_KEY_BYTES:
            raise self._broken(f"a key is {length} bytes long")
        return self._keep(length).decode("utf-8", errors="replace")

    def _value(self, kind: int, key: str) -> object:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            return self._array(key)
        return self._scalar(kind, key)

    def _scalar(self, kind: int, key: str) -> object:
        layout = _SCALARS.get(kind)
        if layout is None:
            raise self._broken(f"the value of {key!r} has the unknown type {kind}")
        number = layout.unpack(self._take(layout.size))[0]
        return bool(number) if kind == _BOOL else number

    def _string(self) -> str | SkippedValue:
        length = self._number(_U64)
        if length > MAX_KEPT_STRING_BYTES:
            self._skip(length)
            return SkippedValue(length)
        return self._keep(length).decode("utf-8", errors="replace")

    def _array(self, key: str) -> object:
        kind, count = self._number(_U32), self._number(_U64)
        if kind == _ARRAY:
            raise self._broken(f"the array {key!r} holds arrays, which no engine reads")
        if kind == _STRING:
            return self._strings_array(count, key)
        layout = _SCALARS.get(kind)
        if layout is None:
            raise self._broken(f"the array {key!r} has elements of the unknown type {kind}")
        size = count * layout.size
        if size > self._left:
            raise self._broken(f"the array {key!r} claims {count} elements")
        if count > MAX_KEPT_ARRAY:
            self._skip(size)
            return SkippedValue(count)
        self._note_kept(count * _OBJECT_BYTES)
        numbers = [item[0] for item in layout.iter_unpack(self._take(size))]
        return [bool(number) for number in numbers] if kind == _BOOL else numbers

    def _strings_array(self, count: int, key: str) -> object:
        self._strings += count
        if count * 8 > self._left or self._strings > MAX_STRINGS:
            raise self._broken(f"the array {key!r} claims {count} strings")
        if count > 64:
            self._skip_strings(count)
            return SkippedValue(count)
        return [self._string() for _ in range(count)]

    def _skip_strings(self, count: int) -> None:
        """Pass over strings in large blocks: one read per string would take a second for a vocabulary."""
        block, position = b"", 0
        while count:
            if position + 8 > len(block):
                block = block[position:] + self._take(min(self._left, _SKIP_BLOCK_BYTES))
                position = 0
                if len(block) < 8:
                    raise self._cut()
            position += 8 + _U64.unpack_from(block, position)[0]
            count -= 1
            if position > len(block):
                self._skip(position - len(block))
                block, position = b"", 0
        unread = len(block) - position
        self._file.seek(-unread, os.SEEK_CUR)
        self._left += unread

    def _number(self, layout: struct.Struct) -> int:
        number: int = layout.unpack(self._take(layout.size))[0]
        return number

    def _keep(self, size: int) -> bytes:
        self._note_kept(2 * size + _OBJECT_BYTES)
        return self._take(size)

    def _note_kept(self, size: int) -> None:
        self._kept += size
        if self._kept > MAX_KEPT_BYTES:
            raise self._broken("its metadata is larger than any model's")

    def _take(self, size: int) -> bytes:
        if size > self._left:
            raise self._cut()
        data = self._file.read(size)
        if len(data) != size:
            raise self._cut()
        self._left -= size
        return data

    def _skip(self, size: int) -> None:
        if size > self._left:
            raise self._cut()
        self._file.seek(size, os.SEEK_CUR)
        self._left -= size

    def _cut(self) -> ModelFileError:
        return self._broken("it ends within its header")

    def _broken(self, what: str) -> ModelFileError:
        return ModelFileError(
            f"{self._name} is damaged or hostile: {what}", hint="download the model again, or use another copy"
        )
