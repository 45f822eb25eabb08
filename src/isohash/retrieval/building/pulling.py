"""Patients come from a PACS: what is new there is brought, indexed and forgotten as files.

Studies are brought a few at a time into a private folder, which goes when they are indexed. Then
each is noted as seen. A run that ends before that, whichever way, brings those few again, and the
archive knows their cases by what they hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Unpack

from isohash.archive.store import CaseStore
from isohash.errors import InputError
from isohash.progress import Progress, tell
from isohash.retrieval.building.given import findings_of
from isohash.retrieval.building.indexing import index_found
from isohash.retrieval.naming import Unmapped
from isohash.retrieval.settings import IndexReport, Options, is_absent
from isohash.sources import private_folder
from isohash.sources.found import Findings, Skipped
from isohash.sources.packed import as_packed, errors_of
from isohash.sources.pacs.address import Address, opened, parse
from isohash.sources.pacs.credentials import Credentials
from isohash.sources.pacs.fetching import Brought, bring
from isohash.sources.pacs.links import Link, Links
from isohash.sources.pacs.node import Local, Node, PacsError, Study, Wanted
from isohash.sources.pacs.seen import Seen, study_name

AT_ONCE = 8  # studies that are indexed together
AT_FIRST = 32  # and before there is an archive: its encoders are fitted to them
MOST_TOGETHER = 4 << 30  # bytes of such studies


@dataclass(frozen=True)
class PullOptions:
    """How a PACS is asked: who we are, which studies, whether to forget what was seen.

    `links` is a file to keep the way back in (see `sources.pacs.links`).
    """

    wanted: Wanted = field(default_factory=Wanted)
    local: Local = field(default_factory=Local)
    credentials: Credentials | None = None
    links: Path | None = None
    again: bool = False


@dataclass(frozen=True)
class PullReport:
    """What one run brought. Studies are named by pseudonyms, as `failed` is with the reason."""

    source: str
    n_studies: int = 0  # that the node listed
    unchanged: int = 0  # of them seen before
    unwanted: int = 0  # without what was asked for
    brought: int = 0
    failed: Mapping[str, str] = field(default_factory=dict)
    indexed: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    warnings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    unmapped: tuple[Unmapped, ...] = ()
    n_cases: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`; what was typed for unknown names is not among them."""
        facts = asdict(self)
        for row in facts["unmapped"]:
            del row["typed"]
        return facts


def pull(
    source: str,
    archive: str | Path,
    progress: Progress | None = None,
    options: PullOptions | None = None,
    **index: Unpack[Options],
) -> PullReport:
    """Bring what is new in a PACS to an archive, which is made if there is none.

    Args:
        source: `dicomweb:URL` or `dimse:AET@host:port`; with `#UID` that study alone.
        archive: the archive's folder.
        progress: called with (done, of how many, what) as the work goes on.
        options: which studies, and who we are; see `PullOptions`.
        index: as of `build_archive`, for a new archive.

    Returns:
        What was brought and indexed, and what failed. A study that failed is tried by the next run.

    Raises:
        InputError: if the node cannot be asked, or the archive cannot be written.
    """
    options = options or PullOptions()
    address = parse(source)
    node = opened(address, options.local, options.credentials)
    run = _Run(node, address, Path(archive), options, index, progress)
    try:
        return run.report()
    finally:
        run.close()
        node.close()


