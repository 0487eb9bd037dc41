"""Import from ONNX: the Graph computes what ONNX's reference evaluator computes; damaged files are refused."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from tacit.errors import InvalidFile, InvalidInput, Refused
from tacit.front.clear import run_clear
from tacit.front.load import load_model
from tacit.front.onnx import from_onnx
from tacit.ir import Graph

IMAGE: list[Any] = ["batch", 3, 8, 8]


def numbers(*shape: int, positive: bool = False) -> np.ndarray:
    values = np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)
    return np.abs(values) + 0.5 if positive else values


def model(
    nodes: list[onnx.NodeProto],
    weights: dict[str, Any] | None = None,
    opset: int = 17,
    inputs: Any = None,
    outputs: Any = "y",
) -> onnx.ModelProto:
    """A model from `inputs` (x of IMAGE's shape unless given) to the values named in `outputs`."""
    stored = [numpy_helper.from_array(np.asarray(array), name) for name, array in (weights or {}).items()]
    declared = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (inputs or {"x": IMAGE}).items()]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs.split()]
    graph = helper.make_graph(nodes, "g", declared, ends, stored)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return onnx.shape_inference.infer_shapes(proto)  # the outputs' shapes, as every exporter writes them


def node(op: str, inputs: str, output: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(","), output.split(","), **attributes)


def constant(name: str, value: Any) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(value)))


def checked(proto: onnx.ModelProto, batch: int = 2) -> Graph:
    graph = from_onnx(proto, batch=batch)
    inputs = {n.id: numbers(*n.shape) for n in graph.inputs}
    expected = ReferenceEvaluator(proto).run(None, inputs)
    for value, output in zip(run_clear(graph, *inputs.values()), expected, strict=True):
        assert value.shape == output.shape
        np.testing.assert_allclose(value, output, rtol=1e-4, atol=1e-4)
    return graph


def counts(graph: Graph) -> dict[str, int]:
    return dict(Counter(n.op for n in graph.nodes if n.op != "input"))


