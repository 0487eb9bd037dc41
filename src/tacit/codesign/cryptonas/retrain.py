"""Training of found cells for good, at any width, and their plans: by call, or as a trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from tacit.codesign.cryptonas.graph import as_graph
from tacit.codesign.cryptonas.net import CellNet
from tacit.codesign.cryptonas.space import Cell, Space
from tacit.codesign.data import load
from tacit.codesign.data.sets import Data
from tacit.codesign.precision import compile_precise, fastest
from tacit.codesign.seeding import derive
from tacit.codesign.training.loop import Outcome, train
from tacit.codesign.training.recipe import Recipe
from tacit.errors import InvalidInput
from tacit.plan.cost import Rates
from tacit.plan.plan import Plan
from tacit.plan.policy import Policy

__all__ = ["RECIPE", "compile_net", "fresh", "retrain", "retrain_trial"]

#: The published training of a found cell, but for its cosine with restarts: one cosine over as many epochs.
RECIPE = Recipe(epochs=310, lr=0.05, batch=100, nesterov=True, weight_decay=2e-4, warmup_epochs=0, clip_norm=5.0)
#: Training examples that a plan's ranges are observed on.
_CALIBRATION = 128


def fresh(space: Space, cell: Cell, *, seed: int = 0, dropout: float = 0.0) -> CellNet:
    """The untrained net of `cell`, the same for the same seed; PyTorch's generators are left as they were."""
    with torch.random.fork_rng([]):
        torch.manual_seed(derive(seed, "fresh weights"))
        return CellNet(space, cell, dropout=dropout)


def retrain(
    space: Space, cell: Cell, data: Data, recipe: Recipe | None = None, *, dropout: float = 0.0, **given: Any
) -> Outcome:
    """Train the net of `cell` at the width of `space` from the start; `given` goes to `train`.

    The published dropout is 0.5. Raises what `train` raises.
    """
    recipe = recipe or RECIPE
    return train(fresh(space, cell, seed=recipe.seed, dropout=dropout), data, recipe, **given)


def compile_net(
    net: CellNet, data: Data, *, policy: Policy | None = None, link: str = "lan", rates: Rates | None = None
) -> Plan:
    """The plan of a trained net for one image, written by `as_graph`, its ranges observed on training images.

    Where the policy leaves precision open, it is the one that is fastest on `link` of those precise enough.
    Raises Refused, InvalidInput.
    """
    count = min(_CALIBRATION, len(data.train))
    x, _ = data.train.batch(torch.linspace(0, len(data.train) - 1, count).long())
    inputs = [image[None] for image in data.normalise(x).double().numpy()]
    return fastest(compile_precise(as_graph(net), inputs, policy or Policy()), link, rates).plan


def retrain_trial(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """A trial of `run_trials`: train a cell at a width and compile it.

    Keys of the configuration: `cell` (text), `width`, `data` (the arguments of `tacit.codesign.load_data`), `recipe`
    (fields of a Recipe that differ from RECIPE), and by choice `dropout`, `links` and `folder` (of the checkpoint).
    Figures: `top1` on the test split, `held_out`, `relus`, `parameters`, and `seconds` by link, predicted.
    Raises InvalidInput for unknown or missing keys, and what training and compiling raise.
    """
    given = {"dropout": 0.0, "links": ["lan", "wan"], "folder": None, **configuration}
    if set(given) != {"cell", "width", "data", "recipe", "dropout", "links", "folder"}:
        raise InvalidInput(f"a trial has cell, width, data, recipe, dropout, links, folder, and not {sorted(given)}")
    data = load(**given["data"])
    cell = Cell.parse(given["cell"])
    space = Space.of(data, layers=cell.layers, width=given["width"])
    recipe = RECIPE.replace(**given["recipe"])
    folder = None if given["folder"] is None else Path(given["folder"])
    outcome = retrain(space, cell, data, recipe, dropout=given["dropout"], folder=folder, progress=False)
    plan = compile_net(outcome.model, data)
    return {
        "top1": outcome.test.top1,
        "held_out": None if outcome.held_out is None else asdict(outcome.held_out)["top1"],
        "relus": space.relus,
        "parameters": sum(parameter.numel() for parameter in outcome.model.parameters()),
        "seconds": {link: plan.bill(link).seconds() for link in given["links"]},
    }
