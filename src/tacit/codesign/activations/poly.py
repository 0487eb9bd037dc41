"""PolyAct: a polynomial with public coefficients as an activation, which the importers take as one `poly` node."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from tacit.codesign.activations.curves import Curve
from tacit.codesign.activations.fit import PILLAR, Polynomial, fit
from tacit.errors import InvalidInput

__all__ = ["PolyAct"]


class PolyAct(nn.Module):
    """y = scale * P(x / scale), of the shape of x.

    polynomial      P; without one it is `fit(degree, bits, interval, target=target)`
    compat          "pillar": P is (322 + 512 x + 160 x^2 - 3 x^4) / 1024
    scale           a number, which is public and becomes part of the coefficients; or a tensor of one number, or one a
                    channel (axis 1), which is a buffer and the owner's secret like weights
    clip            while training, x / scale is held within [-clip, clip]: what escapes has no gradient
    tail            while training, P goes on beyond [-tail, tail] as its tangents there, so that escapes come back

    Evaluation is always the plain polynomial, so that what is measured is what will run. Numbers of 16 bits are widened
    to float32, for powers leave their range. Raises InvalidInput for arguments out of range.
    """

    scale: float | Tensor

    def __init__(
        self,
        polynomial: Polynomial | None = None,
        *,
        degree: int = 4,
        bits: int = 12,
        interval: float = 5.0,
        target: str | Curve = "relu",
        compat: str | None = None,
        scale: float | Tensor = 1.0,
        clip: float | None = None,
        tail: float | None = None,
    ) -> None:
        super().__init__()
        if compat not in (None, "pillar"):
            raise InvalidInput(f'compat must be "pillar" or None, not {compat!r}')
        if compat is not None and polynomial is not None:
            raise InvalidInput("give PolyAct a polynomial or compat, not both")
        if polynomial is None:
            polynomial = PILLAR if compat else fit(degree, bits, interval, target=target)
        for name, value in (("clip", clip), ("tail", tail)):
            if value is not None and not 0 < value < math.inf:
                raise InvalidInput(f"{name} must be a positive number or None, not {value!r}")
        self.polynomial, self.clip, self.tail = polynomial, clip, tail
        self.rescale(scale)

    def rescale(self, scale: float | Tensor) -> None:
        """Take another scale, as in the constructor. Raises InvalidInput unless it is positive and finite."""
        number = torch.as_tensor(scale).detach()
        if number.ndim > 1 or number.numel() == 0 or not bool((torch.isfinite(number) & (number > 0)).all()):
            raise InvalidInput("a scale must be a positive number, or a tensor of one positive number a channel")
        for names in (self.__dict__, self._buffers):
            names.pop("scale", None)
        if isinstance(scale, Tensor):
            self.register_buffer("scale", number.to(torch.float32).clone())
        else:
            self.scale = float(scale)

    def normalised(self, x: Tensor) -> Tensor:
        """x / scale: what the polynomial reads, without clipping. Shape of x; InvalidInput where channels differ."""
        return x if isinstance(self.scale, float) and self.scale == 1.0 else x / self._along(x)

    def _along(self, x: Tensor) -> float | Tensor:
        """The scale, in a shape that broadcasts along axis 1 of x."""
        scale = self.scale
        if isinstance(scale, float) or scale.ndim == 0:
            return scale
        if not torch.jit.is_tracing() and (x.ndim < 2 or x.shape[1] != scale.shape[0]):
            raise InvalidInput(f"scales of {scale.shape[0]} channels do not fit an array of shape {tuple(x.shape)}")
        return scale.view(-1, *(1,) * (x.ndim - 2))

    def forward(self, x: Tensor) -> Tensor:
        """The activation of every entry."""
        if x.dtype in (torch.float16, torch.bfloat16):
            x = x.float()
        z = self.normalised(x)
        y = self._training(z) if self.training else self._plain(z)
        return y if z is x else y * self._along(x)

    def _plain(self, z: Tensor) -> Tensor:
        """Horner's rule on the numerators, one division at the end: every literal in a trace is exact."""
        *rest, top = self.polynomial.numerators[: max(self.polynomial.degree, 1) + 1]
        y = z * top + rest[-1] if rest[-1] else z * top
        for numerator in reversed(rest[:-1]):
            y = y * z + numerator if numerator else y * z
        return y / (1 << self.polynomial.bits)

    def _training(self, z: Tensor) -> Tensor:
        if self.clip is not None:
            z = z.clamp(-self.clip, self.clip)
        if self.tail is None:
            return _Evaluation.apply(z, self.polynomial.values)
        inner = z.clamp(-self.tail, self.tail)
        slope = _Evaluation.apply(inner, _derivative(self.polynomial.values)).detach()
        return _Evaluation.apply(inner, self.polynomial.values) + slope * (z - inner)

    def extra_repr(self) -> str:
        """The polynomial and what is public of the rest; a scale that is a tensor is a secret."""
        parts = [str(self.polynomial)]
        if isinstance(self.scale, Tensor):
            parts.append(f"scale of {self.scale.numel()} channels" if self.scale.ndim else "scale")
        elif self.scale != 1.0:
            parts.append(f"scale={self.scale:g}")
        parts += [f"{name}={v:g}" for name, v in (("clip", self.clip), ("tail", self.tail)) if v is not None]
        return ", ".join(parts)


def _derivative(values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(i * v for i, v in enumerate(values))[1:] or (0.0,)


def _horner(z: Tensor, values: tuple[float, ...]) -> Tensor:
    """The polynomial with few temporaries, even and odd powers apart: half of the coefficients are mostly zero."""
    square = z * z
    even, odd = (_series(square, values[parity::2]) for parity in (0, 1))
    if isinstance(odd, float):
        return z * odd + even if odd or not isinstance(even, Tensor) else even
    return odd.mul_(z).add_(even)


def _series(x: Tensor, values: tuple[float, ...]) -> Tensor | float:
    """values[0] + values[1] x + ..; a number where only the first is not zero."""
    top = max((i for i, v in enumerate(values) if v), default=0)
    if top == 0:
        return values[0] if values else 0.0
    y = (x * values[top]).add_(values[top - 1])
    for value in reversed(values[: top - 1]):
        y = y.mul_(x)
        y = y.add_(value) if value else y
    return y


class _Evaluation(torch.autograd.Function):
    """P(z) for training: keeps z alone for the gradient, where the chain of products would keep every power."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, values: tuple[float, ...]) -> Tensor:
        """The values."""
        ctx.save_for_backward(z)
        ctx.values = values
        return _horner(z, values)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """The gradient, which has one itself."""
        (z,) = ctx.saved_tensors
        return grad * _Evaluation.apply(z, _derivative(ctx.values)), None
