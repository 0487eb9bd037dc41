"""The client: gets material ahead, checks its own policy before the first byte, and asks for predictions."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tacit.corr.store import Store
from tacit.errors import BundleSpent, Exhausted, InvalidInput, PeerError, RolledBack
from tacit.ir.onehot import from_indices
from tacit.net.channel import Channel
from tacit.plan.plan import Plan
from tacit.plan.policy import ClientPolicy
from tacit.plan.save import plan_from_json
from tacit.ring import bits
from tacit.run import material
from tacit.run.dealing import bundle_bytes, peer_id, request_bundles
from tacit.run.execute import as_floats, decode_outputs, encode_inputs
from tacit.run.handshake import EPOCH_ATTEMPTS, Again, Ask, Claim, Claimed, Opened, PlanText, Sync, Synced, Taken, greet
from tacit.run.online import needs_material, run_as_client
from tacit.run.priming import prime_as_client
from tacit.run.register import difference_wire, part_name, receive_differences
from tacit.run.stream import WARM_BYTES, PartStream, end_bundle
from tacit.secure.share import CLIENT, Words
from tacit.service.consent import check_dealer, check_plan
from tacit.service.home import Home, registration_for

__all__ = ["Client", "Spent"]

#: Layers asked for in one message; their digests must fit in the answer.
_REGISTER_AT_ONCE = 8192

Output = NDArray[np.float64]
#: Told what is being done, and how much of it is: layers of "registering weights", bytes of "dealing" and "priming".
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Spent:
    """What the last prediction cost: online seconds (from the first masked byte to the decoded answer), runs."""

    seconds: float
    runs: int


@dataclass
class Client:
    """A client of one plan at one server. Made by `tacit.connect`; for one thread of one process (open one for each).

    dial, dial_dealer   open a channel to the server or the dealer; the latter may be None if the stock suffices
    warm_bytes          how much of a bundle `ready` loads; the rest is read during the run
    """

    home: Home
    channel: Channel = field(repr=False)
    policy: ClientPolicy
    dial_dealer: Callable[[], Channel] | None = field(default=None, repr=False)
    threads: int = 2
    plan_digest: str = ""
    quota_gib: float = 64.0
    warm_bytes: int = WARM_BYTES
    plan: Plan = field(init=False, repr=False)
    dealer: str = field(init=False, default="")
    spent: Spent = field(init=False, default=Spent(0.0, 0))
    _store: Store = field(init=False, repr=False)
    _epoch: int = field(init=False, default=0, repr=False)
    _ready: tuple[bytes, PartStream | None] | None = field(init=False, default=None, repr=False)
    _process: int = field(init=False, default_factory=os.getpid, repr=False)
    _busy: threading.Lock = field(init=False, default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self._store = self.home.store(self.quota_gib)
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave; a bundle that was claimed and not used is erased."""
        self._drop()
        self.channel.close()
        self._store.close()

    @property
    def server(self) -> str:
        """The server's fingerprint."""
        return peer_id(self.channel)

    @property
    def stock(self) -> int:
        """Primed bundles: runs that can be made without the dealer."""
        return self._store.count(self.plan.digest, self.server)["primed"] + (self._ready is not None)

    def _open(self) -> None:
        greet(self.channel, "client", ("server",))
        opened = self._agree_on_epochs()
        self._epoch = opened.epoch
        if self.plan_digest not in ("", opened.plan):
            raise PeerError("the server opened another plan than the one asked for")
        kept = self.home.plan(opened.plan)
        self.plan = kept or self._download(opened)
        self.dealer = opened.dealer
        check_plan(self.plan, self.server, self.policy)
        if needs_material(self.plan):
            check_dealer(self.home.path, self.dealer, self.server, self.policy)
            self._synchronise()
        if kept is None:
            self.home.keep_plan(self.plan)

    def _agree_on_epochs(self) -> Opened:
        """Open the plan; anew if the server's epoch is behind, since another process of this client may have been told
        a later one meanwhile. RolledBack if it stays behind.
        """
        for _ in range(EPOCH_ATTEMPTS - 1):
            opened = self._ask()
            with suppress(RolledBack):
                self._store.note_peer_epoch(self.server, opened.epoch)
                return opened
        opened = self._ask()
        self._store.note_peer_epoch(self.server, opened.epoch)
        return opened

    def _ask(self) -> Opened:
        """Ask for the plan, anew with a fresh epoch while the server finds this one behind."""
        for _ in range(EPOCH_ATTEMPTS):
            self.channel.send_message(Ask(plan=self.plan_digest, epoch=self._store.epoch))
            answer = self.channel.recv_message(Opened, Again)
            if isinstance(answer, Opened):
                return answer
        raise PeerError("the server keeps asking for this client's epoch")

    def _download(self, opened: Opened) -> Plan:
        if opened.size > 64 << 20:
            raise PeerError("the server's plan is larger than 64 MiB")
        self.channel.send_message(PlanText())
        plan = plan_from_json(bytes(self.channel.recv_data(opened.size)), "the server's plan")
        if plan.digest != opened.plan:
            raise PeerError("the server's plan does not match its digest")
        return plan

    def _synchronise(self) -> None:
        """Bundles that only one side still has are dead on both."""
        digest = self.plan.digest
        dealt = list(self._store.ids(digest, self.server, "dealt"))
        primed = list(self._store.ids(digest, self.server, "primed"))
        self.channel.send_message(Sync(dealt=dealt, primed=primed))
        spent = set(self.channel.recv_message(Synced).spent)
        if not spent <= set(dealt) | set(primed):
            raise PeerError("the server names bundles that this client never asked about")
        for bundle in spent:
            self._store.erase(bundle)

    def register(self, progress: Progress | None = None) -> None:
        """Get the masked weights D, once per plan and server; an interrupted download goes on where it stopped."""
        registrations = self.home.registrations()
        terms = registration_for("weights", self.plan, self.server)
        sites = {part_name(site): site for site in material.masked_sites(self.plan)}
        if not sites or registrations.find("weights", self.plan.digest, self.server) is not None:
            return
        # Bundles that met another D would betray the difference: a registration made anew starts without any.
        self._store.reconcile(self.server, self._store.ids(self.plan.digest, self.server))
        registrations.begin(terms, list(sites))
        missing = [sites[name] for name in registrations.missing(terms.id)]
        done = len(sites) - len(missing)

        def keep(site: int, data: memoryview, digest: bytes) -> None:
            nonlocal done
            registrations.add(terms.id, part_name(site), data, digest)
            done += 1
            if progress:
                progress("registering weights", done, len(sites))

        for start in range(0, max(1, len(missing)), _REGISTER_AT_ONCE):
            some = missing[start : start + _REGISTER_AT_ONCE]
            whole = receive_differences(self.channel, self.plan, some, keep)
        registrations.finish(terms.id, whole)

    def prepare(self, count: int = 1, progress: Progress | None = None) -> None:
        """Make at least `count` runs ready: register if needed, have bundles dealt, prime them.

        Exhausted if there is no dealer to ask. Safe to interrupt: what is dealt or primed stays.
        """
        if not needs_material(self.plan):
            return
        self.register(progress)
        dealt = list(self._store.ids(self.plan.digest, self.server, "dealt"))
        wanted = count - self.stock - len(dealt)
        if wanted > 0:
            dealt += self._deal(wanted, progress)
        if dealt:
            halves, advance = self._halves(), _advance("priming", len(dealt) * self._primed_bytes(), progress)
            prime_as_client(self.channel, self.plan, self._store, dealt, halves, threads=self.threads, progress=advance)

    def _primed_bytes(self) -> int:
        """Bytes of frames that priming one bundle sends."""
        return sum(material.primed_bytes(self.plan).values())

    def _deal(self, count: int, progress: Progress | None) -> list[bytes]:
        if self.dial_dealer is None:
            raise Exhausted(
                "the stock of material is used up and no dealer is known; connect with the dealer's address"
            )
        advance = _advance("dealing", count * bundle_bytes(self.plan, CLIENT), progress)
        with self.dial_dealer() as channel:
            if self.dealer and peer_id(channel) != self.dealer:
                raise PeerError("the dealer at that address is not the one the server works with")
            greet(channel, "client", ("dealer",))
            return request_bundles(channel, self.plan, self.server, count, self._store, advance)

    def _halves(self) -> material.Tensors:
        """D of every layer, unpacked."""
        registrations = self.home.registrations()
        terms = registration_for("weights", self.plan, self.server)

        def unpacked(site: int) -> Words:
            wire = difference_wire(self.plan, site)
            packed = np.frombuffer(registrations.load_part(terms.id, part_name(site)), np.uint8)
            return bits.unpack(packed, wire.ring, wire.shape, threads=self.threads)

        return material.halves(self.plan, ((site, unpacked(site)) for site in material.masked_sites(self.plan)))

    def ready(self) -> None:
        """Claim a bundle on both sides and load it (at most `warm_bytes` of it), so that the next `predict` starts at
        once. Exhausted if none is left.
        """
        if self._ready is not None or not needs_material(self.plan):
            return
        taken: set[bytes] = set()
        while True:
            bundle = self._oldest(taken)
            self.channel.send_message(Claim(bundle=bundle))
            claimed = self.channel.recv_message(Claimed, Taken)
            if not isinstance(claimed, Claimed):
                taken.add(bundle)  # perhaps by another process of this client, which is about to claim it here
                continue
            if claimed.bundle != bundle:
                raise PeerError("the server claimed another bundle than the one proposed")
            self._note_claim(claimed.epoch)
            try:
                self._store.claim(bundle, self.plan.digest, self.server)
            except BundleSpent:
                continue  # another process of this client synchronised meanwhile: dead here, and there by the claim
            self._ready = (bundle, None)
            try:
                parts = PartStream(self._store, bundle, self.plan, CLIENT, self.warm_bytes)
                self._ready = (bundle, parts)
                parts.warm()
            except BaseException:
                self._drop()
                raise
            return

    def _note_claim(self, epoch: int) -> None:
        """Remember the server's epoch after a claim. RolledBack if the claim did not raise what this connection saw."""
        if epoch <= self._epoch:
            raise RolledBack("the server's store was restored from a copy while it runs; it must be purged there")
        self._epoch = epoch
        with suppress(RolledBack):  # another process of this client may have noted a later claim meanwhile
            self._store.note_peer_epoch(self.server, epoch)

    def _oldest(self, taken: set[bytes]) -> bytes:
        """The oldest primed bundle that is not in `taken`. Exhausted if none is left; those are erased then."""
        primed = self._store.ids(self.plan.digest, self.server, "primed") if taken else ()
        if taken.issuperset(primed):
            self._store.reconcile(self.server, taken)
            return self._store.oldest_primed(self.plan.digest, self.server)
        return next(bundle for bundle in primed if bundle not in taken)

    def predict(self, *xs: Any, prepare: bool = True) -> Any:
        """The model's outputs for inputs whose first axis is the examples: an array, or a list if the model has
        several.

        More examples than the plan's batch take several runs; the last is filled up with zeros. With `prepare`,
        missing material is made on the way. InvalidInput before anything is sent if an input is wrong, or if another
        thread or process is using this client. After an error in the middle of a run the connection is closed.
        """
        arrays = [as_floats(x, f"input {i}") for i, x in enumerate(self._rows(xs), 1)]
        if not arrays or any(a.ndim == 0 or len(a) != len(arrays[0]) for a in arrays) or not len(arrays[0]):
            raise InvalidInput("every input needs the same, positive number of examples on its first axis")
        batches = list(_batches(arrays, self.plan.batch))
        encoded = [encode_inputs(self.plan, batch) for batch in batches]
        seconds, results = 0.0, []
        with self._alone():
            for number, words in enumerate(encoded):
                self._supply(len(encoded) - number, prepare)
                outputs, took = self._run(words)
                results.append(outputs)
                seconds += took
        self.spent = Spent(seconds, len(encoded))
        joined = [np.concatenate(parts)[: len(arrays[0])] for parts in zip(*results, strict=True)]
        return joined[0] if len(joined) == 1 else joined

    def _rows(self, xs: Sequence[Any]) -> list[Any]:
        """The inputs, indices written as the rows that the model takes for them."""
        wires = list(self.plan.inputs.values())
        return [from_indices(x, w.shape) for x, w in zip(xs, wires, strict=True)] if len(xs) == len(wires) else list(xs)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Refuse a second thread, and a forked child: both would use the bundle that the first one holds."""
        if os.getpid() != self._process or not self._busy.acquire(blocking=False):
            raise InvalidInput("this client is in use by another thread or process; connect once in each")
        try:
            yield
        finally:
            self._busy.release()

    def _supply(self, runs: int, prepare: bool) -> None:
        """A claimed bundle; with `prepare`, material for all `runs` still to come is made if there is none."""
        if prepare and self.stock == 0:
            self.prepare(runs)
        try:
            self.ready()
        except Exhausted:  # what was counted as stock turned out to be spent at the server
            if not prepare:
                raise
            self.prepare(runs)
            self.ready()

    def _run(self, words: dict[int, Words]) -> tuple[list[Output], float]:
        """Outputs and online seconds of one run. Its bundle is given up before the first masked byte leaves: whatever
        ends the run, an interrupt too, the same masks must never meet another input.
        """
        held, self._ready = self._ready, None
        bundle, parts = held or (bytes(16), None)
        started = time.perf_counter()
        try:
            shares = run_as_client(self.channel, self.plan, bundle, parts or {}, words, threads=self.threads)
            return decode_outputs(shares), time.perf_counter() - started
        except BaseException:
            self.channel.close()  # the server is still in the middle of that run
            raise
        finally:
            if held is not None:
                end_bundle(self._store, *held)

    def _drop(self) -> None:
        """Erase the bundle that was claimed and not used."""
        held, self._ready = self._ready, None
        if held is not None:
            end_bundle(self._store, *held)


def _advance(stage: str, total: int, progress: Progress | None) -> Callable[[int], None] | None:
    """What adds up the steps of a stage and tells `progress`."""
    if progress is None:
        return None
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        progress(stage, done, total)

    return advance


def _batches(arrays: list[Output], size: int) -> list[list[Output]]:
    """The examples in runs of `size`, the last filled up with zeros."""
    out = []
    for start in range(0, len(arrays[0]), size):
        rows = [a[start : start + size] for a in arrays]
        missing = size - len(rows[0])
        out.append([np.concatenate([r, np.zeros((missing, *r.shape[1:]))]) if missing else r for r in rows])
    return out
