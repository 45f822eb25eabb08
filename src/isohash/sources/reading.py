"""Finds the cases below a path, whatever their format, and reads them one at a time.

`find` looks at names and headers only; nothing large is held until a `Found` is read. A path may be
one file, one case folder, a whole tree, or one of these as a zip or tar file. One bad file never
stops a run: it is listed as skipped, with its reason.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from isohash.errors import InputError
from isohash.progress import Progress, tell
from isohash.records import Case
from isohash.sources.apart import nifti_case
from isohash.sources.arrays import npz_headers
from isohash.sources.dicom.sniff import cut_preamble, is_picture, looks_like_dicom
from isohash.sources.extras import ask_for
from isohash.sources.found import Findings, Found, Item, Origin, Skipped, content_of, state_of
from isohash.sources.identity.aliases import Aliases
from isohash.sources.identity.naming import Naming
from isohash.sources.identity.pseudonyms import key_mark, load_key
from isohash.sources.images.find import find_images, is_image
from isohash.sources.nifti import folder_of, is_case, is_nifti
from isohash.sources.openkbp import (
    is_csv,
    is_csv_case,
    is_openkbp,
    read_csv_case,
    read_npz_case,
)
from isohash.sources.packed import as_packed, errors_of, is_packed, kind_of, unpacked
from isohash.sources.pacs.scheme import is_address
from isohash.sources.vectors import is_table, read_vectors
from isohash.sources.walk import walk
from isohash.visible import as_text, visible

__all__ = ["Findings", "Found", "Skipped", "find", "read_case", "read_cases"]

KINDS = (
    "dicom",
    "openkbp",
    "openkbp-csv",
    "nifti",
    "vectors",
    "images",
)  # where several are present, the first wins
FORMATS = (
    "DICOM, NIfTI (folders with ct.nii.gz or dose.nii.gz), OpenKBP (pt_N.npz or folders of CSV) or "
    "vectors (.npy, .npz, .csv, .parquet), or images (.png, .jpg, .tif, DICOM of single frames)"
)
HOLDS = {"vectors": "vectors", "images": "images"}  # by kind; all others hold cases


def find(
    path: str | Path, progress: Progress | None = None, naming: Naming | None = None
) -> Findings:
    """List the cases at or below `path` and the files passed over; `naming` names structures.

    `path` may be a study of a PACS, `dicomweb:URL#UID` or `dimse:AET@host:port#UID`. Raises
    InputError if it does not exist or holds nothing that can be read.
    """
    if is_address(path):
        return _of_study(str(path), progress, naming)
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; check the spelling")
    if not (path.is_file() or path.is_dir()):
        raise InputError(f"{path}: neither a regular file nor a folder; give one of these")
    if is_packed(path):
        folder, passed_over = unpacked(path)
        with errors_of(folder, path):
            findings = _find(folder, progress, naming, list(passed_over))
        return as_packed(findings, folder, path)
    return _find(path, progress, naming, [])


def _of_study(text: str, progress: Progress | None, naming: Naming | None) -> Findings:
    """What a study of a PACS holds, under the node's address."""
    from isohash.sources.pacs.one_study import brought

    address, folder = brought(text)
    with errors_of(folder, address):
        findings = _find(folder, progress, naming, [])
    return as_packed(findings, folder, address)


def _find(
    path: Path, progress: Progress | None, naming: Naming | None, skipped: list[Skipped]
) -> Findings:
    """What lies at or below a path that is not packed."""
    files = [path] if path.is_file() else list(walk(path, skipped))
    if not files and not skipped:
        raise InputError(f"{path}: the folder is empty; give one with {FORMATS}")
    by_kind = _sort_by_kind(files, skipped)
    kind = next((kind for kind in KINDS if by_kind.get(kind)), None)
    if kind is None:
        raise InputError(_nothing_found(path, skipped))
    for other in KINDS:
        if other != kind:
            reason = f"{other} beside {kind}: give it as a source of its own"
            skipped += [Skipped(str(file), reason) for file in by_kind.get(other, ())]
    root = path.parent if path.is_file() else path
    found = _found(kind, root, by_kind[kind], skipped, progress, naming or Naming())
    if not found:
        raise InputError(_nothing_found(path, skipped))
    key = key_mark(load_key()) if kind == "dicom" else ""
    return Findings(kind, tuple(found), tuple(skipped), key, HOLDS.get(kind, "cases"))


