"""What answers by images say in words: known sentences."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isohash.errors import InputError
from isohash.retrieval.engine import Archive
from isohash.retrieval.ways.images import distance_meaning, uncertainty
from small_cases import phantom


def test_what_is_uncertain_is_counted() -> None:
    assert uncertainty(0, 9).startswith("Uncertain: the distance, ")
    assert uncertainty(3, 9).endswith("the 3 of 9 that were compared exactly.")
    assert uncertainty(9, 9).endswith("; all 9 were compared exactly.")


def test_distances_are_called_what_they_are() -> None:
    exact, told, shares = (
        distance_meaning(n, linear) for n, linear in ((4, True), (0, True), (0, False))
    )
    assert exact.startswith("Distance: between embeddings, exact; ")
    assert told.startswith("Distance: between embeddings, as the codes tell it; ")
    assert exact.split("; ")[1] == told.split("; ")[1]
    assert shares == "Distance: share of the code's symbols that differ."


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"by": "ct"}, "cases by CT, compared as whole cases"),
        ({"by": "dose", "level": "slice"}, "cases by dose, compared slice by slice"),
        (
            {"by": "joint", "alpha": 0.3},
            "cases by CT and dose (alpha 0.3), compared as whole cases",
        ),
    ],
)
def test_what_was_compared_is_said(archive: Archive, asked: dict, said: str) -> None:
    assert archive.query("phantom-00-00", k=2, **asked).what == said


def test_what_a_query_lacks_is_told_with_what_it_has(archive: Archive) -> None:
    dose_alone = replace(phantom(0, 7), ct=None, structures={}, id="new")
    with pytest.raises(InputError, match=r"has no ct to compare .*; ask by dose$"):
        archive.query(dose_alone, by="ct")


def test_fewer_results_than_asked_for_are_counted(archive: Archive) -> None:
    answer = archive.query("phantom-00-00", k=99, by="ct")
    n = answer.n_considered
    assert f"only {n} of the 99 results asked for: no more cases qualify" in answer.warnings
    slices = archive.query("phantom-00-00", k=10_000, by="dose", level="slice")
    note = f"only {len(slices)} of the 10000 results asked for: the other cases have nothing"
    assert any(one.startswith(note) for one in slices.warnings)
