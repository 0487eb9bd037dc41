"""Maxima, clips, slopes, comparisons and orders: what their adapters make of a call, against torch itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tacit import ops
from tacit.errors import InvalidInput
from tacit.ir.source import Step, Unsupported, Value
from tacit.ops import adapters

ATEN, ONNX = adapters("aten"), adapters("onnx")


def meaning(tree: Value | Step, given_values: Mapping[str, np.ndarray]) -> np.ndarray:
    """What a tree of steps computes, by each operation's own clear meaning; shapes are checked on the way."""
    if isinstance(tree, Value):
        return given_values[tree.id]
    inputs = [meaning(part, given_values) for part in tree.inputs]
    weights = {name: np.asarray(c.array, np.float64) for name, c in tree.weights.items()}
    shape = ops.infer(
        tree.op, tree.attrs, tuple(x.shape for x in inputs), {name: w.shape for name, w in weights.items()}
    )
    out = ops.load(tree.op).clear(tree.attrs, weights, *inputs)
    assert out.shape == shape
    return out


def called(name: str, *args: Any, **kwargs: Any) -> np.ndarray:
    """The adapter's meaning, with every array of float64 as an activation."""
    known: dict[str, np.ndarray] = {}

    def passed(x: Any) -> Any:
        if not isinstance(x, np.ndarray):
            return x
        known[f"x{len(known)}"] = x
        return Value(f"x{len(known) - 1}", x.shape)

    tree = ATEN[name](*map(passed, args), **kwargs)
    return meaning(tree, known)


