"""Building an archive: resumed, incremental, killed, on bad input and on a full disk."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from isohash.archive.verify import verify
from isohash.errors import InputError
from isohash.records import Case
from isohash.retrieval.building.indexing import build_archive, index_found
from isohash.retrieval.engine import Archive
from small_cases import OPTIONS, as_findings, phantom, some_phantoms, write_openkbp


@pytest.fixture
def own_archive(archive_path: Path, tmp_path: Path) -> Path:
    """A copy that the test may change."""
    return Path(shutil.copytree(archive_path, tmp_path / "A"))


@pytest.fixture(scope="module")
def openkbp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six cases as OpenKBP npz files."""
    folder = tmp_path_factory.mktemp("openkbp")
    for number in range(6):
        write_openkbp(phantom(number % 3, number), folder / f"pt_{number + 1}.npz")
    return folder


def answers(path: Path) -> list[list[str]]:
    with Archive.open(path) as archive:
        assert archive.verify().problems == ()
        return [archive.query(case_id, k=5).ids for case_id in archive]


def test_indexing_twice_changes_nothing(own_archive: Path) -> None:
    before = answers(own_archive)
    report = index_found(some_phantoms(), own_archive, {})
    assert report.indexed == ()
    assert len(report.unchanged) == report.n_found == report.n_cases
    assert answers(own_archive) == before


def test_a_rerun_adds_what_is_new_and_reads_again_what_changed(own_archive: Path) -> None:
    new = as_findings({"new": lambda: replace(phantom(0, 9), id="new", patient="new")})
    assert index_found(new, own_archive, {}).indexed == ("new",)
    changed = as_findings({"phantom-00-00": partial(phantom, 2, 9)}, stamp="2")
    assert index_found(changed, own_archive, {}).indexed == ("phantom-00-00",)
    with Archive.open(own_archive) as archive:
        assert len(archive) == 16
        assert archive.query("new", k=1).matches[0].facts["label"] == "family-00"
        assert archive.query("phantom-00-00", k=1).matches[0].facts["label"] == "family-02"


def test_cases_may_come_in_any_order_and_in_several_runs(tmp_path: Path) -> None:
    few = some_phantoms(2, 2)
    for part in (few.found[:1:-1], few.found[1::-1]):
        index_found(replace(few, found=part), tmp_path / "A", {**OPTIONS, "fit_slices": 60})
    with Archive.open(tmp_path / "A") as archive:
        assert list(archive) == [one.key for one in few.found[::-1]]
        for case in archive:
            assert archive.query(case, k=1, same_patient=True).ids == [case]


def test_options_that_contradict_the_archive_are_refused(own_archive: Path) -> None:
    with pytest.raises(InputError, match="was made with bits = 256, not 512"):
        index_found(some_phantoms(), own_archive, {"bits": 512})
    assert len(answers(own_archive)) == 15


def test_one_bad_case_is_skipped_with_its_reason(own_archive: Path) -> None:
    def bad() -> Case:
        raise InputError("pt_7.npz: NaN in dose")

    found = as_findings({"bad": bad, "good": lambda: replace(phantom(0, 8), id="good")})
    report = index_found(found, own_archive, {})
    assert report.indexed == ("good",)
    assert [(s.path, s.reason) for s in report.skipped] == [("bad", "pt_7.npz: NaN in dose")]


def faint(case: Case) -> Case:
    """The case without CT and with a dose that nowhere exceeds 5 Gy."""
    assert case.dose is not None
    dose = replace(case.dose, array=case.dose.array * np.float32(0.05))
    return replace(case, ct=None, dose=dose)


def test_a_source_of_low_doses_only_is_refused_in_one_line(tmp_path: Path) -> None:
    found = as_findings({"faint": partial(faint, phantom(0, 0))})
    with pytest.raises(InputError, match=r"nowhere exceeds 5 Gy \(it reaches 3") as error:
        index_found(found, tmp_path / "archive", OPTIONS)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "archive").exists()


def test_a_case_without_a_slice_to_compare_does_not_count_as_indexed(tmp_path: Path) -> None:
    cases = {f"case{n}": partial(phantom, n, 0) for n in range(3)}
    found = as_findings({**cases, "faint": partial(faint, phantom(0, 1))})
    report = index_found(found, tmp_path / "archive", OPTIONS)
    assert report.n_cases == 3
    (skipped,) = report.skipped
    assert "no slice to compare" in skipped.reason


