"""Images: padding of every mode, shuffles, enlarging, and average pools of every kind."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from tacit.errors import Refused
from tacit.front.clear import run_clear
from tacit.front.onnx import from_onnx
from tacit.ir.weighted import read_taps, write_taps

X = torch.tensor(np.random.default_rng(5).normal(size=(2, 4, 6, 5)).astype(np.float32))
Y = X.reshape(2, 4, 3, 2, 5)

BOTH: list[tuple[str, Any]] = [
    ("pad value", lambda s, x: F.pad(x, (1, 2), value=0.75)),
    ("cut", lambda s, x: F.pad(x, (-1, 2, 0, -2))),
    ("reflect", lambda s, x: F.pad(x, (2, 1, 0, 3), "reflect")),
    ("replicate", lambda s, x: F.pad(x, (2, 1, 0, 3), "replicate")),
    ("pixel_shuffle", lambda s, x: F.pixel_shuffle(x, 2)),
    ("pixel_unshuffle", lambda s, x: F.pixel_unshuffle(x[..., :4], 2)),
    ("nearest", lambda s, x: F.interpolate(x, scale_factor=2)),
    ("nearest size", lambda s, x: F.interpolate(x, size=(9, 7))),
    ("bilinear", lambda s, x: F.interpolate(x, scale_factor=2, mode="bilinear")),
    ("bilinear size", lambda s, x: F.interpolate(x, size=(9, 4), mode="bilinear")),
    ("bilinear corners", lambda s, x: F.interpolate(x, size=(9, 7), mode="bilinear", align_corners=True)),
    ("bicubic", lambda s, x: F.interpolate(x, scale_factor=2, mode="bicubic")),
    ("linear", lambda s, x: F.interpolate(x[0], scale_factor=3, mode="linear")),
    ("pool uncounted", lambda s, x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)),
    ("pool ceil", lambda s, x: F.avg_pool2d(x, 3, 2, ceil_mode=True)),
    ("pool 1d uncounted", lambda s, x: F.avg_pool1d(x[0], 3, 2, 1, count_include_pad=False)),
    ("pool 3d", lambda s, x: F.avg_pool3d(x[:, None], 2, 2, (0, 1, 0))),
]


@pytest.mark.parametrize("function", [f[1] for f in BOTH], ids=[f[0] for f in BOTH])
def test_images(function: Any, parity: Any) -> None:
    parity(function, X, atol=1e-4)


@pytest.mark.parametrize("opset", [13, 20])
def test_onnx(opset: int, parity: Any) -> None:
    """All at once, since an export takes its time."""
    parity(lambda s, x: [function(s, x) for _, function in BOTH], X, atol=1e-4, opsets=(opset,))


ALONE: list[tuple[str, Any]] = [  # what ONNX has no word for
    ("circular", lambda s, x: F.pad(x, (2, 1, 0, 3), "circular")),
    ("channel_shuffle", lambda s, x: F.channel_shuffle(x, 2)),
    ("nearest-exact", lambda s, x: F.interpolate(x, size=(9, 4), mode="nearest-exact")),
    ("nearest odd", lambda s, x: F.interpolate(x, scale_factor=1.7)),
    ("trilinear", lambda s, x: F.interpolate(x[:, None], size=(3, 7, 9), mode="trilinear")),
    ("adaptive", lambda s, x: F.adaptive_avg_pool2d(x, (4, 3))),
    ("adaptive that enlarges", lambda s, x: F.adaptive_avg_pool2d(x, (8, 3))),
    ("adaptive 1d", lambda s, x: F.adaptive_avg_pool1d(x[0], 4)),
    ("adaptive 3d", lambda s, x: F.adaptive_avg_pool3d(x[:, None], (3, 4, 2))),
    ("pool ceil uncounted", lambda s, x: F.avg_pool2d(x, 3, 2, 1, True, False)),
    ("pool ceil counted", lambda s, x: F.avg_pool2d(x, 3, 2, 1, True, True)),
    ("pool divisor", lambda s, x: F.avg_pool2d(x, 3, 2, 1, True, divisor_override=5)),
]


@pytest.mark.parametrize("function", [f[1] for f in ALONE], ids=[f[0] for f in ALONE])
def test_images_of_torch_alone(function: Any, parity: Any) -> None:
    parity(function, X, atol=1e-4)


@pytest.mark.parametrize("coordinates", ["half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_onnx_resize(mode: str, coordinates: str) -> None:
    for rounding in ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"] if mode == "nearest" else ["floor"]:
        resize = helper.make_node(
            "Resize",
            ["x", "", "", "s"],
            ["y"],
            mode=mode,
            coordinate_transformation_mode=coordinates,
            nearest_mode=rounding,
        )
        sizes = numpy_helper.from_array(np.array([2, 4, 9, 3]), "s")
        ends = (("x", X.shape), ("y", [2, 4, 9, 3]))
        x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ends)
        graph = helper.make_graph([resize], "g", [x], [y], [sizes])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        onnx.checker.check_model(model)
        want = ReferenceEvaluator(model).run(None, {"x": X.numpy()})[0]
        np.testing.assert_allclose(run_clear(from_onnx(model), X.numpy())[0], want, atol=2e-3)


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_onnx_blocks(mode: str) -> None:
    nodes = [
        helper.make_node("DepthToSpace", ["x"], ["d"], blocksize=2, mode=mode),
        helper.make_node("SpaceToDepth", ["d"], ["y"], blocksize=2),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 8, 3, 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 8, 3, 2])
    model = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y]), opset_imports=[helper.make_opsetid("", 17)], ir_version=10
    )
    values = np.random.default_rng(0).normal(size=(2, 8, 3, 2)).astype(np.float32)
    want = ReferenceEvaluator(model).run(None, {"x": values})[0]
    np.testing.assert_array_equal(run_clear(from_onnx(model), values)[0].astype(np.float32), want)


@pytest.mark.parametrize(
    "function", [lambda s, x: F.pad(x, (1, 1), value=float("-inf")), lambda s, x: F.grid_sample(x, x[..., :2])]
)
def test_refusals(function: Any, parity: Any) -> None:
    with pytest.raises(Refused):
        parity(function, X[:, :, :, :4].permute(0, 3, 1, 2))


WEIGHTS = st.tuples(st.integers(0, 4), st.fractions(-2, 2, max_denominator=300))


@given(st.lists(st.lists(WEIGHTS, min_size=1), min_size=1))
@settings(max_examples=40, deadline=None)
def test_weights_are_exact_or_close(rows: list[list[tuple[int, Fraction]]]) -> None:
    index, factors, divisor = read_taps(write_taps(rows, 0), 5)
    for o, row in enumerate(rows):
        got = [Fraction(f[o], divisor) for f in factors]
        assert [i[o] for i in index][: len(row)] == [i for i, _ in row]
        assert all(abs(g - w) <= Fraction(len(row), divisor) for g, (_, w) in zip(got, row, strict=False))
        assert abs(sum(got) - sum(w for _, w in row)) <= Fraction(1, divisor)
