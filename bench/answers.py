"""Whether private answers have the class of the clear reading, one bundle at a time: for nets whose material fits
neither memory nor, several times, the disk. `python bench/answers.py [--nets ...] [--policies ...] [--inputs 3]`

A dealer, a server and a client run as three processes over mutual TLS on loopback, each started anew for every input.
Writes one JSON file, for `lib/report.py`, after every input; with --resume the inputs that it holds are left out.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
from lib import machine
from lib.models import NETS
from lib.policies import POLICIES
from lib.subjects import INPUTS, Subject, nrmse, prepare, same_class
from lib.trial import Trial
from rich.console import Console

from tacit.secure.share import CLIENT, SERVER

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[1]
CORES = THREADS = 2
CASE = ("net", "activation", "policy")
Row = dict[str, Any]


def answer(subject: Subject, number: int, folder: Path) -> Row:
    """The private answer to one input of the subject beside the clear one, and what the parties held."""
    bill = subject.plan.bill()
    with tempfile.TemporaryDirectory(prefix="tacit-answers-", dir=folder) as name:
        home = Path(name)
        subject.plan.save(home / "plan.tacit")
        np.save(home / "input.npy", subject.inputs[number : number + 1])
        trial = Trial(home, home / "plan.tacit", THREADS, CORES)
        made = trial.run("loopback", bundles=1)
        asked = trial.run("loopback", runs=1, images=home / "input.npy")
    ran = asked["online"]
    clear = subject.clear[number : number + 1]
    return {
        "net": subject.name,
        "activation": subject.activation,
        "policy": subject.policy,
        "input": number,
        "rings": subject.facts["rings"],
        "material_bytes": bill.stored(CLIENT) + bill.stored(SERVER),
        "deal_seconds": made["offline"]["deal"]["seconds"] + made["fetches"][0]["seconds"],
        "seconds": ran["seconds"][0],
        "peak_bytes": {role: max(made["peak_bytes"][role], peak) for role, peak in asked["peak_bytes"].items()},
        "nrmse": nrmse(ran["outputs"], clear),
        "argmax_equal": same_class(ran["outputs"], clear),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nets", default="resnet50", help=f"of {', '.join(NETS)}")
    parser.add_argument("--activation", default="relu", help="relu or quartic")
    parser.add_argument("--policies", default="ring64", help=f"of {', '.join(POLICIES)}")
    parser.add_argument("--inputs", type=int, default=3, help=f"at most {INPUTS}")
    parser.add_argument("--resume", action="store_true", help="keep the inputs that the file holds already")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "local" / "answers.json")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where homes are made")
    return parser.parse_args()


def main() -> int:
    """Measure, print a line an input, write the JSON file."""
    given, console = _arguments(), Console(highlight=False, markup=False)
    about = machine.describe(CORES)
    rows: list[Row] = []
    if given.resume and given.out.exists():
        kept = json.loads(given.out.read_text("utf-8"))
        machine.must_be_same(kept["machine"], about)
        rows = kept["answers"]
    for net in given.nets.split(","):
        for policy in given.policies.split(","):
            have = {row["input"] for row in rows if tuple(row[k] for k in CASE) == (net, given.activation, policy)}
            missing = [number for number in range(min(given.inputs, INPUTS)) if number not in have]
            subject = prepare(net, given.activation, policy, cores=CORES) if missing else None
            for number in missing:
                assert subject is not None
                rows.append(answer(subject, number, given.folder))
                shown = {k: rows[-1][k] for k in ("input", "seconds", "deal_seconds", "nrmse", "argmax_equal")}
                console.print(f"{net} {policy}: {shown}")
                given.out.parent.mkdir(parents=True, exist_ok=True)
                given.out.write_text(json.dumps({"machine": about, "answers": rows}, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
