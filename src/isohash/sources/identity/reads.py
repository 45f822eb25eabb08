"""Tells texts that people or programs wrote from bytes that only look like letters.

Smooth pictures, packed codes and random bytes hold runs of printable letters, in which every short
name turns up by chance. What was written follows the habits of writing: which letter follows which,
as counted in the texts of this program and the words of anatomy. A text counts as written if that
explains it better than chance does, by so many bits that hardly any run of bytes reaches them.
"""

from __future__ import annotations

import json
from functools import cache

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.vocabulary import VOCABULARY
from isohash.sources.identity.own_words import own_texts

CHANCE_BITS = 6.0  # a letter: between those of printable bytes (6.6) and of smooth pictures
WRITTEN_BITS = 12.0  # above chance
_DIGIT = 16
_MUTE = 95  # what is not printable ASCII, such as letters with accents: tells nothing
_SYMBOLS = 96
_PLACES = np.full(257, _MUTE, dtype=np.uint8)
_PLACES[32:127] = np.arange(95)
_PLACES[48:58] = _DIGIT
_PLACES[[9, 10, 13]] = 0  # as spaces


def is_written(text: str) -> bool:
    """Whether a text reads as one that was written, rather than bytes that look like letters."""
    return written_bits(text) >= WRITTEN_BITS


def written_bits(text: str) -> float:
    """By how many bits the habits of writing explain a text better than chance does."""
    symbols = _symbols(text)
    return float(_habits()[symbols[:-1], symbols[1:]].sum())


def _symbols(text: str) -> NDArray[np.uint8]:
    """A number for every letter, the same for all digits, with a space before and after."""
    letters = np.frombuffer(f" {text} ".encode("utf-32-le", "replace"), np.uint32)
    return _PLACES[np.minimum(letters, len(_PLACES) - 1)]


@cache
def _habits() -> NDArray[np.float64]:
    """How many bits speak for writing where a letter follows another; none where one repeats."""
    counts = np.full((_SYMBOLS, _SYMBOLS), 0.1)
    for cased in (str, str.lower, str.upper, str.title):
        texts = list(map(cased, [*sorted(own_texts()), *sorted(VOCABULARY)]))
        words = [text for text in texts if text.isidentifier()]
        keys = dict.fromkeys(words[::2], 0.0) | dict.fromkeys(words[1::2], "PTV")
        for written in (
            " ".join(texts),
            json.dumps(words),
            json.dumps(keys, separators=(",", ":")),
        ):
            symbols = _symbols(written)
            np.add.at(counts, (symbols[:-1], symbols[1:]), 1.0)
    bits = np.log2(counts / counts.sum(axis=1, keepdims=True)) + CHANCE_BITS
    bits[_MUTE] = bits[:, _MUTE] = 0.0
    np.fill_diagonal(bits, np.minimum(np.diag(bits), 0.0))
    return np.asarray(bits)
