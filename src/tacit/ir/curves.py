"""The smooth functions of one number that operations are made of: meaning in float64, domain, and how errors count."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tacit.errors import InvalidInput

__all__ = ["CURVES", "Curve", "curve"]

Doubles = NDArray[np.float64]

_STEPS = 64  # nodes of the error function a unit
_FEW = 64
_ONE = 65 / 64  # a bound of one that what approximates keeps too
_TAIL = 6  # erf is 1 to the last bit beyond


@dataclass(frozen=True)
class Curve:
    """One function.

    function   its values in float64
    extent     a bound of |f| wherever it is asked for, or None where it follows the argument
    growth     a bound of |f| for arguments within a magnitude, where there is no extent
    low, high  ends of the domain, where the function has any: beyond, nothing is promised
    falling    whether it falls from the low end on, which bounds it
    least      errors count relatively to the value where that is larger than this; None: absolutely
    """

    function: Callable[[Doubles], Doubles]
    extent: float | None = None
    growth: Callable[[float], float] = lambda x: x + 1.0
    low: float | None = None
    high: float | None = None
    falling: bool = False
    least: float | None = None

    def sizes(self, value: Doubles) -> Doubles:
        """What errors at these values are divided by."""
        return np.ones_like(value) if self.least is None else np.maximum(np.abs(value), self.least)

    @property
    def positive(self) -> bool:
        """Whether the argument must stay above some positive number, which has to be known."""
        return self.low is not None and self.low >= 0


def _erf(x: Doubles) -> Doubles:
    """The error function; of many numbers by Taylor's series of order seven around the nearest of some nodes."""
    if x.size <= _FEW:
        return np.array([math.erf(v) for v in x.reshape(-1).tolist()]).reshape(x.shape)
    node = np.rint(np.clip(np.abs(x), 0, _TAIL) * _STEPS).astype(np.int64)
    at = node / _STEPS
    rest = np.clip(np.abs(x), 0, _TAIL) - at
    slope = 2 / math.sqrt(math.pi) * np.exp(-at * at)
    total, power = _ERF[node], rest.copy()
    before, now = np.zeros_like(at), np.ones_like(at)  # Hermite's polynomials: derivative n + 1 is (-1)^n H_n slope
    for n in range(1, 8):
        total += (1 if n % 2 else -1) * slope * now * power / math.factorial(n)
        power *= rest
        before, now = now, 2 * at * now - 2 * (n - 1) * before
    return np.asarray(np.where(x < 0, -total, total))


_ERF = np.array([math.erf(i / _STEPS) for i in range(_TAIL * _STEPS + 1)])


def _sigmoid(x: Doubles) -> Doubles:
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * x))


def _gelu(x: Doubles) -> Doubles:
    return 0.5 * x * (1 + _erf(x / math.sqrt(2)))


def _gelu_tanh(x: Doubles) -> Doubles:
    inner: Doubles = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    return np.asarray(0.5 * x * (1 + np.tanh(inner)))


def _softplus(x: Doubles) -> Doubles:
    return np.asarray(np.logaddexp(0.0, x))


def _mish(x: Doubles) -> Doubles:
    return x * np.tanh(_softplus(x))


def _hardswish(x: Doubles) -> Doubles:
    return x * np.clip(x / 6 + 0.5, 0.0, 1.0)


def _elu(x: Doubles) -> Doubles:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0.0)))


def _selu(x: Doubles) -> Doubles:
    return 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0.0)))


def _reciprocal(x: Doubles) -> Doubles:
    return 1.0 / x


def _rsqrt(x: Doubles) -> Doubles:
    return 1.0 / np.sqrt(x)


def _silu(x: Doubles) -> Doubles:
    return x * _sigmoid(x)


#: By the name that a node's attribute `function` has. `decay` is exp of numbers up to zero.
CURVES: Mapping[str, Curve] = {
    "decay": Curve(np.exp, extent=_ONE, high=0.0),
    "elu": Curve(_elu),
    "erf": Curve(_erf, extent=_ONE),
    "exp": Curve(np.exp, growth=lambda x: math.exp(min(x, 700.0)), least=1.0),
    "gelu": Curve(_gelu),
    "gelu_tanh": Curve(_gelu_tanh),
    "hardswish": Curve(_hardswish),
    "log": Curve(np.log, growth=lambda x: max(32.0, math.log(max(x, 1.0))), low=0.0),
    "mish": Curve(_mish),
    "reciprocal": Curve(_reciprocal, low=0.0, falling=True, least=0.0),
    "rsqrt": Curve(_rsqrt, low=0.0, falling=True, least=0.0),
    "selu": Curve(_selu, growth=lambda x: 1.1 * x + 2.0),
    "sigmoid": Curve(_sigmoid, extent=_ONE),
    "silu": Curve(_silu),
    "softplus": Curve(_softplus),
    "sqrt": Curve(np.sqrt, growth=lambda x: math.sqrt(x) + 1.0, low=0.0),
    "tanh": Curve(np.tanh, extent=_ONE),
}


def curve(name: object) -> Curve:
    """The curve `name`. Raises InvalidInput when there is none."""
    found = CURVES.get(name) if isinstance(name, str) else None
    if found is None:
        raise InvalidInput(f"there is no function {str(name)[:40]!r}; there are {', '.join(sorted(CURVES))}")
    return found
