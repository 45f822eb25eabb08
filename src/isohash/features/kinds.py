"""Kinds of items that an archive may hold, and the views by which items of a kind are compared.

An item (`Case`, an image, ...) is cut into samples, such as the axial slices of a case. A view is
one picture of a sample that an encoder turns into a vector. A new kind needs a source that reads
its items, the functions named in `Kind`, its views, and a line in `features.known.KINDS`; what
builds, asks and shows archives looks at nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError

Arrays = dict[str, NDArray[Any]]
Rows = NDArray[np.int64]
Picture = tuple[NDArray[np.uint8], NDArray[np.float32] | None]


class Samples(Protocol):
    """What an item is cut into, in order: `slice_index` and `z_mm` say where each sample lies."""

    @property
    def slice_index(self) -> NDArray[np.int64]:
        """(n,): the sample's position in the item."""

    @property
    def z_mm(self) -> NDArray[np.float64]:
        """(n,): where along the item it lies; 0 for items of one sample."""

    def __len__(self) -> int: ...


@dataclass(frozen=True, eq=False)
class View:
    """One kind of picture of a sample.

    Args:
        name: as in `--by` and in the names of arrays ("ct").
        label: for people ("CT").
        unit: of its pixels ("HU").
        drawn: as a grey or coloured picture, or as lines of equal value upon another view.
        rows: which samples have a picture worth encoding, ascending.
        images: the encoder's input of some samples: (m, size, size) float32 in [0, 1], or what
            else its own encoder takes (`features.known.own_encoder`).
    """

    name: str
    label: str
    unit: str
    drawn: Literal["grey", "colour", "lines"]
    rows: Callable[[Any], Rows]
    images: Callable[[Any, Rows], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Kind:
    """Items of one kind.

    Args:
        name: of archives of such items, and of what sources find ("cases").
        item: the record that sources read.
        views: in the order of a joint query; `alpha` is the weight of the first against the second.
        cut: an item into samples, as settings (`IndexSettings.slices`) say.
        facts: what is known of an item (plain values), from the item and its samples; "patient",
            "label" and "warnings" at least.
        shown: arrays that only a page shows, from the item and its samples.
        picture: one sample's picture, (y, x) grey or (y, x, 3), and its lines' values (or None),
            from kept arrays and facts and the sample's index.
        profile: an item's samples in a few numbers, by which a stranger shows; None for none.
        fine: arrays `picture.*` that are good enough to look at; None where `shown` has all.
        single: each item is one sample, of which there may be very many: models are fitted to as
            many items as to slices elsewhere, and items are kept by the hundred.
    """

    name: str
    item: type
    views: tuple[View, ...]
    cut: Callable[[Any, Any], Any]
    facts: Callable[[Any, Any], dict[str, Any]]
    shown: Callable[[Any, Any], Arrays]
    picture: Callable[[Mapping[str, NDArray[Any]], Mapping[str, Any], int], Picture]
    profile: Callable[[Any], NDArray[np.float32]] | None = None
    fine: Callable[[Any, Any], Arrays] | None = None
    single: bool = False

    def check(self, item: Any, what: str) -> None:
        """Refuse what is no item of this kind; `what` names it or where it comes from."""
        if not isinstance(item, self.item):
            raise InputError(
                f"{what} is a {type(item).__name__}; an archive of {self.name} takes "
                f"{self.item.__name__} items"
            )

    @property
    def labels(self) -> dict[str, str]:
        """The label of each view by its name."""
        return {view.name: view.label for view in self.views}
