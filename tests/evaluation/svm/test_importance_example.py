"""The synthetic example of importance sampling's authors, against the two errors they print."""

from __future__ import annotations

import numpy as np
import pytest

from isohash.evaluation.svm.importance_example import PUBLISHED, example_rows, example_summary


def test_a_row_for_both_kinds_of_features_and_labels():
    rows = example_rows(0, n_candidates=500)
    assert {(r["method"], r["centred"]) for r in rows} == {
        (method, centred) for method in PUBLISHED for centred in (True, False)
    }
    assert len({r["n_features"] for r in rows}) == 1  # as many plain features as were chosen
    assert example_rows(0, n_candidates=500) == rows


def test_the_summary_judges_one_draw_against_many():
    rows = [
        {"method": m, "centred": c, "n_features": 300, "train_error": 0.3, "test_error": e}
        for m in PUBLISHED for c in (True, False) for e in (0.3, 0.34, 0.35)
    ]  # fmt: skip
    line = next(r for r in example_summary(rows) if r["method"] == "plain" and r["centred"])
    assert line["test_error"] == pytest.approx(0.33)
    spread = np.std([0.3, 0.34, 0.35], ddof=1)
    assert line["deviation"] == pytest.approx(spread, abs=1e-4)
    assert line["z"] == pytest.approx((0.355 - 0.33) / (spread * (4 / 3) ** 0.5), abs=0.01)


@pytest.mark.slow
def test_the_published_errors_are_those_of_one_draw():
    """Plain features err on .355 and chosen ones on .143 of the test points, as published.

    Each printed number is one draw. Over ten draws here it must lie within three deviations of the
    difference between one draw and a mean of ten, where the deviation is the one of these draws,
    and the means must lie within 2 points, or within what a mean of ten is known to.
    """
    rows = [row for seed in range(10) for row in example_rows(seed)]
    table = {(r["method"], r["centred"]): r for r in example_summary(rows)}
    for method, (_, published) in PUBLISHED.items():
        line = table[method, True]
        assert abs(line["z"]) <= 3.0, line
        assert abs(line["test_error"] - published) <= max(0.02, line["half_width"]), line
    # Without the published centring of the labels plain features do better, by far more than noise.
    gain = table["plain", True]["test_error"] - table["plain", False]["test_error"]
    assert gain > table["plain", True]["half_width"], table
