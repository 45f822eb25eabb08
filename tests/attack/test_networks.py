"""ONNX networks from others: checked before they are opened, run where nothing else can suffer."""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from isohash.errors import InputError
from isohash.features.encoders import onnx_session
from isohash.features.encoders.encoders import encoder_from_bytes
from isohash.features.encoders.onnx_check import OPERATORS, check_network
from isohash.features.encoders.onnx_encoder import OnnxEncoder, onnx_encoder
from isohash.features.encoders.onnx_session import Here, InChild, open_network
from isohash.features.encoders.shipped import shipped_encoder, shipped_names

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

SIZE = 8


def network(nodes: list, tensors: list | None = None, domains: tuple[str, ...] = ("",)) -> bytes:
    """A network from images (n, 1, 8, 8) to "y"."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, SIZE, SIZE])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [x], [y], tensors or [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(d, 17) for d in domains])
    model.ir_version = 8
    return model.SerializeToString()


def flat(*more: object) -> list:
    return [helper.make_node("Flatten", ["x"], ["y" if not more else "f"]), *more]


def number(value: object, kind: type = np.int64) -> object:
    return numpy_helper.from_array(np.array(value, kind), "k")


def bomb(n: int = 3_000_000_000) -> bytes:
    one = numpy_helper.from_array(np.array([1], np.float32))
    nodes = flat(
        helper.make_node("ConstantOfShape", ["k"], ["big"], value=one),
        helper.make_node("ReduceSum", ["big"], ["r"], keepdims=0),
        helper.make_node("Add", ["f", "r"], ["y"]),
    )
    return network(nodes, [number([n])])


def info(name: str, kind: int, shape: list | None) -> object:
    return helper.make_tensor_value_info(name, kind, shape)


def body(inputs: bool) -> object:
    c, v = info("c", TensorProto.BOOL, []), info("v", TensorProto.FLOAT, None)
    given = [info("i", TensorProto.INT64, []), c, v] if inputs else []
    nodes = [
        helper.make_node("Identity", ["c"], ["c2"]),
        helper.make_node("Identity", ["v"], ["v2"]),
    ]
    out = [info("c2", TensorProto.BOOL, []), info("v2", TensorProto.FLOAT, None)]
    return helper.make_graph(nodes, "b", given, out)


def loop() -> bytes:
    yes = numpy_helper.from_array(np.array(True), "t")
    nodes = flat(helper.make_node("Loop", ["k", "t", "f"], ["y"], body=body(True)))
    return network(nodes, [number(2**62), yes])


def branch() -> bytes:
    yes = numpy_helper.from_array(np.array(True), "t")
    nodes = flat(
        helper.make_node("If", ["t"], ["y"], then_branch=body(False), else_branch=body(False))
    )
    return network(nodes, [yes])


def outside() -> bytes:
    tensor = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[100])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "/etc/passwd"), ("length", "400")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return network(flat(helper.make_node("Add", ["f", "w"], ["y"])), [tensor])


def claim() -> bytes:
    tensor = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 40])
    tensor.raw_data = b"1234"
    return network(flat(helper.make_node("Add", ["f", "w"], ["y"])), [tensor])


def hidden() -> bytes:
    tensor = onnx.TensorProto(data_type=TensorProto.FLOAT, dims=[1 << 20, 1 << 20])
    constant = helper.make_node("Constant", [], ["w"], value=tensor)
    return network(flat(constant, helper.make_node("Add", ["f", "w"], ["y"])))


def functions() -> bytes:
    model = onnx.load_from_string(network(flat()))
    nodes, imports = [helper.make_node("Flatten", ["a"], ["b"])], [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("", "F", ["a"], ["b"], nodes, imports))
    return model.SerializeToString()


REFUSED = {
    "a loop": (loop, "Loop"),
    "a branch": (branch, "If"),
    "data outside": (outside, "outside its file"),
    "a tensor larger than the file": (claim, "more than its file holds"),
    "the same in a constant": (hidden, "more than its file holds"),
    "functions": (functions, "functions"),
    "random numbers": (
        lambda: network(flat(helper.make_node("RandomNormalLike", ["f"], ["y"]))),
        "RandomNormalLike",
    ),
    "sequences": (
        lambda: network(flat(helper.make_node("SequenceConstruct", ["f"], ["y"]))),
        "SequenceConstruct",
    ),
    "another domain": (
        lambda: network(
            flat(helper.make_node("Inverse", ["f"], ["y"], domain="com.microsoft")),
            domains=("", "com.microsoft"),
        ),
        "com.microsoft",
    ),
    "garbage": (lambda: b"\x08\x08garbage" * 100, "not a usable ONNX network"),
    "nothing": (lambda: b"", "not a usable ONNX network"),
    "many nodes": (
        lambda: network([helper.make_node("Flatten", ["x"], ["y"])] * 20_001),
        "20001 nodes",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_network_that_may_not_run_is_refused(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, why = REFUSED[what]
    with pytest.raises(InputError, match=why) as caught:
        open_network(make(), "x")
    assert "\n" not in str(caught.value)


def test_a_session_is_not_made_of_what_the_check_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    for make, why in REFUSED.values():
        if why != "not a usable ONNX network" or make() != b"":
            with pytest.raises(InputError):
                check_network(make(), "x")


def test_every_operator_on_the_list_is_one_of_onnx_and_none_holds_a_graph() -> None:
    known = {one.name: one for one in onnx.defs.get_all_schemas()}
    later = {"RMSNormalization", "Swish"}  # of newer versions
    assert OPERATORS - known.keys() <= later
    graphs = [onnx.defs.OpSchema.AttrType.GRAPH, onnx.defs.OpSchema.AttrType.GRAPHS]
    for name in OPERATORS & known.keys():
        assert not any(one.type in graphs for one in known[name].attributes.values())
        assert "sequence" not in str(known[name].outputs[0].type_str).lower()


def test_the_check_reads_the_fields_that_onnx_writes() -> None:
    """Its numbers of fields are those of the format itself."""
    from isohash.features.encoders.onnx_check import _FORMAT

    names = {"opset": "opset_import", "training": "training_info", "location": "data_location",
             "sparse": "sparse_initializer", "outside": "external_data"}  # fmt: skip
    for message, fields in _FORMAT.items():
        if message in ("Any", "Opset"):
            continue
        theirs = getattr(onnx, f"{message}Proto").DESCRIPTOR.fields_by_name
        for name, (number_, _) in fields.items():
            true = {"sparse": "sparse_tensor", "sparse_list": "sparse_tensors"} if (
                message == "Attribute"
            ) else names  # fmt: skip
            assert theirs[true.get(name, name)].number == number_


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that are reached soon."""
    monkeypatch.setattr(onnx_session, "MEMORY_BYTES", 2 << 30)
    monkeypatch.setattr(onnx_session, "RUN_SECONDS", 1.0)


