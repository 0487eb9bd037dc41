"""Dealing over the wire: the dealer makes each party's parts of a bundle from one pair of seeds and sends them.

client -> dealer   DealRequest(plan, server, count)
dealer -> client   Batch(count), then per bundle: Bundle(id, plan, server), seed, parts in the plan's order
server -> dealer   Fetch(ids)
dealer -> server   per bundle: Bundle(id, plan, client), seed, parts in the plan's order
both   -> dealer   Done, when everything is durable at them

Nobody holds a bundle: the dealer makes the next parts while one is on its way, the receiver seals each as it comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tacit.corr.bundle import Seeds
from tacit.corr.store import Intake, Store
from tacit.errors import PeerError
from tacit.net.channel import Channel
from tacit.plan.plan import Plan
from tacit.ring.prg import SEED_BYTES, Seed
from tacit.run import material
from tacit.run.ahead import Ahead
from tacit.run.handshake import Batch, Bundle, DealRequest, Done, Fetch
from tacit.secure.share import CLIENT, SERVER

__all__ = [
    "NOBODY",
    "SEED_PART",
    "Came",
    "Order",
    "bundle_bytes",
    "fetch_parts",
    "peer_id",
    "request_bundles",
    "send_bundles",
]

#: The name under which a party stores its seed of a bundle.
SEED_PART = "seed"
#: Stands for the other party on transports without certificates.
NOBODY = "0" * 64

#: Bundles that are made durable together, to save synchronisations: so many, or so many bytes.
_GROUP: Final = 64
_GROUP_BYTES: Final = 256 << 20

#: Told the bytes that went or came: of a bundle's frames one after the other, without headers.
Came = Callable[[int], None]


@dataclass(frozen=True)
class Order:
    """A bundle of `plan` to be made for party `rank`; `peer` is the other party's fingerprint, `matrices` are A.

    `ready` are parts that were made before; `other` takes the other party's, which are then made in the same go.
    """

    bundle: bytes
    plan: Plan
    peer: str
    rank: int
    seeds: Seeds = field(repr=False)
    matrices: material.Tensors = field(default_factory=dict, repr=False)
    ready: Callable[[], dict[str, Any] | None] = field(default=lambda: None, repr=False)
    other: Callable[[str, Any], None] | None = field(default=None, repr=False)


def peer_id(channel: Channel) -> str:
    """The fingerprint of the party at the other end; NOBODY on a plain transport."""
    return channel.peer.fingerprint or NOBODY


def bundle_bytes(plan: Plan, rank: int) -> int:
    """Bytes of seed and parts that party `rank` is dealt for one bundle."""
    return SEED_BYTES + sum(size for _, size in material.dealt_parts(plan)[rank])


def _made(orders: Iterable[Order], threads: int) -> Iterator[tuple[Order, Any]]:
    """The data frames of all bundles, each with its order; None stands for the head of a bundle."""
    wanted: dict[tuple[str, int], list[str]] = {}
    for order in orders:
        plan, rank = order.plan, order.rank
        if (plan.digest, rank) not in wanted:
            wanted[plan.digest, rank] = [label for label, _ in material.dealt_parts(plan)[rank]]
        yield order, None
        yield order, order.seeds.of(rank).key
        due = iter(wanted[plan.digest, rank])
        if (ready := order.ready()) is not None:
            for label in due:
                yield order, ready.pop(label)
            continue
        parts = material.dealing(plan, order.seeds, rank, order.matrices, threads=threads, other=order.other)
        for label, part in parts:
            if label != next(due, None):
                raise RuntimeError(f"the part {label} was made where another is due")
            yield order, part
            del part  # or it would live while the next one is made


def _size(frame: tuple[Order, Any]) -> int:
    return 0 if frame[1] is None else memoryview(frame[1]).nbytes


def send_bundles(
    channel: Channel, orders: Iterable[Order], *, threads: int, progress: Callable[[Order, int], None] | None = None
) -> None:
    """The dealer's side: make and send bundles, the next parts while one is on its way.

    `progress` is told each order before its first frame (0), then the bytes of each frame that left. `orders` is worked
    off in another thread.
    """
    tell = progress or (lambda _order, _size: None)
    with Ahead(_made(orders, threads), _size) as frames:
        for order, part in frames:
            tell(order, 0 if part is None else memoryview(part).nbytes)
            if part is None:
                channel.meter.phase("handshake")
                channel.send_message(Bundle(bundle=order.bundle, plan=order.plan.digest, peer=order.peer))
            else:
                channel.meter.phase("deal")
                channel.send_data(part)
            del part
    channel.meter.phase("handshake")


@dataclass
class _Receiver:
    """One side's way from the wire to its store: parts are stored as they come, bundles made durable in groups."""

    channel: Channel
    plan: Plan
    parts: Sequence[tuple[str, int]]
    intake: Intake
    came: Came
    _room: NDArray[np.uint8] = field(init=False, repr=False)
    _waiting: int = 0
    _waiting_bytes: int = 0

    def __post_init__(self) -> None:
        # One part after the other lies here: fresh memory for each would cost more than receiving it.
        self._room = np.empty(max((size for _, size in self.parts), default=0), np.uint8)

    def take(self, check: Callable[[Bundle], None]) -> bytes:
        """Receive and store one bundle, whose head must pass `check`; returns its id."""
        self.channel.meter.phase("handshake")
        head = self.channel.recv_message(Bundle)
        if head.plan != self.plan.digest:
            raise PeerError("the dealer sent a bundle of another plan")
        check(head)
        self.intake.deal(head.bundle, self.plan.digest, head.peer)
        self.intake.reserve((SEED_BYTES, *(size for _, size in self.parts)))
        self.channel.meter.phase("deal")
        seed = bytes(self.channel.recv_data(SEED_BYTES))
        Seed(seed)  # its form is checked here
        self._keep(SEED_PART, seed)
        for label, size in self.parts:
            self.channel.recv_data_into(self._room[:size])
            self._keep(label, self._room[:size])
        self.channel.meter.phase("handshake")
        self._waiting += 1
        if self._waiting >= _GROUP or self._waiting_bytes >= _GROUP_BYTES:
            self.settle()
        return head.bundle

    def _keep(self, label: str, part: Any) -> None:
        self.intake.add(label, part)
        self._waiting_bytes += len(part)
        self.came(len(part))

    def settle(self) -> None:
        """Make what came durable."""
        self.intake.commit()
        self._waiting = self._waiting_bytes = 0


