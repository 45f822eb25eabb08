"""Every word of the table of names: in a name it tells of anatomy, whatever else it may mean."""

from __future__ import annotations

from isohash.dosimetry.names import FILLERS, SIDES, TARGETS, spelled

VOCABULARY = frozenset(word for spelling, _ in spelled() for word in spelling.split()) | frozenset(
    (*SIDES, *TARGETS, *FILLERS)
)
