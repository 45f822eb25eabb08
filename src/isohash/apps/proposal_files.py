"""The files of a proposal: doses for a planning system, tables, JSON and a page, all or none.

| file | content |
|---|---|
| `dose.dcm`, `half_width.dcm` | RTDOSE on the grid of the CT: predicted dose; half width at 68 % |
| `plan.dcm` | RTPLAN without beams, for the doses to refer to |
| `objectives.csv`, `bands.csv` | what planners aim at; bounds of the histograms |
| `proposal.json`, `proposal.html` | the same for machines and for people |

They are written into a folder beside OUT, which takes its name, or gives its files theirs, when all
are there.
"""

from __future__ import annotations

import csv
import hashlib
import json
import secrets
import shutil
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from isohash.apps.csv_text import cell
from isohash.apps.page.proposal import write_page
from isohash.errors import InputError
from isohash.records import Case
from isohash.retrieval.planning.proposal import USE, Proposal
from isohash.sources.dicom.belonging import Belonging
from isohash.sources.dicom.writer import WriteOptions, write_dicom
from isohash.whole_files import OWNER_ONLY, refuse_in_archive, rename, sync_folder

FILES = ("dose.dcm", "half_width.dcm", "plan.dcm", "objectives.csv", "bands.csv",
         "proposal.json", "proposal.html")  # fmt: skip
DOSE_BITS = 16  # steps of about a milligray


def check_folder(out: Path, replace: bool) -> None:
    """Refuse a place that cannot take the files, before the work."""
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file; name a folder")
    there = [name for name in FILES if (out / name).exists()]
    if there and not replace:
        raise InputError(f"--out {out} holds {there[0]} already; name another folder or --replace")
    if not out.parent.exists():
        raise InputError(f"--out {out}: {out.parent} does not exist; make it first")


def write_proposal(
    proposal: Proposal, out: Path, belonging: Belonging | None, replace: bool
) -> None:
    """All files of a proposal in `out`; InputError, and nothing written, where that fails."""
    check_folder(out, replace)
    work = out.with_name(f".{out.name}.{secrets.token_hex(8)}.tmp")
    try:
        refuse_in_archive(out)
        work.mkdir(0o700)
        _write(proposal, work, belonging)
        sync_folder(work)
        if out.exists():
            for name in FILES:
                if (out / name).exists():  # asked for: --replace
                    (work / name).chmod(stat.S_IMODE((out / name).stat().st_mode))
                rename(work / name, out / name)
        else:
            rename(work, out)
        sync_folder(out.parent)
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror})") from error
    finally:
        with suppress(OSError):
            shutil.rmtree(work)


def _write(proposal: Proposal, folder: Path, belonging: Belonging | None) -> None:
    _write_doses(proposal, folder, belonging)
    _write_csv(folder / "objectives.csv", [asdict(one) for one in proposal.objectives])
    _write_csv(folder / "bands.csv", _band_rows(proposal))
    (folder / "proposal.json").write_text(f"{json.dumps(proposal.to_json(), indent=2)}\n")
    write_page(proposal, folder / "proposal.html")
    for path in folder.iterdir():
        path.chmod(OWNER_ONLY)


def _write_doses(proposal: Proposal, folder: Path, belonging: Belonging | None) -> None:
    """Both doses and the plan they refer to; another dose of the same patient gets other UIDs."""
    if belonging is None:
        pseudonym = proposal.entry.patient
        belonging = Belonging(patient_name=f"{pseudonym}^", patient_id=pseudonym[:64])
    seen = hashlib.sha256(np.ascontiguousarray(proposal.dose.array).data).hexdigest()
    case = Case(
        f"{proposal.query} {seen}",
        dose=proposal.dose,
        prescription_gy=proposal.prescription_gy,
        patient=proposal.entry.patient,
    )
    names = {"RD": "dose.dcm", "RP": "plan.dcm"}
    remark = f"{USE}: predicted"
    options = WriteOptions(
        dose_bits=DOSE_BITS,
        file_name=lambda kind, _: names[kind],
        belonging=belonging,
        remark=remark,
    )
    write_dicom(case, folder, options)
    half = Case(case.id, dose=proposal.half_width, patient=case.patient)
    options = WriteOptions(
        dose_bits=DOSE_BITS, file_name=lambda *_: "half_width.dcm", belonging=belonging,
        remark=f"{USE}: half width, 68 %", dose_name="half width", dose_type="ERROR",
    )  # fmt: skip
    write_dicom(half, folder, options)


def _band_rows(proposal: Proposal) -> list[dict[str, Any]]:
    return [
        {
            "structure": band.structure,
            "volume_percent": float(band.volume_percent[at]),
            "gy": float(band.gy[at]),
            **{
                f"{side}_{nominal}": float(bound[row, at])
                for row, nominal in enumerate((68, 90))
                for side, bound in (("low", band.low), ("high", band.high))
            },
        }
        for band in proposal.bands.values()
        for at in range(len(band.gy))
    ]


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows, each with what they may be used for: a table is passed on without its folder."""
    text = StringIO(newline="")
    writer = csv.DictWriter(text, [*(rows[0] if rows else ()), "use"])
    writer.writeheader()
    for row in rows:
        told = {n: f"{v:.3f}" if isinstance(v, float) else cell(v) for n, v in row.items()}
        writer.writerow({**told, "use": USE})
    path.write_text(text.getvalue(), newline="")
