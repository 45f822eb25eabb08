"""CSV and Parquet as vectors: the numbers that NumPy and pyarrow wrote, or one clear line."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from isohash import Archive, InputError, build_archive
from isohash.sources import extras
from isohash.sources.reading import find
from isohash.sources.vectors import read_vectors


def written(folder, text: str, name: str = "table.csv"):
    path = folder / name
    path.write_text(text)
    return path


def test_what_numpy_wrote_is_read_again(tmp_path, rng):
    rows = rng.standard_normal((30, 5)).astype(np.float32)
    for delimiter in (",", ";", "\t"):
        np.savetxt(tmp_path / "t.csv", rows, delimiter=delimiter)
        found = read_vectors(tmp_path / "t.csv")
        assert (found.array == rows).all()
        assert found.ids is None
        assert found.labels is None
    np.savetxt(tmp_path / "t.csv", rows, delimiter=",", header="a,b,c,d,e")
    assert (read_vectors(tmp_path / "t.csv").array == rows).all()


@pytest.mark.parametrize(
    ("text", "ids", "labels"),
    [
        ("id,a,b\nfirst,1,2\nsecond,3,4\n", ("first", "second"), None),
        ("a,ID,b,y\r\n1,first,2,7\r\n3,second,4,8\r\n", ("first", "second"), [7, 8]),
        ("\ufeffa;b\n1;2\n3;4\n", None, None),
        ("first,1,2\n\nsecond,3,4", ("first", "second"), None),
        ('id,a,b\n"first, too",1,2\nsecond,3,4\n', ("first, too", "second"), None),
        (",a,b\n0,1,2\n1,3,4\n", ("0", "1"), None),  # as pandas writes its index
        ("1,2\n3,4\n", None, None),
        ("label\ta\tb\n0\t1\t2\n1\t3\t4\n", None, [0, 1]),
    ],
)
def test_names_of_rows_and_labels_are_told_by_the_first_line(tmp_path, text, ids, labels):
    found = read_vectors(written(tmp_path, text))
    assert found.array.tolist() == [[1, 2], [3, 4]]
    assert found.ids == ids
    assert (None if found.labels is None else found.labels.tolist()) == labels


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1,2\n3,4\n5\n", "line 3 has 1 values, the first has 2"),
        ("id,a,b\nx,1,2\ny,3,Miller\n", "line 3, column 3 is not a number"),
        ("a,b\n1,2\n3,\n", "line 3, column 2 is empty"),
        ("a,b\n1,2\n1_0,4\n", "line 3, column 1 is not a number"),
        ("a,b\n1,2\nnan,4\n", "line 3, column 1 is not a number"),
        ("a;b\n1,5;2,5\n", "line 2, column 1 is not a number"),
        ("0,1,2,3\n1,2,3,4\n", "names of columns or a vector"),
        ("id,x\na,1\na,2\n", "ids must be unique"),
        ("x,id,ids\n1,a,b\n", "two columns are called id or ids"),
        ("id\na\n", "no column of numbers"),
        ("x,y\n1,0.5\n", "labels y must be integers"),
        ("", "empty"),
        ("a,b\n", "n, d > 0"),
        ('a,b\n"1,2\n', "not CSV"),
        ("a,b\n1e99,2\n", "row 0 is not finite"),
    ],
)
def test_what_is_wrong_is_told_by_its_line_without_its_words(tmp_path, text, told):
    with pytest.raises(InputError, match=told) as caught:
        read_vectors(written(tmp_path, text))
    assert str(tmp_path / "table.csv") in str(caught.value)
    assert "Miller" not in str(caught.value)


def test_text_that_is_no_utf8_is_refused(tmp_path):
    (tmp_path / "t.csv").write_bytes("id,x\nM\xfcller,1\n".encode("latin-1"))
    with pytest.raises(InputError, match="UTF-8"):
        read_vectors(tmp_path / "t.csv")


def test_parquet_holds_columns_of_numbers_or_one_of_lists(tmp_path, rng):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = rng.standard_normal((20, 3)).astype(np.float32)
    names = [f"row-{i}" for i in range(20)]
    plain = {"id": names, **{f"x{i}": rows[:, i] for i in range(3)}, "y": np.arange(20)}
    size = pa.list_(pa.float32(), 3)
    lists = {"ids": names, "embedding": pa.array(rows.tolist()), "label": np.arange(20)}
    fixed = {**lists, "embedding": pa.array(rows.tolist(), size)}
    for table in (plain, lists, fixed):
        pq.write_table(pa.table(table), tmp_path / "t.parquet")
        found = read_vectors(tmp_path / "t.parquet")
        assert (found.array == rows).all()
        assert found.ids == tuple(names)
        assert found.labels is not None
        assert found.labels.tolist() == list(range(20))


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"x": [1.0, None]}, "column 'x' has empty cells"),
        ({"x": [1.0, 2.0], "who": ["a", "b"]}, "column 'who' is no number; name it 'id'"),
        ({"x": [[1.0], [1.0, 2.0]]}, "lists of column 'x' have 2 lengths"),
        ({"x": [[1.0], [2.0]], "z": [1.0, 2.0]}, "keep one kind"),
        ({"id": ["a", "b"]}, "no column of numbers"),
        ({"x": [1.0, 2.0], "id": ["a", "b"], "ids": ["a", "b"]}, "two columns are ids"),
    ],
)
def test_parquet_that_is_no_table_of_vectors_is_refused(tmp_path, table, told):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table(table), tmp_path / "t.parquet")
    with pytest.raises(InputError, match=told):
        read_vectors(tmp_path / "t.parquet")


def test_damaged_parquet_is_told(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(InputError, match="damaged or not Parquet"):
        read_vectors(tmp_path / "t.parquet")


@pytest.mark.parametrize(("name", "extra"), [("t.parquet", "parquet"), ("p/ct.nii.gz", "nifti")])
def test_a_missing_part_is_asked_for_before_anything_is_read(tmp_path, monkeypatch, name, extra):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"")
    monkeypatch.setattr(extras, "find_spec", lambda module: None)
    with pytest.raises(InputError, match=rf"pip install 'isohash\[{extra}\]'"):
        find(tmp_path)


def test_a_zip_of_tables_becomes_an_archive_that_is_asked_by_a_table(tmp_path, rng):
    rows = rng.standard_normal((120, 6)).round(6)
    lines = "".join(f"v{i}," + ",".join(map(str, row)) + "\n" for i, row in enumerate(rows))
    with zipfile.ZipFile(tmp_path / "tables.zip", "w") as packed:
        packed.writestr("some/table.csv", lines)
        packed.writestr("some/notes.txt", "nothing")
    report = build_archive(tmp_path / "tables.zip", tmp_path / "archive", bits=64)
    assert report.n_cases == 120
    assert [skip.path.rpartition("/")[2] for skip in report.skipped] == ["notes.txt"]
    query = written(tmp_path, ",".join(map(str, rows[5])), "one.csv")
    with Archive.open(tmp_path / "archive") as archive:
        assert archive.query(query, k=1).ids == ["v5"]
        assert build_archive(query, tmp_path / "archive", pseudonymous_ids=False).n_cases == 121


def test_names_of_rows_become_pseudonyms_where_that_is_wanted(tmp_path, rng):
    lines = "".join(f"Miller{i},{i},{i * i % 7},1\n" for i in range(60))
    source = written(tmp_path, lines, "Miller.csv")
    build_archive(source, tmp_path / "archive", bits=64, pseudonymous_ids=True)
    with Archive.open(tmp_path / "archive") as archive:
        assert all(name.startswith("row-") for name in archive)
    kept = [file for file in (tmp_path / "archive").rglob("*") if file.is_file()]
    assert kept
    assert not any(b"Miller" in file.read_bytes() for file in kept)