def read_cases(
    path: str | Path,
    on_skip: Callable[[Skipped], None] | None = None,
    aliases: Mapping[str, str] | None = None,
) -> Iterator[Case]:
    """The cases at or below `path`, one at a time.

    Names of structures that no table knows may hold a patient's name, so they become `ROI n` with
    what it is: `ROI 7 (organ)`. `aliases` (what is typed in the files -> name) is the site's own
    table: what it lists leaves under the name that it gives.

    What cannot be read is passed to `on_skip` (by default a warning is issued) and the iteration
    goes on; InputError is raised if there is nothing to read or nothing could be read.

    Example:
        >>> import isohash, tempfile
        >>> from isohash.sources.phantom import phantom_case
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for member in range(2):
        ...         case = phantom_case(0, member, shape=(8, 16, 16))
        ...         _ = isohash.write_dicom(case, f"{folder}/patient-{member}")
        ...     doses = [case.dose.array.shape for case in isohash.read_cases(folder)]
        >>> doses
        [(8, 16, 16), (8, 16, 16)]
    """
    findings = find(path, naming=Naming(Aliases.of(aliases)))
    if findings.holds != "cases":
        raise InputError(f"{path}: holds {findings.holds}, not cases; isohash index reads them")
    on_skip = on_skip or _warn
    for skipped in findings.skipped:
        on_skip(skipped)
    n_read, last = 0, ""
    for found in findings.found:
        try:
            case = found.read()
        except InputError as error:
            last = str(error)
            on_skip(Skipped(found.path, last))
            continue
        n_read += 1
        yield case  # type: ignore[misc]
    if not n_read:
        raise InputError(last)


def read_case(path: str | Path, aliases: Mapping[str, str] | None = None) -> Case:
    """The one case at or below `path`; see `read_cases` for `aliases`.

    Example:
        >>> import isohash, tempfile
        >>> from isohash.sources.phantom import phantom_case
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = isohash.write_dicom(phantom_case(0, 0, shape=(8, 16, 16)), folder)
        ...     case = isohash.read_case(folder)
        >>> case.ct.array.shape, case.id.startswith("case-")
        ((8, 16, 16), True)
    """
    findings = find(path, naming=Naming(Aliases.of(aliases)))
    if findings.holds != "cases":
        raise InputError(f"{path}: holds {findings.holds}, not a case")
    return sole_case(findings, path)


def sole_case(findings: Findings, path: str | Path) -> Case:
    """The case (or image), if exactly one was found at `path`."""
    if len(findings.found) != 1:
        raise InputError(
            f"{path}: holds {len(findings.found)} {findings.holds} "
            f"({', '.join(found.key for found in findings.found[:3])}, ...); give one of them"
        )
    return findings.found[0].read()  # type: ignore[return-value]


def _warn(skipped: Skipped) -> None:
    warnings.warn(visible(f"{skipped.path} skipped: {skipped.reason}"), stacklevel=3)


def _sort_by_kind(files: list[Path], skipped: list[Skipped]) -> dict[str, dict[Path, list[Path]]]:
    """By kind, what becomes items: a file, or a folder and the files of it that were let in."""
    by_kind: dict[str, dict[Path, list[Path]]] = {}
    csv_folders: dict[Path, list[Path]] = {}
    nifti_folders: dict[Path, list[Path]] = {}
    for file in files:
        if is_csv(file):
            csv_folders.setdefault(file.parent, []).append(file)
            continue
        if is_nifti(file):
            nifti_folders.setdefault(folder_of(file), []).append(file)
            continue
        try:
            kind = _kind(file)
        except InputError as error:
            reason = str(error).removeprefix(str(InputError(f"{file}: ")))
            skipped.append(Skipped(str(file), reason))
            continue
        if kind is None:
            skipped.append(Skipped(str(file), _unknown(file)))
        else:
            by_kind.setdefault(kind, {})[file] = [file]
    pictures = by_kind.pop("pictures", {})  # what patients' folders hold beside their plans
    by_kind.setdefault("dicom" if "dicom" in by_kind else "images", {}).update(pictures)
    for folder, inside in csv_folders.items():
        if is_csv_case({file.name for file in inside}):
            by_kind.setdefault("openkbp-csv", {})[folder] = inside
        else:
            by_kind.setdefault("vectors", {}).update({file: [file] for file in inside})
    for folder, inside in nifti_folders.items():
        if is_case(inside):
            by_kind.setdefault("nifti", {})[folder] = inside
        else:
            reason = "NIfTI files, but neither ct.nii.gz nor dose.nii.gz of a case"
            skipped.append(Skipped(str(folder), reason))
    return by_kind


