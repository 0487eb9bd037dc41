"""Whether the zoo's nets say the same in float32, in a plan's integers and in private: `python bench/agreement.py`.

Every net of published size with made weights, on made inputs that calibration has not seen. The plan is what `compile`
makes of the net under the policy of the expected bills (`tacit.zoo.bills.POLICY`: activations of 16 bits, weights of 18
or the net's own and as many more as the rings leave, smooth functions within 2^-14, else as by default), calibrated on
four made inputs. Its integers are read in the clear (`tacit.plan.measure.Reading`), with coins of their own for every
input; private runs have all parties. The nets take turns, the cheapest first: ten inputs each, then a hundred, then the
rest. Figures are written as they come, so that a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lib import machine
from lib.trial import Trial
from numpy.typing import NDArray

from tacit import zoo
from tacit.front.compile import compile_model
from tacit.plan.measure import Reading
from tacit.plan.plan import Plan
from tacit.run.simulate import simulate
from tacit.zoo.bills import POLICY, expected
from tacit.zoo.net import Size

__all__ = ["CLEAR", "Case", "Gap", "main", "prepared"]

Floats = NDArray[np.float64]
Row = dict[str, Any]

OUT = Path(__file__).resolve().parent / "results" / "agreement.json"
#: Seeds of the inputs that calibration sees, and of the first that is compared.
CALIBRATION, FIRST = 21, 1000
#: A label is clear when the largest value leads the second by this much of the outputs' root mean square: four times
#: the error that is allowed.
CLEAR = 4e-3
#: Inputs a net is given before the next one's turn.
_TURNS = (10, 100)
#: Figures are written after so many seconds.
_WRITE_S = 20.0
#: Memory that a simulated run takes, in sizes of its material.
_SIMULATED = 1.7


@dataclass
class Gap:
    """How far one reading lies from another, over all inputs, for one output. Decisions are argmaxes along the axis
    after the batch, one at every place beyond, or signs where that axis has one value.
    """

    count: int = 0
    squares: float = 0.0
    size: float = 0.0
    largest: float = 0.0
    decisions: int = 0
    clear: int = 0
    same: int = 0
    unequal: int = 0

    @property
    def nrmse(self) -> float:
        """Root mean square difference over the root mean square of what was wanted."""
        return float(np.sqrt(self.squares / self.size)) if self.size else 0.0

    def add(self, got: Floats, wanted: Floats, margin: float | None = None) -> None:
        """One input's output of both. A decision is clear by more than `margin`, by default CLEAR of the output's size;
        `same` counts clear ones that are equal, `unequal` all that are not.
        """
        error = got - wanted
        self.count += error.size
        self.squares += float((error**2).sum())
        self.size += float((wanted**2).sum())
        self.largest = max(self.largest, float(np.abs(error).max()))
        if margin is None:
            margin = CLEAR * float(np.sqrt((wanted**2).mean()))
        labels, lead = _decided(wanted)
        equal, clear = _decided(got)[0] == labels, lead > margin
        self.decisions += labels.size
        self.clear += int(clear.sum())
        self.same += int((equal & clear).sum())
        self.unequal += int((~equal).sum())


def _decided(values: Floats) -> tuple[NDArray[Any], Floats]:
    """The labels that values stand for, and by how much each leads."""
    if values.shape[1] == 1:
        return values > 0, np.abs(values)
    ranked = np.partition(values, values.shape[1] - 2, axis=1)
    return values.argmax(1), ranked.take(-1, 1) - ranked.take(-2, 1)


@dataclass
class Case:
    """A net with made weights, and its plan."""

    size: Size
    model: Any
    plan: Plan

    def inputs(self, number: int) -> tuple[NDArray[np.float32], ...]:
        """The made input of this number: an array of batch 1 an input."""
        return self.size.inputs(1, seed=FIRST + number)

    def floats(self, xs: Sequence[NDArray[np.float32]]) -> list[Floats]:
        """What PyTorch says in float32."""
        with torch.no_grad():
            found = self.model(*map(torch.from_numpy, xs))
        return [y.double().numpy() for y in (found if isinstance(found, tuple) else (found,))]


def prepared(name: str, *, small: bool = False) -> Case:
    """The net called `name`, as published or its small relative."""
    net = zoo.load(name)
    size = net.small if small else net.published
    model, made = size.model(), size.inputs(4, seed=CALIBRATION)
    data = [tuple(x[i : i + 1].astype(np.float64) for x in made) for i in range(4)]
    policy = replace(POLICY, weight_bits=net.weight_bits)
    return Case(size, model, compile_model(model, size.example(), policy=policy, calibration=data))


def compare(case: Case, row: Row, until: int, threads: int, save: Any) -> None:
    """Bring the net's figures up to `until` inputs."""
    reading, outputs = Reading.of(case.plan), len(case.plan.outputs)
    gaps = [Gap(**kept) for kept in row.get("outputs", [{}] * outputs)]
    for number in range(row.get("inputs", 0), until):
        xs, started = case.inputs(number), time.perf_counter()
        got = reading.outputs([x.astype(np.float64) for x in xs], threads=threads, draw=number)
        row["seconds"] = row.get("seconds", 0.0) + time.perf_counter() - started
        for gap, integers, real in zip(gaps, got, case.floats(xs), strict=True):
            gap.add(integers, real)
        row.update(inputs=number + 1, outputs=[vars(gap) for gap in gaps])
        save()


