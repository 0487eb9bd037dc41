"""A hosted plan: the owner's weights as integers, the registration with the dealer, and what clients are sent
of them.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tacit.corr.registration import Registrations
from tacit.errors import InvalidInput, PeerError
from tacit.net.channel import Channel
from tacit.plan.plan import Plan
from tacit.ring.prg import SEED_BYTES, Seed
from tacit.run import material
from tacit.run.dealing import peer_id
from tacit.run.handshake import Enlist, Enlisted
from tacit.run.register import packed_difference
from tacit.service.home import registration_for

__all__ = ["Hosted", "enlist"]


def enlist(channel: Channel, plan: Plan, registrations: Registrations) -> Seed:
    """Enlist `plan` with the dealer at the other end of a greeted channel; keeps and returns the registration seed.

    Mismatch if this home holds a registration under the same id for other weights.
    """
    text = plan.canonical()
    channel.send_message(Enlist(plan=plan.digest, size=len(text)))
    channel.send_data(text)
    if channel.recv_message(Enlisted).plan != plan.digest:
        raise PeerError("the dealer enlisted another plan than the one sent")
    seed = bytes(channel.recv_data(SEED_BYTES))
    registrations.save_seed(registration_for("seed", plan, peer_id(channel)), seed)
    return Seed(seed)


@dataclass
class Hosted:
    """One plan that a server offers. `call` opens a greeted channel to its dealer; None if it needs none."""

    plan: Plan
    registrations: Registrations = field(repr=False)
    call: Callable[[], Channel] | None = None
    dealer: str = ""
    threads: int = 1
    weights: material.Tensors = field(init=False, repr=False)
    _seed: Seed | None = field(default=None, init=False, repr=False)
    _digests: dict[int, bytes] = field(default_factory=dict, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.plan.graph is None:
            raise InvalidInput("a server needs the owner's .tacit file; this one is the public half")
        self.weights = material.server_tensors(self.plan)

    def enlisted(self) -> Seed:
        """The registration seed, from this home or from the dealer the first time."""
        with self._lock:
            if self._seed is None:
                kept = self.registrations.find("seed", self.plan.digest, self.dealer)
                self._seed = Seed(self.registrations.seed(kept)) if kept else self._enlist()
            return self._seed

    def _enlist(self) -> Seed:
        if self.call is None:
            raise InvalidInput("this plan needs a dealer; start the server with the dealer's address")
        with self.call() as channel:
            return enlist(channel, self.plan.public(), self.registrations)

    def packed(self, site: int) -> memoryview:
        """D of one step as it travels to a client."""
        return packed_difference(self.plan, self.weights, self.enlisted(), site, threads=self.threads)

    def digests(self) -> dict[int, bytes]:
        """SHA-256 of every D, in order; computed once."""
        sites = material.masked_sites(self.plan)
        missing: Iterable[int] = [site for site in sites if site not in self._digests]
        for site in missing:
            self._digests[site] = hashlib.sha256(self.packed(site)).digest()
        return {site: self._digests[site] for site in sites}
