"""isohash: find the past cases most like a new one by kernel hashing, exactly and in milliseconds.

Public names are loaded on first use, so that `import isohash` stays light: no torch, no
scikit-learn, no matplotlib until something needs them.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Archive": "isohash.retrieval.engine",
    "Calibration": "isohash.hashing.calibration",
    "Case": "isohash.records",
    "Codes": "isohash.records",
    "FlatIndex": "isohash.index.flat",
    "Hits": "isohash.records",
    "InputError": "isohash.errors",
    "KernelHasher": "isohash.hashing.kernel_hasher",
    "KernelLearner": "isohash.kernels.learning.learner",
    "LeeHasher": "isohash.hashing.lee_hasher",
    "RadialKernel": "isohash.kernels.radial",
    "RandomFeatureSVM": "isohash.kernels.machines.svm",
    "TwoStageIndex": "isohash.index.two_stage",
    "Volume": "isohash.records",
    "dice": "isohash.evaluation.kit.metrics",
    "dvh": "isohash.dosimetry.dvh",
    "jaccard": "isohash.evaluation.kit.metrics",
    "make_hasher": "isohash.hashing.adaptive_hasher",
    "precision_recall": "isohash.evaluation.kit.metrics",
    "read_case": "isohash.sources.reading",
    "read_cases": "isohash.sources.reading",
    "solve_mean_field": "isohash.kernels.learning.mean_field",
}

__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    """Load a public name from its home module on first use."""
    if name == "__version__":
        return _version()
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'isohash' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("isohash")
    except PackageNotFoundError:
        return "0+unknown"  # a source tree that was never installed


def __dir__() -> list[str]:
    return __all__
