"""What is kept stands there after a kill, is its owner's alone, and shows when it was changed."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pydicom
import pytest

from isohash.apps.csv_text import csv_text
from isohash.apps.web.keeping.journal import BrokenChain, Journal
from isohash.apps.web.keeping.shelf import COHORT, QUERY, Shelf
from isohash.errors import InputError
from isohash.sources.dicom.writer import write_dicom
from isohash.sources.phi_scan import phi_scan
from isohash.whole_files import failpoints, workbench_of
from small_cases import phantom


def told(path: Path) -> list[dict]:
    lines: list[dict] = []
    Journal(path, lines.append).refresh()
    return lines


def test_a_journal_tells_what_was_written_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "beside" / "j")
    for i in range(5):
        assert journal.append(did=i)["n"] == i + 1
    assert [line["did"] for line in told(tmp_path / "beside" / "j")] == list(range(5))
    assert stat.S_IMODE((tmp_path / "beside" / "j").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "beside").stat().st_mode) == 0o700


def test_every_changed_removed_or_added_line_is_found(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = Journal(path)
    for i in range(6):
        journal.append(did=i, text="é")
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for at in range(6):
        changed = [*lines[:at], lines[at].replace(b'"did":', b'"dId":'), *lines[at + 1 :]]
        doubled = [*lines[: at + 1], *lines[at:]]
        for wrong, first in ((changed, at + 1), (doubled, at + 2)):
            path.write_bytes(b"".join(wrong))
            with pytest.raises(BrokenChain) as found:
                told(path)
            assert found.value.line == first
        if at < 5:
            path.write_bytes(b"".join([*lines[:at], *lines[at + 1 :]]))
            with pytest.raises(BrokenChain):
                told(path)
    path.write_bytes(whole)
    assert len(told(path)) == 6
    path.write_bytes(lines[0])
    with pytest.raises(BrokenChain):  # who has it open sees that it was cut
        journal.append(did=7)


def test_a_line_cut_by_a_kill_goes_with_the_next(tmp_path: Path) -> None:
    path = tmp_path / "j"
    Journal(path).append(did=0)
    whole = path.read_bytes()
    Journal(path).append(did=1)
    both = path.read_bytes()
    for cut in range(len(whole), len(both)):
        path.write_bytes(both[:cut])
        assert [line["did"] for line in told(path)] == [0]
        Journal(path).append(did=2)
        assert [line["did"] for line in told(path)] == [0, 2]


def test_a_disk_that_refuses_leaves_the_journal_as_it_was(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.append(did=0)
    for operation in ("write", "fsync"):

        def refuse(what: str, _: Path, operation: str = operation) -> None:
            if what == operation:
                raise OSError(28, "No space left on device")

        with failpoints(refuse), pytest.raises(InputError, match="No space left"):
            journal.append(did=1)
        assert [line["did"] for line in told(tmp_path / "j")] == [0]
    journal.append(did=2)
    assert [line["did"] for line in told(tmp_path / "j")] == [0, 2]


def test_many_write_at_once(tmp_path: Path) -> None:
    journals = [Journal(tmp_path / "j") for _ in range(4)]
    threads = [
        threading.Thread(target=lambda j=j: [j.append(did=i) for i in range(20)]) for j in journals
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [line["n"] for line in told(tmp_path / "j")] == list(range(1, 81))


CHILD = """
import sys
from pathlib import Path
from isohash.apps.web.keeping.shelf import Shelf
shelf = Shelf(Path(sys.argv[1]))
for i in range(10_000):
    one = shelf.make("cohort", "anna", f"cohort {i}")
    shelf.put(one.id, "anna", f"case-{i}", "a note")
    print(one.id, flush=True)
