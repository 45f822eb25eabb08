"""The child process that meets NIfTI and Parquet.

Started by `apart` as a module; not for import. Everything that goes wrong with a file is answered
as an error of one line; what a limit of the operating system ends is seen by the parent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.sandbox import Answer, serve
from isohash.sources.dicom.wire import array_to, case_to_message
from isohash.sources.nifti import read_nifti_case, texts_of
from isohash.sources.tables import read_parquet


def _answer(request: dict[str, Any]) -> Answer:
    where = request.get("file") or request["folder"]
    try:
        return _TASKS[request["task"]](request)
    except InputError as error:
        return {"error": str(error)}, []
    except MemoryError:
        return {"error": f"{where}: needs more memory than a reader may use; divide it"}, []
    except OSError as error:
        return {"error": f"{where}: cannot be read ({error.strerror})"}, []
    except Exception as error:  # noqa: BLE001 - whatever a damaged file makes a library raise
        return {"error": f"{where}: damaged ({type(error).__name__}); export it again"}, []


def _nifti(request: dict[str, Any]) -> Answer:
    return case_to_message(read_nifti_case(Path(request["folder"]), map(Path, request["files"])))


def _parquet(request: dict[str, Any]) -> Answer:
    blobs: list[NDArray[Any]] = []
    columns = read_parquet(Path(request["file"]))
    return {"columns": {name: array_to(one, blobs) for name, one in columns.items()}}, blobs


_TASKS = {
    "nifti": _nifti,
    "parquet": _parquet,
    "texts": lambda request: ({"texts": texts_of(Path(request["file"]))}, []),
}

if __name__ == "__main__":
    serve(lambda request, blobs: _answer(request))
