"""The training loop itself; imported only to train, since it needs torch."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from isohash.errors import InputError
from isohash.features.cases.groups import held_out_groups
from isohash.features.encoders.encoder_file import content_of, parse_tensors
from isohash.features.encoders.networks import AutoencoderSettings
from isohash.features.training.autoencoder import (
    Autoencoder,
    export_encoder,
    set_weights,
    start_from_components,
    torch,
    weights_of,
)
from isohash.features.training.losses import Batch, heads_for, loss_of
from isohash.features.training.objectives import Objective, Reconstruction, objective_json
from isohash.features.training.settings import Epoch, Training, TrainingSettings
from isohash.progress import Progress
from isohash.whole_files import write_whole

WARM_UP_STEPS = 50
TRIAL_STEPS = 3
PCA_IMAGES = 2048  # the straight path is fitted to no more, as `isohash index` does
# bfloat16 must be this much faster than float32 to be chosen, so that a busy machine does not
# decide: it is several times faster where the processor has matrix units, and slower elsewhere.
BFLOAT16_GAIN = 1.5

Weights = dict[str, NDArray[np.float32]]
Images = NDArray[np.float32]  # (n, inputs, y, x) or (n, inputs, z, y, x)


@dataclass(eq=False)
class State:
    """All that the next epoch depends on."""

    weights: Weights
    moments: Weights = field(default_factory=dict)  # of Adam, by "average." and "square." names
    best: Weights = field(default_factory=dict)
    history: list[Epoch] = field(default_factory=list)
    step: int = 0
    precision: str = "float32"

    @property
    def best_epoch(self) -> int:
        """Counted from 0; the first of equal ones."""
        return int(np.argmin([epoch.validation_loss for epoch in self.history]))


class Trainer:
    """Images, network and settings, ready to run."""

    def __init__(
        self,
        images: NDArray[Any],
        groups: Sequence[str] | NDArray[Any],
        network: AutoencoderSettings,
        settings: TrainingSettings,
        progress: Progress | None,
        objective: Objective | None = None,
        second: NDArray[Any] | None = None,
        labels: NDArray[np.int64] | None = None,
    ) -> None:
        self.images = images
        self.network = network
        self.settings = settings
        self.progress = progress
        self.objective = objective or Reconstruction()
        self.second, self.labels = second, labels
        held_out = held_out_groups(groups, settings.validation_share, settings.random_state)
        self.training, self.validation = np.flatnonzero(~held_out), np.flatnonzero(held_out)
        self.data_digest = _data_digest(images, groups, second, labels)
        self.layout = torch.channels_last if network.dims == 2 else torch.channels_last_3d
        self.device = _device(settings.device)
        steps = settings.max_epochs * self.steps_per_epoch
        self.total_steps = min(steps, settings.max_steps or steps)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the training patients, the last one perhaps smaller."""
        return -(-len(self.training) // self.settings.batch_size)

    def run(self, checkpoint: Path | None) -> State:
        """Epochs until the budget or the patience ends, from the checkpoint where there is one."""
        with _torch_settings(self.settings):
            model = Autoencoder(self.network, heads_for(self.objective, self.network))
            state = self._resumed(checkpoint) or self._fresh(model)
            set_weights(model, state.weights)
            model.to(self.device, memory_format=self.layout)
            adam = torch.optim.Adam([p for _, p in _trained(model)], lr=self.settings.learning_rate)
            _set_moments(model, adam, state)
            while not self.finished(state):
                self._epoch(model, adam, state)
                if checkpoint is not None:
                    self._write(checkpoint, state)
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
            "data_digest": self.data_digest,
            "n_images": len(self.training),
            "n_validation": len(self.validation),
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
            some = np.linspace(0, len(self.training) - 1, min(len(self.training), PCA_IMAGES))
            images = self._clean(self.images, self.training[some.astype(int)])[:, 0]
            start_from_components(model, images, self.settings.random_state)
        weights = weights_of(model)
        return State(weights, precision=self._precision(model))

    def _precision(self, model: Autoencoder) -> str:
        if self.settings.precision != "auto":
            return self.settings.precision
        if self.device.type == "cuda":
            return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
        batch = torch.zeros(self.settings.batch_size, *self.network.image_shape)
        seconds = {p: _trial_seconds(model, batch, p) for p in ("float32", "bfloat16")}
        faster = seconds["float32"] > BFLOAT16_GAIN * seconds["bfloat16"]
        return "bfloat16" if faster else "float32"

    def _epoch(self, model: Autoencoder, adam: torch.optim.Adam, state: State) -> None:
        start = time.perf_counter()
        model.train()
        losses = []
        for rows in self._batches(state):
            for group in adam.param_groups:
                group["lr"] = self._learning_rate(state.step)
            loss = self._loss(model, self._examples(rows, state.step), state.precision)
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
        state.moments = _moments(model, adam)
        if state.best_epoch == len(state.history) - 1:
            state.best = state.weights

    def _batches(self, state: State) -> Iterator[NDArray[np.int64]]:
        """The epoch's batches of image numbers; their order depends on seed and epoch alone."""
        rng = np.random.default_rng([self.settings.random_state, 2, len(state.history)])
        order = rng.permutation(self.training)
        size = self.settings.batch_size
        left = self.total_steps - state.step
        for start in range(0, len(order), size)[:left]:
            yield np.sort(order[start : start + size])

    def _images_seen(self, state: State, n_batches: int) -> int:
        return min(n_batches * self.settings.batch_size, len(self.training))

    def _learning_rate(self, step: int) -> float:
        warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
        cosine = 0.5 * (1.0 + math.cos(math.pi * step / self.total_steps))
        return self.settings.learning_rate * warm_up * cosine

    def _loss(self, model: Autoencoder, batch: Batch, precision: str) -> torch.Tensor:
        with _autocast(self.device, precision):
            return loss_of(self.objective, model, batch)

    def _clean(self, images: NDArray[Any], rows: NDArray[np.int64]) -> Images:
        batch = images[rows].reshape(len(rows), *self.network.image_shape)
        scale = 1.0 / 255.0 if batch.dtype == np.uint8 else 1.0
        return batch.astype(np.float32) * np.float32(scale)

    def _examples(self, rows: NDArray[np.int64], step: int | None) -> Batch:
        """What is shown and wanted in a step; all that is random depends on seed and step alone.

        Without a step, in validation, nothing is random.
        """
        shown = wanted = self._clean(self.images, rows)
        second = None if self.second is None else self._clean(self.second, rows)
        rng = None
        if step is not None:
            rng = np.random.default_rng([self.settings.random_state, 3, step])
            if self.settings.augmentation is not None:
                shown, wanted = self.settings.augmentation(shown, rng)
        return Batch(
            self._tensor(shown),
            self._tensor(wanted),
            None if second is None else self._tensor(second),
            None if self.labels is None else self.labels[rows],
            rng,
        )

    def _tensor(self, images: Images) -> torch.Tensor:
        return torch.from_numpy(images).to(self.device, memory_format=self.layout)

    def _validation_loss(self, model: Autoencoder, precision: str) -> float:
        model.eval()
        size = self.settings.batch_size
        total = 0.0
        with torch.no_grad():
            for start in range(0, len(self.validation), size):
                rows = self.validation[start : start + size]
                loss = self._loss(model, self._examples(rows, None), precision)
                total += loss.item() * len(rows)
        return total / len(self.validation)

    def _out_of_patience(self, state: State) -> bool:
        if not state.history:
            return False
        return len(state.history) - 1 - state.best_epoch >= self.settings.patience

    def _report(self, state: State, loss: float) -> None:
        if self.progress is None:
            return
        message = f"epoch {len(state.history) + 1}, loss {loss:.5f}"
        if state.history:
            message += f", validation {state.history[-1].validation_loss:.5f}"
        self.progress(state.step, self.total_steps, message)

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must agree in to be continued."""
        return {
            "network": self.network.to_json(),
            "settings": self.settings.to_json(),
            "objective": objective_json(self.objective),
            "data_digest": self.data_digest,
        }

    def _write(self, path: Path, state: State) -> None:
        tensors = {
            f"{part}.{name}": np.ascontiguousarray(array)
            for part in ("weights", "moments", "best")
            for name, array in getattr(state, part).items()
        }
        fields = {
            **self._identity(),
            "kind": "checkpoint",
            "step": state.step,
            "precision": state.precision,
            "history": [asdict(epoch) for epoch in state.history],
        }
        write_whole(path, [save(tensors, {"isohash": json.dumps(fields)})])

    def _resumed(self, path: Path | None) -> State | None:
        if path is None or not path.exists():
            return None
        fields, tensors = parse_tensors(content_of(path), str(path))
        for key, value in self._identity().items():
            if fields.get(key) != json.loads(json.dumps(value)):
                raise InputError(
                    f"the checkpoint {path} belongs to a training with other {key}: "
                    "delete it or name another"
                )
        parts: dict[str, Weights] = {"weights": {}, "moments": {}, "best": {}}
        for name, array in tensors.items():
            part, own = name.split(".", 1)
            parts[part][own] = array
        history = [Epoch(**epoch) for epoch in fields["history"]]
        return State(**parts, history=history, step=fields["step"], precision=fields["precision"])


def _data_digest(
    images: NDArray[Any], groups: Sequence[str] | NDArray[Any], *more: NDArray[Any] | None
) -> str:
    digest = hashlib.sha256(f"{images.dtype.str} {images.shape}\n".encode())
    digest.update("\n".join(str(group) for group in groups).encode())
    for array in (images, *(array for array in more if array is not None)):
        for start in range(0, len(array), 256):  # in blocks: no copy of all the images
            digest.update(np.ascontiguousarray(array[start : start + 256]).tobytes())
    return digest.hexdigest()


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda is not available here: use device auto or cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


@contextmanager
def _torch_settings(settings: TrainingSettings) -> Iterator[None]:
    """Torch's seed and threads for the training only: the caller's come back afterwards."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng():
        torch.manual_seed(settings.random_state)
        torch.set_num_threads(settings.threads or threads)
        torch.backends.cudnn.deterministic = True
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _autocast(device: torch.device, precision: str) -> torch.autocast:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def _trial_seconds(model: Autoencoder, batch: torch.Tensor, precision: str) -> float:
    """The shortest of a few forward and backward passes; leaves the weights alone."""
    seconds = []
    for _ in range(TRIAL_STEPS):
        start = time.perf_counter()
        with _autocast(batch.device, precision):
            loss = model(batch).float().square().mean()
        loss.backward()
        seconds.append(time.perf_counter() - start)
    model.zero_grad(set_to_none=True)
    return min(seconds)


def _moments(model: Autoencoder, adam: torch.optim.Adam) -> Weights:
    moments: Weights = {}
    for name, parameter in _trained(model):
        own = adam.state[parameter]
        moments[f"average.{name}"] = own["exp_avg"].cpu().contiguous().numpy().copy()
        moments[f"square.{name}"] = own["exp_avg_sq"].cpu().contiguous().numpy().copy()
    return moments


def _trained(model: Autoencoder) -> Iterator[tuple[str, Any]]:
    """The parameters that training changes, by name."""
    return ((name, one) for name, one in model.named_parameters() if one.requires_grad)


def _set_moments(model: Autoencoder, adam: torch.optim.Adam, state: State) -> None:
    if not state.moments:
        return
    for name, parameter in _trained(model):
        average, square = (
            torch.empty_like(parameter).copy_(torch.from_numpy(state.moments[f"{part}.{name}"]))
            for part in ("average", "square")
        )
        adam.state[parameter] = {
            "step": torch.tensor(float(state.step)),
            "exp_avg": average,
            "exp_avg_sq": square,
        }
