"""What bytes hold besides themselves: packed and encoded pieces, and the texts in all of them."""

from __future__ import annotations

import base64
import binascii
import bz2
import html
import lzma
import re
import sqlite3
import urllib.parse
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from isohash.sources.identity.reads import is_written
from isohash.sources.identity.spellings import composed_text

DEEPEST = 4  # layers within layers
INFLATED = 1 << 26  # bytes of a packed piece that are looked at
SHORT = 64  # letters of a packed text too short to be judged by its letters
LEAST_INFLATED = 2  # bytes
TEXT_RUN = 8  # printable bytes in a row that make a text amid other bytes

_PNG_TEXT = re.compile(rb"(\0..[^\0]|\0\0.[^\0]|\0\0\0.)(?:tEXt|iTXt|eXIf)", re.DOTALL)
_ZIPPED = re.compile(rb"PK\x03\x04.{4}\x08\x00.{16}(..)(..)", re.DOTALL)
_ZLIB = re.compile(rb"[\x08\x18(8HXhx](?=.)|\x1f(?=\x8b)", re.DOTALL)
_OTHERS: tuple[
    tuple[re.Pattern[bytes], Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]], ...
] = (
    (re.compile(rb"BZh[1-9]1AY&SY"), bz2.BZ2Decompressor),
    (re.compile(rb"\xfd7zXZ\x00"), lzma.LZMADecompressor),
)
_BASE64 = re.compile(
    rb"(?:[A-Za-z0-9+/_-]{4}(?:\\n|\\r\\n|\r?\n[ \t]*)?){2,}[A-Za-z0-9+/_-]{0,3}={0,2}"
)
_BREAKS = re.compile(rb"\\r|\\n|\s")
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}[ :-]?){4,}[0-9a-fA-F]?")
_JOINT = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_LETTER = np.zeros(256, dtype=bool)
_LETTER[[9, 10, 13, *range(0x20, 0x7F)]] = True
LEAST_LETTERS = 4  # in a row, of the pieces that a run is joined from
LEAST_WIDE = 3  # letters of two or four bytes in a row
_WIDE_LETTER = _LETTER.copy()
_WIDE_LETTER[0xC0:] = True
_WIDE = {  # where in a letter its bytes stand, the least first
    "utf-16-le": (0, 1),
    "utf-16-be": (1, 0),
    "utf-32-le": (0, 1, 2, 3),
    "utf-32-be": (3, 2, 1, 0),
}
_SQLITE = b"SQLite format 3\0"


class Text(NamedTuple):
    """A text, the byte at which it begins, and whether it was written, not letters by chance."""

    text: str
    start: int
    is_written: bool
    n_bytes: int = 0


@dataclass(frozen=True)
class Layer:
    """Bytes, and where in them printable letters follow each other."""

    data: bytes
    is_sure: bool = False  # packed with a checksum that is right, so that it is no chance
    is_file: bool = False  # or a name
    is_cut: bool = False  # packed, and only its first `INFLATED` bytes are here

    @cached_property
    def text_runs(self) -> list[tuple[int, int]]:
        """(first, end) of the runs that make a text."""
        return list(_text_runs(self.data))


def layers(layer: Layer, depth: int = DEEPEST) -> Iterator[tuple[int, Layer]]:
    """The layer and whatever is packed or encoded in it, with the offset where that begins."""
    yield 0, layer
    if depth:
        for at, inner in chain(_packed(layer.data), _decoded(layer)):
            for _, deeper in layers(inner, depth - 1):
                yield at, deeper


def texts(layer: Layer) -> Iterator[Text]:
    """The texts in the bytes: all of them if they are one, else the runs that are."""
    data = layer.data
    with suppress(UnicodeDecodeError):
        whole = data.decode()
        if not _CONTROLS.search(whole):
            yield from _unescaped(Text(whole, 0, _is_written(layer, whole), len(data)))
            return
    if not re.search(rb"[\x00-\x08\x0e-\x1f\x7f-\x9f]", data):
        whole = data.decode("latin-1")
        yield from _unescaped(Text(whole, 0, _is_written(layer, whole), len(data)))
    for start, end in layer.text_runs:
        run = data[start:end].decode("utf-8", "replace")
        yield from _unescaped(Text(run, start, is_written(run), end - start))


