"""The dose models that an archive keeps, read when they are first asked for.

| file | what |
|---|---|
| `dose-model` | what foretells the dose of a new anatomy |
| `dose-model-left-out-K`, `dose-folds` | models of all but one fold of patients; whose is which |
| `dose-calibration` | how far left-out predictions lie from plans |
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from isohash.features.cases.geometry_settings import GeometrySettings

if TYPE_CHECKING:  # imported when a model is read: most queries need none
    from isohash.features.encoders.dose_calibration import DoseCalibration
    from isohash.features.encoders.dose_model import DoseModel, DoseModels

MODEL, LEFT_OUT, FOLDS, CALIBRATION = (
    "dose-model", "dose-model-left-out-", "dose-folds", "dose-calibration",
)  # fmt: skip
MADE_BEFORE = "it was made before doses were foretold; index its source into a new folder"
OWN = "own"  # the name of a model that the archive's plans taught
NOT_WANTED = "no"  # of `missing`: left out on purpose


@dataclass(frozen=True, eq=False)
class DoseView:
    """What a recipe says of the dose model (`about`), and the files behind it."""

    about: Mapping[str, Any]
    read: Callable[[str], bytes]

    @property
    def why_not(self) -> str | None:
        """Why the archive has no dose model; None if it has one."""
        if "model" in self.about:
            return None
        return str(self.about.get("missing", MADE_BEFORE))

    @property
    def is_own(self) -> bool:
        """Whether the archive's own plans taught the model."""
        return self.about.get("model") == OWN

    @property
    def layout(self) -> GeometrySettings | None:
        """The structures whose histograms are compared; None where doses are not kept."""
        return GeometrySettings.from_json(self.about["layout"]) if "layout" in self.about else None

    @cached_property
    def model(self) -> DoseModel:
        """What foretells the dose of a new anatomy."""
        return self._model(MODEL)

    @cached_property
    def calibration(self) -> DoseCalibration | None:
        """How far its predictions lie from plans; None where too few plans can tell."""
        if "calibrated_on" not in self.about:
            return None
        from isohash.features.encoders.dose_calibration import DoseCalibration

        return DoseCalibration.from_bytes(self.read(CALIBRATION), CALIBRATION)

    def load(self) -> None:
        """Read all models; InputError says what is wrong with one."""
        if self.why_not is None:
            _ = self.model, self.calibration, self._left_out

    def for_patient(self, patient: str) -> DoseModel:
        """The model that has not seen the plans of a patient, if it learned from any."""
        fold = self._folds.get(patient)
        return self.model if fold is None else self._left_out[fold]

    @cached_property
    def _folds(self) -> Mapping[str, int]:
        found: dict[str, int] = json.loads(self.read(FOLDS))
        return found

    @cached_property
    def _left_out(self) -> tuple[DoseModel, ...]:
        n = max(self._folds.values(), default=-1) + 1
        return tuple(self._model(f"{LEFT_OUT}{k}") for k in range(n))

    def _model(self, name: str) -> DoseModel:
        from isohash.features.encoders.dose_model import DoseModel

        return DoseModel.from_bytes(self.read(name), name)


def dose_files(models: DoseModels) -> dict[str, bytes]:
    """The models as named blobs for an archive."""
    left_out = {f"{LEFT_OUT}{k}": one.to_bytes() for k, one in enumerate(models.left_out)}
    folds = json.dumps(dict(models.fold), sort_keys=True).encode()
    return {MODEL: models.model.to_bytes(), **left_out, FOLDS: folds}
