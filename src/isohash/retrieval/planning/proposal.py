"""`Proposal`: the dose that a new patient would get, with its bands and the plans it leans on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isohash.records import Volume
from isohash.retrieval.entry import Entry
from isohash.retrieval.likeness import Unlike

USE = "research, not for treatment"
Method = Literal["model", "transfer"]
Doses = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Band:
    """The histogram that a structure would get: `gy` (v,) at `volume_percent` (v,) of its volume.

    `low` and `high` (2, v) in Gy hold, entry by entry, 68 % (row 0) and 90 % (row 1) of the plans
    of such anatomies.
    """

    structure: str
    volume_percent: Doses
    gy: Doses
    low: Doses
    high: Doses


@dataclass(frozen=True)
class Objective:
    """One number that planners aim at: `gy` is what the anatomy would get.

    68 and 90 % of plans lie between `low_68` and `high_68`, `low_90` and `high_90`. `best_gy` is
    the best that one of the similar past patients got, the case `best_case`; None where none of
    them has the structure.
    """

    structure: str
    metric: str
    gy: float
    low_68: float
    high_68: float
    low_90: float
    high_90: float
    source: str
    best_gy: float | None = None
    best_case: str | None = None


@dataclass(frozen=True, eq=False)
class PastPlan:
    """A past plan near to what the anatomy would get: how far in Gy, with its 95 % interval.

    Both are None where nothing foretells histograms to compare with.
    """

    id: str
    distance_gy: float | None
    interval: tuple[float, float] | None
    facts: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Proposal:
    """The dose that a new patient would get, as past plans teach it. Research, not for treatment.

    `dose`, `half_width` and `half_width_90` are in Gy on the grid of the patient's CT: 68 (90) % of
    the voxels' planned doses lie within the half width of the dose. `method` says where the dose
    comes from: "model", learned from all past plans (of few, from those that isohash was made
    with), or "transfer", the mean of the nearest plans laid rigidly on the patient, where neither
    serves; bands are then the spread of these plans, not calibrated (`calibrated`). `leans_on` are
    the past plans nearest to it, and `unlike` says, as that of an `Answer`, that the patient is
    unlike what the archive holds and how much; None where it is not.

    Example:
        >>> import isohash, tempfile
        >>> from isohash.sources.phantom import phantom_case
        >>> def case(member):
        ...     return phantom_case(0, member, shape=(24, 48, 48))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     past = map(case, range(1, 6))
        ...     _ = isohash.build_archive(past, f"{folder}/archive", encoder="pca")
        ...     with isohash.Archive.open(f"{folder}/archive") as archive:
        ...         proposal = archive.propose(case(0))
        >>> proposal.method, proposal.dose.array.shape, len(proposal.leans_on) > 0
        ('model', (24, 48, 48), True)
    """

    query: str
    prescription_gy: float
    dose: Volume
    half_width: Volume
    half_width_90: Volume
    bands: Mapping[str, Band]
    objectives: tuple[Objective, ...]
    leans_on: tuple[PastPlan, ...]
    unlike: Unlike | None
    method: Method
    learned_from: str
    calibrated: bool
    warnings: tuple[str, ...]
    entry: Entry

    def to_json(self) -> dict[str, Any]:
        """Plain values, without the volumes."""
        return {
            "use": USE,
            "query": self.query,
            "prescription_gy": self.prescription_gy,
            "method": self.method,
            "learned_from": self.learned_from,
            "calibrated": self.calibrated,
            "unlike": None if self.unlike is None else asdict(self.unlike),
            "warnings": list(self.warnings),
            "leans_on": [asdict(one) for one in self.leans_on],
            "objectives": [asdict(one) for one in self.objectives],
            "bands": [_plain(band) for band in self.bands.values()],
        }


def _plain(band: Band) -> dict[str, Any]:
    values = asdict(band)
    return {n: v.tolist() if isinstance(v, np.ndarray) else v for n, v in values.items()}