def test_a_uniform_phantom_is_indexed_with_a_note(tmp_path: Path) -> None:
    """All its slices are alike, so that there is no distance to tune the codes to."""
    case = phantom(0, 0)
    assert case.ct is not None
    assert case.dose is not None
    box = np.full(case.ct.array.shape, -1000, np.int16)
    box[:, 20:40, 20:40] = 0
    water = replace(
        case,
        ct=replace(case.ct, array=box),
        dose=replace(case.dose, array=np.where(box == 0, np.float32(60), np.float32(0))),
    )
    archive = tmp_path / "archive"
    report = index_found(as_findings({"water": lambda: water}), archive, OPTIONS)
    assert report.indexed == ("water",)
    assert sum("slices are alike" in note for note in report.notes) == 2
    with Archive.open(archive) as opened:
        assert opened.query(water, 1, same_patient=True).ids == ["water"]


def test_the_same_key_twice_is_told(own_archive: Path) -> None:
    twice = as_findings({"x": lambda: replace(phantom(0, 7), id="x")})
    report = index_found(replace(twice, found=twice.found * 2), own_archive, {})
    assert report.indexed == ("x",)
    assert "already found" in report.skipped[0].reason


def test_openkbp_files_are_indexed_and_found_again(openkbp: Path, tmp_path: Path) -> None:
    report = build_archive(openkbp, tmp_path / "A", **OPTIONS)
    assert (report.kind, report.n_cases) == ("openkbp", 6)
    with Archive.open(tmp_path / "A") as archive:
        copy = shutil.copy(openkbp / "pt_4.npz", tmp_path / "pt_99.npz")
        first = archive.query(copy, k=1, same_patient=True).matches[0]
        assert (first.id, first.distance) == ("pt_4", 0.0)


def cases_in(path: Path) -> int:
    """How many cases an archive holds that another process may just be making."""
    try:
        with Archive.open(path) as archive:
            return len(archive)
    except InputError:
        return 0


