"""Strangers are told as strangers, and of an archive's own kind no more than one in twenty."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy.ndimage import rotate

from isohash.archive.store import CaseStore
from isohash.features.cases.profile import PARTS, SIZE, profile_of
from isohash.features.cases.slices import case_slices
from isohash.records import Case, Volume
from isohash.retrieval.building.indexing import build_archive, index_found
from isohash.retrieval.building.merging import merge
from isohash.retrieval.building.removal import remove
from isohash.retrieval.engine import Archive
from isohash.retrieval.likeness import ALARM, FILE, Usual
from isohash.sources.phantom import phantom_case
from small_cases import OPTIONS, SHAPE, as_findings, phantom, some_phantoms

N = 24


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("likeness") / "A"
    index_found(some_phantoms(4, 6), folder, OPTIONS)
    return folder


@pytest.fixture(scope="module")
def opened(path):
    with Archive.open(path) as archive:
        yield archive


def noise(case: Case, rng: np.random.Generator) -> Case:
    shape = case.ct.array.shape
    ct = Volume(rng.uniform(-1000, 1000, shape), case.ct.affine)
    return replace(case, ct=ct, dose=Volume(rng.uniform(0, 70, shape), case.dose.affine))


def water(case: Case, _) -> Case:
    ct = Volume(np.where(case.ct.array > -400, 0, -1000), case.ct.affine)
    return replace(case, ct=ct)


def low_dose(case: Case, _) -> Case:
    return replace(case, dose=Volume(case.dose.array / 5, case.dose.affine))


def short(case: Case, _) -> Case:
    def cut(volume: Volume) -> Volume:
        return Volume(np.asarray(volume.array)[:6], volume.affine)

    parts = {name: cut(volume) for name, volume in case.structures.items()}
    return replace(case, ct=cut(case.ct), dose=cut(case.dose), structures=parts)


def half(case: Case, _) -> Case:
    def cut(volume: Volume, outside: float) -> Volume:
        array = np.array(volume.array)
        array[:, :, array.shape[2] // 2 :] = outside
        return Volume(array, volume.affine)

    return replace(case, ct=cut(case.ct, -1000), dose=cut(case.dose, 0), structures={})


def tilted(degrees: float, axes: tuple[int, int]):
    """Rolled about the body's length (1, 2), leant sidewards (0, 2) or back (0, 1); in voxels."""

    def turn(volume: Volume, outside: float) -> Volume:
        array = np.asarray(volume.array, dtype=np.float32)
        return Volume(
            rotate(array, degrees, axes, reshape=False, order=1, cval=outside), volume.affine
        )

    def made(case: Case, _) -> Case:
        return replace(case, ct=turn(case.ct, -1000), dose=turn(case.dose, 0), structures={})

    return made


def turned(axes: tuple[int, int]):
    """By half a turn: on the belly (1, 2), feet first as well (0, 1)."""

    def turn(volume: Volume) -> Volume:
        return Volume(np.flip(np.asarray(volume.array), axes).copy(), volume.affine)

    return lambda case, _: replace(case, ct=turn(case.ct), dose=turn(case.dose), structures={})


def of_another_site(case: Case, _) -> Case:
    names = ("Lung_L", "Lung_R", "Heart", "Liver", "Kidney_L", "Kidney_R")
    (any_one, *_) = case.structures.values()
    return replace(case, structures=dict.fromkeys(names, any_one))


@pytest.mark.parametrize(
    ("make", "by", "part"),
    [
        (half, "ct", "symmetry"),
        (tilted(15, (1, 2)), "ct", "roll"),
        (tilted(25, (1, 2)), "dose", "roll"),
        (turned((1, 2)), "dose", "front"),
        (turned((0, 1)), "dose", "head"),
        (tilted(15, (0, 2)), "ct", "symmetry"),
        (tilted(45, (1, 2)), "joint", "symmetry"),
        (tilted(45, (0, 2)), "ct", "tilt"),
        (tilted(45, (0, 1)), "ct", "tilt"),
        (of_another_site, "ct", "structures"),
        (of_another_site, "dose", "structures"),
        (noise, "ct", "tissue"),
        (noise, "ct", "reconstruction ct"),
        (noise, "dose", "dose"),
        (noise, "joint", "dose"),
        (noise, "plan", "tissue"),
        (water, "ct", "tissue"),
        (low_dose, "dose", "dose"),
        (low_dose, "joint", "dose"),
        (short, "ct", "extent"),
        (short, "dose", "dosed extent"),
    ],
)
def test_a_stranger_is_told_as_one(opened, rng, make, by, part) -> None:
    case = replace(make(phantom(1, 9), rng), id="new", patient="new")
    session = opened.session(case)
    if by == "plan" and session.ways[0].why_not() is not None:
        pytest.skip("these phantoms are not asked by plan")
    unlike = session.ask(3, by=by).unlike
    assert unlike is not None
    assert (unlike.p, unlike.members) == (1 / (N + 1), N)
    assert [one.times for one in unlike.parts] == sorted(p.times for p in unlike.parts)[::-1]
    assert part in [one.name for one in unlike.parts if one.times > 1]


