"""Names of structures: one canonical name for the many spellings of one organ.

Canonical names are those of AAPM TG-263 (Parotid_R, SpinalCord). A name is cut into words ("RT
PAROTID", "Parotid_R" and "RightParotid" all hold right and parotid), accents and the side are taken
out, and the rest is looked up, first in the user's own table, then in names.tsv, which knows
TG-263, English, Latin and the usual German, French, Italian and Spanish words. All words must be
known: "SpinalCord_PRV05" and "Lungs-GTV" are other things. Targets keep their dose level: "PTV 70",
"ptv_7000" and "PTV70" are PTV_70.
"""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from pathlib import Path

from isohash.dosimetry.structures import is_empty
from isohash.errors import InputError
from isohash.records import Case, Volume

SIDES = {
    "right": "R", "rt": "R", "r": "R", "left": "L", "lt": "L", "l": "L",
    "rechts": "R", "re": "R", "droit": "R", "droite": "R", "derecho": "R", "derecha": "R",
    "destro": "R", "destra": "R", "dx": "R", "links": "L", "li": "L", "gauche": "L",
    "lft": "L", "rgt": "R",
    "izquierdo": "L", "izquierda": "L", "izq": "L", "sinistro": "L", "sinistra": "L", "sx": "L",
}  # fmt: skip
TARGETS = ("ptv", "ctv", "gtv", "itv")
TARGET_CLASSES = ("n", "p", "sb", "par", "v", "vas")  # of TG-263: nodal, primary, surgical bed, ...
TARGET_LEVELS = ("high", "mid", "low")
NEAR = 0.75  # share of letters that a suggested spelling has in common with a name
HIGHEST_GY = 200.0  # a number behind a target beyond it is no dose
FILLERS = {"the", "of", "organ", "gland", "glnd", "struct", "structure", "roi", "contour"}

PARTIAL = "~"  # behind a name of TG-263: only a part of the organ was drawn
FEW_LETTERS = 3  # a spelling so short of an organ without sides is another thing if it has one
JOINED = 4  # letters from which an organ and its side are known in one word: LUNGL, RLung


def _table() -> tuple[dict[str, tuple[str, ...]], frozenset[str]]:
    """Spellings by canonical name without side, and the organs that there are two of."""
    text = resources.files("isohash.dosimetry").joinpath("names.tsv").read_text("utf-8")
    lines = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    known = {name: tuple(filter(None, spellings.split(";"))) for name, _, spellings in lines}
    return known, frozenset(name for name, sides, _ in lines if sides)


KNOWN, PAIRED = _table()


@dataclass(frozen=True)
class NameMap:
    """What became of a list of names: `mapped`, and for the others `suggestions`, best first."""

    mapped: Mapping[str, str] = field(default_factory=dict)
    suggestions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def unmapped(self) -> tuple[str, ...]:
        """Names that no rule knows: candidates for the user's own table."""
        return tuple(self.suggestions)


def canonical_name(name: str, aliases: Mapping[str, str] | None = None) -> str | None:
    """The canonical name of a structure, or None if no rule knows it.

    `aliases` (any spelling -> canonical name) is asked first; its keys match whatever their case
    and punctuation.
    """
    words = _words(name)
    own = _own(aliases)
    if (whole := " ".join(words)) in own:
        return own[whole]
    if PARTIAL in name:
        return None
    return _target(words) or _organ(words)


def _organ(words: list[str]) -> str | None:
    """The organ that words name, with its side; what is written as one word with it counts too."""
    if base := _spellings().get(_key(words)):  # a side may be part of a name: left lower lobe
        return base
    sides = {SIDES[word] for word in words if word in SIDES}
    rest = [word for word in words if word not in SIDES]
    if len(sides) > 1 or not rest:
        return None
    key, known = _key(rest), _spellings()
    base = known.get(key) or known.get(key.replace(" ", "")) or known.get("".join(rest))
    if base is None:
        return None if sides else _with_side().get("".join(rest))
    if not sides:
        return base
    is_own = key == _key(_words(base))
    if base not in PAIRED and len("".join(rest)) <= FEW_LETTERS and not is_own:
        return None
    return f"{base}_{sides.pop()}"


def match_names(names: Iterable[str], aliases: Mapping[str, str] | None = None) -> NameMap:
    """Map many names at once; what stays unmapped comes with up to three near spellings."""
    mapped: dict[str, str] = {}
    suggestions: dict[str, tuple[str, ...]] = {}
    for name in names:
        canonical = canonical_name(name, aliases)
        if canonical is not None:
            mapped[name] = canonical
        else:
            suggestions[name] = _suggest(name)
    return NameMap(mapped, suggestions)