def _kind(file: Path) -> str | None:
    suffix = file.suffix.lower()
    if suffix == ".npz":
        return "openkbp" if is_openkbp(npz_headers(file)) else "vectors"
    if is_table(file):
        return "vectors"
    if looks_like_dicom(file):
        return "pictures" if is_picture(file) else "dicom"
    return "images" if is_image(file) else None


def _unknown(file: Path) -> str:
    """Why a file is of no kind."""
    if cut_preamble(file):
        return "empty, or cut short before its first element; copy or export it again"
    if is_packed(file):
        return "packed: give it as a source of its own, or unpack it"
    if packed := kind_of(file):
        return f"packed ({packed}): unpack it"
    return "not a case: no known format"


def _found(
    kind: str,
    root: Path,
    items: Mapping[Path, list[Path]],
    skipped: list[Skipped],
    progress: Progress | None,
    naming: Naming,
) -> list[Found]:
    if kind == "dicom":
        from isohash.sources.dicom.find import (
            find_dicom,  # pydicom is loaded only when it is needed
        )

        return find_dicom(list(items), skipped, progress, naming)
    if kind == "images":
        return find_images(root, list(items), skipped, progress, naming)
    _ask_for_extras(kind, items)
    found: list[Found] = []
    named: dict[str, list[Found]] = {}
    for done, (path, files) in enumerate(items.items()):
        one = _of_files(kind, path, files, naming)
        others = named.setdefault(one.key, [])
        same = next((other for other in others if other.content == one.content), None)
        if same is not None:
            skipped.append(Skipped(str(path), f"holds the same as {same.path}"))
        else:
            found.append(one.apart() if others else one)
            others.append(one)
        tell(progress, done + 1, len(items), "files")  # names may be of patients, and logs are kept
    return found


def _ask_for_extras(kind: str, items: Iterable[Path]) -> None:
    """Optional parts are asked for before anything is read."""
    if kind == "nifti":
        ask_for(".nii")
    if any(path.suffix.lower() == ".parquet" for path in items):
        ask_for(".parquet")


def _of_files(kind: str, path: Path, files: Sequence[Path], naming: Naming) -> Found:
    """One item; what it holds is read when it is wanted."""
    key = as_text(path.name if path.is_dir() else path.stem)
    origin = Origin(key, str(path.resolve()), partial(content_of, files))
    reader = partial(_read, kind, path, tuple(files))
    return Found(key, state_of(files), str(path), reader, naming, origin, files=tuple(files))


def _read(kind: str, path: Path, files: tuple[Path, ...], naming: Naming) -> Item:
    """Read one item; what it holds is named when it is let out."""
    if kind == "openkbp-csv":
        return read_csv_case(path, files)
    if kind == "nifti":
        return nifti_case(path, files)
    return read_npz_case(path) if kind == "openkbp" else read_vectors(path)


def _nothing_found(path: Path, skipped: list[Skipped]) -> str:
    if len(skipped) == 1 and path.is_file():
        step = "give the folder" if looks_like_dicom(path) else f"isohash reads {FORMATS}"
        return f"{path}: {skipped[0].reason}; {step}"
    reasons = "; ".join(f"{Path(skip.path).name}: {skip.reason}" for skip in skipped[:2])
    return (
        f"{path}: none of its {len(skipped)} files is a case ({reasons}); isohash reads {FORMATS}"
    )
