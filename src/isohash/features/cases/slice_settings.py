"""The grid and the scales of slices: what a recipe keeps, apart from what cuts cases by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from isohash.errors import InputError

if TYPE_CHECKING:  # settings are read more often than cases are cut
    from isohash.features.cases.pixels import Frame

MOST_PIXELS = 4096  # a side; finer than any scanner


@dataclass(frozen=True)
class SliceSettings:
    """The grid and the scales of an encoder's input.

    `hu_window` maps to [0, 1] and is clipped, as is dose / `dose_scale_gy`. A slice counts as
    dosed if its highest dose exceeds `min_dose_gy`. The body is what exceeds `body_hu`.
    """

    size: int = 128
    pixel_mm: float = 4.0
    hu_window: tuple[float, float] = (-500.0, 500.0)
    dose_scale_gy: float = 80.0
    min_dose_gy: float = 5.0
    body_hu: float = -400.0

    def __post_init__(self) -> None:
        low, high = (float(bound) for bound in self.hu_window)
        object.__setattr__(self, "hu_window", (low, high))
        if not 1 <= self.size <= MOST_PIXELS or self.size != int(self.size):
            raise InputError(f"size must be 1 to {MOST_PIXELS} pixels, got {self.size}")
        if not self.pixel_mm > 0:
            raise InputError(f"pixel_mm must be positive, got {self.pixel_mm}")
        if not low < high:
            raise InputError(f"hu_window must be (low, high) with low < high, got {(low, high)}")
        if not self.dose_scale_gy > 0:
            raise InputError(f"dose_scale_gy must be positive, got {self.dose_scale_gy}")

    def square(self, corner_mm: tuple[float, float]) -> Frame:
        """The pixels with that corner."""
        from isohash.features.cases.pixels import Frame

        return Frame((self.size, self.size), self.pixel_mm, corner_mm)

    def around(self, centre_mm: tuple[float, float]) -> Frame:
        """The pixels about that centre."""
        half = self.pixel_mm * (self.size - 1) / 2.0
        return self.square((centre_mm[0] - half, centre_mm[1] - half))

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {**asdict(self), "hu_window": list(self.hu_window)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SliceSettings:
        """The settings that `to_json` wrote; unknown names are refused."""
        unknown = sorted(set(values) - set(cls.__dataclass_fields__))
        if unknown:
            raise InputError(f"unknown slice settings {unknown}: written by a newer version?")
        return cls(**{**values, **_pair(values)})


def _pair(values: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    """The window as a tuple: JSON knows only lists."""
    return {"hu_window": tuple(values["hu_window"])} if "hu_window" in values else {}
