"""What the plans of a sample have in common, from which a dose model's features are chosen."""

from __future__ import annotations

from dataclasses import dataclass, field

from isohash.errors import InputError
from isohash.features.cases.anatomy import prescribed_targets
from isohash.features.cases.measures import own_structures
from isohash.features.cases.voxels import VoxelSettings
from isohash.features.encoders.dose_fitting import common_settings
from isohash.features.encoders.scope import FEWEST
from isohash.records import Case


@dataclass(eq=False)
class PlansSeen:
    """Dose levels (as shares of the prescription) and organs of the plans seen so far."""

    levels: list[tuple[float, ...]] = field(default_factory=list)
    organs: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, case: Case) -> None:
        """Count a case, if it is a plan that a dose model can learn from."""
        if case.ct is None or case.dose is None:
            return
        try:
            doses = prescribed_targets(case).values()
        except InputError:
            return
        self.levels.append(tuple(gy / max(doses) for gy in doses))
        self.organs.append(own_structures(case).organs)

    def settings(self) -> VoxelSettings | None:
        """The features that these plans have in common; None where they are too few."""
        if len(self.levels) < FEWEST:
            return None
        found = common_settings(self.levels, self.organs)
        return found if found.organs else None
