"""The convolution of every tier against a stupid one in numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tacit.ring import native

TIERS = native.tiers()
#: What the kernel may be made of; the result is mod 2 to its bits.
TYPES = [np.uint64, np.uint32]
Pair = tuple[int, int]


def words(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).integers(0, 1 << 64, size=shape, dtype=np.uint64)


def low(values: np.ndarray, dtype: type) -> np.ndarray:
    """The low bits of uint64 words that a `dtype` holds, as uint64."""
    return values.astype(dtype).astype(np.uint64)


def slow_conv(x: np.ndarray, w: np.ndarray, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> np.ndarray:
    x = np.pad(x, [(0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2])
    outputs, channels, kernel_h, kernel_w = w.shape
    out_h = (x.shape[2] - dilation[0] * (kernel_h - 1) - 1) // stride[0] + 1
    out_w = (x.shape[3] - dilation[1] * (kernel_w - 1) - 1) // stride[1] + 1
    out = np.zeros((x.shape[0], outputs, out_h, out_w), dtype=np.uint64)
    for o in range(outputs):
        first = o // (outputs // groups) * channels
        for h in range(out_h):
            for v in range(out_w):
                rows = slice(h * stride[0], h * stride[0] + dilation[0] * (kernel_h - 1) + 1, dilation[0])
                cols = slice(v * stride[1], v * stride[1] + dilation[1] * (kernel_w - 1) + 1, dilation[1])
                window = x[:, first : first + channels, rows, cols]
                out[:, o, h, v] = (window * w[o]).sum(axis=(1, 2, 3), dtype=np.uint64)
    return out


PAIR = st.tuples(st.integers(1, 3), st.integers(1, 3))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("tier", TIERS)
@given(
    batch=st.integers(0, 3),
    groups=st.integers(1, 3),
    channels=st.integers(0, 3),
    outputs=st.integers(0, 5),
    size=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    kernel=PAIR,
    stride=PAIR,
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    dilation=PAIR,
    with_init=st.booleans(),
)
@settings(max_examples=120, deadline=None)
def test_every_shape(
    tier: str,
    dtype: type,
    batch: int,
    groups: int,
    channels: int,
    outputs: int,
    size: Pair,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    with_init: bool,
) -> None:
    assume(all(dilation[i] * (kernel[i] - 1) + 1 <= size[i] + 2 * padding[i] for i in range(2)))
    x, w = words(batch, groups * channels, *size), words(groups * outputs, channels, *kernel, seed=1)
    wanted = slow_conv(x, w, stride, padding, dilation, groups)
    init = words(*wanted.shape, seed=2) if with_init else None
    got = native.conv2d(x, w.astype(dtype), init, stride, padding, dilation, groups, tier=tier)
    assert got.shape == wanted.shape
    assert np.array_equal(got, low(wanted if init is None else wanted + init, dtype))


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(
    ("shape", "outputs", "kernel", "stride", "padding", "groups"),
    [
        ((2, 40, 6, 6), 11, 3, 1, 1, 1),  # several depth blocks, panels that straddle images
        ((9, 4, 7, 7), 17, 3, 1, 1, 1),  # several column blocks
        ((1, 64, 4, 4), 20, 3, 1, 1, 1),  # few pixels, many channels
        ((1, 300, 1, 1), 13, 1, 1, 0, 1),  # one pixel
        ((2, 64, 2, 1), 12, 3, 1, 1, 4),  # four pixels, groups
        ((2, 8, 9, 9), 8, 3, 2, 1, 8),  # depthwise, strided
        ((1, 8, 9, 9), 16, 3, 1, 1, 8),  # two outputs per group
        ((1, 3, 24, 24), 10, 7, 2, 3, 1),  # an image network's first layer
        ((1, 6, 15, 15), 12, 1, 2, 0, 1),  # a strided shortcut
    ],
)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", TYPES)
def test_the_shapes_of_networks(
    tier: str,
    dtype: type,
    shape: tuple[int, ...],
    outputs: int,
    kernel: int,
    stride: int,
    padding: int,
    groups: int,
    threads: int,
) -> None:
    x, w = words(*shape), words(outputs, shape[1] // groups, kernel, kernel, seed=1)
    options = ((stride, stride), (padding, padding), (1, 1), groups)
    wanted = slow_conv(x, w, *options)
    init = words(*wanted.shape, seed=2)
    got = native.conv2d(x, w.astype(dtype), init, *options, threads=threads, tier=tier)
    assert np.array_equal(got, low(wanted + init, dtype))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("tier", TIERS)
def test_threads_change_nothing(tier: str, dtype: type) -> None:
    for shape, out, groups in [
        ((1, 64, 4, 4), 128, 1),
        ((2, 16, 32, 32), 16, 1),
        ((1, 64, 60, 60), 64, 64),
        ((1, 512, 2, 2), 512, 1),
        ((1, 64, 40, 40), 64, 4),
    ]:
        x, w = words(*shape), words(out, shape[1] // groups, 3, 3, seed=1).astype(dtype)
        one = native.conv2d(x, w, padding=(1, 1), groups=groups, tier=tier)
        for threads in (2, 5):
            assert np.array_equal(native.conv2d(x, w, padding=(1, 1), groups=groups, threads=threads, tier=tier), one)


X, W = words(1, 4, 5, 5), words(6, 4, 3, 3, seed=1)
HUGE = 1 << 40


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: native.conv2d(X[0], W), ValueError, "x must have 4 dimensions, not 3"),
        (lambda: native.conv2d(X, W.astype(np.int64)), TypeError, "w must have dtype uint64"),
        (lambda: native.conv2d(X, W, groups=0), ValueError, "groups must be 1 or more"),
        (lambda: native.conv2d(X, W, groups=4), ValueError, "groups must divide the output channels"),
        (lambda: native.conv2d(X, W, groups=2), ValueError, "x must have groups times as many channels as w"),
        (lambda: native.conv2d(X, words(6, 4, 0, 3)), ValueError, "kernel of the height axis must not be empty"),
        (lambda: native.conv2d(X, words(6, 4, 3, 7)), ValueError, "width axis reaches beyond the padded input"),
        (lambda: native.conv2d(X, W, dilation=(3, 1)), ValueError, "height axis reaches beyond the padded input"),
        (lambda: native.conv2d(X, W, stride=(0, 1)), ValueError, "stride of the height axis must be 1 or more"),
        (lambda: native.conv2d(X, W, stride=(1, HUGE)), ValueError, "stride of the width axis"),
        (lambda: native.conv2d(X, W, padding=(-1, 1)), ValueError, "padding of the height axis"),
        (lambda: native.conv2d(X, W, padding=(0, HUGE)), ValueError, "padding of the width axis"),
        (lambda: native.conv2d(X, W, dilation=(0, 1)), ValueError, "dilation of the height axis"),
        (lambda: native.conv2d(X, W, dilation=(HUGE, 1)), ValueError, "dilation of the height axis"),
        (lambda: native.conv2d(X, W, stride=(1,)), TypeError, None),
        (lambda: native.conv2d(X, W, words(1, 6, 3, 4)), ValueError, "init must have shape"),
        (lambda: native.conv2d(X, W, padding=((1 << 31) - 1,) * 2), ValueError, "too many elements"),
        (lambda: native.conv2d(X, W, padding=(1 << 24, 1 << 24)), MemoryError, None),
        (lambda: native.conv2d(words(0, 4, HUGE, 5), W), ValueError, "sizes of the height axis"),
        (lambda: native.conv2d(X, W, tier="none"), ValueError, "tier 'none'"),
        (lambda: native.conv2d(X, W, threads=-2), ValueError, "threads must be 1 or more"),
    ],
)
def test_refusals(call: object, error: type[Exception], says: str | None) -> None:
    with pytest.raises(error, match=says):
        call()  # type: ignore[operator]
