"""Whether an ONNX network from elsewhere may be opened: what it says of itself, before it runs.

Only what the check needs is read of the file, by the protobuf library. Operators that loop, branch,
call or draw are refused, as are data outside the file and tensors larger than the file. A network
can still ask for more memory or time than there is: it runs in a child with limits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

from isohash.errors import InputError

MOST_BYTES = 1 << 29
MOST_NODES = 20_000
DOMAINS = ("", "ai.onnx")
_OPERATORS = """
Abs Add And ArgMax ArgMin AveragePool BatchNormalization Cast CastLike Ceil Celu Clip Concat
Constant ConstantOfShape Conv ConvTranspose Cos CumSum DepthToSpace DequantizeLinear Div Dropout
DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather
GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual
GroupNormalization HardSigmoid HardSwish Identity InstanceNormalization LayerNormalization
LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul Max MaxPool
MeanVarianceNormalization Mean Min Mish Mod Mul Neg Not OneHot Or PRelu Pad Pow QLinearConv
QLinearMatMul QuantizeLinear RMSNormalization Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum
ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape
Resize Round ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Size Slice Softmax
Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu Tile
TopK Transpose Trilu Unsqueeze Upsample Where Xor
"""
OPERATORS = frozenset(_OPERATORS.split())

# Message -> field -> number and type ("*" for a list); what is not named here is passed over.
_FORMAT = {
    "Model": {"graph": (7, "Graph"), "opset": (8, "Opset*"), "training": (20, "Any*"),
              "functions": (25, "Any*")},
    "Opset": {"domain": (1, "string")},
    "Graph": {"node": (1, "Node*"), "initializer": (5, "Tensor*"), "sparse": (15, "Any*")},
    "Node": {"op_type": (4, "string"), "attribute": (5, "Attribute*"), "domain": (7, "string")},
    "Attribute": {"t": (5, "Tensor*"), "g": (6, "Any*"), "tensors": (10, "Tensor*"),
                  "graphs": (11, "Any*"), "sparse": (22, "Any*"), "sparse_list": (23, "Any*")},
    "Tensor": {"dims": (1, "int64*"), "segment": (3, "Any*"), "outside": (13, "Any*"),
               "location": (14, "int64")},
    "Any": {},
}  # fmt: skip


def check_network(network: bytes, name: str) -> None:
    """InputError unless the network is one that may be opened."""
    if len(network) > MOST_BYTES:
        raise InputError(f"encoder {name} is a network of {len(network)} bytes, above {MOST_BYTES}")
    from google.protobuf.message import DecodeError

    try:
        model = _model().FromString(network)
    except (DecodeError, ValueError) as error:
        raise InputError(f"encoder {name} is not a usable ONNX network: {error}") from None
    for reason in _refusals(model, len(network)):
        raise InputError(f"encoder {name} is not accepted: its network {reason}")


def _refusals(model: Any, n_bytes: int) -> Iterator[str]:
    if model.functions or model.training:
        yield "defines functions or a training"
    if others := [one.domain for one in model.opset if one.domain not in DOMAINS]:
        yield f"uses operators of {others[0]!r}, not of ONNX alone"
    if model.graph.sparse:
        yield "holds sparse tensors"
    if len(model.graph.node) > MOST_NODES:
        yield f"has {len(model.graph.node)} nodes, above {MOST_NODES}"
    yield from _of_tensors(model.graph.initializer, n_bytes)
    for node in model.graph.node:
        if node.op_type not in OPERATORS or node.domain not in DOMAINS:
            yield f"uses the operator {node.op_type[:40]!r}, which loops, calls or is not known"
        for attribute in node.attribute:
            if attribute.g or attribute.graphs:
                yield f"holds a graph within its {node.op_type}"
            if attribute.sparse or attribute.sparse_list:
                yield "holds sparse tensors"
            yield from _of_tensors([*attribute.t, *attribute.tensors], n_bytes)


def _of_tensors(tensors: Any, n_bytes: int) -> Iterator[str]:
    for tensor in tensors:
        if tensor.location or tensor.outside or tensor.segment:
            yield "keeps data outside its file"
        if any(n < 0 for n in tensor.dims) or math.prod(tensor.dims) > 2 * n_bytes:
            yield f"announces a tensor of shape {tuple(tensor.dims)[:8]}, more than its file holds"


@cache
def _model() -> Any:
    """The class that reads a model."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="onnx_check.proto", package="onnx_check")
    for message, fields in _FORMAT.items():
        described = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            plain = kind.rstrip("*")
            field = described.field.add(name=name, number=number)
            field.label = field_type.LABEL_REPEATED if kind != plain else field_type.LABEL_OPTIONAL
            if plain in _FORMAT:
                field.type, field.type_name = field_type.TYPE_MESSAGE, f".onnx_check.{plain}"
            else:
                field.type = {"int64": field_type.TYPE_INT64, "string": field_type.TYPE_STRING}[
                    plain
                ]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("onnx_check.Model"))