@pytest.mark.parametrize("by", ["ct", "dose", "joint"])
def test_members_that_were_left_out_are_not_told_as_strangers(opened, by) -> None:
    told = [
        opened.query(replace(phantom(f, m), id="new", patient="new"), k=1, by=by).unlike
        for f in range(4)
        for m in (6, 7, 8)
    ]
    # at most one in twenty of 12: more than 3 are found with a chance of .002
    assert sum(one is not None for one in told) <= 3


def test_p_values_of_new_members_are_uniform(rng) -> None:
    alarms = 0
    for _ in range(60):
        rows = rng.standard_t(3, (41, SIZE))
        near = {"nearest": rng.exponential(1, 41)}
        usual = Usual.measure(rows[:40], range(40), {"nearest": near["nearest"][:40]}, 40)
        for new in rng.standard_t(3, (5, SIZE)):
            found = {**usual.measured(new), "nearest": float(rng.exponential(1))}
            alarms += usual.judge(found) is not None
    # 300 trials, five of each kind alike: .05 to .02 more
    assert alarms / 300 <= ALARM + 0.03
    assert alarms > 0


def test_few_members_tell_only_what_lies_far_beyond_them(rng) -> None:
    def usual(n: int) -> Usual:
        rows = 1 + rng.random((n, SIZE))
        return Usual.measure(rows, range(n), {"nearest": 1 + rng.random(n)}, n)

    far = dict.fromkeys(("nearest", *PARTS), 99.0)
    assert usual(4).judge(far) is None
    assert usual(10).judge(far) is not None
    assert usual(10).judge({"nearest": 2.1}) is None
    assert usual(30).judge({"nearest": 2.1}) is not None
    assert usual(30).judge({}) is None
    text = usual(30).judge(far).text
    assert "unlike this archive" in text
    assert "30" in text


def test_what_is_usual_survives_its_file(opened) -> None:
    usual = opened.contents.usual
    again = Usual.from_bytes(usual.to_bytes())
    assert (again.names, again.of) == (usual.names, N)
    assert again.structures == usual.structures != ()
    np.testing.assert_array_equal(again.scores, usual.scores)
    np.testing.assert_array_equal(again.profiles, usual.profiles)
    newer = usual.to_bytes().replace(b'"version": 1', b'"version": 9')
    assert Usual.from_bytes(newer) is None


def test_it_is_told_in_table_json_and_page(path, isohash, opened, rng, tmp_path) -> None:
    from isohash.apps.page.report import render

    low = low_dose(phantom(1, 9), rng)
    session = opened.session(replace(low, id="new", patient="new"), pictures=True)
    page = render(session, session.ask(2, by="dose"))
    assert "Not like this archive" in page
    assert "highest dose" in page
    build_archive([replace(low, id="new", patient="new")], tmp_path / "B", **OPTIONS)
    with Archive.open(path) as archive:
        member = archive.query("phantom-00-00", k=1, by="ct")
    assert json.loads(json.dumps(member.to_json()))["unlike"] is None
    told = session.ask(2, by="dose").to_json()["unlike"]
    assert told["p"] == pytest.approx(1 / (N + 1))
    assert told["parts"][0]["times"] > 1
    out = isohash("query", path, "phantom-00-00", "-k", 1).out
    assert "unlike this archive" not in out


@pytest.mark.parametrize("hash_", ["adaptive", "kernel"])
def test_vectors_from_elsewhere_are_told_as_strangers(rng, tmp_path, hash_) -> None:
    mix = rng.standard_normal((6, 24))
    rows = (rng.standard_normal((1500, 6)) @ mix).astype(np.float32)
    build_archive(rows[:1400], tmp_path / "V", bits=256, hash=hash_)
    with Archive.open(tmp_path / "V") as archive:
        told = [archive.query(row, k=1).unlike for row in rows[1400:]]
        # one in twenty of 100, and three deviations
        assert sum(one is not None for one in told) <= 5 + 3 * np.sqrt(4.75)
        far = [100 * mix[0], 4 * rng.standard_normal(24) * mix.std() * 3]
        assert all(archive.query(x.astype(np.float32), k=1).unlike is not None for x in far)


def test_archives_of_earlier_versions_say_that_it_is_not_known(tmp_path, monkeypatch) -> None:
    from isohash.retrieval.building import indexing

    with monkeypatch.context() as patch:
        patch.setattr(indexing, "keep_usual", lambda store: None)
        index_found(some_phantoms(2, 4), tmp_path / "A", OPTIONS)
    with Archive.open(tmp_path / "A") as archive:
        answer = archive.query("phantom-00-00", k=1)
    assert answer.unlike is None
    assert any("not known" in one for one in answer.warnings)


