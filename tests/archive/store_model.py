"""What the tests compare a store with: a plain dict, and arrays that follow from a version."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import numpy as np

from isohash.archive.store import CaseStore

RECIPE = {"seed": 7, "name": "é", "scale": [1.25, None]}


def arrays_of(version: int) -> dict[str, np.ndarray]:
    """Arrays that only this version has; some empty, some larger than a checksum chunk."""
    rng = np.random.default_rng(version)
    n = version % 5
    arrays = {
        "codes": rng.integers(0, 256, (n, 24), dtype=np.uint8),
        "z": rng.standard_normal(n),
        "volume": rng.integers(-9, 9, (2, version % 3, 4), dtype=np.int16),
    }
    if version % 7 == 0:
        arrays["large"] = rng.integers(0, 256, (3, 150_000), dtype=np.uint8)
    return arrays


def put_version(store: CaseStore, case_id: str, version: int) -> None:
    store.put(case_id, {"version": version}, arrays_of(version), fingerprint=f"v{version}")


class Model:
    """A store as a dict: ids in order with their version, files, the seed in the recipe."""

    def __init__(self) -> None:
        self.cases: dict[str, int] = {}
        self.files: dict[str, bytes] = {}
        self.seed = RECIPE["seed"]

    def copy(self) -> Model:
        other = Model()
        other.cases, other.files, other.seed = dict(self.cases), dict(self.files), self.seed
        return other

    def apply(self, operation: list) -> None:
        """One operation as `perform` does it on a store."""
        name, *arguments = operation
        if name == "put":
            self.cases[arguments[0]] = arguments[1]
        elif name == "delete":
            del self.cases[arguments[0]]
        elif name == "file":
            self.files[arguments[0]] = b"%d" % arguments[1] * 50
        elif name == "recipe":
            self.seed = arguments[0]


def perform(store: CaseStore, operation: list) -> None:
    name, *arguments = operation
    if name == "put":
        put_version(store, *arguments)
    elif name == "delete":
        store.delete(arguments[0])
    elif name == "file":
        store.put_file(arguments[0], b"%d" % arguments[1] * 50)
    elif name == "recipe":
        store.set_recipe({**RECIPE, "seed": arguments[0]})
    elif name == "compact":
        store.compact()


def assert_equal(store: CaseStore, model: Model) -> None:
    """Everything that the store says is what the model says."""
    assert list(store.ids()) == list(model.cases)
    assert len(store) == len(model.cases)
    assert store.recipe["seed"] == model.seed
    assert {name: store.read_file(name) for name in store.file_names()} == model.files
    codes = []
    for case_id, version in model.cases.items():
        assert store.metadata(case_id) == {"version": version}
        assert store.fingerprint(case_id) == f"v{version}"
        expected, found = arrays_of(version), store.arrays(case_id)
        assert list(found) == list(expected)
        for name, array in expected.items():
            assert found[name].dtype == array.dtype
            np.testing.assert_array_equal(found[name], array)
        codes.append(expected["codes"])
    if codes:
        rows = store.gather("codes")
        np.testing.assert_array_equal(rows.array, np.concatenate(codes))
        assert rows.start.tolist() == np.cumsum([0, *map(len, codes)]).tolist()


def is_equal(store: CaseStore, model: Model) -> bool:
    try:
        assert_equal(store, model)
    except AssertionError:
        return False
    return True


class FailAt:
    """A hook for `failpoints`: makes operation number `k` fail, by an error or by kill -9.

    `forever` makes all later operations fail too.
    """

    def __init__(
        self, k: int, code: int = errno.ENOSPC, kill: bool = False, forever: bool = False
    ) -> None:
        self.left = k
        self.code = code
        self.kill = kill
        self.forever = forever
        self.hit = ""

    def __call__(self, operation: str, path: Path) -> None:
        self.left -= 1
        if self.left > -1 or (self.left < -1 and not self.forever):
            return
        self.hit = self.hit or f"{operation} {path.name}"
        if self.kill:
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(self.code, os.strerror(self.code))
