"""Training runs kept in a folder, so that an interrupted one goes on with the same bytes.

A checkpoint is one NPZ file with the arrays of a run and a JSON header, no pickle.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.kernels.learning.particles import History, State
from isohash.whole_files import private_folder, whole_file

FORMAT = 1


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
        private_folder(self.folder)
        save(self._path(multiplier), arrays, header)

    def resume(self, multiplier: float, fresh: State) -> State:
        """The saved state of the run with this multiplier, or `fresh` where there is none."""
        path = self._path(multiplier)
        if not path.exists():
            return fresh
        arrays, header = load(path, self.key)
        rng = np.random.default_rng()
        rng.bit_generator.state = header["rng"]
        names = vars(fresh.history)
        history = History(**{name: arrays[f"history_{name}"] for name in names})
        potentials = (arrays["f"], arrays["g"]) if "f" in arrays else None
        return State(int(header["step"]), arrays["xi"], rng, history, potentials)

    def _path(self, multiplier: float) -> Path:
        return self.folder / f"multiplier-{multiplier:.17g}.npz"


def save(path: Path, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> None:
    """Write the file whole or not at all: a killed run leaves the one before."""
    text = json.dumps({"format": FORMAT, **header}, sort_keys=True)
    with whole_file(path, kept_up=True) as file:
        np.savez(file, allow_pickle=False, header=np.array(text), **arrays)


def load(path: Path, expected_digest: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read a file written by `save`; refuses one from other data or other settings."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(str(arrays.pop("header")))
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is not a readable checkpoint ({error}); delete it") from error
    if header.get("format") != FORMAT:
        raise InputError(f"{path} has checkpoint format {header.get('format')}, not {FORMAT}")
    if header.get("digest") != expected_digest:
        raise InputError(f"{path} is from other data or settings; delete it or name another file")
    return arrays, header
