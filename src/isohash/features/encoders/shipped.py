"""The encoders that come with the package; benchmarks/train_shipped.py made them.

The model card beside the weights gives data, losses and limits.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from isohash.errors import InputError
from isohash.features.cases.geometry_settings import GeometrySettings
from isohash.features.encoders.encoders import Encoder, encoder_from_bytes
from isohash.features.encoders.plan import PlanEncoder

PLAN = "plan"

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
    names = (Path(file.name) for file in _weights().iterdir())
    return tuple(sorted(n.stem for n in names if n.suffix == ".safetensors" and n.stem != PLAN))


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


def shipped_by_digest(digest: str) -> bytes | None:
    """The file of the shipped encoder with that digest; None if none has it."""
    for name in shipped_names():
        if shipped_encoder(name).digest == digest:
            return _content(name)
    return _content(PLAN) if shipped_plan_encoder().digest == digest else None


def _content(name: str) -> bytes:
    return _weights().joinpath(f"{name}.safetensors").read_bytes()


def _weights() -> Traversable:
    return resources.files("isohash.features.encoders").joinpath("weights")