def test_archives_without_errors_say_that_they_are_not_compared(tmp_path, monkeypatch, rng) -> None:
    from isohash.retrieval import entry

    with monkeypatch.context() as patch:
        patch.setattr(entry, "_errors", lambda coded: {})
        index_found(some_phantoms(2, 4), tmp_path / "A", OPTIONS)
    with Archive.open(tmp_path / "A") as archive:
        stranger = replace(noise(phantom(1, 9), rng), id="new", patient="new")
        told = archive.query(stranger, k=1, by="ct")
        assert archive.query("phantom-00-00", k=1, by="ct").warnings == ()
    (warning,) = told.warnings
    assert "how badly the encoder gives its ct back: not compared" in warning
    assert told.unlike is not None


def test_nothing_of_a_removed_case_stays_in_what_is_usual(tmp_path) -> None:
    index_found(some_phantoms(2, 4), tmp_path / "A", OPTIONS)
    with CaseStore.open(tmp_path / "A") as store:
        before = Usual.from_bytes(store.read_file(FILE))
    remove(tmp_path / "A", ["phantom-00-01"])
    with CaseStore.open(tmp_path / "A") as store:
        after = Usual.from_bytes(store.read_file(FILE))
    kept = (before.profiles[:, None] == after.profiles[None]).all(axis=2).any(axis=1)
    assert (len(before.profiles), len(after.profiles), int(kept.sum())) == (8, 7, 7)


def test_what_is_usual_is_measured_anew_by_a_merge(tmp_path) -> None:
    for name, first in (("A", 0), ("B", 4)):
        cases = {f"phantom-0-{m}": partial(phantom, 0, m) for m in range(first, first + 4)}
        index_found(as_findings(cases), tmp_path / name, {**OPTIONS, "encoder": "deep", "dim": 128})
    merge(tmp_path / "A", tmp_path / "B")
    with Archive.open(tmp_path / "A") as archive:
        usual = archive.contents.usual
        assert (len(archive), usual.of, len(usual.profiles)) == (8, 8, 8)


def test_profiles_of_other_widths_are_compared_by_what_both_have(rng) -> None:
    rows, near = 1 + rng.random((30, SIZE)), {"nearest": np.ones(30)}
    older = Usual.measure(rows[:, :15], range(30), near, 30)
    wide = Usual.measure(rows, range(30), near, 30)
    assert "tilt" in wide.names
    assert "tilt" not in older.names
    told = wide.measured(rows[3] + 0.1)
    assert older.measured(rows[3] + 0.1) == {name: told[name] for name in older.names[1:]}
    assert np.isnan(wide.measured(rows[3, :15])["tilt"])


def test_a_profile_says_what_it_says() -> None:
    case = phantom_case(0, 0, shape=SHAPE)
    found = profile_of(case_slices(case))
    assert found.shape == (SIZE,)
    assert found[PARTS["tissue"]].sum() == pytest.approx(1)
    assert np.exp(found[PARTS["dose"]])[0] == pytest.approx(case.dose.array.max(), rel=0.05)
    assert np.exp(found[PARTS["extent"]]) <= 24 * case.ct.spacing_mm[0] + 1e-3
    assert abs(np.degrees(found[PARTS["tilt"]][0])) < 5
    no_dose = profile_of(case_slices(replace(case, dose=None)))
    assert np.isnan(no_dose[PARTS["dose"]]).all()
    assert np.isfinite(no_dose[PARTS["tissue"]]).all()
    half = np.array(case.ct.array)
    middle = half.shape[2] // 2
    half[:, :, middle:] = -1000
    cut = profile_of(case_slices(replace(case, ct=Volume(half, case.ct.affine))))
    assert cut[PARTS["symmetry"]] < found[PARTS["symmetry"]] - 0.05


def test_one_odd_member_in_each_respect_hides_no_stranger(rng) -> None:
    """Four members are far out in a respect each; who is beyond all others in one is told."""
    n, parts = 200, 4
    scores, each = rng.uniform(1.0, 1.6, (n, parts)), np.arange(parts)
    scores[each, each], scores[parts + each, each] = 20.0, 1.9
    usual = Usual(tuple("abcd"), scores, np.empty((n, 0)), n)
    ordinary = dict.fromkeys("abcd", 1.5)
    assert usual.judge(ordinary) is None
    for name in "abcd":
        found = usual.judge({**ordinary, name: 3.0})
        assert found is not None
        assert found.parts[0].name == name
        assert found.p == pytest.approx((1 + parts) / (n + 1))
        assert found.parts[0].times == pytest.approx(3.0 / 1.9)
        assert found.parts[0].p == pytest.approx(2 / (n + 1))
