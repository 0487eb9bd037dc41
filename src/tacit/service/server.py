"""The server: holds models, serves many clients at once, claims each bundle durably before it is used."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tacit.corr.store import Store
from tacit.errors import (
    BundleSpent,
    ChannelError,
    Exhausted,
    InvalidInput,
    NotPermitted,
    PeerError,
    RolledBack,
)
from tacit.net.channel import Channel
from tacit.plan.plan import Plan
from tacit.run.dealing import NOBODY, fetch_parts, peer_id
from tacit.run.handshake import (
    EPOCH_ATTEMPTS,
    Again,
    Ask,
    Claim,
    Claimed,
    Opened,
    PlanText,
    Prime,
    Register,
    Run,
    Sync,
    Synced,
    Taken,
    greet,
)
from tacit.run.online import needs_material, run_as_server
from tacit.run.priming import prime_as_server
from tacit.run.register import send_differences
from tacit.run.stream import WARM_BYTES, PartStream, end_bundle
from tacit.secure.share import SERVER
from tacit.service.home import Home
from tacit.service.hosted import Hosted
from tacit.service.listen import Limits
from tacit.service.metrics import Metrics

__all__ = ["Server"]

log = logging.getLogger("tacit.server")


class Server:
    """Offers plans to clients. `handle` is thread-safe: one call a client.

    plans      owner's plans, the first is offered to clients that ask for none by digest
    dealer     fingerprint of the dealer; call: opens a channel to it that is greeted as a server
    warm_bytes how much claimed material is loaded before its runs, of all clients together; the rest is read in the run
    """

    def __init__(
        self,
        home: str | Path,
        plans: Sequence[Plan],
        *,
        dealer: str = "",
        call: Callable[[], Channel] | None = None,
        threads: int = 2,
        quota_gib: float = 64.0,
        limits: Limits | None = None,
        warm_bytes: int = WARM_BYTES,
    ) -> None:
        if not plans:
            raise InvalidInput("a server needs at least one plan")
        self.home = Home.at(home)
        self.store: Store = self.home.store(quota_gib)
        self.metrics = Metrics(self.store)
        self._threads, self._limits, self._call = threads, limits or Limits(), call
        self._warmth, self._warming = warm_bytes, threading.Lock()
        registrations = self.home.registrations()
        self.plans = {p.digest: Hosted(p, registrations, call, dealer, threads) for p in plans}
        self._first = plans[0].digest
        for hosted in self.plans.values():
            if needs_material(hosted.plan):
                hosted.enlisted()

    def close(self) -> None:
        """Release the store; whatever is claimed is erased."""
        self.store.close()

    def warmth(self, count: int) -> int:
        """Take up to `count` bytes of what may be loaded ahead of runs (a negative number gives back); what is left."""
        with self._warming:
            taken = min(count, self._warmth)
            self._warmth -= taken
            return taken

    def handle(self, channel: Channel) -> None:
        """Serve one client until it leaves."""
        greet(channel, "server", ("client",))
        channel.set_timeout(self._limits.idle_s)
        visit = _Visit(self, channel)
        try:
            while True:
                visit.next()
        finally:
            visit.leave()


class _Visit:
    """One client's connection: the open plan and the bundle it has claimed."""

    def __init__(self, server: Server, channel: Channel) -> None:
        self._server, self._channel, self._store = server, channel, server.store
        self._client = peer_id(channel)
        self._claimed: tuple[bytes, PartStream | None] | None = None
        self._warmth = 0
        self._hosted = self._open(channel.recv_message(Ask))

    def _open(self, ask: Ask) -> Hosted:
        for attempt in range(EPOCH_ATTEMPTS):
            try:
                self._store.note_peer_epoch(self._client, ask.epoch)
                break
            except RolledBack:
                if attempt == EPOCH_ATTEMPTS - 1:
                    raise
                self._channel.send_message(Again())
                ask = self._channel.recv_message(Ask)
        hosted = self._server.plans.get(ask.plan or self._server._first)
        if hosted is None:
            raise NotPermitted("this server does not offer that plan; its model may have been replaced")
        if self._client == hosted.dealer != NOBODY:  # it knows A, and D = W - A would complete the weights
            raise NotPermitted("the dealer of a plan cannot be its client; use another certificate for queries")
        plan = hosted.plan
        self._channel.send_message(
            Opened(plan=plan.digest, size=len(plan.canonical()), dealer=hosted.dealer, epoch=self._store.epoch)
        )
        return hosted

    def next(self) -> None:
        """Serve one request."""
        request = self._channel.recv_message(Ask, PlanText, Sync, Register, Prime, Claim, Run)
        if isinstance(request, Ask):
            self.leave()  # a bundle is claimed for the plan that was open
            self._hosted = self._open(request)
        elif isinstance(request, PlanText):
            self._channel.send_data(self._hosted.plan.canonical())
        elif isinstance(request, Sync):
            self._sync(request)
        elif isinstance(request, Register):
            send_differences(self._channel, request.sites, self._hosted.digests(), self._hosted.packed)
        elif isinstance(request, Prime):
            self._prime(request.bundles)
        elif isinstance(request, Claim):
            self._claim(request.bundle)
        elif isinstance(request, Run):
            self._run(request.bundle)

    def leave(self) -> None:
        """Erase what was claimed and not used up."""
        held, self._claimed = self._claimed, None
        if held is not None:
            end_bundle(self._store, *held)
        self._server.warmth(-self._warmth)
        self._warmth = 0

    def _sync(self, request: Sync) -> None:
        digest = self._hosted.plan.digest
        dealt = set(self._store.ids(digest, self._client, "dealt"))
        primed = set(self._store.ids(digest, self._client, "primed"))
        every = set(self._store.ids(digest, self._client))
        spent = [b for b in request.primed if b not in primed]
        spent += [b for b in request.dealt if b in every and b not in dealt | primed]
        self._channel.send_message(Synced(spent=spent))
        gone = (dealt | primed) - set(request.dealt) - set(request.primed)
        self._store.reconcile(self._client, gone)

    def _prime(self, bundles: list[bytes]) -> None:
        if len(set(bundles)) < len(bundles):
            raise PeerError("the client asks to prime one bundle twice")
        plan = self._hosted.plan
        dealt = set(self._store.ids(plan.digest, self._client, "dealt"))
        primed = set(self._store.ids(plan.digest, self._client, "primed"))
        absent = [b for b in bundles if b not in dealt | primed]
        if len(absent) + len(dealt) + len(primed) > self._server._limits.bundles:
            raise NotPermitted("this client has more bundles waiting here than the server allows")
        if absent:
            self._fetch(absent)
        fresh = frozenset(b for b in bundles if b not in primed)
        prime_as_server(self._channel, plan, self._store, bundles, fresh, threads=self._server._threads)
        self._server.metrics.primed(len(fresh))

    def _fetch(self, bundles: list[bytes]) -> None:
        plan = self._hosted.plan
        if self._hosted.call is None:
            raise Exhausted("this server has no dealer to fetch material from")

        try:
            with self._hosted.call() as dealer:
                fetch_parts(dealer, plan, bundles, self._client, self._store)
        except ChannelError as error:  # not the client's fault, and not the end of its channel: it is told
            log.warning("the dealer is out of reach: %s", error)
            raise Exhausted("this server cannot get its part of the material from the dealer now; try later") from error

    def _claim(self, bundle: bytes) -> None:
        self.leave()
        try:
            epoch = self._store.claim(bundle, self._hosted.plan.digest, self._client)
        except BundleSpent:
            self._channel.send_message(Taken(bundle=bundle))
            return
        self._claimed = (bundle, None)
        row = self._store.row(bundle)
        self._warmth = self._server.warmth(row.bytes if row else 0)
        parts = PartStream(self._store, bundle, self._hosted.plan, SERVER, self._warmth)
        self._claimed = (bundle, parts)
        parts.warm()
        self._channel.send_message(Claimed(bundle=bundle, epoch=epoch))

    def _run(self, bundle: bytes) -> None:
        plan, server = self._hosted.plan, self._server
        parts: Mapping[str, object] = {}
        if needs_material(plan):
            if self._claimed is None or self._claimed[0] != bundle:
                raise PeerError("the client wants to run with a bundle that it has not claimed")
            parts = self._claimed[1] or {}
        started = time.perf_counter()
        self._channel.set_timeout(server._limits.step_s)
        try:
            run_as_server(self._channel, plan, parts, self._hosted.weights, threads=server._threads)
        finally:
            self.leave()
        self._channel.set_timeout(server._limits.idle_s)
        server.metrics.answered(plan.batch, time.perf_counter() - started)
        log.info("answered %s in %.1f ms", self._channel.peer, 1e3 * (time.perf_counter() - started))
