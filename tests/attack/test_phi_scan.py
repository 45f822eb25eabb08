"""phi-scan finds what is planted, whatever it is, however it is written, wherever it lies.

`benchmarks/phi_scan_rates.py` measures the same on an archive of one's own.
"""

import pytest

from attack.planted import hunt, strangers_told


def test_planted_leaks_are_found(tmp_path):
    assert hunt(tmp_path, 60, 1) == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [2, 102, 103])
def test_every_one_of_a_thousand_planted_leaks_is_found(tmp_path, capsys, seed):
    missed = hunt(tmp_path, 1000, seed)
    with capsys.disabled():
        print(f"\nphi-scan: 1000 leaks planted (kind x spelling x encoding x place), "
              f"{1000 - len(missed)} found")  # fmt: skip
    assert missed == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_false_alarms_are_rare(archive_path, capsys):
    """Two thousand patients of whom the archive has nothing: how many are told to be in it?"""
    n = 2000
    told = strangers_told(archive_path, n, 3)
    with capsys.disabled():
        print(f"\nphi-scan: {told} false alarms about {n} strangers")
    assert told <= n // 1000
