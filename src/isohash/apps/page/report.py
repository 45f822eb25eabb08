"""One page that shows a query beside its results; it opens offline and can be filed.

Everything (pictures, curves, styles) is inside the file, and no script runs in it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import UndefinedError
from markupsafe import Markup
from numpy.typing import NDArray

from isohash.apps.page.charts import (
    Curve,
    Pane,
    chart_svg,
    common_crop,
    cropped,
    pane_svg,
    series_colour,
)
from isohash.apps.page.gallery import gallery_page
from isohash.apps.page.pages import plan_text, templates
from isohash.dosimetry.isodose import default_levels, level_colours
from isohash.dosimetry.names import is_target
from isohash.errors import InputError
from isohash.features.cases.shown import DVH_BIN_GY
from isohash.retrieval.answer import Answer, Match
from isohash.retrieval.engine import Archive, Session
from isohash.retrieval.entry import Entry
from isohash.retrieval.ranked import Pair
from isohash.retrieval.strangers import understanding
from isohash.sources.identity.naming import is_unnamed
from isohash.whole_files import OWNER_ONLY, write_whole

PAIRS_SHOWN = 3
TARGET_METRICS = (("d95_gy", "D95", 1), ("d2_gy", "D2", 1), ("mean_gy", "mean", 1),
                  ("conformity", "CI", 2))  # fmt: skip
ORGAN_METRICS = (("mean_gy", "mean", 1), ("d0.03cc_gy", "D0.03cc", 1))
USUAL_PRESCRIPTION_GY = 70.0  # sets the isodose levels where none is known


@dataclass(frozen=True, eq=False)
class Strip:
    """One result: its matched slices beside the query's, and the distance of every pair."""

    match: Match
    pairs: tuple[tuple[Pane, Pane], ...]
    evidence: Markup | None


def write_report(session: Session, answer: Answer, path: str | Path) -> None:
    """Write the page for an answer; InputError if the file cannot be written."""
    page = render(session, answer, dt.date.today().isoformat())
    try:
        write_whole(path, [page.encode()], OWNER_ONLY)
    except OSError as error:
        raise InputError(f"--report {path}: cannot be written ({error.strerror})") from error


def render(session: Session, answer: Answer, made_on: str = "") -> str:
    """The page as text; `made_on` is the day that it is to show.

    InputError if the archive keeps what cannot be shown.
    """
    with understanding(session.archive.store.path, "what a page shows of it"):
        try:
            return _render(session, answer, made_on)
        except UndefinedError as error:
            raise ValueError(str(error)) from error


def _render(session: Session, answer: Answer, made_on: str) -> str:
    archive, query = session.archive, session.query
    if not answer.matches:
        raise InputError("there is no result to report on; loosen --where or ask for more cases")
    entries = [archive.entry(match.id) for match in answer.matches]
    if query.kind.single:
        asked, provenance = asked_text(answer), _provenance(archive)
        return gallery_page(query, entries, answer, asked, provenance, made_on)
    strips = [_strip(match, query, e) for match, e in zip(answer.matches, entries, strict=True)]
    shown = [pane for strip in strips for pair in strip.pairs for pane in pair]
    colours, foreseen = isodose_colours(query), foreseen_curves(session)
    return (
        templates()
        .get_template("report.html")
        .render(
            answer=answer,
            strips=strips,
            dvhs=_dvh_charts(query, entries, foreseen),
            has_foreseen=bool(foreseen),
            levels=colours if any(pane.dose_gy is not None for pane in shown) else {},
            fitted=_fitted,
            pane=lambda pane: pane_svg(pane, colours),
            query_plan=plan_text(query.facts),
            table=dose_rows(query, entries),
            asked=asked_text(answer),
            made_on=made_on,
            by_slice=answer.level == "slice",
            colour=series_colour,
            has_labels=any(match.facts["label"] for match in answer.matches),
            provenance=_provenance(archive),
        )
    )


def asked_text(answer: Answer) -> str:
    """The command that gives this answer, without paths, which may name a patient."""
    alpha = ""
    if answer.by == "joint":
        alpha = f" --alpha {next(iter(answer.weights.values())):g}"
    level = f" --level {answer.level}" if answer.level == "slice" else ""
    return f"isohash query ARCHIVE CASE --by {answer.by}{alpha}{level} -k {len(answer)} --report"


def _fitted(pair: tuple[Pane, Pane]) -> tuple[Pane, Pane]:
    """Both slices of a pair at one scale, the bodies filling them."""
    crop = common_crop(pair)
    return cropped(pair[0], crop), cropped(pair[1], crop)


def dose_rows(query: Entry, entries: Sequence[Entry]) -> list[tuple[str, list[str]]]:
    """Of each structure of the query or a result what its dose is: name, one cell for each case."""
    cases = [query, *entries]
    doses = [case.doses() for case in cases]
    names = dict.fromkeys(name for one in doses for name in one if not is_unnamed(name))
    ordered = sorted(names, key=lambda name: (not is_target(name), name))
    return [
        (name, [_cell(name, case, told.get(name)) for case, told in zip(cases, doses, strict=True)])
        for name in ordered
    ]


