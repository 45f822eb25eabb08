"""Names of structures: one canonical name for the many spellings of one organ.

Canonical names follow the pattern of AAPM TG-263 (Parotid_R, SpinalCord). A name is cut into words
("RT PAROTID", "Parotid_R" and "RightParotid" all hold right and parotid), the side is taken out,
and the rest is looked up, first in the user's own table, then in the one below. Targets keep their
dose level: "PTV 70", "ptv_7000" and "PTV70" are PTV_70.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from isohash.errors import InputError

SIDES = {"right": "R", "rt": "R", "r": "R", "left": "L", "lt": "L", "l": "L"}
TARGETS = ("ptv", "ctv", "gtv", "itv")
FILLERS = {"the", "of", "organ", "gland", "glnd", "struct", "structure", "roi", "contour"}

# canonical name without side -> spellings, as words in alphabetical order
KNOWN: dict[str, tuple[str, ...]] = {
    "BODY": ("body", "external", "skin outline", "outline", "patient outline", "contour externe"),
    "Bladder": ("bladder", "vesica", "urinary bladder"),
    "Bone_Mandible": ("mandible", "mandibula", "jaw", "bone mandible", "lower jaw"),
    "Bowel": ("bowel", "intestine", "bowel bag"),
    "BrachialPlex": ("brachial plexus", "brachialplex", "plexus"),
    "Brain": ("brain", "cerebrum"),
    "Brainstem": ("brainstem", "brain stem", "bs", "truncus"),
    "Breast": ("breast", "mamma"),
    "Cochlea": ("cochlea",),
    "Duodenum": ("duodenum",),
    "Esophagus": ("esophagus", "oesophagus", "eso", "esoph", "oesoph"),
    "Eye": ("eye", "globe", "orbit"),
    "Femur_Head": ("femoral head", "femur head", "fem head", "head femur"),
    "Glnd_Lacrimal": ("lacrimal",),
    "Glnd_Submand": ("submandibular", "submand", "smg", "submandibula"),
    "Glnd_Thyroid": ("thyroid",),
    "Heart": ("heart", "cor"),
    "Kidney": ("kidney", "ren"),
    "Larynx": ("larynx", "voice box"),
    "Lens": ("lens",),
    "Lips": ("lips", "lip"),
    "Liver": ("liver", "hepar"),
    "Lung": ("lung", "pulmo"),
    "Cavity_Oral": ("oral cavity", "mouth", "cavity oral"),
    "OpticChiasm": ("chiasm", "optic chiasm", "chiasma", "optic chiasma", "opticchiasm"),
    "OpticNrv": ("optic nerve", "optic nrv", "opticnrv", "opticnerve"),
    "Parotid": ("parotid", "parotis", "par"),
    "PenileBulb": ("penile bulb", "penilebulb"),
    "Pharynx": ("pharynx", "pharyngeal constrictors", "constrictors", "pcm"),
    "Pituitary": ("pituitary", "hypophysis"),
    "Prostate": ("prostate",),
    "Rectum": ("rectum",),
    "SeminalVes": ("seminal vesicles", "seminalves", "sv", "seminal ves"),
    "Spc_Bowel": ("bowel space",),
    "SpinalCanal": ("spinal canal", "canal", "spinalcanal"),
    "SpinalCord": ("spinal cord", "cord", "spinalcord", "myelon", "medulla", "sc"),
    "Stomach": ("stomach", "gaster"),
    "Tongue": ("tongue",),
    "Trachea": ("trachea",),
}


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
    own = {" ".join(_words(key)): value for key, value in (aliases or {}).items()}
    if (whole := " ".join(words)) in own:
        return own[whole]
    if target := _target(words):
        return target
    sides = {SIDES[word] for word in words if word in SIDES}
    rest = [word for word in words if word not in SIDES and word not in FILLERS]
    base = _SPELLINGS.get(" ".join(sorted(rest))) or _SPELLINGS.get("".join(rest))
    if base is None or len(sides) > 1:
        return None
    return f"{base}_{sides.pop()}" if sides else base


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


def _words(name: str) -> list[str]:
    """Lower-case words: cut at punctuation, at camel-case borders and between text and digits."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])", " ", name)
    words = re.split(r"[^a-z0-9.]+", spaced.lower())
    return [stripped for word in words if (stripped := word.strip("."))]


def _target(words: list[str]) -> str | None:
    """PTV_70 and the like: a target with at most one dose level, given in Gy or cGy."""
    if not words or words[0] not in TARGETS:
        return None
    rest = [word for word in words[1:] if word not in ("gy", "c", "cgy")]
    if not rest:
        return words[0].upper()
    if len(rest) == 1 and re.fullmatch(r"[0-9]+(\.[0-9]+)?", rest[0]):
        level = float(rest[0])
        return f"{words[0].upper()}_{level / 100 if level >= 1000 else level:g}"
    return None


def _suggest(name: str) -> tuple[str, ...]:
    text = " ".join(word for word in _words(name) if word not in SIDES and word not in FILLERS)
    near = difflib.get_close_matches(text, _SPELLINGS, n=3, cutoff=0.6)
    return tuple(dict.fromkeys(_SPELLINGS[spelling] for spelling in near))


_SPELLINGS = {
    key: canonical
    for canonical, spellings in KNOWN.items()
    for spelling in (canonical.replace("_", " ").lower(), *spellings)
    for key in (" ".join(sorted(spelling.split())), spelling.replace(" ", ""))
}

# Every word of the table: such a word in a name tells of anatomy, whatever else it may mean.
VOCABULARY = frozenset(
    word
    for canonical, spellings in KNOWN.items()
    for spelling in (canonical.replace("_", " ").lower(), *spellings)
    for word in spelling.split()
) | frozenset((*SIDES, *TARGETS, *FILLERS))
