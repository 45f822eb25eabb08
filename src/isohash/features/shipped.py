"""The encoders that come with the package, and how they were made.

`make_shipped` trains one from the OpenKBP training patients with fixed seed and settings; the
model card beside the weights gives data, losses and limits.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

from isohash.errors import InputError
from isohash.features.encoders import Encoder, load_encoder
from isohash.features.networks import AutoencoderSettings, Variant
from isohash.features.slices import ImageKind
from isohash.features.training import Progress, Training, TrainingSettings, train_encoder
from isohash.sources.reading import read_cases

# One thread and float32: the same weights on every machine of the same instruction set.
SHIPPED_TRAINING = TrainingSettings(threads=1, precision="float32", half_weights=True)


def shipped_names() -> tuple[str, ...]:
    """Names of the encoders in the package, such as "ct-deep"."""
    files = resources.files("isohash.features").joinpath("weights").iterdir()
    names = (Path(file.name) for file in files)
    return tuple(sorted(name.stem for name in names if name.suffix == ".safetensors"))


@cache
def shipped_encoder(name: str) -> Encoder:
    """The encoder of that name, ready to encode without torch."""
    if name not in shipped_names():
        raise InputError(f"no shipped encoder {name!r}: there are {', '.join(shipped_names())}")
    file = resources.files("isohash.features").joinpath("weights", f"{name}.safetensors")
    with resources.as_file(file) as path:
        return load_encoder(path)


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
