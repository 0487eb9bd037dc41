"""Padding as ONNX files have it: by rules that keep sizes, and unevenly. What is put around an array is never the
largest, and counts in a mean only if the file says so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tacit.errors import Refused
from tacit.front.clear import run_clear
from tacit.front.onnx import from_onnx

RNG = np.random.default_rng(7)
#: Below zero everywhere, so that a zero would be the largest.
X = torch.tensor(-RNG.uniform(1, 2, (2, 4, 9, 8)).astype(np.float32))
WEIGHT = torch.tensor(RNG.normal(size=(4, 2, 3, 2)).astype(np.float32))


def computed(op: str, x: torch.Tensor, weight: torch.Tensor | None = None, **attributes: Any) -> np.ndarray:
    """What the Graph of one node gives."""
    stored = [] if weight is None else [numpy_helper.from_array(weight.numpy(), "w")]
    inputs = ["x"] if weight is None else ["x", "w"]
    given_ = helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node(op, inputs, ["y"], **attributes)], "g", [given_], [made], stored)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    return run_clear(from_onnx(onnx.shape_inference.infer_shapes(proto)), x.numpy())[0]


def same(sizes: tuple[int, ...], reach: list[int], strides: list[int], upper: bool) -> list[int]:
    """torch's list of padding, from the last axis on: out = ceil(n / s), and the odd entry behind or in front."""
    pads: list[int] = []
    for n, r, s in list(zip(sizes, reach, strides, strict=True))[::-1]:
        total = max(0, (int(np.ceil(n / s)) - 1) * s + r - n)
        pads += [total // 2, total - total // 2] if upper else [total - total // 2, total // 2]
    return pads


@pytest.mark.parametrize("rule", ["SAME_UPPER", "SAME_LOWER"])
@settings(max_examples=12, deadline=None)
@given(strides=st.tuples(st.integers(1, 4), st.integers(1, 4)), gaps=st.tuples(st.integers(1, 2), st.integers(1, 3)))
def test_rules(rule: str, strides: tuple[int, int], gaps: tuple[int, int]) -> None:
    upper, by, apart = rule == "SAME_UPPER", list(strides), list(gaps)
    pads = same((9, 8), [2 * apart[0] + 1, apart[1] + 1], by, upper)
    options = {"auto_pad": rule, "strides": by, "dilations": apart}
    want = F.conv2d(F.pad(X, pads), WEIGHT, stride=by, dilation=apart, groups=2)
    np.testing.assert_allclose(computed("Conv", X, WEIGHT, group=2, **options), want.numpy(), atol=1e-5)
    lowest = F.pad(X, pads, value=float("-inf"))
    want = F.max_pool2d(lowest, (3, 2), by, dilation=apart)
    np.testing.assert_array_equal(computed("MaxPool", X, kernel_shape=[3, 2], **options), want.numpy())
    inside = F.pad(torch.ones_like(X), pads)
    kernel = torch.ones(4, 1, 3, 2)
    for counted in (0, 1):
        sums, counts = (F.conv2d(v, kernel, stride=by, dilation=apart, groups=4) for v in (F.pad(X, pads), inside))
        want = sums / (6 if counted else counts)
        got = computed("AveragePool", X, kernel_shape=[3, 2], count_include_pad=counted, **options)
        np.testing.assert_allclose(got, want.numpy(), atol=2e-3)  # weights of means may be rounded


@pytest.mark.parametrize("pads", [[0, 0, 1, 1], [1, 0, 0, 0], [2, 1, 0, 1]])
@pytest.mark.parametrize("ceil", [0, 1])
def test_uneven_pools(pads: list[int], ceil: int) -> None:
    wide = F.pad(X, [pads[1], pads[3], pads[0], pads[2]], value=float("-inf"))
    want = F.max_pool2d(wide, (3, 2), (2, 3))
    got = computed("MaxPool", X, kernel_shape=[3, 2], strides=[2, 3], pads=pads, ceil_mode=ceil)
    np.testing.assert_array_equal(got[:, :, : want.shape[2], : want.shape[3]], want.numpy())
    zeros, ones = (F.pad(v, [pads[1], pads[3], pads[0], pads[2]]) for v in (X, torch.ones_like(X)))
    got = computed("AveragePool", X, kernel_shape=[3, 2], strides=[2, 3], pads=pads)
    want = F.avg_pool2d(zeros, (3, 2), (2, 3)) / F.avg_pool2d(ones, (3, 2), (2, 3))
    np.testing.assert_allclose(got, want.numpy(), atol=2e-3)


@pytest.mark.parametrize("rule", ["SAME_UPPER", "SAME_LOWER"])
def test_transposed(rule: str) -> None:
    """As many times larger as the stride says; what is too much goes at both ends."""
    weight = WEIGHT.transpose(0, 1).contiguous().reshape(4, 2, 3, 2)
    whole = F.conv_transpose2d(X, weight, stride=(2, 1))  # 19 by 9 entries, of which 18 by 8 stay
    want = whole[:, :, :18, :8] if rule == "SAME_UPPER" else whole[:, :, 1:, 1:]
    got = computed("ConvTranspose", X, weight, auto_pad=rule, strides=[2, 1])
    np.testing.assert_allclose(got, want.numpy(), atol=1e-5)
    got = computed("ConvTranspose", X, weight, output_shape=[18, 9], strides=[2, 1])
    np.testing.assert_allclose(got, whole[:, :, 1:].numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("AveragePool", {"kernel_shape": [2, 2], "pads": [0, 5, 0, 0]}),
        ("MaxPool", {"kernel_shape": [2, 2], "pads": [0, 5, 0, 0]}),
        ("MaxPool", {"kernel_shape": [1 << 30, 2], "pads": [1 << 30, 0, 0, 0]}),
        ("AveragePool", {"kernel_shape": [1 << 30, 2], "pads": [1 << 30, 0, 0, 0]}),
    ],
)
def test_windows_of_padding_alone_or_without_end_are_refused(op: str, attributes: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        computed(op, X, **attributes)
