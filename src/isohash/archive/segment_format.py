"""The segment file: immutable, append-only in the archive, every byte under a checksum.

    preamble   magic, format version, header length, body length       24 bytes
               SHA-256 of the preamble and the header                   32 bytes
    header     JSON: sequence, kind, blocks (name, dtype, shape, offset), padded with spaces
    body       blocks, each starting at a multiple of 64 bytes
    footer     CRC-32 of each 256 KiB chunk of the body, then SHA-256 of (header digest, CRCs)

The last 32 bytes are the segment's digest: with the CRCs it vouches for every byte. A reader
checks preamble, header and footer when it opens a segment, and a chunk of the body when rows in
it are first touched, so that one case of a large segment costs one case's chunks. All sizes are
checked against the size of the file before anything is read or mapped.

Block 0 is the segment's content: records of cases (JSON), deleted ids (JSON) or a file's bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from isohash.errors import InputError

MAGIC = b"ISOHSEG\x01"
VERSION = 1
ALIGNMENT = 64
CHUNK = 1 << 18
MAX_HEADER = 1 << 23
MAX_BLOCKS = 1 << 16
KINDS = ("case", "delete", "file", "compact")
DTYPES = {
    np.dtype(code).str: np.dtype(code)
    for code in ("?", "i1", "u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8")
}
CONTENT = "content"

Pieces = Iterable[bytes | memoryview]

PREAMBLE = struct.Struct("<8sIIQ")
DIGEST = hashlib.sha256().digest_size
HEADER_START = PREAMBLE.size + DIGEST


@dataclass(frozen=True)
class Block:
    """One array of a segment: `shape` rows of `dtype` at `offset` bytes into the body."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int

    @property
    def n_bytes(self) -> int:
        """Size of the block, exact for any shape."""
        return self.dtype.itemsize * math.prod(self.shape)


