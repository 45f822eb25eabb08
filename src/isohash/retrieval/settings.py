"""What one run of indexing is told and did: options, report, opening an archive to write."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

import isohash
from isohash.archive.recipe import Recipe, encoder_name
from isohash.archive.store import CaseStore
from isohash.errors import InputError
from isohash.features.cases.slice_settings import SliceSettings
from isohash.retrieval.naming import Unmapped
from isohash.sources.found import Findings, Skipped
from isohash.sources.identity.pseudonyms import key_path

HASHES = ("adaptive", "kernel")


class Options(TypedDict, total=False):
    """The fields of `IndexSettings` that a new archive may be given by name."""

    encoder: str
    hash: str
    bits: int
    q: int | None
    embeddings: bool
    dim: int
    seed: int
    slices: SliceSettings
    fit_slices: int
    fit_cases: int
    dose_model: bool
    aliases: Mapping[str, str]
    pseudonymous_ids: bool
    pictures: bool


def checked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options whose names are known, with the hash that they imply (`q` is of the kernel hash)."""
    if unknown := sorted(set(options) - set(Options.__annotations__)):
        known = ", ".join(Options.__annotations__)
        raise InputError(f"there is no option {unknown[0]!r}; an archive has {known}")
    bits = options.get("bits", 8)
    if not isinstance(bits, int) or bits < 8 or bits % 8:
        raise InputError(f"--bits are stored in whole bytes: 8, 16, ... 1024, got {bits!r}")
    hash_ = options.get("hash", "kernel" if options.get("q") is not None else None)
    if hash_ is None:
        return dict(options)
    if hash_ not in HASHES:
        raise InputError(f"--hash must be {' or '.join(HASHES)}, got {hash_!r}")
    if hash_ == "adaptive" and options.get("q") is not None:
        raise InputError("--q is for --hash kernel: adaptive codes choose their alphabets")
    return {**options, "hash": hash_}


@dataclass(frozen=True)
class IndexReport:
    """What one run of indexing did.

    Of those `indexed`, `replaced` took the place of an earlier version of themselves, and `apart`
    got a name of their own, for something else has theirs (new name -> theirs). `vanished` are
    names of rows, by file, that a replaced file does not have any more.
    """

    kind: str
    n_found: int
    indexed: tuple[str, ...]
    unchanged: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    n_cases: int
    warnings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by case
    unmapped: tuple[Unmapped, ...] = ()
    notes: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    apart: Mapping[str, str] = field(default_factory=dict)
    vanished: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`; what was typed for unknown names is not among them."""
        facts = asdict(self)
        for row in facts["unmapped"]:
            del row["typed"]
        return facts


def is_absent(archive: Path) -> bool:
    """Whether there is nothing at a path, or an empty folder: an archive can be made there."""
    return not archive.exists() or (archive.is_dir() and not any(archive.iterdir()))


def existing_store(archive: str | Path, options: Mapping[str, Any]) -> CaseStore | None:
    """The archive opened for writing, or None where there is none yet."""
    path = Path(archive)
    if is_absent(path):
        return None
    store = CaseStore.open(path, writable=True)
    made_with = Recipe(store.recipe).settings
    for name, value in options.items():
        if name == "aliases" or (name == "pictures" and value):  # may be given at any time
            continue
        value, kept = encoder_name(value) if name == "encoder" else value, getattr(made_with, name)
        if kept != value:
            store.close()
            raise InputError(
                f"{archive} was made with {name} = {kept}, not {value}; "
                "leave the option out, or index into a new folder"
            )
    return store


def check_kind(store: CaseStore, findings: Findings) -> None:
    """Refuse items of another kind than the archive holds."""
    if (kind := Recipe(store.recipe).kind) != findings.holds:
        store.close()
        raise InputError(
            f"{store.path} holds {kind}, and the source {findings.holds}; "
            "give it a source of that kind, or index into a new folder"
        )


def check_key(store: CaseStore, findings: Findings) -> None:
    """Refuse pseudonyms of another key: a patient would be there twice, as two patients."""
    kept = Recipe(store.recipe).key
    if findings.key and kept and findings.key != kept:
        raise InputError(
            "the pseudonyms of this archive were made with another key, so nothing in it can be "
            f"known again; set ISOHASH_KEY_FILE to that key (this one is {key_path()}), or index "
            "into a new folder"
        )
    if findings.key and not kept:
        store.set_recipe(Recipe(store.recipe).changed(key=findings.key))


def versions() -> dict[str, str]:
    """What made an archive or a figure, for its recipe."""
    return {
        "isohash": isohash.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
