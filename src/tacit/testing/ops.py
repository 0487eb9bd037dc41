"""The conformance suite of operations: private against clear within a stated bound, and an exact bill, per protocol.

    @pytest.mark.parametrize("name", private_ops())
    def test_mine(name): check_op(name)

An operation that is not in `CASES` passes its own drawings: `check_op("gelu", [draw])`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

import numpy as np

from tacit import ops
from tacit.front.clear import run_clear
from tacit.ir.graph import Attr
from tacit.ir.positions import write_positions
from tacit.ir.weighted import adaptive_means, window_means, write_taps
from tacit.ring.fixed import decode
from tacit.run.simulate import simulate
from tacit.testing.graphs import Sketch
from tacit.testing.protocols import check_bill, plan_under, protocol_names

__all__ = ["CASES", "ULPS", "Draw", "check_op", "private_ops"]

#: Draws a graph around one operation and returns its outputs.
Draw = Callable[[Sketch], list[str]]

#: A single operation deviates from its clear meaning by at most this many units of the input's last place, where
#: values, weights and coefficients are of size one: roundings of input and weights, and one unit per truncation.
ULPS = 64.0


def private_ops() -> list[str]:
    """The operations that can run in secret."""
    return sorted(name for name in ops.names() if hasattr(ops.load(name), "lower") or hasattr(ops.load(name), "place"))


def _conv(kernel: int | tuple[int, int], **more: int) -> Draw:
    return lambda s: [s.conv(s.input(2, 4, 6, 5), 4, kernel, **more)]


def _poly(*coeffs: str) -> Draw:
    return lambda s: [s.poly(s.input(2, 3, 4), coeffs)]


def _scale(num: str, den: str) -> Draw:
    return lambda s: [s.op("scale", s.input(2, 5), attrs={"num": num, "den": den})]


def _pool(kernel: int, stride: int, padding: int) -> Draw:
    attrs: dict[str, Attr] = {"kernel": [kernel, kernel], "stride": [stride, stride], "divisor": kernel * kernel}
    return lambda s: [s.op("sumpool", s.input(2, 2, 6, 6), attrs={**attrs, "padding": [padding, padding]})]


def _mean(axes: list[int], keepdims: bool) -> Draw:
    return lambda s: [s.op("mean", s.input(2, 3, 5, 4), attrs={"axes": list(axes), "keepdims": keepdims})]


def _unequal(op: str) -> Draw:
    """One operand is an input, the other a layer's output: they lie at different scales."""

    def draw(s: Sketch) -> list[str]:
        x = s.input(2, 4)
        return [s.op(op, x, s.linear(x, 4))]

    return draw


def _unary(op: str, **attrs: Attr) -> Draw:
    """Alone, where the resolution decides, and behind a layer, where its result is truncated."""
    return lambda s: [s.op(op, x := s.input(2, 3, 4), attrs=attrs), s.op(op, s.linear(x, 5), attrs=attrs)]


def _sigmoid(s: Sketch) -> str:
    """Values above 0.15."""
    return s.op("smooth", s.op("clip", s.input(2, 9), attrs={"low": "-3/2"}), attrs={"function": "sigmoid"})


def _blurred(s: Sketch, x: str, times: int) -> str:
    """Means of three neighbours again and again, until the scale is too fine for any ring."""
    for _ in range(times):
        x = s.op("resample", x, attrs=write_taps(window_means(6, 3, 1, 1, False, False), 1))
    return x


def _masked(op: str) -> Draw:
    mask = write_positions(np.arange(12).reshape(3, 4) % 3 > 0)
    return lambda s: [s.op(op, s.input(2, 3, 4), attrs=mask), s.op(op, s.linear(s.input(2, 3, 4), 4), attrs=mask)]


def _max(**attrs: Attr) -> Draw:
    return lambda s: [
        s.op("max", s.input(2, 2, 7), attrs=attrs),
        s.op("max", s.conv(s.input(1, 2, 3, 7), 2), attrs={**attrs, "axis": 3}),
    ]


