"""The segment file by itself: round trips, and headers written to deceive."""

from __future__ import annotations

import hashlib
import json
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isohash.archive.files import DamagedArchive
from isohash.archive.segment_format import ALIGNMENT, CHUNK, DTYPES, Draft, lay_out
from isohash.archive.segments import SMALL, Segment, array_bytes, write_segment
from isohash.archive.state import change_of

QUIET = {"suppress_health_check": [HealthCheck.function_scoped_fixture], "deadline": None}

stored_arrays = st.sampled_from(sorted(DTYPES)).flatmap(
    lambda code: hnp.arrays(code, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=7))
)


def write(path: Path, arrays: list[np.ndarray], kind: str = "file", **extra) -> Segment:
    blocks = lay_out([(f"block {i}", a.dtype, a.shape) for i, a in enumerate(arrays)])
    draft = Draft(1, kind, blocks, {"name": "x", **extra})
    write_segment(path, draft, [[array_bytes(a)] for a in arrays])
    return Segment(path)


@settings(max_examples=60, **QUIET)
@given(arrays=st.lists(stored_arrays, min_size=1, max_size=5))
def test_blocks_are_read_as_they_were_written(tmp_path, arrays):
    arrays = [np.ascontiguousarray(a) for a in arrays]
    segment = write(tmp_path / "s", arrays)
    segment.check_all()
    for i, array in enumerate(arrays):
        found = segment.block(i)
        assert found.dtype == array.dtype
        assert not found.flags.writeable
        assert segment.header.blocks[i].offset % ALIGNMENT == 0
        np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("n", [CHUNK - 1, CHUNK, CHUNK + 1, SMALL + 1, 5 * CHUNK + 17])
def test_large_blocks_are_checked_chunk_by_chunk(tmp_path, rng, n):
    data = rng.integers(0, 256, n, dtype=np.uint8)
    segment = write(tmp_path / "s", [data])
    np.testing.assert_array_equal(segment.block(0), data)
    content = bytearray((tmp_path / "s").read_bytes())
    content[segment.header.body_start + n - 1] ^= 1
    (tmp_path / "s").write_bytes(content)
    damaged = Segment(tmp_path / "s")
    last_chunk = (n - 1) // CHUNK * CHUNK
    np.testing.assert_array_equal(damaged.rows(0, 0, last_chunk), data[:last_chunk])
    with pytest.raises(DamagedArchive, match=f"data chunk {last_chunk // CHUNK} "):
        damaged.block(0)
    with pytest.raises(DamagedArchive, match="data chunk"):
        damaged.check_all()


def test_the_layout_is_the_documented_one(tmp_path):
    """An independent reader of docs/archive-format.md, of one small segment."""
    array = np.arange(6, dtype="<f4").reshape(2, 3)
    write(tmp_path / "s", [np.frombuffer(b"hello", np.uint8), array])
    data = (tmp_path / "s").read_bytes()
    magic, version, header_size, body_size = struct.unpack("<8sIIQ", data[:24])
    assert (magic, version) == (b"ISOHSEG\x01", 1)
    header = data[56 : 56 + header_size]
    assert data[24:56] == hashlib.sha256(data[:24] + header).digest()
    body = data[56 + header_size :][:body_size]
    assert (56 + header_size) % 64 == 0
    fields = json.loads(header)
    assert fields["blocks"][0] == ["block 0", "|u1", [5], 0]
    name, dtype, shape, offset = fields["blocks"][1]
    np.testing.assert_array_equal(
        np.frombuffer(body, dtype, 6, offset).reshape(shape), array, err_msg=name
    )
    crcs = struct.pack("<I", zlib.crc32(body))
    assert data[56 + header_size + body_size :][:-32] == crcs
    assert data[-32:] == hashlib.sha256(data[24:56] + crcs).digest()


