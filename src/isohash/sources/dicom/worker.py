"""The child process that meets DICOM files: reads headers and cases on request.

Started by `sandbox` as a module; not for import. Everything that goes wrong with a file is
answered as an error of one line; what a limit of the operating system ends is seen by the parent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from isohash.errors import InputError
from isohash.sandbox import Answer, serve
from isohash.sources.dicom.alike import alike
from isohash.sources.dicom.belonging import read_belonging
from isohash.sources.dicom.case import read_files
from isohash.sources.dicom.elements import quietly, read_dataset, text
from isohash.sources.dicom.scan import read_header
from isohash.sources.dicom.structures import typed_structures
from isohash.sources.dicom.wire import (
    case_to_message,
    files_from_json,
    instance_from_json,
    instance_to_json,
)
from isohash.sources.identity.aliases import Aliases
from isohash.sources.identity.naming import Naming
from isohash.sources.identity.phi import identifying


def main() -> None:
    """Answer requests from standard input until it ends."""
    serve(lambda request, blobs: _answer(request))


def _answer(request: dict[str, Any]) -> Answer:
    where = request.get("where", "a batch of files")
    try:
        if (task := request["task"]) in OF_FILES:
            return {task: [OF_FILES[task](path, request) for path in request["paths"]]}, []
        if request["task"] == "belonging":
            with quietly():
                return {"belonging": read_belonging(request["ct"], request["structures"])}, []
        if request["task"] == "alike":
            return {"alike": _alike(*request["files"])}, []
        with quietly():
            naming = Naming(Aliases(request["aliases"], bytes.fromhex(request["key"])))
            case = read_files(request["name"], files_from_json(request["files"]), naming)
        header, blobs = case_to_message(case)
        return {**header, "unknown": naming.unknown.get(case.id, {})}, blobs
    except InputError as error:
        return {"error": str(error)}, []
    except MemoryError:
        return {"error": f"{where}: needs more memory than a reader may use"}, []
    except RecursionError:
        return {"error": f"{where}: sequences nested too deep"}, []
    except OSError as error:
        return {"error": f"{where}: cannot be read ({error.strerror})"}, []
    except Exception as error:  # noqa: BLE001 - whatever a damaged file makes a library raise
        return {"error": f"{where}: damaged DICOM ({type(error).__name__})"}, []


def _header(path: str, request: dict[str, Any]) -> dict[str, Any]:
    try:
        with quietly():
            return instance_to_json(read_header(Path(path), bytes.fromhex(request["key"])))
    except InputError as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": "needs more memory than a reader may use"}
    except OSError as error:
        return {"error": f"cannot be opened ({error.strerror})"}
    except Exception as error:  # noqa: BLE001 - whatever a damaged file makes a library raise
        return {"error": f"damaged DICOM ({type(error).__name__})"}


def _alike(a: dict[str, Any], b: dict[str, Any]) -> bool:
    with quietly():
        return alike(instance_from_json(a), instance_from_json(b))


def _identity(path: str, request: dict[str, Any]) -> dict[str, Any]:
    """What identifies in a file, and the names of structures, for a search in an archive."""
    try:
        with quietly():
            dataset = read_dataset(Path(path), stop_before_pixels=True)
            typed = [(one.name, one.number, one.interpreted) for one in typed_structures(dataset)]
            return {"values": list(identifying(dataset)), "structures": typed}
    except Exception as error:  # noqa: BLE001 - whatever a damaged file makes a library raise
        return {"error": type(error).__name__}


def _label(path: str, request: dict[str, Any]) -> dict[str, Any]:
    """What a plan is called; nothing where it cannot be read or is none."""
    try:
        with quietly():
            dataset = read_dataset(Path(path), stop_before_pixels=True)
            return {"label": text(dataset, "RTPlanLabel")}
    except Exception as error:  # noqa: BLE001 - whatever a damaged file makes a library raise
        return {"error": type(error).__name__}


OF_FILES = {"headers": _header, "identity": _identity, "labels": _label}  # an answer for each file

if __name__ == "__main__":
    main()
