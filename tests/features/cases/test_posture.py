"""Turned bodies say by how much they are turned."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import rotate

from isohash.features.cases.posture import (
    air_behind,
    bone_towards_head,
    dose_behind,
    dose_towards_head,
    roll_of,
)

Z_MM = -3.0 * np.arange(12)


@pytest.fixture
def body():
    """An egg-shaped cylinder (slice, row, column): wide, its front flatter than its back."""
    y, x = np.mgrid[-32:32, -32:32] + 0.5
    outline = (x / 26) ** 2 + (y / np.where(y < 0, 10, 14)) ** 2 < 1
    return np.repeat(outline[None], 12, axis=0)


@pytest.mark.parametrize("degrees", [-30, -15, 0, 5, 15, 40])
def test_a_roll_is_told_in_radians(body, degrees) -> None:
    turned = rotate(body.astype(float), degrees, (1, 2), reshape=False, order=1) > 0.5
    assert np.degrees(roll_of(turned, 4.0)) == pytest.approx(-degrees, abs=1.0)
    deep = np.swapaxes(turned, 1, 2)
    assert np.degrees(roll_of(deep, 4.0)) == pytest.approx(degrees, abs=1.0)


def test_air_before_the_middle_lies_behind_it_when_the_body_is_turned(body) -> None:
    body[:, 26:30, 28:36] = False
    there = air_behind(body, 4.0)
    assert there < -0.3
    assert air_behind(body[:, ::-1], 4.0) == pytest.approx(-there)
    body[:, 26:30, 28:36] = True
    assert air_behind(body, 4.0) == 0.0


def test_where_bone_grows_is_the_head(body) -> None:
    bone = np.zeros_like(body)
    for number in range(12):
        bone[number, 32, 20 : 20 + 2 * (12 - number)] = True
    assert bone_towards_head(bone, body, Z_MM) == pytest.approx(1.0, abs=0.01)
    assert bone_towards_head(bone[::-1], body, Z_MM) == pytest.approx(-1.0, abs=0.01)
    assert bone_towards_head(np.zeros_like(body), body, Z_MM) == 0.0


def test_a_dose_is_told_by_where_it_is_high(body) -> None:
    gy = 20.0 * body
    for number in range(12):
        gy[number, 24:28, 30 - number : 31 + number] = 60.0
    some = gy > 5
    assert dose_behind(gy, some, 4.0) < -0.5
    assert dose_behind(gy[:, ::-1], some[:, ::-1], 4.0) > 0.5
    assert dose_towards_head(gy, Z_MM) == pytest.approx(-1.0, abs=0.01)
    assert dose_towards_head(gy[::-1], Z_MM) == pytest.approx(1.0, abs=0.01)


def test_nothing_is_told_of_nothing() -> None:
    nothing = np.zeros((4, 16, 16), bool)
    assert roll_of(nothing, 4.0) == 0.0
    assert air_behind(nothing, 4.0) == 0.0
