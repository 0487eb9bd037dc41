"""ReLU by itself: `python bench/relu.py [--exponents 16,20] [--resume]`; bytes, keys, seconds, and the peers beside it.

"End to end" is a whole prediction of a net that is one ReLU, by three processes over TLS on loopback: it also masks and
sends the input, multiplies and reveals the answer, which the same run without the ReLU shows by itself ("around"). The
peers start and end with shares, so that their figure compares with the difference. Writes one JSON file, for
`lib/report.py`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from kernels import KEY, measure, words
from lib import machine, peers
from lib.cases import CORES, THREADS
from lib.policies import POLICIES
from lib.subjects import key_bytes
from lib.trial import Trial
from nets import PEER_KEY, run_peers
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from tacit.ir.graph import Graph, Node
from tacit.plan.compile import plan_graph
from tacit.plan.plan import Plan
from tacit.plan.policy import Policy
from tacit.ring import native
from tacit.secure.share import CLIENT, SERVER

__all__ = ["ends", "main", "one_layer", "speeds"]

ROOT = Path(__file__).resolve().parent.parent
Row = dict[str, Any]
POLICY_NAMES = ("ring32", "exact32", "windowed", "ring40", "ring64")
RANGE, WARM = 8.0, 1
#: Fraction bits of inputs and weights in each ring; ranges are declared such that products fill the ring.
FRACTIONS = {32: (13, 13), 40: (16, 14), 64: (16, 14)}
#: The comparison in a ring of 32 bits, on keys in cache and in memory.
BITS, KEYS = 31, (1 << 10, 1 << 19)


def one_layer(count: int, name: str, *, relu: bool = True) -> Plan:
    """The plan, under the named policy, of a net that takes `count` values times a secret 1, and their ReLU.

    The product gives the values the scale that they have in a net. Without `relu` that is all there is.
    """
    asked = POLICIES[name]
    fine, weights = FRACTIONS[int(asked["ring"])]
    policy = Policy(**{**asked, "input_bits": fine, "weight_bits": weights})  # type: ignore[arg-type]
    nodes = [Node("x", "input", (), (1, count)), Node("y", "affine", ("x",), (1, count), {"axis": 0}, {"gain": "one"})]
    if relu:
        nodes.append(Node("z", "relu", ("y",), (1, count)))
    bounds = {"x": RANGE, "y": 2.0 ** (policy.ring - 2 - fine - weights), "z": RANGE}
    return plan_graph(Graph(tuple(nodes), (nodes[-1].id,), {"one": np.ones(1)}), policy, bounds, bounds, "")


def _run(plan: Plan, x: NDArray[np.float64], runs: int, folder: Path) -> Row:
    """What the client measured over all phases of `runs` predictions of `x`, and of one that does not count."""
    with tempfile.TemporaryDirectory(prefix="tacit-relu-", dir=folder) as name:
        home = Path(name)
        plan.save(home / "plan.tacit")
        np.save(home / "inputs.npy", x)
        trial = Trial(home, home / "plan.tacit", THREADS, CORES)
        return trial.run("loopback", bundles=runs + WARM, runs=runs, warm=WARM, images=home / "inputs.npy")


def ends(exponent: int, name: str, runs: int, folder: Path) -> Row:
    """2^exponent ReLUs end to end under the policy called `name`."""
    count = 1 << exponent
    x = np.clip(np.random.default_rng(exponent).standard_normal((1, count)), -RANGE, RANGE)
    load = machine.busy()
    plan = one_layer(count, name)
    ran = _run(plan, x, runs, folder)
    around = _run(one_layer(count, name, relu=False), x, runs, folder)["online"]["seconds"]
    error = np.abs(ran["online"]["outputs"] - np.maximum(x, 0))
    bill, seconds = plan.bill(), ran["online"]["seconds"]
    online = bill.messages("online")
    dealt = ran["offline"]["deal"]["seconds"] + ran["fetches"][0]["seconds"]
    sent = ran["online"]["bytes_sent"] + ran["online"]["bytes_received"]
    return {
        "values": count,
        "policy": name,
        "ring": plan.wires[0].ring,
        "busy_before": round(load, 3),
        "seconds": statistics.median(seconds),
        "least_seconds": min(seconds),
        "around_seconds": statistics.median(around),
        "runs": seconds,
        "online_bytes_per_relu": (sent - online[0].bytes - online[-1].bytes) / count,
        "as_billed": sent == bill.sent("online", CLIENT) + bill.sent("online", SERVER),
        "key_bytes": {who: key_bytes(plan, rank) / count for who, rank in (("client", CLIENT), ("server", SERVER))},
        "material_bytes_per_relu": (bill.stored(CLIENT) + bill.stored(SERVER)) / count,
        "dealt_per_second": count * ran["offline"]["count"] / dealt,
        "largest_error": float(error.max() * 2 ** plan.settings["input_bits"]),
    }


def speeds(repeats: int) -> Iterator[Row]:
    """Millions a second on one core: the comparison under every tier, and what a dealer does for one ReLU."""
    for count in KEYS:
        alpha, x = words(count), words(count, 1).reshape(-1)
        keys = native.dpf_keygen(alpha, BITS, KEY, 1, KEY, 2)
        flips = native.pack(alpha, 1)
        for tier in native.tiers():

            def sign(tier: str = tier, x: Any = x, keys: Any = keys) -> None:
                native.dpf_less(x, BITS, 0, KEY, 1, keys, threads=1, tier=tier)

            def deal(tier: str = tier, alpha: Any = alpha, flips: Any = flips) -> None:
                native.dpf_keygen(alpha, BITS, KEY, 1, KEY, 2, threads=1, tier=tier)
                native.relu_deal(alpha, BITS + 1, 0, BITS + 1, flips, KEY, 3, threads=1, tier=tier)

            for what, run in (("sign", sign), ("deal", deal)):
                seconds = measure(run, repeats)
                rates = {"rate": count / min(seconds), "median_rate": count / statistics.median(seconds)}
                yield {"work": what, "tier": tier, "bits": BITS, "keys": count, **rates}


def _table(rows: Sequence[Row]) -> Table:
    table = Table(title="ReLU end to end, three processes on two cores; around: the same run without it")
    for name in ("values", "policy", "ring", "ms", "around", "B online", "key B client", "server", "dealt M/s"):
        table.add_column(name, justify="right")
    for r in rows:
        times = f"{1e3 * r['seconds']:.1f}", f"{1e3 * r['around_seconds']:.1f}"
        sizes = (r["online_bytes_per_relu"], *r["key_bytes"].values())
        dealt = f"{r['dealt_per_second'] / 1e6:.2f}"
        table.add_row(f"{r['values']:,}", r["policy"], str(r["ring"]), *times, *(f"{s:.2f}" for s in sizes), dealt)
    return table


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exponents", default="16,20", help="powers of two of how many values")
    parser.add_argument("--policies", help=f"of {', '.join(POLICY_NAMES)}")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peers", type=Path, default=ROOT.parent / "shared" / "peers", help="the peers' scripts")
    parser.add_argument("--peers-home", type=Path, default=ROOT / ".peers", help="the folder of their environments")
    parser.add_argument("--resume", action="store_true", help="keep the cases that the file holds already")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "local" / "relu.json")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where homes are made")
    return parser.parse_args()


def main() -> int:
    """Measure, print a table, write the JSON file after every case."""
    given = _arguments()
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False, markup=False)
    exponents = [int(e) for e in given.exponents.split(",")]
    names = given.policies.split(",") if given.policies else list(POLICY_NAMES)
    kept = json.loads(given.out.read_text("utf-8")) if given.resume and given.out.exists() else {}
    result: Row = {"machine": machine.describe(CORES), "settings": {"threads": THREADS, "runs": given.runs}}
    if kept:
        machine.must_be_same(kept["machine"], result["machine"])
    result |= {"kernels": kept.get("kernels") or list(speeds(7)), "ends": kept.get("ends", [])}
    result["peers"] = [row for row in kept.get("peers", []) if "failed" not in row]

    def write() -> None:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")

    write()
    done = {(row["values"], row["policy"]) for row in result["ends"]}
    for exponent, name in ((e, n) for e in exponents for n in names if (1 << e, n) not in done):
        result["ends"].append(ends(exponent, name, given.runs, given.folder))
        write()
    console.print(_table(result["ends"]))
    if (given.peers / "run.py").exists():
        finished = {tuple(row[k] for k in PEER_KEY) for row in result["peers"]}
        cases = peers.relu_cases(given.peers_home, exponents)
        missing = [c for c in cases if not {(c.system, c.net, c.activation, c.link, p) for p in c.parts} <= finished]
        for row in run_peers(missing, given.peers, given.peers_home, console.print):
            result["peers"].append(row)
            write()
    console.print(f"written to {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