def private(case: Case, row: Row, until: int, threads: int, *, parties: bool, save: Any) -> None:
    """Bring the net's private runs up to `until`: by simulation, or by three processes that keep material on disk."""
    reading, bounds = Reading.of(case.plan), case.plan.noise
    found = row.get("private", {"runs": 0, "outputs": [{}] * len(bounds)})
    gaps = [Gap(**kept) for kept in found["outputs"]]
    for number in range(found["runs"], until):
        xs = case.inputs(number)
        got = _by_parties(case.plan, xs, threads) if parties else simulate(case.plan, *xs, threads=threads).outputs
        integers = reading.outputs([x.astype(np.float64) for x in xs], threads=threads)
        for gap, one, other, bound in zip(gaps, got, integers, bounds, strict=True):
            gap.add(one, other, 2 * (bound or 0.0))
        by = "three processes" if parties else "simulation"
        row["private"] = {"runs": number + 1, "by": by, "bounds": bounds, "outputs": [vars(gap) for gap in gaps]}
        save()


def _by_parties(plan: Plan, xs: Sequence[NDArray[np.float32]], threads: int) -> list[Floats]:
    """One inference by a dealer, a server and a client, for nets of one input and one output."""
    with tempfile.TemporaryDirectory(prefix="tacit-agreement-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        plan.save(home / "plan.tacit")
        np.save(home / "images.npy", xs[0])
        trial = Trial(home / "homes", home / "plan.tacit", threads)
        done = trial.run("loopback", bundles=1, runs=1, images=home / "images.npy")
        return [np.asarray(done["online"]["outputs"])]


def _free() -> int:
    """Bytes of memory that programs may still take."""
    lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))


def run_net(name: str, found: Row, until: int, given: argparse.Namespace) -> None:
    """One turn of one net: inputs up to `until`, and private runs once their memory is there."""
    row = found.setdefault(name, {})
    private_left = row.get("private", {"runs": 0})["runs"] < given.private
    if row.get("inputs", 0) >= until and not private_left:
        return
    written = time.perf_counter()

    def save(force: bool = False) -> None:
        nonlocal written
        if force or time.perf_counter() - written > _WRITE_S:
            write(found, given)
            written = time.perf_counter()

    case = prepared(name, small=given.small)
    compare(case, row, until, given.threads, save)
    save(force=True)
    bill, shapes = case.plan.bill(), case.size.shapes
    fits = _SIMULATED * (bill.stored(0) + bill.stored(1)) < _free()
    if private_left and (fits or len(shapes) == len(case.plan.outputs) == 1):
        private(case, row, given.private, given.threads, parties=not fits, save=save)
    save(force=True)
    _tell(name, row)


def _tell(name: str, row: Row) -> None:
    worst = max(Gap(**gap).nrmse for gap in row["outputs"])
    clear, same = (sum(gap[key] for gap in row["outputs"]) for key in ("clear", "same"))
    print(f"{name}: {row['inputs']} inputs, nRMSE {worst:.1e}, {same} of {clear} clear labels", flush=True)


def write(found: Row, given: argparse.Namespace) -> None:
    """Replace the results' file; a net's weight bits and size say which plan its row is of."""
    about = {"machine": machine.describe(given.threads), "clear": CLEAR, "small": given.small}
    text = json.dumps({**about, "policy": vars(POLICY), "nets": found}, indent=1) + "\n"
    given.out.parent.mkdir(parents=True, exist_ok=True)
    new = given.out.with_suffix(".new")
    new.write_text(text, "utf-8")
    os.replace(new, given.out)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--private", type=int, default=1, help="private runs of each net")
    parser.add_argument("--nets", default=",".join(zoo.names()))
    parser.add_argument("--small", action="store_true", help="the nets' small relatives")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, resuming what the results' file holds; exit status 1 if a net disagrees."""
    given = _arguments(argv)
    torch.set_num_threads(given.threads)
    found: Row = json.loads(given.out.read_text("utf-8"))["nets"] if given.out.exists() else {}
    facts = expected()
    names = sorted(given.nets.split(","), key=lambda name: facts[name].macs + 100 * facts[name].activations)
    for until in [*(turn for turn in _TURNS if turn < given.inputs), given.inputs]:
        for name in names:
            run_net(name, found, until, given)
    return 0 if all(_agrees(found[name]) for name in names) else 1


def _agrees(row: Row) -> bool:
    """Whether the targets hold: nRMSE of 1e-3, 99.9 % of clear labels, and private runs within their bounds."""
    clear = all(Gap(**gap).nrmse <= 1e-3 and gap["same"] >= 0.999 * gap["clear"] for gap in row["outputs"])
    hidden = row.get("private", {"outputs": [], "bounds": []})
    pairs = zip(hidden["outputs"], hidden["bounds"], strict=True)
    return clear and all(gap["same"] == gap["clear"] and gap["largest"] <= (bound or 0.0) for gap, bound in pairs)


if __name__ == "__main__":
    sys.exit(main())
