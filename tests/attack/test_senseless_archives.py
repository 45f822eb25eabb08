"""Archives whose JSON or arrays mean nothing: one line, whatever is asked of them."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isohash.archive import folder
from isohash.archive.store import CaseStore
from isohash.errors import InputError
from isohash.retrieval.building.indexing import index_found
from isohash.retrieval.describe import describe
from isohash.retrieval.engine import Archive
from small_cases import OPTIONS, some_phantoms

MUTATIONS = [20, pytest.param(400, marks=pytest.mark.slow)]
WRONG: list[Any] = [None, -1, 10**30, 1.5, "", "x", [], {}, [[]], True, float("1e300"), "\x1b[31m"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("foreign") / "a"
    index_found(some_phantoms(2, 2), path, OPTIONS)
    return path


def mutated(value: Any, chance: random.Random) -> Any:
    """JSON with one value, anywhere, replaced by another or taken away."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        name = chance.choice(sorted(value))
        if chance.random() < 0.2:
            return {n: v for n, v in value.items() if n != name}
        return {**value, name: mutated(value[name], chance)}
    if isinstance(value, list) and value and chance.random() < 0.9:
        at = chance.randrange(len(value))
        return [*value[:at], mutated(value[at], chance), *value[at + 1 :]]
    return chance.choice(WRONG)


def ask_everything(archive: Path) -> None:
    """What a person would do with an archive; a page is made, too."""
    from isohash.apps.page.report import render

    describe(archive)
    with Archive.open(archive) as opened:
        name = next(iter(opened))
        for by in (None, "ct", "joint"):
            session = opened.session(name)
            answer = session.ask(k=3, by=by, where="prescription_gy > 1 or label == 'x'")
            json.dumps(answer.to_json())
        render(session, answer)


Forge = Callable[[Path, random.Random, int], None]


def forged(archive: Path, chance: random.Random, number: int) -> None:
    """A recipe, or the metadata of all cases, with a wrong value somewhere."""
    if number % 2:
        recipe = mutated(folder.read_recipe(archive), chance)
        (archive / folder.RECIPE).write_bytes(folder.encode_recipe(recipe))
        return
    with CaseStore.open(archive, writable=True) as store:
        changed = {n: mutated(store.metadata(n), chance) for n in store.ids()}
        dicts = {n: (v if isinstance(v, dict) else {}, "f") for n, v in changed.items()}
        store.rewrite(dicts)


def damaged(arrays: dict[str, np.ndarray], chance: random.Random) -> dict[str, np.ndarray]:
    """Arrays of a case of which one is of another type, shape or content, or is gone."""
    name = chance.choice(sorted(arrays))
    array = arrays[name]
    match chance.randrange(6):
        case 0:
            return {n: a for n, a in arrays.items() if n != name}
        case 1:
            changed = array[: len(array) // 2]
        case 2:
            with np.errstate(all="ignore"):  # what becomes of numbers that do not fit is no matter
                changed = array.astype(chance.choice(["f4", "i2", "u1"]))
        case 3:
            changed = array[:, None]
        case 4:
            changed = np.full_like(array, 100 if array.dtype != np.bool_ else 1)
        case _:
            changed = np.zeros((0, *array.shape[1:]), array.dtype)
    return {**arrays, name: changed}


def spoilt(archive: Path, chance: random.Random, number: int) -> None:
    """An array of one case that is not what it should be."""
    with CaseStore.open(archive, writable=True) as store:
        name = chance.choice(store.ids())
        arrays = damaged({n: np.array(a) for n, a in store.arrays(name).items()}, chance)
        store.put(name, store.metadata(name), arrays)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("n", MUTATIONS)
@pytest.mark.parametrize(("change", "seed"), [(forged, 121), (spoilt, 221)])
def test_an_archive_with_anything_wrong_answers_or_is_one_line(
    whole: Path, tmp_path: Path, figures: Callable[[str], None], change: Forge, seed: int, n: int
) -> None:
    chance, refused = random.Random(seed), 0
    for number in range(n):
        archive = tmp_path / "a"
        shutil.copytree(whole, archive)
        change(archive, chance, number)
        try:
            ask_everything(archive)
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017 - many changes are harmless
            refused += 1
        shutil.rmtree(archive)
    figures(f"forged archives: {n} tries, {refused} refused, the others answered")
    assert refused > n / 10


def test_an_engine_looks_at_its_files_before_each_answer(whole: Path, tmp_path: Path) -> None:
    """The arrays of a session stay mapped between its answers."""
    shutil.copytree(whole, tmp_path / "a")
    with Archive.open(tmp_path / "a") as archive:
        session = archive.session(next(iter(archive)))
        session.ask(k=1)
        looked = []
        archive.store.check_mapped = lambda: looked.append(1)  # type: ignore[method-assign]
        session.ask(k=2)
        assert looked == [1]