def _is_written(layer: Layer, whole: str) -> bool:
    """Whether the only text of a layer was written: a file's and a short packed one's was."""
    return layer.is_file or (layer.is_sure and len(whole) <= SHORT) or is_written(whole)


_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f]")
_UNICODE = re.compile(r"\\+u([0-9a-fA-F]{4})")
_QUOTED = re.compile(r"(?:=[0-9A-Fa-f]{2})+")


def _unescaped(text: Text) -> Iterator[Text]:
    """The text, and what its escapes and marks stand for where it has some."""
    yield text
    plain = text.text
    if not plain.isascii() and (composed := composed_text(plain)) != plain:
        yield text._replace(text=composed)
    if "\\u" in plain:
        pairs = _UNICODE.sub(lambda found: chr(int(found[1], 16)), plain)
        yield text._replace(
            text=pairs.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        )
    if "&" in plain and (unescaped := html.unescape(plain)) != plain:
        yield text._replace(text=unescaped)
    if "%" in plain and (unquoted := urllib.parse.unquote(plain)) != plain:
        yield text._replace(text=unquoted)
    if _QUOTED.search(plain):
        yield text._replace(
            text=_QUOTED.sub(
                lambda found: bytes.fromhex(found[0].replace("=", "")).decode("utf-8", "replace"),
                plain,
            )
        )


def _packed(data: bytes) -> Iterator[tuple[int, Layer]]:
    view = memoryview(data)
    for at in _zlib_starts(data):
        yield from _inflated(view, at, at, 47)
    for start in _ZIPPED.finditer(data):
        names, extra = (int.from_bytes(part, "little") for part in start.groups())
        yield from _inflated(view, start.start(), start.end() + names + extra, -15)
    for magic, make in _OTHERS:
        for start in magic.finditer(data):
            with suppress(OSError, EOFError, lzma.LZMAError):
                content = make().decompress(data[start.start() :], INFLATED)
                yield start.start(), Layer(content, True, is_cut=len(content) == INFLATED)
    for start in _PNG_TEXT.finditer(data):
        size = int.from_bytes(start[1], "big")
        yield (
            start.start(),
            Layer(data[start.end() : start.end() + size].replace(b"\0", b"\n"), True),
        )
    if data.startswith(_SQLITE):
        yield 0, Layer(_rows(data), True)


def _inflated(view: memoryview, at: int, start: int, wbits: int) -> Iterator[tuple[int, Layer]]:
    inflater = zlib.decompressobj(wbits=wbits)
    with suppress(zlib.error):
        content = inflater.decompress(view[start:], INFLATED)
        if len(content) >= LEAST_INFLATED:
            # at its end a checksum was right
            yield at, Layer(content, inflater.eof, is_cut=len(content) == INFLATED)


