"""Names in odd spellings: marks of their own or that nobody sees, beginnings of formulas."""

from __future__ import annotations

import csv
import unicodedata
import zlib
from pathlib import Path

import pytest

from isohash.apps.proposal_files import _write_csv
from isohash.sources.identity import layers
from isohash.sources.identity.needles import needles_of
from isohash.sources.phi_scan import search

NAMES = ("Müller", "Jörg", "Zoë", "Łukasz", "Nguyễn", "Čapek", "Nowicka")
WAYS = {
    "accents apart": lambda name: unicodedata.normalize("NFD", name),
    "soft hyphen": lambda name: f"{name[:2]}\u00ad{name[2:]}",
    "no width": lambda name: "\u200b".join(name),
    "joiner and direction": lambda name: f"\u202b{name[:3]}\u2060{name[3:]}\u202c",
    "full width": lambda name: "".join(
        chr(ord(c) + 0xFEE0) if c.isascii() else c for c in name.upper()
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("source", ["NFC", "NFD"])
def test_names_are_found_however_their_letters_are_composed(
    tmp_path: Path, way: str, source: str
) -> None:
    named = [
        ("person", "PatientName", unicodedata.normalize(source, f"{name}^X"), name)
        for name in NAMES
    ]
    for name in NAMES:
        (tmp_path / f"{NAMES.index(name)}").write_text(f"seen with {WAYS[way](name)}, on the ward")
    leaks = search(tmp_path, needles_of(named)).leaks
    assert {(leak.file, leak.source) for leak in leaks} >= {
        (str(at), name) for at, name in enumerate(NAMES)
    }


def test_what_lies_beyond_the_looked_at_part_of_a_packed_piece_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A piece that swells without end takes no more memory, and is not passed over in silence."""
    monkeypatch.setattr(layers, "INFLATED", 1 << 16)
    (tmp_path / "x").write_bytes(zlib.compress(bytes(1 << 20) + b"seen with Nowicka"))
    needles = needles_of([("person", "PatientName", "Nowicka^X", "a.dcm")])
    found = search(tmp_path, needles)
    assert found.leaks == ()
    assert any(what.startswith("1 packed pieces beyond") for what in found.cannot)
    (tmp_path / "x").write_bytes(zlib.compress(bytes(1 << 10) + b"seen with Nowicka"))
    found = search(tmp_path, needles)
    assert found.leaks
    assert not any("packed pieces" in what for what in found.cannot)


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "@SUM(A1)", "+1", "-PTV"])
def test_names_in_tables_of_a_proposal_are_no_formulas(tmp_path: Path, name: str) -> None:
    """Names of structures may be an archive's from elsewhere; numbers stay numbers."""
    _write_csv(tmp_path / "bands.csv", [{"structure": name, "gy": -1.5}])
    with (tmp_path / "bands.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert row["structure"] == f"'{name}"
    assert row["gy"] == "-1.500"
