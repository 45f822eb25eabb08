"""Whether a query is like what an archive holds, told by how unlike each other its members are.

A nearest neighbour is always found, also for a stranger. So each member of the archive was left out
once and asked: how far is its nearest, and how far its profile from those of the others? A query is
measured in the same way. Its largest measure, in units of what all members but one stay below, is
ranked among the members' largest (each in units of what the others tell): the share that reach it
is a conformal p-value (Vovk, Gammerman and Shafer 2005), which a new member's is below .05 in at
most one of 20 cases, whatever the distributions. All but one, since an odd member in one respect
must not hide strangers in all others (docs/validity.md).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.archive.store import CaseStore
from isohash.features.cases.profile import PARTS, POSTURE, WHAT

FILE = "likeness"
VERSION = 1
PROFILE = "likeness.profile"  # the array of an item
ERROR = "error."  # the arrays of an item, by view
RECONSTRUCTION = "reconstruction "  # the parts, by view
STRUCTURES = "structures"  # the part that is told by their names

ALARM = 0.05  # share of left-out members that are told as unlike
ENOUGH = 19  # members from which on a p-value can be as small as that
FEWEST = 5  # with fewer, nothing is told
FAR = 2.0  # times the members' largest: what is told where they are not enough for a p-value
ODD = 1  # members that may be odd in any one respect
NEIGHBOURS = 3  # a profile's distance is that to the third nearest
# Differences that mean nothing, however alike the members are: shares of tissues, logarithms.
LEAST: Mapping[str, float] = {
    "tissue": 0.03,
    "body": 0.1,
    "dose": 0.1,
    "extent": 0.1,
    "dosed extent": 0.1,
    "symmetry": 0.03,
    "tilt": 0.05,
    "roll": 0.05,
    "front": 0.1,
    "head": 0.1,
    "dose front": 0.1,
    "dose head": 0.1,
    STRUCTURES: 1.0,
}

Numbers = NDArray[np.float64]
Names = tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """One respect in which a query was compared with the members.

    `times` is its measure in units of what all left-out members but one stay below, `p` the share
    of them that reach it.
    """

    name: str
    what: str
    times: float
    p: float


@dataclass(frozen=True)
class Unlike:
    """A query that is unlike the archive's members: `parts` from the most unusual on.

    `p` is the share of `members`, each left out in turn, that are as unusual.
    """

    p: float
    members: int
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """One sentence for people."""
        told = ", ".join(f"{one.what} {one.times:.1f}" for one in self.parts if one.times > 1.0)
        return (
            f"unlike this archive: of {self.members} of its own members, each left out in turn, "
            f"{self.p:.1%} are as unusual (1 = what all but one stay below: {told}); "
            "the results may mean nothing"
        )


@dataclass(frozen=True, eq=False)
class Usual:
    """What is usual of the members: `scores` (n, m) by part (NaN where absent), `profiles` (n, p).

    The score of a part is the larger the more unusual a left-out member is; `structures` (n) are
    the names that each has, and the members were `of` as many in all.
    """

    names: tuple[str, ...]
    scores: Numbers
    profiles: Numbers
    of: int
    structures: tuple[Names, ...] = ()

    @classmethod
    def measure(
        cls,
        profiles: Numbers,
        groups: Sequence[Any],
        nearest: Mapping[str, Numbers],
        of: int,
        structures: tuple[Names, ...] = (),
    ) -> Usual:
        """Members' profiles (n, p) with what else is measured of each, (n,) by name.

        A member is compared with those of other `groups` (n,), such as patients.
        """
        own = np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1]
        columns = dict(nearest)
        for name, part in _parts(profiles):
            apart = _apart(profiles[:, part], profiles[:, part])
            apart[own[:, None] == own] = np.nan
            columns[name] = _to_neighbours(apart)
        if any(structures):
            apart = np.array([_unshared(one, structures) for one in structures])
            apart[own[:, None] == own] = np.nan
            columns[STRUCTURES] = _to_neighbours(apart)
        scores = np.column_stack(list(columns.values())) if columns else np.empty((len(own), 0))
        return cls(tuple(columns), scores, profiles, of, structures)

    def measured(self, profile: Numbers, structures: Names = ()) -> dict[str, float]:
        """How far a profile (p,) is, part by part, from the members' profiles, but its own.

        And in how many structures it differs from theirs.
        """
        found = {}
        profile = as_wide(profile[None], self.profiles.shape[1])[0]
        same = (self.profiles == profile) | (np.isnan(self.profiles) & np.isnan(profile))
        for name, part in _parts(self.profiles):
            apart = _apart(profile[None, part], self.profiles[:, part])
            apart[0, same.all(axis=1)] = np.nan
            found[name] = float(_to_neighbours(apart)[0])
        if len(self.structures) == len(self.profiles):
            apart = _unshared(structures, self.structures)[None]
            apart[0, same.all(axis=1)] = np.nan
            found[STRUCTURES] = float(_to_neighbours(apart)[0])
        return found

    def judge(self, found: Mapping[str, float]) -> Unlike | None:
        """Whether the measures of a query are those of a member; None if they are."""
        names = [n for n in self.names if np.isfinite(found.get(n, np.nan)) and self._has(n)]
        members = self.scores[:, [self.names.index(name) for name in names]]
        members = members[~np.isnan(members).any(axis=1)]
        if not names or len(members) < FEWEST:
            return None
        least = np.array([LEAST.get(name, 1e-9) for name in names])
        unit, of_others = (np.maximum(one, least) for one in _units(members))
        times, usual = np.array([found[name] for name in names]) / unit, members / of_others
        p = _share(usual.max(axis=1), times.max())
        far = times.max() > FAR * usual.max()
        if not (p <= ALARM if len(members) >= ENOUGH else far):
            return None
        parts = [
            Part(name, what(name), float(times[i]), _share(members[:, i], found[name]))
            for i, name in enumerate(names)
        ]
        return Unlike(p, len(members), tuple(sorted(parts, key=lambda part: -part.times)))

    def _has(self, name: str) -> bool:
        """Whether most members have a part."""
        return bool(np.isfinite(self.scores[:, self.names.index(name)]).mean() > 0.5)

    def to_bytes(self) -> bytes:
        """The content of an archive's file."""
        tables = {"scores": self.scores.tolist(), "profiles": self.profiles.tolist()}
        plain = {"version": VERSION, "names": self.names, "of": self.of, **tables}
        plain |= {"width": self.profiles.shape[1], "structures": self.structures}
        return json.dumps(_nulls(plain)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Usual | None:
        """What `to_bytes` wrote; None if another version did."""
        plain = json.loads(data)
        if plain["version"] != VERSION:
            return None
        n, names = len(plain["scores"]), tuple(plain["names"])
        scores = np.array(plain["scores"], dtype=np.float64).reshape(n, len(names))
        profiles = np.array(plain["profiles"], dtype=np.float64).reshape(n, plain["width"])
        structures = tuple(tuple(map(str, one)) for one in plain.get("structures", ()))
        return cls(names, scores, profiles, int(plain["of"]), structures)


def usual_of(store: CaseStore) -> Usual | None:
    """What was kept in an archive; None if it was made by another version."""
    return Usual.from_bytes(store.read_file(FILE)) if FILE in store.file_names() else None


def asked_for(by: str, name: str) -> bool:
    """Whether a part of a profile bears on an answer by a way or view."""
    if by == "dose":
        return "dose" in name or name in (STRUCTURES, *POSTURE)
    return by == "joint" or "dose" not in name  # other ways do not look at the query's dose


def what(name: str) -> str:
    """A part for people."""
    if name.startswith(RECONSTRUCTION):
        return f"how badly the encoder gives its {name.removeprefix(RECONSTRUCTION)} back"
    return "which structures it has" if name == STRUCTURES else WHAT.get(name, name)


def _apart(a: Numbers, b: Numbers) -> Numbers:
    return np.asarray(np.sqrt(((a[:, None] - b[None]) ** 2).sum(axis=2)))


def as_wide(profiles: Numbers, width: int) -> Numbers:
    """Profiles (n, p) of which more or less was kept than here, as (n, width); NaN is not known."""
    found = np.full((len(profiles), width), np.nan)
    kept = min(width, profiles.shape[1])
    found[:, :kept] = profiles[:, :kept]
    return found


def _parts(profiles: Numbers) -> list[tuple[str, slice]]:
    """The parts that profiles have."""
    return [(name, part) for name, part in PARTS.items() if part.stop <= profiles.shape[1]]


def _unshared(own: Names, others: Sequence[Names]) -> Numbers:
    """(n,): how many structures one of two has and the other has not; NaN where one has none."""
    here = frozenset(own)
    found = [len(here ^ frozenset(one)) if here and one else np.nan for one in others]
    return np.array(found, dtype=np.float64)


def _to_neighbours(apart: Numbers) -> Numbers:
    """Row by row the third smallest of what is known, or the largest of fewer; NaN of nothing."""
    ordered = np.sort(apart, axis=1)  # NaN last
    if not ordered.shape[1]:
        return np.full(len(apart), np.nan)
    known = np.isfinite(ordered).sum(axis=1)
    at = np.clip(np.minimum(NEIGHBOURS, known) - 1, 0, None)
    found = ordered[np.arange(len(ordered)), at]
    return np.asarray(np.where(known > 0, found, np.nan))


def _units(members: Numbers) -> tuple[Numbers, Numbers]:
    """What all members (n, m) but one stay below (m,), and all others but one, of each (n, m)."""
    ordered = np.sort(members, axis=0)[::-1]
    second, third = ordered[ODD], ordered[ODD + 1]
    return second, np.where(members >= second, third, second)


def _share(members: Numbers, own: float) -> float:
    """The conformal p-value: the share, with the query among them, that reach it."""
    return float((1 + np.sum(members >= own)) / (len(members) + 1))


def _nulls(value: Any) -> Any:
    """Plain values with None for NaN, which JSON does not know."""
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [_nulls(one) for one in value]
    return {key: _nulls(one) for key, one in value.items()} if isinstance(value, dict) else value
