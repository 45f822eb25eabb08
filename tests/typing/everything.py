"""A user's program that names everything public: type checkers must know what it all is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import assert_type

import numpy as np
from numpy.typing import NDArray

import isohash
from isohash import (
    Answer,
    Archive,
    Case,
    Codes,
    Hits,
    Image,
    InputError,
    Match,
    Session,
    Vectors,
    Volume,
)

X: NDArray[np.float32] = np.zeros((100, 8), np.float32)
labels: NDArray[np.int64] = np.zeros(100, np.int64)


def retrieval(path: Path) -> float:
    report = isohash.build_archive(X, path, bits=64)
    assert_type(report.n_cases, int)
    archive = Archive.open(path)
    assert_type(archive, Archive)
    answer = archive.query("a case", 5, by="joint", alpha=0.5)
    assert_type(answer, Answer)
    assert_type(answer.matches, tuple[Match, ...])
    session = archive.session("a case")
    assert_type(session, Session)
    assert_type(session.ask(k=3), Answer)
    assert_type(session.ask(isohash.Request(k=3, by="ct")), Answer)
    proposal = archive.propose("a case", prescription_gy=60.0)
    assert_type(proposal, isohash.Proposal)
    assert_type(proposal.half_width, Volume)
    assert_type(len(archive), int)
    ids: list[str] = list(archive)
    return answer.matches[0].distance if "a case" in archive and ids else 0.0


def cases(path: Path) -> list[Path]:
    assert_type(isohash.read_cases(path), Iterator[Case])
    case = isohash.read_case(path)
    assert_type(case, Case)
    assert_type(case.dose, Volume | None)
    assert_type(case.prescription_gy, float | None)
    for mask in case.structures.values():
        if case.dose is not None:
            assert_type(isohash.dvh(case.dose, mask).mean_gy, float)
            assert_type(isohash.structure_dose(isohash.dvh(case.dose, mask)).d2_gy, float)
            assert_type(isohash.conformity_index(case.dose, mask, 60.0), float)
            assert_type(isohash.gradient_index(case.dose, mask, 60.0), float)
            assert_type(isohash.conformity_of(case.dose, mask, 60.0), isohash.Conformity)
            criteria = isohash.GammaCriteria(percent=2.0)
            assert_type(isohash.gamma_index(case.dose, case.dose, criteria), isohash.Gamma)
            assert_type(
                isohash.compare_doses(case.dose, case.dose, {"a": mask}), isohash.DoseComparison
            )
            isohash.eqd2(case.dose.array, 30, 10.0)
    return isohash.write_dicom(case, path)


def hashing() -> Codes:
    hasher = isohash.KernelHasher(n_bits=64).fit(X)
    assert_type(hasher, isohash.KernelHasher)
    codes = hasher.transform(X)
    assert_type(codes, Codes)
    isohash.LeeHasher(n_symbols=16, q=5).fit(X).transform(X).save("codes.npz")
    isohash.make_hasher(64).fit(X).transform(X)
    assert_type(isohash.load_hash("hash.safetensors").dim, int)
    plan = isohash.bits_planner(error=0.1, at_distance=0.5)
    assert_type(plan.n_symbols, int)
    return codes


def index(codes: Codes) -> NDArray[np.int64]:
    hits = isohash.FlatIndex.of(codes).search(codes, 3)
    assert_type(hits, Hits)
    assert_type(hits.distances, NDArray[np.int32])
    isohash.MultiIndex(codes).search(codes, 3)
    isohash.PrefixIndex.of(codes).search(codes, 3)
    two = isohash.TwoStageIndex(isohash.KernelHasher(64).fit(X).hash_, X).search(X, 3)
    return two.ids


def kernels() -> float:
    kernel = isohash.RadialKernel([1.0, 2.0])
    assert_type(kernel(X, X), NDArray[np.float64])
    learner = isohash.KernelLearner("isometry").fit(X)
    assert_type(learner.kernel, isohash.RadialKernel)
    isohash.RandomFeatureSVM(kernel).fit(X, labels).predict(X)
    isohash.SelectedFeatureSVM(n_features=10).fit(X, labels)
    return float(kernel.of_distance(1.0))


def scores() -> float:
    found: NDArray[np.int64] = np.zeros((2, 3), np.int64)
    curve = isohash.precision_recall(np.zeros((2, 9)), np.zeros((2, 9), bool))
    assert_type(curve.precision, NDArray[np.float64])
    return float(isohash.dice(found, found)) + float(isohash.jaccard(found, found))


def rest(path: Path) -> str:
    try:
        encoder = isohash.load_encoder(path)
    except InputError as error:
        return str(error)
    assert_type(encoder.encode(np.zeros((1, 8, 8))), NDArray[np.float32])
    vectors = Vectors(X, tuple("abc"), labels)
    _image: Image = Image("tile", np.zeros((8, 8, 3), np.uint8), label="benign")
    assert_type(vectors.ids, tuple[str, ...] | None)
    pairs = isohash.solve_mean_field(
        [1.0, 4.0], [1.0, -1.0], initial=[1.0] * 200, times=[0.0], bounds=(0.1, 2.0)
    )
    assert_type(pairs.density, NDArray[np.float64])
    calibration = isohash.Calibration.of(isohash.KernelHasher(64).fit(X).hash_)
    assert_type(calibration.estimate(3).low, NDArray[np.float64])
    return f"{isohash.__version__} {vectors} {encoder.digest}"
