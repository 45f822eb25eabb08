"""isohash: find the past cases most like a new one by kernel hashing, exactly and in milliseconds.

Public names are loaded on first use, so that `import isohash` stays light: no torch, no
scikit-learn, no matplotlib until something needs them. docs/python.md lists them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names for type checkers, which see no __getattr__
    from isohash.dosimetry.comparison import DoseComparison as DoseComparison
    from isohash.dosimetry.comparison import compare_doses as compare_doses
    from isohash.dosimetry.dvh import dvh as dvh
    from isohash.dosimetry.gamma import Gamma as Gamma
    from isohash.dosimetry.gamma import GammaCriteria as GammaCriteria
    from isohash.dosimetry.gamma import gamma_index as gamma_index
    from isohash.dosimetry.metrics import Conformity as Conformity
    from isohash.dosimetry.metrics import conformity_index as conformity_index
    from isohash.dosimetry.metrics import conformity_of as conformity_of
    from isohash.dosimetry.metrics import eqd2 as eqd2
    from isohash.dosimetry.metrics import gradient_index as gradient_index
    from isohash.dosimetry.metrics import structure_dose as structure_dose
    from isohash.errors import InputError as InputError
    from isohash.evaluation.kit.metrics import dice as dice
    from isohash.evaluation.kit.metrics import jaccard as jaccard
    from isohash.evaluation.kit.metrics import precision_recall as precision_recall
    from isohash.features.encoders.encoders import load_encoder as load_encoder
    from isohash.hashing.adaptive_hasher import make_hasher as make_hasher
    from isohash.hashing.calibration import Calibration as Calibration
    from isohash.hashing.drawn import load_hash as load_hash
    from isohash.hashing.kernel_hasher import KernelHasher as KernelHasher
    from isohash.hashing.lee_hasher import LeeHasher as LeeHasher
    from isohash.hashing.resolution import bits_planner as bits_planner
    from isohash.index.flat import FlatIndex as FlatIndex
    from isohash.index.multi_index import MultiIndex as MultiIndex
    from isohash.index.prefix import PrefixIndex as PrefixIndex
    from isohash.index.two_stage import TwoStageIndex as TwoStageIndex
    from isohash.kernels.learning.learner import KernelLearner as KernelLearner
    from isohash.kernels.learning.mean_field import solve_mean_field as solve_mean_field
    from isohash.kernels.machines.selection import SelectedFeatureSVM as SelectedFeatureSVM
    from isohash.kernels.machines.svm import RandomFeatureSVM as RandomFeatureSVM
    from isohash.kernels.radial import RadialKernel as RadialKernel
    from isohash.records import Case as Case
    from isohash.records import Codes as Codes
    from isohash.records import Hits as Hits
    from isohash.records import Image as Image
    from isohash.records import Vectors as Vectors
    from isohash.records import Volume as Volume
    from isohash.retrieval.answer import Answer as Answer
    from isohash.retrieval.answer import Match as Match
    from isohash.retrieval.building.indexing import build_archive as build_archive
    from isohash.retrieval.engine import Archive as Archive
    from isohash.retrieval.engine import Session as Session
    from isohash.retrieval.planning.proposal import Proposal as Proposal
    from isohash.retrieval.request import Request as Request
    from isohash.sources.dicom.writer import write_dicom as write_dicom
    from isohash.sources.reading import read_case as read_case
    from isohash.sources.reading import read_cases as read_cases

    __version__: str

_HOMES = {
    "Answer": "isohash.retrieval.answer",
    "Archive": "isohash.retrieval.engine",
    "Calibration": "isohash.hashing.calibration",
    "Case": "isohash.records",
    "Codes": "isohash.records",
    "Conformity": "isohash.dosimetry.metrics",
    "DoseComparison": "isohash.dosimetry.comparison",
    "FlatIndex": "isohash.index.flat",
    "Gamma": "isohash.dosimetry.gamma",
    "GammaCriteria": "isohash.dosimetry.gamma",
    "Hits": "isohash.records",
    "Image": "isohash.records",
    "InputError": "isohash.errors",
    "KernelHasher": "isohash.hashing.kernel_hasher",
    "KernelLearner": "isohash.kernels.learning.learner",
    "LeeHasher": "isohash.hashing.lee_hasher",
    "Match": "isohash.retrieval.answer",
    "MultiIndex": "isohash.index.multi_index",
    "PrefixIndex": "isohash.index.prefix",
    "Proposal": "isohash.retrieval.planning.proposal",
    "RadialKernel": "isohash.kernels.radial",
    "RandomFeatureSVM": "isohash.kernels.machines.svm",
    "Request": "isohash.retrieval.request",
    "SelectedFeatureSVM": "isohash.kernels.machines.selection",
    "Session": "isohash.retrieval.engine",
    "TwoStageIndex": "isohash.index.two_stage",
    "Vectors": "isohash.records",
    "Volume": "isohash.records",
    "bits_planner": "isohash.hashing.resolution",
    "build_archive": "isohash.retrieval.building.indexing",
    "compare_doses": "isohash.dosimetry.comparison",
    "conformity_index": "isohash.dosimetry.metrics",
    "conformity_of": "isohash.dosimetry.metrics",
    "dice": "isohash.evaluation.kit.metrics",
    "dvh": "isohash.dosimetry.dvh",
    "eqd2": "isohash.dosimetry.metrics",
    "gamma_index": "isohash.dosimetry.gamma",
    "gradient_index": "isohash.dosimetry.metrics",
    "jaccard": "isohash.evaluation.kit.metrics",
    "load_encoder": "isohash.features.encoders.encoders",
    "load_hash": "isohash.hashing.drawn",
    "make_hasher": "isohash.hashing.adaptive_hasher",
    "precision_recall": "isohash.evaluation.kit.metrics",
    "read_case": "isohash.sources.reading",
    "read_cases": "isohash.sources.reading",
    "solve_mean_field": "isohash.kernels.learning.mean_field",
    "structure_dose": "isohash.dosimetry.metrics",
    "write_dicom": "isohash.sources.dicom.writer",
}

__all__ = sorted([*_HOMES, "__version__"])

if not TYPE_CHECKING:  # so that a checker finds a misspelt name

    def __getattr__(name: str) -> Any:
        """Load a public name from its home module on first use."""
        if name == "__version__":
            return _version()
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module 'isohash' has no attribute {name!r}")
        value = getattr(importlib.import_module(home), name)
        globals()[name] = value
        return value


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("isohash")
    except PackageNotFoundError:
        return "0+unknown"  # a source tree that was never installed


def __dir__() -> list[str]:
    return __all__
