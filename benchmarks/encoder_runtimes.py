"""Does the core need onnxruntime? The shipped networks run by it, and by NumPy's products alone.

    python benchmarks/encoder_runtimes.py --out docs/numbers

Both encode the same slices in one thread, in turn, several times, in new processes: processor time
for a slice, of the first slice of a process (loading what runs it among it), and the largest
difference between what they give. NumPy unfolds each convolution into one matrix product, the
fastest that can be done without code of our own. Writes encoder_runtimes.csv and .json, which
`make readme` quotes in docs/encoders.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from isohash.evaluation.kit.results import write_results
from isohash.features.encoders.shipped import shipped_encoder

Float32 = NDArray[np.float32]
SEED, SLICES, RUNS, BLOCK = 20260101, 512, 7, 32
RUNTIMES = ("onnxruntime", "numpy")
NETWORKS = ("ct-deep", "dose-deep")
ASK = """
import json, sys
sys.path.insert(0, sys.argv[3])
import encoder_runtimes
print(json.dumps(encoder_runtimes.measured(sys.argv[1], sys.argv[2])))
"""


class Unfolded:
    """A network of convolutions, rectifiers, sums and products, run by NumPy."""

    def __init__(self, network: bytes) -> None:
        import onnx

        self._graph = onnx.load_model_from_string(network).graph
        weights = self._graph.initializer
        self._weights = {w.name: onnx.numpy_helper.to_array(w) for w in weights}

    def run(self, values: Float32) -> Float32:
        """Its output; KeyError for an operator that the shipped networks do not have."""
        known: dict[str, Any] = {"input": values, **self._weights}
        for node in self._graph.node:
            given = [known[name] for name in node.input]
            settings = {a.name: list(a.ints) or a.i for a in node.attribute}
            known[node.output[0]] = OPERATORS[node.op_type](settings, *given)
        return np.asarray(known["output"])


def convolved(settings: dict[str, Any], values: Float32, weight: Float32, bias: Float32) -> Float32:
    """A convolution as one matrix product of all its windows."""
    out, inner, high, wide = weight.shape
    edge, step = settings["pads"][0], settings["strides"][0]
    padded = np.pad(values, ((0, 0), (0, 0), (edge, edge), (edge, edge)))
    windows = sliding_window_view(padded, (high, wide), (2, 3))[:, :, ::step, ::step]
    n, _, rows, columns = windows.shape[:4]
    unfolded = windows.transpose(1, 4, 5, 0, 2, 3).reshape(inner * high * wide, -1)
    found = weight.reshape(out, -1) @ unfolded + bias[:, None]
    return np.ascontiguousarray(found.reshape(out, n, rows, columns).swapaxes(0, 1))


def pooled(settings: dict[str, Any], values: Float32) -> Float32:
    """Means of squares that do not overlap."""
    high, wide = settings["kernel_shape"]
    n, inner, rows, columns = values.shape
    squares = values.reshape(n, inner, rows // high, high, columns // wide, wide)
    return np.asarray(squares.mean(axis=(3, 5), dtype=np.float32))


OPERATORS: dict[str, Any] = {
    "Cast": lambda settings, one: one.astype(np.float32),
    "Conv": convolved,
    "Relu": lambda settings, one: np.maximum(one, 0),
    "Add": lambda settings, one, other: one + other,
    "Flatten": lambda settings, one: one.reshape(len(one), -1),
    "Gemm": lambda settings, one, weight, bias: one @ weight.T + bias,
    "AveragePool": pooled,
}


def slices() -> Float32:
    """Images of squares, random ones."""
    noise = np.random.default_rng(SEED).random((SLICES, 1, 16, 16), dtype=np.float32)
    return np.kron(noise, np.ones((1, 1, 8, 8), np.float32))


def runner(runtime: str, network: bytes) -> Any:
    """What runs that network."""
    if runtime == "numpy":
        return Unfolded(network)
    from isohash.features.encoders.onnx_session import Here

    return Here(network, "shipped")


def measured(runtime: str, name: str) -> dict[str, float]:
    """Processor seconds in this process: until the first slice is encoded, and for each."""
    network, values = shipped_encoder(name).network, slices()
    if runtime == "numpy":
        import onnx  # noqa: F401  reading the graph is no part of what is compared
    started = process_time()
    run = runner(runtime, network)
    run.run(values[:1])
    first = process_time()
    for begin in range(0, SLICES, BLOCK):
        run.run(values[begin : begin + BLOCK])
    return {"first_s": first - started, "slice_ms": 1000 * (process_time() - first) / SLICES}


def main() -> None:
    """Measure in turn, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/numbers"))
    given = parser.parse_args()
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    here = str(Path(__file__).resolve().parent)
    spent: dict[tuple[str, str], list[dict[str, float]]] = {}
    for _ in range(RUNS):
        for name in NETWORKS:
            for runtime in RUNTIMES:
                command = [sys.executable, "-c", ASK, runtime, name, here]
                told = subprocess.run(
                    command, env=os.environ | threads, capture_output=True, text=True, check=True
                )
                spent.setdefault((name, runtime), []).append(json.loads(told.stdout))
    rows = []
    for (name, runtime), runs in spent.items():
        middle = {k: round(median(r[k] for r in runs), 4) for k in runs[0]}
        rows.append({"network": name, "by": runtime, **middle, "off": off(name, runtime)})
        print(rows[-1], flush=True)
    settings = {"seed": SEED, "slices": SLICES, "block": BLOCK, "runs": RUNS}
    write_results(given.out, "encoder_runtimes", rows, settings)


def off(name: str, runtime: str) -> float:
    """The largest difference from onnxruntime, as a share of the largest value."""
    network, values = shipped_encoder(name).network, slices()[:BLOCK]
    exact, found = (runner(one, network).run(values) for one in (RUNTIMES[0], runtime))
    return float(f"{np.abs(exact - found).max() / np.abs(exact).max():.1e}")


if __name__ == "__main__":
    main()
