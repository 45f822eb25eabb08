"""NIfTI and Parquet are read in children: what their libraries do costs one file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isohash.errors import InputError
from isohash.sandbox import Message, Pool, TooSlow
from isohash.sources import apart
from isohash.sources.vectors import read_vectors

nibabel = pytest.importorskip("nibabel")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

READ = """
import sys
from pathlib import Path
from isohash import read_case
from isohash.sources.values import values_in
from isohash.sources.vectors import read_vectors
here = Path(sys.argv[1])
assert read_case(here / "patient").ct is not None
assert read_vectors(here / "x.parquet").array.shape == (4, 3)
assert any(text == "of Marianne" for _, _, text, _ in values_in(here))
print(sorted({name.split(".")[0] for name in sys.modules} & {"nibabel", "pyarrow", "pandas"}))
"""


def a_table(path: Path) -> None:
    columns = {f"x{i}": np.arange(4.0) for i in range(3)}
    pq.write_table(pa.table({**columns, "id": ["a", "b", "c", "d"]}), path)


def test_their_libraries_are_never_loaded_here(tmp_path: Path) -> None:
    """Not for cases, not for vectors, and not where phi-scan looks for what identifies."""
    (tmp_path / "patient").mkdir()
    image = nibabel.Nifti1Image(np.full((5, 6, 7), -3, np.int16), np.diag([1.0, 2, 3, 1]))
    image.header["descrip"] = b"of Marianne"
    nibabel.save(image, tmp_path / "patient" / "ct.nii.gz")
    a_table(tmp_path / "x.parquet")
    run = [sys.executable, "-c", READ, str(tmp_path)]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.fixture
def small_pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    pool = Pool("isohash.sources.apart_child", 2 << 30)
    monkeypatch.setattr(apart, "_pool", lambda: pool)
    yield pool
    pool.stop()


def test_a_table_that_swells_costs_itself_only(tmp_path: Path, small_pool: Pool) -> None:
    """One long text, told once in the file and meant half a million times."""
    texts = pa.DictionaryArray.from_arrays(np.zeros(500_000, np.int32), ["x" * 20_000])
    table = pa.table({"id": texts, "x": np.zeros(500_000)})
    pq.write_table(table, tmp_path / "bomb.parquet", store_schema=False)
    assert (tmp_path / "bomb.parquet").stat().st_size < 1 << 20
    with pytest.raises(InputError, match=r"bomb\.parquet: (needs more memory|crashes|damaged)"):
        read_vectors(tmp_path / "bomb.parquet")
    a_table(tmp_path / "good.parquet")
    assert read_vectors(tmp_path / "good.parquet").ids == ("a", "b", "c", "d")


class _Slow:
    """A pool whose children never answer in time."""

    calls = 0

    def call(self, header: dict[str, Any], timeout_s: float) -> Message:
        self.calls += 1
        raise TooSlow(f"takes longer than {timeout_s:g} s of processor time to read")


def test_what_took_too_long_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = _Slow()
    monkeypatch.setattr(apart, "_pool", lambda: pool)
    a_table(tmp_path / "x.parquet")
    for why in ("processor time", "as an earlier run found"):
        with pytest.raises(InputError, match=why):
            read_vectors(tmp_path / "x.parquet")
    assert pool.calls == 1
    a_table(tmp_path / "y.parquet")
    with pytest.raises(InputError, match="processor time"):
        read_vectors(tmp_path / "y.parquet")
