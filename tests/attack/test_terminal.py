"""Names and values with escape sequences, marks of direction, markup or lines are only shown."""

import io
import json
import sys
import unicodedata
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dicom_sets import change
from isohash.apps.cli import progress as bars
from isohash.errors import InputError
from isohash.sources.dicom.writer import write_dicom
from isohash.sources.reading import find, read_cases
from isohash.visible import HIDDEN, visible
from small_cases import phantom, write_openkbp

TRICKS = (
    "\x1b[31mred",
    "\x1b]0;pwned\x07",
    "\x9b31m",
    "\u202egpj",
    "\x7f\x08",
    "\rerror",
    "\u2066a",
)
EVIL = "".join(TRICKS)
FAST = ("--encoder", "pca", "--bits", 64, "--no-dose-model")


def steers(text):
    """Whether anything in the text is no character to be shown, line ends aside."""
    return [c for c in text if c != "\n" and unicodedata.category(c) in HIDDEN]


@given(st.text())
@example(EVIL)
@example("\ud800\u2028\u00ad\u200d")
def test_what_is_made_visible_steers_nothing_and_keeps_its_length_and_the_rest(text):
    shown = visible(text)
    assert len(shown) == len(text)
    assert not steers(shown)
    assert "\n" not in shown
    assert visible(shown) == shown
    kept = visible(text, keep="\n")
    for before, after in zip(text, kept, strict=True):
        assert (before == after) == (before == "\n" or unicodedata.category(before) not in HIDDEN)


@pytest.fixture
def folder(tmp_path):
    """Cases and other files under evil names."""
    source = tmp_path / f"in{EVIL}"
    source.mkdir()
    for member in range(3):
        write_openkbp(phantom(0, member), source / f"pt_{member}{EVIL}[bold]:smile:\nerror: x.npz")
    (source / f"junk{EVIL}.npz").write_bytes(b"PK\x03\x04")
    (source / f"other{EVIL}.txt").write_text("a")
    return source


def test_no_command_passes_on_what_steers_a_terminal(folder, tmp_path, isohash):
    archive = tmp_path / "A"
    some = next(folder.glob("pt_0*"))
    log = tmp_path / "log"
    commands = [
        ("--verbose", "--log", log, "index", folder, archive, *FAST),
        ("index", folder, archive),
        ("list", archive),
        ("info", archive),
        ("verify", archive),
        ("query", archive, some, "-k", 2),
        ("query", archive, some.name, "-k", 2),
        ("query", archive, "no such" + EVIL),
        ("query", archive, some, "--by", EVIL),
        ("query", archive, some, "--where", EVIL),
        ("names", folder),
        ("phi-scan", archive, folder),
        ("show", archive, some.stem),
        ("index", EVIL, archive),
        (EVIL,),
        ("query", archive, some, f"--{EVIL}"),
    ]
    seen = ""
    for command in commands:
        outcome = isohash(*command)
        assert not steers(outcome.out + outcome.err), command
        assert not any(
            line.startswith("error: x") for line in (outcome.out + outcome.err).splitlines()
        )
        seen += outcome.out
    assert "[bold]:smile:" in seen
    assert not steers(log.read_text())
    told = isohash("query", archive, some, "-k", 2, "--json")
    assert not steers(told.out)
    json.loads(told.out)
    page = tmp_path / "r.html"
    assert isohash("query", archive, some, "-k", 2, "--report", page).status == 0
    assert not steers(page.read_text())


def test_errors_and_warnings_of_the_library_are_shown_too(folder):
    with pytest.raises(InputError) as told:
        find(folder / "no such")
    assert not steers(str(told.value))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        list(read_cases(folder))
    assert len(seen) == 2
    assert not any(steers(str(one.message)) for one in seen)
    reasons = [skip.reason for skip in find(folder).skipped]
    assert all("junk" not in reason for reason in reasons)


VALUES = {
    "RD": ("DoseUnits", "DoseSummationType", "DoseType"),
    "CT": ("RescaleType", "PhotometricInterpretation"),
    "RP": ("ApprovalStatus", "RTPlanLabel"),
}


@pytest.mark.slow
def test_no_value_of_a_file_steers_a_terminal_or_is_repeated(tmp_path, isohash):
    some = [(kind, keyword) for kind, keywords in VALUES.items() for keyword in keywords]
    for member, (kind, keyword) in enumerate(some):
        folder = tmp_path / "in" / str(member)
        write_dicom(replace(phantom(0, member), patient=f"p{member}"), folder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for file in folder.glob(f"{kind}*"):
                change(file, **{keyword: "\x1b[31mNOWICKA\x1b]0;x\x07"})
    (tmp_path / "in" / f"bad{EVIL}\n.dcm").write_bytes(b"\0" * 128 + b"DICMjunk")
    outcome = isohash("index", tmp_path / "in", tmp_path / "A", *FAST)
    assert not steers(outcome.out + outcome.err)
    assert "NOWICKA" not in outcome.out + outcome.err
    assert "bad" in outcome.out + outcome.err


def test_the_bar_shows_what_it_is_told(monkeypatch):
    screen = io.StringIO()
    screen.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    with bars._bar() as show:
        show(1, 3, f"reading {EVIL}[red]")
    drawn = screen.getvalue()
    assert "reading" in drawn
    assert not any(trick in drawn for trick in TRICKS if trick != "\rerror")
    assert "\rerror" not in drawn


def test_an_array_named_to_steer_is_shown(tmp_path, isohash):
    np.savez(tmp_path / "v.npz", **{EVIL: np.arange(3)})
    outcome = isohash("index", tmp_path / "v.npz", tmp_path / "A")
    assert outcome.status == 1
    assert not steers(outcome.err)
