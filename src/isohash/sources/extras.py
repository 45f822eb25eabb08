"""Parts of isohash that some formats need, asked for before any work is done."""

from __future__ import annotations

from importlib.util import find_spec

from isohash.errors import MissingExtra

PARTS = {  # suffix of a file -> the module that reads it, the extra that installs it, what for
    ".parquet": ("pyarrow", "parquet", "reading Parquet"),
    ".nii": ("nibabel", "nifti", "reading NIfTI"),
}


def ask_for(suffix: str) -> None:
    """MissingExtra where files of this suffix cannot be read here."""
    ask_for_module(*PARTS[suffix])


def ask_for_module(module: str, extra: str, purpose: str) -> None:
    """MissingExtra where a module that `extra` installs is not there."""
    if find_spec(module) is None:
        raise MissingExtra(extra, purpose)
