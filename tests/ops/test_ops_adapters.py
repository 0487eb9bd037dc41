"""Adapters as plain functions: what source calls become, without torch or onnx."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from tacit.front.names import unsupported
from tacit.ir.source import Constant, Step, Unsupported, Value, literal, scaled_by
from tacit.ops import adapters

ATEN, ONNX = adapters("aten"), adapters("onnx")
X = Value("x", (2, 3, 8, 8))
WEIGHT = Constant(np.ones((4, 3, 3, 2)), "w")


def public(*values: float) -> Constant:
    return Constant(np.array(values, np.float32), trained=False)


@pytest.mark.parametrize(
    ("value", "exact"),
    [
        (0.1, Fraction(1, 10)), (0.314453125, Fraction(161, 512)), (3, Fraction(3)), (-1e-05, Fraction(-1, 100000)),
        (public(0.1), Fraction(1, 10)), (Constant(np.array([[0.3]]), trained=False), Fraction(3, 10)),
        (Constant(np.array(7), trained=False), Fraction(7)),
    ],
)  # fmt: skip
def test_literals_are_the_decimal_as_written(value: object, exact: Fraction) -> None:
    assert literal(value) == exact


@pytest.mark.parametrize("value", [Constant(np.array(0.5)), public(1, 2), True, float("inf"), X, None, "1"])
def test_what_is_no_literal(value: object) -> None:
    assert literal(value) is None


def test_a_constant_does_not_print_its_array() -> None:
    assert "array" not in repr(Constant(np.array([1.25]), "w"))


def test_conv_same_with_an_even_kernel_pads_first() -> None:
    step = ATEN["aten.conv2d.padding"](X, WEIGHT, None, [1], "same", [1], 1)
    assert isinstance(step, Step)
    pad = step.inputs[0]
    assert isinstance(pad, Step)
    assert (pad.op, pad.attrs) == ("pad", {"before": [0, 0, 1, 0], "after": [0, 0, 1, 1]})
    assert step.attrs == {"stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": 1}


def test_onnx_conv_same_lower_puts_the_odd_zero_first() -> None:
    step = ONNX["Conv"](X, WEIGHT, auto_pad="SAME_LOWER")
    assert isinstance(step, Step)
    assert isinstance(step.inputs[0], Step)
    assert step.inputs[0].attrs == {"before": [0, 0, 1, 1], "after": [0, 0, 1, 0]}


@pytest.mark.parametrize(
    ("sizes", "expected"), [([0, -1], [2, 192]), ([2, 0, 64], [2, 3, 64]), ([-1], [384]), ([1, 0, -1], [1, 3, 128])]
)
def test_onnx_reshape(sizes: list[int], expected: list[int]) -> None:
    step = ONNX["Reshape"](X, Constant(np.array(sizes), trained=False))
    assert isinstance(step, Step)
    assert step.attrs == {"shape": expected}


def test_what_changes_nothing_vanishes() -> None:
    assert ATEN["aten.view.default"](X, [2, -1, 8, 8]) is X
    assert ATEN["aten.permute.default"](X, [0, 1, -2, -1]) is X
    assert ATEN["aten.pad.default"](X, [0, 0]) is X
    assert ONNX["Squeeze"](X) is X


@pytest.mark.parametrize(
    ("name", "args", "coeffs"),
    [
        ("aten.add.Tensor", (X, 1.5), ["3/2", "1"]), ("aten.sub.Tensor", (X, 1.5), ["-3/2", "1"]),
        ("aten.rsub.Scalar", (X, 2), ["2", "-1"]), ("aten.mul.Tensor", (0.25, X), ["0", "1/4"]),
        ("aten.div.Tensor", (X, 3), ["0", "1/3"]), ("aten.neg.default", (X,), ["0", "-1"]),
        ("aten.square.default", (X,), ["0", "0", "1"]), ("aten.pow.Tensor_Scalar", (X, 3), ["0", "0", "0", "1"]),
        ("aten.pow.Tensor_Scalar", (X, 2.0), ["0", "0", "1"]),
    ],
)  # fmt: skip
def test_literal_arithmetic_is_a_polynomial(name: str, args: tuple[object, ...], coeffs: list[str]) -> None:
    step = ATEN[name](*args)
    assert isinstance(step, Step)
    assert (step.op, step.attrs) == ("poly", {"coeffs": coeffs})


def test_alpha_multiplies_the_second_operand() -> None:
    y = Value("y", X.shape)
    step = ATEN["aten.add.Tensor"](X, y, alpha=2)
    assert isinstance(step, Step)
    assert isinstance(step.inputs[1], Step)
    assert step.inputs[1].attrs == {"coeffs": ["0", "2"]}
    step = ATEN["aten.sub.Tensor"](X, Constant(np.full(8, 3.0)), alpha=2)
    assert isinstance(step, Step)
    np.testing.assert_array_equal(step.weights["value"].array, np.full(8, -6.0))


@pytest.mark.parametrize(
    ("shape", "along", "size"), [((3, 1, 1), 1, 3), ((1, 3, 1, 1), 1, 3), ((8,), 3, 8), ((), 1, 3), ((1, 1), 1, 3)]
)
def test_trained_factors_are_one_per_channel(shape: tuple[int, ...], along: int, size: int) -> None:
    step = scaled_by(X, Constant(np.ones(shape)))
    assert step.attrs == {"axis": along}
    assert step.weights["gain"].array.shape == (size,)


MATRIX = Constant(np.ones((4, 3)), "m")
POOLED = Value("p", (1, 2, 6, 5))


@pytest.mark.parametrize(
    ("table", "name", "args", "kwargs", "message"),
    [
        (ATEN, "aten.mul.Tensor", (X, Constant(np.ones((3, 7, 1)))), {}, "together"),
        (ATEN, "aten.add.Tensor", (POOLED, Constant(np.ones((4, 3, 1, 1)))), {}, "together"),
        (ATEN, "aten.prelu.default", (X, Constant(np.ones(2))), {}, "one slope a channel"),
        (ATEN, "aten.einsum.default", ("aab,bc->ac", [X, X]), {}, "Correct the model"),
        (ATEN, "aten.add.Tensor", (X, Value("y", (2, 3, 7, 1))), {}, "together"),
        (ATEN, "aten.sub.Tensor", (X, Value("y", (2, 3, 7, 1))), {}, "together"),
        (ATEN, "aten.matmul.default", (X, Value("y", ())), {}, "with a number"),
        (ATEN, "aten.bmm.default", (Constant(np.ones(3)), Constant(np.ones(3))), {}, "product of constants"),
        (ATEN, "aten.div.Tensor", (X, 0), {}, "division by zero"),
        (ATEN, "aten.div.Tensor", (X, Constant(np.zeros(8))), {}, "division by zero"),
        (ATEN, "aten.linear.default", (X, Value("w", (8, 8))), {}, "not constant"),
        (ATEN, "aten.linear.default", (Value("x", (3,)), MATRIX), {}, "batch axis"),
        (ATEN, "aten.pow.Tensor_Scalar", (X, 0.25), {}, "exponent is 1/4"),
        (ATEN, "aten.pow.Tensor_Scalar", (X, 7), {}, "exponent is 7"),
        (ATEN, "aten.pow.Tensor_Tensor", (X, Constant(np.array(2.0))), {}, "not a literal"),
        (ATEN, "aten.conv3d.default", (X, Constant(np.ones((1, 3, 1, 1, 1, 1))), None, [1], [0], [1], 1), {}, "4 axes"),
        (ONNX, "Conv", (X, WEIGHT), {"auto_pad": "SAME"}, "Write the padding"),
        (ONNX, "Conv", (X, WEIGHT), {"pads": [1, 1]}, "Give two for every axis"),
        (ATEN, "aten.pad.default", (X, [1, 1], "strange"), {}, "strange"),
        (ATEN, "aten.pad.default", (X, [8, 1], "reflect"), {}, "padding by 8"),
        (ATEN, "aten.pad.default", (X, [1, 1], "constant", 1e9), {}, "Pad with a number"),
        (ATEN, "aten.where.self", (X, X, -1e9), {}, "huge number"),
        (ATEN, "aten.index.Tensor", (X, [X]), {}, "depends on the data"),
        (ONNX, "Gemm", (Value("x", (2, 3)), MATRIX), {"transA": 1}, "transposed"),
        (ONNX, "Reshape", (X, X), {}, "depends on the data"),
        (ONNX, "Resize", (X,), {"antialias": 1}, "antialiasing"),
        (ONNX, "Gather", (X, Constant(np.ones(2))), {}, "trained values"),
        (ONNX, "TopK", (X, Constant(np.array([9]), trained=False)), {}, "fewer than there are"),
        (ATEN, "aten.var.correction", (X, [3]), {"correction": 8}, "variance of 8 entries"),
        (ATEN, "aten.linalg_vector_norm.default", (X, 3), {}, "order 3"),
        (ONNX, "BatchNormalization", (X, *[Constant(np.ones(3))] * 4), {"training_mode": 1}, "stored statistics"),
        (ONNX, "ReduceMean", (X, X), {}, "axes"),
    ],
)
def test_refusals_say_why(table, name, args, kwargs, message) -> None:
    with pytest.raises(Unsupported) as caught:
        table[name](*args, **kwargs)
    assert message in f"{caught.value.what} {caught.value.advice}"


def test_no_operation_that_is_taken_is_on_a_list_of_refusals() -> None:
    """Unless other forms of the same name are taken: a maximum of two arrays, but not one with its position."""
    stems = {name.split(".")[1] for name in ATEN} | set(ONNX)
    assert {s for s in stems if "not known here" not in unsupported(f"aten.{s}.default").what} <= {
        "max", "min", "repeat_interleave", "topk", "upsample_nearest2d", "upsample_bilinear2d",
    }  # fmt: skip
