"""phi-scan finds what is planted, whatever it is, however it is written, wherever it lies.

`benchmarks/phi_scan_rates.py` measures the same on an archive of one's own.
"""

import base64
import json
import random
import string
import zlib
from pathlib import Path

import numpy as np
import pytest

from attack.planted import FAMILY, GIVEN, hunt, patient, strangers_told, values
from isohash.sources.identity.needles import needles_of
from isohash.sources.identity.own_words import is_own_quote
from isohash.sources.identity.reads import is_written
from isohash.sources.phi_scan import Leak, search


def test_planted_leaks_are_found(tmp_path):
    assert hunt(tmp_path, 60, 1) == []


NUMBERS = "".join(f"no {n}; " for n in random.Random(1).choices(range(10**6, 10**7), k=10000))
NAMED = [("number", "PatientID", str(n), "a.dcm") for n in range(8643661, 8643661 + 100 * 7, 7)]


def told(folder: Path) -> tuple[Leak, ...]:
    return search(folder, needles_of(NAMED)).leaks


@pytest.mark.parametrize("written", ["86436-61", "864 36 61", "86/43.661"])
@pytest.mark.parametrize("around", ["{}", "X){}7", "4{}", "0{}9"])
def test_a_number_in_pieces_is_found_beside_digits_and_numbers(
    tmp_path: Path, written: str, around: str
) -> None:
    """Chance is told for the number as it is spelt: with a dash it is rarer than without."""
    (tmp_path / "x").write_text(NUMBERS + around.format(written))
    assert told(tmp_path) != ()


@pytest.mark.parametrize("before", [b"", b"\xff", b"a", b"\xffa3", b"a3f"])
def test_hexadecimal_digits_are_read_from_either(tmp_path: Path, before: bytes) -> None:
    """The byte before them may be one by chance."""
    (tmp_path / "x").write_bytes(bytes(100) + before + b"86436-61".hex().encode() + bytes(100))
    assert told(tmp_path) != ()


def test_a_number_that_chance_gives_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "x").write_text(f"{NUMBERS}no 8643661;")
    assert told(tmp_path) == ()
    (tmp_path / "x").write_text("no 8643661;")
    assert told(tmp_path) != ()


PAIRS = [a + b for a in string.ascii_lowercase for b in string.ascii_lowercase]
TEXTS = {
    "json": '{{"kind": "cases", "near": {{"ct": 1.5}}, "note": "{}"}}',
    "page": "<html><body><p>distance in Gy</p><p title='{}'>x</p></body></html>",
    "note": "seen with {} on the ward",
}


def test_every_name_of_two_letters_in_a_text_is_told_or_said_to_be_unsearchable(tmp_path: Path):
    """Some are words of isohash itself: those are counted, and nothing else is passed over."""
    for pair in PAIRS:
        (tmp_path / pair).mkdir()
        for place, text in TEXTS.items():
            (tmp_path / pair / place).write_text(text.format(pair.title()))
    needles = needles_of(("person", "PatientName", f"{pair.title()}^X", pair) for pair in PAIRS)
    found = search(tmp_path, needles)
    told = {(leak.source, leak.file.rsplit("/", 1)[-1]) for leak in found.leaks if leak.offset > 0}
    missed = {pair for pair in needles.words for place in TEXTS if (pair, place) not in told}
    assert {pair for pair in missed if not is_own_quote(pair)} == set()
    own = [pair for pair in needles.words if is_own_quote(pair)]
    assert f"{len(own)} words of persons that isohash writes itself, where they stand alone" in (
        found.cannot
    )
    assert len(own) < 100


def test_chance_is_told_apart_and_hides_no_leak(tmp_path: Path) -> None:
    """Noise gives short names; a leak in the same packed piece is told all the same."""
    chance = random.Random(4)
    noise = chance.randbytes(400_000)
    named = [("person", "PatientName", name, name) for name in ("Li^Bo", "Kowalczyk^Ng", "Ode^Jo")]
    (tmp_path / "codes.seg").write_bytes(noise)
    found = search(tmp_path, needles_of(named))
    assert found.leaks == ()
    assert found.by_chance
    assert all(leak.expected > 1e-5 for leak in found.by_chance)
    (tmp_path / "codes.seg").write_bytes(noise + zlib.compress(noise + b"kowalczyk" + noise))
    assert {leak.source for leak in search(tmp_path, needles_of(named)).leaks} == {"Kowalczyk^Ng"}


@pytest.mark.parametrize("n", [3, 30, 600])
def test_many_leaks_do_not_pass_for_chance(tmp_path: Path, n: int) -> None:
    """Numbers and dates of all patients at once are no chance, however many there are."""
    chance = random.Random(n)
    several = [patient(chance) for _ in range(n)]
    named = [
        (kind, element, text, str(at))
        for at, one in enumerate(several)
        for kind, element, text in values(one)
        if element in ("PatientID", "PatientBirthDate")
    ]
    lines = [f'"{one["digits"]}": "{one["born"]:.4}/{one["born"][4:6]}/{one["born"][6:]}"'
             for one in several]  # fmt: skip
    (tmp_path / "x.json").write_text("{" + ",\n".join(lines) + "}")
    found = {(leak.element, leak.source) for leak in search(tmp_path, needles_of(named)).leaks}
    assert sum(element == "PatientID" for element, _ in found) >= 0.99 * n
    assert sum(element == "PatientBirthDate" for element, _ in found) >= 0.9 * n


def test_ids_of_answers_are_no_names(tmp_path: Path) -> None:
    """What is coded in them is looked at; the letters that it takes are by chance."""
    chance = random.Random(3)
    told = [base64.urlsafe_b64encode(zlib.compress(chance.randbytes(180))) for _ in range(300)]
    (tmp_path / "x.json").write_text(json.dumps({"replay": [f"r1-{t.decode()}" for t in told]}))
    named = [("person", "PatientName", f"{a}^{b}", a) for a in FAMILY for b in GIVEN]
    assert search(tmp_path, needles_of(named)).leaks == ()
    packed = base64.urlsafe_b64encode(zlib.compress(b'["Kowalczyk", {"by": "ct"}, 1, 2]')).decode()
    (tmp_path / "x.json").write_text(json.dumps({"replay": f"r1-{packed}"}))
    one = [("person", "PatientName", "Kowalczyk^Jan", "a.dcm")]
    assert search(tmp_path, needles_of(one)).leaks != ()


def smooth(chance: np.random.Generator, n: int) -> bytes:
    """Bytes that follow each other as those of a smooth picture do."""
    steps = np.cumsum(chance.normal(0, 3, n))
    return np.asarray(np.abs(steps) % 255, dtype=np.uint8).tobytes()


def test_smooth_pictures_are_no_texts_and_texts_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    for piece in (smooth(rng, 40), smooth(rng, 4000)):
        assert not is_written("".join(chr(32 + byte % 95) for byte in piece))
    for text in ("drawn for Ng by hand", '{"note": "Ng PTV", "n": 1.5}', "the patient is Bo Ng"):
        assert is_written(text)
    named = [("person", "PatientName", f"{a}^{b}", a) for a in FAMILY for b in GIVEN]
    for n in range(4):
        (tmp_path / f"{n}.seg").write_bytes(zlib.compress(smooth(rng, 300_000)))
    assert search(tmp_path, needles_of(named)).leaks == ()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [2, 3, 102, 103])
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
    # each of four scans tells somebody with a chance of `RARE` = 0.05: more than three come once
    # in ten thousand runs
    assert told <= 3
