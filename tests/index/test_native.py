"""What Python and C++ both know: numbers, limits and signatures are the same on both sides."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest

from isohash import native
from isohash.index.multi_index import LONGEST, SHORTEST

ROOT = Path(__file__).resolve().parents[2]
HEADER = (ROOT / "native" / "isohash.h").read_text()
MODULE = (ROOT / "native" / "python" / "module.cpp").read_text()
STUB = ast.parse((ROOT / "src" / "isohash" / "_native.pyi").read_text())
SCAN = ("level", "metric", "q", "scale", "threads", "symbol_bits", "row_bytes", "queries", "codes")
PROJECTIONS = ("products", "columns", "tolerances", "threads", "portable", "borderline", "offsets")


def members(name: str) -> dict[str, int]:
    """The values of a C enumeration, by their names in small letters without the prefix."""
    (body,) = re.findall(rf"enum isohash_{name} {{(.*?)}};", HEADER, flags=re.DOTALL)
    found = re.findall(r"ISOHASH_(\w+) = (\d+)", body)
    return {key.lower(): int(value) for key, value in found}


def limit(name: str) -> int:
    """The value of a C macro."""
    (text,) = re.findall(rf"#define ISOHASH_{name} (.*?)\s*(?:/\*.*)?$", HEADER, flags=re.MULTILINE)
    text = text.replace("INT64_C", "").replace("INT32_MAX", str(np.iinfo(np.int32).max))
    return int(eval(text.replace("/", "//"), {}))


def test_metrics_levels_and_statuses_have_the_same_numbers() -> None:
    assert members("metric") == {**native.METRICS, "n_metrics": len(native.METRICS)}
    assert members("level") == {**native.LEVELS, "n_levels": len(native.LEVELS)}
    status = {"absent": native.ABSENT, "ready": native.READY, "wrong": native.WRONG}
    assert members("status") == status


def test_limits_are_the_same() -> None:
    assert limit("MOST_CODES") == native.MAX_CODES
    assert limit("LARGEST_DISTANCE") == native.MAX_DISTANCE
    assert limit("MOST_THREADS") == native.MAX_THREADS
    assert limit("LARGEST_WRAPPED_Q") == native.LARGEST_WRAPPED_Q
    assert (limit("SHORTEST_TABLES"), limit("LONGEST_TABLES")) == (SHORTEST, LONGEST)


def test_the_interface_has_the_same_number() -> None:
    (number,) = re.findall(r"interface_number = (\d+);", MODULE)
    assert int(number) == native.INTERFACE


def test_the_stub_declares_the_functions_of_the_module_with_their_arguments() -> None:
    declared = {
        node.name: [argument.arg for argument in node.args.posonlyargs]
        for node in STUB.body
        if isinstance(node, ast.FunctionDef)
    }
    told = " ".join(re.findall(r'"([^"]*)"', MODULE))
    found = dict(re.findall(r"(\w+)\(([^)]*)\)", told))
    assert set(declared) == set(found) == set(re.findall(r"method<(\w+)>", MODULE))
    for name, arguments in found.items():
        words = [word.strip() for word in arguments.split(",")]
        spelled = [*SCAN, *words[1:]] if words[0] == "*scan" else words
        spelled = [*PROJECTIONS, *words[1:]] if words[0] == "*projections" else spelled
        assert len(declared[name]) == len(spelled), name


@pytest.mark.skipif(not native.available(), reason="needs the compiled kernels")
def test_more_threads_or_a_larger_alphabet_than_the_limit_are_refused() -> None:
    codes = np.zeros((3, 1), np.uint64)
    for threads in (0, native.MAX_THREADS + 1):
        scan = native.Scan("hamming", 2, 1, "scalar", threads)
        with pytest.raises(ValueError, match="out of range"):
            native.topk(scan, codes, codes, 1)
