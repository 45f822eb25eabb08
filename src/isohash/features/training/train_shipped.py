"""How the shipped encoders were made: the OpenKBP training patients, fixed seed and settings.

Run again on the same data and instruction set, the functions give the same files.
"""

from __future__ import annotations

from pathlib import Path

from isohash.features.cases.geometry import GeometrySettings
from isohash.features.cases.measures import measure
from isohash.features.cases.slices import ImageKind
from isohash.features.encoders.networks import AutoencoderSettings, Variant
from isohash.features.encoders.plan import PlanEncoder, fit_plan
from isohash.features.encoders.shipped import PLAN
from isohash.features.training.augmentation import Augmentation
from isohash.features.training.settings import Training, TrainingSettings
from isohash.features.training.training import train_encoder
from isohash.progress import Progress, tell
from isohash.sources.reading import read_cases

# One thread and float32: the same weights on every machine of the same instruction set. Images are
# moved by up to 8 mm, which lowers the held-out error; nothing else is disturbed.
SHIPPED_TRAINING = TrainingSettings(
    max_epochs=3,
    threads=1,
    precision="float32",
    half_weights=True,
    augmentation=Augmentation(shift=2, gain=0, offset=0, noise=0),
)


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


def make_shipped(
    training_folder: str | Path,
    kind: ImageKind,
    variant: Variant,
    out: str | Path,
    progress: Progress | None = None,
) -> Training:
    """Train `{kind}-{variant}` on the OpenKBP training patients and write it into `out`.

    Goes on from its checkpoint in `out` if it was interrupted.
    """
    out = Path(out)
    name = f"{kind}-{variant}"
    trained = train_encoder(
        read_cases(training_folder),
        kind,
        AutoencoderSettings(variant),
        SHIPPED_TRAINING,
        checkpoint=out / f"{name}.checkpoint.safetensors",
        progress=progress,
    )
    trained.encoder.save(out / f"{name}.safetensors")
    return trained


def make_shipped_plan(
    training_folder: str | Path, out: str | Path, progress: Progress | None = None
) -> PlanEncoder:
    """Fit the plan encoder on the OpenKBP training patients and write it into `out`."""
    cases = []
    for case in read_cases(training_folder):
        cases.append(measure(case))
        tell(progress, len(cases), len(cases), case.id)
    encoder = fit_plan(cases, OPENKBP_GEOMETRY, name=PLAN)
    encoder.save(Path(out) / f"{PLAN}.safetensors")
    return encoder