W, B, M = numbers(4, 3, 3, 3), numbers(4), numbers(8, 5)
NORM = {"g": numbers(4), "b": numbers(4), "m": numbers(4), "v": numbers(4, positive=True)}
ROW = {"x": ["batch", 8]}
CASES: list[tuple[str, Any, dict[str, int]]] = [
    ("conv", lambda: model([node("Conv", "x,w,b", pads=[1, 1, 1, 1], strides=[2, 1])], {"w": W, "b": B}), {"conv": 1}),
    ("uneven pads", lambda: model([node("Conv", "x,w", pads=[0, 1, 2, 1])], {"w": W}), {"pad": 1, "conv": 1}),
    (
        "same upper",
        lambda: model([node("Conv", "x,w", auto_pad="SAME_UPPER")], {"w": W[..., :2]}),
        {"pad": 1, "conv": 1},
    ),
    ("groups", lambda: model([node("Conv", "x,w", group=3)], {"w": numbers(6, 1, 3, 3)}), {"conv": 1}),
    (
        "conv1d",
        lambda: model([node("Conv", "x,w")], {"w": W[:, :, 0]}, inputs={"x": [2, 3, 9]}),
        {"conv": 1, "reshape": 2},
    ),
    (
        "conv, norm",
        lambda: model([node("Conv", "x,w", "c"), node("BatchNormalization", "c,g,b,m,v")], {"w": W} | NORM),
        {"conv": 1},
    ),
    ("gemm", lambda: model([node("Gemm", "x,w,b", transB=1)], {"w": M.T, "b": numbers(5)}, inputs=ROW), {"linear": 1}),
    (
        "gemm factors",
        lambda: model([node("Gemm", "x,w,b", alpha=0.5, beta=2.0)], {"w": M, "b": numbers(1, 5)}, inputs=ROW),
        {"linear": 1},
    ),
    (
        "matmul add",
        lambda: model([node("MatMul", "x,w", "h"), node("Add", "b,h")], {"w": M, "b": M[0]}, inputs=ROW),
        {"linear": 1},
    ),
    ("average pool", lambda: model([node("AveragePool", "x", kernel_shape=[2, 2], strides=[2, 2])]), {"sumpool": 1}),
    (
        "average pool padded",
        lambda: model([node("AveragePool", "x", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)]),
        {"sumpool": 1},
    ),
    (
        "global pool",
        lambda: model([node("GlobalAveragePool", "x", "p"), node("Flatten", "p")]),
        {"mean": 1, "reshape": 1},
    ),
    ("mean 13", lambda: model([node("ReduceMean", "x", axes=[2, -1], keepdims=0)], opset=13), {"mean": 1}),
    ("mean 18", lambda: model([node("ReduceMean", "x,a")], {"a": np.array([1])}, 18), {"mean": 1}),
    ("sum", lambda: model([node("ReduceSum", "x,a")], {"a": np.array([2, 3])}), {"mean": 1, "scale": 1}),
    (
        "reshapes",
        lambda: model(
            [
                node("Reshape", "x,s", "r"),
                node("Unsqueeze", "r,a", "u"),
                node("Squeeze", "u,a", "q"),
                node("Flatten", "q", axis=2),
            ],
            {"s": np.array([0, -1, 8]), "a": np.array([1])},
        ),
        {"reshape": 4},
    ),
    (
        "computed shape",
        lambda: model(
            [
                node("Shape", "x", "s"),
                constant("i", np.array([0])),
                constant("t", np.array([-1])),
                node("Gather", "s,i", "n"),
                helper.make_node("Concat", ["n", "t"], ["z"], axis=0),
                node("Reshape", "x,z"),
            ]
        ),
        {"reshape": 1},
    ),
    ("transpose", lambda: model([node("Transpose", "x", perm=[0, 2, 3, 1])]), {"permute": 1}),
    ("concat", lambda: model([node("Neg", "x", "n"), node("Concat", "x,n", axis=-3)]), {"scale": 1, "concat": 1}),
    ("pad", lambda: model([node("Pad", "x,p")], {"p": np.array([0, 0, 1, 0, 0, 0, 0, 2])}), {"pad": 1}),
    (
        "pad 18",
        lambda: model([node("Pad", "x,p,z,a")], {"p": np.array([1, 2]), "z": np.float32(0), "a": np.array([-1])}, 18),
        {"pad": 1},
    ),
    (
        "vanishing",
        lambda: model(
            [node("Identity", "x", "i"), node("Dropout", "i", "d"), node("Cast", "d", "c", to=1), node("Neg", "c")]
        ),
        {"scale": 1},
    ),
    (
        "polynomial",
        lambda: model(
            [
                constant("h", np.float32(0.5)),
                constant("q", np.float32([0.1])),
                node("Mul", "x,x", "s"),
                node("Mul", "s,h", "t"),
                node("Div", "x,q", "u"),
                node("Sub", "t,u", "v"),
                constant("e", np.float32(3)),
                node("Pow", "x,e", "w"),
                node("Add", "v,w", "z"),
                node("Add", "z,h"),
            ]
        ),
        {"poly": 1},
    ),
    (
        "channel scale",
        lambda: model([node("Mul", "x,g", "h"), node("Sub", "h,g")], {"g": numbers(3, 1, 1)}),
        {"affine": 1},
    ),
    ("scalar weight", lambda: model([node("Mul", "x,g")], {"g": np.float32(0.5)}), {"affine": 1}),
    (
        "folded constants",
        lambda: model([node("Mul", "g,g", "h"), node("MatMul", "x,h")], {"g": numbers(8, 8)}, inputs=ROW),
        {"linear": 1},
    ),
    (
        "two inputs",
        lambda: model([node("Sub", "x,z", "d"), node("Add", "d,x")], inputs={"x": ["n", 4], "z": ["n", 4]}),
        {"sub": 1, "add": 1},
    ),
    (
        "two outputs",
        lambda: model([node("Neg", "x", "y"), node("Flatten", "y", "z")], outputs="y z"),
        {"scale": 1, "reshape": 1},
    ),
]


