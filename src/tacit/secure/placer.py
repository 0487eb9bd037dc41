"""Placer: what the planner offers to an operation that writes its own steps instead of one step of its own name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Protocol

from tacit.ir.graph import Node
from tacit.net.shaper import Link
from tacit.secure.share import Wire

__all__ = ["Placer"]


class Placer(Protocol):
    """The plan under construction. A site is the number of a step; `wires` holds the wire that each step makes.

    A method that takes `node` writes steps for that layer of the model; `source` is the node whose range a site has.
    """

    wires: list[Wire]

    @property
    def resolution(self) -> int:
        """Fraction bits of inputs and activations."""

    @property
    def widest(self) -> int:
        """The ring to give to a step that chooses one; it is narrowed when every range is known."""

    @property
    def link(self) -> Link:
        """The link that the plan is made for."""

    def emit(self, op: str, inputs: tuple[int, ...], node: str, attrs: Mapping[str, Any], **more: Any) -> int:
        """Append one step and return its site."""

    def bound(self, node: str) -> float:
        """The public bound of a node's magnitude: a power of two."""

    def dealt(self, site: int, node: str) -> int:
        """`site` with a dealt preset: remasked if need be."""

    def aligned(self, sites: list[int], node: Node) -> list[int]:
        """The sites at one common scale."""

    def truncated(self, site: int, node: str, source: str) -> int:
        """`site` brought back to the resolution."""

    def opened(self, site: int, node: str, source: str, bound: float) -> int:
        """`site`, whose magnitude stays below `bound`, opened once for all who need it."""

    def factors(self, sites: list[int], node: Node) -> list[int]:
        """The operands of a product of two secrets, opened; truncated before where that is needed or cheaper."""

    def fanned(self, opened: int, node: str, knots: Sequence[int], bound: float) -> int:
        """The differences of an opened value from whole `knots`, which stay below `bound` as the value does, stacked
        along a new first axis.
        """

    def linear(self, node: Node, site: int) -> int:
        """The product with the server's weights."""

    def polynomial(self, site: int, node: str, coeffs: list[str], source: str) -> int:
        """A public polynomial at `site`, brought back to the resolution."""

    def smooth(self, site: int, node: str, source: str, function: str, low: Fraction | None) -> int:
        """A curve of `tacit.ir.curves` at `site`, within the policy's error; `low` is what arguments do not fall below
        where the domain is positive. Raises InvalidInput.
        """

    def sign_bits(self, scale: Fraction, bound: float, *, exact: bool = False) -> list[int]:
        """The bits [low, high) of an opened value at `scale` below `bound` that a sign test looks at."""

    def kink(
        self,
        site: int,
        node: str,
        source: str,
        slopes: tuple[int, int] = (0, 1),
        *,
        bound: float | None = None,
        truncate: bool = True,
        knots: Sequence[Fraction] = (),
    ) -> int:
        """y times slopes[0] below zero and slopes[1] from zero on, for y at `site`, brought back to the resolution if
        `truncate`. With `knots`, that of y - t for each knot t, stacked along a new first axis.
        """
