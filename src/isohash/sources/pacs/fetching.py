"""Brings one study to a folder: its plan, and of its images those that the plan refers to."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from isohash.sources.dicom.find import labels, scan
from isohash.sources.found import Skipped
from isohash.sources.identity.pseudonyms import load_key
from isohash.sources.pacs.node import (
    RT_MODALITIES,
    Inbox,
    Node,
    PacsError,
    Retry,
    Series,
    Study,
    Wanted,
)
from isohash.whole_files import private_folder

TRIES = 3
PAUSE_SECONDS = 1.0  # before the second try; doubled before each further one


@dataclass(frozen=True)
class Brought:
    """A study in a folder; `why_not` says why it is none of those that are wanted, if so."""

    study: Study
    series: tuple[Series, ...] = ()
    files: tuple[Path, ...] = ()
    why_not: str = ""


def bring(node: Node, study: Study, wanted: Wanted, folder: Path) -> Brought:
    """The objects of a study that make a case; tried again where the link was cut.

    PacsError if it cannot be had whole, or grows while it is brought: then nothing of it is left.
    """
    pause = PAUSE_SECONDS
    for attempt in range(TRIES):
        try:
            return _bring(node, study, wanted, folder)
        except Retry as error:
            _empty(folder)
            if attempt + 1 == TRIES:
                raise PacsError(f"{error} (tried {TRIES} times); run the command again") from error
            time.sleep(pause)
            pause *= 2
        except BaseException:
            _empty(folder)
            raise
    raise AssertionError("unreachable")


def _bring(node: Node, study: Study, wanted: Wanted, folder: Path) -> Brought:
    listed = node.series(study.uid)
    if why_not := _unwanted(listed, wanted):
        return Brought(study, why_not=why_not)
    private_folder(folder)
    inbox = Inbox(folder)
    plans = [one for one in listed if one.modality in RT_MODALITIES]
    for series in plans:
        _fetch(node, series, inbox)
    if wanted.plan_label and not _labelled(inbox.files, wanted.plan_label):
        _empty(folder)
        return Brought(study, why_not="no plan of this label")
    images = _images(node, study, listed, _referred(inbox.files)) if plans else _ct(listed)
    for series in images:
        _fetch(node, series, inbox)
    if _counts(node.series(study.uid)) != _counts(listed):
        raise Retry("a study grew while it was brought")
    return Brought(study, (*plans, *images), tuple(inbox.files))


def _unwanted(listed: Sequence[Series], wanted: Wanted) -> str:
    """Why a study is not wanted, as its series tell; "" if it is."""
    if wanted.modality and all(one.modality != wanted.modality for one in listed):
        return f"no {wanted.modality}"
    part = wanted.body_part.casefold()
    if part and all(one.body_part.casefold() != part for one in listed):
        return "another body part, or none told"
    return ""


def _fetch(node: Node, series: Series, inbox: Inbox) -> None:
    before = len(inbox.files)
    node.fetch(series, inbox)
    came = len(inbox.files) - before
    if series.n_objects is not None and came != series.n_objects:
        raise Retry(f"{came} of {series.n_objects} objects of a series came")


def _referred(files: Sequence[Path]) -> frozenset[str]:
    """The UIDs that the radiotherapy objects refer to."""
    skipped: list[Skipped] = []
    headers = scan(files, load_key(), skipped)
    return frozenset(uid for header in headers for uid in header.refers_to)


def _images(
    node: Node, study: Study, listed: Sequence[Series], referred: frozenset[str]
) -> list[Series]:
    """The CT series that are referred to, here or elsewhere; all of the study if none is."""
    if here := [one for one in _ct(listed) if one.uid in referred]:
        return here
    elsewhere = node.series_elsewhere(referred - {one.uid for one in listed}, study)
    return _ct(elsewhere) or _ct(listed)


def _ct(listed: Sequence[Series]) -> list[Series]:
    return [one for one in listed if one.modality == "CT"]


def _labelled(files: Sequence[Path], label: str) -> bool:
    return label.casefold() in {one.casefold() for one in labels(files)}


def _counts(listed: Sequence[Series]) -> set[tuple[str, int | None]]:
    return {(one.uid, one.n_objects) for one in listed}


def _empty(folder: Path) -> None:
    if folder.is_dir():
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