"""


def test_a_kill_loses_nothing_acknowledged(tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    for _ in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            acknowledged |= {child.stdout.readline().strip() for _ in range(15)}
            os.kill(child.pid, signal.SIGKILL)
            acknowledged |= {line.strip() for line in child.stdout if line.endswith("\n")}
        kept = {one.id: one for one in Shelf(tmp_path).seen_by("anna")}
        assert acknowledged <= set(kept)
        assert all(len(kept[one].cases) == 1 for one in acknowledged)
    assert len(acknowledged) >= 90


def test_what_is_kept_is_seen_by_its_owner_and_by_all_once_shared(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    one = shelf.make(COHORT, "anna", "hard necks", "narrow")
    shelf.put(one.id, "anna", "c1", "left side")
    shelf.put(one.id, "anna", "c2")
    shelf.take(one.id, "anna", "c2")
    assert shelf.seen_by("ben") == []
    with pytest.raises(InputError, match="nothing is kept"):
        shelf.find(one.id, "ben")
    shelf.change(one.id, "anna", "necks", "", shared=True)
    for act in (
        lambda: shelf.put(one.id, "ben", "c3"),
        lambda: shelf.drop(one.id, "ben"),
        lambda: shelf.change(one.id, "ben", "mine", "", shared=False),
    ):
        with pytest.raises(InputError, match="another user"):
            act()
    other = Shelf(tmp_path).find(one.id, "ben")  # another process
    assert (other.name, other.cases, other.owner) == ("necks", {"c1": "left side"}, "anna")
    shelf.drop(one.id, "anna")
    assert Shelf(tmp_path).seen_by("anna") == []


def test_nonsense_is_refused(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    query = shelf.make(QUERY, "anna", "a query", address="/query?case=x", replay="r1-")
    for act, said in (
        (lambda: shelf.make(COHORT, "anna", "  "), "1 to 120"),
        (lambda: shelf.make(COHORT, "anna", "x" * 121), "1 to 120"),
        (lambda: shelf.make(COHORT, "anna", "x", "y" * 4001), "4000"),
        (lambda: shelf.put(query.id, "anna", "c"), "no cohort"),
    ):
        with pytest.raises(InputError, match=said):
            act()


def test_dates_and_numbers_in_notes_are_told(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    one = shelf.make(COHORT, "anna", "60 Gy in 30", "born 1961-02-03, number 4711123")
    assert one.telling == ("1961-02-03,", "4711123")
    assert shelf.make(COHORT, "anna", "hot spots", "oral cavity at 66 Gy").telling == ()


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "  =", " -"])
def test_no_cell_begins_a_formula(start: str) -> None:
    text = f"{start}cmd|' /C calc'!A0"
    written = csv_text([{"a": text, f"{start}b": 1, "c": [text, 2], "d": -3.5, "e": None}])
    header, row = csv.reader(io.StringIO(written))
    shown = text.replace("\r", " ")
    assert header == ["a", f"'{start}b".replace("\r", " "), "c", "d", "e"]
    assert row == [f"'{shown}", "1", f"'{shown}; 2", "-3.5", ""]


def test_lines_are_json_for_other_programs(tmp_path: Path) -> None:
    Journal(tmp_path / "j").append(did="x")
    line = json.loads((tmp_path / "j").read_text())
    assert set(line) == {"n", "at", "did", "chain"}


def test_phi_scan_reads_notes(tmp_path: Path) -> None:
    source, archive = tmp_path / "source", tmp_path / "archive"
    archive.mkdir()
    write_dicom(phantom(0, 1), source)
    for file in source.rglob("*.dcm"):
        with pydicom.dcmread(file) as dataset:
            dataset.PatientName = "Wondraschek^Theodora"
            dataset.save_as(file)
    shelf = Shelf(workbench_of(archive))
    shelf.make(COHORT, "anna", "hard necks", "hot spots at the left side")
    assert phi_scan(archive, source) == []
    shelf.make(COHORT, "anna", "hard necks", "as of Theodora Wondraschek")
    leaks = phi_scan(archive, source)
    assert {leak.file for leak in leaks} == {"archive.workbench/kept.jsonl"}
