"""Faults of every kind that models meet on their way, each put into one known place."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from tacit.drift.compare import Comparison, compare
from tacit.front.clear import ranges
from tacit.front.compile import compile_model
from tacit.ir import Graph
from tacit.plan import measure, place
from tacit.plan.compile import plan_graph
from tacit.plan.plan import Plan, run_step
from tacit.plan.policy import Policy
from tacit.run import execute
from tacit.secure.share import SERVER, Share

from .nets import Array, Layer, Net, make_net, pictures

Rng = np.random.Generator


@dataclass
class Case:
    """A healthy net, what is done to it, and where the finder must point: the layer, and the rung it shows on."""

    net: Net
    bad: Net
    rng: Rng
    data: Array
    seen: Array
    patch: pytest.MonkeyPatch
    layer: str = ""
    rung: str = "model"
    plan: Callable[[Graph], Plan] | None = None
    kept: list[Any] = field(default_factory=list)

    def pick(self, *kinds: str) -> Layer | None:
        """A layer of the bad net, which becomes the one to find."""
        found = self.bad.of(*kinds)
        if not found:
            return None
        layer = found[int(self.rng.integers(len(found)))]
        self.layer = layer.name
        return layer


def _scale(c: Case) -> bool:
    layer = c.pick("conv", "linear")
    assert layer is not None
    layer.weights["weight"] = layer.weights["weight"] * c.rng.choice([0.5, 0.98, 1.02, 2.0, -1.0])
    return True


def _swap(axis: int) -> Callable[[Case], bool]:
    def fault(c: Case) -> bool:
        layer = c.pick("conv", "linear")
        assert layer is not None
        weight = layer.weights["weight"]
        if weight.shape[axis] < 2:
            return False
        order = np.arange(weight.shape[axis])
        order[:2] = [1, 0]
        layer.weights["weight"] = np.take(weight, order, axis)
        return True

    return fault


def _roll(c: Case) -> bool:
    layer = c.pick("conv", "linear")
    assert layer is not None
    layer.weights["weight"] = np.roll(layer.weights["weight"], 1, 0)
    return True


def _no_bias(c: Case) -> bool:
    layer = c.pick("linear", "conv")
    assert layer is not None
    layer.weights["bias"] = np.zeros_like(layer.weights["bias"])
    return True


def _transposed(c: Case) -> bool:
    layer = c.pick("conv", "linear")
    assert layer is not None
    weight = layer.weights["weight"]
    if weight.shape[-1] != weight.shape[-2] or weight.shape[-1] == 1:
        return False
    layer.weights["weight"] = np.swapaxes(weight, -1, -2)
    return True


def _flipped(c: Case) -> bool:
    layer = c.pick("conv")
    if layer is None or layer.weights["weight"].shape[-1] == 1:
        return False
    layer.weights["weight"] = layer.weights["weight"][:, :, ::-1, ::-1]
    return True


def _quantised(c: Case) -> bool:
    layer = c.pick("conv", "linear")
    assert layer is not None
    step = np.abs(layer.weights["weight"]).max() / 7
    layer.weights["weight"] = np.round(layer.weights["weight"] / step) * step
    return True


def _norm(change: Callable[[dict[str, Any], Rng], None]) -> Callable[[Case], bool]:
    def fault(c: Case) -> bool:
        layer = c.pick("conv")
        if layer is None or layer.norm is None:
            return False
        change(layer.norm, c.rng)
        return True

    return fault


def _stale(norm: dict[str, Any], rng: Rng) -> None:
    norm["mean"], norm["variance"] = norm["mean"] * 0.9, norm["variance"] * rng.uniform(0.9, 1.1, len(norm["mean"]))


def _eps(norm: dict[str, Any], rng: Rng) -> None:
    norm["eps"] = 1e-3


def _padding(c: Case) -> bool:
    layer = c.pick("conv")
    if layer is None or layer.attrs["padding"] == [0, 0]:
        return False
    before = {"before": [0, 0, 0, 0], "after": [0, 0, 2, 2]}
    at = c.bad.layers.index(layer)
    c.bad.layers.insert(at, Layer("padded", "pad", layer.inputs, before))
    layer.inputs, layer.attrs["padding"] = ("padded",), [0, 0]
    return True


def _dilation(c: Case) -> bool:
    layer = c.pick("conv")
    if layer is None or layer.attrs["padding"] == [0, 0]:
        return False
    layer.attrs.update(dilation=[2, 2], padding=[2, 2])
    return True


def _activation(c: Case) -> bool:
    layer = c.pick("relu", "poly", "clip", "leaky")
    assert layer is not None
    layer.op, layer.attrs = ("leaky", {"slope": "1/100"}) if layer.op != "leaky" else ("relu", {})
    return True


def _pool(c: Case) -> bool:
    layer = c.pick("sumpool")
    if layer is None:
        return False
    layer.attrs["divisor"] = 3
    return True


def _order(c: Case) -> bool:
    layer = c.pick("reshape")
    assert layer is not None
    at = c.bad.layers.index(layer)
    c.bad.layers.insert(at, Layer("turned", "permute", layer.inputs, {"order": [0, 2, 3, 1]}))
    layer.inputs = ("turned",)
    return True


def _exchanged(c: Case) -> bool:
    alike = [layer for layer in c.bad.of("conv") if layer.weights["weight"].shape == (6, 6, 3, 3)]
    if len(alike) < 2:
        return False
    alike[0].weights, alike[1].weights = alike[1].weights, alike[0].weights
    c.layer = alike[0].name
    return True


def _few_bits(c: Case) -> bool:
    """The weights of one layer in the plan have so few bits that they cannot do."""
    layer = c.pick("conv", "linear")
    assert layer is not None
    name, real = layer.name, place.spare_bits
    c.patch.setattr(place, "spare_bits", lambda p, ring=0: {**real(p, ring), name: -12})
    c.rung = "fixed"
    c.plan = lambda graph: compile_model(graph, policy=Policy(input_bits=12), calibration=[c.seen])
    return True


def _narrow(c: Case) -> bool:
    """The plan's range for one layer's values is far too small: they wrap around."""
    layers = [c.bad[layer.inputs[0]] for layer in c.bad.of("relu", "poly") if layer.inputs[0] != "image"]
    layers = [layer for layer in layers if layer.op in ("conv", "linear")]
    if not layers:
        return False
    c.layer, c.rung = layers[int(c.rng.integers(len(layers)))].name, "fixed"

    def plan(graph: Graph) -> Plan:
        seen = ranges(graph, [c.seen])
        bounds = {node: 4 * value for node, value in seen.items()}
        policy = Policy(input_bits=12)
        return plan_graph(
            graph, policy, {**bounds, c.layer: seen[c.layer] / 4}, {**seen, c.layer: seen[c.layer] / 4}, ""
        )

    c.plan = plan
    return True


def _kernel(private: bool) -> Callable[[Case], bool]:
    """A kernel that computes something else at one layer: an offset, a stuck bit, a row of zeros."""

    def fault(c: Case) -> bool:
        layer = c.pick("conv", "linear", "relu", "poly")
        assert layer is not None
        name, how = layer.name, int(c.rng.integers(3))
        ops = ("conv", "linear", "relu", "poly")

        def wrong(s: Any, step: Any, operands: list[Share]) -> Share:
            made = run_step(s, step, operands)
            if step.node != name or step.op not in ops or s.reading != "online" or s.rank != SERVER:
                return made
            data, unit = made.require().copy(), int(made.wire.scale)
            if how == 0:
                data += np.uint64(max(unit // 8, 1))
            elif how == 1:
                data |= np.uint64(max(unit // 4, 1))
            else:
                data[0] += np.uint64(unit)
            return Share(made.wire, data)

        c.patch.setattr(execute if private else measure, "run_step", wrong)
        c.rung = "private" if private else "fixed"
        return True

    return fault


def _input(change: Callable[[Array, Rng], Array]) -> Callable[[Case], bool]:
    """Preprocessing went wrong: the data differ from the reference pipeline's."""

    def fault(c: Case) -> bool:
        c.kept = [c.data]
        c.data, c.layer, c.rung = change(c.data, c.rng), "image", "data"
        return True

    return fault


