"""The bytes that a value becomes in the usual encodings, whatever stands beside it.

Base64 and base32 cut bytes into groups, so that what a value becomes depends on where in a group it
begins and how it goes on: of each beginning the letters are kept that the value alone decides.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator

SHORTEST = 4  # bytes of an encoded form
LONGEST_BASED = (
    24  # bytes: what base64 and hex make of more is long enough to be decoded where found
)


def encoded_forms(value: str) -> set[bytes]:
    """Lower-case bytes of the value and its usual spellings in every encoding known here."""
    forms: set[bytes] = set()
    for cased in {value, value.lower(), value.upper(), value.title()}:
        for plain in _bytes(cased):
            forms.add(plain)
            if len(plain) <= LONGEST_BASED:
                forms |= {plain.hex().encode(), *_based(plain)}
        forms |= set(_escaped(cased))
    return {form.lower() for form in forms if len(form) >= SHORTEST}


def plain_forms(value: str) -> set[bytes]:
    """Lower-case bytes of the value in one and two bytes a letter, and escaped as in addresses."""
    wide = {value.lower().encode(coding) for coding in ("utf-8", "utf-16-le", "utf-16-be")}
    return wide | {form.lower() for form in _escaped(value)}


def _bytes(text: str) -> set[bytes]:
    codings = ("utf-8", "latin-1", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
    forms = set()
    for coding in codings:
        try:
            forms.add(text.encode(coding))
        except UnicodeEncodeError:
            continue
    return forms


def _escaped(text: str) -> Iterator[bytes]:
    if not text.isascii():
        yield json.dumps(text)[1:-1].encode()
        yield text.encode("ascii", "xmlcharrefreplace")
        yield "".join(c if c.isascii() else f"&#x{ord(c):x};" for c in text).encode()
    utf8 = text.encode("utf-8", "replace")
    yield "".join(chr(b) if chr(b).isalnum() and b < 128 else f"%{b:02x}" for b in utf8).encode()
    yield "".join(chr(b) if 32 < b < 127 and b != 61 else f"={b:02x}" for b in utf8).encode()


def _based(plain: bytes) -> Iterator[bytes]:
    """Base64 and base32 without the letters at both ends that neighbours have a part in."""
    yield from _cores(plain, 3, 6, base64.b64encode)
    yield from _cores(plain, 3, 6, base64.urlsafe_b64encode)
    yield from _cores(plain, 5, 5, base64.b32encode)


def _cores(
    plain: bytes, group: int, bits: int, encode: Callable[[bytes], bytes]
) -> Iterator[bytes]:
    for before in range(group):
        whole = encode(bytes(before) + plain + bytes(group))
        first = -(-8 * before // bits)
        last = 8 * (before + len(plain)) // bits
        yield whole[first:last]
