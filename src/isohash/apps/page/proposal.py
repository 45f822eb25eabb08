"""The page of a proposal: the predicted dose on the CT, bands of histograms, objectives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from isohash.apps.page.charts import Band, Curve, Pane, chart_svg, common_crop, cropped, pane_svg
from isohash.apps.page.pages import templates
from isohash.apps.page.report import pane_of
from isohash.dosimetry.isodose import default_levels, level_colours
from isohash.retrieval.planning.proposal import USE, Proposal
from isohash.retrieval.planning.proposal import Band as Bounds

SLICES_SHOWN = 5


def render(proposal: Proposal) -> str:
    """The page as text; everything is inside it, and no script runs in it."""
    colours = level_colours(default_levels(proposal.prescription_gy))
    panes = foreseen_panes(proposal)
    crop = common_crop(panes) if panes else None
    return (
        templates()
        .get_template("proposal.html")
        .render(
            p=proposal,
            use=USE,
            panes=[(pane.title, pane_svg(cropped(pane, crop), colours)) for pane in panes if crop],
            levels=colours,
            charts={name: dvh_chart(band) for name, band in proposal.bands.items()},
        )
    )


def foreseen_panes(proposal: Proposal) -> list[Pane]:
    """Evenly spread slices among those that get half of the prescription somewhere."""
    return [
        replace(pane_of(proposal.entry, index, title), dose_gy=dose)
        for title, index, dose in shown_slices(proposal)
    ]


def shown_slices(proposal: Proposal) -> list[tuple[str, int, Any]]:
    """Title, index and foreseen dose of these slices; none where no pictures are kept."""
    entry = proposal.entry
    if not entry.has_pictures or "preview.place" not in entry.arrays:
        return []
    shown: list[tuple[str, int, Any]] = []
    for z_mm, index in zip(entry.arrays["slice.z_mm"], entry.arrays["slice.index"], strict=True):
        dose = entry.seen(proposal.dose, int(index))
        if dose is not None and dose.max() >= 0.5 * proposal.prescription_gy:
            shown.append((f"z = {z_mm:.0f} mm", int(index), dose))
    return _spread(shown, SLICES_SHOWN)


def _spread(items: Sequence[Any], most: int) -> list[Any]:
    if not items:
        return []
    at = np.linspace(0, len(items) - 1, min(most, len(items)) + 2)[1:-1]
    return [items[i] for i in at.round().astype(int)]


def dvh_chart(band: Bounds, planned: Sequence[float] | None = None) -> Markup:
    """A structure's histogram with its bands; `planned` Gy at the same volumes, of a plan."""
    top = max(10.0, 10.0 * float(np.ceil(np.max(band.high) / 10.0)))
    bands = [
        Band(band.low[at], band.high[at], band.volume_percent, shade)
        for at, shade in ((1, "#dcebf6"), (0, "#a9cfe9"))
    ]
    curves = [Curve("foreseen", band.gy, band.volume_percent, 0)]
    if planned is not None:
        curves.append(Curve("planned", np.asarray(planned), band.volume_percent, None))
    return chart_svg(curves, "dose in Gy", "volume in %", top, 100.0, bands)


def write_page(proposal: Proposal, path: Path) -> None:
    """Write the page into a folder that is made whole by whoever calls."""
    path.write_text(render(proposal), encoding="utf-8")
