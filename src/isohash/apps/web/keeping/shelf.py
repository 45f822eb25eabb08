"""Saved queries and cohorts: a journal of what was done with them, and what stands there now."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from isohash.apps.web.keeping.journal import Facts, Journal
from isohash.errors import InputError
from isohash.sources.identity.file_names import suspicious

FILE = "kept.jsonl"
MOST_TEXT = 4000  # characters of a note
MOST_NAME = 120
MOST_KEPT = 10_000
QUERY, COHORT = "query", "cohort"


@dataclass(frozen=True)
class Kept:
    """A saved query (`address` is its page, `replay` the id of its answer) or a cohort.

    `cases` are those of a cohort with a note each. What is not `shared` its owner alone sees.
    """

    id: str
    kind: str
    owner: str
    name: str
    note: str = ""
    shared: bool = False
    address: str = ""
    replay: str = ""
    at: str = ""
    cases: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @property
    def telling(self) -> tuple[str, ...]:
        """Words of its texts that look like a person's date or number."""
        words = " ".join((self.name, self.note, *self.cases.values())).split()
        return tuple(dict.fromkeys(suspicious(words)))


class Shelf:
    """All that is kept beside one archive; what a method has returned survives a kill."""

    def __init__(self, folder: Path) -> None:
        self._kept: dict[str, Kept] = {}
        self._journal = Journal(folder / FILE, self._take)

    def seen_by(self, user: str, kind: str | None = None) -> list[Kept]:
        """What a user may see, the newest first."""
        self._journal.refresh()
        seen = (one for one in self._kept.values() if one.shared or one.owner == user)
        return [one for one in seen if kind in (None, one.kind)][::-1]

    def find(self, name: str, user: str) -> Kept:
        """One of these by its id; InputError where there is none that the user may see."""
        self._journal.refresh()
        one = self._kept.get(name)
        if one is None or not (one.shared or one.owner == user):
            raise InputError(f"nothing is kept under {name}; the list of what is kept has the ids")
        return one

    def make(self, kind: str, user: str, name: str, note: str = "", **facts: str) -> Kept:
        """Keep something new."""
        self._journal.refresh()
        if len(self._kept) >= MOST_KEPT:
            raise InputError(f"{MOST_KEPT} things are kept already; remove some")
        one = secrets.token_hex(6)
        named = {"name": _name(name), "note": _text(note)}
        self._journal.append(do="make", id=one, kind=kind, owner=user, **named, **facts)
        return self._kept[one]

    def change(self, name: str, user: str, title: str, note: str, shared: bool) -> Kept:
        """Rename, annotate, share or stop sharing."""
        self._own(name, user)
        named = {"name": _name(title), "note": _text(note), "shared": shared}
        return self._done(name, do="change", **named)

    def put(self, name: str, user: str, case: str, note: str = "") -> Kept:
        """Put a case into a cohort, or change its note."""
        self._cohort(name, user)
        return self._done(name, do="put", case=case, note=_text(note))

    def take(self, name: str, user: str, case: str) -> Kept:
        """Take a case out of a cohort."""
        if case not in self._cohort(name, user).cases:
            raise InputError(f"{case} is not in this cohort; its page has the cases")
        return self._done(name, do="take", case=case)

    def drop(self, name: str, user: str) -> None:
        """Keep it no longer."""
        self._own(name, user)
        self._journal.append(do="drop", id=name)

    def _own(self, name: str, user: str) -> Kept:
        one = self.find(name, user)
        if one.owner != user:
            raise InputError("it belongs to another user; make your own")
        return one

    def _cohort(self, name: str, user: str) -> Kept:
        one = self._own(name, user)
        if one.kind != COHORT:
            raise InputError(f"{one.name} is no cohort; choose one")
        return one

    def _done(self, one: str, **facts: Any) -> Kept:
        self._journal.append(id=one, **facts)
        return self._kept[one]

    def _take(self, line: Facts) -> None:
        """What a line of the journal does."""
        facts = {name: value for name, value in line.items() if name not in ("n", "chain", "do")}
        one = self._kept.get(facts["id"])
        match line["do"]:
            case "make":
                self._kept[facts["id"]] = Kept(**facts)
            case "drop":
                self._kept.pop(facts["id"], None)
            case "change" if one:
                told = {key: facts[key] for key in ("name", "note", "shared")}
                self._kept[one.id] = replace(one, **told)
            case "put" if one:
                cases = {**one.cases, facts["case"]: facts["note"]}
                self._kept[one.id] = replace(one, cases=cases)
            case "take" if one:
                cases = {key: note for key, note in one.cases.items() if key != facts["case"]}
                self._kept[one.id] = replace(one, cases=cases)


def _name(text: str) -> str:
    name = " ".join(text.split())
    if not 0 < len(name) <= MOST_NAME:
        raise InputError(f"a name has 1 to {MOST_NAME} characters, got {len(name)}; type one")
    return name


def _text(text: str) -> str:
    if len(text) > MOST_TEXT:
        raise InputError(f"a note has at most {MOST_TEXT} characters, got {len(text)}; shorten it")
    return text.strip()
