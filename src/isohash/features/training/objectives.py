"""What an autoencoder is trained for: remembering, an orderly latent space, or telling kinds apart.

The variational and the Siamese objectives are those of Huang et al., Physics in Medicine and
Biology 68 (2023), and of the code published with it, with these differences: distances within a
batch take the place of drawn triplets, and the predictor normalises layers instead of batches,
because batches of volumes are small.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from isohash.errors import InputError

LossName = Literal["autoencoder", "variational", "siamese"]


@dataclass(frozen=True)
class Reconstruction:
    """Mean squared error of what comes back."""

    name: LossName = "autoencoder"


@dataclass(frozen=True)
class Variational:
    """InfoVAE: squared error, divergence from the prior per item, and of the whole from it (MMD).

    The prior is normal with variance `prior_variance`; the discrepancy uses the inverse
    multiquadric kernel. Weights are relative to a mean squared error times `reconstruction`.
    """

    name: LossName = "variational"
    reconstruction: float = 100.0
    divergence: float = 0.001
    discrepancy: float = 10.0
    prior_variance: float = 2.0


@dataclass(frozen=True)
class Siamese:
    """Reconstruction, agreement of two views of a case (SimSiam), and triplets by kind.

    Of every triplet in the batch, the item of the anchor's kind shall be nearer than the other by
    `margin` in squared distance of unit vectors.
    """

    name: LossName = "siamese"
    reconstruction: float = 1.0
    agreement: float = 0.01
    triplet: float = 0.1
    margin: float = 1.0


Objective = Reconstruction | Variational | Siamese
OBJECTIVES: Mapping[str, type[Reconstruction] | type[Variational] | type[Siamese]] = {
    "autoencoder": Reconstruction,
    "variational": Variational,
    "siamese": Siamese,
}


def objective_named(name: str) -> Objective:
    """The objective with its published weights."""
    if name not in OBJECTIVES:
        raise InputError(f"the loss must be one of {', '.join(get_args(LossName))}, got {name!r}")
    return OBJECTIVES[name]()


def objective_json(objective: Objective) -> dict[str, Any]:
    """Plain values for a JSON file."""
    return asdict(objective)