def forge(header: object, body: bytes, sizes: tuple[int, int] | None = None) -> bytes:
    """A segment whose checksums are all right, whatever its header says."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    header_size, body_size = sizes or (len(text), len(body))
    preamble = struct.pack("<8sIIQ", b"ISOHSEG\x01", 1, header_size, body_size)
    digest = hashlib.sha256(preamble + text).digest()
    table = b"".join(
        struct.pack("<I", zlib.crc32(body[i : i + CHUNK])) for i in range(0, len(body), CHUNK)
    )
    return preamble + digest + text + body + table + hashlib.sha256(digest + table).digest()


def fields(*blocks: object, **other: object) -> dict:
    return {"sequence": 1, "kind": "case", "blocks": list(blocks), **other}


HUGE = 1 << 61
HOSTILE = {
    "no fields": {},
    "not an object": [1],
    "no blocks": fields(),
    "blocks not a list": {"sequence": 1, "kind": "case", "blocks": "aa"},
    "a block that is a number": fields(3),
    "a block of three entries": fields(["a", "|u1", [8]]),
    "an object array": fields(["a", "|O", [1], 0]),
    "a structured dtype": fields(["a", [["x", "<i4"]], [2], 0]),
    "an unknown dtype": fields(["a", "<i400", [2], 0]),
    "huge rows": fields(["a", "<f8", [HUGE], 0]),
    "a product that overflows 64 bits": fields(["a", "<f8", [1 << 32, 1 << 32], 0]),
    "an overflow hidden by an empty axis": fields(["a", "|u1", [0, HUGE, HUGE], 0]),
    "a negative axis": fields(["a", "|u1", [-8], 0]),
    "a fractional axis": fields(["a", "|u1", [8.0], 0]),
    "a true axis": fields(["a", "|u1", [True], 0]),
    "too many axes": fields(["a", "|u1", [1] * 100, 0]),
    "no axis": fields(["a", "|u1", [], 0]),
    "beyond the end": fields(["a", "|u1", [9], 0]),
    "short of the end": fields(["a", "|u1", [7], 0]),
    "negative offset": fields(["a", "|u1", [8], -64]),
    "overlapping blocks": fields(["a", "|u1", [8], 0], ["b", "|u1", [8], 0]),
    "an unknown kind": {**fields(["a", "|u1", [8], 0]), "kind": "__import__"},
    "a sequence that is text": {**fields(["a", "|u1", [8], 0]), "sequence": "1"},
    "a name that is a number": fields([7, "|u1", [8], 0]),
    "a million blocks": fields(*[["a", "|u1", [0], 0]] * 70_000),
    "deep nesting": b"[" * 100_000,
    "no JSON": b"\xff\xfe",
    "a number of ten thousand digits": b'{"sequence":' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("header", HOSTILE.values(), ids=HOSTILE)
def test_a_header_written_to_deceive_is_refused(tmp_path, header):
    (tmp_path / "s").write_bytes(forge(header, b"8 bytes!"))
    with pytest.raises(DamagedArchive) as refusal:
        Segment(tmp_path / "s")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "sizes",
    [(1 << 31, 8), (10, 1 << 62), (10, (1 << 64) - 1), (0, 0), ((1 << 32) - 1, (1 << 64) - 1)],
)
def test_sizes_are_compared_with_the_file_before_memory_is_taken(tmp_path, sizes):
    (tmp_path / "s").write_bytes(forge(fields(["a", "|u1", [8], 0]), b"8 bytes!", sizes))
    tracemalloc.start()
    try:
        with pytest.raises(DamagedArchive, match="not those its preamble announces"):
            Segment(tmp_path / "s")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_sparse_file_of_a_terabyte_is_refused_without_reading_it(tmp_path):
    whole = forge(fields(["a", "|u1", [8], 0]), b"8 bytes!")
    with (tmp_path / "s").open("wb") as file:
        file.write(whole)
        file.truncate(1 << 40)
    with pytest.raises(DamagedArchive, match="not those"):
        Segment(tmp_path / "s")


CONTENTS = {
    "no list": {"a": 1},
    "too few entries": [[1, "a"]],
    "a path for an id": [[1, ["../../etc/passwd"], "", "{}", "{}"]],
    "rows that are no JSON": [[1, "a", "", "{", "{}"]],
    "rows that are no counts": [[1, "a", "", '{"x":["0","0","1"]}', "{}"]],
    "rows that are a list": [[1, "a", "", "[]", "{}"]],
    "metadata that is a list": [[1, "a", "", "{}", "[]"]],
    "a position that is text": [["1", "a", "", "{}", "{}"]],
    "null": None,
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
@pytest.mark.parametrize("kind", ["case", "compact", "delete"])
def test_content_that_makes_no_sense_is_refused(tmp_path, content, kind):
    body = json.dumps(content).encode()
    header = {**fields(["content", "|u1", [len(body)], 0]), "kind": kind, "kept": []}
    (tmp_path / "s").write_bytes(forge(header, body))
    with pytest.raises(DamagedArchive, match="cannot be understood"):
        change_of(Segment(tmp_path / "s"))


@pytest.mark.parametrize("run", [(9, 0, 1), (-1, 0, 1), (1, 0, 9), (1, -1, 1), (1, 2, 1)])
def test_rows_outside_a_block_are_refused(tmp_path, run):
    segment = write(tmp_path / "s", [np.zeros(3, np.uint8), np.zeros((2, 2))])
    with pytest.raises(DamagedArchive, match="has no"):
        segment.rows(*run)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["sequence", "kind", "blocks", "kept", "name"]), inner)
    ),
    max_leaves=12,
)
near_headers = st.fixed_dictionaries(
    {
        "sequence": st.integers(-1, 3) | json_values,
        "kind": st.sampled_from(["case", "delete", "file", "compact"]) | json_values,
        "blocks": st.lists(
            st.tuples(
                st.text(max_size=2) | json_values,
                st.sampled_from(["|u1", "<f8", "|O", "|b1"]) | json_values,
                st.lists(st.integers(0, 9) | st.integers(), max_size=3) | json_values,
                st.sampled_from([0, 64]) | json_values,
            ).map(list)
            | json_values,
            max_size=3,
        )
        | json_values,
    }
)


def read_everything(path: Path) -> None:
    """Read a segment in every way there is; only DamagedArchive may come out."""
    try:
        segment = Segment(path)
        for i in range(len(segment.header.blocks)):
            segment.block(i)
        segment.check_all()
        change_of(segment)
    except DamagedArchive:
        pass


@settings(max_examples=300, **QUIET)
@given(header=near_headers | json_values | st.binary(max_size=64), body=st.binary(max_size=80))
def test_no_header_makes_the_reader_fail_otherwise_than_by_refusing(tmp_path, header, body):
    (tmp_path / "s").write_bytes(forge(header, body))
    read_everything(tmp_path / "s")


@settings(max_examples=200, **QUIET)
@given(data=st.data())
def test_no_change_of_a_segment_goes_unnoticed(tmp_path, data):
    whole = forge(fields(["content", "|u1", [2], 0], ["z", "<f8", [9], 64]), bytes(64 + 72))
    start = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    piece = data.draw(st.binary(min_size=1, max_size=12))
    changed[start : start + data.draw(st.integers(0, 12))] = piece
    if changed == whole:
        return
    (tmp_path / "s").write_bytes(changed)
    with pytest.raises(DamagedArchive):
        Segment(tmp_path / "s").check_all()


def mutated(text: bytes, rng: np.random.Generator) -> bytes:
    """A header with a few pieces cut, repeated, swapped for others or changed."""
    pieces = [b"-", b"[", b"]", b'"', b",", b"{", b"}", b":", b"0", b"9" * 20, b"1e999", b"null"]
    for _ in range(rng.integers(1, 5)):
        start, length = rng.integers(0, len(text) + 1), rng.integers(0, 9)
        piece = pieces[rng.integers(len(pieces))] if rng.random() < 0.7 else rng.bytes(3)
        text = text[:start] + piece + text[start + length :]
    return text


@pytest.mark.slow
def test_a_minute_of_mutated_headers_with_right_checksums_is_read_or_refused(tmp_path, rng):
    blocks = [["content", "|u1", [40], 0], ["codes", "<f8", [2, 3], 64]]
    content = json.dumps([[1, "a", "f", '{"codes":[1,0,2]}', "{}"]]).encode()
    header = json.dumps({"sequence": 1, "kind": "case", "blocks": blocks, "kept": [1]}).encode()
    body = content.ljust(64) + bytes(48)
    end, n = time.monotonic() + 60, 0
    while time.monotonic() < end:
        text = mutated(header, rng) if rng.random() < 0.6 else header
        data = mutated(body, rng) if rng.random() < 0.6 else body
        (tmp_path / "s").write_bytes(forge(text, data))
        read_everything(tmp_path / "s")
        n += 1
    assert n > 1000
