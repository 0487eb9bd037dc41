"""Import of gates: maxima, intervals, slopes, comparisons and orders from torch modules and ONNX of every opset."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import nn

from tacit.errors import Refused
from tacit.front.clear import run_clear
from tacit.front.onnx import from_onnx
from tacit.front.torch import from_torch
from tacit.ir import Graph

NEWEST = onnx.defs.onnx_opset_version()
OPSETS = range(13, NEWEST + 1)


def counts(graph: Graph) -> dict[str, int]:
    return dict(Counter(node.op for node in graph.nodes if node.op != "input"))


class Fn(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.function(*inputs)


def sample(*shape: int) -> torch.Tensor:
    """Few different values, so that there are ties; both signs, also beyond 6."""
    return torch.tensor(np.random.default_rng(sum(shape)).integers(-20, 20, shape).astype(np.float32) / 2)


IMAGE, ROW, LINE, CUBE = sample(2, 3, 8, 7), sample(4, 9), sample(2, 3, 9), sample(1, 2, 5, 6, 4)
HALF = torch.arange(9) / 2 - 2


def distinct(x: torch.Tensor) -> torch.Tensor:
    """Values without ties, of which torch takes any."""
    return x + torch.arange(36).reshape(4, 9) / 128


ATEN: list[tuple[str, Any, torch.Tensor, dict[str, int]]] = [
    ("relu", nn.ReLU(), ROW, {"relu": 1}),
    ("relu in place", lambda x: F.relu_(x * 2), ROW, {"scale": 1, "relu": 1}),
    ("relu6", nn.ReLU6(), ROW, {"clip": 1}),
    ("hardtanh", nn.Hardtanh(-2, 3), ROW, {"clip": 1}),
    ("hardsigmoid", nn.Hardsigmoid(), ROW, {"scale": 1, "bias": 1, "clip": 1}),
    ("clamp", lambda x: x.clamp(-1, 2.5), ROW, {"clip": 1}),
    ("clamp low", lambda x: x.clamp(min=-1), ROW, {"clip": 1}),
    ("clamp high", lambda x: torch.clamp(x, max=4), ROW, {"clip": 1}),
    ("leaky", nn.LeakyReLU(0.25), ROW, {"leaky": 1}),
    ("abs", lambda x: x.abs(), ROW, {"abs": 1}),
    ("minimum", lambda x: torch.minimum(x, -x), ROW, {"scale": 2, "maximum": 1}),
    ("maximum", lambda x: torch.maximum(x, 1 - x), ROW, {"scale": 1, "bias": 1, "maximum": 1}),
    ("max of two", lambda x: torch.max(x, 2 * x), ROW, {"scale": 1, "maximum": 1}),
    ("min of two", lambda x: torch.min(x, 2 * x), ROW, {"scale": 3, "maximum": 1}),
    ("max pool 1d", nn.MaxPool1d(3, 2, 1), LINE, {"max": 1}),
    ("max pool 2d", nn.MaxPool2d((2, 3), padding=(1, 1)), IMAGE, {"max": 2}),
    ("max pool 2d ceil", nn.MaxPool2d(3, 2, ceil_mode=True), IMAGE, {"max": 2}),
    ("max pool 2d dilated", nn.MaxPool2d(2, 1, dilation=(2, 3)), IMAGE, {"max": 2}),
    ("max pool 3d", nn.MaxPool3d(2), CUBE, {"max": 3}),
    ("adaptive 1d", nn.AdaptiveMaxPool1d(4), LINE, {"max": 1}),
    ("adaptive 2d", nn.AdaptiveMaxPool2d((3, None)), IMAGE, {"max": 2}),
    ("amax", lambda x: x.amax((2, -1)), IMAGE, {"max": 2, "reshape": 1}),
    ("amax kept", lambda x: x.amax(1, keepdim=True), IMAGE, {"max": 1}),
    ("argmax", lambda x: x.argmax(-1), ROW, {"topk": 1, "reshape": 1}),
    ("argmax kept", lambda x: x.argmax(1, keepdim=True), ROW, {"topk": 1}),
    ("argmax across", lambda x: x.argmax(1), IMAGE, {"permute": 1, "topk": 1, "reshape": 1}),
    ("argmin", lambda x: x.argmin(-1), ROW, {"scale": 1, "topk": 1, "reshape": 1}),
    ("amin", lambda x: x.amin(1), ROW, {"scale": 2, "max": 1, "reshape": 1}),
    ("max along an axis", lambda x: x.max(-1)[0], ROW, {"max": 1, "reshape": 1}),
    ("where the max is", lambda x: x.max(dim=2, keepdim=True)[1], IMAGE, {"permute": 2, "topk": 1}),
    ("min along an axis", lambda x: x.min(-1).values, ROW, {"scale": 2, "max": 1, "reshape": 1}),
    ("where the min is", lambda x: x.min(-1).indices, ROW, {"scale": 1, "topk": 1, "reshape": 1}),
    ("aminmax", lambda x: x.aminmax(dim=1)[0], ROW, {"scale": 2, "max": 1, "reshape": 1}),
    ("the largest of topk", lambda x: x.topk(1)[0], ROW, {"max": 1}),
    ("where topk are", lambda x: distinct(x).topk(3, dim=-1)[1], ROW, {"bias": 1, "topk": 1}),
    ("clamp by arrays", lambda x: x.clamp(HALF, HALF + 2), ROW, {"bias": 4, "relu": 2, "scale": 2}),
    ("at least", lambda x: (x >= 1.5).float(), ROW, {"bias": 1, "step": 1}),
    (
        "less",
        lambda x: (x < x.flatten().reshape(4, 9) - 1).float(),
        ROW,
        {"reshape": 2, "bias": 2, "scale": 1, "sub": 1, "step": 1},
    ),
    ("pool behind relu", lambda x: F.max_pool2d(F.relu(x), 2), IMAGE, {"max": 2, "relu": 1}),
]


@pytest.mark.parametrize(("function", "x", "expected"), [c[1:] for c in ATEN], ids=[c[0] for c in ATEN])
def test_torch(function: Any, x: torch.Tensor, expected: dict[str, int]) -> None:
    module = function if isinstance(function, nn.Module) else Fn(function)
    graph = from_torch(module, (x,))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = module.double()(x.double().clone()).numpy()
    got = run_clear(graph, x.numpy())[0]
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, atol=1e-6)
    assert counts(graph) == expected


def test_the_pool_comes_before_the_activation() -> None:
    graph = from_torch(Fn(lambda x: F.max_pool2d(F.relu(x), 2)), (IMAGE,))
    assert [node.op for node in graph.nodes] == ["input", "max", "max", "relu"]


@pytest.mark.parametrize(
    ("function", "x"),
    [
        (lambda x: F.max_pool2d(x, 2, return_indices=True)[1], IMAGE),
        (lambda x: x.amax(0), ROW),
        (lambda x: x.amax(), ROW),
        (lambda x: x.argmax(0), ROW),
        (lambda x: x.argmax(), ROW),
        (lambda x: F.leaky_relu(x, 100.0), ROW),
        (lambda x: x.sort(-1)[0], ROW),
    ],
)
def test_what_torch_is_refused(function: Any, x: torch.Tensor) -> None:
    with pytest.raises(Refused):
        from_torch(Fn(function), (x,))


def model(opset: int, nodes: list[onnx.NodeProto], weights: dict[str, Any], shape: tuple[int, ...]) -> onnx.ModelProto:
    stored = [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()]
    declared = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    ends = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "g", declared, ends, stored)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return onnx.shape_inference.infer_shapes(proto)


def node(op: str, inputs: str, output: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(","), output.split(","), **attributes)


def number(name: str, value: float) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.float32(value)))


def constant(name: str, value: list[int]) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array(value)))


def floats(output: str = "b") -> onnx.NodeProto:
    return node("Cast", output, to=1)


def compared(op: str, inputs: str) -> list[onnx.NodeProto]:
    return [number("t", 1.5), node("Neg", "x", "z"), node(op, inputs, "b"), floats()]


PICTURE, PAIR = (2, 3, 8, 7), (4, 9)
ONNX: list[tuple[str, list[onnx.NodeProto], tuple[int, ...], set[str]]] = [
    ("Relu", [node("Relu", "x")], PAIR, {"relu"}),
    ("LeakyRelu", [node("LeakyRelu", "x", alpha=0.125)], PAIR, {"leaky"}),
    ("LeakyRelu by default", [node("LeakyRelu", "x")], PAIR, {"leaky"}),
    ("Abs", [node("Abs", "x")], PAIR, {"abs"}),
    ("Clip", [number("l", -1), number("h", 2.5), node("Clip", "x,l,h")], PAIR, {"clip"}),
    ("Clip low", [number("l", -1), node("Clip", "x,l")], PAIR, {"clip"}),
    ("Clip high", [number("h", 2), node("Clip", "x,,h")], PAIR, {"clip"}),
    ("Max", [node("Neg", "x", "z"), node("Max", "x,z")], PAIR, {"scale", "maximum"}),
    (
        "Max of three",
        [node("Neg", "x", "z"), node("Abs", "z", "a"), number("t", 1), node("Max", "x,z,t,a")],
        PAIR,
        set(),
    ),
    (
        "Min of three",
        [node("Neg", "x", "z"), node("Abs", "z", "a"), number("t", 1), node("Min", "a,x,t,z")],
        PAIR,
        set(),
    ),
    ("Max of one", [node("Max", "x", "z"), node("Abs", "z")], PAIR, {"abs"}),
    ("Max with a number", [number("t", 1), node("Max", "t,x")], PAIR, {"clip"}),
    ("Min", [node("Neg", "x", "z"), node("Min", "x,z")], PAIR, {"scale", "maximum"}),
    ("Min with a number", [number("t", 1), node("Min", "x,t")], PAIR, {"clip"}),
    ("MaxPool", [node("MaxPool", "x", kernel_shape=[2, 2])], PICTURE, {"max"}),
    (
        "MaxPool in full",
        [node("MaxPool", "x", kernel_shape=[3, 2], strides=[2, 1], pads=[1, 1, 1, 1], dilations=[1, 2])],
        PICTURE,
        {"max"},
    ),
    ("MaxPool with unused positions", [node("MaxPool", "x", "y,i", kernel_shape=[2, 2])], PICTURE, {"max"}),
    ("MaxPool valid", [node("MaxPool", "x", kernel_shape=[3, 3], auto_pad="VALID")], PICTURE, {"max"}),
    ("MaxPool ceil", [node("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)], PICTURE, {"max"}),
    ("MaxPool 1d", [node("MaxPool", "x", kernel_shape=[3], strides=[3])], (2, 3, 9), {"max"}),
    ("GlobalMaxPool", [node("GlobalMaxPool", "x")], PICTURE, {"max"}),
    ("ArgMax", [node("ArgMax", "x", "b", axis=1, keepdims=0), floats()], PAIR, {"topk", "reshape"}),
    ("ArgMin", [node("ArgMin", "x", "b", axis=1, keepdims=0), floats()], PAIR, {"scale", "topk", "reshape"}),
    (
        "ArgMax across",
        [node("ArgMax", "x", "b", axis=2, keepdims=0), floats()],
        PICTURE,
        {"permute", "topk", "reshape"},
    ),
    ("TopK", [constant("k", [1]), node("TopK", "x,k", "y,b", axis=1)], PAIR, {"max"}),
    ("ArgMax kept", [node("ArgMax", "x", "b", axis=-1), floats()], PAIR, {"topk"}),
    *[(f"{op} {i}", compared(op, i), PAIR, set()) for op in ("Greater", "Less") for i in ("x,t", "t,x", "x,z")],
    *[(f"{op} {i}", compared(op, i), PAIR, set()) for op in ("GreaterOrEqual", "LessOrEqual") for i in ("x,t", "z,x")],
]


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize(("nodes", "shape", "expected"), [c[1:] for c in ONNX], ids=[c[0] for c in ONNX])
def test_onnx(nodes: list[onnx.NodeProto], shape: tuple[int, ...], expected: set[str], opset: int) -> None:
    proto = model(opset, nodes, {}, shape)
    graph, x = from_onnx(proto), sample(*shape).numpy()
    want = ReferenceEvaluator(proto).run(None, {"x": x})[0]
    got = run_clear(graph, x)[0]
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, atol=1e-6)
    if expected:
        assert set(counts(graph)) == expected
    else:
        assert counts(graph).keys() & {"step", "max"}


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize(("axes", "keep"), [([2, -1], 0), ([1], 1)])
def test_reduce_max(axes: list[int], keep: int, opset: int) -> None:
    """The axes became an input in opset 18."""
    given = {"axes": axes} if opset < 18 else {}
    proto = model(
        opset,
        [node("ReduceMax", "x" if given else "x,a", keepdims=keep, **given)],
        {} if given else {"a": np.array(axes)},
        PICTURE,
    )
    x = sample(*PICTURE).numpy()
    want = ReferenceEvaluator(proto).run(None, {"x": x})[0]
    assert np.array_equal(run_clear(from_onnx(proto), x)[0], want)


@pytest.mark.parametrize(
    "nodes",
    [
        [node("ReduceMax", "x")],
        [node("ReduceMin", "x")],
        [node("ArgMax", "x", "b", axis=0), floats()],
        [constant("k", [2]), node("TopK", "x,k", "y,b", axis=1)],
        [node("ArgMax", "x", "b", axis=-1, select_last_index=1), floats()],
        [node("MaxPool", "x", "p,b", kernel_shape=[2, 2]), floats()],
    ],
)
@pytest.mark.parametrize("opset", [13, NEWEST])
def test_what_onnx_is_refused(nodes: list[onnx.NodeProto], opset: int) -> None:
    with pytest.raises(Refused):
        from_onnx(model(opset, nodes, {}, PICTURE))
