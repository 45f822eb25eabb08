"""Training runs kept in a folder, so that an interrupted one goes on with the same bytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from isohash.kernels.learning import checkpoint
from isohash.kernels.learning.particles import History, State


@dataclass(frozen=True)
class SavedRuns:
    """One checkpoint per multiplier in `folder`; finished runs shorten a resumed search.

    `key` is the digest of data and settings: a checkpoint of others is refused.
    """

    folder: Path
    key: str

    def save(self, multiplier: float, state: State) -> None:
        """Write the state of the run with this multiplier."""
        arrays = {f"history_{name}": column for name, column in state.history.arrays().items()}
        arrays["xi"] = state.xi
        if state.potentials is not None:
            arrays["f"], arrays["g"] = state.potentials
        header = {"digest": self.key, "step": state.step, "rng": state.rng.bit_generator.state}
        self.folder.mkdir(parents=True, exist_ok=True)
        checkpoint.save(self._path(multiplier), arrays, header)

    def resume(self, multiplier: float, fresh: State) -> State:
        """The saved state of the run with this multiplier, or `fresh` where there is none."""
        path = self._path(multiplier)
        if not path.exists():
            return fresh
        arrays, header = checkpoint.load(path, self.key)
        rng = np.random.default_rng()
        rng.bit_generator.state = header["rng"]
        names = vars(fresh.history)
        history = History(**{name: arrays[f"history_{name}"] for name in names})
        potentials = (arrays["f"], arrays["g"]) if "f" in arrays else None
        return State(int(header["step"]), arrays["xi"], rng, history, potentials)

    def _path(self, multiplier: float) -> Path:
        return self.folder / f"multiplier-{multiplier:.17g}.npz"
