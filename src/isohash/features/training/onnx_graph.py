"""A list of layers and its weights written as an ONNX network.

Built node by node with onnx.helper rather than traced: the graph is small, its bytes depend on
the weights alone, and only operators that every runtime has are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import MissingExtra
from isohash.features.encoders.networks import (
    Beside,
    Conv,
    Dense,
    Enlarge,
    Flatten,
    Layer,
    Layers,
    Pooling,
    Relu,
    Residual,
    TransposedConv,
    Unflatten,
    Unit,
)

OPSET = 17
IR_VERSION = 8  # the one that belongs to opset 17: readable by onnxruntime 1.13 and later

Weights = Mapping[str, NDArray[np.float32]]


def onnx_network(
    layers: Layers,
    weights: Weights,
    prefix: str,
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    half: bool = False,
) -> bytes:
    """The network as ONNX bytes; `shapes` of input and output are without the batch axis.

    `half` stores the weights as float16, which halves the file; sums stay in float32.

    `weights` holds `{prefix}.{position}.weight` and `.bias` (within a residual layer
    `{prefix}.{position}.first.weight` and so on). Raises MissingExtra without onnx.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingExtra("train", "writing a trained encoder as ONNX") from error
    writer = _Writer(onnx, weights, half)
    writer.path(layers, "input", prefix)
    writer.nodes[-1].output[0] = "output"
    model = writer.model(prefix, *shapes)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


class _Writer:
    """Collects nodes and tensors; every method returns the name of the value it makes."""

    def __init__(self, onnx: Any, weights: Weights, half: bool) -> None:
        self.onnx = onnx
        self.weights = weights
        self.half = half
        self.nodes: list[Any] = []
        self.tensors: dict[str, NDArray[Any]] = {}

    def layer(self, layer: Layer, value: str, name: str) -> str:
        if isinstance(layer, Conv | TransposedConv | Residual):
            return self.convolution(layer, value, name)
        if isinstance(layer, Pooling | Enlarge):
            return self.resized(layer, value, name)
        match layer:
            case Dense():
                return self.node("Gemm", value, *self.parameters(name), transB=1)
            case Relu():
                return self.node("Relu", value)
            case Flatten():
                return self.node("Flatten", value)
            case Unflatten(channels=channels, side=side, dims=dims):
                shape = f"{name}.shape"
                self.tensors[shape] = np.array([-1, channels, *dims * [side]], dtype=np.int64)
                return self.node("Reshape", value, shape)
            case Unit():
                return self.node("LpNormalization", value, axis=1, p=2)
            case Beside(learned=learned, straight=straight):
                one = self.path(learned, value, f"{name}.learned")
                return self.node("Add", one, self.path(straight, value, f"{name}.straight"))

    def convolution(self, layer: Conv | TransposedConv | Residual, value: str, name: str) -> str:
        dims = layer.dims
        match layer:
            case Conv(kernel=kernel, stride=stride):
                return self.conv("Conv", value, name, kernel, stride, dims)
            case TransposedConv(kernel=kernel, stride=stride):
                return self.conv("ConvTranspose", value, name, kernel, stride, dims)
            case Residual():
                inner = self.node("Relu", value)
                inner = self.conv("Conv", inner, f"{name}.first", 3, 1, dims)
                inner = self.node("Relu", inner)
                inner = self.conv("Conv", inner, f"{name}.second", 3, 1, dims)
                return self.node("Add", value, inner)

    def resized(self, layer: Pooling | Enlarge, value: str, name: str) -> str:
        sides = [layer.stride, layer.stride]
        if isinstance(layer, Pooling):
            return self.node("AveragePool", value, kernel_shape=sides, strides=sides)
        scales = f"{name}.scales"
        self.tensors[scales] = np.array([1, 1, *sides], dtype=np.float32)
        return self.node("Resize", value, "", scales, mode="linear")

    def path(self, layers: Layers, value: str, name: str) -> str:
        for position, layer in enumerate(layers):
            value = self.layer(layer, value, f"{name}.{position}")
        return value

    def conv(self, kind: str, value: str, name: str, kernel: int, stride: int, dims: int) -> str:
        return self.node(
            kind,
            value,
            *self.parameters(name),
            kernel_shape=dims * [kernel],
            strides=dims * [stride],
            pads=2 * dims * [(kernel - stride) // 2 if stride > 1 else kernel // 2],
        )

    def parameters(self, name: str) -> list[str]:
        return [self.parameter(f"{name}.{part}") for part in ("weight", "bias")]

    def parameter(self, name: str) -> str:
        kind = np.float16 if self.half else np.float32
        self.tensors[name] = np.ascontiguousarray(self.weights[name], dtype=kind)
        if not self.half:
            return name
        return self.node("Cast", name, to=self.onnx.TensorProto.FLOAT)

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        output = f"value{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], **attributes))
        return output

    def model(self, name: str, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> Any:
        helper = self.onnx.helper
        real = self.onnx.TensorProto.FLOAT
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info("input", real, ["batch", *inputs])],
            [helper.make_tensor_value_info("output", real, ["batch", *outputs])],
            [self.onnx.numpy_helper.from_array(a, key) for key, a in self.tensors.items()],
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="isohash",
        )