def numbers(*shape: int, seed: int = 0, kinds: int = 7) -> np.ndarray:
    """Few different values, so that there are ties, negative ones more often than not."""
    return np.random.default_rng([seed, *shape]).integers(-kinds, kinds // 2, shape).astype(np.float64)


@st.composite
def windows(draw: st.DrawFn) -> dict[str, Any]:
    axes = draw(st.integers(1, 3))
    kernel = [draw(st.integers(1, 5)) for _ in range(axes)]
    dilation = [draw(st.integers(1, 3)) for _ in range(axes)]
    return {
        "size": [draw(st.integers(1, 9 if axes < 3 else 6)) for _ in range(axes)],
        "kernel": kernel,
        "stride": [draw(st.integers(1, 6)) for _ in range(axes)],
        "padding": [draw(st.integers(0, ((k - 1) * d + 1) // 2)) for k, d in zip(kernel, dilation, strict=True)],
        "dilation": dilation,
        "ceil": draw(st.booleans()),
    }


POOLS: Any = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


@given(windows(), st.integers(0, 99))
@settings(max_examples=150, deadline=None)
def test_pools(window: dict[str, Any], seed: int) -> None:
    axes = len(window["size"])
    x = numbers(2, 3, *window["size"], seed=seed)
    args = [window[name] for name in ("kernel", "stride", "padding", "dilation", "ceil")]
    try:
        want = POOLS[axes](torch.tensor(x), *args)
    except RuntimeError:
        assume(False)
    assume(torch.isfinite(want).all())  # a window of borders alone is minus infinity in torch
    assert np.array_equal(called(f"aten.max_pool{axes}d.default", x, *args), want.numpy())


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_pools_by_their_defaults(axes: int) -> None:
    """The stride is the kernel where none is given, and one number is meant for all axes."""
    x = numbers(1, 2, *[7] * axes)
    for args in [(2,), ([3],), (3, 2), (3, [], 1), (2, None)]:
        plain = tuple(a if a != [] else None for a in args)
        want = POOLS[axes](torch.tensor(x), *(p[0] if isinstance(p, list) else p for p in plain)).numpy()
        assert np.array_equal(called(f"aten.max_pool{axes}d.default", x, *args), want)


@given(st.data(), st.integers(1, 2), st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_adaptive_pools(data: st.DataObject, axes: int, seed: int) -> None:
    size = [data.draw(st.integers(1, 9)) for _ in range(axes)]
    out = [data.draw(st.none() | st.integers(1, s)) if axes > 1 else data.draw(st.integers(1, s)) for s in size]
    x = numbers(2, 2, *size, seed=seed)
    pool: Any = (F.adaptive_max_pool1d, F.adaptive_max_pool2d)[axes - 1]
    want = pool(torch.tensor(x), out if axes > 1 else out[0])
    assert np.array_equal(called(f"aten.adaptive_max_pool{axes}d.default", x, out), want.numpy())


def test_adaptive_pools_do_not_enlarge() -> None:
    with pytest.raises(InvalidInput, match="no 5 windows"):
        called("aten.adaptive_max_pool1d.default", numbers(1, 1, 4), [5])


@given(st.data(), st.integers(2, 5), st.booleans(), st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_amax(data: st.DataObject, rank: int, keep: bool, seed: int) -> None:
    axes = data.draw(st.lists(st.integers(1, rank - 1), min_size=1, unique=True))
    signed = [a - rank if data.draw(st.booleans()) else a for a in axes]
    x = numbers(*[data.draw(st.integers(1, 4)) for _ in range(rank)], seed=seed)
    want = torch.amax(torch.tensor(x), signed, keep).numpy()
    assert np.array_equal(called("aten.amax.default", x, signed, keep), want)


def test_a_maximum_over_the_batch_is_refused() -> None:
    for axes in ([0], [-2], [0, 1], []):
        with pytest.raises(Unsupported, match="batch"):
            called("aten.amax.default", numbers(3, 4), axes)


@given(st.integers(1, 3), st.integers(2, 9), st.booleans(), st.integers(0, 999))
@settings(max_examples=100, deadline=None)
def test_argmax_takes_the_first_of_equals(rows: int, items: int, keep: bool, seed: int) -> None:
    """As numpy says and torch does on a CPU."""
    x = numbers(rows, 2, items, seed=seed, kinds=3)
    want = np.argmax(x, -1, keepdims=keep)
    assert np.array_equal(torch.argmax(torch.tensor(x), -1, keep).numpy(), want)
    assert np.array_equal(called("aten.argmax.default", x, -1, keep), want)


@given(st.integers(2, 12), st.data(), st.integers(0, 999))
@settings(max_examples=100, deadline=None)
def test_topk_is_a_stable_sort(items: int, data: st.DataObject, seed: int) -> None:
    k, x = data.draw(st.integers(1, items - 1)), numbers(3, items, seed=seed, kinds=3)
    want = torch.sort(torch.tensor(x), dim=-1, descending=True, stable=True).indices[..., :k]
    assert np.array_equal(ops.load("topk").clear({"k": k}, {}, x), want.numpy())


HALVES = np.arange(-24, 25)[None] / 4.0
UNARY: list[tuple[str, tuple[Any, ...], Any]] = [
    ("aten.relu.default", (), F.relu),
    ("aten.relu6.default", (), F.relu6),
    ("aten.hardtanh.default", (), F.hardtanh),
    ("aten.hardtanh.default", (-0.5, 2.5), lambda x: F.hardtanh(x, -0.5, 2.5)),
    ("aten.hardsigmoid.default", (), F.hardsigmoid),
    ("aten.clamp.default", (-1, 2), lambda x: x.clamp(-1, 2)),
    ("aten.clamp.default", (None, 2), lambda x: x.clamp(max=2)),
    ("aten.clamp.default", (-1.25,), lambda x: x.clamp(-1.25)),
    ("aten.clamp_min.default", (3,), lambda x: x.clamp_min(3)),
    ("aten.clamp_max.default", (-3,), lambda x: x.clamp_max(-3)),
    ("aten.abs.default", (), torch.abs),
    ("aten.leaky_relu.default", (), F.leaky_relu),
    ("aten.leaky_relu.default", (0.25,), lambda x: F.leaky_relu(x, 0.25)),
    ("aten.leaky_relu.default", (-1.5,), lambda x: F.leaky_relu(x, -1.5)),
    ("aten.leaky_relu.default", (0,), lambda x: F.leaky_relu(x, 0.0)),
    ("aten.leaky_relu.default", (2,), lambda x: F.leaky_relu(x, 2.0)),
    ("aten.ge.Scalar", (0.75,), lambda x: x >= 0.75),
    ("aten.gt.Scalar", (0.75,), lambda x: x > 0.75),
    ("aten.le.Scalar", (-1,), lambda x: x <= -1),
    ("aten.lt.Scalar", (-1,), lambda x: x < -1),
]


@pytest.mark.parametrize(("name", "args", "function"), UNARY)
def test_elementwise(name: str, args: tuple[Any, ...], function: Any) -> None:
    np.testing.assert_allclose(called(name, HALVES, *args), function(torch.tensor(HALVES)).numpy(), atol=1e-12)


@pytest.mark.parametrize("kind", ["ge", "gt", "le", "lt", "maximum", "minimum"])
@given(st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_of_two_activations(kind: str, seed: int) -> None:
    x, y = numbers(3, 8, seed=seed, kinds=2), numbers(3, 8, seed=seed + 1, kinds=2)
    overload = "default" if kind.startswith("m") else "Tensor"
    want = getattr(torch, kind)(torch.tensor(x), torch.tensor(y)).numpy()
    assert np.array_equal(called(f"aten.{kind}.{overload}", x, y), want)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("aten.clamp.default", (float("nan"),)),
        ("aten.clamp.default", (numbers(1, 4),)),
        ("aten.leaky_relu.default", (65.0,)),
        ("aten.argmax.default", (None,)),
        ("aten.argmax.default", (0,)),
        ("aten.max_pool1d.default", (1.5,)),
        ("aten.max_pool1d.default", ([2, 2],)),
        ("aten.max_pool1d.default", (2, 2, 0, "a")),
    ],
)
def test_what_is_refused(name: str, args: tuple[Any, ...]) -> None:
    with pytest.raises(Unsupported):
        called(name, numbers(2, 4), *args)
