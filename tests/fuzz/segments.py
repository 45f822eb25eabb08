"""Coverage-guided fuzzing of the archive's segment reader: `make fuzz SECONDS=60`, or

    python tests/fuzz/segments.py CORPUS -max_total_time=60

The fuzzer makes up either a whole file or only its header and body, which are then sealed with
right checksums, so that hostile headers get past them. What is accepted must be read whole and say
of itself what the file holds; anything but an InputError of one line is a finding, as are a file
that takes 5 s or more than 1 GB of memory.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import zlib
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports(include=["isohash.archive"]):
    from isohash.archive.segment_format import (
        CHUNK,
        HEADER_START,
        KINDS,
        MAGIC,
        PREAMBLE,
        VERSION,
        Draft,
        encode,
        lay_out,
        parse_header,
    )
    from isohash.archive.segments import Segment
    from isohash.errors import InputError

WHOLE, SEALED = 0, 1
SEPARATOR = b"\n\n"  # between header and body of a file to be sealed
LIMITS = ("-timeout=5", "-rss_limit_mb=1024", "-max_len=8192")


def prepare(corpus: Path) -> None:
    """A valid segment of every kind, whole and as the parts to be sealed."""
    corpus.mkdir(parents=True, exist_ok=True)
    array = np.arange(21, dtype="<u2").reshape(7, 3)
    blocks = lay_out([("content", np.dtype("u1"), (2,)), ("codes", array.dtype, array.shape)])
    for kind in KINDS:
        draft = Draft(3, kind, blocks, {"n": 7})
        whole = b"".join(encode(draft, [[b"{}"], [array.tobytes()]]))
        header = parse_header(whole)
        text = whole[HEADER_START : header.body_start]
        body = whole[header.body_start :][: header.body_size]
        (corpus / f"{kind}-whole").write_bytes(bytes([WHOLE]) + whole)
        (corpus / f"{kind}-sealed").write_bytes(bytes([SEALED]) + text + SEPARATOR + body)


def sealed(text: bytes, body: bytes) -> bytes:
    """A file of this header and body whose sizes and checksums are all as they should be."""
    preamble = PREAMBLE.pack(MAGIC, VERSION, len(text), len(body))
    digest = hashlib.sha256(preamble + text).digest()
    chunks = [body[i : i + CHUNK] for i in range(0, len(body), CHUNK)]
    table = np.array([zlib.crc32(chunk) for chunk in chunks], dtype="<u4").tobytes()
    return preamble + digest + text + body + table + hashlib.sha256(digest + table).digest()


def read_whole(path: Path) -> None:
    """Reads everything that a segment says it has."""
    segment = Segment(path)
    segment.check_all()
    for i, block in enumerate(segment.header.blocks):
        rows = segment.block(i)
        if rows.shape != block.shape or rows.nbytes != block.n_bytes:
            raise AssertionError(f"block {i} is {rows.shape}, announced as {block.shape}")
    segment.content()


def main() -> None:
    corpus = Path(sys.argv[1])
    prepare(corpus)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "segment"

        def one_input(data: bytes) -> None:
            if not data:
                return
            rest = data[1:]
            if data[0] % 2 == SEALED:
                text, _, body = rest.partition(SEPARATOR)
                rest = sealed(text, body)
            path.write_bytes(rest)
            try:
                read_whole(path)
            except InputError as error:
                if "\n" in str(error):
                    raise

        atheris.Setup([sys.argv[0], str(corpus), *LIMITS, *sys.argv[2:]], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
