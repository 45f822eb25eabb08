"""What a training needs to go on with the same bytes: weights, moments, history; as one file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from isohash.errors import InputError
from isohash.features.encoders.encoder_file import KEY, content_of, parse_tensors
from isohash.features.training.autoencoder import Autoencoder, torch
from isohash.features.training.settings import Epoch
from isohash.whole_files import write_whole

Weights = dict[str, NDArray[np.float32]]


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


def write_checkpoint(path: Path, state: State, identity: Mapping[str, Any]) -> None:
    """Keep the state of a training; `identity` is what a run that goes on must agree in."""
    tensors = {
        f"{part}.{name}": np.ascontiguousarray(array)
        for part in ("weights", "moments", "best")
        for name, array in getattr(state, part).items()
    }
    fields = {
        **identity,
        "kind": "checkpoint",
        "step": state.step,
        "precision": state.precision,
        "history": [asdict(epoch) for epoch in state.history],
    }
    write_whole(path, [save(tensors, {KEY: json.dumps(fields)})], kept_up=True)


def read_checkpoint(path: Path, identity: Mapping[str, Any]) -> State:
    """What `write_checkpoint` kept; InputError if it is another training's."""
    fields, tensors = parse_tensors(content_of(path), str(path))
    for key, value in identity.items():
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


def moments_of(model: Autoencoder, adam: torch.optim.Adam) -> Weights:
    """Adam's running averages, by the names of the parameters."""
    moments: Weights = {}
    for name, parameter in trained_parameters(model):
        own = adam.state[parameter]
        moments[f"average.{name}"] = own["exp_avg"].cpu().contiguous().numpy().copy()
        moments[f"square.{name}"] = own["exp_avg_sq"].cpu().contiguous().numpy().copy()
    return moments


def trained_parameters(model: Autoencoder) -> Iterator[tuple[str, Any]]:
    """The parameters that training changes, by name."""
    return ((name, one) for name, one in model.named_parameters() if one.requires_grad)


def set_moments(model: Autoencoder, adam: torch.optim.Adam, state: State) -> None:
    """Give an optimiser the averages of a state, if it has any."""
    if not state.moments:
        return
    for name, parameter in trained_parameters(model):
        average, square = (
            torch.empty_like(parameter).copy_(torch.from_numpy(state.moments[f"{part}.{name}"]))
            for part in ("average", "square")
        )
        adam.state[parameter] = {
            "step": torch.tensor(float(state.step)),
            "exp_avg": average,
            "exp_avg_sq": square,
        }
