"""The objectives in torch; imported only to train.

A loss takes the model and one `Batch`; in validation nothing is drawn at random.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.features.encoders.networks import AutoencoderSettings
from isohash.features.training.autoencoder import Autoencoder, nn, torch
from isohash.features.training.objectives import Objective, Siamese, Variational

F = nn.functional
HIDDEN = 64  # width of the predictor


@dataclass(frozen=True, eq=False)
class Batch:
    """Inputs shown and outputs wanted (n, ...); `second` view and `labels` (n,) for `siamese`.

    `rng` is None in validation.
    """

    shown: torch.Tensor
    wanted: torch.Tensor
    second: torch.Tensor | None = None
    labels: NDArray[np.int64] | None = None
    rng: np.random.Generator | None = None


def heads_for(objective: Objective, network: AutoencoderSettings) -> Mapping[str, nn.Module]:
    """Layers that the objective needs beside encoder and decoder."""
    if isinstance(objective, Variational):
        return {"log_variance": nn.Linear(network.n_flat, network.latent)}
    if isinstance(objective, Siamese):
        predictor = nn.Sequential(
            nn.Linear(network.latent, HIDDEN),
            nn.LayerNorm(HIDDEN),
            nn.LeakyReLU(),
            nn.Linear(HIDDEN, network.latent),
        )
        return {"predictor": predictor}
    return {}


def loss_of(objective: Objective, model: Autoencoder, batch: Batch) -> torch.Tensor:
    """The scalar that training minimises."""
    if isinstance(objective, Variational):
        return _variational(objective, model, batch)
    if isinstance(objective, Siamese):
        return _siamese(objective, model, batch)
    return F.mse_loss(model(batch.shown).float(), batch.wanted)


def _variational(objective: Variational, model: Autoencoder, batch: Batch) -> torch.Tensor:
    flat = model.encoder[:-1](batch.shown)
    mean = model.encoder[-1](flat).float()
    log_variance = model.heads["log_variance"](flat).float()
    latent = mean
    if batch.rng is not None:
        noise = _normal(mean, batch.rng)
        latent = mean + torch.exp(0.5 * log_variance) * noise
    output = model.decoder(latent).float()
    divergence = 0.5 * (mean**2 + log_variance.exp() - 1.0 - log_variance).sum(dim=1).mean()
    return (
        objective.reconstruction * F.mse_loss(output, batch.wanted)
        + objective.divergence * divergence
        + objective.discrepancy * _discrepancy(latent, batch.rng, objective.prior_variance)
    )


def _discrepancy(
    latent: torch.Tensor, rng: np.random.Generator | None, variance: float
) -> torch.Tensor:
    """Squared maximum mean discrepancy from the prior, kernel C / (C + |x - y|^2), C = 2 d s^2."""
    rng = rng or np.random.default_rng(0)  # validation: always the same sample of the prior
    prior = np.sqrt(variance) * _normal(latent, rng)
    scale = 2.0 * latent.shape[1] * variance
    n = len(latent)

    def mean_kernel(a: torch.Tensor, b: torch.Tensor, same: bool) -> torch.Tensor:
        kernel = scale / (scale + _squared_distances(a, b))
        if not same:
            return kernel.mean()
        return (kernel.sum() - kernel.diagonal().sum()) / max(1, n * (n - 1))

    inside = mean_kernel(latent, latent, True) + mean_kernel(prior, prior, True)
    return inside - 2.0 * mean_kernel(latent, prior, False)


def _siamese(objective: Siamese, model: Autoencoder, batch: Batch) -> torch.Tensor:
    latent = model.encoder(batch.shown).float()
    loss = objective.reconstruction * F.mse_loss(model.decoder(latent).float(), batch.wanted)
    if batch.second is not None:
        other = model.encoder(batch.second).float()
        predict = model.heads["predictor"]
        loss = loss - 0.5 * objective.agreement * (
            F.cosine_similarity(predict(latent), other.detach()).mean()
            + F.cosine_similarity(predict(other), latent.detach()).mean()
        )
    if batch.labels is not None:
        loss = loss + objective.triplet * triplet_loss(latent, batch.labels, objective.margin)
    return loss


def triplet_loss(latent: torch.Tensor, labels: NDArray[np.int64], margin: float) -> torch.Tensor:
    """Mean of max(0, d(anchor, positive) - d(anchor, negative) + margin) over all triplets.

    d is the squared distance; 0 where the batch has no triplet.
    """
    kind = torch.from_numpy(np.asarray(labels)).to(latent.device)
    same = kind[:, None] == kind[None, :]
    positive = same & ~torch.eye(len(kind), dtype=torch.bool, device=latent.device)
    valid = positive[:, :, None] & ~same[:, None, :]  # (anchor, positive, negative)
    apart = _squared_distances(latent, latent)
    excess = torch.relu(apart[:, :, None] - apart[:, None, :] + margin)
    return (excess * valid).sum() / valid.sum().clamp(min=1)


def _squared_distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """|a_i - b_j|^2 as (n, m); written out, for its gradient is defined where a_i = b_j."""
    return ((a[:, None, :] - b[None, :, :]) ** 2).sum(dim=2)


def _normal(like: torch.Tensor, rng: np.random.Generator) -> Any:
    """Standard normal numbers of the same shape, from the generator given."""
    drawn = rng.standard_normal(tuple(like.shape), dtype=np.float32)
    return torch.from_numpy(drawn).to(like.device)
