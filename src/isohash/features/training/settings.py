"""What a training is told, and what it gives."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from isohash.errors import InputError
from isohash.features.encoders.onnx_encoder import OnnxEncoder
from isohash.features.training.augmentation import Augmentation

Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class TrainingSettings:
    """Budget and optimiser; all of it is kept with the trained encoder.

    Training ends after `max_epochs`, after `max_steps`, or when the validation loss has not
    improved for `patience` epochs. `threads` None leaves torch's own choice; the last digits of
    the weights depend on it. `precision` "auto" takes bfloat16 where a short trial shows it
    clearly faster. `half_weights` stores the encoder's weights as float16: half the file.
    """

    max_epochs: int = 8
    max_steps: int | None = None
    batch_size: int = 16
    learning_rate: float = 3e-3
    validation_share: float = 0.1
    patience: int = 3
    random_state: int = 0
    threads: int | None = None
    precision: Precision = "auto"
    half_weights: bool = False
    augmentation: Augmentation | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        if self.max_epochs < 1 or self.batch_size < 1 or self.patience < 1:
            raise InputError("max_epochs, batch_size and patience must be at least 1")
        if not 0 < self.validation_share < 1:
            raise InputError(
                f"validation_share must lie between 0 and 1, got {self.validation_share}"
            )

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return asdict(self)


@dataclass(frozen=True)
class Epoch:
    """Mean squared errors after one epoch; pixels are in [0, 1]."""

    training_loss: float
    validation_loss: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Training:
    """The best encoder by validation loss, and how it came about."""

    encoder: OnnxEncoder
    history: tuple[Epoch, ...]
    best_epoch: int
    n_steps: int
    stopped_early: bool


# How the shipped encoders were trained. One thread and float32: the same weights on every machine
# of the same instruction set. Images are moved by up to 8 mm, which lowers the held-out error;
# nothing else is disturbed.
SHIPPED_TRAINING = TrainingSettings(
    max_epochs=3,
    threads=1,
    precision="float32",
    half_weights=True,
    augmentation=Augmentation(shift=2, gain=0, offset=0, noise=0),
)
