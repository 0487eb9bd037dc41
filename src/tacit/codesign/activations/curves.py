"""The activations that a polynomial can stand for, as functions of real numbers in float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["CURVES", "Curve", "Reals", "named"]

Reals = NDArray[np.float64]
Curve = Callable[[Reals], Reals]


def _relu(x: Reals) -> Reals:
    return np.maximum(x, 0.0)


def _sigmoid(x: Reals) -> Reals:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def _softplus(x: Reals) -> Reals:
    return np.logaddexp(x, 0.0)


def _gelu(x: Reals) -> Reals:
    return x * np.array([0.5 * (1.0 + math.erf(v / math.sqrt(2.0))) for v in x.tolist()])


def _gelu_tanh(x: Reals) -> Reals:
    return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def _elu(x: Reals) -> Reals:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0.0)))


def _selu(x: Reals) -> Reals:
    return 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0.0)))


def _leaky(slope: float) -> Curve:
    return lambda x: np.where(x > 0, x, slope * x)


#: By the names that PyTorch's functions have.
CURVES: dict[str, Curve] = {
    "relu": _relu,
    "relu6": lambda x: np.clip(x, 0.0, 6.0),
    "leaky_relu": _leaky(0.01),
    "elu": _elu,
    "selu": _selu,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": lambda x: x * _sigmoid(x),
    "mish": lambda x: x * np.tanh(_softplus(x)),
    "softplus": _softplus,
    "hardswish": lambda x: x * np.clip(x / 6.0 + 0.5, 0.0, 1.0),
    "hardsigmoid": lambda x: np.clip(x / 6.0 + 0.5, 0.0, 1.0),
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
}


def named(target: str | Curve) -> Curve | None:
    """The curve of a name, or the curve given; None for a name that is not known."""
    return CURVES.get(target) if isinstance(target, str) else target
