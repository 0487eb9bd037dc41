"""A net made ready to be measured: built, compiled under a policy, with inputs, their clear outputs and its facts."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import tacit
from lib.models import build, images, largest_input
from lib.policies import named
from tacit.front.clear import run_clear
from tacit.front.load import load_model
from tacit.plan.bill import Bill
from tacit.plan.plan import Plan, walk_wires
from tacit.run.simulate import simulate
from tacit.secure.session import Session, Step
from tacit.secure.share import CLIENT, SERVER

__all__ = ["INPUTS", "Subject", "key_bytes", "nrmse", "prepare", "same_class", "simulated"]

Row = dict[str, Any]
#: Inputs that ranges are observed on, and that predictions take in turn.
INPUTS = 4
#: What a simulated run may hold of material in memory.
_SIMULATED_BYTES = 3 << 30


@dataclass(frozen=True)
class Subject:
    """A compiled net: the plan with its weights, inputs, their clear outputs, and facts about the net."""

    name: str
    activation: str
    policy: str
    plan: Plan
    inputs: NDArray[Any]
    clear: NDArray[np.float64]
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


def prepare(name: str, activation: str, policy: str, *, inputs: int = INPUTS, cores: int = 2) -> Subject:
    """Build, check and compile the net `name` with `activation` under the policy named `policy`.

    `inputs` images and their clear outputs come along, fewer where simulating them would take too much memory. Raises
    Refused for a net that this version cannot take, or not in the policy's ring.
    """
    model, x = build(name, activation), images(name, max(inputs, INPUTS))
    batch = torch.from_numpy(x[:INPUTS])
    seconds = {str(t): _torch_seconds(model, batch[:1], t) for t in (1, cores)}
    graph = load_model(model, batch[:1])
    chosen = named(policy)
    plan = tacit.compile(graph, policy=chosen, calibration=[x[i : i + 1] for i in range(INPUTS)])
    bill = plan.bill()
    if bill.stored(CLIENT) + bill.stored(SERVER) > _SIMULATED_BYTES:
        x = x[:INPUTS]
    clear = np.concatenate([run_clear(graph, x[i : i + 1])[0] for i in range(len(x))])
    facts = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "largest_activation_input": largest_input(model, batch),
        "plain_torch_seconds": seconds,
        **_planned(plan, bill),
    }
    return Subject(name, activation, policy, plan, x, clear, facts)


def _planned(plan: Plan, bill: Bill) -> Row:
    """What the plan says of the net."""
    wires = plan.wires
    count = sum(wires[step.site].count for step in plan.steps if _is_relu(plan, step))
    return {
        "macs": sum(row.macs for row in bill.rows),
        "evaluations": sum(row.evaluations for row in bill.rows),
        "activation_layers": sum(1 for step in plan.steps if step.op in ("poly", "relu")),
        "relus": count,
        "comparisons": sum(wires[step.site].count for step in plan.steps if step.op == "relu"),
        "key_bytes": {
            name: key_bytes(plan, rank) / count if count else 0.0
            for name, rank in (("client", CLIENT), ("server", SERVER))
        },
        "input_bytes": bill.messages("online")[0].bytes,
        "answer_bytes": bill.messages("online")[-1].bytes,
        "rings": sorted({wire.ring for wire in wires.values() if wire.ring > 1}),
        "input_bits": plan.settings["input_bits"],
        "weight_bits": plan.settings["weight_bits"],
    }


def key_bytes(plan: Plan, rank: int) -> int:
    """Bytes of keys and words that a dealer makes for the ReLUs of one run, max pools apart, for the party `rank`."""
    dry = Session("dry", rank)
    for _ in walk_wires(plan.steps, plan.inputs, dry):
        pass
    return sum(d.stored(rank) for step, _, cost in dry.bill if _is_relu(plan, step) for d in cost.demands)


def _is_relu(plan: Plan, step: Step) -> bool:
    """Whether the step is a ReLU of the model, not one that a maximum is made of."""
    assert plan.graph is not None
    return step.op == "relu" and any(n.id == step.node and n.op == "relu" for n in plan.graph.nodes)


def nrmse(outputs: NDArray[np.float64], clear: NDArray[np.float64]) -> float:
    """Root mean square error over the root mean square of the clear outputs."""
    return float(np.sqrt(((outputs - clear) ** 2).mean() / (clear**2).mean()))


def same_class(outputs: NDArray[np.float64], clear: NDArray[np.float64]) -> int:
    """How many outputs have the clear one's largest logit."""
    return int((outputs.argmax(1) == clear.argmax(1)).sum())


def simulated(subject: Subject, threads: int) -> Row:
    """Accuracy over the subject's inputs, each simulated with fresh seeds; empty where those take too much memory."""
    if len(subject.inputs) <= INPUTS:
        return {}
    outputs = np.concatenate([simulate(subject.plan, x[None], threads=threads).outputs[0] for x in subject.inputs])
    return {
        "inputs": len(outputs),
        "nrmse": nrmse(outputs, subject.clear),
        "argmax_equal": same_class(outputs, subject.clear),
    }
