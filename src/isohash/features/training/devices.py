"""On what a training computes, and how exactly: device, threads, seed, and float32 or bfloat16."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from isohash.errors import InputError
from isohash.features.encoders.networks import AutoencoderSettings
from isohash.features.training.autoencoder import Autoencoder, torch
from isohash.features.training.settings import TrainingSettings

TRIAL_STEPS = 3
# bfloat16 must be this much faster than float32 to be chosen, so that a busy machine does not
# decide: it is several times faster where the processor has matrix units, and slower elsewhere.
BFLOAT16_GAIN = 1.5


def device_of(name: str) -> torch.device:
    """The device of that name; "auto" is CUDA where it is there."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda is not available here: use device auto or cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


@contextmanager
def torch_settings(settings: TrainingSettings) -> Iterator[None]:
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


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """A context in which networks compute with that precision."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def chosen_precision(
    model: Autoencoder,
    network: AutoencoderSettings,
    settings: TrainingSettings,
    device: torch.device,
) -> str:
    """The asked precision; for "auto" the fast one if the machine is made for it."""
    if settings.precision != "auto":
        return settings.precision
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    batch = torch.zeros(settings.batch_size, *network.image_shape)
    seconds = {p: _trial_seconds(model, batch, p) for p in ("float32", "bfloat16")}
    faster = seconds["float32"] > BFLOAT16_GAIN * seconds["bfloat16"]
    return "bfloat16" if faster else "float32"


def _trial_seconds(model: Autoencoder, batch: torch.Tensor, precision: str) -> float:
    """The shortest of a few forward and backward passes; leaves the weights alone."""
    seconds = []
    for _ in range(TRIAL_STEPS):
        start = time.perf_counter()
        with autocast(batch.device, precision):
            loss = model(batch).float().square().mean()
        loss.backward()
        seconds.append(time.perf_counter() - start)
    model.zero_grad(set_to_none=True)
    return min(seconds)
