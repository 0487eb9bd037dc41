"""The Bill: steps, bytes, material, failure bound and predicted seconds, per layer and phase, found by the dry
reading.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tacit.net.message import one_line
from tacit.net.shaper import Link
from tacit.plan.cost import Rates, transfer_seconds
from tacit.plan.plan import Plan, walk_wires
from tacit.plan.reasons import reasons
from tacit.ring.prg import SEED_BYTES
from tacit.secure.cost import PHASES, Cost, Message, Phase
from tacit.secure.session import Session, Step
from tacit.secure.share import CLIENT, DEALER, SERVER

__all__ = ["Bill", "Row", "make_bill"]

_NAMES = {CLIENT: "client", SERVER: "server", DEALER: "dealer"}


@dataclass(frozen=True)
class Row:
    """What the steps of one layer cost. `sent[phase][rank]` are frame bytes above TLS; `stored[rank]` bytes of
    material.
    """

    node: str
    ops: str
    ring: int
    messages: tuple[Message, ...]
    stored: tuple[int, int]
    macs: int
    evaluations: int
    failure: float
    steps: int
    client_macs: int = 0

    def sent(self, phase: Phase, rank: int) -> int:
        """Bytes that `rank` sends in `phase`."""
        return sum(m.bytes for m in self.messages if m.phase == phase and m.sender == rank)


def _turns(messages: Iterable[Message]) -> int:
    """One-way steps: how often the direction changes, the first message counted."""
    count, last = 0, None
    for m in messages:
        if m.sender != last:
            count, last = count + 1, m.sender
    return count


@dataclass(frozen=True)
class Bill:
    """The exact cost of one run of a plan. Bytes are to the byte what the meters show."""

    rows: tuple[Row, ...]
    link: Link
    rates: Rates
    batch: int
    reasons: tuple[str, ...] = ()

    def messages(self, phase: Phase) -> list[Message]:
        """Every data frame of `phase`, in order."""
        return [m for row in self.rows for m in row.messages if m.phase == phase]

    def sent(self, phase: Phase, rank: int) -> int:
        """Bytes that `rank` sends in `phase`, frame headers included."""
        return sum(row.sent(phase, rank) for row in self.rows)

    def received(self, phase: Phase, rank: int) -> int:
        """Bytes that `rank` receives in `phase`."""
        return sum(m.bytes for m in self.messages(phase) if m.receiver == rank)

    def stored(self, rank: int) -> int:
        """Bytes of material that `rank` keeps from priming to use."""
        return sum(row.stored[rank] for row in self.rows)

    @property
    def turns(self) -> int:
        """One-way message steps online."""
        return _turns(self.messages("online"))

    @property
    def failure(self) -> float:
        """Bound of the probability that any activation of one run is grossly wrong."""
        return sum(row.failure for row in self.rows)

    def seconds(self, rows: Iterable[Row] | None = None) -> float:
        """Predicted online seconds of one run on the link, for these rows or all."""
        chosen = list(self.rows if rows is None else rows)
        online = [m for row in chosen for m in row.messages if m.phase == "online"]
        total = sum(m.bytes for m in online)
        work = self.rates.compute(
            macs=sum(r.macs + r.client_macs for r in chosen),
            evaluations=sum(r.evaluations for r in chosen),
            wire_bytes=total,
            messages=len(online),
            steps=sum(r.steps for r in chosen),
        )
        return work + transfer_seconds(self.link, _turns(online), total)

    def __str__(self) -> str:
        d = self.data()
        lines = [f"{'layer':<24} {'ops':<24} {'ring':>4} {'steps':>5} {'bytes online':>13} {'stored':>12} {'ms':>8}"]
        for row, r in zip(self.rows, d["layers"], strict=True):
            online = sum(row.sent("online", rank) for rank in (CLIENT, SERVER))
            lines.append(
                f"{one_line(r['layer'], 24):<24} {r['ops'][:24]:<24} {r['ring']:>4} {r['online_steps']:>5} "
                f"{online:>13,} {r['stored_bytes']:>12,} {1e3 * r['predicted_seconds']:>8.2f}"
            )
        lines.append(
            f"{self.link.name}: {d['online_steps']} one-way steps, {self.sent('online', CLIENT):,} B from the client, "
            f"{self.sent('online', SERVER):,} B from the server, {1e3 * self.seconds():.1f} ms predicted; "
            f"material {self.stored(CLIENT) + self.stored(SERVER):,} B; gross error below {self.failure:.2g}"
        )
        return "\n".join([*lines, *(f"  {reason}" for reason in self.reasons)])

    def data(self) -> dict[str, Any]:
        """The bill as JSON data with stable keys."""
        return {
            "link": self.link.name,
            "batch": self.batch,
            "layers": [self._row(row) for row in self.rows],
            "phases": {
                phase: {f"bytes_from_{_NAMES[r]}": self.sent(phase, r) for r in (CLIENT, SERVER, DEALER)}
                for phase in PHASES
            },
            "online_steps": self.turns,
            "round_trips": (self.turns + 1) // 2,
            "stored_bytes_client": self.stored(CLIENT),
            "stored_bytes_server": self.stored(SERVER),
            "failure_bound": self.failure,
            "predicted_seconds": self.seconds(),
            "reasons": list(self.reasons),
        }

    def _row(self, row: Row) -> dict[str, Any]:
        online = [m for m in row.messages if m.phase == "online"]
        return {
            "layer": row.node,
            "ops": row.ops,
            "ring": row.ring,
            "online_steps": _turns(online),
            "bytes": {f"{p}_{_NAMES[r]}": row.sent(p, r) for p in PHASES for r in (CLIENT, SERVER, DEALER)},
            "stored_bytes": sum(row.stored),
            "macs": row.macs,
            "client_macs": row.client_macs,
            "activations": row.evaluations,
            "failure_bound": row.failure,
            "predicted_seconds": self.seconds([row]),
        }


def _row(node: str, parts: list[tuple[Step, Cost]], ring: int) -> Row:
    total = sum((cost for _, cost in parts), Cost())
    waiting = {r: sum(d.stored(r) for d in total.demands if d.lasting) for r in (CLIENT, SERVER)}
    kept = {r: sum(size for rank, size in total.kept if rank == r) for r in (CLIENT, SERVER)}
    stored = (kept[CLIENT] + waiting[CLIENT], kept[SERVER] + waiting[SERVER])
    ops = "+".join(dict.fromkeys(step.op for step, _ in parts))
    sites = len({step.site for step, _ in parts})
    macs, of_client = total.macs, total.client_macs
    return Row(node, ops, ring, total.messages, stored, macs, total.evaluations, total.failure, sites, of_client)


_SEEDS = Row(
    "(bundle)",
    "seeds",
    0,
    (Message("deal", DEALER, CLIENT, SEED_BYTES), Message("deal", DEALER, SERVER, SEED_BYTES)),
    (SEED_BYTES, SEED_BYTES),
    0,
    0,
    0.0,
    0,
)


def make_bill(plan: Plan, link: Link, rates: Rates | None = None) -> Bill:
    """The bill of `plan` on `link`, one row per layer of the model in the order of the run."""
    dry = Session("dry", 0)
    rings = {step.site: wire.ring for step, wire in walk_wires(plan.steps, plan.inputs, dry)}
    groups: list[tuple[str, list[tuple[Step, Cost]]]] = []
    for step, _, cost in dry.bill:
        if not groups or groups[-1][0] != step.node:
            groups.append((step.node, []))
        groups[-1][1].append((step, cost))
    rows = tuple(_row(node, parts, rings[parts[-1][0].site]) for node, parts in groups)
    if any(step.protocol != "clear" for step in plan.steps):  # every private run uses up a bundle, be it only its seeds
        rows = (_SEEDS, *rows)
    return Bill(rows, link, rates or Rates(), plan.batch, tuple(reasons(plan)))
