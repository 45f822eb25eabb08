"""The page of a checked plan: what is worse than foreseen, both doses, histograms, comparison."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from isohash.apps.page.charts import common_crop, cropped, pane_svg
from isohash.apps.page.pages import templates
from isohash.apps.page.proposal import dvh_chart, foreseen_panes, shown_slices
from isohash.apps.page.report import pane_of
from isohash.dosimetry.isodose import default_levels, level_colours
from isohash.dosimetry.metrics import FITS
from isohash.errors import InputError
from isohash.retrieval.planning.check import Check
from isohash.retrieval.planning.proposal import USE
from isohash.whole_files import OWNER_ONLY, write_whole


def render(check: Check) -> str:
    """The page as text; everything is inside it, and no script runs in it."""
    proposal = check.proposal
    colours = level_colours(default_levels(proposal.prescription_gy))
    charts = {
        name: dvh_chart(band, None if (own := check.planned.get(name)) is None else own.tolist())
        for name, band in proposal.bands.items()
    }
    return (
        templates()
        .get_template("check.html")
        .render(
            c=check,
            p=proposal,
            found=check.comparison,
            fits=FITS,
            pairs=_pairs(check, colours),
            levels=colours,
            charts=charts,
            use=USE,
        )
    )


def _pairs(check: Check, colours: dict[float, str]) -> list[tuple[str, Markup, Markup]]:
    """Slice by slice the planned and the foreseen dose."""
    foreseen = foreseen_panes(check.proposal)
    planned = [
        pane_of(check.proposal.entry, index, title)
        for title, index, _ in shown_slices(check.proposal)
    ]
    if not planned:
        return []
    crop = common_crop([*planned, *foreseen])
    return [
        (a.title, pane_svg(cropped(a, crop), colours), pane_svg(cropped(b, crop), colours))
        for a, b in zip(planned, foreseen, strict=True)
    ]


def write_page(check: Check, path: Path) -> None:
    """Write the page; InputError if the file cannot be written."""
    try:
        write_whole(path, [render(check).encode()], OWNER_ONLY)
    except OSError as error:
        raise InputError(f"--report {path}: cannot be written ({error.strerror})") from error
