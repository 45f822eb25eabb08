"""How an archive was made: the settings a new one is given, and the recipe that it keeps.

On disk the recipe is JSON, and names that this version does not know are kept. `Recipe` is that
JSON with typed properties for what the product looks at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from isohash.features.cases.slice_settings import SliceSettings

# The fit looks at no more slices than this, from no more cases than that: 2 048 images of
# 128 x 128 float32 are 134 MB, and a 128-dimensional PCA changes little beyond.
FIT_SLICES = 2048
FIT_CASES = 64
MOST_GENERATIONS = 1_000_000
# What archives were made with that do not name it.
BEFORE = {"hash": "kernel", "embeddings": True, "dose_model": False, "pictures": False}


@dataclass(frozen=True)
class IndexSettings:
    """How a new archive encodes and hashes; an existing archive keeps the settings it has.

    `hash` is "adaptive" (`make_hasher`) or "kernel" (`KernelHasher`, or `LeeHasher` for q > 2).
    """

    encoder: str = "auto"
    hash: str = "adaptive"
    bits: int = 1024
    q: int | None = None  # of the kernel hash: 2, or more for symbols compared by Lee distance
    embeddings: bool = True  # kept for re-ranking and for learning kernels
    dim: int = 128
    seed: int = 0
    slices: SliceSettings = field(default_factory=SliceSettings)
    fit_slices: int = FIT_SLICES
    fit_cases: int = FIT_CASES
    dose_model: bool = True  # learn from the archive's plans what dose an anatomy gets
    aliases: Mapping[str, str] = field(default_factory=dict)  # the user's names of structures
    pseudonymous_ids: bool = False  # in place of names of files and rows that serve as ids
    pictures: bool = True  # of 2 mm, for the workbench (`features.cases.fine`)

    def to_json(self) -> dict[str, Any]:
        """Plain values; of an encoder of one's own its name, for paths belong to a machine."""
        plain = {"encoder": encoder_name(self.encoder), "slices": self.slices.to_json()}
        return {**asdict(self), **plain}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> IndexSettings:
        """What `to_json` wrote; names of other versions are passed over."""
        known = {field.name for field in fields(cls)}
        given = {name: value for name, value in {**BEFORE, **values}.items() if name in known}
        if "slices" in given:
            given["slices"] = SliceSettings.from_json(given["slices"])
        return cls(**given)


@dataclass(frozen=True, eq=False)
class Recipe(Mapping[str, Any]):
    """How an archive was made. It reads as the JSON that it is kept as: `recipe["versions"]`."""

    json: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.json[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.json)

    def __len__(self) -> int:
        return len(self.json)

    def check(self) -> None:
        """ValueError, TypeError or KeyError where one of the names below means nothing."""
        settings = self.settings
        texts = (self.key, settings.encoder, settings.hash, *self.notes, *settings.aliases.values())
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("its key, its encoder, its hash, its notes and its names must be text")
        for name in ("embeddings", "dose_model", "pseudonymous_ids", "pictures"):
            if type(flag := getattr(settings, name)) is not bool:
                raise ValueError(f"its settings say {flag!r} where they say yes or no")
        if not 0 <= self.generation < MOST_GENERATIONS:
            raise ValueError(f"it was hashed anew {self.generation} times")
        for name in ("versions", "digests"):
            if not all(isinstance(text, str) for text in self.json.get(name, {}).values()):
                raise ValueError(f"its {name} must be text")

    @property
    def kind(self) -> str:
        """What the archive holds: "cases" or "vectors"."""
        return str(self.json["kind"])

    @property
    def settings(self) -> IndexSettings:
        """The settings it was made with."""
        return IndexSettings.from_json(self.json["settings"])

    @property
    def slices(self) -> SliceSettings:
        """The grid and the scales of its pictures."""
        return SliceSettings.from_json(self.json["slices"])

    @property
    def near(self) -> Mapping[str, float]:
        """By view, the embedding distance at which an item has its 50th nearest neighbour."""
        near = {view: float(distance) for view, distance in self.json["near"].items()}
        if not all(0 < distance < math.inf for distance in near.values()):
            raise ValueError(f"distances of near neighbours must be positive, got {near}")
        return near

    @property
    def dim(self) -> int:
        """The dimensions of an archive of vectors."""
        return int(self.json["dim"])

    @property
    def generation(self) -> int:
        """How often the archive was hashed anew."""
        return int(self.json.get("generation", 0))

    @property
    def key(self) -> str:
        """The check value of the key that its pseudonyms were made with; "" if there is none."""
        return str(self.json.get("key", ""))

    @property
    def plan(self) -> Mapping[str, Any]:
        """Of the plan encoder: its name ("encoder") and errors, or why there is none."""
        return dict(self.json.get("plan", {}))

    @property
    def has_plan_encoder(self) -> bool:
        """Whether cases with structures are compared by plan."""
        return "encoder" in self.plan

    @property
    def dose(self) -> Mapping[str, Any]:
        """Of the dose model: its name ("model"), or why there is none."""
        return dict(self.json.get("dose", {}))

    @property
    def notes(self) -> tuple[str, ...]:
        """What was said when the models were chosen."""
        return tuple(self.json.get("notes", ()))

    def changed(self, **values: Any) -> Recipe:
        """The recipe with some of its JSON values replaced or added."""
        return Recipe({**self.json, **values})


def encoder_name(encoder: str) -> str:
    """What a recipe says of an encoder: a path's last part, for paths belong to a machine."""
    return Path(encoder).name