class _Run:
    """One run of `pull`: what it holds, and what it has done."""

    def __init__(
        self,
        node: Node,
        address: Address,
        archive: Path,
        options: PullOptions,
        index: Mapping[str, Any],
        progress: Progress | None,
    ) -> None:
        self.node, self.address, self.archive = node, address, archive
        self.options, self.index, self.progress = options, index, progress
        self.links = Links(options.links) if options.links is not None else None
        self.seen = Seen(archive, str(address))
        if options.again:
            self.seen.forget()
        self.counts = {"unchanged": 0, "unwanted": 0, "brought": 0}
        self.failed: dict[str, str] = {}
        self.reports: list[IndexReport] = []
        self.passed_over: list[Skipped] = []

    def close(self) -> None:
        self.seen.close()
        if self.links is not None:
            self.links.close()

    def report(self) -> PullReport:
        """Bring and index everything; what was done."""
        listed = self._listed()
        new = self._new(listed)
        self.counts["unchanged"] = len(listed) - len(new)
        waiting = iter(enumerate(new))
        while self._together(waiting, len(new)):
            pass
        last = self.reports[-1] if self.reports else None
        return PullReport(
            source=str(self.address),
            n_studies=len(listed),
            **self.counts,
            failed=self.failed,
            indexed=tuple(name for one in self.reports for name in one.indexed),
            skipped=(*self.passed_over, *(s for one in self.reports for s in one.skipped)),
            warnings={k: v for one in self.reports for k, v in one.warnings.items()},
            notes=last.notes if last else (),
            unmapped=tuple(row for one in self.reports for row in one.unmapped),
            n_cases=last.n_cases if last else _size(self.archive),
        )

    def _listed(self) -> list[Study]:
        if self.address.study:
            return [self.node.study(self.address.study)]
        studies = []
        for study in self.node.studies(self.options.wanted):
            studies.append(study)
            tell(self.progress, len(studies), len(studies), "listing studies")
        return studies

    def _new(self, listed: Sequence[Study]) -> list[Study]:
        """Those that are not as they were, or whose cases are gone."""
        if is_absent(self.archive):
            return list(listed)
        with CaseStore.open(self.archive) as store:
            return [one for one in listed if not self.seen.knows(one, store.__contains__)]

    def _together(self, waiting: Iterator[tuple[int, Study]], n_new: int) -> bool:
        """Bring and index the next few; whether there may be more."""
        folder = private_folder.make()
        try:
            brought, more = self._bring(waiting, n_new, folder)
            if any(one.files for one in brought):
                self._index(brought, folder)
            for one in brought:
                if one.why_not:
                    self.seen.note(one.study, (), one.why_not)
        finally:
            private_folder.remove(folder)
        return more

    def _bring(
        self, waiting: Iterator[tuple[int, Study]], n_new: int, folder: Path
    ) -> tuple[list[Brought], bool]:
        most = AT_FIRST if is_absent(self.archive) else AT_ONCE
        brought: list[Brought] = []
        n_bytes = 0
        while len(brought) < most and n_bytes < MOST_TOGETHER:
            at, study = next(waiting, (0, None))
            if study is None:
                return brought, False
            tell(self.progress, at, n_new, f"bringing {study_name(study)}")
            try:
                one = bring(self.node, study, self.options.wanted, folder / study_name(study))
            except PacsError as error:
                self.failed[study_name(study)] = str(error)
                continue
            self.counts["unwanted" if one.why_not else "brought"] += 1
            n_bytes += sum(file.stat().st_size for file in one.files)
            brought.append(one)
        return brought, True

    def _index(self, brought: Sequence[Brought], folder: Path) -> None:
        try:
            with errors_of(folder, self.address):
                findings = findings_of(folder, self.progress)
        except InputError as error:  # of all that came, nothing makes a case
            why_not = str(error)
            for one in (one for one in brought if one.files):
                self.passed_over.append(Skipped(study_name(one.study), why_not))
                self.seen.note(one.study, (), why_not)
            return
        findings = as_packed(findings, folder, self.address)
        report = index_found(findings, self.archive, self.index, self.progress)
        self.reports.append(report)
        for one in (one for one in brought if one.files):
            self._note(one, findings, report, folder)

    def _note(self, one: Brought, findings: Findings, report: IndexReport, folder: Path) -> None:
        """Remember a study with the cases that it gave."""
        mine = _cases_of(findings, folder / study_name(one.study))
        mine &= {*report.indexed, *report.unchanged}
        if self.links is not None:
            uids = tuple(series.uid for series in one.series)
            self.links.add([Link(n, str(self.address), one.study.uid, uids) for n in sorted(mine)])
        self.seen.note(one.study, sorted(mine))


def _cases_of(findings: Findings, folder: Path) -> set[str]:
    """The ids of the cases with a file in a folder."""
    return {one.key for one in findings.found if any(file.parent == folder for file in one.files)}


def _size(archive: Path) -> int:
    """How many cases an archive holds; none if there is none."""
    if is_absent(archive):
        return 0
    with CaseStore.open(archive) as store:
        return len(store)
