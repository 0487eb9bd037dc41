"""Disclosure: what a plan reveals to whom, derived from its public half alone, in sentences a user reads before
a run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tacit.secure.protocol import Protocol

__all__ = ["Disclosure", "disclose"]


@dataclass(frozen=True)
class Disclosure:
    """`hidden` and `public` are sentences; `assumptions` what must hold; `exposes_input` if any step shows the
    input.
    """

    hidden: tuple[str, ...]
    public: tuple[str, ...]
    assumptions: tuple[str, ...]
    exposes_input: bool

    def lines(self) -> list[str]:
        """The statement, a sentence a line."""
        return [*self.hidden, *self.public, *(f"Assumes: {a}" for a in self.assumptions)]


def disclose(protocols: Iterable[Protocol], *, calibrated: bool) -> Disclosure:
    """The statement for a plan whose steps run under `protocols`; `calibrated` if its ranges are only observed."""
    chosen = list(protocols)
    exposes = any("input" not in p.threat.hides for p in chosen)
    assumptions = [a for p in chosen for a in p.threat.assumes]
    if calibrated:
        assumptions.append(
            "ranges are calibrated: an input far outside the owner's calibration data gives a wrong answer, unnoticed."
        )
    return Disclosure(
        hidden=tuple(dict.fromkeys(p.threat.statement for p in chosen)),
        public=(
            "Public to all parties: the graph, shapes, ring sizes, scales, ranges rounded to powers of two, and the "
            "activations' coefficients.",
            "The outputs go to the client alone; someone who may ask many questions can learn about the model "
            "from answers.",
        ),
        assumptions=tuple(dict.fromkeys(assumptions)),
        exposes_input=exposes,
    )
