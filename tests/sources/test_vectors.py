"""Vectors from .npy and .npz: what is stored comes back, everything else is refused."""

import numpy as np
import pytest

from isohash.errors import InputError
from isohash.sources.vectors import read_vectors


def test_an_npy_file_gives_rows_without_names(tmp_path, rng):
    table = rng.standard_normal((4, 3))
    np.save(tmp_path / "table.npy", table)
    vectors = read_vectors(tmp_path / "table.npy")
    np.testing.assert_array_equal(vectors.array, table.astype(np.float32))
    assert vectors.array.dtype == np.float32
    assert vectors.ids is None
    assert vectors.labels is None


def test_a_flat_array_is_one_vector(tmp_path):
    np.save(tmp_path / "one.npy", np.arange(3.0))
    np.testing.assert_array_equal(read_vectors(tmp_path / "one.npy").array, [[0, 1, 2]])


def test_an_npz_file_keeps_labels_and_ids(tmp_path, rng):
    table = rng.standard_normal((3, 2)).astype(np.float32)
    np.savez(
        tmp_path / "t.npz",
        X=table,
        other=table,
        y=np.array([2, 0, 1]),
        ids=np.array(["a", "b", "c"]),
    )
    vectors = read_vectors(tmp_path / "t.npz")
    np.testing.assert_array_equal(vectors.array, table)
    assert vectors.ids == ("a", "b", "c")
    np.testing.assert_array_equal(vectors.labels, [2, 0, 1])


def test_the_only_table_of_an_npz_needs_no_name(tmp_path):
    np.savez(tmp_path / "t.npz", whatever=np.eye(3), note=np.arange(4))
    assert read_vectors(tmp_path / "t.npz").array.shape == (3, 3)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.eye(2), "b": np.eye(2)}, "name the vectors 'X'"),
        ({"a": np.arange(3)}, "name the vectors 'X'"),
        ({"X": np.array([[1.0, np.inf]])}, "row 0 is not finite"),
        ({"X": np.array([[0.0, 1.0], [1e300, 0.0]])}, "row 1 is not finite"),
        ({"X": np.zeros((0, 3))}, "n, d > 0"),
        ({"X": np.eye(2) * 1j}, "real numbers"),
        ({"X": np.eye(2), "y": np.array([0.5, 1.0])}, "2 integers"),
        ({"X": np.eye(2), "y": np.array([1])}, "2 integers"),
        ({"X": np.eye(2), "ids": np.array(["a", "a"])}, "unique"),
        ({"X": np.eye(2), "ids": np.array(["a", ""])}, "1 to 256 bytes"),
        ({"X": np.eye(2), "ids": np.array(["a", "b" * 257])}, "1 to 256 bytes"),
        ({"X": np.eye(2), "ids": np.array(["a", "\ud800"])}, "UTF-8"),
        ({"X": np.eye(2), "ids": np.array([b"a", b"\xff"])}, "UTF-8"),
        ({f"a{i:04}" * 20: np.eye(2) for i in range(300)}, "and 288 more"),
    ],
)
def test_what_cannot_be_searched_is_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "t.npz", **arrays)
    with pytest.raises(InputError, match=message) as told:
        read_vectors(tmp_path / "t.npz")
    assert len(str(told.value)) < 900


def test_an_array_that_declares_too_much_is_refused_before_it_is_allocated(tmp_path):
    np.save(tmp_path / "t.npy", np.zeros((2, 2)))
    data = (tmp_path / "t.npy").read_bytes()
    bomb = data.replace(b"(2, 2)", b"(99999999, 99999)")
    bomb = bomb[:118].rstrip() + b" " * (127 - len(bomb[:118].rstrip())) + b"\n"
    (tmp_path / "t.npy").write_bytes(bomb)
    with pytest.raises(InputError, match="above the size limit"):
        read_vectors(tmp_path / "t.npy")


def test_a_truncated_npy_is_refused(tmp_path):
    np.save(tmp_path / "t.npy", np.eye(20))
    (tmp_path / "t.npy").write_bytes((tmp_path / "t.npy").read_bytes()[:500])
    with pytest.raises(InputError, match="truncated"):
        read_vectors(tmp_path / "t.npy")


@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 4, 5, 3)])
def test_a_stack_of_images_is_told_what_to_do(tmp_path, shape) -> None:
    np.save(tmp_path / "stack.npy", np.ones(shape))
    np.savez(tmp_path / "stack.npz", x_train=np.ones(shape), names=np.arange(3))
    for name, array in (("stack.npy", "X"), ("stack.npz", "x_train")):
        with pytest.raises(InputError, match=rf"{array}\.reshape\(len\({array}\), -1\)"):
            read_vectors(tmp_path / name)
