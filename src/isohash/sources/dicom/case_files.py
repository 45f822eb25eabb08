"""The files of one case, as they were joined."""

from __future__ import annotations

from dataclasses import dataclass

from isohash.sources.dicom.scan import Instance

BY_POSITION = "structures are linked by position only: every contour lies in a slice of the CT"


@dataclass(frozen=True)
class CaseFiles:
    """The files of one case and what had to be assumed to join them.

    `frame_uid` is empty where the CT names no frame of reference.
    """

    patient: str
    frame_uid: str
    ct: tuple[Instance, ...] = ()
    doses: tuple[Instance, ...] = ()
    structures: Instance | None = None
    plan: Instance | None = None
    warnings: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Instance, ...]:
        """All files, CT first."""
        return (*self.ct, *self.doses, *(f for f in (self.structures, self.plan) if f is not None))

    @property
    def identity(self) -> tuple[str, ...]:
        """UIDs that make this case what it is, whatever else is found later."""
        series = sorted({instance.series_uid for instance in self.ct})
        plan = [self.plan.sop_uid] if self.plan else sorted(dose.sop_uid for dose in self.doses)
        return (self.patient, *series, *plan)