CASES: Mapping[str, Sequence[Draw]] = {
    "abs": [_unary("abs")],
    "add": [lambda s: [s.op("add", s.input(2, 3, 4), s.input(2, 3, 4))], _unequal("add")],
    "affine": [lambda s: [s.affine(s.input(2, 3, 4, 4))], lambda s: [s.affine(s.input(2, 5), axis=1)]],
    "bias": [lambda s: [s.op("bias", s.input(2, 3, 4), value=s.rng.normal(0.0, 1.0, (3, 1)))]],
    "clip": [
        _unary("clip", low="0", high="6/5"),
        _unary("clip", low="-1/2", high="3/4"),
        _unary("clip", low="-1/3"),
        _unary("clip", high="1/7"),
        _unary("clip", low="-50", high="50"),
    ],
    "combine": [lambda s: [s.op("combine", s.input(3, 4), attrs={"factors": [1, -1, 2]})]],
    "concat": [
        lambda s: [s.op("concat", s.input(2, 3), s.input(2, 2), attrs={"axis": 1})],
        lambda s: [s.op("concat", x := s.input(2, 3), s.linear(x, 2), attrs={"axis": 1})],
    ],
    "conv": [
        _conv(3),
        _conv(1, padding=0),
        _conv(3, stride=2),
        _conv(3, dilation=2),
        _conv(3, groups=2),
        _conv(3, groups=4),
        _conv((1, 3)),
        lambda s: [s.conv(s.input(2, 3, 1, 9), 2, (1, 4), padding=0)],
    ],
    "exclude": [
        lambda s: [s.op("max", node, attrs={"axis": 2, "whole": True}) for node in _masked("exclude")(s)],
    ],
    "expand": [lambda s: [s.op("expand", s.input(2, 1, 3, 1), attrs={"shape": [2, 4, 3, 2]})]],
    "keep": [_masked("keep")],
    "leaky": [_unary("leaky", slope="1/10"), _unary("leaky", slope="-1/4")],
    "lift": [lambda s: [s.op("lift", s.input(2, 3), attrs={"by": "3"})]],
    "linear": [lambda s: [s.linear(s.input(3, 7), 5)], lambda s: [s.linear(s.input(2, 3, 7), 5)]],
    "matmul": [
        lambda s: [s.op("matmul", s.input(2, 3, 4), s.input(2, 4, 5), attrs={"inner": 4})],
        lambda s: [s.op("matmul", s.input(2, 2, 3, 4), s.linear(s.input(1, 2, 4, 6), 2), attrs={"inner": 4})],
        lambda s: [s.op("matmul", x := s.linear(s.input(3, 2), 3), x, attrs={"inner": 3})],
    ],
    "max": [
        _max(axis=2, whole=True),
        _max(axis=2, adaptive=3),
        _max(axis=2, kernel=2, stride=2, padding=0, dilation=1, windows=3),
        _max(axis=2, kernel=3, stride=2, padding=1, dilation=1, windows=4),
        _max(axis=2, kernel=3, stride=1, padding=0, dilation=2, windows=3),
    ],
    "maximum": [lambda s: [s.op("maximum", s.input(2, 5), s.input(2, 5))], _unequal("maximum")],
    "mean": [_mean([2, 3], True), _mean([1], False)],
    "mul": [
        lambda s: [s.op("mul", s.input(2, 3, 4), s.input(2, 3, 4))],
        lambda s: [s.op("mul", s.input(2, 3, 4), s.input(1, 3, 1))],
        lambda s: [s.op("mul", s.linear(s.input(2, 3), 4), s.linear(s.input(2, 5), 4))],
        lambda s: [s.op("mul", x := s.input(2, 3), s.op("mul", x, s.op("step", s.input(2, 3))))],
        _unequal("mul"),
    ],
    "pad": [lambda s: [s.op("pad", s.input(2, 2, 3), attrs={"before": [0, 0, 1], "after": [0, 1, 2]})]],
    "pairs": [lambda s: [s.op("pairs", s.input(2, 5))]],
    "permute": [lambda s: [s.op("permute", s.input(2, 3, 4), attrs={"order": [0, 2, 1]})]],
    "poly": [
        _poly("0", "1"),
        _poly("0", "0", "1"),
        _poly("1/5", "1/2", "1/4"),
        _poly("0", "1/2", "0", "-1/9"),
        _poly("3/10", "1/2", "1/6", "0", "-1/300"),
        _poly("0", "1/2", "0", "1/24", "0", "-1/240"),
        _poly("1/10", "1/2", "1/8", "0", "-1/200", "0", "1/8000"),
    ],
    "relu": [lambda s: [s.op("relu", s.input(2, 3, 4))], lambda s: [s.op("relu", s.conv(s.input(2, 3, 5, 5), 4, 3))]],
    "resample": [
        lambda s: [s.op("resample", s.input(2, 5, 3), attrs=write_taps(adaptive_means(5, 3), 1))],
        lambda s: [
            s.op("resample", s.conv(s.input(1, 2, 3, 4), 2), attrs=write_taps(window_means(4, 3, 2, 1, True, False), 3))
        ],
        lambda s: [
            s.op("resample", _blurred(s, s.linear(s.input(2, 6), 6), 6), attrs=write_taps(adaptive_means(6, 4), 1))
        ],
    ],
    "reshape": [lambda s: [s.flat(s.input(2, 3, 4))]],
    "scale": [_scale("1", "10"), _scale("-3", "7"), _scale("5", "1")],
    "smooth": [
        _unary("smooth", function="gelu"),
        _unary("smooth", function="tanh"),
        lambda s: [
            s.op("smooth", s.op("scale", s.input(2, 9), attrs={"num": "5", "den": "3"}), attrs={"function": "silu"})
        ],
        lambda s: [s.op("smooth", _sigmoid(s), attrs={"function": "reciprocal", "low": "1/8"})],
        lambda s: [s.op("smooth", _sigmoid(s), attrs={"function": "log", "low": "1/8"})],
        lambda s: [
            s.op("smooth", s.op("scale", _sigmoid(s), attrs={"num": "-4", "den": "1"}), attrs={"function": "decay"})
        ],
        lambda s: [s.op("smooth", s.op("step", s.input(2, 9)), attrs={"function": "sigmoid"})],
    ],
    "step": [_unary("step")],
    "sub": [lambda s: [s.op("sub", s.input(2, 3, 4), s.input(2, 3, 4))], _unequal("sub")],
    "take": [lambda s: [s.op("take", s.input(2, 5, 2), attrs={"axis": 1, "index": [3, 0, 0, 2, 4]})]],
    "topk": [
        lambda s: [s.op("topk", s.input(3, 7), attrs={"k": 1})],
        lambda s: [s.op("topk", s.input(1, 451), attrs={"k": 1})],
        lambda s: [s.op("topk", s.linear(s.input(2, 3, 4), 6), attrs={"k": 3})],
    ],
    "sumpool": [_pool(2, 2, 0), _pool(3, 2, 1), _pool(3, 1, 0)],
}


