"""Errors of people's slips name the thing and the next step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

SLIPS = {
    "facts {tmp}/nowhere": "check the path, or make one",
    "list {tmp}": "give an archive's folder",
    "list {archive} --where '1 +'": "(invalid syntax); write one such as",
    "index {tmp}/one.npy {tmp}/new": "give it more",
    "remove {archive} phantom-00-99": "did you mean phantom-00-0",
}


@pytest.mark.parametrize(("slip", "told"), SLIPS.items())
def test_a_slip_is_told_with_the_next_step(isohash, archive_path: Path, tmp_path, slip, told):
    np.save(tmp_path / "one.npy", np.ones((1, 4)))
    words = slip.replace("'1 +'", "1_+").format(tmp=tmp_path, archive=archive_path).split()
    done = isohash(*(word.replace("_", " ") if word == "1_+" else word for word in words))
    assert done.status == 1
    assert told in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("empty", ["", " "])
@pytest.mark.parametrize(
    "words", [("index", "", "new"), ("query", "ARCHIVE", ""), ("list", "ARCHIVE", "--where", "")]
)
def test_an_empty_argument_is_no_folder(isohash, archive_path: Path, words, empty) -> None:
    """`isohash index "$UNSET" new` would take the folder we are in."""
    known = {"": empty, "ARCHIVE": archive_path}
    done = isohash(*(known.get(word, word) for word in words))
    assert done.status == 1
    assert "is empty; give it a value" in done.err
    assert len(done.err.splitlines()) == 1
