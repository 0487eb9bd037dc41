"""Whole nets, every phase by itself, beside the peers: `python bench/nets.py [--full] [--nets ...] [--resume]`.

A dealer, a server and a client run as three processes over mutual TLS and share two cores. Online times start with a
bundle claimed and loaded on both sides and end with the decoded answer. Writes one JSON file, for `lib/report.py`,
after every case; with --resume the cases that it holds are not measured again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lib import machine, peers
from lib.cases import CORES, THREADS, Options, measure
from lib.models import ACTIVATIONS, INPUT_RANGE, NETS
from lib.policies import POLICIES
from lib.subjects import Subject, prepare, simulated
from rich.console import Console
from rich.table import Table

from tacit.cli._rates import measure_rates
from tacit.errors import TacitError
from tacit.net.shaper import LINKS
from tacit.plan.cost import Rates, load_rates

__all__ = ["Results", "main", "run_ours", "run_peers"]

ROOT = Path(__file__).resolve().parent.parent
QUICK_NETS, QUICK_LINKS = ("lenet5", "minionn", "resnet32", "resnet18"), ("loopback", "wan")
FAR = ("loopback", "wan")
#: What --full measures of every net: the links of each policy.
FULL = {
    "quartic": {"auto": tuple(LINKS), "ring64": FAR},
    "relu": {"ring32": tuple(LINKS), "windowed": FAR, "auto": FAR, "ring64": ("loopback",)},
}

Row = dict[str, Any]
KEY, PEER_KEY = ("net", "activation", "policy", "link"), ("system", "net", "activation", "link", "part")


@dataclass
class Results:
    """The rows of ours and of the peers, written to `out` with the facts `about` the run whenever one is added."""

    out: Path
    about: Row
    nets: list[Row] = field(default_factory=list)
    peers: list[Row] = field(default_factory=list)

    def resume(self) -> None:
        """Take over the rows of `out`, if there are any; SystemExit if they are of another machine or method."""
        if not self.out.exists():
            return
        kept = json.loads(self.out.read_text("utf-8"))
        machine.must_be_same(kept["machine"], self.about["machine"])
        if kept["settings"]["runs"] != self.about["settings"]["runs"]:
            raise SystemExit(f"{self.out} was measured with --runs {kept['settings']['runs']}; use the same")
        self.nets, self.peers = kept["nets"], [row for row in kept["peers"] if "failed" not in row]
        self.about["rates"] = kept["rates"]

    def has(self, *case: str) -> bool:
        """Whether the case of a net, activation, policy and link has been measured."""
        return any(tuple(row[k] for k in KEY) == case for row in self.nets)

    def has_peer(self, case: peers.Case) -> bool:
        """Whether every part of a peer's case has been measured."""
        found = {tuple(row[k] for k in PEER_KEY) for row in self.peers}
        return found >= {(case.system, case.net, case.activation, case.link, part) for part in case.parts}

    def add(self, *, nets: Sequence[Row] = (), peers: Sequence[Row] = ()) -> None:
        """Append rows and write the file, whole or not at all."""
        self.nets += nets
        self.peers += peers
        self.out.parent.mkdir(parents=True, exist_ok=True)
        draft = self.out.with_suffix(".new")
        draft.write_text(json.dumps({**self.about, "nets": self.nets, "peers": self.peers}, indent=1) + "\n", "utf-8")
        draft.replace(self.out)


def _line(row: Row) -> str:
    online, offline = row["online"], row["offline"]
    deal, register = offline["deal"], offline["register"]
    return (
        f"{row['net']} {row['activation']} {row['policy']} {row['link']}: online "
        f"{1e3 * online['median']:.1f} ms (least {1e3 * online['least']:.1f}, predicted "
        f"{1e3 * row['predicted_seconds']:.1f}), register {register['seconds']:.2f} s, deal {deal['seconds']:.2f} s "
        f"({deal['evaluations_per_second'] / 1e6:.2f} M/s), prime {offline['prime']['seconds']:.2f} s, "
        f"nRMSE {online['nrmse']:.1e}"
    )


def run_ours(
    cases: Mapping[tuple[str, str, str], Sequence[str]], inputs: int, options: Options, results: Results
) -> None:
    """All cases of ours that `results` lacks: the links of each (net, activation, policy).

    One that cannot be compiled, since its ring is too narrow or a layer is not taken, is said and left out.
    """
    for case, links in cases.items():
        missing = [link for link in links if not results.has(*case, link)]
        subject = _prepared(case, inputs, options.say) if missing else None
        if subject is None:
            continue
        accuracy = simulated(subject, THREADS)
        for link in missing:
            row = {**measure(subject, link, options), "accuracy": accuracy}
            options.say(_line(row))
            results.add(nets=[row])


def _prepared(case: tuple[str, str, str], inputs: int, say: Callable[[str], None]) -> Subject | None:
    try:
        return prepare(*case, inputs=inputs, cores=CORES)
    except TacitError as error:
        say(f"{' '.join(case)}: {'; '.join(str(error).splitlines()[:2])}")
        return None


def run_peers(cases: Sequence[peers.Case], scripts: Path, folder: Path, say: Callable[[str], None]) -> Iterator[Row]:
    """All rows of the peers' cases."""
    for case in cases:
        for row in peers.measure(case, scripts, folder):
            shown = row.get("failed") or f"{1e3 * row['seconds']:.0f} ms, {row['megabytes']:.1f} MB"
            say(f"{row['system']} {row['net']} {row['activation']} {row['link']} {row['part']}: {shown}")
            yield row


