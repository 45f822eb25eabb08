"""The command line: what it prints, its exit status, and one clear line for bad input."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from isohash.retrieval.building.indexing import index_found
from isohash.retrieval.engine import Archive
from isohash.sources.dicom.writer import write_dicom
from small_cases import OPTIONS, phantom, some_phantoms, write_openkbp, write_openkbp_csv


@pytest.mark.parametrize("by_code", [False, True])
def test_query_prints_a_distance_and_where_it_is_not_exact_its_interval(
    isohash, archive_path: Path, by_code: bool
) -> None:
    options = ["--rerank", 0] if by_code else []
    outcome = isohash("query", archive_path, "phantom-00-00", "-k", 3, *options)
    assert outcome.status == 0
    row = next(line.split() for line in outcome.out.splitlines() if line.startswith("1 "))
    assert row[1].startswith("phantom-")
    assert 0 < float(row[2]) < 0.6
    assert row[3].startswith("[") == by_code
    assert ("distance [95 % interval]" in outcome.out) == by_code


def test_json_and_python_give_the_same_answer(isohash, archive_path: Path) -> None:
    outcome = isohash("query", archive_path, "phantom-00-00", "-k", 3, "--json")
    with Archive.open(archive_path) as archive:
        expected = archive.query("phantom-00-00", k=3)
    told = json.loads(outcome.out)
    assert [match["id"] for match in told["matches"]] == expected.ids
    assert [match["distance"] for match in told["matches"]] == expected.distances


def test_a_report_opens_offline_and_shows_query_and_results(
    isohash, archive_path: Path, tmp_path: Path
) -> None:
    page, picture = tmp_path / "r.html", tmp_path / "c.png"
    case = tmp_path / "pt_5.npz"
    write_openkbp(phantom(1, 7), case)
    arguments = ("query", archive_path, case, "-k", 3, "--report", page, "--collage", picture)
    outcome = isohash(*arguments, "--json")
    assert outcome.status == 0, outcome.err
    text = page.read_text()
    for match in json.loads(outcome.out)["matches"]:
        assert match["id"] in text
    assert "pt_5" in text
    assert text.count('class="pane"') == 3 * 3 * 2
    assert "stroke=" in text
    assert "Parotid" in text
    for forbidden in ("http:", "https:", "<script", str(tmp_path)):
        assert forbidden not in text
    with Image.open(picture) as image:
        assert image.width > image.height / 2


def test_text_from_files_cannot_become_markup(archive_path: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from isohash.apps.page.report import render

    hostile = replace(phantom(0, 8), id="<b>x</b>", warnings=("<script>alert(1)</script>",))
    with Archive.open(archive_path) as archive:
        session = archive.session(hostile, pictures=True)
        page = render(session, session.ask(2))
    assert "<script>" not in page
    assert "<b>x" not in page
    assert "&lt;script&gt;" in page


def test_verify_info_and_doctor_say_what_they_find(isohash, archive_path: Path) -> None:
    assert "no damage" in isohash("verify", archive_path).out
    assert "256 bits" in isohash("info", archive_path).out
    assert json.loads(isohash("info", archive_path, "--json").out)["cases"] == 15
    facts = json.loads(isohash("doctor", "--json").out)
    assert facts["search"]["level"]


def test_verify_names_a_damaged_segment(isohash, archive_path: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(archive_path, tmp_path / "A"))
    segment = max((f for f in copy.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.chmod(0o600)
    segment.write_bytes(data)
    outcome = isohash("verify", copy)
    assert outcome.status == 1
    assert segment.name in outcome.out


def test_repair_keeps_what_is_intact_and_names_what_is_lost(
    isohash, archive_path: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(archive_path, tmp_path / "A"))
    *_, segment, _, _ = sorted((copy / "segments").iterdir())  # the last case: two more tell of all
    segment.chmod(0o600)
    segment.write_bytes(segment.read_bytes()[:-100])
    outcome = isohash("verify", copy, "--repair")
    assert outcome.status == 0
    lost = outcome.out.split("lost cases: ")[1].splitlines()[0].split(", ")
    with Archive.open(copy) as archive:
        assert len(archive) == 15 - len(lost)
        assert not set(lost) & set(archive)
    assert index_found(some_phantoms(), copy, {}).indexed == tuple(lost)


def one_line(outcome) -> str:
    assert outcome.status == 1, outcome
    lines = outcome.err.strip().splitlines()
    assert len(lines) == 1, outcome.err
    assert lines[0].startswith("error: ")
    assert "Traceback" not in outcome.err
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("query", "nowhere", "x"), 1),
        (("query", "nowhere", "x", "-k", 0), 1),
        (("index", "nowhere", "A"), 1),
        (("query", "nowhere"), 2),
        (("query", "nowhere", "x", "-k", "many"), 2),
        (("nonsense",), 2),
    ],
    ids=str,
)
def test_errors_are_json_for_machines_and_one_line_for_people(isohash, arguments, status) -> None:
    told = isohash(*arguments, "--json")
    assert (told.status, told.err) == (status, "")
    error = json.loads(told.out)
    assert set(error) == {"error", "next"}
    assert error["error"]
    plain = isohash(*arguments)
    assert (plain.status, plain.out) == (status, "")
    if status == 1:
        assert one_line(plain).endswith(error["next"] or error["error"])


def bad_npz(folder: Path, kind: str) -> Path:
    path = folder / "pt_1.npz"
    write_openkbp(phantom(0, 0), path)
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:20_000])
        return path
    with np.load(path) as file:
        arrays = dict(file)
    if kind == "nan":
        arrays["dose"] = np.where(arrays["dose"] > 0, np.nan, 0.0).astype(np.float32)
    if kind == "negative":
        arrays["dose"] = arrays["dose"].astype(np.int32) - 5
    if kind == "shape":
        arrays["dose"] = arrays["dose"][:-1]
    np.savez_compressed(path, **arrays)
    return path


@pytest.mark.parametrize("kind", ["truncated", "nan", "negative", "shape"])
def test_a_bad_file_gives_one_clear_line(isohash, tmp_path, archive_path, kind) -> None:
    bad = bad_npz(tmp_path, kind)
    assert "pt_1" in one_line(isohash("query", archive_path, bad))
    assert "pt_1" in one_line(isohash("index", bad, tmp_path / "A"))
    assert not (tmp_path / "A").exists()


def test_the_original_csv_form_is_read_and_a_missing_dose_is_told(
    isohash, tmp_path, archive_path
) -> None:
    write_openkbp(phantom(0, 0), tmp_path / "pt_1.npz")
    folder = tmp_path / "csv" / "pt_1"
    write_openkbp_csv(tmp_path / "pt_1.npz", folder)
    from_npz, from_csv = (
        json.loads(isohash("query", archive_path, source, "-k", 3, "--json").out)["matches"]
        for source in (tmp_path / "pt_1.npz", folder)
    )
    assert from_npz == from_csv
    (folder / "dose.csv").unlink()
    assert "dose" in one_line(isohash("query", archive_path, folder, "--by", "dose"))
    by_ct = isohash("query", archive_path, folder, "-k", 1)
    assert by_ct.status == 0
    assert "dose" in by_ct.out


def test_paths_that_hold_nothing_give_one_clear_line(isohash, tmp_path, archive_path) -> None:
    empty, unrelated = tmp_path / "empty", tmp_path / "unrelated"
    empty.mkdir()
    unrelated.mkdir()
    (unrelated / "notes.txt").write_text("not a case")
    (unrelated / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    for source in (tmp_path / "missing", empty, unrelated):
        assert source.name in one_line(isohash("index", source, tmp_path / "A"))
        assert not (tmp_path / "A").exists()
    assert "missing" in one_line(isohash("query", tmp_path / "missing", "x"))
    assert "empty" in one_line(isohash("query", empty, "x"))


def test_an_archive_of_a_newer_format_is_refused(isohash, tmp_path, monkeypatch) -> None:
    with monkeypatch.context() as later:
        later.setattr("isohash.archive.folder.FORMAT", 999)
        index_found(some_phantoms(1, 3), tmp_path / "A", {**OPTIONS, "dim": 4})
    line = one_line(isohash("query", tmp_path / "A", "phantom-00-00"))
    assert "999" in line
    assert "upgrade" in line


@pytest.fixture
def without_rights():
    """Root may write anywhere, so for the length of a test be nobody."""
    if os.geteuid() == 0:
        os.seteuid(65534)
    yield
    if os.getuid() == 0:
        os.seteuid(0)


def test_a_read_only_archive_answers_but_takes_nothing(
    isohash, archive_path, readable, request
) -> None:
    copy = Path(shutil.copytree(archive_path, readable / "A"))
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    write_openkbp(phantom(0, 0), readable / "pt_1.npz")
    assert isohash("query", copy, "phantom-00-00").status == 0  # loads all modules, as root
    request.getfixturevalue("without_rights")
    assert isohash("query", copy, "phantom-00-00").status == 0
    assert "A" in one_line(isohash("index", readable / "pt_1.npz", copy))
    assert isohash("verify", copy).status == 0


@pytest.fixture
def readable():
    """A temporary folder that everybody may read, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.parametrize(
    "command",
    ["demo", "index", "query", "verify", "info", "doctor", "phi-scan", "train autoencoder",
     "train kernel", "train dose", "evaluate dice", "evaluate slices", "evaluate mnist",
     "evaluate kernel", "evaluate svm", "bench search"],
)  # fmt: skip
def test_every_command_has_help_with_an_example(isohash, command: str) -> None:
    outcome = isohash(*command.split(), "--help")
    assert outcome.status == 0
    assert f"Example: isohash {command}" in " ".join(outcome.out.split())