def test_a_killed_run_loses_no_finished_case(openkbp: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "isohash", "index", str(openkbp), str(tmp_path / "A")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([*command, "--bits", "256"], env=environment) as process:
        while not cases_in(tmp_path / "A") and process.poll() is None:
            time.sleep(0.05)  # pytest's own limit ends a wait in vain
        process.send_signal(signal.SIGKILL)
    with Archive.open(tmp_path / "A") as archive:
        kept = set(archive)
        assert kept
        assert archive.verify().problems == ()
    report = build_archive(openkbp, tmp_path / "A")
    assert set(report.unchanged) == kept
    assert report.n_cases == 6
    assert len(answers(tmp_path / "A")) == 6


def test_a_full_disk_while_indexing_is_told_and_harmless(
    own_archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = answers(own_archive)
    real, count = os.fsync, [0]

    def full(descriptor: int) -> None:
        count[0] += 1
        if count[0] > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    more = as_findings(
        {f"n{i}": partial(lambda i: replace(phantom(1, 9 + i), id=f"n{i}"), i) for i in range(4)}
    )
    with pytest.raises(InputError, match="space"):
        index_found(more, own_archive, {})
    monkeypatch.undo()
    after = answers(own_archive)
    assert len(after) >= len(before)


@pytest.mark.parametrize("encoder", ["nonsense", "pca.bin"])
def test_an_unknown_encoder_leaves_nothing_behind(tmp_path: Path, encoder: str) -> None:
    with pytest.raises(InputError, match=f"--encoder '{encoder}' is unknown"):
        index_found(some_phantoms(1, 2), tmp_path / "A", {"encoder": encoder})
    assert list(tmp_path.iterdir()) == []


def test_an_autoencoder_is_trained_on_the_archives_own_slices(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    options = {"encoder": "autoencoder", "dim": 8, "bits": 128, "fit_slices": 24, "fit_cases": 4}
    report = index_found(some_phantoms(2, 2), tmp_path / "A", options)
    assert report.n_cases == 4
    assert [path.name for path in tmp_path.iterdir()] == ["A"]  # no checkpoints are left
    with Archive.open(tmp_path / "A") as archive:
        assert archive.contents.pipeline.encoders["ct"].name == "autoencoder-ct"
        answer = archive.query("phantom-00-00", k=1, by="joint", same_patient=True)
        assert answer.distances == [0.0]


def test_vectors_are_indexed_and_searched(tmp_path: Path, rng: np.random.Generator) -> None:
    centres = rng.normal(size=(8, 32)) * 4
    labels = rng.integers(0, 8, 400)
    rows = (centres[labels] + rng.normal(size=(400, 32))).astype(np.float32)
    np.savez(tmp_path / "v.npz", X=rows, y=labels)
    assert build_archive(tmp_path / "v.npz", tmp_path / "V", bits=512).n_cases == 400
    with Archive.open(tmp_path / "V") as archive:
        answer = archive.query("v:7", k=10)
        assert "v:7" not in answer.ids
        same = [match.facts["label"] == labels[7] for match in answer]
        assert np.mean(same) >= 0.9
        np.save(tmp_path / "q.npy", rows[[3, 9]])
        assert archive.query(tmp_path / "q.npy", k=1, slice=1).ids == ["v:9"]


@pytest.mark.parametrize("bad", ["cut", "no table", "one row"])
def test_a_bad_first_file_of_vectors_stops_no_new_archive(
    tmp_path: Path, rng: np.random.Generator, bad: str
) -> None:
    folder, first = tmp_path / "vectors", tmp_path / "vectors" / "a.npy"
    folder.mkdir()
    rows = rng.standard_normal((200, 12)).astype(np.float32)
    np.save(folder / "b.npy", rows)
    np.save(first, rows[:1] if bad == "one row" else rows if bad == "cut" else rows[None])
    if bad == "cut":
        first.write_bytes(first.read_bytes()[:-50])
    report = build_archive(folder, tmp_path / "archive", bits=64)
    assert [Path(one.path).name for one in report.skipped] == ["a.npy"] * (bad != "one row")
    assert report.n_cases == 200 + (bad == "one row")
    assert verify(tmp_path / "archive").ok
    (folder / "b.npy").unlink()
    with pytest.raises(InputError, match=r"a\.npy"):
        build_archive(folder, tmp_path / "none", bits=64)
    assert not (tmp_path / "none").exists()


def test_vectors_need_no_labels(tmp_path: Path, rng: np.random.Generator) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    rows = rng.normal(size=(300, 16)).astype(np.float32)
    np.save(folder / "plain.npy", rows[:200])
    np.savez(folder / "labelled.npz", X=rows[200:], y=np.arange(100))
    build_archive(folder, tmp_path / "V")
    with Archive.open(tmp_path / "V") as archive:
        first = {"plain:7": None, "labelled:7": 7}
        for name, label in first.items():
            match = archive.query(name, k=1, same_patient=True).matches[0]
            assert (match.id, match.facts["label"]) == (name, label)


def test_rows_are_called_by_the_ids_of_their_file(tmp_path: Path, rng: np.random.Generator) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    rows = rng.normal(size=(300, 16)).astype(np.float32)
    names = np.array([f"slide {n} é" for n in range(100)])
    np.savez(folder / "a.npz", X=rows[:100], ids=names)
    np.savez(folder / "b.npz", X=rows[100:200], ids=np.arange(1000, 1100))
    np.savez(folder / "c.npz", X=rows[200:299], ids=np.array(["slide 5 é", *range(98)], dtype="U9"))
    np.save(folder / "d.npy", rows[299])
    build_archive(folder, tmp_path / "V")
    with Archive.open(tmp_path / "V") as archive:
        for name in ("slide 7 é", "1005", "17", "d:0"):
            assert archive.query(name, k=1, same_patient=True).ids == [name]
        assert archive.query("b:5", k=1, same_patient=True).ids == ["1005"]
        with pytest.raises(InputError, match="called slide 5 é: ask for one of a:5, c:0"):
            archive.query("slide 5 é")
        with pytest.raises(InputError, match="nothing is neither a path nor an id"):
            archive.query("nothing")
        assert archive.query("17", where="id == '1005'", k=5).ids == ["1005"]
