"""What is measured of one case under the names of its own structures.

An archive learns only after some cases which structures are common; so every case is measured
once, whatever it has, and `Measured.vector` lays the numbers out for any list of structures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.names import canonical_name, is_target, structures_by_name
from isohash.features.cases.geometry import SIGNATURE, dvh_features
from isohash.features.cases.geometry_settings import GEOMETRY_PARTS, GeometrySettings
from isohash.features.cases.vector import PARTS
from isohash.records import Case

Vector = NDArray[np.float64]

COMMON_SHARE = 0.25  # a structure that fewer of the cases have says little about the others


@dataclass(frozen=True, eq=False)
class Measured:
    """Geometry and dose-volume histograms of one case.

    `own` names its targets and organs; `parts` holds the raw vectors of `case_encoders.PARTS` laid
    out for them; `histograms` (structures, dose_volumes) in Gy is NaN without a dose. `has_target`
    counts targets of any name: their union is part of the geometry.
    """

    own: GeometrySettings
    parts: dict[str, Vector]
    histograms: Vector
    has_dose: bool
    has_target: bool

    def vector(self, settings: GeometrySettings, parts: Sequence[str] = GEOMETRY_PARTS) -> Vector:
        """The parts laid out for other structures, NaN where this case lacks one."""
        return np.concatenate([self._laid_out(name, settings) for name in parts])

    def doses(self, settings: GeometrySettings) -> Vector:
        """Gy (structures, dose_volumes) for other structures, NaN where this case lacks one."""
        return _picked(self.histograms, _at(settings.structures, self.own.structures))

    def has(self, settings: GeometrySettings) -> NDArray[np.bool_]:
        """Which of the structures this case has."""
        return _at(settings.structures, self.own.structures) >= 0

    def _laid_out(self, name: str, settings: GeometrySettings) -> Vector:
        values = self.parts[name]
        targets = _at(settings.targets, self.own.targets)
        if name == "presence":
            return (targets >= 0).astype(np.float64)
        if name == "signature":
            rows = values.reshape(len(self.own.structures), SIGNATURE)
            return _picked(rows, _at(settings.structures, self.own.structures)).ravel()
        n_targets, n_organs = len(self.own.targets), len(self.own.organs)
        entries = len(self.own.percentiles) if name == "overlap" else 1
        grid = values.reshape(n_targets + 1, n_organs, entries)
        grid = _picked(grid, np.append(targets, n_targets))  # the union of all targets comes last
        organs = _at(settings.organs, self.own.organs)
        return _picked(grid.swapaxes(0, 1), organs).swapaxes(0, 1).ravel()


def measure(case: Case, only: GeometrySettings | None = None) -> Measured:
    """Measure all targets and organs that have a canonical name, or only those given."""
    own = own_structures(case)
    if only is not None:
        targets, organs = set(only.targets), set(only.organs)
        own = replace(
            only,
            targets=tuple(name for name in own.targets if name in targets),
            organs=tuple(name for name in own.organs if name in organs),
        )
    return Measured(
        own,
        {name: PARTS[name].make(case, own) for name in GEOMETRY_PARTS},
        dvh_features(case, own).reshape(len(own.structures), len(own.dose_volumes)),
        case.dose is not None,
        any(map(is_target, structures_by_name(case))),
    )


def own_structures(case: Case) -> GeometrySettings:
    """The case's targets and organs by canonical name; what no rule knows is left out."""
    names = sorted(name for name in structures_by_name(case) if canonical_name(name) is not None)
    targets = tuple(name for name in names if is_target(name))
    return GeometrySettings(targets, tuple(n for n in names if not is_target(n) and n != "BODY"))


def common_structures(cases: Iterable[Measured], share: float = COMMON_SHARE) -> GeometrySettings:
    """The targets and organs that at least `share` of the cases have, in alphabetical order."""
    listed = [one.own for one in cases]

    def often(names: Iterable[str]) -> tuple[str, ...]:
        counted: dict[str, int] = {}
        for name in names:
            counted[name] = counted.get(name, 0) + 1
        return tuple(sorted(name for name, n in counted.items() if n >= share * len(listed)))

    return GeometrySettings(
        often(name for own in listed for name in own.targets),
        often(name for own in listed for name in own.organs),
    )


def _at(wanted: Sequence[str], there: Sequence[str]) -> NDArray[np.int64]:
    """Where each wanted name stands among those that are there; -1 for none."""
    position = {name: at for at, name in enumerate(there)}
    return np.array([position.get(name, -1) for name in wanted], dtype=np.int64)


def _picked(rows: Vector, at: NDArray[np.int64]) -> Vector:
    """Rows at these positions, NaN for -1."""
    picked = np.full((len(at), *rows.shape[1:]), np.nan)
    picked[at >= 0] = rows[at[at >= 0]]
    return picked
