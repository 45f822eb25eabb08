"""Images of an archive asked one by one: are the nearest of the query's class?

Each image is left out once and asked; where labels lie in folders (of patients, laboratories,
slides), once more with all of its folder left out. Codes of several lengths are compared with the
embeddings they are made from, with thumbnails' pixels and, where it is installed, with FAISS. The
hashes see all images, but no label. Equal distances are ordered by position, as the index does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from isohash.distances import squared_distances
from isohash.errors import InputError, MissingExtra
from isohash.evaluation.images.scores import Scores, scores_of
from isohash.evaluation.kit.baselines import baselines
from isohash.evaluation.kit.metrics import precision_recall
from isohash.evaluation.kit.plotting import check_drawing, figure
from isohash.evaluation.kit.results import bootstrap_interval, write_curves, write_results
from isohash.hashing.adaptive_hasher import make_hasher
from isohash.index.flat import distances
from isohash.progress import Progress, tell
from isohash.retrieval.engine import Archive
from isohash.retrieval.items import Items
from isohash.whole_files import digest

Row = dict[str, Any]
Table = NDArray[Any]

VIEW = "look"
CENTRES = 256  # of FAISS's quantisers of 8 bits, which need as many images
PIXELS = 16  # of a side, to which thumbnails are averaged
ITSELF, FOLDER = "the image", "its folder"


@dataclass(frozen=True)
class ImagesSettings:
    """The study: code lengths, how many images ask (all, if there are fewer), and the seed."""

    bits: tuple[int, ...] = (32, 64, 128, 256, 512, 1024)
    faiss_bits: tuple[int, ...] = (64, 128)
    n_queries: int = 2000
    k: int = 10
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Labelled:
    """Embeddings (n, d), thumbnails' pixels (n, p), labels and folders of an archive's images."""

    embeddings: NDArray[np.float32]
    pixels: NDArray[np.float32]
    label: NDArray[np.str_]
    folder: NDArray[np.str_]

    @classmethod
    def of(cls, archive: Archive) -> Labelled:
        """InputError for an archive of something else, without labels or without embeddings."""
        store, contents = archive.store, archive.contents
        if not isinstance(contents, Items) or archive.recipe.kind != "images":
            raise InputError(f"{store.path} holds {archive.recipe.kind}; give an archive of images")
        label = np.array([str(one or "") for one in store.column("label")])
        if len(np.unique(label[label != ""])) < 2:
            raise InputError(f"{store.path}: two labels are needed; index a folder of sub-folders")
        if not archive.recipe.settings.embeddings:
            raise InputError(f"{store.path} keeps no embeddings; index without --no-embeddings")
        found = store.gather(f"embedding.{VIEW}").array.astype(np.float32)
        seen = np.stack([_pixels(contents, name) for name in contents])
        above = [str(one or "").rpartition("/")[0] for one in store.column("folder")]
        return cls(found, seen, label, np.array(above))


def run_images(
    archive: str | Path,
    out: str | Path,
    settings: ImagesSettings | None = None,
    progress: Progress | None = None,
) -> dict[str, list[Row]]:
    """The study; writes images and labels, each as CSV and JSON, and labels.png to `out`."""
    check_drawing()
    settings = settings or ImagesSettings()
    with Archive.open(archive) as opened:
        images = Labelled.of(opened)
        weights = dict(opened.recipe.get("encoders", {}))
    rng = np.random.default_rng(settings.seed)
    labelled = np.flatnonzero(images.label != "")
    asked = np.sort(rng.permutation(labelled)[: settings.n_queries])
    rows: list[Row] = []
    for done, (method, bits, table) in enumerate(_tables(images, asked, settings)):
        tell(progress, done, 2 * len(settings.bits), f"{method} {bits or ''}".strip())
        rows += _rows(images, asked, table, {"method": method, "bits": bits}, settings)
    about = {
        "settings": asdict(settings),
        "encoders": weights,
        "images": len(images.label),
        "asked": len(asked),
        "data_digest": digest(images.embeddings),
    }
    write_results(out, "images", rows, about)
    panels = _by_label(images, asked)
    write_curves(out, "labels", panels, ["label", "n"], about)
    _draw(panels, Path(out) / "labels.png")
    return {"images": rows}


def _pixels(contents: Items, name: str) -> NDArray[np.float32]:
    picture = PIL.Image.fromarray(contents.entry(name).picture(0)[0])
    small = picture.resize((PIXELS, PIXELS), PIL.Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32).ravel() / np.float32(255)


def _tables(
    images: Labelled, asked: NDArray[np.int64], settings: ImagesSettings
) -> Iterator[tuple[str, int | None, Table]]:
    """Method, bits and distances (asked, n) of each."""
    base, query = images.embeddings, images.embeddings[asked]
    yield "pixels, Euclidean", None, squared_distances(images.pixels[asked], images.pixels)
    yield "embeddings, Euclidean", None, squared_distances(query, base)
    for bits in settings.bits:
        codes = make_hasher(bits, settings.seed).fit(base).transform(base)
        yield "make_hasher", bits, distances(codes[asked], codes)
    for bits in settings.faiss_bits if len(base) >= CENTRES else ():
        for trial in baselines(bits, base.shape[1]):
            side = ", real-valued query" if trial.asymmetric else ""
            try:
                yield f"{trial.family}{side}", bits, trial.measure(base, query, settings.seed)
            except MissingExtra:
                break


def _rows(
    images: Labelled, asked: NDArray[np.int64], table: Table, told: Row, settings: ImagesSettings
) -> list[Row]:
    """A row for each way of leaving out."""
    own = np.arange(len(images.label)) == asked[:, None]
    ways = {ITSELF: own}
    if len(np.unique(images.folder)) > 1:
        ways[FOLDER] = images.folder == images.folder[asked][:, None]
    same = images.label == images.label[asked][:, None]
    return [
        {
            **told,
            "left_out": way,
            **_told(scores_of(table, same, hidden, settings.k), images, asked),
        }
        for way, hidden in ways.items()
    ]


def _told(scores: Scores, images: Labelled, asked: NDArray[np.int64]) -> Row:
    """Means with 95 % intervals, over folders where there are several and over images elsewhere."""
    several = len(np.unique(images.folder)) > 1
    groups = images.folder[asked][scores.answerable] if several else asked[scores.answerable]
    rng = np.random.default_rng(0)
    row: Row = {"asked": int(scores.answerable.sum())}
    for name, values in scores.named.items():
        low, high = bootstrap_interval(values, groups, rng)
        row |= {name: round(float(values.mean()), 4)}
        row |= {f"{name}_low": round(low, 4), f"{name}_high": round(high, 4)}
    return row


def _by_label(images: Labelled, asked: NDArray[np.int64]) -> list[Row]:
    """Precision and recall of the embeddings, by the query's label, each image left out."""
    panels = []
    for label in np.unique(images.label[asked]).tolist():
        rows = asked[images.label[asked] == label]
        if (images.label == label).sum() < 2:
            continue
        table = squared_distances(images.embeddings[rows], images.embeddings)
        others = np.arange(len(images.label)) != rows[:, None]
        kept = table[others].reshape(len(rows), -1)
        same = np.tile(images.label == label, (len(rows), 1))[others].reshape(len(rows), -1)
        curve = precision_recall(kept, same)
        points = {"recall": curve.recall.tolist(), "precision": curve.precision.tolist()}
        panels.append({"label": label, "n": len(rows), **points})
    return panels


def _draw(panels: list[Row], path: Path) -> None:
    with figure(path, 6.4, 4.0) as (_, axes):
        for panel in panels:
            axes.plot(panel["recall"], panel["precision"], label=f"{panel['label']} ({panel['n']})")
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1))
        axes.legend(fontsize=7)
