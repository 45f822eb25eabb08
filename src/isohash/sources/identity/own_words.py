"""What isohash itself writes: fixed texts, which a person may share a word with.

Somebody may be called Lee or Dose, and an archive says `squared_lee` and `dose`. A word counts as
isohash's own where it stands within one of its fixed texts, which are the strings of its program.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

from isohash.dosimetry.names import canonical_name
from isohash.sources.identity.spellings import folded

SILENT = ("evaluation", "kernels", "training", "weights", "__pycache__")  # write into no archive
MARGIN = 3  # letters beyond the word that a fixed text must have to vouch for it
_IDENTIFIER = re.compile(r"[a-z]+(?:[-._][a-z]+|[0-9])+")  # such as codes.dose
AROUND = 90  # letters on both sides that are looked at


def is_own(text: str, start: int, end: int) -> bool:
    """Whether text[start:end] stands within a fixed text of isohash, or in an anatomical name."""
    low, high = max(0, start - AROUND), end + AROUND
    left, right = text.rfind('"', low, start), text.find('"', end, high)
    quoted = text[left + 1 : right].rstrip("\\") if 0 <= left < right else ""
    if quoted and (quoted in own_texts() or canonical_name(quoted) is not None):
        return True
    if any(_is_own_identifier(found[0]) for found in _around(_IDENTIFIER, text, start, end)):
        return True
    around = text[low:high]
    for own in _texts_with().get(folded(text[start:end]), ()):
        at = around.find(own)
        while at >= 0:
            covers = low + at <= start and end <= low + at + len(own)
            if covers and len(own) >= end - start + MARGIN:
                return True
            at = around.find(own, at + 1)
    return False


def _around(pattern: re.Pattern[str], text: str, start: int, end: int) -> Iterator[re.Match[str]]:
    """The matches that text[start:end] lies in."""
    for found in pattern.finditer(text, max(0, start - AROUND), end + AROUND):
        if found.start() <= start and end <= found.end():
            yield found


def is_own_quote(word: str) -> bool:
    """Whether isohash, or a table of anatomy, has this folded word as a whole text of its own."""
    return canonical_name(word) is not None or any(
        folded(text) == word for text in _texts_with().get(word, ())
    )


def is_own_word(word: bytes) -> bool:
    """Whether isohash writes this word, in small letters, somewhere."""
    return word.decode("utf-8", "replace") in _texts_with()


def _is_own_identifier(text: str) -> bool:
    """Whether a text is put together from own words in small letters, as `codes.dose` is."""
    known = _texts_with()
    first, *others = re.findall(r"[a-z]+", text)
    joined = ((first[:cut], first[cut:]) for cut in range(1, len(first)))  # a row of a database
    begins = first in known or any(a in known and b in known for a, b in joined)
    return begins and all(piece in known for piece in others)


@cache
def own_texts() -> frozenset[str]:
    """The fixed texts of isohash: strings of its modules, pieces of its pages."""
    found: set[str] = set()
    _collect(resources.files("isohash"), found)
    return frozenset(found)


@cache
def _texts_with() -> dict[str, tuple[str, ...]]:
    """Fixed texts by the folded words in them."""
    by_word: dict[str, list[str]] = {}
    for text in own_texts():
        for word in {folded(word) for word in re.findall(r"[^\W\d_]+", text)}:
            by_word.setdefault(word, []).append(text)
    return {word: tuple(texts) for word, texts in by_word.items()}


def _collect(folder: Traversable, found: set[str]) -> None:
    for item in folder.iterdir():
        if item.is_dir() and item.name not in SILENT:
            _collect(item, found)
        elif item.name.endswith(".py"):
            found |= _strings(item.read_text(encoding="utf-8"))
        elif item.name.endswith((".html", ".css")):
            page = item.read_text(encoding="utf-8")
            found |= {piece for one in _PIECES.split(page) if not (piece := one.strip()).isalnum()}


_PIECES = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|[\n<>]", re.DOTALL)


def _strings(source: str) -> set[str]:
    """The strings of a module that are no documentation."""
    tree = ast.parse(source)
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if id(node) not in documentation
    }
