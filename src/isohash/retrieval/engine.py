"""The archive as its users see it: open it, ask it, check it.

A query goes: file -> item (sources) -> samples -> embeddings (features) -> codes (hashing) ->
the nearest of the stored codes (index, archive) -> ranked matches with their evidence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from numpy.typing import ArrayLike

from isohash.archive.recipe import Recipe
from isohash.archive.store import CaseStore
from isohash.errors import InputError
from isohash.progress import Progress, tell
from isohash.records import Case
from isohash.retrieval.answer import Answer, Match
from isohash.retrieval.contents import not_compared, unlike
from isohash.retrieval.entry import Entry
from isohash.retrieval.held import contents_of
from isohash.retrieval.items import Items
from isohash.retrieval.origin import Asked, Moment
from isohash.retrieval.request import Options, Request
from isohash.retrieval.strangers import understanding
from isohash.retrieval.ways.plan import Foretold
from isohash.retrieval.ways.way import Way, choose

if TYPE_CHECKING:
    from isohash.archive.verify import Report
    from isohash.dosimetry.comparison import DoseComparison
    from isohash.dosimetry.gamma import GammaCriteria
    from isohash.retrieval.planning.check import Check
    from isohash.retrieval.planning.proposal import Proposal

LEAST_COVERED = 0.5  # of the query's length, below which it is told

Item = Case | Entry | str | Path | ArrayLike


@dataclass(frozen=True, eq=False)
class Session:
    """One query compared with the archive once; then ask as often as wanted.

    Other values of k, by, alpha, level or where read no codes again.

    Example:
        >>> import isohash, numpy as np, tempfile
        >>> rows = np.random.default_rng(0).standard_normal((200, 16))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = isohash.build_archive(rows, f"{folder}/archive", bits=64)
        ...     with isohash.Archive.open(f"{folder}/archive") as archive:
        ...         session = archive.session(rows[7])
        ...         found = [len(session.ask(k=k)) for k in (1, 5)]
        >>> found
        [1, 5]
    """

    archive: Archive
    query: Any
    case: str | None = None  # the id, where the archive holds what is asked with

    @cached_property
    def ways(self) -> tuple[Way, ...]:
        """How the query can be answered, the usual way first."""
        return self.archive.contents.ways(self.query)

    @property
    def kept_bytes(self) -> int:
        """What is kept of the comparison, so that the next question is answered sooner."""
        return sum(getattr(way, "kept_bytes", 0) for way in self.ways)

    @property
    def foretold(self) -> Foretold | None:
        """The histograms that the query's anatomy would get; None where none can be told."""
        contents = self.archive.contents
        found = contents.foretold(self.query) if isinstance(contents, Items) else None
        return found if isinstance(found, Foretold) else None

    def ask(self, request: Request | int | None = None, **options: Unpack[Options]) -> Answer:
        """The nearest items: a `Request`, or its fields by name (see `Request`)."""
        asked = Request.of(request, options)
        self.archive.store.check_mapped()
        contents, way = self.archive.contents, choose(self.ways, asked)
        if absent := [one for one in (*asked.good, *asked.bad) if one not in contents]:
            raise InputError(f"{absent[0]} is marked, but the archive does not hold it")
        unknown = contents.unknown_patient(self.query)
        if unknown is not None and not asked.same_patient:
            raise InputError(unknown)
        passing = contents.facts.passing(asked.where)
        allowed = passing if asked.same_patient else passing & ~contents.own(self.query)
        ranking = way.rank(asked, allowed)
        matches = way.match(ranking)
        measured = way.measures(~contents.own(self.query), ranking)
        return Answer(
            query=ranking.query,
            by=ranking.by,
            level=ranking.level,
            weights=ranking.weights,
            labels=ranking.labels,
            n_considered=ranking.n_considered,
            n_excluded=int((passing & ~allowed).sum()),
            n_reranked=ranking.n_reranked,
            linear=ranking.linear,
            what=ranking.what,
            meaning=ranking.meaning,
            uncertain=ranking.uncertain,
            matches=matches,
            warnings=(
                *self.query.warnings,
                *ranking.notes,
                *_no_close_match(matches),
                *_barely_covered(matches),
                *self._missed(way, asked),
                *not_compared(contents, measured),
            ),
            unlike=unlike(contents, self.query, ranking.by, measured),
            asked=Asked(self.case, asked, self.archive.moment),
            refined=ranking.refined,
        )

    def each(
        self,
        request: Request | int | None = None,
        progress: Progress | None = None,
        **options: Unpack[Options],
    ) -> Iterator[Answer]:
        """An answer for every row of a file of vectors, in order; of all else, and of one row, one.

        Example:
            for answer in archive.session("new-vectors.npy").each(k=5):
                print(answer.query, answer.ids)
        """
        asked = Request.of(request, options)
        rows = self.archive.contents.rows_of(self.query)
        if asked.slice is not None or rows == 1:
            yield self.ask(asked)
            return
        for row in range(rows):
            tell(progress, row, rows, f"asking row {row}")
            yield self.ask(replace(asked, slice=row))

    def _missed(self, way: Way, asked: Request) -> list[str]:
        """Why the usual way did not answer, where the request left the choice."""
        if asked.by is not None or asked.given:
            return []
        before = self.ways[: self.ways.index(way)]
        return [told for one in before if (told := one.missed()) is not None]


