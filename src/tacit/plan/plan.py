"""The Plan: a checked list of steps both parties walk in the same order, with the owner's graph beside it or
without.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tacit import ops
from tacit.ir.graph import Graph
from tacit.net.shaper import Link, parse_link
from tacit.secure.protocol import load_protocol
from tacit.secure.session import Session, Step
from tacit.secure.share import Share, Wire
from tacit.secure.threat import Disclosure, disclose

if TYPE_CHECKING:
    from tacit.plan.bill import Bill
    from tacit.plan.cost import Rates

__all__ = ["FORMAT", "Plan", "run_step", "walk_wires"]

#: Counts changes of the plan's format and of the meaning of its steps; parties with different numbers refuse each
# other.
FORMAT = 2


def run_step(s: Session, step: Step, operands: list[Share]) -> Share:
    """One step in the session's reading: the protocol's own kernel of that name if it has one, else the op's
    program.
    """
    s.step, s.protocol = step, load_protocol(step.protocol)
    native = s.protocol.kernels.get(step.op)
    return native(s, *operands) if native else ops.load(step.op).lower(s, *operands)


def walk_wires(steps: tuple[Step, ...], inputs: Mapping[int, Wire], s: Session) -> Iterator[tuple[Step, Wire]]:
    """The dry reading: every step with the wire it makes; costs gather in `s.bill`."""
    wires: dict[int, Wire] = {}
    for step in steps:
        operands = [Share(inputs[step.site])] if not step.inputs else [Share(wires[i]) for i in step.inputs]
        wires[step.site] = run_step(s, step, operands).wire
        yield step, wires[step.site]


@dataclass(frozen=True)
class Plan:
    """What the parties agree on, and (for the owner) the graph with its weights.

    steps        in order; the first ones of op "mask" are the inputs
    inputs       the raw wire of each input step, by site
    ranges       public bound of the magnitude per input, opened, fanned or revealed step, a power of two, by site
    settings     the policy's public settings (trust, bits, ranges, margin, hash of the calibration data)
    commitment   SHA-256 of a secret salt and the integer weights: names the weights without telling them
    salt         public, random: separates two plans with everything else equal
    graph        the owner's, None in the public half
    opening      the secret salt of the commitment, None in the public half
    """

    steps: tuple[Step, ...]
    inputs: Mapping[int, Wire]
    ranges: Mapping[int, float]
    settings: Mapping[str, Any]
    commitment: str
    salt: str
    graph: Graph | None = field(default=None, repr=False)
    opening: bytes | None = field(default=None, repr=False)

    @cached_property
    def wires(self) -> dict[int, Wire]:
        """The wire that each step makes, by site."""
        return {step.site: wire for step, wire in walk_wires(self.steps, self.inputs, Session("dry", 0))}

    @cached_property
    def outputs(self) -> tuple[Step, ...]:
        """The revealing steps, in the order of the model's outputs."""
        return tuple(step for step in self.steps if step.op == "reveal")

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the public half in canonical form; equal digests mean the same protocol run."""
        return hashlib.sha256(self.canonical()).hexdigest()

    def canonical(self) -> bytes:
        """The public half as JSON with sorted keys and no spaces."""
        return msgspec.json.encode(self.public_data(), order="deterministic")

    def public_data(self) -> dict[str, Any]:
        """The public half as JSON data."""
        return {
            "format": FORMAT,
            "steps": [
                {
                    "op": s.op,
                    "inputs": list(s.inputs),
                    "attrs": dict(s.attrs),
                    "protocol": s.protocol,
                    "node": s.node,
                    "weights": {k: list(v) for k, v in s.weights.items()},
                }
                for s in self.steps
            ],
            "inputs": {
                str(site): {"shape": list(w.shape), "ring": w.ring, "scale": str(w.scale)}
                for site, w in self.inputs.items()
            },
            "ranges": {str(site): bound for site, bound in self.ranges.items()},
            "settings": dict(self.settings),
            "commitment": self.commitment,
            "salt": self.salt,
        }

    def public(self) -> Plan:
        """The public half: what clients and the dealer get."""
        return replace(self, graph=None, opening=None)

    @cached_property
    def disclosure(self) -> Disclosure:
        """Who learns what, derived from the steps themselves."""
        names = sorted({step.protocol for step in self.steps})
        return disclose([load_protocol(n) for n in names], calibrated=self.settings.get("ranges") == "calibrated")

    @property
    def noise(self) -> tuple[float | None, ...]:
        """For each output, how far a private run's values may lie from those of the same integers in the clear, as its
        owner measured it (`plan.measure.noise`); None where none is stated, and for settings that state it otherwise.
        """
        measured = self.settings.get("measured")
        stated = measured.get("noise") if isinstance(measured, dict) else None
        if not isinstance(stated, (list, tuple)) or len(stated) != len(self.outputs):
            return (None,) * len(self.outputs)
        return tuple(bound if isinstance(bound, float) and 0 < bound < 2.0**64 else None for bound in stated)

    @property
    def batch(self) -> int:
        """Examples in one run."""
        return next(iter(self.inputs.values())).shape[0]

    def bill(self, network: str | Link = "loopback", *, rates: Rates | None = None) -> Bill:
        """The exact cost of one run and its predicted time on `network` ("lan", "wan", "100mbit/40ms" or a Link)."""
        from tacit.plan.bill import make_bill

        return make_bill(self, parse_link(network) if isinstance(network, str) else network, rates)

    def save(self, path: str | Path) -> None:
        """Write the owner's file, with weights, readable by its user alone."""
        from tacit.plan.save import save_owner

        save_owner(self, path)

    def save_public(self, path: str | Path) -> None:
        """Write the public half, for clients and the dealer."""
        from tacit.plan.save import save_public

        save_public(self, path)
