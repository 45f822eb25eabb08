"""Archives of earlier versions: what they keep that they no longer may.

Fingerprints were digests without a key, which told a case's files to whoever had a copy of them,
and names of structures were kept as they were typed. Both are replaced at once, in the catalogue
and, by a compaction, on the disk.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from isohash.archive.recipe import Recipe
from isohash.archive.store import CaseStore
from isohash.progress import Progress
from isohash.retrieval.naming import naming_of, stamp_of
from isohash.sources.fingerprint import is_keyed, keyed_state
from isohash.sources.identity.naming import Naming, Typed

DONE = "this archive was made by an earlier version: its fingerprints and names were replaced"
_TOLD = re.compile(
    r"^(?:structure (?P<a>.+?)(?= left out: |: )|.* % of (?P<b>.+?)(?= lies outside ))"
)


def migrate(store: CaseStore, progress: Progress | None = None) -> list[str]:
    """Replace what an earlier version kept; returns what is to be said of it, mostly nothing."""
    old = [name for name in store.ids() if not is_keyed(store.fingerprint(name))]
    if not old:
        return []
    naming = naming_of(Recipe(store.recipe).settings)
    stamp = stamp_of(naming.aliases)
    changes = {
        name: (
            _let_out(name, store.metadata(name), naming),
            keyed_state(store.fingerprint(name).partition("-")[0] + stamp),
        )
        for name in old
    }
    store.rewrite(changes, progress)
    return [DONE]


def _let_out(case: str, facts: dict[str, Any], naming: Naming) -> dict[str, Any]:
    """Facts with names of structures that may be kept, also in warnings."""
    typed = [str(name) for name in facts.get("structures", ())]
    names = naming.names(case, [Typed(name) for name in typed])
    left = dict(zip(typed, names, strict=True))
    changed: dict[str, Any] = {}
    if "structures" in facts:
        changed["structures"] = names
    if "warnings" in facts:
        changed["warnings"] = [_told(str(one), left, naming) for one in facts["warnings"]]
    return {**facts, **changed}


def _told(warning: str, left: Mapping[str, str], naming: Naming) -> str:
    found = _TOLD.match(warning)
    if found is None:
        return warning
    group = "a" if found["a"] is not None else "b"
    name = left.get(found[group]) or naming.names("", [Typed(found[group])])[0]
    return warning[: found.start(group)] + name + warning[found.end(group) :]