class Archive:
    """An archive, opened for reading: `len`, iteration over names, `in`, `query`, `verify`.

    Whatever it holds (cases, plain vectors) it is asked in the same way.

    Example:
        >>> import isohash, tempfile
        >>> from isohash.sources.phantom import phantom_case
        >>> cases = [phantom_case(family, 0, shape=(16, 32, 32)) for family in range(3)]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = isohash.build_archive(cases, f"{folder}/archive", encoder="pca")
        ...     with isohash.Archive.open(f"{folder}/archive") as archive:
        ...         ids = list(archive)
        ...         answer = archive.query(phantom_case(1, 1, shape=(16, 32, 32)), k=2, by="joint")
        >>> ids, len(answer)
        (['phantom-00-00', 'phantom-01-00', 'phantom-02-00'], 2)
    """

    def __init__(self, store: CaseStore) -> None:
        self.store = store
        with understanding(store.path, "its recipe or one of its models"):
            self.contents = contents_of(store)

    @classmethod
    def open(cls, path: str | Path) -> Archive:
        """Open an archive folder; InputError if it is missing, foreign or of a newer format."""
        store = CaseStore.open(path)
        try:
            return cls(store)
        except BaseException:
            store.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *exception: object) -> None:
        self.store.close()

    def __len__(self) -> int:
        return len(self.contents)

    def __iter__(self) -> Iterator[str]:
        return iter(self.contents)

    def __contains__(self, name: object) -> bool:
        return name in self.contents

    @property
    def recipe(self) -> Recipe:
        """How the archive was made: versions, seeds, settings, digests."""
        return Recipe(self.store.recipe)

    @cached_property
    def moment(self) -> Moment:
        """What it holds and what answers with it, as answers tell it."""
        return Moment.of(self.store)

    def entry(self, name: str) -> Entry:
        """What is kept of one item, by its id; InputError for vectors, which have no facts."""
        if not isinstance(self.contents, Items):
            raise InputError(f"{name}: this archive holds {self.recipe.kind}, which have no entry")
        return self.contents.entry(name)

    def session(self, item: Item, pictures: bool = False) -> Session:
        """A query to ask repeatedly: a `Case`, an id in the archive, a path or a vector.

        With `pictures` the query can be shown on a page. InputError if it is none of these.
        """
        query = self.contents.query(item, pictures)
        if not len(self):
            raise InputError("the archive holds nothing yet; add to it with isohash index")
        return Session(self, query, item if isinstance(item, str) and item in self else None)

    def query(
        self, item: Item, request: Request | int | None = None, **options: Unpack[Options]
    ) -> Answer:
        """The items nearest to `item`: a `Request`, or its fields by name (k, by, alpha, ...).

        `item` is a `Case`, the id of something in the archive, a path that holds exactly one case
        (or a file of vectors), or a vector. See `Request` for the options.
        """
        return self.session(item).ask(request, **options)

    def propose(
        self, case: Item, prescription_gy: float | None = None, pictures: bool = False
    ) -> Proposal:
        """The dose that a new patient would get, with bands, objectives and the plans behind it.

        The case needs CT and structures with a target; a dose of its own is not looked at. Nothing
        here is for treatment.

        Args:
            case: a `Case`, the id of something in the archive, or a path that holds one case.
            prescription_gy: the highest prescribed dose, where the case does not say it.
            pictures: keep what a page shows of the case.

        Raises:
            InputError: where archive or case lack what is needed, or the archive has seen nothing
                like the case.

        Example:
            with Archive.open("my-archive") as archive:
                proposal = archive.propose("new-patient/")
                print(proposal.dose.array.max(), proposal.bands["Parotid_L"].gy)
        """
        from isohash.retrieval.planning.propose import propose

        contents = self._planned("propose")
        return propose(contents, contents.query(case, pictures, prescription_gy))

    def check(
        self, case: Item, prescription_gy: float | None = None, pictures: bool = False
    ) -> Check:
        """A finished plan against what its anatomy would get: what is worse than foreseen.

        The case needs CT, structures and its dose. See `propose` for the arguments and errors.

        Example:
            with Archive.open("my-archive") as archive:
                found = archive.check("finished-plan/")
                print(found.alarm, found.findings[0])
        """
        from isohash.retrieval.planning.check import check

        return check(self._planned("check"), case, prescription_gy, pictures)

    def compare(
        self, case: Item, other: Item | None = None, criteria: Sequence[GammaCriteria] | None = None
    ) -> DoseComparison:
        """A plan against another, or against the dose that its anatomy would get.

        Gamma, dose difference, D and V of every structure, conformity: see `compare_doses`. Doses
        on different CTs are laid rigidly, which is said. Each case is a `Case`, an id or a path;
        InputError where one has no dose, or they cannot be laid on each other.

        Example:
            with Archive.open("my-archive") as archive:
                print(archive.compare("plan-a/", "plan-b/").gamma[0].passing_percent)
        """
        from isohash.retrieval.planning.compare import compare

        return compare(self._planned("compare"), case, other, criteria)

    def _planned(self, what: str) -> Items:
        """The items of an archive of cases; InputError of any other."""
        contents = self.contents
        if not isinstance(contents, Items) or contents.pipeline.kind.item is not Case:
            raise InputError(f"an archive of {self.recipe.kind} has no plans to {what} a dose by")
        return contents

    def verify(self) -> Report:
        """Check every byte of the archive; the report names what is damaged or missing."""
        from isohash.retrieval.soundness import verify

        return verify(self.store.path)


def _barely_covered(matches: tuple[Match, ...]) -> list[str]:
    """That results are much shorter than the query."""
    told = [m for m in matches if m.covered is not None and m.covered < LEAST_COVERED]
    if not told:
        return []
    ranks = ", ".join(str(match.rank) for match in told)
    return [
        f"of rank {ranks}: less than half of the query's length has a counterpart; "
        "--covered 0.5 leaves such results out"
    ]


def _no_close_match(matches: tuple[Match, ...]) -> list[str]:
    if matches and matches[0].near and all(near.beyond_range for near in matches[0].near.values()):
        return ["no close match: even the nearest lies beyond the range that the code can measure"]
    return []
