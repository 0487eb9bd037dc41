"""The dealer: makes material from public plans alone; sees neither weights nor inputs."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tacit.corr.bundle import Seeds, fresh_bundle_id
from tacit.corr.store import Dealing, Row, Store
from tacit.errors import BundleSpent, NotPermitted, PeerError
from tacit.net.channel import Channel
from tacit.plan.plan import Plan
from tacit.plan.save import plan_from_json
from tacit.ring.prg import SEED_BYTES, Seed
from tacit.run import material
from tacit.run.dealing import Order, bundle_bytes, peer_id, send_bundles
from tacit.run.handshake import Batch, DealRequest, Done, Enlist, Enlisted, Fetch, greet
from tacit.secure.share import CLIENT, SERVER
from tacit.service.home import Home, registration_for
from tacit.service.listen import Limits
from tacit.service.stock import Stock

__all__ = ["WAIT_S", "Dealer", "Progress"]

Progress = Callable[[str, int, int], None]

log = logging.getLogger("tacit.dealer")

#: Plans whose matrices A stay in memory.
_CACHED = 2
_PLAN_LIMIT = 64 << 20
#: Plans that one server may enlist.
_PLANS_EACH = 256

#: How long a bundle's seeds wait for the server to fetch its parts, in seconds; looked at when a dealer starts.
WAIT_S = 30 * 86400


def _kept(seeds: Seeds, owner: str) -> dict[str, bytes]:
    """What a dealer keeps of a bundle until the server `owner` has its parts."""
    return {"client": seeds.of(CLIENT).key, "server": seeds.of(SERVER).key, "owner": bytes.fromhex(owner)}


class Dealer:
    """Serves servers (enlist a plan, fetch their parts) and clients (ask for bundles). `handle` is thread-safe."""

    def __init__(
        self,
        home: str | Path,
        *,
        threads: int = 1,
        quota_gib: float = 4.0,
        ahead_gib: float = 1.0,
        limits: Limits | None = None,
        progress: Progress | None = None,
    ) -> None:
        """`progress` is told of every exchange: with whom, bytes sent, bytes in all; at its end both are equal.

        With a client's parts the server's are made, and wait in up to `ahead_gib` of memory until it fetches them.
        """
        self.home = Home.at(home)
        self.store: Store = self.home.store(quota_gib)
        self._registrations = self.home.registrations()
        self._threads, self._limits = threads, limits or Limits()
        self._matrices: OrderedDict[tuple[str, str], material.Tensors] = OrderedDict()
        self._stock = Stock(int(ahead_gib * (1 << 30)))
        self._lock = threading.Lock()
        self._progress = progress
        self._expire()

    def _expire(self) -> None:
        """Erase seeds that their server never fetched: a party of theirs is gone, and the other will take new ones."""
        now = time.time()
        for row in self.store.list():
            if row.state == "dealt" and now - row.time > WAIT_S:
                self.store.erase(row.bundle)

    def close(self) -> None:
        """Release the store."""
        self.store.close()

    def handle(self, channel: Channel) -> None:
        """Serve one peer until it leaves."""
        role = greet(channel, "dealer", ("client", "server"))
        channel.set_timeout(self._limits.idle_s)
        while True:
            if role == "client":
                self._deal(channel, channel.recv_message(DealRequest))
                continue
            request = channel.recv_message(Enlist, Fetch)
            if isinstance(request, Enlist):
                self._enlist(channel, request)
            elif isinstance(request, Fetch):
                self._fetch(channel, request)

    def _enlist(self, channel: Channel, request: Enlist) -> None:
        if request.size > _PLAN_LIMIT:
            raise PeerError("the plan is larger than 64 MiB")
        plan = plan_from_json(bytes(channel.recv_data(request.size)), "the server's plan")
        if plan.digest != request.plan:
            raise PeerError("the plan does not match its digest")
        owner = peer_id(channel)
        with self._lock:
            if sum(r.peer == owner for r in self._registrations.list()) >= _PLANS_EACH:
                raise NotPermitted("this server has enlisted as many plans as this dealer allows")
            terms = registration_for("seed", plan, owner)
            # A crash may have come between any two of these, so each is done unless it is done already.
            if self.home.plan(plan.digest) is None:
                self.home.keep_plan(plan)
            if self._registrations.find("seed", plan.digest, owner) is None:
                self._registrations.save_seed(terms, secrets.token_bytes(SEED_BYTES))
        channel.send_message(Enlisted(plan=plan.digest))
        channel.send_data(self._registrations.seed(terms))
        log.info("plan %s is enlisted by %s", plan.digest[:12], channel.peer)

    def _plan(self, digest: str, owner: str) -> Plan:
        """The plan that the server `owner` enlisted. Each server's A is its own, also for equal plans."""
        plan = self.home.plan(digest)
        if plan is None or self._registrations.find("seed", digest, owner) is None:
            raise NotPermitted("this dealer does not know that plan of that server; it has to enlist it first")
        return plan

    def _deal(self, channel: Channel, request: DealRequest) -> None:
        plan, owner, client = self._plan(request.plan, request.server), request.server, peer_id(channel)
        if self.store.count(peer=client)["dealt"] + request.count > self._limits.bundles:
            raise NotPermitted("this client has more bundles waiting here than the dealer allows")
        matrices = self._expand(plan, owner)
        made = [(fresh_bundle_id(), Seeds.fresh()) for _ in range(request.count)]
        self.store.put_many([Dealing(bundle, plan.digest, client, _kept(s, owner)) for bundle, s in made])
        channel.send_message(Batch(count=len(made)))
        begun: set[bytes] = set()
        theirs = bundle_bytes(plan, SERVER) - SEED_BYTES

        def order(bundle: bytes, seeds: Seeds) -> Order:
            """Made as its turn comes, so that room in the stock goes to those that are made first."""
            keep = partial(self._stock.add, bundle) if self._stock.reserve(bundle, theirs) else None
            return Order(bundle, plan, owner, CLIENT, seeds, matrices, other=keep)

        orders = (order(*each) for each in made)
        size, keys = len(made) * bundle_bytes(plan, CLIENT), len(made) * material.evaluations(plan)
        try:
            with self._told(channel, len(made), size, keys) as tell:

                def note(order: Order, size: int) -> None:
                    begun.add(order.bundle)
                    tell(order, size)

                send_bundles(channel, orders, threads=self._threads, progress=note)
                channel.recv_message(Done)
        except BaseException:
            for bundle, _ in made:  # whoever left may never ask the server to fetch these
                self._stock.take(bundle)
            raise
        finally:
            for bundle in (bundle for bundle, _ in made if bundle not in begun):  # the client left before these
                self.store.erase(bundle)

    def _fetch(self, channel: Channel, request: Fetch) -> None:
        if len(set(request.bundles)) < len(request.bundles):
            raise PeerError("the server asks for one bundle twice")
        owner = peer_id(channel)
        rows = [self.store.row(bundle) for bundle in request.bundles]
        waiting = [row for row in rows if row is not None and row.state == "dealt"]
        owners = {bytes(self.store.parts(row.bundle)["owner"]).hex() for row in waiting}
        if len(waiting) < len(rows) or owners - {owner}:
            raise BundleSpent("one of these bundles is not waiting here for this server")
        plans = {digest: self._plan(digest, owner) for digest in {row.plan for row in waiting}}
        orders = (self._order(row, plans[row.plan]) for row in waiting)
        size = sum(bundle_bytes(plans[row.plan], SERVER) for row in waiting)
        keys = sum(material.evaluations(plans[row.plan]) for row in waiting)
        with self._told(channel, len(waiting), size, keys) as tell:
            send_bundles(channel, orders, threads=self._threads, progress=tell)
            channel.recv_message(Done)
        for bundle in request.bundles:
            self._stock.take(bundle)
            self.store.erase(bundle)

    def _order(self, row: Row, plan: Plan) -> Order:
        """What the server of a waiting bundle is to be sent."""
        parts = self.store.parts(row.bundle)
        seeds = Seeds(Seed(bytes(parts["client"])), Seed(bytes(parts["server"])))
        return Order(row.bundle, plan, row.peer, SERVER, seeds, ready=lambda: self._stock.take(row.bundle))

    @contextmanager
    def _told(self, channel: Channel, count: int, total: int, keys: int) -> Iterator[Callable[[Order, int], None]]:
        """Tell `progress` of an exchange of `count` bundles, `total` bytes and `keys` activations, and log its end."""
        label, done, started = f"to {channel.peer}", 0, time.perf_counter()

        def tell(order: Order, size: int) -> None:
            nonlocal done
            done += size
            if self._progress is not None and done < total:
                self._progress(label, done, total)

        try:
            yield tell
            seconds = time.perf_counter() - started
            rates = (total / 1e6, total / 1e6 / seconds, keys / 1e6 / seconds)
            log.info("dealt %d bundles to %s: %.1f MB, %.1f MB/s, %.2f M activations/s", count, channel.peer, *rates)
        finally:
            if self._progress is not None:
                self._progress(label, total, total)

    def _expand(self, plan: Plan, owner: str) -> material.Tensors:
        """The matrices A of a plan, kept for the plans used last."""
        with self._lock:
            key = (plan.digest, owner)
            if key not in self._matrices:
                seed = Seed(self._registrations.seed(registration_for("seed", plan, owner)))
                self._matrices[key] = material.matrices(plan, seed, threads=self._threads)
            self._matrices.move_to_end(key)
            while len(self._matrices) > _CACHED:
                self._matrices.popitem(last=False)
            return self._matrices[key]