def load_aliases(path: str | Path) -> dict[str, str]:
    """Read a user's table of spellings: a JSON object of strings, {"my cord": "SpinalCord"}."""
    try:
        table = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a table of names ({error})") from error
    if not isinstance(table, dict) or not all(isinstance(v, str) for v in table.values()):
        raise InputError(f'{path}: a table of names is a JSON object like {{"cord": "SpinalCord"}}')
    return table


def spelling(name: str) -> str:
    """What spellings of one name have in common: its words, whatever their case and punctuation."""
    return " ".join(_words(name))


def _own(aliases: Mapping[str, str] | None) -> dict[str, str]:
    return {spelling(key): value for key, value in (aliases or {}).items()}


def _words(name: str) -> list[str]:
    """Lower-case words without accents: cut at punctuation, at camel-case borders and at digits."""
    plain = "".join(
        letter
        for letter in unicodedata.normalize("NFKD", name)
        if not unicodedata.combining(letter)
    )
    spaced = re.sub(
        r"(?<=[a-z])(?=[A-Z])|(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])", " ", plain
    )
    words = re.split(r"[^\w.]+|_", spaced.casefold())
    return [stripped for word in words if (stripped := word.strip("."))]


def _target(words: list[str]) -> str | None:
    """PTV_70, GTVp, PTV_High and the like: a target with at most one class and one dose level.

    Levels are in Gy or cGy, or relative as in TG-263.
    """
    if not words or words[0][:3] not in TARGETS:
        return None
    name, rest = words[0][:3].upper(), [words[0][3:], *words[1:]]
    rest = [word for word in rest if word not in ("", "gy", "c", "cgy")]
    if rest and rest[0] in TARGET_CLASSES:
        name += rest.pop(0)
    if not rest:
        return name
    if len(rest) == 1 and rest[0] in TARGET_LEVELS:
        return f"{name}_{rest[0].capitalize()}"
    if len(rest) == 1 and re.fullmatch(r"[0-9]+(\.[0-9]+)?", rest[0]):
        level = float(rest[0])
        level = level / 100 if level >= 1000 else level
        return f"{name}_{level:g}" if level <= HIGHEST_GY else None
    return None


def _suggest(name: str) -> tuple[str, ...]:
    """Canonical names of near spellings; of organs on each side, if the name has a side."""
    words = _words(name)
    text = " ".join(word for word in words if word not in SIDES and word not in FILLERS)
    near = difflib.get_close_matches(text, _spellings(), n=3, cutoff=NEAR)
    names = dict.fromkeys(_spellings()[spelling] for spelling in near)
    if set(words) & set(SIDES):
        names = {name: None for name in names if name in PAIRED} or names
    return tuple(names)


def _key(words: Iterable[str]) -> str:
    """Words in alphabetical order without those that say nothing."""
    return " ".join(sorted(word for word in words if word not in FILLERS))


def spelled() -> Iterator[tuple[str, str]]:
    """Every spelling of the table, the canonical ones among them, with its canonical name."""
    for canonical, spellings in KNOWN.items():
        for spelling in (" ".join(_words(canonical)), *spellings):
            yield spelling, canonical


@lru_cache(maxsize=1)
def _spellings() -> dict[str, str]:
    """Canonical names by what their spellings may look like; made when a name is first asked."""
    return {
        key: canonical
        for spelling, canonical in spelled()
        for key in (_key(spelling.split()), spelling.replace(" ", ""))
    }


@lru_cache(maxsize=1)
def _with_side() -> dict[str, str]:
    """Canonical names with a side by organ and side in one word."""
    return {
        joined: f"{canonical}_{SIDES[side]}"
        for spelling, canonical in spelled()
        if canonical in PAIRED and len(word := spelling.replace(" ", "")) >= JOINED
        for side in ("l", "r", "lt", "rt", "left", "right")
        for joined in (word + side, side + word)
        if joined not in _spellings()
    }


TARGET_PREFIXES = ("PTV", "CTV", "GTV", "ITV")


def is_target(name: str) -> bool:
    """Whether a name that left a reader is that of a target volume."""
    return name.startswith(TARGET_PREFIXES) or name.endswith("(target)")


def structures_by_name(case: Case) -> dict[str, Volume]:
    """The case's non-empty structures by canonical name; unknown names stay as they are."""
    found: dict[str, Volume] = {}
    for name, volume in case.structures.items():
        if not is_empty(volume):
            found.setdefault(canonical_name(name) or name, volume)
    return found
