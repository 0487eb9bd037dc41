"""Material: the readings that make it, from the owner's registration to a primed bundle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from tacit.corr.bundle import Seeds
from tacit.net.channel import Channel
from tacit.plan.compile import integer_weights
from tacit.plan.plan import Plan
from tacit.ring.native import Tensor
from tacit.ring.prg import Seed
from tacit.ring.tensor import mask, narrowed
from tacit.run.execute import Record, stepwise, walk
from tacit.secure import labels
from tacit.secure.session import Session
from tacit.secure.share import CLIENT, SERVER, Words

__all__ = [
    "Tensors",
    "deal",
    "dealing",
    "dealt_parts",
    "difference",
    "evaluations",
    "halves",
    "masked_sites",
    "matrices",
    "online_parts",
    "prime",
    "primed_bytes",
    "primed_parts",
    "priming",
    "server_tensors",
    "spent_parts",
]

Tensors = Mapping[tuple[int, str], Tensor]


def masked_sites(plan: Plan) -> list[int]:
    """The steps whose weights are split between dealer and client, in order."""
    return [step.site for step in plan.steps if "weight" in step.weights and step.protocol != "clear"]


def server_tensors(plan: Plan) -> dict[tuple[int, str], Tensor]:
    """The owner's integer tensors by (site, name), weights in the words that products mod 2^k take them in.

    Needs the owner's plan; LookupError for the public half.
    """
    integers = integer_weights(plan)
    own = {(site, "weight"): plan.wires[site].ring for site in masked_sites(plan)}
    return {key: narrowed(words, own[key]) if key in own else words for key, words in integers.items()}


def halves(plan: Plan, differences: Iterable[tuple[int, Words]]) -> dict[tuple[int, str], Tensor]:
    """The client's tensors out of every D, as (site, D)."""
    return {(site, "weight"): narrowed(d, plan.wires[site].ring) for site, d in differences}


def matrices(plan: Plan, registration: Seed, *, threads: int = 1) -> dict[tuple[int, str], Tensor]:
    """A for every linear layer, uniform mod 2^k: the dealer's half of the weights.

    The stream is bound to the plan's digest, which contains the commitment to the weights: another set of
    weights, ring or scale never meets the same A.
    """
    seed = registration.derive("matrix", bytes.fromhex(plan.digest), bytes.fromhex(plan.commitment))
    out = {}
    for site in masked_sites(plan):
        step, ring = plan.steps[site], plan.wires[site].ring
        matrix = seed.uniform(labels.MATRIX, site, step.weights["weight"], ring, threads=threads)
        out[site, "weight"] = narrowed(matrix, ring)
    return out


def difference(plan: Plan, weights: Tensors, registration: Seed, site: int, *, threads: int = 1) -> Words:
    """D = W - A mod 2^k for one layer: what the server gives the client at registration."""
    seed = registration.derive("matrix", bytes.fromhex(plan.digest), bytes.fromhex(plan.commitment))
    step, ring = plan.steps[site], plan.wires[site].ring
    matrix = seed.uniform(labels.MATRIX, site, step.weights["weight"], ring, threads=threads)
    return mask(np.asarray(weights[site, "weight"], dtype=np.uint64) - matrix, ring)


def dealt_parts(plan: Plan) -> dict[int, list[tuple[str, int]]]:
    """What each rank is dealt for one bundle: (label, bytes) in the order of the plan, by rank."""
    dry = Session("dry", CLIENT)
    walk(plan, dry)
    demands = [demand for _, _, cost in dry.bill for demand in cost.demands]
    return {rank: [(d.label, d.stored(rank)) for d in demands if d.stored(rank)] for rank in (CLIENT, SERVER)}


def evaluations(plan: Plan) -> int:
    """Activations evaluated in one run: how many keys one bundle holds."""
    dry = Session("dry", CLIENT)
    walk(plan, dry)
    return sum(cost.evaluations for _, _, cost in dry.bill)