FAULTS: dict[str, Callable[[Case], bool]] = {
    "wrong weight scale": _scale,
    "swapped output channels": _swap(0),
    "swapped input channels": _swap(1),
    "index off by one": _roll,
    "dropped bias": _no_bias,
    "transposed weight": _transposed,
    "flipped kernel": _flipped,
    "quantised weights": _quantised,
    "stale batch norm": _norm(_stale),
    "wrong eps": _norm(_eps),
    "wrong padding": _padding,
    "wrong dilation": _dilation,
    "wrong activation": _activation,
    "wrong pool divisor": _pool,
    "wrong flattening order": _order,
    "exchanged layers": _exchanged,
    "too few bits": _few_bits,
    "range too small": _narrow,
    "wrong kernel": _kernel(private=False),
    "wrong private kernel": _kernel(private=True),
    "channels reversed": _input(lambda x, rng: x[:, ::-1].copy()),
    "wrong normalisation": _input(lambda x, rng: x * rng.uniform(0.4, 0.9, 3)[:, None, None] + 0.1),
    "pictures 0..255": _input(lambda x, rng: (x + 3) * 42.5),
    "pictures rotated": _input(lambda x, rng: np.rot90(x, int(rng.integers(1, 4)), (2, 3)).copy()),
    "pictures mirrored": _input(lambda x, rng: x[:, :, :, ::-1].copy()),
    "rounded inputs": _input(lambda x, rng: np.round(x * 16) / 16),
}


def run(kind: str | None, seed: int) -> tuple[Comparison, Case] | None:
    """A healthy net (None) or one with a fault, compared with its reference; None where the net has no such layer."""
    with pytest.MonkeyPatch.context() as patch:
        net = make_net(seed, seed)
        seen = pictures(seed)
        case = Case(net, copy.deepcopy(net), np.random.default_rng(seed), pictures(7000 + seed, 8), seen, patch)
        if kind is not None and not FAULTS[kind](case):
            return None
        graph = case.bad.graph()
        make = case.plan or (lambda g: compile_model(g, calibration=[seen]))
        plan = replace(make(graph))
        found = compare(plan, [case.data], reference=net.graph(), reference_inputs=case.kept or None, batches=2)
        return found, case