def check_op(name: str, cases: Sequence[Draw] | None = None) -> None:
    """`name` under every protocol, alone and followed by a quartic: private equals clear within ULPS, bill exact.

    Raises AssertionError at the first case that fails, LookupError if there is no case.
    """
    chosen = CASES.get(name, ()) if cases is None else cases
    if not chosen:
        raise LookupError(f"there is no case for the operation {name}; pass `cases`")
    for number, draw in enumerate(chosen):
        for followed in (False, True):
            sketch = Sketch(number)
            outputs = draw(sketch)
            if followed:
                outputs = [sketch.poly(out) for out in outputs]
            assert any(node.op == name for node in sketch.graph(*outputs).nodes), f"case {number} does not use {name}"
            for protocol in protocol_names():
                _check_case(sketch, outputs, protocol, f"{name}, case {number}, {protocol}")


def _check_case(sketch: Sketch, outputs: list[str], protocol: str, what: str) -> None:
    graph, xs = sketch.graph(*outputs), sketch.values()
    plan = plan_under(protocol, graph, xs)
    result = simulate(plan, *xs)
    check_bill(plan, result)
    unit = 2.0 ** -int(plan.settings["input_bits"])
    # A smooth function is as far off as it says, and a quartic behind it may double that.
    stated = sum(float(Fraction(step.attrs.get("error", 0))) for step in plan.steps)
    limit = ULPS + 2 * stated / unit
    for got, want, step, word in zip(result.outputs, run_clear(graph, *xs), plan.outputs, result.words, strict=True):
        wire = plan.wires[step.site]
        assert got.shape == want.shape == wire.shape, f"{what}: the shape {got.shape} is not {want.shape}"
        assert np.array_equal(got, decode(word, wire.scale, wire.ring)), f"{what}: the output is not what was revealed"
        size = max(1.0, float(np.abs(want).max()))
        error = float(np.abs(got - want).max()) / size / unit
        assert error <= limit, f"{what}: off by {error:.1f} units of the last place, more than {limit:.0f}"
