"""Searches an archive (or any folder) for what identifies the patients of its source.

Of every file below the source is collected what identifies: in DICOM the values of persons,
numbers, dates, UIDs, places and free text at any depth, and the names of structures that no table
knows; of any file its name and those of its folders where they look like a person's, ids in `.npz`,
words in CSV files, texts in pictures. Each value is sought in every file of the archive and in its
name: folded and glued, in the usual encodings and spellings of dates, in packed and encoded pieces.

A short number or word is found everywhere by chance. What chance had to play with is counted as the
search goes (`chance`), and a hit is a leak only if chance would hardly give it, or any other of all
that was sought; what it would give is told apart. `Scan` says what was searched and what it cannot
see.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from isohash.errors import InputError
from isohash.progress import Progress, tell
from isohash.sources.found import Skipped
from isohash.sources.identity.chance import Verdict
from isohash.sources.identity.haystack import Haystack, Hit
from isohash.sources.identity.layers import INFLATED
from isohash.sources.identity.needles import Needles, Origin, needles_of
from isohash.sources.identity.own_words import is_own_quote
from isohash.sources.packed import is_packed
from isohash.sources.values import values_in
from isohash.sources.walk import walk
from isohash.whole_files import workbench_of

CHUNK = 1 << 26
OVERLAP = 1 << 20
MOST_HITS = 200  # of one value in one file; more of the same tell nothing more

CANNOT = (
    "text drawn into the pixels of pictures, and values that are encrypted or scrambled",
    "nicknames, relatives and other words that no file of the source has",
    "single initials, ages, times of day, and dates as numbers of days or seconds",
    "names transliterated from another script, unless the source has both spellings",
    "words of up to four letters amid binary data or alone in an encoded piece",
    "numbers of up to six digits that touch other digits",
)


@dataclass(frozen=True)
class Leak:
    """A place in the archive that holds a value of the source; the value itself is not repeated.

    `expected` is how many hits of this value chance alone would give in all that was searched.
    """

    file: str
    offset: int  # of the byte, or of the packed or encoded piece that holds it; -1 in the name
    element: str  # keyword of the DICOM element that the value is from, or what else it is
    source: str  # a file that has it
    expected: float = 0.0


@dataclass(frozen=True)
class Scan:
    """What a search found, what it searched, and what it cannot see.

    `by_chance` are first places of values that are found nowhere else than where chance gives them
    as well: a search can neither tell nor exclude them.
    """

    leaks: tuple[Leak, ...]
    searched: dict[str, int]
    cannot: tuple[str, ...]
    by_chance: tuple[Leak, ...] = ()


def phi_scan(
    archive_folder: str | Path, source_folder: str | Path, progress: Progress | None = None
) -> list[Leak]:
    """All leaks found; an empty list means that nothing identifying was found (see `scan`)."""
    return list(scan(archive_folder, source_folder, progress).leaks)


def scan(
    archive_folder: str | Path, source_folder: str | Path, progress: Progress | None = None
) -> Scan:
    """Search for everything identifying of the source; InputError if there is nothing to look for.

    What the workbench keeps beside the archive, such as notes, is searched as well. Links are not
    followed. Reads every byte of both folders; memory stays below a gigabyte,
    and grows by one with each hundred thousand values.
    """
    archive, source = Path(archive_folder), Path(source_folder)
    for folder in (archive, source):
        if not folder.is_dir() and not (folder == source and is_packed(folder)):
            raise InputError(f"{folder}: no such folder; check the spelling")
    needles = needles_of(values_in(source, progress))
    if not needles:
        raise InputError(f"{source}: no file below it holds anything identifying to look for")
    return search(archive, needles, progress)


def search(archive: Path, needles: Needles, progress: Progress | None = None) -> Scan:
    """Search every file of a folder for what is known to identify."""
    hay = Haystack(needles)
    unopened: list[Skipped] = []
    places = [archive, *(one for one in (workbench_of(archive),) if one.is_dir())]
    files = [p for one in places for p in walk(one, unopened) if not p.is_symlink()]
    found: list[tuple[str, Hit]] = []
    for done, file in enumerate(files):
        tell(progress, done, len(files), f"archive {file.name}")
        within = archive if file.is_relative_to(archive) else archive.parent
        name = os.path.relpath(file, within)
        inside = (hit._replace(start=-1, end=0) for hit in hay.hits(name.encode()))
        found += [(name, hit) for hit in (*inside, *_few(in_file(hay, file)))]
    leaks, by_chance = _judged(found, hay.chance.verdict())
    searched = {
        "files": len(files),
        "bytes": sum(file.stat().st_size for file in files),
        "bytes with packed and encoded pieces": hay.chance.n_bytes,
        "words of persons": len(needles.words),
        "numbers": len(needles.numbers),
        "dates": len(needles.dates),
        "texts": len(needles.phrases),
    }
    cannot = (*_unopened(unopened), *_cut(hay.n_cut), *_too_short(needles), *CANNOT)
    return Scan(leaks, searched, cannot, by_chance)


def _judged(
    found: list[tuple[str, Hit]], verdict: Verdict
) -> tuple[tuple[Leak, ...], tuple[Leak, ...]]:
    """Leaks, and the first place of each value that has only such as chance gives."""
    told: dict[str, list[Hit]] = {}
    others: dict[Origin, Leak] = {}
    for name, hit in found:
        if verdict.tells(hit.group):
            told.setdefault(name, []).append(hit)
        else:
            others.setdefault(hit.origin, _leak(name, hit, verdict))
    for hit in chain(*told.values()):
        others.pop(hit.origin, None)
    leaks = (_leak(name, hit, verdict) for name, hits in told.items() for hit in _merged(hits))
    return tuple(dict.fromkeys(leaks)), tuple(others.values())


def _leak(name: str, hit: Hit, verdict: Verdict) -> Leak:
    origin = hit.origin
    return Leak(name, hit.start, origin.element, origin.source, verdict.expected(hit.group))


def in_file(hay: Haystack, file: Path) -> Iterator[Hit]:
    """Hits in a file, read piece by piece; a hit in an overlap is told once."""
    seen: set[Hit] = set()
    with file.open("rb") as stream:
        start, tail = 0, b""
        while piece := stream.read(CHUNK):
            data = tail + piece
            for hit in hay.hits(data):
                at = start - len(tail)
                hit = hit._replace(start=hit.start + at, end=hit.end + at)
                if hit not in seen:
                    seen.add(hit)
                    yield hit
            start, tail = start + len(piece), data[-OVERLAP:]


def _few(hits: Iterator[Hit]) -> Iterator[Hit]:
    counts: Counter[object] = Counter()
    for hit in hits:
        counts[hit.origin, hit.group] += 1
        if counts[hit.origin, hit.group] <= MOST_HITS:
            yield hit


def _merged(hits: Iterable[Hit]) -> list[Hit]:
    """Of hits that overlap the longest, for a value is found in several ways."""
    kept: list[Hit] = []
    for hit in sorted(hits, key=lambda hit: (hit.start, -hit.end)):
        if kept and hit.start < kept[-1].end and hit.group is not None:
            continue
        if not (kept and hit.end <= kept[-1].end and kept[-1].group is None):
            kept.append(hit)
    return kept


def _unopened(skipped: list[Skipped]) -> list[str]:
    if not skipped:
        return []
    return [f"{len(skipped)} links, pipes, devices and what cannot be opened, in the archive"]


def _cut(n: int) -> list[str]:
    return [f"{n} packed pieces beyond their first {INFLATED >> 20} MiB"] if n else []


def _too_short(needles: Needles) -> list[str]:
    own = sum(is_own_quote(word) for word in needles.words)
    told = [f"{len(texts)} {why}" for why, texts in needles.unsearchable.items()]
    if own:
        told.append(f"{own} words of persons that isohash writes itself, where they stand alone")
    return told
