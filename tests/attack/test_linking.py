"""From an archive alone, or with a copy of the files but without the key, no patient is told."""

import hashlib
import json
import shutil

import numpy as np
import pydicom
import pytest

from isohash.archive.store import CaseStore
from isohash.retrieval.building.indexing import index_found
from isohash.retrieval.engine import Archive
from isohash.sources.dicom.writer import write_dicom
from isohash.sources.reading import find
from small_cases import OPTIONS, as_findings, phantom, write_openkbp

QUICK = {**OPTIONS, "encoder": "pca"}


def digests(folder):
    """What whoever has a copy of the files can compute: the digests that fingerprints once were."""
    lines, plain = [], []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            status = path.stat()
            plain.append(f"{path.name}\0{status.st_size}\0{status.st_mtime_ns}")
            if path.suffix == ".dcm":
                uid = pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID
                lines.append(f"{uid}\0{status.st_size}\0{status.st_mtime_ns}")
    for several in (sorted(lines), plain, *([line] for line in plain)):
        yield hashlib.blake2b(
            "".join(f"{s}\n" for s in several).encode(), digest_size=16
        ).hexdigest()


@pytest.fixture
def sources(tmp_path):
    for member in range(2):
        write_dicom(phantom(0, member), tmp_path / "dicom" / str(member))
    (tmp_path / "kbp").mkdir()
    for member in range(2):
        write_openkbp(phantom(0, member), tmp_path / "kbp" / f"pt_{member}.npz")
    np.savez(tmp_path / "v.npz", X=np.random.default_rng(0).normal(size=(60, 8)), ids=np.arange(60))
    return tmp_path / "dicom", tmp_path / "kbp", tmp_path / "v.npz"


def test_no_digest_of_the_files_is_in_an_archive(sources, tmp_path):
    for number, source in enumerate(sources):
        archive = tmp_path / f"a{number}"
        index_found(find(source), archive, QUICK if source.is_dir() else {"bits": 64})
        kept = b"".join(path.read_bytes() for path in archive.rglob("*") if path.is_file())
        folder = source if source.is_dir() else source.parent
        assert not any(digest.encode() in kept for digest in digests(folder))
        assert not index_found(find(source), archive, {}).indexed


def test_another_key_gives_another_fingerprint(sources, tmp_path, monkeypatch):
    first = find(sources[1]).found[0].fingerprint
    monkeypatch.setenv("ISOHASH_KEY_FILE", str(tmp_path / "other.key"))
    assert find(sources[1]).found[0].fingerprint != first


def test_the_next_index_migrates_an_older_archive(tmp_path):
    """Its fingerprints, names and warnings are replaced, also on the disk, and nothing is read."""
    findings = as_findings({f"case{m}": lambda m=m: phantom(0, m) for m in range(2)})
    archive = tmp_path / "A"
    index_found(findings, archive, QUICK)
    with CaseStore.open(archive, writable=True) as store:
        for found in findings.found:
            facts, arrays = store.metadata(found.key), store.arrays(found.key)
            facts["structures"][0] = "Muller ring"
            facts["warnings"] = [
                "structure Muller ring: x",
                "9 % of Bo Ng lies outside the dose grid",
                "structure Ewa left out: y",
                "no plan file",
            ]
            store.put(found.key, facts, {k: v.copy() for k, v in arrays.items()}, found.state)
    report = index_found(findings, archive, {})
    assert not report.indexed
    assert any("earlier version" in note for note in report.notes)
    kept = b"".join(path.read_bytes() for path in archive.rglob("*") if path.is_file())
    for word in (b"Muller", b"Bo Ng", b"Ewa"):
        assert word not in kept
    with CaseStore.open(archive) as store:
        facts = store.metadata("case0")
        assert facts["structures"][0] == "ROI 1 (helper)"
        assert facts["warnings"][0] == "structure ROI 1 (helper): x"
        assert facts["warnings"][3] == "no plan file"
        assert store.verify().ok
    assert not index_found(findings, archive, {}).notes[-1].startswith("this archive was made by")
    with Archive.open(archive) as opened:
        assert opened.query("case0", k=1).ids == ["case1"]


def test_file_names_that_look_like_a_persons_are_told_and_replaced_on_demand(tmp_path, isohash):
    rng = np.random.default_rng(0)
    source = tmp_path / "in"
    source.mkdir()
    np.savez(source / "Kowalczyk_Marianne_19480215.npz", X=rng.normal(size=(60, 8)),
             ids=np.array([f"Ng Bo {i}" for i in range(60)]))  # fmt: skip
    told = json.loads(isohash("index", source, tmp_path / "a", "--bits", 64, "--json").out)
    assert any("--pseudonymous-ids" in note for note in told["notes"])
    assert "Kowalczyk" not in str(told["notes"])
    outcome = isohash("index", source, tmp_path / "b", "--bits", 64, "--pseudonymous-ids", "--json")
    assert not any("--pseudonymous-ids" in note for note in json.loads(outcome.out)["notes"])
    shutil.rmtree(tmp_path / "a")
    kept = b"".join(path.read_bytes() for path in (tmp_path / "b").rglob("*") if path.is_file())
    assert b"Kowalczyk" not in kept
    assert b"Ng Bo" not in kept
    answer = isohash("query", tmp_path / "b", source / "Kowalczyk_Marianne_19480215.npz", "--json")
    assert "Kowalczyk" not in answer.out
    assert not json.loads(isohash("index", source, tmp_path / "b", "--json").out)["indexed"]
    assert "nothing" in isohash("phi-scan", tmp_path / "b", source).out


def test_ids_of_cases_are_replaced_on_demand(sources, tmp_path):
    options = {**QUICK, "pseudonymous_ids": True}
    report = index_found(find(sources[1]), tmp_path / "A", options)
    assert all(name.startswith("file-") for name in report.indexed)
    assert len(index_found(find(sources[1]), tmp_path / "A", {}).unchanged) == 2
    with Archive.open(tmp_path / "A") as archive:
        assert (
            archive.query(sources[1] / "pt_0.npz", k=1, same_patient=True).query in report.indexed
        )