def _cell(name: str, case: Entry, told: Mapping[str, float] | None) -> str:
    """D95, D2 and conformity of a target; mean and D0.03cc of an organ; or what is missing."""
    if told is None:
        return "drawn, no dose" if name in case.facts.get("outlined", ()) else "not drawn"
    wanted = TARGET_METRICS if is_target(name) else ORGAN_METRICS
    parts = [f"{label} {told[key]:.{digits}f}" for key, label, digits in wanted if key in told]
    return ", ".join(parts)


def isodose_colours(query: Entry) -> dict[float, str]:
    """Levels in Gy and their colours, set by the query's prescription for all panes alike."""
    prescribed = query.facts.get("prescription_gy") or USUAL_PRESCRIPTION_GY
    return level_colours(default_levels(prescribed))


def chosen_pairs(pairs: Sequence[Pair], most: int = PAIRS_SHOWN) -> list[Pair]:
    """Evenly spread pairs, without the ends, where slices show little."""
    if not pairs:
        return []
    at = np.linspace(0, len(pairs) - 1, min(most, len(pairs)) + 2)[1:-1]
    return [pairs[i] for i in at.round().astype(int)]


def pane_of(entry: Entry, slice_index: int, title: str) -> Pane:
    """The picture of one slice of a query or a result."""
    grey, dose_gy = entry.picture(slice_index)
    place = entry.arrays.get("preview.place")
    pixel_mm = None if place is None else float(place[2])
    return Pane(title, grey, dose_gy, pixel_mm, entry.outlines(slice_index))


def _strip(match: Match, query: Entry, entry: Entry) -> Strip:
    panes = tuple(
        (
            pane_of(query, pair.query_slice, f"{query.id}, z = {pair.query_z_mm:.0f} mm"),
            pane_of(entry, pair.slice, f"{entry.id}, z = {pair.z_mm:.0f} mm"),
        )
        for pair in chosen_pairs(match.pairs)
    )
    return Strip(match, panes, _evidence(match) if len(match.pairs) > 1 else None)


def _evidence(match: Match) -> Markup:
    x = np.arange(1, len(match.pairs) + 1, dtype=float)
    y = np.array([pair.distance for pair in match.pairs])
    top = max(0.1, float(np.ceil(y.max() * 10) / 10))
    curve = Curve(match.id, x, y, match.rank - 1)
    return chart_svg([curve], "matched slice, head to feet", "distance", float(len(x)), top)


def foreseen_curves(session: Session) -> dict[str, Curve]:
    """The histograms that the query's anatomy would get, by structure; dashed in the charts."""
    foretold = session.foretold
    if foretold is None:
        return {}
    percent = np.array([100.0, *foretold.settings.dose_volumes[::-1], 0.0])
    return {
        name: Curve("foreseen", np.array([0.0, *doses[::-1], doses[0]]), percent, None, dashed=True)
        for name, doses in zip(foretold.structures, foretold.doses, strict=True)
        if not np.isnan(doses[0])
    }


def _dvh_charts(
    query: Entry, entries: Sequence[Entry], foreseen: Mapping[str, Curve]
) -> dict[str, Markup]:
    """One chart per structure of the query: its own curves in black, the results in colour."""
    own = query.dvhs()
    others = [entry.dvhs() for entry in entries]
    charts = {}
    for name in dict.fromkeys((*own, *foreseen)):
        curves = [_dvh_curve(query.id, own[name], None)] if name in own else []
        curves += [foreseen[name]] if name in foreseen else []
        curves += [
            _dvh_curve(entry.id, dvhs[name], series)
            for series, (entry, dvhs) in enumerate(zip(entries, others, strict=True))
            if name in dvhs and not is_unnamed(name)
        ]
        x_max = 10.0 * np.ceil(max(curve.x[-1] for curve in curves) / 10.0)
        charts[name] = chart_svg(
            curves, "dose in Gy", "volume in %", max(10.0, float(x_max)), 100.0
        )
    return charts


def _dvh_curve(name: str, volume: NDArray[np.floating], series: int | None) -> Curve:
    last = int(np.flatnonzero(volume > 0)[-1]) + 1 if (volume > 0).any() else 1
    kept = slice(0, min(last + 1, len(volume)))
    dose = DVH_BIN_GY * np.arange(len(volume), dtype=np.float64)
    return Curve(name, dose[kept], 100.0 * volume[kept], series)


def _hash(settings: Mapping[str, Any]) -> str:
    return f"q = {settings['q']}" if settings["q"] else f"{settings['hash']} alphabets"


def _provenance(archive: Archive) -> str:
    recipe = archive.recipe
    settings, made_by = recipe["settings"], recipe["versions"]
    digests = ", ".join(f"{name} {digest[:12]}" for name, digest in recipe["digests"].items())
    sample = "image" if archive.recipe.kind == "images" else "slice"
    return (
        f"{len(archive)} {archive.recipe.kind}; encoder {settings['encoder']} ({digests}); "
        f"{settings['bits']} stored bits per {sample} and view, {_hash(settings)}; "
        f"seed {settings['seed']}; archive made by isohash {made_by['isohash']}."
    )