def peak_of(work: Callable[[], object]) -> float:
    """How many GB this process itself grows by."""

    def now() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    before = now()
    work()
    return (now() - before) / 1e9


def test_a_network_that_swells_is_one_line_and_takes_nothing(small: None, tmp_path: Path) -> None:
    path = tmp_path / "bomb.onnx"
    path.write_bytes(bomb())

    def work() -> None:
        with pytest.raises(InputError, match="encoder bomb is not"):
            onnx_encoder(path)

    assert peak_of(work) < 0.5


def test_a_network_that_takes_for_ever_is_ended(small: None) -> None:
    """Operators that may run, on tensors that fit, for hours."""
    nodes, before = flat(helper.make_node("Expand", ["x", "k"], ["e0"])), "e0"
    for i in range(3000):
        nodes.append(helper.make_node("Erf", [before], [f"e{i + 1}"]))
        before = f"e{i + 1}"
    nodes += [helper.make_node("ReduceSum", [before], ["r"], keepdims=0)]
    nodes += [helper.make_node("Add", ["f", "r"], ["y"])]
    slow = open_network(network(nodes, [number([16, 10_000, SIZE, SIZE])]), "slow")
    begun = time.process_time()
    with pytest.raises(InputError, match="processor time"):
        slow.run(np.zeros((16, 1, SIZE, SIZE), np.float32))
    assert time.process_time() - begun < 5


def test_an_archive_s_network_runs_in_a_child_at_query_time_too() -> None:
    encoder = OnnxEncoder("theirs", SIZE * SIZE, SIZE, network(flat()))
    read = encoder_from_bytes(encoder.to_bytes())
    assert isinstance(read, OnnxEncoder)
    images = np.random.default_rng(0).random((20, SIZE, SIZE)).astype(np.float32)
    np.testing.assert_array_equal(read.encode(images), images.reshape(20, -1))
    assert isinstance(read._session, InChild)


def test_the_networks_of_the_package_run_here_and_to_the_same_bytes_in_a_child() -> None:
    listed = onnx_session._shipped()
    found = set()
    for name in shipped_names():
        encoder = shipped_encoder(name)
        assert isinstance(encoder, OnnxEncoder)
        for one in (encoder.network, encoder.decoder):
            if one is not None:
                found.add(hashlib.sha256(one).hexdigest())
                check_network(one, name)
        assert isinstance(encoder._session, Here)
        images = np.random.default_rng(1).random((16, 1, encoder.size, encoder.size))
        theirs = InChild(encoder.network, name).run(images.astype(np.float32))
        np.testing.assert_array_equal(encoder._session.run(images.astype(np.float32)), theirs)
    assert found == listed


def test_damaged_networks_are_one_line() -> None:
    chance, good = random.Random(3), bomb(10)
    for _ in range(300):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            check_network(bytes(data), "x")
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017 - many changes are harmless
