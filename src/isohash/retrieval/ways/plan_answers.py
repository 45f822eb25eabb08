"""Answers by plan: cases ranked by how far their plan lies from what the query's anatomy would get.

The query's own dose is never looked at, so a new patient with CT and structures is asked like any
other. Images fill in where structures are missing, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from isohash.errors import InputError
from isohash.retrieval.answer import Answer
from isohash.retrieval.comparison import DEFAULT_ALPHA, Level, Pair, views_of
from isohash.retrieval.plan_code import predicted_doses
from isohash.retrieval.ways.plan import PlanComparison, plan_match_of

if TYPE_CHECKING:
    from isohash.retrieval.engine import Session

MADE_BEFORE = "it was made before plans were compared; index its source into a new folder"


def compare_plans(session: Session) -> PlanComparison | None:
    """The query's predicted doses against all stored plans; None where there are none."""
    encoder, column = session.archive.pipeline.plan, session.archive.plans
    predicted = predicted_doses(session.query.arrays)
    if predicted is None or encoder is None or column is None:
        return None
    return PlanComparison.of(predicted, column, encoder.structures)


def answer_by_plan(
    session: Session, k: int, level: Level, where: str | None, same_patient: bool
) -> Answer:
    """The k cases whose plans are nearest; InputError says why a query cannot be asked by plan."""
    if level != "case":
        raise InputError("--by plan compares whole cases; leave out --level slice")
    plans, encoder = session.plans, session.archive.pipeline.plan
    if plans is None or encoder is None:
        raise InputError(f"{_why_not(session)}; use another --by")
    passing, allowed = session.asked_of(where, same_patient)
    ranked = plans.rank(k, allowed)
    columns = session.archive.columns
    pairs = _matched_slices(session, [one.case for one in ranked])
    matches = tuple(
        plan_match_of(
            rank,
            one,
            columns.ids[one.case],
            columns.facts[one.case],
            encoder.expected_distance(one.distance_gy),
            pairs.get(one.case, ()),
        )
        for rank, one in enumerate(ranked, start=1)
    )
    n_planned = int(allowed[plans.case].sum())
    few = f"only {len(matches)} of the {k} results asked for: no more cases have a plan to compare"
    unplanned = f"{int(allowed.sum()) - n_planned} cases have no plan to compare"
    return Answer(
        query=session.query.id,
        level=level,
        weights=views_of("plan", DEFAULT_ALPHA),
        n_considered=n_planned,
        n_excluded=int((passing & ~allowed).sum()),
        n_reranked=0,
        linear=True,
        matches=matches,
        warnings=(
            *session.query.facts["warnings"],
            *([few] if len(matches) < k else []),
            *([unplanned] if n_planned < allowed.sum() else []),
        ),
    )


def why_images(session: Session) -> list[str]:
    """A note for a query with structures that is ranked by images nevertheless."""
    has_structures = bool(session.query.facts.get("n_structures"))
    return [f"ranked by images: {_why_not(session)}"] if has_structures else []


def _why_not(session: Session) -> str:
    encoder = session.archive.pipeline.plan
    if encoder is None:
        plan = session.archive.recipe.get("plan", {"missing": MADE_BEFORE})
        why = plan.get("missing", "no case that it was made from has structures")
        return f"the archive cannot be asked by plan ({why})"
    if predicted_doses(session.query.arrays) is None:
        organs = ", ".join(encoder.settings.organs)
        return f"case {session.query.id} has no target, or none of {organs}"
    return "no case of the archive has a plan to compare"


def _matched_slices(session: Session, cases: Sequence[int]) -> dict[int, tuple[Pair, ...]]:
    """Matched slices to show; only where pictures are wanted, for they cost an alignment."""
    weights = views_of(session.best_by_images(), DEFAULT_ALPHA)
    if not session.query.has_pictures or not session.query.table.usable(tuple(weights)).any():
        return {}
    return session.comparison.matched(weights, cases)
