"""A trained net run privately: how often it agrees with the clear net, and predicted against measured seconds."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lib import machine
from lib.cases import CORES, THREADS
from lib.codesign_lines import Made
from lib.trial import Trial
from tacit.codesign.data.sets import Data
from tacit.codesign.ranges import export
from tacit.front.compile import compile_model
from tacit.plan.cost import Rates
from tacit.plan.plan import Plan
from tacit.plan.policy import Policy
from tacit.run.simulate import simulate
from tacit.secure.share import CLIENT, SERVER

__all__ = ["agreement", "latency", "plan_of"]

Row = dict[str, Any]
_CALIBRATION, _WARM = 64, 1


def plan_of(made: Made, data: Data, path: Path, batch: int = 1, link: str = "lan") -> Plan:
    """The plan of a net for `batch` images a run on `link`, with its file; polynomials only as certified."""
    policy = made.policies.get(link)
    if made.certificate is not None:
        return export(made.model, made.certificate, path, data, policy=policy, calibration=_CALIBRATION, batch=batch)
    count = max(1, _CALIBRATION // batch)
    examples = [data.normalise(data.train.batch(range(i * batch, (i + 1) * batch))[0]) for i in range(count)]
    plan = compile_model(made.model, examples[0], policy=policy, calibration=examples)
    plan.save(path)
    return plan


def agreement(made: Made, data: Data, images: int, *, batch: int = 25, say: Callable[[str], None] | None = None) -> Row:
    """Private beside clear on the first `images` of the test split: both parties in this process, every byte real.

    Clear outputs are PyTorch's. `same_label` counts equal classes, `top1` those that are right.
    """
    images = min(images, len(data.test)) // batch * batch
    with tempfile.TemporaryDirectory(prefix="tacit-codesign-") as name:
        plan = plan_of(made, data, Path(name) / "plan.tacit", batch)
    private, clear, labels = [], [], []
    model = made.model.eval()
    for start in range(0, images, batch):
        x, y = data.test.batch(range(start, start + batch))
        x = data.normalise(x)
        with torch.no_grad():
            clear.append(model(x).double().numpy())
        private.append(simulate(plan, x.numpy(), threads=THREADS).outputs[0])
        labels.append(y.numpy())
        if say and start // batch % 8 == 0:
            say(f"  private {start + batch}/{images}")
    return _compared(np.concatenate(private), np.concatenate(clear), np.concatenate(labels)) | {"batch": batch}


def _compared(private: NDArray[np.float64], clear: NDArray[np.float64], labels: NDArray[np.int64]) -> Row:
    ours, theirs = private.argmax(1), clear.argmax(1)
    return {
        "images": len(labels),
        "same_label": int((ours == theirs).sum()),
        "top1": float((ours == labels).mean()),
        "clear_top1": float((theirs == labels).mean()),
        "non_finite": int((~np.isfinite(private)).sum()),
        "nrmse": float(np.sqrt(((private - clear) ** 2).mean() / (clear**2).mean())),
        "largest_error": float(np.abs(private - clear).max()),
    }


def latency(made: Made, data: Data, links: Sequence[str], rates: Rates, *, runs: int = 5) -> Row:
    """One image at a time between three processes over TLS: seconds predicted by the bill and measured, by link."""
    x, _ = data.test.batch(range(4))
    with tempfile.TemporaryDirectory(prefix="tacit-codesign-") as name:
        folder = Path(name)
        np.save(folder / "inputs.npy", data.normalise(x).numpy())
        ready: dict[Policy | None, tuple[Plan, Trial]] = {}
        measured = {}
        for link in links:
            policy = made.policies.get(link)
            if policy not in ready:
                ready[policy] = _ready(made, data, folder / f"homes-{len(ready)}", link)
            plan, trial = ready[policy]
            trial.run("loopback", bundles=runs + _WARM)
            load = machine.busy()
            ran = trial.run(link, runs=runs, warm=_WARM, images=folder / "inputs.npy")["online"]
            measured[link] = {
                "measured": statistics.median(ran["seconds"]),
                "least": min(ran["seconds"]),
                "predicted": plan.bill(link, rates=rates).seconds(),
                "busy_before": round(load, 3),
            }
        plan = next(iter(ready.values()))[0]
    bill = plan.bill()
    return {
        "links": measured,
        "one_way_steps": bill.turns,
        "bytes_client": bill.sent("online", CLIENT),
        "bytes_server": bill.sent("online", SERVER),
        "material_bytes": bill.stored(CLIENT) + bill.stored(SERVER),
        "activations": _activations(plan),
        "rings": sorted({wire.ring for wire in plan.wires.values() if wire.ring > 1}),
        "failure_bound": bill.failure,
    }


def _ready(made: Made, data: Data, folder: Path, link: str) -> tuple[Plan, Trial]:
    """The plan for `link`, and three parties with homes in `folder` that run it."""
    folder.mkdir()
    plan = plan_of(made, data, folder / "plan.tacit", link=link)
    return plan, Trial(folder, folder / "plan.tacit", THREADS, CORES)


def _activations(plan: Plan) -> dict[str, int]:
    """How many values polynomials and comparisons are computed of, by step."""
    counts = {"poly": 0, "relu": 0}
    for step in plan.steps:
        if step.op in counts:
            counts[step.op] += plan.wires[step.site].count
    return counts
