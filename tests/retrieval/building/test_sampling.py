"""Reading a sample: of the cases that are read, no more lie in memory than who reads keeps."""

from __future__ import annotations

import gc
import weakref

import numpy as np

from isohash.features.cases.slice_settings import SliceSettings
from isohash.features.known import KINDS
from isohash.records import Case, Volume
from isohash.retrieval.building.sampling import Reading
from isohash.sources.phantom import phantom_case
from small_cases import as_findings

SHAPE = (12, 40, 40)


def a_reading() -> Reading:
    cases = {
        "first": lambda: phantom_case(0, 0, shape=SHAPE),
        "air": lambda: Case("air", ct=Volume(np.full(SHAPE, -1000, np.int16), np.eye(4))),
        "last": lambda: phantom_case(0, 1, shape=SHAPE),
    }
    return Reading(KINDS["cases"], as_findings(cases).found, range(3), SliceSettings())


def test_cases_come_in_order_and_those_that_cannot_be_used_leave_their_reasons() -> None:
    reading = a_reading()
    assert [item.id for item, _ in reading] == ["first", "last"]
    assert len(reading.reasons) == 1
    assert "air" in reading.reasons[0]
    assert len(reading.measured) == 2


def test_a_case_that_was_read_is_freed_when_its_reader_lets_go_of_it() -> None:
    reading = a_reading()
    gc.disable()  # where references go round in a circle, nobody knows when they are seen
    try:
        item, _ = next(iter(reading))
        volume = weakref.ref(item.ct)
        del item, _
        assert volume() is None
    finally:
        gc.enable()
    assert reading.measured
