"""How an archive is made and what one run of indexing did: settings, report, opening to write."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import isohash
from isohash.archive.store import CaseStore
from isohash.errors import InputError
from isohash.features.cases.slices import SliceSettings
from isohash.retrieval.naming import Unmapped
from isohash.sources.found import Findings, Skipped
from isohash.sources.identity.pseudonyms import key_path

# The fit looks at no more slices than this, from no more cases than that: 2 048 images of
# 128 x 128 float32 are 134 MB, and a 128-dimensional PCA changes little beyond.
FIT_SLICES = 2048
FIT_CASES = 64


@dataclass(frozen=True)
class IndexSettings:
    """How a new archive encodes and hashes; an existing archive keeps the settings it has.

    `hash` is "adaptive" (`make_hasher`) or "kernel" (`KernelHasher`, or `LeeHasher` for q > 2).
    """

    encoder: str = "auto"
    hash: str = "adaptive"
    bits: int = 1024
    q: int | None = None  # of the kernel hash: 2, or more for symbols compared by Lee distance
    embeddings: bool = True  # kept for re-ranking and for learning kernels
    dim: int = 128
    seed: int = 0
    slices: SliceSettings = field(default_factory=SliceSettings)
    fit_slices: int = FIT_SLICES
    fit_cases: int = FIT_CASES
    aliases: Mapping[str, str] = field(default_factory=dict)  # the user's names of structures


HASHES = ("adaptive", "kernel")


def with_hash(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with the hash that they imply: an alphabet `q` is one of the kernel hash."""
    hash_ = options.get("hash", "kernel" if "q" in options else None)
    if hash_ is None:
        return dict(options)
    if hash_ not in HASHES:
        raise InputError(f"--hash must be {' or '.join(HASHES)}, got {hash_!r}")
    if hash_ == "adaptive" and "q" in options:
        raise InputError("--q is for --hash kernel: adaptive codes choose their alphabets")
    return {**options, "hash": hash_}


@dataclass(frozen=True)
class IndexReport:
    """What one run of indexing did."""

    kind: str
    n_found: int
    indexed: tuple[str, ...]
    unchanged: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    n_cases: int
    warnings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by case
    unmapped: tuple[Unmapped, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`; what was typed for unknown names is not among them."""
        facts = asdict(self)
        for row in facts["unmapped"]:
            del row["typed"]
        return facts


def existing_store(archive: str | Path, options: Mapping[str, Any]) -> CaseStore | None:
    """The archive opened for writing, or None where there is none yet."""
    path = Path(archive)
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return None
    store = CaseStore.open(path, writable=True)
    made_with = settings_of(store.recipe)
    for name, value in options.items():
        if name == "aliases":  # may be edited at any time
            continue
        value = encoder_name(value) if name == "encoder" else value
        if made_with.get(name) != value:
            store.close()
            raise InputError(
                f"{archive} was made with {name} = {made_with.get(name)}, not {value}; "
                "leave the option out, or index into a new folder"
            )
    return store


def check_key(store: CaseStore, findings: Findings) -> None:
    """Refuse pseudonyms of another key: a patient would be there twice, as two patients."""
    kept = store.recipe.get("key", "")
    if findings.key and kept and findings.key != kept:
        raise InputError(
            "the pseudonyms of this archive were made with another key; set ISOHASH_KEY_FILE to "
            f"that key (this one is {key_path()}), or index into a new folder"
        )
    if findings.key and not kept:
        store.set_recipe({**store.recipe, "key": findings.key})


def settings_of(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The settings an archive was made with; older archives do not name all of them."""
    return {"hash": "kernel", "embeddings": True, "aliases": {}, **recipe["settings"]}


def encoder_name(encoder: str) -> str:
    """What the recipe says of an encoder: a path's last part, for paths belong to a machine."""
    return Path(encoder).name


def versions() -> dict[str, str]:
    """What made an archive or a figure, for its recipe."""
    return {
        "isohash": isohash.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
