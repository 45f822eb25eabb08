"""The training loop itself; imported only to train, since it needs torch."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from isohash.features.encoders.networks import AutoencoderSettings
from isohash.features.training.autoencoder import (
    Autoencoder,
    export_encoder,
    set_weights,
    start_from_components,
    torch,
    weights_of,
)
from isohash.features.training.checkpoint import (
    State,
    moments_of,
    read_checkpoint,
    set_moments,
    trained_parameters,
    write_checkpoint,
)
from isohash.features.training.devices import autocast, chosen_precision, torch_settings
from isohash.features.training.images import TrainingImages
from isohash.features.training.losses import Batch, heads_for, loss_of
from isohash.features.training.objectives import Objective, Reconstruction, objective_json
from isohash.features.training.settings import Epoch, Training, TrainingSettings
from isohash.progress import Progress, tell

WARM_UP_STEPS = 50
PCA_IMAGES = 2048  # the straight path is fitted to no more, as `isohash index` does


class Trainer:
    """Images, network and settings, ready to run."""

    def __init__(
        self,
        images: TrainingImages,
        network: AutoencoderSettings,
        settings: TrainingSettings,
        progress: Progress | None,
        objective: Objective | None = None,
    ) -> None:
        self.images = images
        self.network = network
        self.settings = settings
        self.progress = progress
        self.objective = objective or Reconstruction()
        steps = settings.max_epochs * self.steps_per_epoch
        self.total_steps = min(steps, settings.max_steps or steps)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the training patients, the last one perhaps smaller."""
        return -(-len(self.images.training) // self.settings.batch_size)

    def run(self, checkpoint: Path | None) -> State:
        """Epochs until the budget or the patience ends, from the checkpoint where there is one."""
        with torch_settings(self.settings):
            model = Autoencoder(self.network, heads_for(self.objective, self.network))
            if checkpoint is not None and checkpoint.exists():
                state = read_checkpoint(checkpoint, self._identity())
            else:
                state = self._fresh(model)
            set_weights(model, state.weights)
            model.to(self.images.device, memory_format=self.images.layout)
            adam = torch.optim.Adam(
                [p for _, p in trained_parameters(model)], lr=self.settings.learning_rate
            )
            set_moments(model, adam, state)
            while not self.finished(state):
                self._epoch(model, adam, state)
                if checkpoint is not None:
                    write_checkpoint(checkpoint, state, self._identity())
        return state

    def finished(self, state: State) -> bool:
        """Whether the steps or the patience are used up."""
        return state.step >= self.total_steps or self._out_of_patience(state)

    def result(self, state: State, name: str, about: Mapping[str, Any]) -> Training:
        """The best weights so far as an encoder, with the history that led to them."""
        best = state.history[state.best_epoch]
        trained = {
            "settings": self.settings.to_json(),
            "objective": objective_json(self.objective),
            "precision": state.precision,
            "data_digest": self.images.digest,
            "n_images": len(self.images.training),
            "n_validation": len(self.images.validation),
            "epochs": state.best_epoch + 1,
            "training_loss": best.training_loss,
            "validation_loss": best.validation_loss,
            # without seconds: the same training gives the same file
            "history": [[epoch.training_loss, epoch.validation_loss] for epoch in state.history],
        }
        encoder = export_encoder(
            self.network,
            state.best,
            name,
            {**about, "training": trained},
            half=self.settings.half_weights,
        )
        return Training(
            encoder=encoder,
            history=tuple(state.history),
            best_epoch=state.best_epoch,
            n_steps=state.step,
            stopped_early=state.step < self.total_steps,
        )

    def _fresh(self, model: Autoencoder) -> State:
        if self.network.has_straight_path:
            rows = self.images.training
            some = np.linspace(0, len(rows) - 1, min(len(rows), PCA_IMAGES)).astype(int)
            images = self.images.clean(rows[some])[:, 0]
            start_from_components(model, images, self.settings.random_state)
        weights, device = weights_of(model), self.images.device
        precision = chosen_precision(model, self.network, self.settings, device)
        return State(weights, precision=precision)

    def _epoch(self, model: Autoencoder, adam: torch.optim.Adam, state: State) -> None:
        start = time.perf_counter()
        model.train()
        losses = []
        left = self.total_steps - state.step
        for rows in islice(self.images.order(len(state.history)), left):
            for group in adam.param_groups:
                group["lr"] = self._learning_rate(state.step)
            loss = self._loss(model, self.images.batch(rows, state.step), state.precision)
            adam.zero_grad(set_to_none=True)
            loss.backward()
            adam.step()
            losses.append(loss.item() * len(rows))
            state.step += 1
            self._report(state, losses[-1] / len(rows))
        training_loss = sum(losses) / self._images_seen(state, len(losses))
        validation_loss = self._validation_loss(model, state.precision)
        seconds = time.perf_counter() - start
        state.history.append(Epoch(training_loss, validation_loss, seconds))
        state.weights = weights_of(model)
        state.moments = moments_of(model, adam)
        if state.best_epoch == len(state.history) - 1:
            state.best = state.weights

    def _images_seen(self, state: State, n_batches: int) -> int:
        return min(n_batches * self.settings.batch_size, len(self.images.training))

    def _learning_rate(self, step: int) -> float:
        warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
        cosine = 0.5 * (1.0 + math.cos(math.pi * step / self.total_steps))
        return self.settings.learning_rate * warm_up * cosine

    def _loss(self, model: Autoencoder, batch: Batch, precision: str) -> torch.Tensor:
        with autocast(self.images.device, precision):
            return loss_of(self.objective, model, batch)

    def _validation_loss(self, model: Autoencoder, precision: str) -> float:
        model.eval()
        size = self.settings.batch_size
        total = 0.0
        with torch.no_grad():
            for start in range(0, len(self.images.validation), size):
                rows = self.images.validation[start : start + size]
                loss = self._loss(model, self.images.batch(rows, None), precision)
                total += loss.item() * len(rows)
        return total / len(self.images.validation)

    def _out_of_patience(self, state: State) -> bool:
        if not state.history:
            return False
        return len(state.history) - 1 - state.best_epoch >= self.settings.patience

    def _report(self, state: State, loss: float) -> None:
        message = f"epoch {len(state.history) + 1}, loss {loss:.5f}"
        if state.history:
            message += f", validation {state.history[-1].validation_loss:.5f}"
        tell(self.progress, state.step, self.total_steps, message)

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must agree in to be continued."""
        return {
            "network": self.network.to_json(),
            "settings": self.settings.to_json(),
            "objective": objective_json(self.objective),
            "data_digest": self.images.digest,
        }
