"""Cases from DICOM: CT, RTDOSE, RTSTRUCT and RTPLAN, whatever the files are called.

`find_dicom` reads headers and links them; each `Found` then reads pixels and contours of one case.
All parsing happens in child processes with limits (see sandbox). Identity stops there: what comes
back are keyed pseudonyms, geometry and names of structures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from isohash.errors import InputError
from isohash.progress import Progress, tell
from isohash.records import Case
from isohash.sandbox import MAX_CHILDREN, ChildFailed, Pool, TooSlow
from isohash.sources.dicom.belonging import Belonging
from isohash.sources.dicom.case_files import CaseFiles
from isohash.sources.dicom.link import link
from isohash.sources.dicom.scan import Instance
from isohash.sources.dicom.wire import (
    case_from_message,
    files_to_json,
    instance_from_json,
    instance_to_json,
)
from isohash.sources.found import Found, Skipped
from isohash.sources.identity.naming import Naming
from isohash.sources.identity.pseudonyms import load_key, pseudonym
from isohash.sources.slow import AGAIN, digest_of, known, remember, state_of

BATCH = 64  # files per request to a child
# Processor time, see sandbox.
FILE_SECONDS = 20.0  # for one header; a batch may take this and a tenth of a second per file
CASE_SECONDS = 120.0  # for one case; and half a second more per file


def find_dicom(
    files: Sequence[Path],
    skipped: list[Skipped],
    progress: Progress | None = None,
    naming: Naming | None = None,
) -> list[Found]:
    """The cases that `files` make up; unusable files go to `skipped`."""
    key, naming = load_key(), naming or Naming()
    found = []
    for case in link(scan(files, key, skipped, progress), skipped, _alike):
        if not case.patient:  # an export that names nobody: one frame of reference is one patient
            place = case.frame_uid or case.files[0].series_uid
            case = replace(case, patient=pseudonym(key, "patient", "frame", place))
        name = pseudonym(key, "case", *case.identity)
        folder = case.files[0].path.parent
        reader = partial(_read, name, case)
        found.append(
            Found(
                name,
                _state(case.files),
                str(folder),
                reader,
                naming,
                patient=case.patient,
                files=tuple(file.path for file in case.files),
                belonging=partial(_belonging, case),
            )
        )
    return found


def scan(
    files: Sequence[Path], key: bytes, skipped: list[Skipped], progress: Progress | None = None
) -> list[Instance]:
    """The usable instances among `files`, in their order; the others go to `skipped`."""
    instances = []
    for file, header in _in_children("headers", files, {"key": key.hex()}):
        if "error" in header:
            skipped.append(Skipped(str(file), header["error"]))
        else:
            instances.append(instance_from_json(header))
        tell(progress, len(instances) + len(skipped), len(files), "headers")
    return instances


def identities(files: Sequence[Path]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Of each file its identifying `values` and the names of its `structures`, or an `error`."""
    yield from _in_children("identity", files, {})


def labels(files: Sequence[Path]) -> frozenset[str]:
    """What the plans among `files` are called (RTPlanLabel); it may identify."""
    answers = _in_children("labels", files, {})
    return frozenset(label for _, answer in answers if (label := answer.get("label", "")))


def _in_children(
    task: str, files: Sequence[Path], more: dict[str, str]
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """One answer per file, in order, made by the child processes batch by batch."""
    batches = [files[start : start + BATCH] for start in range(0, len(files), BATCH)]
    threads = ThreadPoolExecutor(MAX_CHILDREN)
    try:
        answers = threads.map(lambda batch: _answers(task, batch, more), batches)
        for batch, several in zip(batches, answers, strict=True):
            yield from zip(batch, several, strict=True)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def _answers(task: str, files: Sequence[Path], more: dict[str, str]) -> list[dict[str, Any]]:
    """Answers of a batch without what is known to be slow, for which an error stands."""
    slow = _slow(files)
    answers = iter(_tried(task, [file for file in files if file not in slow], more))
    return [slow[file] if file in slow else next(answers) for file in files]


def _slow(files: Sequence[Path]) -> dict[Path, dict[str, Any]]:
    """The files of which an earlier run found that they take too long, with the error to tell."""
    noted = known()
    told = {"error": f"takes longer than {FILE_SECONDS:g} s of processor time to read, {AGAIN}"}
    return {
        file: told for file in files if noted and digest_of(state_of(file), FILE_SECONDS) in noted
    }


def _tried(task: str, files: Sequence[Path], more: dict[str, str]) -> list[dict[str, Any]]:
    """Answers of a batch; if a file brings the child down, each is tried by itself."""
    if not files:
        return []
    request = {"task": task, "paths": [str(file) for file in files], **more}
    try:
        answer, _ = _pool().call(request, FILE_SECONDS + 0.1 * len(files))
        several: list[dict[str, Any]] = answer[task]
        return several
    except ChildFailed as error:
        if len(files) > 1:
            return [one for file in files for one in _tried(task, [file], more)]
        if isinstance(error, TooSlow):
            remember(digest_of(state_of(files[0]), FILE_SECONDS))
        return [{"error": str(error)}]


def _alike(a: Instance, b: Instance) -> bool:
    """Whether two files hold the same, as a child finds that reads both."""
    request = {"task": "alike", "files": [instance_to_json(one) for one in (a, b)]}
    try:
        answer, _ = _pool().call(request, 2 * FILE_SECONDS)
    except (ChildFailed, InputError):
        return False
    return bool(answer["alike"])


def _read(name: str, files: CaseFiles, naming: Naming) -> Case:
    where = str(files.files[0].path.parent)
    request = {"task": "case", "name": name, "files": files_to_json(files), "where": where}
    request["aliases"] = dict(naming.aliases.table)
    request["key"] = naming.aliases.key.hex()
    seconds = CASE_SECONDS + 0.5 * len(files.files)
    digest = digest_of(_state(files.files), seconds)
    if digest in known():
        raise InputError(
            f"{where}: this case takes longer than {seconds:g} s of processor time to read, {AGAIN}"
        )
    try:
        header, blobs = _pool().call(request, seconds)
        naming.note(name, header.pop("unknown"))
        return case_from_message(header, blobs)
    except ChildFailed as error:
        if isinstance(error, TooSlow):
            remember(digest)
        raise InputError(f"{where}: this case {error}; check its files") from error


def _belonging(files: CaseFiles) -> Belonging | None:
    """Whom the files belong to; None where there is no CT to stand on."""
    if not files.ct:
        return None
    structures = "" if files.structures is None else str(files.structures.path)
    request = {"task": "belonging", "ct": str(files.ct[0].path), "structures": structures}
    try:
        answer, _ = _pool().call(request, FILE_SECONDS)
    except ChildFailed as error:
        raise InputError(
            f"{files.ct[0].path.parent}: this case {error}; check its files"
        ) from error
    return Belonging(**answer["belonging"])


@cache
def _pool() -> Pool:
    return Pool("isohash.sources.dicom.worker")


def _state(files: Sequence[Instance]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for line in sorted(f"{file.sop_uid}\0{file.size}\0{file.mtime_ns}" for file in files):
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()
