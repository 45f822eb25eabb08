"""The encoders and the dose model that come with the package.

benchmarks/train_shipped.py made the encoders, `make shipped-dose` the dose model. The model card
beside the weights gives data, losses and limits.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING

from isohash.errors import InputError
from isohash.features.cases.geometry_settings import GeometrySettings
from isohash.features.encoders.encoders import Encoder, encoder_from_bytes
from isohash.features.encoders.plan import PlanEncoder

if TYPE_CHECKING:  # imported when they are read: most questions need neither
    from isohash.features.encoders.dose_calibration import DoseCalibration
    from isohash.features.encoders.dose_model import DoseModel

PLAN = "plan"
DOSE, DOSE_CALIBRATION = "openkbp-dose", "openkbp-dose-calibration"
SUFFIX = ".safetensors"
NOT_OF_IMAGES = (PLAN, DOSE, DOSE_CALIBRATION)

# What the shipped plan encoder measures, and whose doses it predicts.
OPENKBP_GEOMETRY = GeometrySettings(
    targets=("PTV_56", "PTV_63", "PTV_70"),
    organs=(
        "Bone_Mandible",
        "Brainstem",
        "Esophagus",
        "Larynx",
        "Parotid_L",
        "Parotid_R",
        "SpinalCord",
    ),
)


def shipped_names() -> tuple[str, ...]:
    """Names of the encoders of images in the package, such as "ct-deep"."""
    names = (Path(file.name) for file in _weights().iterdir() if file.name.endswith(SUFFIX))
    return tuple(sorted(name.stem for name in names if name.stem not in NOT_OF_IMAGES))


@cache
def shipped_encoder(name: str) -> Encoder:
    """The encoder of that name, ready to encode without torch."""
    if name not in shipped_names():
        raise InputError(f"no shipped encoder {name!r}: there are {', '.join(shipped_names())}")
    return encoder_from_bytes(_content(name), name)


@cache
def shipped_plan_encoder() -> PlanEncoder:
    """What the plans of the OpenKBP training patients teach about the doses of an anatomy."""
    return PlanEncoder.from_bytes(_content(PLAN), PLAN)


@cache
def shipped_dose_model() -> DoseModel:
    """What the plans of the OpenKBP training patients teach about the dose of every voxel."""
    from isohash.features.encoders.dose_model import DoseModel

    return DoseModel.from_bytes(_content(DOSE), DOSE)


@cache
def shipped_dose_calibration() -> DoseCalibration:
    """How far predictions by such a model lie from these plans, each left out in turn."""
    from isohash.features.encoders.dose_calibration import DoseCalibration

    return DoseCalibration.from_bytes(_content(DOSE_CALIBRATION), DOSE_CALIBRATION)


def shipped_by_digest(digest: str) -> bytes | None:
    """The file of the shipped encoder with that digest; None if none has it."""
    for name in shipped_names():
        if shipped_encoder(name).digest == digest:
            return _content(name)
    if shipped_dose_model().digest == digest:
        return _content(DOSE)
    return _content(PLAN) if shipped_plan_encoder().digest == digest else None


def _content(name: str) -> bytes:
    return _weights().joinpath(f"{name}{SUFFIX}").read_bytes()


def _weights() -> Traversable:
    return resources.files("isohash.features.encoders").joinpath("weights")
