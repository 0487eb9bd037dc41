"""Expected bills: what a private inference with each net costs, kept in bills.json and told without torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path

from tacit.net.shaper import Link
from tacit.plan.cost import Rates, transfer_seconds
from tacit.plan.policy import Policy
from tacit.secure.share import CLIENT, SERVER
from tacit.zoo import load

__all__ = ["POLICY", "Facts", "expected", "measured", "write_expected"]

#: What every expected bill is made with, but for the weights' bits, which the net knows: finer than they need be.
POLICY = Policy(input_bits=16, weight_bits=18, smooth_bits=14)


@dataclass(frozen=True)
class Facts:
    """One inference (batch 1) of a net of published size and made weights under POLICY. Bytes are of frames above TLS.

    parameters      numbers that are trained
    inputs          shapes
    macs            multiply-accumulates of the server, as the model has them; `client_macs` the client's
    activations     values that pass an activation or a comparison
    turns           one-way steps online; `messages` frames, `sites` steps of the plan
    bytes_client    that the client sends online; `bytes_server` the server
    stored_client   bytes of material that the client keeps for one inference; `stored_server` the server
    dealt           bytes from the dealer for one inference; `primed` from client to server before it
    registered      bytes from server to client, once for any number of inferences
    """

    parameters: int
    inputs: tuple[tuple[int, ...], ...]
    macs: int
    client_macs: int
    activations: int
    turns: int
    messages: int
    sites: int
    bytes_client: int
    bytes_server: int
    stored_client: int
    stored_server: int
    dealt: int
    primed: int
    registered: int

    def seconds(self, link: Link, rates: Rates | None = None) -> float:
        """Predicted seconds of one inference online, as `plan.bill.Bill.seconds` predicts them."""
        wire_bytes = self.bytes_client + self.bytes_server
        work = (rates or Rates()).compute(
            macs=self.macs + self.client_macs,
            evaluations=self.activations,
            wire_bytes=wire_bytes,
            messages=self.messages,
            steps=self.sites,
        )
        return work + transfer_seconds(link, self.turns, wire_bytes)


def expected() -> dict[str, Facts]:
    """The kept bill of each net, by name."""
    kept = json.loads(files("tacit").joinpath("zoo", "bills.json").read_text("utf-8"))
    return {name: Facts(**{**row, "inputs": tuple(map(tuple, row["inputs"]))}) for name, row in kept.items()}


def write_expected(facts: dict[str, Facts], path: Path) -> None:
    """Write `facts` as `expected` reads them, a line a net."""
    rows = (f"{json.dumps(name)}: {json.dumps(asdict(row))}" for name, row in sorted(facts.items()))
    path.write_text("{\n" + ",\n".join(rows) + "\n}\n", "utf-8")


def measured(name: str) -> Facts:
    """The bill of the net called `name`, found by compiling it; needs torch. Raises InvalidInput and Refused."""
    from tacit.front.compile import compile_model

    net = load(name)
    size = net.published
    model = size.model()
    plan = compile_model(model, size.example(), policy=replace(POLICY, weight_bits=net.weight_bits))
    bill = plan.bill()
    online = bill.messages("online")

    def total(phase: str) -> int:
        return sum(m.bytes for row in bill.rows for m in row.messages if m.phase == phase)

    return Facts(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        inputs=size.shapes,
        macs=sum(row.macs for row in bill.rows),
        client_macs=sum(row.client_macs for row in bill.rows),
        activations=sum(row.evaluations for row in bill.rows),
        turns=bill.turns,
        messages=len(online),
        sites=sum(row.steps for row in bill.rows),
        bytes_client=bill.sent("online", CLIENT),
        bytes_server=bill.sent("online", SERVER),
        stored_client=bill.stored(CLIENT),
        stored_server=bill.stored(SERVER),
        dealt=total("deal"),
        primed=total("prime"),
        registered=total("register"),
    )
