"""The words and numbers of persons in the files of one case."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pydicom.dataset import Dataset

from isohash.dosimetry.names import spelling
from isohash.sources.identity.naming import Personal
from isohash.sources.identity.phi import BULKY, REFERENCES, identifying

SHORTEST_NUMBER = 4  # digits: shorter ones are doses and counts as well


def personal(datasets: Iterable[Dataset]) -> Personal:
    """What identifies persons in the data sets: names word by word, numbers, years of dates."""
    named: set[str] = set()
    numbered: set[str] = set()
    for dataset in datasets:
        for kind, _, text in identifying(dataset, (*BULKY, *REFERENCES)):
            if kind in ("person", "number"):
                named |= {word for word in spelling(text).split() if not word[0].isdigit()}
            if kind == "number":
                numbered |= {*re.findall(r"\d+", text), re.sub(r"\D", "", text)}
            if kind == "date":
                numbered |= {text, text[:4]}
    numbers = frozenset(one for one in numbered if len(one) >= SHORTEST_NUMBER)
    return Personal(frozenset(named), numbers)
