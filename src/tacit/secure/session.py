"""Session: one party's live run of a plan in one reading; everything a kernel may touch is an argument of it."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tacit.corr.bundle import Seeds
from tacit.corr.demand import Demand
from tacit.errors import InvalidInput, PeerError, StoreError
from tacit.net.channel import Channel
from tacit.ring import bits
from tacit.ring.native import Tensor
from tacit.secure import labels
from tacit.secure.cost import Cost
from tacit.secure.kernel import Leaf
from tacit.secure.protocol import Protocol
from tacit.secure.share import CLIENT, Share, Wire, Words

__all__ = ["Reading", "Session", "Step"]

Reading = Literal["dry", "deal", "prime", "online"]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Step:
    """One instruction of a plan: `site` is its number, `inputs` the sites it reads, `node` the layer it came from.

    `weights` gives the shapes of the integer tensors that only the server has; `attrs` is public JSON data.
    """

    site: int
    op: str
    inputs: tuple[int, ...]
    attrs: Mapping[str, Any]
    protocol: str
    node: str
    weights: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def fraction(self, name: str) -> Fraction:
        """The attribute `name`, written "numerator/denominator"."""
        return Fraction(self.attrs[name])


@dataclass
class Session:
    """What one party has in its hands while it walks a plan.

    reading    which meaning of the kernels runs
    rank       0 client, 1 server; in "deal", the party whose parts are being made
    step       the instruction being run (set by the executor)
    protocol   the protocol of that instruction
    channel    to the other party (prime, online)
    seeds      of the bundle: a party's own, or both in "deal"
    taken      stored parts by label, given to this run
    made       parts that this run makes, to be stored
    other      in "deal", where the other party's parts are made as well go; None: they are not made
    tensors    by (site, name): W at the server, D at the client, A at the dealer; words mod 2^k, "weight" in uint32 for
               k of up to 32 (`tacit.ring.tensor.narrowed`)
    bill       costs by site, filled by "dry"
    """

    reading: Reading
    rank: int
    channel: Channel | None = field(default=None, repr=False)
    seeds: Seeds = field(default_factory=Seeds, repr=False)
    taken: Mapping[str, Any] = field(default_factory=dict, repr=False)
    made: MutableMapping[str, Any] = field(default_factory=dict, repr=False)
    other: MutableMapping[str, Any] | None = field(default=None, repr=False)
    tensors: Mapping[tuple[int, str], Tensor] = field(default_factory=dict, repr=False)
    threads: int = 1
    bill: list[tuple[Step, str, Cost]] = field(default_factory=list, repr=False)
    step: Step = field(init=False, repr=False)
    protocol: Protocol = field(init=False, repr=False)
    _drawn: set[tuple[int, int, int]] = field(default_factory=set, repr=False)

    def read(self, leaf: Leaf, operands: tuple[Share, ...]) -> Share:
        """Run `leaf` in this session's reading."""
        if self.reading == "dry":
            wires = [share.wire for share in operands]
            self.bill.append((self.step, leaf.name, leaf.cost(self, *wires)))
            return Share(leaf.out(self, *wires))
        body = {"deal": leaf.deal, "prime": leaf.prime, "online": leaf.online}[self.reading]
        return body(self, *operands)

    def uniform(self, owner: int, domain: int, shape: tuple[int, ...], ring: int) -> Words:
        """The mask that party `owner`'s seed gives this step, uniform mod 2^ring; each (owner, domain, site)
        once a run.
        """
        self._once(owner, domain)
        return self.seeds.of(owner).uniform(domain, self.step.site, shape, ring, threads=self.threads)

    def stream(self, owner: int, domain: int) -> tuple[bytes, int]:
        """Key and nonce of the same stream, for kernels that expand it themselves."""
        self._once(owner, domain)
        return self.seeds.of(owner).key, (domain << 32) | self.step.site

    def recall_opening(self, site: int, wire: Wire) -> Words:
        """This party's half of the mask of the opening at `site`, which this step reads as `wire`, drawn once more.

        Several steps may: what each computes with it stays with this party or leaves under a mask of its own.
        """
        if site not in self.step.inputs:
            raise RuntimeError(f"step {self.step.site} asked for the mask of step {site}, which it does not read")
        domain = labels.OPEN_CLIENT if self.rank == CLIENT else labels.OPEN_SERVER
        return self.seeds.of(self.rank).uniform(domain, site, wire.shape, wire.ring, threads=self.threads)

    def _once(self, owner: int, domain: int) -> None:
        use = (owner, domain, self.step.site)
        if use in self._drawn:
            raise RuntimeError(f"step {self.step.site} asked for the same mask twice")
        self._drawn.add(use)

    def send(self, values: Words, ring: int) -> None:
        """Send `values` to the other party, packed to `ring` bits, as one data frame."""
        self._peer().send_data(bits.pack(values, ring, threads=self.threads))

    def receive(self, wire: Wire) -> Words:
        """Receive one data frame holding the elements of `wire`, packed; PeerError if its size is not exactly that."""
        data = self._peer().recv_data(wire.packed)
        try:
            return self.unpack(data, wire)
        except InvalidInput as error:
            raise PeerError(f"{self._peer().peer} sent a damaged value: {error}") from None

    def receive_packed(self, wire: Wire) -> Any:
        """Receive the same frame and leave it packed, for storing."""
        return self._peer().recv_data(wire.packed)

    def pack(self, values: Words, ring: int) -> Bytes:
        """`values` packed to `ring` bits an element, for storing."""
        return bits.pack(values, ring, threads=self.threads)

    def unpack(self, data: Any, wire: Wire) -> Words:
        """Words of `wire.shape` from packed bytes. InvalidInput if they are not exactly that."""
        return bits.unpack(np.frombuffer(data, np.uint8), wire.ring, wire.shape, threads=self.threads)

    def demand(self, demand: Demand, *given: Tensor) -> None:
        """Reading "deal": make this party's part of `demand` for the presets `given`, or both parties'."""
        if self.other is not None:
            parts = demand.pair(self.seeds, *given, threads=self.threads)
            if 1 - self.rank in parts:
                self.other[demand.label] = parts[1 - self.rank]
            if self.rank in parts:
                self.put(demand.label, parts[self.rank])
        elif demand.stored(self.rank):
            part = demand.ideal(self.seeds, self.rank, *given, threads=self.threads)
            self.put(demand.label, part)

    def put(self, label: str, part: Any) -> None:
        """Keep a part under `label` for storing; each label once."""
        if label in self.made:
            raise RuntimeError(f"step {self.step.site} made the part {label} twice")
        self.made[label] = part

    def take(self, label: str, size: int) -> Any:
        """The stored part `label` as a flat buffer of exactly `size` bytes; StoreError if it is missing or of
        another size.
        """
        try:
            part = self.taken[label]
        except KeyError:
            raise StoreError(f"the bundle has no part {label}; it was made for another plan") from None
        view = memoryview(part).cast("B")
        if view.nbytes != size:
            raise StoreError(f"the bundle's part {label} has {view.nbytes} bytes, not {size}")
        return view

    def tensor(self, name: str) -> Words:
        """The server's integer tensor `name` of the current step, in words of 64 bits."""
        return np.asarray(self.tensors[self.step.site, name], dtype=np.uint64)

    def weight(self) -> Tensor:
        """This party's tensor "weight" of the current step (W, D or A, by party), as products take it."""
        return self.tensors[self.step.site, "weight"]

    def _peer(self) -> Channel:
        if self.channel is None:
            raise LookupError("this reading has no channel")
        return self.channel
