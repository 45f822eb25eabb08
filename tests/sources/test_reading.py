"""Finding cases: every kind is detected, rubbish is listed, and nothing stops a run."""

import os
import shutil

import numpy as np
import pytest

from isohash.errors import InputError
from isohash.records import Case, Vectors
from isohash.sources.reading import find, read_case, read_cases


def write_case(path, value=100):
    ct = np.full((4, 5, 6), value, dtype=np.int16)
    np.savez(
        path, ct=ct, dose=ct.astype(np.uint16), masks=ct.astype(np.uint16) * 0, voxel=np.ones(3)
    )


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "train").mkdir()
    for n in (10, 2):
        write_case(tmp_path / "train" / f"pt_{n}.npz", n)
    (tmp_path / "README.md").write_text("about")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 nothing")
    np.save(tmp_path / "vectors.npy", np.eye(3))
    return tmp_path


def test_a_tree_gives_its_cases_in_natural_order_and_lists_the_rest(tree):
    findings = find(tree)
    assert findings.kind == "openkbp"
    assert [found.key for found in findings.found] == ["pt_2", "pt_10"]
    reasons = {os.path.basename(skip.path): skip.reason for skip in findings.skipped}
    assert set(reasons) == {"README.md", "broken.npz", "vectors.npy"}
    assert "truncated" in reasons["broken.npz"]
    assert "source of its own" in reasons["vectors.npy"]


def test_found_cases_are_read_when_asked_for(tree):
    case = find(tree).found[0].read()
    assert isinstance(case, Case)
    assert case.id == "pt_2"


def test_a_single_file_or_folder_is_a_source(tree):
    assert find(tree / "train" / "pt_2.npz").kind == "openkbp"
    vectors = find(tree / "vectors.npy")
    assert vectors.kind == "vectors"
    assert isinstance(vectors.found[0].read(), Vectors)
    assert read_case(tree / "train" / "pt_10.npz").id == "pt_10"


def test_a_csv_folder_is_one_case(tmp_path):
    folder = tmp_path / "pt_3"
    folder.mkdir()
    (folder / "ct.csv").write_text(",data\n5,100\n")
    (folder / "voxel_dimensions.csv").write_text("1\n1\n1\n")
    for path in (tmp_path, folder):
        findings = find(path)
        assert findings.kind == "openkbp-csv"
        assert [found.key for found in findings.found] == ["pt_3"]
    assert read_case(tmp_path).dose is None


def test_the_fingerprint_changes_with_the_file_and_only_then(tree):
    path = tree / "train" / "pt_2.npz"
    before = find(path).found[0].fingerprint
    assert find(tree).found[0].fingerprint == before
    write_case(path, 3)
    os.utime(path, ns=(1, 1))
    assert find(path).found[0].fingerprint != before


def test_a_second_case_of_the_same_name_gets_one_of_its_own_and_a_copy_is_told(tree):
    for place in ("again", "copy"):
        (tree / place).mkdir()
    write_case(tree / "again" / "pt_2.npz", 3)
    shutil.copy(tree / "train" / "pt_2.npz", tree / "copy" / "pt_2.npz")
    findings = find(tree)
    keys = [found.key for found in findings.found]
    assert len(keys) == len(set(keys)) == 3
    assert sum(key.startswith("pt_2~") for key in keys) == 1
    assert any("holds the same as" in skip.reason for skip in findings.skipped)


@pytest.mark.parametrize("name", ["missing", "empty", "unrelated", "lonely.txt"])
def test_a_path_without_cases_is_refused_with_the_next_step(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "unrelated").mkdir()
    for n in range(3):
        (tmp_path / "unrelated" / f"note{n}.txt").write_text("hello")
    (tmp_path / "lonely.txt").write_text("hello")
    with pytest.raises(InputError, match=name) as error:
        find(tmp_path / name)
    assert "\n" not in str(error.value)


def test_links_out_of_the_source_are_not_followed(tree, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write_case(elsewhere / "pt_99.npz")
    (tree / "pt_99.npz").symlink_to(elsewhere / "pt_99.npz")
    (tree / "more").symlink_to(elsewhere)
    (tree / "pt_5.npz").symlink_to(tree / "train" / "pt_2.npz")
    findings = find(tree)
    assert [found.key for found in findings.found] == ["pt_5", "pt_2", "pt_10"]
    assert sum("link" in skip.reason for skip in findings.skipped) == 2


def test_one_bad_case_does_not_stop_the_others(tree):
    np.savez(tree / "pt_1.npz", ct=np.zeros((2, 2, 2), dtype=np.int16), voxel=np.zeros(3))
    skipped = []
    cases = list(read_cases(tree, skipped.append))
    assert [case.id for case in cases] == ["pt_2", "pt_10"]
    assert any("positive mm" in skip.reason for skip in skipped)


def test_reading_cases_without_a_listener_warns_of_what_it_passes_over(tree):
    with pytest.warns(UserWarning, match="skipped"):
        assert len(list(read_cases(tree))) == 2


def test_only_bad_cases_are_an_error(tmp_path):
    np.savez(tmp_path / "pt_1.npz", ct=np.zeros((2, 2, 2), dtype=np.int16), voxel=np.zeros(3))
    with pytest.raises(InputError, match="positive mm"):
        list(read_cases(tmp_path, lambda skipped: None))


def test_read_case_says_how_many_there_are(tree):
    with pytest.raises(InputError, match="holds 2 cases"):
        read_case(tree)


def test_a_file_that_vanishes_after_it_was_found_is_one_line(tree):
    found = find(tree).found[0]
    os.unlink(found.path)
    with pytest.raises(InputError, match="no such file"):
        found.read()


def test_progress_counts_the_cases(tree):
    seen = []
    find(tree, lambda done, total, message: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


def test_every_real_patient_is_found(shared_data):
    findings = find(shared_data / "openkbp")
    assert (findings.kind, len(findings.found)) == ("openkbp", 202)
    assert {os.path.basename(skip.path) for skip in findings.skipped} == {"LICENSE", "README.md"}
