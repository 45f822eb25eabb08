"""The small things that people expect of a tool: lists, filters, removal, merging, the way back."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import isohash as package
from isohash.archive.store import CaseStore
from isohash.retrieval.building.indexing import build_archive, index_found
from isohash.retrieval.engine import Archive
from small_cases import OPTIONS, as_findings, phantom, some_phantoms, write_openkbp

ID = "phantom-01-02"


def one_line(outcome) -> str:
    assert outcome.status == 1, outcome
    (line,) = outcome.err.strip().splitlines()
    assert line.startswith("error: ")
    return line


@pytest.fixture
def copy(archive_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(archive_path, tmp_path / "A"))


@pytest.fixture
def marked(tmp_path: Path) -> Path:
    """Vectors whose ids look like markup, and a class."""
    rows = np.random.default_rng(0).standard_normal((60, 8))
    ids = np.array([f"a[/red]{i}" if i % 2 else f"slide[{i}] [bold]b" for i in range(60)])
    np.savez(tmp_path / "m.npz", X=rows, ids=ids, y=np.arange(60) % 3)
    build_archive(tmp_path / "m.npz", tmp_path / "M", bits=64)
    return tmp_path / "M"


@pytest.mark.parametrize("asked", ["--version", "-h", "--help"])
def test_the_program_answers_for_itself(isohash, asked: str) -> None:
    outcome = isohash(asked)
    assert outcome.status == 0
    assert package.__version__ in outcome.out or "--version" in outcome.out
    assert "query" in isohash("query", "-h").out


def test_a_log_file_tells_steps_and_errors_and_is_for_its_owner(
    isohash, archive_path: Path, tmp_path: Path
) -> None:
    log = tmp_path / "run.log"
    assert isohash("--log", log, "verify", archive_path).status == 0
    assert isohash("--log", log, "query", archive_path, "nobody").status == 1
    lines = log.read_text().splitlines()
    assert any("verifying" in line for line in lines)
    assert any("error: nobody" in line for line in lines)
    assert log.stat().st_mode & 0o077 == 0
    assert "verif" in isohash("-v", "verify", archive_path).err
    assert isohash("-v", "-q", "verify", archive_path).status == 2


def test_what_tells_progress_may_also_stand_after_the_command(
    isohash, archive_path: Path, tmp_path: Path
) -> None:
    log = tmp_path / "run.log"
    assert "verif" in isohash("verify", archive_path, "-v", "--log", log).err
    assert "verifying" in log.read_text()
    assert isohash("verify", archive_path, "-q").status == 0
    assert isohash("-v", "verify", archive_path, "--quiet").status == 2
    for command in (("query",), ("train", "autoencoder"), ("bench", "search")):
        assert "--quiet" in isohash(*command, "--help").out, command


def test_a_list_is_what_the_filter_lets_through(
    isohash, archive_path: Path, tmp_path: Path
) -> None:
    table = tmp_path / "cases.csv"
    rows = json.loads(isohash("list", archive_path, "--json", "--csv", table).out)
    with Archive.open(archive_path) as archive:
        assert [row["id"] for row in rows] == list(archive)
    with table.open() as file:
        assert [row["id"] for row in csv.DictReader(file)] == [row["id"] for row in rows]
    label = rows[0]["label"]
    some = json.loads(isohash("list", archive_path, "--json", "--where", f"label == '{label}'").out)
    assert [row["id"] for row in some] == [r["id"] for r in rows if r["label"] == label]
    assert "15 of 15" in isohash("list", archive_path).out.splitlines()[-1]


def test_facts_name_what_filters_understand(isohash, archive_path: Path) -> None:
    facts = {row["name"]: row for row in json.loads(isohash("facts", archive_path, "--json").out)}
    for name in facts:
        assert isohash("list", archive_path, "--where", f"not ({name} == None)").status == 0, name
    assert facts["id"]["n"] == 15
    assert facts["n_slices"]["kind"] == "number"


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("prescription >= 60", "did you mean prescription_gy?"),
        ("n_slices >= 'a'", "n_slices is a number"),
        ("label in ('a', 3)", "label is text"),
    ],
)
def test_filters_that_mean_nothing_are_refused(isohash, archive_path, where, told) -> None:
    for command in (("list", archive_path), ("query", archive_path, ID)):
        assert told in one_line(isohash(*command, "--where", where))


def test_a_mistyped_id_is_told_the_near_ones(isohash, archive_path: Path, marked: Path) -> None:
    for command in ("query", "show", "remove"):
        assert ID in one_line(isohash(command, archive_path, "PHANTOM-0102"))
    assert "a[/red]1" in one_line(isohash("query", marked, "a[red]1"))


def test_names_that_look_like_markup_are_shown_as_they_are(isohash, marked: Path) -> None:
    for command in (("list", marked), ("query", marked, "slide[0] [bold]b", "-k", 59)):
        out = isohash(*command).out
        assert "a[/red]1" in out
        assert "slide[2] [bold]b" in out


def test_show_tells_the_doses_that_the_histograms_tell(isohash, archive_path: Path) -> None:
    told = json.loads(isohash("show", archive_path, ID, "--json").out)
    case = phantom(1, 2)
    for name, mask in case.structures.items():
        if name in told["doses"]:
            inside = case.dose.array[mask.array.astype(bool)]
            assert told["doses"][name]["mean_gy"] == pytest.approx(inside.mean(), abs=1.0)
    assert told["doses"]
    assert "D95" in isohash("show", archive_path, ID).out


def pieces(archive: Path, name: str, n: int = 48) -> list[bytes]:
    """Stretches of what is kept of a case that are long enough to be no chance."""
    with CaseStore.open(archive) as store:
        kept = store.arrays(name)
        parts = [np.ascontiguousarray(array).tobytes() for array in kept.values()]
    return [part[i : i + n] for part in parts for i in range(0, len(part) - n, 997)]


def holders(archive: Path, wanted: bytes) -> list[str]:
    return [f.name for f in archive.rglob("*") if f.is_file() and wanted in f.read_bytes()]


def test_nothing_of_a_removed_case_is_left(isohash, copy: Path) -> None:
    others = {p for name in ("phantom-00-00", "phantom-01-03") for p in pieces(copy, name)}
    own = [p for p in pieces(copy, ID) if p not in others and len(set(p)) > 20]
    assert len(own) > 50
    assert all(holders(copy, piece) for piece in own)
    outcome = isohash("remove", copy, ID)
    assert outcome.status == 0, outcome.err
    assert "14" in outcome.out
    assert not any(holders(copy, piece) for piece in own)
    assert not holders(copy, ID.encode())
    with Archive.open(copy) as archive:
        assert ID not in archive
        assert len(archive.query("phantom-01-03", k=5)) == 5
    assert isohash("verify", copy).status == 0


def test_a_patient_is_removed_with_all_cases(isohash, tmp_path: Path) -> None:
    from dataclasses import replace

    cases = {f"c-{i}": lambda i=i: replace(phantom(0, i), id=f"c-{i}", patient=f"patient-{i % 2}")
             for i in range(4)}  # fmt: skip
    index_found(as_findings(cases), tmp_path / "A", OPTIONS)
    assert "patient-1" in one_line(isohash("remove", tmp_path / "A", "--patient", "patient-7"))
    outcome = isohash("remove", tmp_path / "A", "--patient", "patient-1", "--json")
    assert set(json.loads(outcome.out)["removed"]) == {"c-1", "c-3", "patient-1"}
    assert not holders(tmp_path / "A", b"patient-1")
    with Archive.open(tmp_path / "A") as archive:
        assert list(archive) == ["c-0", "c-2"]


def test_who_still_reads_is_told(isohash, copy: Path) -> None:
    with Archive.open(copy):
        outcome = isohash("remove", copy, ID)
        assert outcome.status == 1
        assert "another process" in outcome.out
    isohash("remove", copy, "phantom-01-03")
    assert not holders(copy, ID.encode())


def test_rows_with_ids_and_files_of_vectors_can_be_removed(isohash, marked: Path) -> None:
    assert isohash("remove", marked, "a[/red]1", "slide[4] [bold]b").status == 0
    with Archive.open(marked) as archive:
        left = list(archive)
        assert len(left) == 58
        assert archive.query(left[3], k=58, same_patient=True).ids[0] == left[3]
    assert isohash("remove", marked, "m").status == 0
    with Archive.open(marked) as archive:
        assert len(archive) == 0


def test_archives_of_two_runs_merge_into_what_one_run_makes(isohash, tmp_path: Path) -> None:
    rows = np.random.default_rng(1).standard_normal((3, 80, 8))
    for name, part in zip("abc", rows, strict=True):
        np.save(tmp_path / f"{name}.npy", part)
        build_archive(tmp_path / f"{name}.npy", tmp_path / name.upper(), bits=64)
    merged = isohash("merge", tmp_path / "A", tmp_path / "B", tmp_path / "C", "--json")
    assert merged.status == 0, merged.err
    for name in "bc":
        build_archive(tmp_path / f"{name}.npy", tmp_path / "whole", bits=64)
    with Archive.open(tmp_path / "A") as archive:
        found = archive.query(rows[1, 5], k=240)
        exact = np.linalg.norm(rows.reshape(240, 8).astype(np.float32) - rows[1, 5], axis=1)
    names = [f"{n}:{i}" for n in "abc" for i in range(80)]
    assert found.ids == [names[i] for i in np.argsort(exact)]
    again = json.loads(isohash("merge", tmp_path / "A", tmp_path / "B", "--json").out)
    assert again[str(tmp_path / "B")]["added"] == {}


def test_a_merged_case_answers_as_it_did(isohash, copy: Path, tmp_path: Path) -> None:
    index_found(some_phantoms(1, 4), tmp_path / "B", {**OPTIONS, "encoder": "pca"})
    assert "encoder" in one_line(isohash("merge", copy, tmp_path / "B"))
    half = Path(shutil.copytree(copy, tmp_path / "H"))
    with Archive.open(copy) as archive:
        before = archive.query("phantom-00-00", k=14, by="joint")
    assert isohash("remove", half, ID, "phantom-00-01").status == 0
    assert isohash("merge", half, copy).status == 0
    with Archive.open(half) as archive:
        after = archive.query("phantom-00-00", k=14, by="joint")
    assert after == before


def test_answers_are_exported_for_many_queries(isohash, archive_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.csv"
    outcome = isohash("export", archive_path, ID, "nobody", "-k", 3, "--by", "ct", "--out", out)
    assert outcome.status == 1
    assert "nobody" in outcome.out
    with out.open() as file:
        rows = list(csv.DictReader(file))
    with Archive.open(archive_path) as archive:
        answer = archive.query(ID, k=3, by="ct")
    assert [row["id"] for row in rows] == answer.ids
    assert [float(row["distance"]) for row in rows] == answer.distances


def test_the_way_back_needs_key_and_source(
    isohash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for member in range(3):
        write_openkbp(phantom(0, member), tmp_path / f"pt_{member}.npz")
    build_archive(tmp_path, tmp_path / "out" / "A", **OPTIONS, pseudonymous_ids=True)
    with Archive.open(tmp_path / "out" / "A") as archive:
        name = next(iter(archive))
    shutil.rmtree(tmp_path / "out")
    told = json.loads(isohash("resolve", tmp_path, name, "--json").out)
    assert [Path(one["path"]).stem for one in told] == ["pt_0"]
    monkeypatch.setenv("ISOHASH_KEY_FILE", str(tmp_path / "other.key"))
    assert "ISOHASH_KEY_FILE" in one_line(isohash("resolve", tmp_path, name))


@pytest.mark.parametrize("bits", [7, 0, -8, 12])
def test_codes_are_whole_bytes(isohash, tmp_path: Path, bits: int) -> None:
    np.save(tmp_path / "v.npy", np.eye(20))
    assert "whole bytes" in one_line(
        isohash("index", tmp_path / "v.npy", tmp_path / "A", "--bits", bits)
    )


def test_vectors_do_not_go_into_an_archive_of_cases(isohash, copy: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.eye(20))
    assert "holds cases" in one_line(isohash("index", tmp_path / "v.npy", copy))
    np.save(tmp_path / "lonely.npy", np.eye(1, 5))
    assert "lonely.npy" in one_line(isohash("index", tmp_path / "lonely.npy", tmp_path / "N"))


def test_every_row_of_a_file_is_answered(isohash, marked: Path, tmp_path: Path) -> None:
    rows = np.random.default_rng(1).standard_normal((23, 8))
    rows[4] *= 100
    np.save(tmp_path / "q.npy", rows)
    told = json.loads(isohash("query", marked, tmp_path / "q.npy", "-k", 3, "--json").out)
    with Archive.open(marked) as archive:
        alone = [archive.query(row, k=3) for row in rows.astype(np.float32)]
        assert "row 0 of 23" in archive.query(tmp_path / "q.npy").warnings[0]
    assert [[m["id"] for m in one["matches"]] for one in told["answers"]] == [a.ids for a in alone]
    strange = [one["unlike"] is not None for one in told["answers"]]
    assert strange == [a.unlike is not None for a in alone]
    assert strange[4]
    shown = isohash("query", marked, tmp_path / "q.npy", "-k", 3).out
    assert f"{sum(strange)} of 23 rows are unlike" in shown
    assert "3 rows more" in shown
    assert isohash("export", marked, tmp_path / "q.npy", "--out", tmp_path / "a.csv").status == 0
    with (tmp_path / "a.csv").open() as file:
        assert len({row["query"] for row in csv.DictReader(file)}) == 23


def test_one_row_of_a_file_is_asked_in_full(isohash, marked: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "q.npy", np.eye(3, 8))
    shown = isohash("query", marked, tmp_path / "q.npy", "--slice", 1, "--json").out
    assert json.loads(shown)["query"].endswith(":1")
    assert "rows 0 to 2" in one_line(isohash("query", marked, tmp_path / "q.npy", "--slice", 3))
    assert "must be vector" in one_line(isohash("query", marked, tmp_path / "q.npy", "--by", "ct"))


def test_an_interrupted_run_says_how_to_go_on(tmp_path: Path) -> None:
    """Ctrl-C, as a terminal sends it, while the command waits."""
    script = (
        "import os, signal, sys\n"
        "from isohash.apps.cli import main, query\n"
        "import isohash.retrieval.engine as engine\n"
        "engine.Archive.open = lambda path: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.argv = ['isohash', 'query', 'A', 'x']\n"
        "main.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        env={**os.environ},
    )  # fmt: skip
    assert done.returncode == 130
    assert "run the same command again" in done.stderr
