"""Every operation's shape and clear meaning, compared with PyTorch's or a naive rule."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tacit import ops
from tacit.errors import InvalidInput

SIZES = st.integers(1, 4)
QUICK = settings(max_examples=40, deadline=None)


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape)


def run(op: str, attrs: Mapping[str, Any], *inputs: np.ndarray, **weights: np.ndarray) -> np.ndarray:
    """The clear value, after checking that `infer` foretells its shape."""
    shapes = {name: array.shape for name, array in weights.items()}
    expected = ops.infer(op, attrs, tuple(x.shape for x in inputs), shapes)
    value = ops.load(op).clear(attrs, weights, *inputs)
    assert value.shape == expected
    assert value.dtype == np.float64
    return value


def test_the_folder_is_the_list() -> None:
    assert ops.names() >= {"input", "linear", "conv", "affine", "bias", "scale", "add", "sub", "concat", "sumpool"}
    assert ops.names() >= {"mean", "reshape", "permute", "pad", "poly", "mul"}
    for name in ops.names():
        module = ops.load(name)
        assert {"shape", "clear", "aten", "onnx"} <= set(module.__all__)  # type: ignore[attr-defined]
    with pytest.raises(InvalidInput, match="no operation 'os'"):
        ops.load("os")


@QUICK
@given(lead=st.lists(SIZES, min_size=1, max_size=3), width=SIZES, rows=SIZES, biased=st.booleans())
def test_linear(lead: list[int], width: int, rows: int, biased: bool) -> None:
    x, weights = numbers(*lead, width), {"weight": numbers(rows, width)} | ({"bias": numbers(rows)} if biased else {})
    expected = F.linear(*(torch.tensor(a) for a in (x, *weights.values()))).numpy()
    np.testing.assert_allclose(run("linear", {}, x, **weights), expected, atol=1e-12)


@QUICK
@given(
    batch=st.integers(1, 2), groups=st.integers(1, 3), depth=SIZES, maps=st.integers(1, 2),
    kernel=st.tuples(SIZES, SIZES), stride=st.tuples(SIZES, SIZES),
    padding=st.tuples(*[st.integers(0, 2)] * 2), dilation=st.tuples(*[st.integers(1, 2)] * 2),
    biased=st.booleans(),
)  # fmt: skip
def test_conv(batch, groups, depth, maps, kernel, stride, padding, dilation, biased) -> None:
    x, weight = numbers(batch, groups * depth, 9, 8), numbers(groups * maps, depth, *kernel)
    weights = {"weight": weight} | ({"bias": numbers(groups * maps)} if biased else {})
    attrs = {"stride": list(stride), "padding": list(padding), "dilation": list(dilation), "groups": groups}
    bias = torch.tensor(weights["bias"]) if biased else None
    expected = F.conv2d(torch.tensor(x), torch.tensor(weight), bias, stride, padding, dilation, groups).numpy()
    np.testing.assert_allclose(run("conv", attrs, x, **weights), expected, atol=1e-11)


@QUICK
@given(
    kernel=st.tuples(SIZES, SIZES), stride=st.tuples(SIZES, SIZES), pads=st.tuples(*[st.integers(0, 2)] * 2),
    divisor=st.integers(1, 9),
)  # fmt: skip
def test_sumpool(kernel, stride, pads, divisor) -> None:
    padding = tuple(min(p, k // 2) for p, k in zip(pads, kernel, strict=True))
    x = numbers(2, 3, 7, 6)
    attrs = {"kernel": list(kernel), "stride": list(stride), "padding": list(padding), "divisor": divisor}
    expected = F.avg_pool2d(torch.tensor(x), kernel, stride, padding, divisor_override=divisor).numpy()
    np.testing.assert_allclose(run("sumpool", attrs, x), expected, atol=1e-12)


@QUICK
@given(coeffs=st.lists(st.fractions(-2, 2, max_denominator=64), min_size=2, max_size=7))
def test_poly(coeffs: list[Fraction]) -> None:
    x = numbers(2, 5)
    naive = sum(float(c) * x**i for i, c in enumerate(coeffs))
    np.testing.assert_allclose(run("poly", {"coeffs": [str(c) for c in coeffs]}, x), naive, atol=1e-9)


@QUICK
@given(shape=st.lists(SIZES, min_size=1, max_size=4), data=st.data())
def test_structure(shape: list[int], data: st.DataObject) -> None:
    x = numbers(*shape)
    order = data.draw(st.permutations(range(len(shape))))
    np.testing.assert_array_equal(run("permute", {"order": list(order)}, x), np.transpose(x, order))
    np.testing.assert_array_equal(run("reshape", {"shape": [x.size, 1]}, x), x.reshape(-1, 1))
    axes = sorted(data.draw(st.sets(st.sampled_from(range(len(shape))), min_size=1)))
    keep = data.draw(st.booleans())
    expected = torch.tensor(x).mean(axes, keepdim=keep).numpy()
    np.testing.assert_allclose(run("mean", {"axes": axes, "keepdims": keep}, x), expected, atol=1e-12)
    before, after = ([data.draw(st.integers(0, 2)) for _ in shape] for _ in "ba")
    padded = run("pad", {"before": before, "after": after}, x)
    inner = tuple(slice(b, b + n) for b, n in zip(before, shape, strict=True))
    np.testing.assert_array_equal(padded[inner], x)
    assert np.abs(padded).sum() == pytest.approx(np.abs(x).sum())
    along = data.draw(st.sampled_from(range(len(shape))))
    joined = run("concat", {"axis": along}, x, x + 1, x)
    np.testing.assert_array_equal(joined, torch.cat([torch.tensor(a) for a in (x, x + 1, x)], along).numpy())


def test_elementwise() -> None:
    x, y = numbers(2, 3, 4), numbers(2, 3, 4) + 1
    np.testing.assert_array_equal(run("add", {}, x, y), x + y)
    np.testing.assert_array_equal(run("sub", {}, x, y), x - y)
    np.testing.assert_array_equal(run("mul", {}, x, y), x * y)
    np.testing.assert_array_equal(run("input", {}, x), x)
    np.testing.assert_allclose(run("scale", {"num": "-3", "den": "8"}, x), -0.375 * x)
    np.testing.assert_array_equal(run("bias", {}, x, value=y[0, :, :1]), x + y[:1, :, :1])
    gain, offset = numbers(3), numbers(3) + 2
    affine = run("affine", {"axis": 1}, x, gain=gain, offset=offset)
    np.testing.assert_array_equal(affine, x * gain[None, :, None] + offset[None, :, None])
    np.testing.assert_array_equal(run("affine", {"axis": 2}, x, gain=numbers(4)), x * numbers(4))


CONV = {"stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": 1}
POOL = {"kernel": [2, 2], "stride": [1, 1], "padding": [0, 0], "divisor": 4}


@pytest.mark.parametrize(
    ("op", "attrs", "inputs", "weights"),
    [
        ("linear", {}, [(2, 3)], {"weight": (4, 2)}),
        ("linear", {}, [(3,)], {"weight": (4, 3)}),
        ("linear", {}, [(2, 3)], {}),
        ("linear", {}, [(2, 3)], {"weight": (4, 3), "bias": (3,)}),
        ("linear", {}, [(2, 3), (2, 3)], {"weight": (4, 3)}),
        ("conv", CONV, [(1, 3, 5, 5)], {"weight": (4, 2, 3, 3)}),
        ("conv", CONV, [(1, 3, 2, 5)], {"weight": (4, 3, 3, 3)}),
        ("conv", CONV, [(1, 3, 5)], {"weight": (4, 3, 3, 3)}),
        ("conv", CONV, [(1, 3, 5, 5)], {"weight": (4, 3, 3, 3), "bias": (3,)}),
        ("conv", CONV | {"stride": [0, 1]}, [(1, 3, 5, 5)], {"weight": (4, 3, 3, 3)}),
        ("conv", CONV | {"padding": [-1, 0]}, [(1, 3, 5, 5)], {"weight": (4, 3, 3, 3)}),
        ("conv", CONV | {"groups": True}, [(1, 3, 5, 5)], {"weight": (4, 3, 3, 3)}),
        ("conv", CONV | {"groups": 3}, [(1, 3, 5, 5)], {"weight": (4, 1, 3, 3)}),
        ("affine", {"axis": 2}, [(2, 3)], {"gain": (3,)}),
        ("affine", {"axis": 1}, [(2, 3)], {"gain": (2,)}),
        ("bias", {}, [(2, 3)], {"value": (2,)}),
        ("bias", {}, [(2, 3)], {"value": (4, 2, 3)}),
        ("bias", {}, [(2, 3)], {}),
        ("scale", {"num": "1", "den": "0"}, [(2,)], {}),
        ("scale", {"num": "1/2", "den": "3"}, [(2,)], {}),
        ("scale", {"num": 1, "den": 3}, [(2,)], {}),
        ("add", {}, [(2, 3), (2, 1)], {}),
        ("add", {}, [(2, 3)], {}),
        ("sub", {}, [(2, 3), (3,)], {}),
        ("mul", {}, [(2, 3), (3,)], {}),
        ("concat", {"axis": 1}, [(2, 3), (3, 3)], {}),
        ("concat", {"axis": 2}, [(2, 3), (2, 3)], {}),
        ("concat", {"axis": 0}, [], {}),
        ("sumpool", POOL, [(1, 2, 1, 5)], {}),
        ("sumpool", POOL, [(1, 2, 5)], {}),
        ("sumpool", POOL | {"divisor": 0}, [(1, 2, 5, 5)], {}),
        ("mean", {"axes": [], "keepdims": True}, [(2, 3)], {}),
        ("mean", {"axes": [2], "keepdims": True}, [(2, 3)], {}),
        ("mean", {"axes": [1, 1], "keepdims": True}, [(2, 3)], {}),
        ("mean", {"axes": [1], "keepdims": 1}, [(2, 3)], {}),
        ("reshape", {"shape": [4]}, [(2, 3)], {}),
        ("reshape", {"shape": [-1, 6]}, [(2, 3)], {}),
        ("reshape", {"shape": "6"}, [(2, 3)], {}),
        ("permute", {"order": [0, 0]}, [(2, 3)], {}),
        ("pad", {"before": [0], "after": [0]}, [(2, 3)], {}),
        ("poly", {"coeffs": ["1"]}, [(2,)], {}),
        ("poly", {"coeffs": ["1"] * 8}, [(2,)], {}),
        ("poly", {"coeffs": ["1", 2]}, [(2,)], {}),
        ("poly", {"coeffs": ["1", "1/0"]}, [(2,)], {}),
        ("poly", {"coeffs": ["1", "1e999999999"]}, [(2,)], {}),
        ("poly", {}, [(2,)], {}),
        ("nonsense", {}, [(2,)], {}),
    ],
)
def test_what_does_not_fit_is_refused(op: str, attrs: Any, inputs: list[Any], weights: Any) -> None:
    with pytest.raises(InvalidInput):
        ops.infer(op, attrs, tuple(inputs), weights)
