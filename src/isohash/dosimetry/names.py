"""Names of structures: one canonical name for the many spellings of one organ.

Canonical names follow the pattern of AAPM TG-263 (Parotid_R, SpinalCord). A name is cut into words
("RT PAROTID", "Parotid_R" and "RightParotid" all hold right and parotid), accents and the side are
taken out, and the rest is looked up, first in the user's own table, then in the one below, which
knows English, Latin and the usual German, French, Italian and Spanish words. Targets keep their
dose level: "PTV 70", "ptv_7000" and "PTV70" are PTV_70.
"""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from isohash.dosimetry.structures import is_empty
from isohash.errors import InputError
from isohash.records import Case, Volume

SIDES = {
    "right": "R", "rt": "R", "r": "R", "left": "L", "lt": "L", "l": "L",
    "rechts": "R", "re": "R", "droit": "R", "droite": "R", "derecho": "R", "derecha": "R",
    "destro": "R", "destra": "R", "dx": "R", "links": "L", "li": "L", "gauche": "L",
    "izquierdo": "L", "izquierda": "L", "izq": "L", "sinistro": "L", "sinistra": "L", "sx": "L",
}  # fmt: skip
TARGETS = ("ptv", "ctv", "gtv", "itv")
NEAR = 0.75  # share of letters that a suggested spelling has in common with a name
HIGHEST_GY = 200.0  # a number behind a target beyond it is no dose
FILLERS = {"the", "of", "organ", "gland", "glnd", "struct", "structure", "roi", "contour"}

# canonical name without side -> spellings, as words in alphabetical order
KNOWN: dict[str, tuple[str, ...]] = {
    "BODY": (
        "body",
        "external",
        "skin outline",
        "outline",
        "patient outline",
        "contour externe",
        "external contour",
        "aussenkontur",
        "patientenkontur",
        "koerper",
        "korper",
        "contorno",
    ),
    "Bladder": ("bladder", "vesica", "urinary bladder", "harnblase", "vessie", "vejiga", "vescica"),
    "Bone_Mandible": (
        "mandible",
        "mandibula",
        "jaw",
        "bone mandible",
        "lower jaw",
        "unterkiefer",
        "mandibule",
        "mandibola",
    ),
    "Bowel": ("bowel", "intestine", "bowel bag"),
    "BrachialPlex": ("brachial plexus", "brachialplex", "plexus"),
    "Brain": ("brain", "cerebrum", "gehirn", "hirn", "cerveau", "encephale", "cerebro"),
    "Brainstem": (
        "brainstem",
        "brain stem",
        "bs",
        "truncus",
        "hirnstamm",
        "tronc cerebral",
        "tronco encefalico",
        "tronco cerebral",
        "tronco",
    ),
    "Breast": ("breast", "mamma"),
    "Cochlea": ("cochlea",),
    "Duodenum": ("duodenum",),
    "Esophagus": (
        "esophagus",
        "oesophagus",
        "eso",
        "esoph",
        "oesoph",
        "osophagus",
        "speiserohre",
        "oesophage",
        "esofago",
    ),
    "Eye": ("eye", "globe", "orbit", "auge", "bulbus", "oeil", "ojo", "occhio"),
    "Femur_Head": (
        "femoral head",
        "femur head",
        "fem head",
        "head femur",
        "femurkopf",
        "huftkopf",
        "hueftkopf",
        "tete femorale",
        "cabeza femoral",
        "testa femorale",
    ),
    "Glnd_Lacrimal": ("lacrimal",),
    "Glnd_Submand": ("submandibular", "submand", "smg", "submandibula"),
    "Glnd_Thyroid": ("thyroid",),
    "Heart": ("heart", "cor", "herz", "coeur", "corazon", "cuore"),
    "Kidney": ("kidney", "ren", "niere", "rinon"),
    "Larynx": ("larynx", "voice box", "kehlkopf", "laringe"),
    "Lens": ("lens", "linse", "cristallin", "cristallino", "cristalino"),
    "Lips": ("lips", "lip"),
    "Liver": ("liver", "hepar", "leber", "foie", "higado", "fegato"),
    "Lung": ("lung", "pulmo", "lunge", "poumon", "pulmon", "polmone"),
    "Cavity_Oral": ("oral cavity", "mouth", "cavity oral"),
    "OpticChiasm": ("chiasm", "optic chiasm", "chiasma", "optic chiasma", "opticchiasm"),
    "OpticNrv": (
        "optic nerve",
        "optic nrv",
        "opticnrv",
        "opticnerve",
        "sehnerv",
        "nerf optique",
        "nervio optico",
        "nervo ottico",
        "nervus opticus",
    ),
    "Parotid": ("parotid", "parotis", "par", "parotide", "parotida", "ohrspeicheldruse"),
    "PenileBulb": ("penile bulb", "penilebulb"),
    "Pharynx": ("pharynx", "pharyngeal constrictors", "constrictors", "pcm"),
    "Pituitary": ("pituitary", "hypophysis"),
    "Prostate": ("prostate", "prostata"),
    "Rectum": ("rectum", "rektum", "recto", "retto"),
    "SeminalVes": ("seminal vesicles", "seminalves", "sv", "seminal ves"),
    "Spc_Bowel": ("bowel space",),
    "SpinalCanal": ("spinal canal", "canal", "spinalcanal", "spinalkanal", "canal medullaire"),
    "SpinalCord": (
        "spinal cord",
        "cord",
        "spinalcord",
        "myelon",
        "medulla",
        "sc",
        "ruckenmark",
        "rueckenmark",
        "moelle",
        "moelle epiniere",
        "medula",
        "medula espinal",
        "midollo",
        "midollo spinale",
    ),
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
    own = _own(aliases)
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
    """PTV_70 and the like: a target with at most one dose level, given in Gy or cGy."""
    if not words or words[0] not in TARGETS:
        return None
    rest = [word for word in words[1:] if word not in ("gy", "c", "cgy")]
    if not rest:
        return words[0].upper()
    if len(rest) == 1 and re.fullmatch(r"[0-9]+(\.[0-9]+)?", rest[0]):
        level = float(rest[0])
        level = level / 100 if level >= 1000 else level
        return f"{words[0].upper()}_{level:g}" if level <= HIGHEST_GY else None
    return None


def _suggest(name: str) -> tuple[str, ...]:
    text = " ".join(word for word in _words(name) if word not in SIDES and word not in FILLERS)
    near = difflib.get_close_matches(text, _SPELLINGS, n=3, cutoff=NEAR)
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
