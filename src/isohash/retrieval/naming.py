"""The user's table of structure names in an archive, and what of the names it leaves unknown.

The table is kept in the archive's recipe, so queries know the same names. It is part of a case's
fingerprint: after an edit the next run of indexing reads the cases anew.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from isohash.dosimetry.names import match_names, renamed
from isohash.records import Case, Vectors
from isohash.sources.found import Findings, Found

MANY = 5  # cases of one patient in one run that are worth a note


@dataclass(frozen=True)
class Unmapped:
    """A name of structures that no table knows, how many cases have it, and what it is near to."""

    name: str
    n_cases: int
    suggestions: tuple[str, ...]


def named(case: Case, aliases: Mapping[str, str]) -> Case:
    """The case with structures under the names of the table."""
    return replace(case, structures=renamed(case.structures, aliases)) if aliases else case


def known_as(findings: Findings, aliases: Mapping[str, str]) -> Findings:
    """The same cases, to be read under the names of the table."""
    if not aliases:
        return findings
    text = json.dumps(sorted(aliases.items())).encode()
    stamp = hashlib.blake2b(text, digest_size=8).hexdigest()
    found = tuple(
        replace(one, fingerprint=f"{one.fingerprint}-{stamp}", reader=partial(_read, one, aliases))
        for one in findings.found
    )
    return replace(findings, found=found)


def unmapped(
    facts: Iterable[Mapping[str, Any]], aliases: Mapping[str, str]
) -> tuple[Unmapped, ...]:
    """Names of structures without a canonical name, the most frequent first."""
    counts = Counter(name for one in facts for name in one.get("structures", ()))
    names = match_names(name for name in counts if name not in aliases.values())
    rows = [Unmapped(name, counts[name], near) for name, near in names.suggestions.items()]
    return tuple(sorted(rows, key=lambda row: (-row.n_cases, row.name)))


def patient_notes(facts: Iterable[Mapping[str, Any]]) -> list[str]:
    """That many cases of one run are all of one patient, as where an export numbers all alike."""
    patients = [one["patient"] for one in facts]
    if len(patients) < MANY or len(set(patients)) > 1:
        return []
    return [
        f"all {len(patients)} cases carry the number of one patient; if they are of several, "
        "query with --same-patient, for a query leaves its own patient out"
    ]


def _read(found: Found, aliases: Mapping[str, str]) -> Case | Vectors:
    case = found.read()
    return named(case, aliases) if isinstance(case, Case) else case