@pytest.mark.parametrize(("build", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_nodes(build: Any, expected: dict[str, int]) -> None:
    assert counts(checked(build())) == expected


def test_coefficients_are_the_decimals_as_written() -> None:
    graph = checked({name: build for name, build, _ in CASES}["polynomial"]())
    assert graph.nodes[-1].attrs == {"coeffs": ["1/2", "-10", "1/2", "1"]}


def test_the_batch_is_chosen() -> None:
    graph = from_onnx(model([node("Neg", "x")]), batch=5)
    assert graph.inputs[0].shape == (5, 3, 8, 8)
    assert from_onnx(model([node("Neg", "x")], inputs={"x": [7, 2]}), batch=5).inputs[0].shape == (7, 2)
    with pytest.raises(InvalidInput, match="batch"):
        from_onnx(model([node("Neg", "x")]), batch=0)
    with pytest.raises(InvalidInput, match="open shape"):
        from_onnx(model([node("Neg", "x")], inputs={"x": ["n", "m"]}))


def test_local_functions_are_inlined() -> None:
    inner = helper.make_function("own", "Negate", ["a"], ["b"], [node("Neg", "a", "b")], [helper.make_opsetid("", 17)])
    proto = model([node("Neg", "x")])
    proto.graph.node[0].CopyFrom(helper.make_node("Negate", ["x"], ["y"], domain="own"))
    proto.functions.append(inner)
    proto.opset_import.append(helper.make_opsetid("own", 1))
    assert counts(checked(proto)) == {"scale": 1}


def test_all_problems_at_once() -> None:
    chain = ["Acos", "Sin", "Cos", "Tan", "Atan", "Sign", "Shrink", "ThresholdedRelu", "Floor", "LpNormalization"]
    nodes = [node(op, f"v{i}", f"v{i + 1}") for i, op in enumerate(chain)]
    nodes += [node("Hardmax", "v10", "h"), node("Round", "h", "a"), node("Cast", "a", "y", to=1)]
    nodes += [node("Equal", "v3,v4", "e"), node("Where", "e,v3,v4", "m")]
    with pytest.raises(Refused) as caught:
        from_onnx(model(nodes, inputs={"v0": IMAGE}, outputs="y m"))
    found = [r.where.rpartition("(")[2].rstrip(")") for r in caught.value.refusals]
    assert sorted(found) == sorted([*chain, "Hardmax", "Round", "Equal"])
    assert str(caught.value).startswith("this model cannot be run privately as it is: 13 problems\n")
    assert all(r.advice.endswith(".") for r in caught.value.refusals)


def test_control_flow_is_never() -> None:
    branch = helper.make_graph(
        [node("Neg", "x", "o")], "b", [], [helper.make_tensor_value_info("o", TensorProto.FLOAT, None)]
    )
    condition = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    with pytest.raises(Refused, match=r"\[never\].*control flow"):
        from_onnx(model([condition], {"c": np.array(True)}))


@pytest.mark.parametrize(
    ("nodes", "weights", "message"),
    [
        ([node("Pow", "x,g")], {"g": np.float32(0.25)}, "exponent is 1/4"),
        ([node("Cast", "x", "i", to=7), node("Cast", "i", to=1)], {}, "conversion to 7"),
        ([node("Relu", "g", "y")], {"g": numbers(3)}, "does not depend"),
        ([node("Add", "x,g")], {"g": np.float32([np.nan])}, "NaN or infinity"),
        ([node("RandomNormalLike", "x", "r"), node("Add", "x,r")], {}, "random"),
        ([helper.make_node("RandomNormal", [], ["r"], shape=[1]), node("Add", "x,r")], {}, "random"),
        ([node("Cast", "x", "i", to=7), node("Gather", "x,i")], {}, "conversion to 7"),
        ([node("Slice", "x,a,b")], {"a": np.array([9]), "b": np.array([10])}, "do not fit"),
    ],
)  # fmt: skip
def test_refusals(nodes: Any, weights: Any, message: str) -> None:
    with pytest.raises(Refused, match=message):
        from_onnx(model(nodes, weights))


def test_old_opsets_are_named() -> None:
    with pytest.raises(InvalidInput, match="opset 12"):
        from_onnx(model([node("Neg", "x")], opset=12))


def test_damaged_files(tmp_path: Path) -> None:
    proto = model([node("Conv", "x,w", pads=[1, 1, 1, 1])], {"w": W})
    path = tmp_path / "m.onnx"
    onnx.save(proto, path)
    whole = path.read_bytes()
    graph = load_model(path, numbers(3, 3, 8, 8))
    assert graph.inputs[0].shape == (3, 3, 8, 8)
    refused = 0
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        try:
            load_model(path)
        except (InvalidInput, Refused):
            refused += 1
    assert refused > 0.95 * len(whole) / 7
    for content in (b"", b"not onnx at all", b"\x80\x04\x95"):
        path.write_bytes(content)
        with pytest.raises(InvalidInput):
            load_model(path)
    with pytest.raises(InvalidFile):
        load_model(tmp_path / "none.onnx")


@pytest.mark.parametrize(
    "nodes",
    [
        [node("Neg", "unknown")],
        [node("NoSuchOp", "x")],
        [node("Neg", "y", "z"), node("Neg", "x")],
        [node("Conv", "x,x")],
        [node("Reshape", "x,x")],
        [node("Transpose", "x", perm=[0, 1])],
        [node("Transpose", "x", perm=[0, 1, 1, 9])],
        [node("Neg", "x", strange=1)],
        [node("Concat", "x")],
        [node("GlobalAveragePool", "x", "p"), node("Conv", "p,x", "c", pads=[-1, 0, 0, 0]), node("Flatten", "c")],
    ],
)
def test_invalid_models(nodes: list[onnx.NodeProto]) -> None:
    with pytest.raises((InvalidFile, Refused)):
        from_onnx(model(nodes))


def test_a_flipped_byte_never_escapes() -> None:
    proto = model(
        [node("Conv", "x,w", "c", pads=[1, 1, 1, 1]), node("BatchNormalization", "c,g,b,m,v")], {"w": W} | NORM
    )
    whole = bytearray(proto.SerializeToString())
    rng = np.random.default_rng(3)
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= int(rng.integers(1, 256))
        try:
            parsed = onnx.ModelProto.FromString(bytes(damaged))
        except Exception:  # protobuf's own refusal
            continue
        try:
            from_onnx(parsed)
        except (InvalidInput, Refused):
            continue


class Exported(torch.nn.Module):
    """What torch's exporter writes for literals, views, pools, tied shapes and a residual sum."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(3, 3, 3, padding=1), torch.nn.BatchNorm2d(3)
        self.row, self.gain = torch.nn.Conv1d(3, 2, 3), torch.nn.Parameter(torch.tensor([[0.5], [2.0]]))
        self.last = torch.nn.Linear(14, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.conv(x))
        y = 0.25 * y**2 + y / 3 + 0.1 + x
        y = torch.nn.functional.avg_pool2d(y, 2).view(y.size(0), 3, -1)
        y = (self.row(y) * self.gain).reshape(x.shape[0], -1, 14)
        return self.last(y.transpose(1, 2).transpose(2, 1)).mean(1) - 1


@pytest.mark.parametrize("opset", [13, 18, 20])
def test_what_torch_exports(opset: int, tmp_path: Path) -> None:
    net, x = Exported().eval(), torch.tensor(numbers(2, 3, 8, 8))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (x,),
            tmp_path / "m.onnx",
            opset_version=opset,
            dynamo=False,
            input_names=["x"],
            dynamic_axes={"x": {0: "n"}},
        )
    graph = from_onnx(tmp_path / "m.onnx", batch=2)
    assert counts(graph)["poly"] == 1
    np.testing.assert_allclose(run_clear(graph, x.numpy())[0], net(x).detach().numpy(), atol=1e-5)


def test_floats_of_attributes_are_the_decimals_that_were_meant() -> None:
    """ONNX keeps them in single precision, which is not where a public number's digits come from."""
    graph = from_onnx(model([node("LeakyRelu", "x", alpha=0.1)]))
    assert [n.attrs["slope"] for n in graph.nodes if n.op == "leaky"] == ["1/10"]


@pytest.mark.parametrize("opset", range(13, onnx.defs.onnx_opset_version() + 1))
def test_every_opset(opset: int) -> None:
    """Operations whose form changed over the years: sums, squeezes, splits, pads and resizes with axes as inputs."""
    nodes = [
        node("Relu", "x", "r"),
        node("ReduceSum", "r,a", "m"),
        node("Squeeze", "m,a", "q"),
        node("Split", "r,k", "s0,s1", axis=1),
        node("Pad", "s1,p", "d"),
        node("Resize", "d,,,z", "e", mode="linear"),
        node("Slice", "e,b,t,a", "y"),
    ]
    axis, sizes = np.array([2]), np.array([1, 2])
    pads, shape = np.array([0, 0, 1, 1, 0, 0, 0, 0]), np.array([2, 2, 18, 9])
    weights = {"a": axis, "k": sizes, "p": pads, "z": shape, "b": np.array([1]), "t": np.array([5])}
    graph = checked(model(nodes, weights, opset, outputs="q s0 y"))
    assert counts(graph) == {"relu": 1, "mean": 1, "scale": 1, "reshape": 1, "take": 3, "pad": 1, "resample": 1}
