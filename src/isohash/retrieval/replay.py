"""Answers asked for again: the same bytes, or exactly what has changed since.

Who has an answer's id (see `origin`) and the archive needs nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from isohash.archive.store import CaseStore
from isohash.errors import InputError
from isohash.retrieval.engine import Archive
from isohash.retrieval.origin import Moment, cases_of, mark, read_id

NAMED = 5  # cases that a change names


@dataclass(frozen=True)
class Replayed:
    """An answer asked for again: as it is now, whether it is the same, and what has changed."""

    answer: dict[str, Any]
    same: bool
    changed: tuple[str, ...]


def replay(archive: Archive, text: str, item: Any = None) -> Replayed:
    """Ask again what an id says.

    `item` is what was asked with, where the archive does not hold it. InputError where the id is
    none, or the question means nothing any more.
    """
    asked, answered = read_id(text)
    if asked.case is None and item is None:
        raise InputError(
            "this was asked with a case that the archive does not hold; give it with --case"
        )
    if asked.case is not None and asked.case not in archive:
        raise InputError(
            f"the archive no longer holds the case {asked.case} that was asked with; "
            + "; ".join(changes(asked.archive, archive.store))
        )
    session = archive.session(item if asked.case is None else asked.case)
    answer = session.ask(asked.request).to_json()
    same, changed = mark(answer) == answered, changes(asked.archive, archive.store)
    if not same and not changed:
        changed = ("neither archive nor version has changed, yet the answer has",)
    return Replayed(answer, same, changed)


def changes(then: Moment, store: CaseStore) -> tuple[str, ...]:
    """What is different about the archive and the program since a moment, a sentence each."""
    now = Moment.of(store)
    told = []
    if now.version != then.version:
        told.append(f"it was asked with isohash {then.version}, this is {now.version}")
    if now.recipe != then.recipe:
        told.append("the archive's recipe (encoders, hashes, settings) has changed")
    if now.cases != then.cases:
        told += _changed_cases(then, store)
    return tuple(told)


def _changed_cases(then: Moment, store: CaseStore) -> list[str]:
    added = [name for position, name, _ in store.places() if position > then.sequence]
    rest = len(store) - len(added)
    told = []
    if added:
        named = ", ".join(added[:NAMED]) + (", ..." if len(added) > NAMED else "")
        told.append(f"the archive has grown by {len(added)}: {named}")
    if rest != then.n_cases:
        told.append(f"{then.n_cases - rest} of its {then.n_cases} cases were removed")
    elif cases_of(store, then.sequence) != then.cases:
        told.append(f"some of its {then.n_cases} cases were replaced")
    return told