def _table(results: Results) -> Table:
    table = Table(title="online, warm, two cores shared by all parties; how many times as long the peers take")
    names = ("net", "activation", "policy", "link")
    for column in (*names, "ms", "least", "MB up", "MB down", "CrypTen online", "whole", "SPU"):
        table.add_column(column, justify="left" if column in names else "right")
    for row in results.nets:
        online = row["online"]
        wanted = (("CrypTen", "online"), ("CrypTen", "whole"), ("SPU Semi2k", "whole"))
        figures = [f"{1e3 * online[k]:.1f}" for k in ("median", "least")]
        sizes = [f"{online[k] / 1e6:.2f}" for k in ("bytes_client", "bytes_server")]
        table.add_row(*(row[k] for k in names), *figures, *sizes, *(_ratio(row, results.peers, *w) for w in wanted))
    return table


def _ratio(row: Row, others: Sequence[Row], system: str, part: str) -> str:
    """How many times as long the peer takes for the same net and kind of activation."""
    wanted = (system, row["net"], peers.ACTIVATIONS[row["activation"]], row["link"], part)
    same = [o for o in others if tuple(o[k] for k in PEER_KEY) == wanted and "seconds" in o]
    return f"{same[0]['seconds'] / row['online']['median']:.1f}x" if same else "-"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="all nets, links and activations, several policies each")
    parser.add_argument("--nets", help=f"of {', '.join(NETS)}")
    parser.add_argument("--activations", help=f"of {', '.join(ACTIVATIONS)}")
    parser.add_argument("--policies", help=f"of {', '.join(POLICIES)}; for ReLU and quartics alike")
    parser.add_argument("--links", help=f"of {', '.join(LINKS)}, or a rate and a round trip such as 100mbit/40ms")
    parser.add_argument("--runs", type=int, default=5, help="counted predictions a case")
    parser.add_argument("--inputs", type=int, default=16, help="inputs that accuracy is simulated on")
    parser.add_argument("--disk-gib", type=int, default=24, help="what the material of a case may take")
    parser.add_argument("--rates", type=Path, help="rates for the predictions; measured here if absent")
    parser.add_argument("--peers", default=str(ROOT.parent / "shared" / "peers"), help="the peers' scripts, or none")
    parser.add_argument("--peers-home", type=Path, default=ROOT / ".peers", help="the folder of their environments")
    parser.add_argument("--peer-links", help="the links that peers are run on; loopback, or all with --full")
    parser.add_argument("--resume", action="store_true", help="keep the cases that the file holds already")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "local" / "nets.json")
    parser.add_argument("--folder", type=Path, help="where homes are made and removed again")
    return parser.parse_args()


def _listed(given: str | None, otherwise: Sequence[str], known: Sequence[str], what: str) -> list[str]:
    """The names given, or `otherwise`; SystemExit names one that is not known."""
    names = given.split(",") if given else list(otherwise)
    if unknown := sorted(set(names) - set(known)):
        raise SystemExit(f"there is no {what} {unknown[0]} here; known are {', '.join(known)}")
    return names


def _cases(given: argparse.Namespace, name: str, activations: Sequence[str]) -> dict[tuple[str, str, str], list[str]]:
    """The links of every (net, activation, policy) of the net `name` that was asked for."""
    out = {}
    for activation in activations:
        usual: Mapping[str, Sequence[str]] = FULL[activation] if given.full else {"auto": QUICK_LINKS}
        asked = given.policies.split(",") if given.policies else usual
        for policy in asked:
            links = given.links.split(",") if given.links else usual.get(policy, QUICK_LINKS)
            out[name, activation, policy] = list(links)
    return out


def _rates(file: Path | None, kept: Row | None) -> Rates:
    """Those of a file, of the results that are resumed, or of a measurement."""
    if file:
        return load_rates(file)
    return Rates(**kept) if kept else measure_rates(threads=THREADS)


def main() -> int:
    """Measure, print a table, write the JSON file."""
    given = _arguments()
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False, markup=False)
    nets = _listed(given.nets, tuple(NETS) if given.full else QUICK_NETS, tuple(NETS), "net")
    activations = _listed(given.activations, ACTIVATIONS, ACTIVATIONS, "activation")
    _listed(given.policies, (), tuple(POLICIES), "policy")
    near = given.peer_links.split(",") if given.peer_links else list(LINKS) if given.full else ["loopback"]
    settings = {"threads": THREADS, "runs": given.runs, "input_range": INPUT_RANGE, "arguments": sys.argv[1:]}
    results = Results(given.out, {"machine": machine.describe(CORES), "settings": settings})
    if given.resume:
        results.resume()
    rates = _rates(given.rates, results.about.get("rates"))
    results.about["rates"] = asdict(rates)
    options = Options(
        given.runs, rates, given.folder or Path(tempfile.gettempdir()), console.print, given.disk_gib << 30
    )
    scripts = Path(given.peers)
    for name in nets:
        run_ours(_cases(given, name, activations), given.inputs, options, results)
        cases = peers.cases(given.peers_home, [name], near, activations) if (scripts / "run.py").exists() else []
        for row in run_peers([c for c in cases if not results.has_peer(c)], scripts, given.peers_home, console.print):
            results.add(peers=[row])
    console.print(_table(results))
    console.print(f"written to {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
