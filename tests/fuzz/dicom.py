"""Coverage-guided fuzzing of the DICOM reader: `make fuzz SECONDS=60`, or

    python tests/fuzz/dicom.py CORPUS -max_total_time=60

One file of a small set is replaced by what the fuzzer makes up, the set is linked and read, and
whatever is accepted must be sound and lie where the headers say. Anything but an InputError, a file
that takes longer than 20 s, or more than 2 GB of memory is a finding; libFuzzer keeps the file.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports(include=["pydicom", "isohash.sources", "isohash.dosimetry"]):
    from isohash.errors import InputError
    from isohash.sources.dicom.case import read_files
    from isohash.sources.dicom.elements import quietly
    from isohash.sources.dicom.link import link
    from isohash.sources.dicom.scan import read_header
    from isohash.sources.dicom.writer import write_dicom

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "sources"))
from conftest import small_case
from dicom_sets import assert_geometry

KINDS = ("CT.0002.dcm", "RD.0000.dcm", "RS.0000.dcm", "RP.0000.dcm")
LIMITS = ("-timeout=20", "-rss_limit_mb=2048", "-max_len=65536")


def prepare(folder: Path, corpus: Path) -> dict[Path, object]:
    """Write the set and, as the corpus, each kind of file with a first byte that names it."""
    write_dicom(small_case(np.random.default_rng(0)), folder)
    corpus.mkdir(parents=True, exist_ok=True)
    for which, name in enumerate(KINDS):
        (corpus / name).write_bytes(bytes([which]) + (folder / name).read_bytes())
    with quietly():
        return {file: read_header(file, b"key") for file in sorted(folder.iterdir())}


def main() -> None:
    corpus = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        headers = prepare(folder, corpus)

        def one_input(data: bytes) -> None:
            if not data:
                return
            file = folder / KINDS[data[0] % len(KINDS)]
            kept = file.read_bytes()
            file.write_bytes(data[1:])
            try:
                with quietly():
                    read = {**headers, file: read_header(file, b"key")}
                    for files in link(read.values(), []):
                        case = read_files("x", files)
                        if case.ct is not None:
                            assert_geometry(case, [instance.path for instance in files.ct])
            except InputError as error:
                if "\n" in str(error):
                    raise
            finally:
                file.write_bytes(kept)

        atheris.Setup([sys.argv[0], str(corpus), *LIMITS, *sys.argv[2:]], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
