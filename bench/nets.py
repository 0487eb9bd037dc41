"""Whole nets, every phase by itself, beside the peers: `python bench/nets.py [--full] [--nets ...] [--links ...]`.

A dealer, a server and a client run as three processes over mutual TLS and share two cores. Online times start with a
bundle claimed and loaded on both sides and end with the decoded answer. Writes one JSON file, for `lib/report.py`.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lib import machine, peers
from lib.models import INPUT_RANGE, NETS, build, images, largest_input
from lib.trial import Trial
from rich.console import Console
from rich.table import Table

import tacit
from tacit.cli._rates import measure_rates
from tacit.front.clear import run_clear
from tacit.net.shaper import LINKS, parse_link
from tacit.plan.bill import Bill
from tacit.plan.cost import Rates, load_rates
from tacit.plan.plan import Plan

__all__ = ["main"]

ROOT = Path(__file__).resolve().parent.parent
QUICK_NETS, QUICK_LINKS = ("lenet5", "minionn", "resnet32", "resnet18"), ("loopback", "wan")
CORES, THREADS, WARM, WEIGHT_BITS, INPUTS = 2, 2, 1, 13, 4
#: Material is made over loopback where a link would need longer than this for one bundle and the registration.
PATIENCE_S = 60.0
CLIENT, SERVER, DEALER = 0, 1, 2

Row = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """How to measure: `runs` counted predictions a case, `rates` for the predictions, progress to `say`."""

    runs: int
    rates: Rates
    folder: Path
    say: Callable[[str], None]


@dataclass(frozen=True)
class Subject:
    """A compiled net: the plan with its weights, inputs, their clear outputs, and facts about the net."""

    name: str
    ring: str
    plan: Plan
    inputs: np.ndarray[Any, Any]
    clear: np.ndarray[Any, Any]
    facts: Row


def _torch_seconds(model: torch.nn.Module, x: torch.Tensor, threads: int) -> float:
    """Median seconds of one plain inference."""
    torch.set_num_threads(threads)
    seconds = []
    with torch.inference_mode():
        for _ in range(12):
            started = time.perf_counter()
            model(x)
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[2:])


def prepare(name: str, ring: str) -> Subject:
    """Build, check and compile the net `name` with every ring of `ring` bits, or "auto"."""
    model, x = build(name), images(name, INPUTS)
    batch = torch.from_numpy(x)
    seconds = {str(t): _torch_seconds(model, batch[:1], t) for t in (1, CORES)}
    policy = tacit.Policy(ring=0 if ring == "auto" else int(ring), weight_bits=WEIGHT_BITS)
    plan = tacit.compile(model, batch[:1], policy=policy, calibration=[x[i : i + 1] for i in range(INPUTS)])
    assert plan.graph is not None
    clear = np.concatenate([run_clear(plan.graph, x[i : i + 1])[0] for i in range(INPUTS)])
    bill = plan.bill()
    facts = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "macs": sum(row.macs for row in bill.rows),
        "activations": sum(row.evaluations for row in bill.rows),
        "activation_layers": sum(1 for step in plan.steps if step.op == "poly"),
        "input_bytes": bill.messages("online")[0].bytes,
        "answer_bytes": bill.messages("online")[-1].bytes,
        "rings": sorted({wire.ring for wire in plan.wires.values()}),
        "input_bits": plan.settings["input_bits"],
        "weight_bits": plan.settings["weight_bits"],
        "largest_activation_input": largest_input(model, batch),
        "plain_torch_seconds": seconds,
    }
    return Subject(name, ring, plan, x, clear, facts)


def _offline_bytes(bill: Bill) -> dict[str, dict[str, int]]:
    """Billed bytes per party and phase before the query."""
    names = {"client": CLIENT, "server": SERVER, "dealer": DEALER}
    return {p: {f"from_{n}": bill.sent(p, r) for n, r in names.items()} for p in ("register", "deal", "prime")}


def _offline(made: Row, fetches: list[Row], billed: dict[str, dict[str, int]]) -> Row:
    """Seconds and bytes of register, deal and prime; the last two for each of `count` bundles.

    The server fetches its dealt parts while the client waits to prime: that time is counted as dealing.
    """
    count, visit = made["count"], fetches[0]
    deal_bytes = (made["deal"]["bytes_received"] + visit["bytes_received"]) / count
    prime_bytes = made["prime"]["bytes_sent"] / count
    registered = made["register"]["bytes_received"]
    expected = {phase: sum(billed[phase].values()) for phase in billed}
    return {
        "count": count,
        "register": {"seconds": made["register"]["seconds"], "bytes": registered},
        "deal": {"seconds": (made["deal"]["seconds"] + visit["seconds"]) / count, "bytes": deal_bytes},
        "prime": {"seconds": (made["prime"]["seconds"] - visit["seconds"]) / count, "bytes": prime_bytes},
        "as_billed": registered in (0, expected["register"])
        and deal_bytes == expected["deal"]
        and prime_bytes == expected["prime"],
    }


def _online(ran: Row, subject: Subject, bill: Bill) -> Row:
    """Seconds, bytes and accuracy of the counted runs."""
    outputs = np.array(ran["outputs"])
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
        "nrmse": math.sqrt(float(((outputs - clear) ** 2).mean() / (clear**2).mean())),
        "argmax_equal": int((outputs.argmax(1) == clear.argmax(1)).sum()),
    }


def measure(subject: Subject, link: str, options: Options) -> Row:
    """Every phase of one net over one link."""
    bill = subject.plan.bill(link, rates=options.rates)
    billed = _offline_bytes(bill)
    line = parse_link(link)
    total = sum(size for phase in billed.values() for size in phase.values())
    patient = line.bandwidth_bits_per_s == math.inf or 8 * total / line.bandwidth_bits_per_s <= PATIENCE_S
    with tempfile.TemporaryDirectory(prefix="tacit-nets-", dir=options.folder) as name:
        folder = Path(name)
        subject.plan.save(folder / "plan.tacit")
        np.save(folder / "inputs.npy", subject.inputs)
        trial = Trial(folder, folder / "plan.tacit", THREADS, CORES)
        load = machine.busy()
        first = trial.run(link if patient else "loopback", bundles=1)
        stock = trial.run("loopback", bundles=options.runs + WARM)
        ran = trial.run(link, runs=options.runs, warm=WARM, images=folder / "inputs.npy")
    return {
        "net": subject.name,
        "link": link,
        "ring": subject.ring,
        **subject.facts,
        "busy_before": round(load, 3),
        "offline_link": link if patient else "loopback",
        "offline": _offline(first["offline"], first["fetches"], billed),
        "offline_more": _offline(stock["offline"], stock["fetches"], billed),
        "material_bytes": {"client": bill.stored(CLIENT), "server": bill.stored(SERVER)},
        "online": _online(ran["online"], subject, bill),
        "predicted_seconds": bill.seconds(),
        "failure_bound": bill.failure,
    }


def _line(row: Row) -> str:
    online, offline = row["online"], row["offline"]
    return (
        f"{row['net']} {row['ring']} {row['link']}: online {1e3 * online['median']:.1f} ms (least "
        f"{1e3 * online['least']:.1f}, predicted {1e3 * row['predicted_seconds']:.1f}), register "
        f"{offline['register']['seconds']:.2f} s, deal {offline['deal']['seconds']:.2f} s, prime "
        f"{offline['prime']['seconds']:.2f} s, nRMSE {online['nrmse']:.1e}"
    )


def run_ours(name: str, rings: list[str], links: list[str], options: Options) -> Iterator[Row]:
    """All cases of ours for one net, one after the other; a ring that is too narrow for it is said and left out."""
    for ring in rings:
        try:
            subject = prepare(name, ring)
        except tacit.TacitError as error:
            options.say(f"{name} {ring}: {error}")
            continue
        for link in links:
            row = measure(subject, link, options)
            options.say(_line(row))
            yield row


def run_peers(name: str, links: list[str], scripts: Path, say: Callable[[str], None]) -> Iterator[Row]:
    """All cases of the peers for one net that their environments allow."""
    if not (scripts / "run.py").exists():
        return
    folder = ROOT / ".peers"
    for case in peers.cases(folder, [name], links):
        for row in peers.measure(case, scripts, folder):
            shown = row.get("failed") or f"{1e3 * row['seconds']:.0f} ms, {row['megabytes']:.1f} MB"
            say(f"{row['system']} {row['net']} {row['activation']} {row['link']} {row['part']}: {shown}")
            yield row


def _table(rows: list[Row], others: list[Row]) -> Table:
    table = Table(title="online, warm, two cores shared by all parties")
    for column in (
        "net",
        "ring",
        "link",
        "ms",
        "least",
        "MB up",
        "MB down",
        "CrypTen online",
        "whole",
        "quartic",
        "SPU",
    ):
        table.add_column(column, justify="left" if column in ("net", "ring", "link") else "right")
    for row in rows:
        online = row["online"]
        wanted = (("CrypTen", "relu", "online"), ("CrypTen", "relu", "whole"), ("CrypTen", "poly4", "whole"))
        cells = [_ratio(row, others, *key) for key in (*wanted, ("SPU Semi2k", "relu", "whole"))]
        figures = [f"{1e3 * online[k]:.1f}" for k in ("median", "least")]
        sizes = [f"{online[k] / 1e6:.2f}" for k in ("bytes_client", "bytes_server")]
        table.add_row(row["net"], row["ring"], row["link"], *figures, *sizes, *cells)
    return table


def _ratio(row: Row, others: list[Row], system: str, activation: str, part: str) -> str:
    """How many times as long the peer takes."""
    for other in others:
        same = (other["system"], other["activation"], other["part"]) == (system, activation, part)
        if same and (other["net"], other["link"]) == (row["net"], row["link"]) and "seconds" in other:
            return f"{other['seconds'] / row['online']['median']:.1f}x"
    return "-"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="all nets, all links, automatic and 64-bit rings")
    parser.add_argument("--nets", help=f"of {', '.join(NETS)}")
    parser.add_argument("--links", help=f"of {', '.join(LINKS)}, or a rate and a round trip such as 100mbit/40ms")
    parser.add_argument("--rings", help="auto, 32, 40, 44 or 64")
    parser.add_argument("--runs", type=int, default=5, help="counted predictions a case")
    parser.add_argument("--rates", type=Path, help="rates for the predictions; measured here if absent")
    parser.add_argument("--peers", default=str(ROOT.parent / "shared" / "peers"), help="the peers' scripts, or none")
    parser.add_argument("--peer-links", help="the links that peers are run on; loopback, or all with --full")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "local" / "nets.json")
    parser.add_argument("--folder", type=Path, help="where homes are made and removed again")
    return parser.parse_args()


def main() -> int:
    """Measure, print a table, write the JSON file."""
    given = _arguments()
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False, markup=False)
    nets = given.nets.split(",") if given.nets else list(NETS if given.full else QUICK_NETS)
    links = given.links.split(",") if given.links else list(LINKS if given.full else QUICK_LINKS)
    near = given.peer_links.split(",") if given.peer_links else links if given.full else ["loopback"]
    rings = given.rings.split(",") if given.rings else ["auto", "64"] if given.full else ["auto"]
    if unknown := sorted(set(nets) - set(NETS)):
        console.print(f"there is no net {unknown[0]}; known are {', '.join(NETS)}")
        return 2
    rates = load_rates(given.rates) if given.rates else measure_rates(threads=THREADS)
    options = Options(given.runs, rates, given.folder or Path(tempfile.gettempdir()), console.print)
    settings = {"threads": THREADS, "runs": given.runs, "input_range": INPUT_RANGE, "arguments": sys.argv[1:]}
    about = {"machine": machine.describe(CORES), "settings": settings, "rates": asdict(rates)}
    rows: list[Row] = []
    others: list[Row] = []
    given.out.parent.mkdir(parents=True, exist_ok=True)
    for name in nets:
        rows += run_ours(name, rings, links, options)
        others += run_peers(name, near, Path(given.peers), console.print)
        given.out.write_text(json.dumps({**about, "nets": rows, "peers": others}, indent=1) + "\n", "utf-8")
    console.print(_table(rows, others))
    console.print(f"written to {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