def _decoded(layer: Layer) -> Iterator[tuple[int, Layer]]:
    """What wide letters, base64 and hexadecimal digits stand for; of short runs only texts."""
    data = layer.data
    for coding, place in _WIDE.items() if 0 in data or 1 in data else ():
        for start, end in _wide_runs(data, len(place), place.index(0)):
            wide = data[start:end].decode(coding)
            yield start, Layer(wide.encode())
    for start, end in layer.text_runs:
        text = data[start:end]
        for run in _BASE64.finditer(text):
            letters = _BREAKS.sub(b"", run[0]).rstrip(b"=").translate(_STANDARD)
            for skip in range(4 if len(letters) < 4096 else 1):
                content = _unbased(letters[skip:])
                yield from _plausible(start + run.start(), content, len(letters))
        for run in _HEX.finditer(text):
            digits = re.sub(rb"[ :-]", b"", run[0])
            for skip in range(2 if len(digits) < 4096 else 1):
                content = binascii.unhexlify(digits[skip : skip + (len(digits) - skip) // 2 * 2])
                yield from _plausible(start + run.start(), content, len(digits))


def _text_runs(data: bytes) -> Iterator[tuple[int, int]]:
    """Where printable letters follow each other, ASCII with single others between (UTF-8)."""
    first, last = 0, -1
    for start, end in _runs(_LETTER[np.frombuffer(data, np.uint8)], LEAST_LETTERS):
        if last >= 0 and start - last <= 4 and _JOINT.fullmatch(data[last:start]):
            last = end
            continue
        if _is_run(data, first, last):
            yield first, last
        first, last = start, end
    if _is_run(data, first, last):
        yield first, last


def _is_run(data: bytes, first: int, last: int) -> bool:
    """Whether letters are enough to be a text: some that stand between zeros are, too."""
    alone = data[first - 1 : first] == data[last : last + 1] == b"\0"
    return last - first >= (LEAST_LETTERS if alone else TEXT_RUN)


def _wide_runs(data: bytes, width: int, lowest: int) -> Iterator[tuple[int, int]]:
    """Where Latin letters of so many bytes follow each other, byte `lowest` of each the least."""
    array = np.frombuffer(data, np.uint8)
    n = len(array) - width + 1
    if n <= (LEAST_WIDE - 1) * width:
        return
    low = array[lowest : lowest + n]
    others = [array[i : i + n] for i in range(width) if i != lowest]
    next_byte = others[0 if lowest == 0 else -1]
    whole = (_WIDE_LETTER[low] & (next_byte == 0)) | ((low < 0x80) & (next_byte == 1))
    for other in others:
        whole &= (other == 0) if other is not next_byte else True
    several = whole[: n - 2 * width] & whole[width : n - width] & whole[2 * width :]
    end = 0
    for start in np.flatnonzero(several).tolist():
        if start >= end:
            end = start
            while end < n and whole[end]:
                end += width
            yield start, end


def _zlib_starts(data: bytes) -> list[int]:
    """Where a stream of zlib or gzip may begin."""
    heads = (found.start() for found in _ZLIB.finditer(data))
    return [at for at in heads if data[at] == 0x1F or (data[at] << 8 | data[at + 1]) % 31 == 0]


def _runs(mask: NDArray[np.bool_], least: int) -> Iterator[tuple[int, int]]:
    """(first, end) of the runs of True of at least so many."""
    framed = np.zeros(len(mask) + 2, dtype=bool)
    framed[1:-1] = mask
    edges = np.flatnonzero(framed[1:] != framed[:-1])
    starts, ends = edges[::2], edges[1::2]
    long = ends - starts >= least
    yield from zip(starts[long].tolist(), ends[long].tolist(), strict=True)


_STANDARD = bytes.maketrans(b"-_", b"+/")
LONG_RUN = 24  # letters in a row: so many are hardly a text, or encoded, by chance


def _unbased(letters: bytes) -> bytes:
    if len(letters) % 4 == 1:
        letters = letters[:-1]
    return base64.b64decode(letters + b"=" * (-len(letters) % 4))


def _plausible(at: int, content: bytes, n_letters: int) -> Iterator[tuple[int, Layer]]:
    """Decoded bytes, if they are a text, packed, or too many to be a word that looks encoded."""
    if _is_text(content) or n_letters >= LONG_RUN or _is_packed(content):
        yield at, Layer(content)


def _is_packed(content: bytes) -> bool:
    return next(_packed(content), None) is not None


def _is_text(content: bytes) -> bool:
    for coding in ("utf-8", "utf-16-le", "latin-1"):
        with suppress(UnicodeDecodeError):
            text = content.decode(coding)
            letters = sum(one.isalnum() and one < "\u0250" for one in text)
            if text.isprintable() and letters * 2 >= len(text):
                return True
    return False


def _rows(data: bytes) -> bytes:
    """All values of all tables of a database, a line each: its pages cut long ones in pieces."""
    values: list[bytes] = []
    with suppress(sqlite3.Error), closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.deserialize(data)
        connection.execute("PRAGMA query_only=ON")
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type='table'").fetchall()
        for (table,) in tables:
            quoted = table.replace('"', '""')
            for row in connection.execute(f'SELECT * FROM "{quoted}"'):
                values += [one if isinstance(one, bytes) else str(one).encode() for one in row]
    return b"\n".join(values)