def primed_bytes(plan: Plan) -> dict[int, int]:
    """Bytes of the frames that the client sends while priming one bundle, for every site."""
    dry = Session("dry", CLIENT)
    walk(plan, dry)
    sizes = dict.fromkeys(range(len(plan.steps)), 0)
    for step, _, cost in dry.bill:
        sizes[step.site] += sum(m.bytes for m in cost.messages if m.phase == "prime")
    return sizes


def online_parts(plan: Plan, rank: int, labels: Iterable[str]) -> list[str]:
    """`labels` of stored parts of `rank` in the order in which a run takes them; those of no step come first."""
    dealt = {label: place for place, (label, _) in enumerate(dealt_parts(plan)[rank])}

    def place(label: str) -> tuple[int, int]:
        site = label.partition("/")[0]
        return int(site) if site.isdecimal() else -1, dealt.get(label, -1)

    return sorted(labels, key=place)


def spent_parts(plan: Plan) -> tuple[str, ...]:
    """Labels of the client's dealt parts that priming uses up."""
    dry = Session("dry", CLIENT)
    walk(plan, dry)
    demands = [demand for _, _, cost in dry.bill for demand in cost.demands]
    return tuple(d.label for d in demands if d.stored(CLIENT) and not d.lasting)


def primed_parts(plan: Plan) -> dict[int, int]:
    """Bytes that priming adds to the store of each rank."""
    dry = Session("dry", CLIENT)
    walk(plan, dry)
    kept = [entry for _, _, cost in dry.bill for entry in cost.kept]
    return {rank: sum(size for r, size in kept if r == rank) for rank in (CLIENT, SERVER)}


def dealing(
    plan: Plan,
    seeds: Seeds,
    rank: int,
    tensors: Tensors,
    *,
    threads: int = 1,
    other: Callable[[str, Any], None] | None = None,
) -> Iterator[tuple[str, Any]]:
    """The dealer's reading: the parts of `rank`, each with its label, in the order of `dealt_parts`.

    A part is made when it is asked for, for a bundle with these seeds. `tensors` are the matrices A. With `other`, the
    other party's parts are made in the same go, for less than they cost by themselves, and handed to it.
    """
    aside: dict[str, Any] = {}
    s = Session("deal", rank, seeds=seeds, tensors=tensors, threads=threads, other=None if other is None else aside)
    for _ in stepwise(plan, s):
        while other is not None and aside:
            other(*aside.popitem())
        yield from _drained(s)


def deal(plan: Plan, seeds: Seeds, rank: int, tensors: Tensors, *, threads: int = 1) -> dict[str, Any]:
    """All parts of `dealing` at once, by label."""
    return dict(dealing(plan, seeds, rank, tensors, threads=threads))


def priming(
    plan: Plan,
    rank: int,
    seeds: Seeds,
    channel: Channel,
    dealt: Mapping[str, Any],
    tensors: Tensors | None = None,
    *,
    threads: int = 1,
    progress: Callable[[int], None] | None = None,
    record: Record | None = None,
) -> Iterator[tuple[str, Any]]:
    """One party's priming over `channel`: the parts that it adds to its bundle, each with its label, as they come.

    The client's `tensors` are D. `progress` is told the sites of the steps that are done, `record` this party's parts.
    """
    channel.meter.phase("prime")
    s = Session("prime", rank, channel, seeds, dealt, tensors=tensors or {}, threads=threads)
    for step, value in stepwise(plan, s):
        yield from _drained(s)
        if record is not None:
            record(step, value)
        if progress is not None:
            progress(step.site)


def prime(
    plan: Plan,
    rank: int,
    seeds: Seeds,
    channel: Channel,
    dealt: Mapping[str, Any],
    tensors: Tensors | None = None,
    *,
    threads: int = 1,
    record: Record | None = None,
) -> dict[str, Any]:
    """All parts of `priming` at once, by label."""
    return dict(priming(plan, rank, seeds, channel, dealt, tensors, threads=threads, record=record))


def _drained(s: Session) -> Iterator[tuple[str, Any]]:
    """What a session has made since the last time, out of its hands."""
    while s.made:
        label = next(iter(s.made))
        yield label, s.made.pop(label)
