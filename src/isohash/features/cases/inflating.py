"""Deflated bytes whose size is known before they are inflated: an archive may come from others."""

from __future__ import annotations

import zlib
from typing import Any

from numpy.typing import NDArray

MOST_BYTES = 1 << 30  # of one picture or dose


def inflated(data: NDArray[Any], most: int) -> bytes:
    """The bytes that `data` holds; ValueError if these are no deflated bytes, or more than `most`.

    No more memory is taken than `most` bytes.
    """
    inflater = zlib.decompressobj()
    try:
        found = inflater.decompress(data.tobytes(), max(1, min(most, MOST_BYTES)))
    except zlib.error as error:
        raise ValueError(f"what should be deflated is not ({error})") from None
    if not inflater.eof:
        raise ValueError(f"deflated bytes are cut short, or more than {most}")
    return found
