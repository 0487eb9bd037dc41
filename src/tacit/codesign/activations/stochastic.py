"""StochasticReLU: ReLU with the faults of a sign test that leaves out low bits, to know their effect beforehand."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn

from tacit.errors import InvalidInput
from tacit.plan.plan import Plan
from tacit.secure.session import Step

__all__ = ["MODES", "StochasticReLU", "stochastic"]

MODES = ("negpass", "poszero")
_MOST = 62
#: Older versions of torch cannot tell export from compilation.
_exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)


class StochasticReLU(nn.Module):
    """ReLU of x whose sign is tested on the bits [drop, bits) of y = round(x * 2^fraction_bits), under a fresh mask.

    bits            the ring, or the window's upper end: y is a number mod 2^bits
    fraction_bits   of the number whose sign is tested, which is finer than an activation: before truncation
    drop            k, the low bits left out: |y| >= 2^k keeps its sign, below it faults happen
    mode            "negpass": y in (-2^k, 0) passes with probability 1 - |y| / 2^k; "poszero": y in [0, 2^k) becomes 0
                    with probability 1 - y / 2^k
    wrap            adds the fault of comparing shares instead of opening, |y| / 2^bits for every y: the law of Circa in
                    a field of that size (Ghodsi et al., NeurIPS 2021, section 3); Tacit's gates do not have it
    scale           what y counts, where that is no power of two; in place of 2^fraction_bits
    seed            of the faults; a copy of the module begins anew

    The law is the same in training and in evaluation; the gradient is ReLU's. Under export it is a ReLU. Raises
    InvalidInput for arguments out of range.
    """

    def __init__(
        self,
        bits: int,
        fraction_bits: int,
        drop: int,
        mode: str = "negpass",
        *,
        wrap: bool = False,
        scale: Fraction | int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if mode not in MODES:
            raise InvalidInput(f'mode must be "negpass" or "poszero", not {mode!r}')
        if not 2 <= bits <= (_MOST if wrap else 64):
            raise InvalidInput(f"bits must be from 2 to {_MOST if wrap else 64}, not {bits!r}")
        if not 0 <= drop <= min(bits - 2, _MOST):
            raise InvalidInput(f"drop must leave two of the {bits} bits, not be {drop!r}")
        if scale is None and not 0 <= fraction_bits <= _MOST:
            raise InvalidInput(f"fraction_bits must be from 0 to {_MOST}, not {fraction_bits!r}")
        if scale is not None and scale <= 0:
            raise InvalidInput(f"scale must be positive, not {scale!r}")
        self.bits, self.fraction_bits, self.drop, self.mode, self.wrap = bits, fraction_bits, drop, mode, wrap
        self.unit = float(scale if scale is not None else 1 << fraction_bits)
        self.seed = seed
        self._generator: torch.Generator | None = None

    @classmethod
    def from_plan(cls, plan: Plan, node: str, *, seed: int = 0) -> Self:
        """The ReLU of one node as a plan runs it: its ring, scale, window and tie. Raises InvalidInput."""
        steps = _gates(plan)
        if node not in steps:
            raise InvalidInput(f"the plan has no ReLU {node!r}; it has {', '.join(steps) or 'none'}")
        step = steps[node]
        low, high = (int(b) for b in step.attrs["bits"])
        scale = plan.wires[step.inputs[0]].scale
        fraction_bits = max(0, scale.numerator.bit_length() - scale.denominator.bit_length())
        return cls(high, fraction_bits, low, str(step.attrs["tie"]), scale=scale, seed=seed)

    def forward(self, x: Tensor) -> Tensor:
        """x where it passes, else 0: of the shape of x."""
        exact = torch.relu(x)
        if _exporting() or torch.jit.is_tracing():
            return exact
        return exact + (torch.where(self.passes(x.detach()), x, 0.0) - exact).detach()

    def passes(self, x: Tensor) -> Tensor:
        """Which entries are taken for positive, this time: a boolean tensor of the shape of x."""
        most = float(1 << _MOST)
        y = (x.double() * self.unit).round().clamp(-most, most).to(torch.int64)
        if self.wrap:
            return self._compared(y)
        low = y & ((1 << self.drop) - 1)
        carried = low + self._uniform(y, self.drop) >= 1 << self.drop
        v = (y >> self.drop) + carried - (1 if self.mode == "poszero" else 0)
        width = self.bits - self.drop
        return v >= 0 if width > _MOST else v & ((1 << width) - 1) < 1 << (width - 1)

    def _compared(self, y: Tensor) -> Tensor:
        """Circa's test: the share y + t mod 2^bits against t, both without their low bits."""
        t = self._uniform(y, self.bits)
        share = ((y + t) & ((1 << self.bits) - 1)) >> self.drop
        return share >= t >> self.drop if self.mode == "negpass" else share > t >> self.drop

    def _uniform(self, like: Tensor, bits: int) -> Tensor:
        """Whole numbers below 2^bits."""
        if self._generator is None or self._generator.device != like.device:
            self._generator = torch.Generator(device=like.device).manual_seed(self.seed)
        return torch.randint(0, 1 << bits, like.shape, generator=self._generator, device=like.device)

    def __getstate__(self) -> dict[str, Any]:
        """A copy begins its faults anew."""
        return {**self.__dict__, "_generator": None}

    def extra_repr(self) -> str:
        """The law."""
        return f"bits={self.bits}, fraction_bits={self.fraction_bits}, drop={self.drop}, mode={self.mode!r}" + (
            ", wrap=True" if self.wrap else ""
        )


def _gates(plan: Plan) -> dict[str, Step]:
    """The steps that are ReLUs, by node; of an owner's plan without those of max-pools, maxima and the like."""
    steps = {s.node: s for s in plan.steps if s.op == "relu" and tuple(s.attrs.get("slopes", (0, 1))) == (0, 1)}
    if plan.graph is None:
        return steps
    named = {node.id for node in plan.graph.nodes if node.op == "relu"}
    return {node: step for node, step in steps.items() if node in named}


def stochastic(plan: Plan, *, seed: int = 0) -> dict[str, Callable[[], StochasticReLU]]:
    """For every ReLU of a plan, by its name, what makes the same with its faults: `activation` of `convert`."""
    return {node: partial(StochasticReLU.from_plan, plan, node, seed=seed + i) for i, node in enumerate(_gates(plan))}
