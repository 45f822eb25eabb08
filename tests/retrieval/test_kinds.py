"""Another kind of item needs its source, its kind and its view, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from isohash.errors import InputError
from isohash.features import known
from isohash.features.kinds import Kind, View
from isohash.retrieval import items
from isohash.retrieval.building.indexing import index_found
from isohash.retrieval.engine import Archive
from isohash.sources.found import Findings, Found
from small_cases import phantom

SIZE = 16


@dataclass(frozen=True, eq=False)
class Tile:
    """A grey picture with a class."""

    id: str
    array: np.ndarray
    label: str
    warnings: tuple[str, ...] = ()

    @property
    def patient(self) -> str:
        return self.id


def cut(tile: Tile, settings: object) -> SimpleNamespace:
    return Cut(tile.array[None], np.zeros(1, np.int64), np.zeros(1))


@dataclass(frozen=True, eq=False)
class Cut:
    pixels: np.ndarray
    slice_index: np.ndarray
    z_mm: np.ndarray

    def __len__(self) -> int:
        return 1


def rows(cut: Cut) -> np.ndarray:
    return np.arange(len(cut))


def images(cut: Cut, rows: np.ndarray) -> np.ndarray:
    return cut.pixels[rows]


SEEN = View("grey", "brightness", "", "grey", rows, images)
TILES = Kind(
    "tiles",
    Tile,
    (SEEN,),
    cut,
    lambda tile, _: {"patient": tile.id, "label": tile.label, "warnings": []},
    lambda tile, _: {"preview.bytes": (255 * tile.array).astype(np.uint8)},
    lambda arrays, facts, index: (arrays["preview.bytes"], None),
)


def tile(label: str, number: int) -> Tile:
    rng = np.random.default_rng([len(label), number])
    dots = np.zeros((SIZE, SIZE), np.float32)
    dots[:: len(label), :: len(label)] = 0.9
    noise = rng.uniform(0, 0.1, dots.shape).astype(np.float32)
    return Tile(f"{label}-{number}", dots + noise, label)


def tiles() -> Findings:
    made = [tile(label, number) for label in ("on", "off", "even") for number in range(12)]
    found = tuple(Found(one.id, "1", one.id, partial(lambda one, naming: one, one)) for one in made)
    return Findings("tiles", found, holds="tiles")


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(known.KINDS, "tiles", TILES)
    index_found(tiles(), tmp_path / "A", {"bits": 64, "dim": 8, "encoder": "pca"})
    with Archive.open(tmp_path / "A") as opened:
        yield opened


def test_items_of_a_new_kind_are_indexed_and_found(archive: Archive) -> None:
    answer = archive.query("off-3", k=8)
    assert answer.by == "grey"
    assert answer.labels == {"grey": "brightness"}
    assert {match.facts["label"] for match in answer} == {"off"}
    assert answer.summary == "8 nearest of 35 tiles by brightness, compared as wholes, 1 left out"
    asked = archive.query(tile("even", 99), k=5, by="grey", where="label == 'even'")
    assert asked.n_considered == 12
    assert answer == archive.query("off-3", k=8, weights={"grey": 1.0})


def test_a_new_kind_is_asked_by_its_own_views_only(archive: Archive) -> None:
    for options in ({"by": "ct"}, {"by": "joint"}, {"by": "plan"}, {"alpha": 0.3}):
        with pytest.raises(InputError, match=r"must be grey|alpha"):
            archive.query("on-1", **options)
    with pytest.raises(InputError, match="archive of tiles takes Tile"):
        archive.query(phantom(0, 0))


def test_a_new_kind_has_pictures(archive: Archive) -> None:
    session = archive.session("on-2", pictures=True)
    grey, lines = session.query.picture(0)
    assert grey.shape == (SIZE, SIZE)
    assert lines is None
    assert items.Items is type(archive.contents)
