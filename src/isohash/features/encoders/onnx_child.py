"""The child process that meets ONNX networks from elsewhere: checks, opens and runs one of them.

Started by `onnx_session` as a module; not for import.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from isohash.errors import InputError
from isohash.features.encoders.onnx_check import check_network
from isohash.features.encoders.onnx_session import Here
from isohash.sandbox import Answer, serve


class _Server:
    """Answers requests about the network that was opened last."""

    def __init__(self) -> None:
        self._network: Here | None = None

    def answer(self, request: dict[str, Any], blobs: list[bytearray]) -> Answer:
        try:
            return self._answer(request, blobs[0])
        except InputError as error:
            return {"error": str(error)}, []
        except MemoryError:
            return {"error": "the encoder's network needs more memory than it may use"}, []

    def _answer(self, request: dict[str, Any], blob: bytearray) -> Answer:
        if request["task"] == "open":
            network, name = bytes(blob), request["name"]
            check_network(network, name)
            self._network = Here(network, name)
            return {"shape": self._network.shape}, []
        if self._network is None:
            return {"error": "no network is open"}, []
        out = self._network.run(np.frombuffer(blob, "<f4").reshape(request["shape"]))
        return {"shape": list(out.shape)}, [np.ascontiguousarray(out, "<f4")]


if __name__ == "__main__":
    serve(_Server().answer)
