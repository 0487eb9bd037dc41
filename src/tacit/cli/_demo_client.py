"""The demo's client: `python -m tacit.cli._demo_client HOME SERVER DEALER`, with nothing but its own home to read.

HOME/images.npy            its secret input: pixels 0..16, uint8 [N, 8, 8]
HOME/digits.public.tacit   the plan it expects, without weights
HOME/logits.npy            what it learns, float64 [N, 10]; written at the end
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tacit.cli._demo_events import Measured, Progress, emit
from tacit.cli._demo_homes import INPUT_FILE, OUTPUT_FILE, PUBLIC_FILE
from tacit.errors import TacitError
from tacit.net.channel import Channel
from tacit.net.keys import peers
from tacit.net.meter import Meter, Phase
from tacit.plan.plan import Plan
from tacit.plan.policy import ClientPolicy
from tacit.plan.save import load_plan
from tacit.service.api import connect
from tacit.service.client import Client

__all__ = ["main"]

#: Runs whose material is made together: few enough for steady progress, many enough to share a synchronised write.
GROUP = 10
MADE: tuple[Phase, ...] = ("register", "deal", "prime")


@dataclass
class _Visit:
    """One client's work with one server, timed by stage and metered on every channel that it opens."""

    client: Client
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    meters: list[Meter] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.meters.append(self.client.channel.meter)
        dial = self.client.dial_dealer
        assert dial is not None

        def metered() -> Channel:
            channel = dial()
            self.meters.append(channel.meter)
            return channel

        self.client.dial_dealer = metered

    def prepare(self, runs: int) -> None:
        """Register, then have material for `runs` runs dealt and primed, GROUP at a time."""
        started = time.perf_counter()
        self.client.register(lambda _, done, total: emit(Progress("registering", done, total)))
        self.seconds["register"] = time.perf_counter() - started
        for ready in range(0, runs, GROUP):
            self._prepare_group(ready, min(GROUP, runs - ready), runs)

    def _prepare_group(self, ready: int, count: int, runs: int) -> None:
        """Two stages, told apart by the client's own progress: dealing ends with its last bundle on disk."""
        started = dealt = time.perf_counter()
        told = ("", 0)

        def tell(stage: str, done: int, total: int) -> None:
            nonlocal dealt, told
            if stage == "dealing":
                dealt = time.perf_counter()
            whole = ready + count * done // total
            if (stage, whole) != told:  # bytes come often, whole runs seldom
                told = (stage, whole)
                emit(Progress(stage, whole, runs))

        self.client.prepare(ready + count, tell)
        self.seconds["deal"] += dealt - started
        self.seconds["prime"] += time.perf_counter() - dealt

    def predict(self, images: NDArray[np.float64]) -> NDArray[np.float64]:
        """The logits of every image, one private run a batch."""
        batch = self.client.plan.batch
        answers = []
        for start in range(0, len(images), batch):
            before = time.perf_counter()
            self.client.ready()
            self.seconds["claim"] += time.perf_counter() - before
            answers.append(self.client.predict(images[start : start + batch], prepare=False))
            self.seconds["online"] += self.client.spent.seconds
            emit(Progress("predicting", min(start + batch, len(images)), len(images)))
        return np.concatenate(answers)

    def measured(self, runs: int) -> Measured:
        """Every figure so far."""
        taken = [meter.snapshot() for meter in self.meters]
        online = [snapshot["online"] for snapshot in taken]
        made = {p: sum(s[p].bytes_sent + s[p].bytes_received for s in taken) for p in MADE}
        return Measured(
            runs,
            dict(self.seconds),
            {str(phase): size for phase, size in made.items()},
            sum(c.bytes_sent for c in online),
            sum(c.bytes_received for c in online),
            sum(c.turns for c in online),
        )


def _policy(home: Path, plan: Plan) -> ClientPolicy:
    """Exactly this plan, this server and this dealer; anything else is refused before the first byte of input."""
    known = {peer.name: peer.fingerprint for peer in peers(home)}
    return ClientPolicy(servers=(known["server"],), dealers=(known["dealer"],), plans=(plan.digest,))


def main() -> int:
    """Connect, prepare, predict, leave; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    parser.add_argument("server", help="address of the server")
    parser.add_argument("dealer", help="address of the dealer")
    parser.add_argument("--link", default="loopback")
    args = parser.parse_args()
    home: Path = args.home
    pixels = np.load(home / INPUT_FILE, allow_pickle=False)
    try:
        plan = load_plan(home / PUBLIC_FILE)
        policy = _policy(home, plan)
        with connect(args.server, home=home, dealer=args.dealer, policy=policy, link=args.link, threads=1) as client:
            visit, runs = _Visit(client), -(-len(pixels) // plan.batch)
            visit.prepare(runs)
            logits = visit.predict(pixels.astype(np.float64)[:, None] / 16)
            np.save(home / OUTPUT_FILE, logits, allow_pickle=False)
            emit(visit.measured(runs))
    except TacitError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
