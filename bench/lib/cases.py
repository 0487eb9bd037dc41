"""One case, a net under a policy over a link: every phase measured by itself, as a row of the results."""

from __future__ import annotations

import math
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lib import machine
from lib.subjects import INPUTS, Subject, nrmse, same_class
from lib.trial import Trial
from tacit.net.shaper import parse_link
from tacit.plan.bill import Bill
from tacit.plan.cost import Rates
from tacit.secure.share import CLIENT, DEALER, SERVER

__all__ = ["CORES", "THREADS", "Options", "measure"]

CORES, THREADS, WARM, COLD = 2, 2, 1, 2
#: Material is made over loopback where a link would need longer than this for one bundle and the registration.
PATIENCE_S = 60.0

Row = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """How to measure: `runs` counted predictions a case, `rates` for the predictions, progress to `say`.

    `disk` are the bytes that both parties' material may take; a case makes fewer runs rather than more of it.
    """

    runs: int
    rates: Rates
    folder: Path
    say: Callable[[str], None]
    disk: int = 24 << 30


def _offline_bytes(bill: Bill) -> dict[str, dict[str, int]]:
    """Billed bytes per party and phase before the query."""
    names = {"client": CLIENT, "server": SERVER, "dealer": DEALER}
    return {p: {f"from_{n}": bill.sent(p, r) for n, r in names.items()} for p in ("register", "deal", "prime")}


def _offline(made: Row, fetches: list[Row], billed: dict[str, dict[str, int]], evaluations: int) -> Row:
    """Seconds and bytes of register, deal and prime; the last two for each of `count` bundles.

    The server fetches its dealt parts while the client waits to prime: that time is counted as dealing.
    """
    count, visit = made["count"], fetches[0]
    deal_bytes = (made["deal"]["bytes_received"] + visit["bytes_received"]) / count
    deal_seconds = (made["deal"]["seconds"] + visit["seconds"]) / count
    prime_bytes = made["prime"]["bytes_sent"] / count
    registered = made["register"]["bytes_received"]
    expected = {phase: sum(billed[phase].values()) for phase in billed}
    return {
        "count": count,
        "register": {"seconds": made["register"]["seconds"], "bytes": registered},
        "deal": {"seconds": deal_seconds, "bytes": deal_bytes, "evaluations_per_second": evaluations / deal_seconds},
        "prime": {"seconds": (made["prime"]["seconds"] - visit["seconds"]) / count, "bytes": prime_bytes},
        "as_billed": registered in (0, expected["register"])
        and deal_bytes == expected["deal"]
        and prime_bytes == expected["prime"],
    }


def _online(ran: Row, subject: Subject, bill: Bill) -> Row:
    """Seconds, bytes and accuracy of the counted runs."""
    outputs = ran["outputs"]
    clear = subject.clear[[(WARM + i) % INPUTS for i in range(len(outputs))]]
    sent, received = ran["bytes_sent"], ran["bytes_received"]
    link, steps = bill.link, bill.turns
    return {
        "median": statistics.median(ran["seconds"]),
        "least": min(ran["seconds"]),
        "runs": ran["seconds"],
        "claim_median": statistics.median(ran["claim_seconds"]),
        "bytes_client": sent,
        "bytes_server": received,
        "as_billed": (sent, received) == (bill.sent("online", CLIENT), bill.sent("online", SERVER)),
        "one_way_steps": steps,
        "link_seconds": steps * link.rtt_s / 2 + 8 * (sent + received) / link.bandwidth_bits_per_s,
        "nrmse": nrmse(outputs, clear),
        "argmax_equal": same_class(outputs, clear),
    }


def _cold(ran: Row, bill: Bill, disk_rate: float) -> Row:
    """Seconds of runs that read their material from the disk as they go, and what the disk alone would take."""
    material = bill.stored(CLIENT) + bill.stored(SERVER)
    return {
        "median": statistics.median(ran["seconds"]),
        "least": min(ran["seconds"]),
        "runs": ran["seconds"],
        "bytes": material,
        "disk_bytes_per_second": disk_rate,
        "disk_seconds": material / disk_rate,
    }


def _runs(bill: Bill, options: Options) -> int:
    """Counted runs whose material fits the disk, one at least."""
    bundle = bill.stored(CLIENT) + bill.stored(SERVER)
    return max(1, min(options.runs, options.disk // max(1, bundle) - 2 * WARM - COLD))


def measure(subject: Subject, link: str, options: Options) -> Row:
    """Every phase of one net over one link."""
    bill = subject.plan.bill(link, rates=options.rates)
    billed, runs = _offline_bytes(bill), _runs(bill, options)
    line = parse_link(link)
    total = sum(size for phase in billed.values() for size in phase.values())
    patient = line.bandwidth_bits_per_s == math.inf or 8 * total / line.bandwidth_bits_per_s <= PATIENCE_S
    with tempfile.TemporaryDirectory(prefix="tacit-nets-", dir=options.folder) as name:
        folder = Path(name)
        subject.plan.save(folder / "plan.tacit")
        np.save(folder / "inputs.npy", subject.inputs[:INPUTS])
        trial = Trial(folder, folder / "plan.tacit", THREADS, CORES)
        load = machine.busy()
        first = trial.run(link if patient else "loopback", bundles=1)
        stock = trial.run("loopback", bundles=runs + COLD + 2 * WARM)
        images = folder / "inputs.npy"
        ran = trial.run(link, runs=runs, warm=WARM, images=images)
        cold = trial.run(link, runs=COLD, warm=WARM, images=images, cold=True)
        disk_rate = machine.disk_rate(folder)
    evaluations = subject.facts["evaluations"]
    return {
        "net": subject.name,
        "activation": subject.activation,
        "policy": subject.policy,
        "link": link,
        **subject.facts,
        "busy_before": round(load, 3),
        "offline_link": link if patient else "loopback",
        "offline": _offline(first["offline"], first["fetches"], billed, evaluations),
        "offline_more": _offline(stock["offline"], stock["fetches"], billed, evaluations),
        "material_bytes": {"client": bill.stored(CLIENT), "server": bill.stored(SERVER)},
        "online": _online(ran["online"], subject, bill),
        "cold": _cold(cold["online"], bill, disk_rate),
        "predicted_seconds": bill.seconds(),
        "failure_bound": bill.failure,
    }