def request_bundles(
    channel: Channel, plan: Plan, server: str, count: int, store: Store, progress: Came | None = None
) -> list[bytes]:
    """The client's side: get `count` bundles for the server with this fingerprint into `store`; returns their ids.

    PeerError if the dealer sends other bundles than were asked for; StoreError. Whole ones may stay.
    """
    channel.send_message(DealRequest(plan=plan.digest, server=server, count=count))
    promised = channel.recv_message(Batch).count
    if promised != count:
        raise PeerError(f"the dealer promises {promised} bundles instead of {count}")

    def check(head: Bundle) -> None:
        if head.peer != server:
            raise PeerError("the dealer sent a bundle for another server")

    with store.intake() as intake:
        parts = material.dealt_parts(plan)[CLIENT]
        receiver = _Receiver(channel, plan, parts, intake, progress or (lambda _: None))
        got = [receiver.take(check) for _ in range(count)]
        receiver.settle()
    channel.send_message(Done())
    return got


def fetch_parts(
    channel: Channel, plan: Plan, bundles: Sequence[bytes], client: str, store: Store, progress: Came | None = None
) -> None:
    """The server's side: get its parts of `bundles`, dealt for `plan` and for the client with this fingerprint.

    PeerError if the dealer sends any other; StoreError. Whole ones may stay.
    """
    channel.send_message(Fetch(bundles=list(bundles)))
    with store.intake() as intake:
        parts = material.dealt_parts(plan)[SERVER]
        receiver = _Receiver(channel, plan, parts, intake, progress or (lambda _: None))
        for wanted in bundles:

            def check(head: Bundle, wanted: bytes = wanted) -> None:
                if head.bundle != wanted or head.peer != client:
                    raise PeerError("the dealer sent a bundle that was not asked for, or another client's")

            receiver.take(check)
        receiver.settle()
    channel.send_message(Done())
