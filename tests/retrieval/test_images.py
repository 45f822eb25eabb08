"""Folders of images as archives: indexed, asked, filtered and shown as cases are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from isohash.errors import InputError
from isohash.features.encoders.appearance import AppearanceEncoder, fit_appearance
from isohash.features.encoders.encoders import load_encoder
from isohash.features.images.descriptors import SIZE, described
from isohash.records import Image
from isohash.retrieval.building.indexing import build_archive
from isohash.retrieval.engine import Archive
from small_cases import phantom

KINDS = {"dots": (200, 40, 60), "stripes": (60, 160, 90), "plain": (90, 60, 200)}
EACH = 14


def pixels(kind: str, number: int) -> np.ndarray:
    """A tile of a class: its colour, its texture, and noise of its own."""
    rng = np.random.default_rng([len(kind), number])
    tile = np.full((32, 32, 3), KINDS[kind], np.float64) + rng.normal(0, 12, (32, 32, 3))
    if kind == "dots":
        tile[::4, ::4] += 90
    if kind == "stripes":
        tile[:, :: 3 + number % 3] -= 50
    return np.clip(tile, 0, 255).astype(np.uint8)


def write(folder: Path) -> Path:
    for kind in KINDS:
        (folder / kind).mkdir(parents=True)
        for number in range(EACH):
            Pil.fromarray(pixels(kind, number)).save(folder / kind / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of images and its archive."""
    root = tmp_path_factory.mktemp("images")
    source = write(root / "source")
    report = build_archive(source, root / "archive", bits=128)
    assert (report.kind, report.n_cases, report.skipped) == ("images", 3 * EACH, ())
    return source, root / "archive"


def test_the_nearest_of_an_image_are_of_its_class(made):
    with Archive.open(made[1]) as archive:
        answers = [archive.query(f"{kind}/{n}.png", k=5) for kind in KINDS for n in range(EACH)]
    right = [m.facts["label"] == a.query.partition("/")[0] for a in answers for m in a]
    assert np.mean(right) > 0.99
    assert answers[0].by == "look"
    assert answers[0].summary == (
        f"5 nearest of {3 * EACH - 1} images by appearance, compared as wholes, 1 left out"
    )


def test_a_file_an_id_and_a_record_are_asked_alike(made):
    source, path = made
    with Archive.open(path) as archive:
        stored = archive.query("dots/3.png", k=4)
        for item in (source / "dots" / "3.png", Image("new", pixels("dots", 3))):
            found = archive.query(item, k=4, same_patient=True)
            assert found.ids[0] == "dots/3.png"
        assert archive.query(source / "dots" / "3.png", k=4).ids == stored.ids
        with pytest.raises(InputError, match="archive of images takes Image"):
            archive.query(phantom(0, 0))


def test_images_are_filtered_by_folder_label_and_size(made):
    with Archive.open(made[1]) as archive:
        answer = archive.query("dots/3.png", k=50, where="folder != 'dots' and width == 32")
        assert {match.facts["label"] for match in answer} == {"plain", "stripes"}
        assert answer.n_considered == 2 * EACH


def test_a_second_run_reads_what_is_new_and_what_has_changed(made, tmp_path: Path):
    source = write(tmp_path / "source")
    build_archive(source, tmp_path / "archive", bits=64)
    Pil.fromarray(pixels("dots", 99)).save(source / "dots" / "99.png")
    Pil.fromarray(pixels("plain", 99)).save(source / "plain" / "0.png")
    (source / "dots" / "bad.png").write_bytes(b"not an image")
    report = build_archive(source, tmp_path / "archive")
    assert report.indexed == ("dots/99.png", "plain/0.png")
    assert report.replaced == ("plain/0.png",)
    assert [Path(one.path).name for one in report.skipped] == ["bad.png"]
    with Archive.open(tmp_path / "archive") as archive:
        assert len(archive) == 3 * EACH + 1
        assert archive.verify().ok


def test_a_stranger_is_told(made):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    with Archive.open(made[1]) as archive:
        assert archive.query(Image("noise", noise), k=3).unlike is not None
        assert archive.query(Image("own", pixels("dots", 77)), k=3).unlike is None


def test_thumbnails_are_kept(made):
    with Archive.open(made[1]) as archive:
        picture, lines = archive.entry("dots/3.png").picture(0)
        np.testing.assert_array_equal(picture, pixels("dots", 3))
        assert lines is None


def test_one_image_is_an_archive(tmp_path: Path):
    Pil.fromarray(pixels("dots", 0)).save(tmp_path / "a.png")
    build_archive(tmp_path / "a.png", tmp_path / "archive", bits=64)
    with Archive.open(tmp_path / "archive") as archive:
        assert archive.query(Image("new", pixels("plain", 0)), k=1).ids == ["a.png"]


def test_an_encoder_of_slices_is_refused(made, tmp_path: Path):
    with pytest.raises(InputError, match="--encoder autoencoder is of slices"):
        build_archive(made[0], tmp_path / "archive", encoder="autoencoder")


def test_fitting_is_repeatable_and_kept_whole(tmp_path: Path):
    rows = np.stack([described(pixels(kind, n)) for kind in KINDS for n in range(EACH)])
    encoder = fit_appearance(rows, random_state=3)
    assert encoder.digest == fit_appearance(rows, random_state=3).digest
    encoder.save(tmp_path / "e")
    again = load_encoder(tmp_path / "e")
    assert isinstance(again, AppearanceEncoder)
    one = np.concatenate([again.encode(row[None]) for row in rows])
    np.testing.assert_array_equal(one, encoder.encode(rows))
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1.0, atol=1e-6)
    with pytest.raises(InputError, match=rf"\(n, {SIZE}\)"):
        encoder.encode(np.zeros((2, 3)))
