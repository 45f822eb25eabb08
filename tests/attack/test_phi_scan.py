"""phi-scan finds what is planted, whatever it is, however it is written, wherever it lies."""

import random
from collections import Counter

import pytest

from attack.planted import patient, plant, values
from isohash.sources.identity.haystack import RARE, Haystack
from isohash.sources.identity.needles import needles_of
from isohash.sources.phi_scan import in_file


def hunt(folder, tries, seed):
    """Plant so many leaks, one a file, and look for them; those that were not found."""
    chance = random.Random(seed)
    patients = [patient(chance) for _ in range(20)]
    named = [(*value, "file.dcm") for found in patients for value in values(found)]
    hay = Haystack(needles_of(named))
    planted = {}
    while len(planted) < tries:
        what = plant(folder, len(planted), chance, chance.choice(patients))
        if what is not None:
            planted[len(planted)] = what
    missed = []
    for number, what in planted.items():
        hits = list(in_file(hay, folder / f"{number}.bin"))
        if not any(hay.expected(hit.group) < RARE for hit in hits):
            missed.append(what)
    return missed


def test_planted_leaks_are_found(tmp_path):
    assert hunt(tmp_path, 60, 1) == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_one_of_two_thousand_planted_leaks_is_found(tmp_path, capsys):
    missed = hunt(tmp_path, 2000, 2)
    with capsys.disabled():
        print(f"\nphi-scan: 2000 leaks planted (kind x spelling x encoding x place), "
              f"{2000 - len(missed)} found")  # fmt: skip
    assert missed == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_false_alarms_are_rare(archive_path, capsys):
    """Two thousand patients of whom the archive has nothing: how many are told to be in it?"""
    chance, alarms, n = random.Random(3), Counter(), 2000
    for _ in range(0, n, 500):
        found = [patient(chance) for _ in range(500)]
        hay = Haystack(
            needles_of((*value, str(i)) for i, one in enumerate(found) for value in values(one))
        )
        for file in sorted(path for path in archive_path.rglob("*") if path.is_file()):
            hits = list(in_file(hay, file))
            alarms.update(hit.origin for hit in hits if hay.expected(hit.group) < RARE)
    with capsys.disabled():
        print(f"\nphi-scan: {len(alarms)} false alarms about {n} strangers")
    assert len(alarms) <= n // 1000
