"""What took too long is not tried again and again, and leaves no trace of what it is."""

import os
import sys
from functools import cache

import pytest

from isohash.errors import InputError
from isohash.sandbox import ChildFailed, Pool, TooSlow
from isohash.sources import slow
from isohash.sources.dicom import find as dicom
from isohash.sources.dicom.writer import write_dicom
from isohash.sources.identity.pseudonyms import load_key
from isohash.sources.reading import find
from small_cases import phantom


@pytest.fixture
def key_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ISOHASH_KEY_FILE", str(tmp_path / "key" / "pseudonym.key"))
    return tmp_path / "key"


@pytest.fixture
def source(tmp_path):
    write_dicom(phantom(0, 0), tmp_path / "in")
    return tmp_path / "in"


class Asked:
    """What children were asked for; a request that holds `hostile` takes too long."""

    def __init__(self, monkeypatch):
        self.tasks, self.hostile, real = [], "'task': 'case'", Pool.call

        def call(pool, header, timeout_s):
            self.tasks.append(header["task"])
            if self.hostile in str(header):
                raise TooSlow(f"takes longer than {timeout_s:g} s of processor time to read")
            return real(pool, header, timeout_s)

        monkeypatch.setattr(Pool, "call", call)


@pytest.fixture
def asked(monkeypatch):
    return Asked(monkeypatch)


def test_a_slow_case_costs_its_time_once(source, key_folder, asked):
    with pytest.raises(InputError, match=r"processor time to read; check"):
        find(source).found[0].read()
    asked.tasks.clear()
    with pytest.raises(InputError, match=r"an earlier run found; isohash index --retry"):
        find(source).found[0].read()
    assert "case" not in asked.tasks
    assert slow.forget() == 1
    with pytest.raises(InputError, match="check its files"):
        find(source).found[0].read()
    assert "case" in asked.tasks


def test_a_slow_file_costs_its_time_once_and_the_others_are_read(source, key_folder, asked):
    asked.hostile = "RP.0000"
    for reason in ("time to read", slow.AGAIN):
        asked.tasks.clear()
        findings = find(source)
        assert len(findings.found) == 1
        (skipped,) = findings.skipped
        assert skipped.path.endswith("RP.0000.dcm")
        assert skipped.reason.endswith(reason)
    assert asked.tasks.count("headers") == 1


def test_what_changes_is_tried_again(source, key_folder, asked, monkeypatch):
    for change in (
        lambda: os.utime(source / "RP.0000.dcm", (1, 1)),
        lambda: monkeypatch.setattr(dicom, "CASE_SECONDS", 500.0),
    ):
        with pytest.raises(InputError):
            find(source).found[0].read()
        change()
        asked.tasks.clear()
        with pytest.raises(InputError, match="check its files"):
            find(source).found[0].read()
        assert "case" in asked.tasks


def test_what_is_remembered_tells_of_nobody(source, key_folder, asked, monkeypatch):
    with pytest.raises(InputError):
        find(source).found[0].read()
    assert (key_folder / "slow.json").stat().st_mode & 0o077 == 0
    (kept,) = slow.known()
    assert kept.startswith("slow-")
    monkeypatch.setenv("ISOHASH_KEY_FILE", str(key_folder / "other.key"))
    asked.tasks.clear()
    with pytest.raises(InputError, match="check its files"):  # another key knows nothing of it
        find(source).found[0].read()
    assert len(slow.known()) == 2


def test_a_case_is_known_again_in_another_place(source, key_folder, asked, tmp_path):
    """As one that is unpacked anew for each run."""
    with pytest.raises(InputError):
        find(source).found[0].read()
    source.rename(tmp_path / "moved")
    with pytest.raises(InputError, match="an earlier run"):
        find(tmp_path / "moved").found[0].read()


def test_the_memory_is_bounded_and_damage_of_it_costs_time_only(key_folder, monkeypatch):
    load_key()
    monkeypatch.setattr(slow, "MOST", 3)
    for n in range(5):
        slow.remember(f"slow-{n}")
    assert slow.known() == {"slow-2", "slow-3", "slow-4"}
    for damage in (b"", b"[", b"{}", b"\xff", b" " * (slow.MOST_BYTES + 1)):
        slow.slow_path().write_bytes(damage)
        assert slow.known() == frozenset()
    slow.slow_path().unlink()
    os.mkfifo(slow.slow_path())
    assert slow.known() == frozenset()


def test_a_crash_is_not_remembered(source, key_folder, monkeypatch):
    """It may have been the machine's fault."""

    def call(pool, header, timeout_s):
        raise ChildFailed("crashes the reader")

    found = find(source).found[0]
    monkeypatch.setattr(Pool, "call", call)
    with pytest.raises(InputError, match="crashes"):
        found.read()
    assert slow.known() == frozenset()


def test_the_command_forgets_on_demand(source, key_folder, asked, tmp_path, isohash):
    isohash("index", source, tmp_path / "A")
    assert slow.known()
    asked.hostile = "nothing"
    assert slow.AGAIN in " ".join(isohash("index", source, tmp_path / "A").err.split())
    outcome = isohash("index", source, tmp_path / "A", "--retry", "--encoder", "pca", "--bits", 64)
    assert slow.AGAIN not in outcome.out + outcome.err
    assert not slow.known()


@pytest.mark.skipif(sys.platform != "linux", reason="processor time is told by Linux only")
def test_a_child_that_really_takes_too_long_is_remembered(source, key_folder, monkeypatch):
    found = find(source).found[0]
    n_files = len(list(source.iterdir()))
    monkeypatch.setattr(dicom, "_pool", cache(lambda: Pool("isohash.sources.dicom.worker")))
    monkeypatch.setattr(dicom, "CASE_SECONDS", 0.05 - 0.5 * n_files)  # less than a child's start
    with pytest.raises(InputError, match=r"longer than 0\.05 s of processor time"):
        found.read()
    assert len(slow.known()) == 1
