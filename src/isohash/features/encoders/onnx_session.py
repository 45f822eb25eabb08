"""ONNX networks at work: those of the package here, all others in a child process with limits.

A network of a few hundred bytes can take all memory, or never end, and it travels inside an archive
to whoever queries it. So one that did not come with this package is checked and run where that ends
the child only.
"""

from __future__ import annotations

import hashlib
import threading
import weakref
from functools import cache
from importlib import resources
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.sandbox import Child, ChildFailed

THREADS = 1  # one slice is far too small to share, and one thread keeps the bytes the same
MEMORY_BYTES = 4 << 30  # address space of a child; the shipped encoders need a tenth of it
OPEN_SECONDS = 60.0  # processor time to check and open a network
RUN_SECONDS = 60.0  # and to encode a block; an autoencoder of volumes takes a second
DIGESTS = "networks.txt"  # SHA-256 of the networks that come with the package

Float32 = NDArray[np.float32]


class Network(Protocol):
    """A network, open."""

    shape: list[Any]  # of its first input: numbers, names of free axes, None

    def run(self, values: Float32) -> Float32:
        """Its first output; InputError where it fails."""


def open_network(network: bytes, name: str) -> Network:
    """The network of the encoder `name`, ready to run; InputError if it is not usable."""
    if hashlib.sha256(network).hexdigest() in _shipped():
        return Here(network, name)
    return InChild(network, name)


class Here:
    """A network in this process."""

    def __init__(self, network: bytes, name: str) -> None:
        import onnxruntime

        self._name = name
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        options.inter_op_num_threads = THREADS
        options.log_severity_level = 4  # library code never prints
        with _refusing(name):
            providers = ["CPUExecutionProvider"]
            self._session = onnxruntime.InferenceSession(network, options, providers=providers)
            self._input = self._session.get_inputs()[0].name
            self.shape = list(self._session.get_inputs()[0].shape)

    def run(self, values: Float32) -> Float32:
        """Its first output."""
        feed = {self._input: np.ascontiguousarray(values, dtype=np.float32)}
        with _refusing(self._name):
            return np.asarray(self._session.run(None, feed)[0], dtype=np.float32)


class _refusing:
    """InputError in place of whatever a runtime raises about a network."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, InputError):
            reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
            text = f"encoder {self._name} is not a usable ONNX network: {reason}"
            raise InputError(text) from error


class InChild:
    """A network in a child of its own, which lives as long as this object."""

    def __init__(self, network: bytes, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._child = Child("isohash.features.encoders.onnx_child", MEMORY_BYTES)
        weakref.finalize(self, self._child.stop)
        answer, _ = self._call({"task": "open", "name": name}, OPEN_SECONDS, network)
        self.shape: list[Any] = answer["shape"]

    def run(self, values: Float32) -> Float32:
        """Its first output."""
        block = np.ascontiguousarray(values, dtype="<f4")
        header = {"task": "run", "shape": list(block.shape)}
        answer, (out,) = self._call(header, RUN_SECONDS, block)
        return np.frombuffer(out, "<f4").reshape(answer["shape"])

    def _call(self, header: dict[str, Any], seconds: float, blob: Any) -> Any:
        try:
            with self._lock:
                answer, blobs = self._child.call(header, seconds, [blob])
        except ChildFailed as error:
            raise InputError(
                f"encoder {self._name} is not accepted: its network {error} "
                f"({seconds:g} s and {MEMORY_BYTES >> 30} GiB are allowed); use another encoder"
            ) from error
        if "error" in answer:
            raise InputError(answer["error"])
        return answer, blobs


@cache
def _shipped() -> frozenset[str]:
    weights = resources.files("isohash.features.encoders").joinpath("weights", DIGESTS)
    return frozenset(weights.read_text().split())