@dataclass(frozen=True)
class Header:
    """What a segment says of itself."""

    sequence: int
    kind: str
    blocks: tuple[Block, ...]
    extra: dict[str, Any]
    body_start: int
    body_size: int

    @property
    def n_chunks(self) -> int:
        """Chunks of the body, the last one possibly short."""
        return -(-self.body_size // CHUNK)


@dataclass(frozen=True)
class Draft:
    """A segment about to be written: one source of pieces per block, in order."""

    sequence: int
    kind: str
    blocks: tuple[Block, ...]
    extra: dict[str, Any]


def lay_out(shapes: Sequence[tuple[str, np.dtype[Any], tuple[int, ...]]]) -> tuple[Block, ...]:
    """Place blocks of the given name, dtype and shape one after the other, aligned."""
    blocks, offset = [], 0
    for name, dtype, shape in shapes:
        block = Block(name, dtype, shape, offset)
        blocks.append(block)
        offset = _aligned(offset + block.n_bytes)
    return tuple(blocks)


def encode(draft: Draft, sources: Sequence[Pieces]) -> Iterator[bytes | bytearray]:
    """The bytes of a segment, piece by piece; the last 32 are its digest."""
    head, header_digest = _encode_header(draft)
    yield head
    crcs: list[int] = []
    for chunk in _chunks(_body(draft.blocks, sources)):
        crcs.append(zlib.crc32(chunk))
        yield chunk
    table = np.array(crcs, dtype="<u4").tobytes()
    yield table + hashlib.sha256(header_digest + table).digest()


def _encode_header(draft: Draft) -> tuple[bytes, bytes]:
    fields = {
        "sequence": draft.sequence,
        "kind": draft.kind,
        **draft.extra,
        "blocks": [[b.name, b.dtype.str, list(b.shape), b.offset] for b in draft.blocks],
    }
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
    text = text.ljust(_aligned(HEADER_START + len(text)) - HEADER_START)
    if len(text) > MAX_HEADER or len(draft.blocks) > MAX_BLOCKS:
        raise InputError(
            f"{len(draft.blocks)} arrays of different names, dtypes and row shapes are more than "
            f"one segment takes ({MAX_BLOCKS}, and {MAX_HEADER} bytes of header); join arrays"
        )
    preamble = PREAMBLE.pack(MAGIC, VERSION, len(text), _body_size(draft.blocks))
    digest = hashlib.sha256(preamble + text).digest()
    return preamble + digest + text, digest


def _body_size(blocks: Sequence[Block]) -> int:
    return blocks[-1].offset + blocks[-1].n_bytes if blocks else 0


def _body(blocks: Sequence[Block], sources: Sequence[Pieces]) -> Iterator[bytes | memoryview]:
    """Blocks in order with zeros between them."""
    written = 0
    for block, source in zip(blocks, sources, strict=True):
        yield bytes(block.offset - written)
        written = block.offset
        for piece in source:
            written += len(piece)
            yield piece
        if written != block.offset + block.n_bytes:
            raise ValueError(f"block {block.name!r} has {written - block.offset} bytes")


def _chunks(pieces: Pieces) -> Iterator[bytearray]:
    """Cut a stream of pieces into chunks of CHUNK bytes, the last one shorter."""
    chunk = bytearray()
    for piece in pieces:
        view = memoryview(piece)
        while view:
            room = CHUNK - len(chunk)
            chunk += view[:room]
            view = view[room:]
            if len(chunk) == CHUNK:
                yield chunk
                chunk = bytearray()
    if chunk:
        yield chunk


def _aligned(n: int) -> int:
    return -(-n // ALIGNMENT) * ALIGNMENT


class Sliced(Protocol):
    """Bytes, or a file, of known length and taken by slices."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> bytes: ...


def parse_header(buffer: Sliced) -> Header:
    """Read and check preamble and header; ValueError says what is wrong.

    Every size is compared with the size of the buffer before it is used.
    """
    size = len(buffer)
    if size < HEADER_START:
        raise ValueError(f"it has {size} bytes, fewer than any segment")
    magic, version, header_size, body_size = PREAMBLE.unpack(buffer[: PREAMBLE.size])
    if magic != MAGIC:
        raise ValueError("it does not start as a segment does")
    body_start = HEADER_START + header_size
    footer_size = 4 * -(-body_size // CHUNK) + DIGEST
    if header_size > MAX_HEADER or body_start + body_size + footer_size != size:
        raise ValueError(f"its {size} bytes are not those its preamble announces")
    text = buffer[HEADER_START:body_start]
    stored = buffer[PREAMBLE.size : HEADER_START]
    if hashlib.sha256(buffer[: PREAMBLE.size] + text).digest() != stored:
        raise ValueError("its header does not match its checksum")
    if version != VERSION:
        raise ValueError(f"it has segment format {version}, this isohash reads {VERSION}")
    try:
        return _parse_fields(json.loads(text), body_start, body_size)
    except (KeyError, TypeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(f"its header cannot be understood ({error})") from None


def _parse_fields(fields: Any, body_start: int, body_size: int) -> Header:
    if not isinstance(fields, dict) or not isinstance(fields["blocks"], list):
        raise ValueError("its header is not an object with blocks")
    extra = {k: v for k, v in fields.items() if k not in ("sequence", "kind", "blocks")}
    sequence, kind = fields["sequence"], fields["kind"]
    if not _is_count(sequence) or kind not in KINDS:
        raise ValueError(f"it is a segment of unknown kind {kind!r} or sequence {sequence!r}")
    if not 1 <= len(fields["blocks"]) <= MAX_BLOCKS:
        raise ValueError(f"it announces {len(fields['blocks'])} blocks")
    blocks, end = [], 0
    for entry in fields["blocks"]:
        block = _parse_block(entry)
        if block.offset != _aligned(end):
            raise ValueError(f"block {block.name!r} overlaps another or leaves a gap")
        end = block.offset + block.n_bytes
        if end > body_size:
            raise ValueError(f"block {block.name!r} reaches beyond the end of the file")
        blocks.append(block)
    if end != body_size:
        raise ValueError("its blocks do not fill its body")
    return Header(sequence, kind, tuple(blocks), extra, body_start, body_size)


def _parse_block(entry: Any) -> Block:
    name, dtype, shape, offset = entry
    if not isinstance(name, str) or not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(f"block {name!r} has the dtype {dtype!r}, which no segment may hold")
    if not isinstance(shape, list) or not 1 <= len(shape) <= 32 or not all(map(_is_count, shape)):
        raise ValueError(f"block {name!r} has an impossible shape")
    if not _is_count(offset) or math.prod(max(n, 1) for n in shape) >= 1 << 60:
        raise ValueError(f"block {name!r} has an impossible size")
    return Block(name, DTYPES[dtype], tuple(shape), offset)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 62
