"""Where an answer comes from: what was asked, of which state of an archive, by which version.

An answer carries all of it, and an id made of it and of the answer's own bytes (see `replay`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import isohash
from isohash.archive.store import CaseStore
from isohash.errors import InputError
from isohash.retrieval.request import Request

MARK = "r1-"  # the format of an id
CHECKED = 8  # letters of the digest at its end
MOST_BYTES = 100_000  # of what an id says, inflated


@dataclass(frozen=True)
class Moment:
    """An archive as it answered, and the version of isohash that did.

    `cases` is a digest of ids and fingerprints in their order, `recipe` of encoders and settings.
    """

    sequence: int
    n_cases: int
    cases: str
    recipe: str
    version: str

    @classmethod
    def of(cls, store: CaseStore) -> Moment:
        """What an open archive holds now."""
        recipe = _digest([json.dumps(store.recipe, sort_keys=True)])
        cases = cases_of(store, store.sequence)
        return cls(store.sequence, len(store), cases, recipe, isohash.__version__)


@dataclass(frozen=True)
class Asked:
    """What an answer answers. `case` is None for what is not kept: a path, an upload, an array."""

    case: str | None
    request: Request
    archive: Moment

    def id_of(self, answer: Mapping[str, Any]) -> str:
        """The id by which this is asked again, of what `Answer.to_json` gives without it."""
        told = [self.case, given(self.request), *asdict(self.archive).values(), mark(answer)]
        packed = zlib.compress(json.dumps(told, separators=(",", ":")).encode(), 9)
        coded = base64.urlsafe_b64encode(packed).decode().rstrip("=")
        return f"{MARK}{coded}{_check(coded)}"


def given(request: Request) -> dict[str, Any]:
    """The options of a request that were not left open."""
    values = {
        field.name: (getattr(request, field.name), field.default) for field in fields(Request)
    }
    return {name: value for name, (value, default) in values.items() if value != default}


def mark(answer: Mapping[str, Any]) -> str:
    """A digest of an answer as JSON, whatever archive gave it."""
    told = {name: value for name, value in answer.items() if name not in ("asked", "replay")}
    return _digest([json.dumps(told)])


def read_id(text: str) -> tuple[Asked, str]:
    """What an id says: the question, and the digest of its answer; InputError if it is none."""
    try:
        if not text.startswith(MARK):
            raise ValueError("no such mark")
        told = text.removeprefix(MARK)
        coded, check = told[:-CHECKED], told[-CHECKED:]
        if check != _check(coded):  # what is packed has bits that nothing depends on
            raise ValueError("it is cut or changed")
        packed = base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4))
        inflater = zlib.decompressobj()
        asked = json.loads(inflater.decompress(packed, MOST_BYTES))
        if not inflater.eof:
            raise ValueError("it is cut")
        case, options, sequence, n_cases, cases, recipe, version, answer = asked
        moment = Moment(int(sequence), int(n_cases), str(cases), str(recipe), str(version))
        return Asked(case, Request.of(None, options), moment), str(answer)
    except InputError:
        raise
    except (ValueError, TypeError, binascii.Error, zlib.error, RecursionError):
        raise InputError(
            f"{text[:40]} is not the id of an answer; it is what isohash query --json calls replay"
        ) from None


def cases_of(store: CaseStore, sequence: int) -> str:
    """A digest of the cases that came with a change or before it."""
    return _digest(
        text
        for position, name, fingerprint in store.places()
        if position <= sequence
        for text in (name, fingerprint)
    )


def _check(coded: str) -> str:
    return _digest([coded])[-CHECKED:]


def _digest(texts: Iterable[str]) -> str:
    """In letters that a search for identity passes over, as it does those of pseudonyms."""
    told = "".join(f"{len(text)}:{text}" for text in texts)
    digest = hashlib.blake2b(told.encode(), digest_size=10).digest()
    return f"content-{base64.b32encode(digest).decode().lower()}"
