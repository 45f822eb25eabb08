"""Answers with images are shown as a gallery: on the page, as a sheet, in the workbench."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from isohash.apps.page.collage import FRAME, GAP, IMAGE, write_collage
from isohash.apps.page.report import write_report
from isohash.records import Image
from isohash.retrieval.building.indexing import build_archive
from isohash.retrieval.engine import Archive
from workbench import client_of

N = 8


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Red and blue tiles of two sizes, in folders that are called so."""
    root = tmp_path_factory.mktemp("gallery")
    rng = np.random.default_rng(0)
    for channel, name in ((0, "red"), (2, "blue")):
        (root / "source" / name).mkdir(parents=True)
        for number in range(N):
            pixels = rng.integers(0, 60, (24 + number, 30, 3), dtype=np.uint8)
            pixels[..., channel] += 180
            Pil.fromarray(pixels).save(root / "source" / name / f"{number}.png")
    build_archive(root / "source", root / "archive", bits=64)
    return root / "archive"


def shown(archive: Path, item: object, k: int, folder: Path) -> tuple[str, Path]:
    """The page and the sheet of an answer."""
    with Archive.open(archive) as opened:
        session = opened.session(item, pictures=True)
        answer = session.ask(k=k)
        write_report(session, answer, folder / "page.html")
        write_collage(session, answer, folder / "sheet.png")
    return (folder / "page.html").read_text(), folder / "sheet.png"


def test_the_page_shows_all_results_and_shades_other_classes(archive: Path, tmp_path: Path):
    k = 2 * N - 1
    text, sheet = shown(archive, "red/3.png", k, tmp_path)
    assert text.count('<figure class="wrong">') == N
    assert text.count("data:image/png;base64,") == k + 1
    assert f"{N - 1} of the query's class, red" in text
    assert " Gy" not in text
    picture = Pil.open(sheet)
    assert picture.size[0] == 4 * (IMAGE + GAP) + GAP
    assert picture.getpixel((GAP + 1, GAP + 1)) == FRAME


def test_an_image_without_a_class_shades_nothing(archive: Path, tmp_path: Path):
    file = tmp_path / "new.png"
    Pil.fromarray(np.full((20, 20, 3), (200, 30, 30), np.uint8)).save(file)
    text, _ = shown(archive, file, 9, tmp_path)
    assert "wrong" not in text.partition("</style>")[2]


def test_answers_tell_nothing_of_slices(archive: Path):
    with Archive.open(archive) as opened:
        answer = opened.query(Image("new", np.full((20, 20, 3), 200, np.uint8)), k=2)
    assert "covered" not in answer.explained
    assert "Slices" not in answer.meaning
    assert answer.matches[0].covered is None


def test_the_workbench_shows_thumbnails(archive: Path):
    with client_of(archive) as client:
        assert client.get("/").status_code == 200
        page = client.get("/query", params={"case": "red/3.png", "k": 4})
        assert page.status_code == 200
        assert page.text.count('class="thumb"') == 5
        assert client.get("/report", params={"case": "red/3.png"}).status_code == 200
        assert client.get("/case", params={"case": "red/3.png"}).status_code == 200
        refused = client.get("/api/pictures", params={"case": "red/3.png"})
        assert refused.status_code == 400
        found = client.get("/api/query", params={"case": "red/3.png", "k": 4}).json()
        assert [match["facts"]["label"] for match in found["matches"]] == ["red"] * 4
