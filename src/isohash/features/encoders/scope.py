"""What a dose model has seen: which structures together, and between which bounds.

An anatomy is refused where fewer than `FEWEST` of the cases behind the model had structures like
its own: half of their organs or more. A neck is so told from a breast, whatever the names of the
targets. Where measures of the anatomy lie outside those of nearly all these cases, the prediction
reaches beyond what is known, and that is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.features.cases.anatomy import Anatomy, Mask

FEWEST = 10  # cases alike without which nothing is foretold, and fewest to learn from
ALIKE = 0.5  # of a case's organs that an anatomy must have to be alike
EDGE = 0.05  # of the range of the cases seen: so far beyond it is still within
MEASURES: Mapping[str, str] = {
    "prescription": "Gy",
    "lowest level": "% of the prescription",
    "target volume": "cc",
    "target length": "mm",
    "target width": "mm",
    "target depth": "mm",
    "body width": "mm",
}


@dataclass(frozen=True, eq=False)
class Scope:
    """Of the n cases behind a model: `organs` (n, len(names)) and `measures` (n, MEASURES)."""

    names: tuple[str, ...]
    organs: NDArray[np.bool_]
    measures: NDArray[np.float64]

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """As named arrays, to be saved."""
        return {"scope.organs": self.organs.astype(np.uint8), "scope.measures": self.measures}

    @classmethod
    def of(cls, names: Sequence[str], arrays: Mapping[str, NDArray[Any]]) -> Scope:
        """What `arrays` named."""
        organs = arrays["scope.organs"].astype(bool)
        return cls(tuple(names), organs, arrays["scope.measures"])

    def refusal(self, anatomy: Anatomy) -> str | None:
        """Why no dose can be foretold for an anatomy, None where it can."""
        alike = int(self._alike(anatomy).sum())
        if alike >= FEWEST:
            return None
        often = [n for n, share in zip(self.names, self.organs.mean(axis=0), strict=True)
                 if share > ALIKE]  # fmt: skip
        return (
            f"{alike} of the {len(self.organs)} cases that the dose model learned from have organs "
            f"like those of {anatomy.id} (it needs {FEWEST}); most have {', '.join(often)}"
        )

    def unlike(self, anatomy: Anatomy) -> tuple[str, ...]:
        """What of an anatomy lies beyond what the cases alike span, in sentences."""
        seen = self.measures[self._alike(anatomy)]
        low, high = seen.min(axis=0), seen.max(axis=0)
        edge = EDGE * (high - low)
        own = measures(anatomy)
        beyond = np.flatnonzero((own < low - edge) | (own > high + edge))
        told = list(MEASURES.items())
        return tuple(
            f"{told[i][0]} of {own[i]:.0f} {told[i][1]}: the {len(seen)} cases alike have "
            f"{low[i]:.0f} to {high[i]:.0f}"
            for i in beyond
        )

    def _alike(self, anatomy: Anatomy) -> NDArray[np.bool_]:
        own = has_organs(anatomy, self.names)
        shared, theirs = (self.organs & own).sum(axis=1), self.organs.sum(axis=1)
        alike: NDArray[np.bool_] = (shared >= ALIKE * theirs) & (shared > 0)
        return alike


def has_organs(anatomy: Anatomy, names: Sequence[str]) -> NDArray[np.bool_]:
    """Which of the organs an anatomy has."""
    return np.array([name in anatomy.organs for name in names], dtype=bool)


def measures(anatomy: Anatomy) -> NDArray[np.float64]:
    """The numbers that `MEASURES` names."""
    mm = anatomy.spacing_mm
    cc = float(anatomy.target.sum()) * float(np.prod(mm)) / 1000.0
    length, depth, width = _extent(anatomy.target, mm)
    lowest = 100.0 * anatomy.levels[-1].gy / anatomy.prescription_gy
    body = _extent(anatomy.body, mm)
    return np.array([anatomy.prescription_gy, lowest, cc, length, width, depth, body[2]])


def _extent(mask: Mask, mm: Sequence[float]) -> list[float]:
    """Size of the box around a mask along each axis."""
    at = np.nonzero(mask)
    return [float(own.max() - own.min() + 1) * step for own, step in zip(at, mm, strict=True)]
