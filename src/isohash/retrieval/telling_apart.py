"""Whether what was found is new to an archive, unchanged, changed, or another of a known name.

Names of files are no identity: another clinic, too, has a pt_1. A name that an archive knows means
the same thing if it comes from the same place or holds the same. What has its own identity (DICOM)
is known by it. Nothing is replaced but by a later version of itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from isohash.archive.store import CaseStore
from isohash.errors import InputError
from isohash.records import Case
from isohash.sources.fingerprint import Fingerprint
from isohash.sources.found import Found, Skipped
from isohash.sources.identity.pseudonyms import key_mark, load_key

News = Literal["new", "unchanged", "read again", "replaced"]
Known = Callable[[str], Fingerprint | None]


@dataclass(frozen=True, eq=False)
class Arrivals:
    """What is to be indexed, under the names that it gets; what is not, and why."""

    wanted: list[Found] = field(default_factory=list)
    unchanged: list[Found] = field(default_factory=list)
    replacing: list[str] = field(default_factory=list)  # names of those wanted that change
    apart: dict[str, str] = field(default_factory=dict)  # new names -> what has the name already
    skipped: list[Skipped] = field(default_factory=list)


def known_in(store: CaseStore, entry: str = "{}") -> Known:
    """What an archive knows of a name; `entry` is how its entries are called."""

    def known(name: str) -> Fingerprint | None:
        full = entry.format(name)
        return Fingerprint.of(store.fingerprint(full)) if full in store else None

    return known


def tell_apart(found: Found, known: Known) -> tuple[Found, News]:
    """The same under the name that the archive has for it or will have, and what it is to it."""
    names = (_named(found, found.base), *([found.apart()] if found.origin else []))
    kept = [(one, about) for one in names if (about := known(one.key)) is not None]
    for is_same in (_comes_from_there, _holds_the_same):
        for one, about in kept:
            if is_same(found, about):
                return one, _change(found, about)
    if known(found.base) is None:
        return found, "new"
    return found.apart(), "new"


def sort_out(found: Iterable[Found], known: Known, skipped: Iterable[Skipped]) -> Arrivals:
    """What an archive makes of all that was found."""
    arrivals = Arrivals(skipped=list(skipped))
    seen: dict[str, str] = {}
    for one in found:
        named, news = tell_apart(one, known)
        if named.key in seen:
            reason = f"case {named.key} was already found at {seen[named.key]}"
            arrivals.skipped.append(Skipped(one.path, reason))
            continue
        seen[named.key] = one.path
        if news == "unchanged":
            arrivals.unchanged.append(named)
            continue
        arrivals.wanted.append(named)
        if news == "replaced":
            arrivals.replacing.append(named.key)
        elif news == "new" and named.key != one.base:
            arrivals.apart[named.key] = one.base
    return arrivals


def is_own_key(mark: str) -> bool:
    """Whether fingerprints of an archive can be compared here: its key is at hand ("": unknown)."""
    try:
        return mark in ("", key_mark(load_key()))
    except InputError:  # others' key, or none and no place for one
        return False


def known_by(found: Found, case: Case, store: CaseStore) -> Case:
    """A query read from a file, under the name and the patient that the archive has for it.

    Of a name that means something else there it gets one of its own, as if it were indexed; a copy
    of a stored case is of that case's patient, whatever it is called.
    """
    named, _ = tell_apart(found, known_in(store))
    if case.patient != case.id:
        return replace(case, id=named.key)
    same = named.key if named.key in store else _copy_in(store, found)
    patient = named.key if same is None else str(store.metadata(same)["patient"])
    return replace(case, id=named.key, patient=patient)


def _copy_in(store: CaseStore, found: Found) -> str | None:
    """The stored case that holds the same as what was found."""
    if found.origin is None:
        return None
    content = found.content
    kept = ((name, Fingerprint.of(store.fingerprint(name)).content) for name in store.ids())
    return next((name for name, other in kept if other == content), None)


def _comes_from_there(found: Found, kept: Fingerprint) -> bool:
    if found.origin is None or kept.state == found.fingerprint or kept.place == found.place:
        return True
    return not kept.place and found.key == found.base  # earlier versions knew things by name alone


def _holds_the_same(found: Found, kept: Fingerprint) -> bool:
    return bool(kept.content) and kept.content == found.content


def _change(found: Found, kept: Fingerprint) -> News:
    if kept.state == found.fingerprint:
        return "unchanged"
    return "read again" if _holds_the_same(found, kept) else "replaced"


def _named(found: Found, name: str) -> Found:
    return found if found.key == name else replace(found, key=name)
