"""Which structures are measured, and how finely: apart from what measures them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

GEOMETRY_PARTS = ("overlap", "heights", "presence", "signature")  # of `vector.PARTS`


@dataclass(frozen=True)
class GeometrySettings:
    """Which structures (canonical names), and which percentiles of distance and dose volume."""

    targets: tuple[str, ...]
    organs: tuple[str, ...]
    percentiles: tuple[float, ...] = (1, 10, 25, 50, 75, 90, 99)
    dose_volumes: tuple[float, ...] = (2, 10, 20, 30, 40, 50, 60, 70, 80, 90, 98)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {name: list(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, values: Mapping[str, Sequence[Any]]) -> GeometrySettings:
        """The settings that `to_json` wrote."""
        return cls(**{name: tuple(value) for name, value in values.items()})

    @property
    def structures(self) -> tuple[str, ...]:
        """Targets, then organs."""
        return self.targets + self.organs
