"""What this machine and this installation offer, for `isohash doctor`."""

from __future__ import annotations

import importlib.util
import os
import platform
import sqlite3
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import isohash
from isohash.index.dispatch import engine_info

OPTIONAL = {
    "torch": ("train", "training autoencoders"),
    "onnx": ("train", "exporting trained encoders"),
    "matplotlib": ("figures", "evaluation figures"),
    "ot": ("kernels", "optimal-transport checks of kernel learning"),
    "faiss": ("bench", "comparison with FAISS"),
    "fastapi": ("serve", "the workbench in the browser"),
    "pylibjpeg": ("compressed", "compressed DICOM"),
    "nibabel": ("nifti", "NIfTI"),
    "pyarrow": ("parquet", "Parquet"),
}
REQUIRED = (
    "numpy", "scipy", "scikit-learn", "pydicom", "contourpy", "pillow", "safetensors",
    "onnxruntime", "jinja2", "typer", "rich",
)  # fmt: skip


def examine() -> dict[str, Any]:
    """Facts about the machine, the search engine and the optional parts, as plain values."""
    return {
        "isohash": isohash.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "sqlite": sqlite3.sqlite_version,
        "search": asdict(engine_info()),
        "required": {name: _version(name) for name in REQUIRED},
        "optional": {
            module: {
                "installed": importlib.util.find_spec(module) is not None,
                "extra": extra,
                "for": purpose,
                "install": f"pip install 'isohash[{extra}]'",
            }
            for module, (extra, purpose) in OPTIONAL.items()
        },
    }


def missing(facts: dict[str, Any]) -> list[str]:
    """Required packages that are not installed."""
    return [name for name, found in facts["required"].items() if found is None]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
