"""The user's table of structure names in an archive, and what of the names it leaves unknown.

The table is kept in the archive's recipe, so queries know the same names. It is part of a case's
fingerprint: after an edit the next run of indexing reads the cases anew.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from isohash.archive.recipe import IndexSettings
from isohash.dosimetry.names import match_names
from isohash.sources.found import Findings
from isohash.sources.identity.aliases import Aliases
from isohash.sources.identity.file_names import suspicious
from isohash.sources.identity.naming import Kind, Naming, kind_in
from isohash.sources.identity.pseudonyms import key_mark, load_key

MANY = 5  # cases of one patient in one run that are worth a note


@dataclass(frozen=True)
class Unmapped:
    """Structures of one name that no table knows: their kind, in how many cases, and near names.

    `typed` is what the files call them. It may name a patient, so only the owner of the files sees
    it, at the end of a run; it is in no JSON.
    """

    kind: Kind
    n_cases: int
    suggestions: tuple[str, ...]
    typed: str = field(repr=False)


def naming_of(settings: IndexSettings) -> Naming:
    """How structures, and perhaps files, are named in an archive."""
    return Naming(Aliases.of(settings.aliases), pseudonymous_ids=settings.pseudonymous_ids)


def known_as(findings: Findings, settings: IndexSettings) -> tuple[Findings, Naming]:
    """The same cases, to be read under an archive's names; and where unknown ones are noted."""
    naming = naming_of(settings)
    stamp = stamp_of(naming.aliases)
    findings = findings.named_by(naming)
    found = tuple(replace(one, state=one.state + stamp) for one in findings.found)
    return replace(findings, found=found, key=key_mark(load_key())), naming


def stamp_of(aliases: Aliases) -> str:
    """What the table adds to the state of a case's files: after an edit they are read anew."""
    text = json.dumps(sorted(aliases.table.items())).encode()
    return f"-{hashlib.blake2b(text, digest_size=8).hexdigest()}" if aliases.table else ""


def unmapped(naming: Naming) -> tuple[Unmapped, ...]:
    """What was typed for structures without a known name, the most frequent first."""
    cases = naming.unknown.values()
    counts = Counter(typed for case in cases for typed in set(case.values()))
    kinds = {typed: kind_in(left) for case in cases for left, typed in case.items()}
    near = match_names(counts).suggestions
    rows = [Unmapped(kinds[typed], n, near.get(typed, ()), typed) for typed, n in counts.items()]
    return tuple(sorted(rows, key=lambda row: (-row.n_cases, row.typed)))


def identity_notes(ids: Iterable[str]) -> list[str]:
    """That ids, which names of files and rows serve as, look like a person's."""
    n = len(suspicious(ids))
    if not n:
        return []
    return [
        f"{n} id(s) look like a person's name, number or date: names of files and rows serve as "
        "ids and are kept; index into a new folder with --pseudonymous-ids to replace them"
    ]


def patient_notes(facts: Iterable[Mapping[str, Any]]) -> list[str]:
    """That many cases of one run are all of one patient, as where an export numbers all alike."""
    patients = [one["patient"] for one in facts]
    if len(patients) < MANY or len(set(patients)) > 1:
        return []
    return [
        f"all {len(patients)} cases carry the number of one patient; if they are of several, "
        "query with --same-patient, for a query leaves its own patient out"
    ]
