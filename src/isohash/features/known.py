"""The kinds of items that this version knows."""

from __future__ import annotations

from isohash.features.cases.kind import CASES
from isohash.features.kinds import Kind

KINDS: dict[str, Kind] = {kind.name: kind for kind in (CASES,)}
