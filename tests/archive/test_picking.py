"""Picking one value of JSON texts gives what parsing them gives, however they are written."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isohash.archive.picking import picked
from isohash.archive.store import CaseStore

NAMES = st.sampled_from(["a", "b", "patient", "Größe", "a.b", 'a"b', "a\\b", "a/b", "", "{"])
TEXTS = st.text(alphabet='ab"\\{}[],:/ü\n', max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | NAMES | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def spelt(draw):
    """An object as JSON, compact or spaced, escaped or not, perhaps with a key twice."""
    pairs = draw(st.lists(st.tuples(NAMES, VALUES), max_size=5))
    ascii_, colon = draw(st.booleans()), draw(st.sampled_from([":", " :", ": "]))

    def dump(value):
        text = json.dumps(value, ensure_ascii=ascii_, separators=(",", colon))
        return text.replace("/", "\\/") if ascii_ else text

    comma = draw(st.sampled_from([",", ", ", " ,"]))
    return "{" + comma.join(dump(k) + colon + dump(v) for k, v in pairs) + "}"


@given(st.lists(spelt(), max_size=4), NAMES)
def test_a_picked_value_is_the_parsed_one(texts, name):
    assert picked(texts, name) == [json.loads(text).get(name) for text in texts]


def test_equal_strings_are_one_object():
    first, second = picked(['{"a":"some patient"}'] * 2, "a")
    assert first is second


@pytest.mark.parametrize("text", ['["a"]', '"a"', '{"a":', '{"a"'])
def test_what_is_no_object_is_refused(text):
    with pytest.raises(ValueError, match=r"Expecting|no object"):
        picked([text], "a")


def test_a_column_follows_the_writer_and_is_read_once(tmp_path):
    with CaseStore.create(tmp_path / "a", {}) as store:
        store.put("x", {"dose": 70, "names": ["PTV"]}, {"v": np.zeros(1)})
        store.put("y", {"label": "left"}, {"v": np.zeros(1)})
        assert store.column("dose") == (70, None)
        assert store.column("dose") is store.column("dose")
        store.put("z", {"dose": 60.5}, {"v": np.zeros(1)})
        store.delete("y")
        assert store.column("dose") == (70, 60.5)
        assert store.column("names") == (["PTV"], None)
        assert store.column("nothing") == (None, None)