def test_wrong_usage_exits_with_two(isohash) -> None:
    assert isohash("query").status == 2
    assert isohash("nonsense").status == 2


WITHOUT_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NoTorch())
from isohash.apps.cli.main import main
main()
"""


def without_torch(*arguments: object) -> str:
    """Run a command in a process in which torch cannot be imported."""
    command = [sys.executable, "-c", WITHOUT_TORCH, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_trained_encoders_serve_an_archive_without_torch(isohash, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    folder = tmp_path / "cases"
    folder.mkdir()
    for number in range(4):
        write_openkbp(phantom(number % 2, number), folder / f"pt_{number + 1}.npz")
    trained = tmp_path / "encoders"
    outcome = isohash(
        "train", "autoencoder", folder, "--out", trained, "--epochs", 1, "--latent", 8, "--json"
    )
    assert outcome.status == 0, outcome.err
    assert {row["view"] for row in json.loads(outcome.out)} == {"ct", "dose"}
    without_torch("index", folder, tmp_path / "A", "--encoder", trained, "--bits", 128)
    told = without_torch("query", tmp_path / "A", "pt_1", "--same-patient", "-k", 1, "--json")
    assert json.loads(told)["matches"][0]["id"] == "pt_1"
    recipe = json.loads(isohash("info", tmp_path / "A", "--json").out)["recipe"]
    assert str(tmp_path) not in json.dumps(recipe)


def test_dice_is_evaluated_from_the_command_line(isohash, tmp_path: Path) -> None:
    for part, numbers in (("train", range(3)), ("validation", range(3, 5))):
        (tmp_path / part).mkdir()
        for number in numbers:
            write_openkbp(phantom(number % 2, number), tmp_path / part / f"pt_{number + 1}.npz")
    outcome = isohash(
        "evaluate", "dice", tmp_path / "train", tmp_path / "validation", "--out", tmp_path / "out",
        "--encoder", "pca", "--bits", 64, "--bits", 512, "--n-database", 40, "--n-queries", 10,
        "-k", 5, "--json",
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    rows = json.loads(outcome.out)
    scores = {(r["view"], r["family"], r["bits"]): r["dice"] for r in rows}
    assert {family for _, family, _ in scores} >= {"default", "threshold 0", "random threshold"}
    for view, family, bits in scores:
        assert scores[view, family, 64] <= scores[view, family, 512] + 0.1
        assert scores[view, family, 512] > 5 / 40  # chance
        assert scores[view, "default", bits] >= scores[view, family, bits]
    assert {f.name for f in (tmp_path / "out").iterdir()} == {"dice.csv", "dice.json", "dice.png"}


def test_dicom_is_indexed_without_identity(isohash, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("ISOHASH_KEY_FILE", str(tmp_path / "key"))
    source = tmp_path / "export"
    for member in range(3):
        write_dicom(phantom(0, member), source / f"patient{member}")
    options = ("--bits", 128)
    outcome = isohash("index", source, tmp_path / "A", *options, "--json")
    assert outcome.status == 0, outcome.err
    names = json.loads(outcome.out)["indexed"]
    assert len(names) == 3
    assert not any("phantom" in name for name in names)
    assert "nothing that identifies" in isohash("phi-scan", tmp_path / "A", source).out
    answer = json.loads(isohash("query", tmp_path / "A", source / "patient1", "--json").out)
    assert len(answer["matches"]) == 2  # the query's own patient is recognised by its pseudonym
    assert answer["query"] in names
