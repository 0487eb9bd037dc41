"""Naive replacement, for comparison: polynomials in place of ReLU with no scales, penalty, clipping or teacher."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from tacit.codesign.activations.fit import Polynomial
from tacit.codesign.activations.poly import PolyAct
from tacit.codesign.conversion import convert
from tacit.codesign.data.sets import Data
from tacit.codesign.ranges import Certificate, certify
from tacit.codesign.training.evaluate import Scores, evaluate
from tacit.codesign.training.loop import Outcome, train
from tacit.codesign.training.recipe import Recipe
from tacit.errors import TrainingDiverged

__all__ = ["Naive", "naive"]


@dataclass(frozen=True)
class Naive:
    """What came of it: `swapped` are the scores right after the swap, `outcome` those after training, if any.

    diverged     why training stopped, or empty
    model        the net as it ended
    certificate  its ranges on the test split, which need not hold
    """

    swapped: Scores
    outcome: Outcome | None
    diverged: str
    model: nn.Module
    certificate: Certificate


def naive(
    model: nn.Module,
    data: Data,
    recipe: Recipe | None,
    *,
    polynomial: Polynomial | None = None,
    folder: Path | None = None,
    progress: bool = True,
    bound: float = 8.0,
) -> Naive:
    """Swap every activation of the trained `model` for a polynomial and, given a recipe, train by cross-entropy alone.

    The given model is not changed. Divergence is a result here, not an error. Raises InvalidInput as `convert` and
    `train` do.
    """
    x, _ = data.train.batch([0])
    example = data.normalise(x).to(next(model.parameters()).device)
    changed = convert(model, example, activation=lambda: PolyAct(polynomial), maxpool="avg").model
    swapped = evaluate(changed, data.test, data)
    outcome, diverged, trained = None, "", changed
    if recipe is not None:
        trained = copy.deepcopy(changed)
        try:
            outcome = train(trained, data, recipe, folder=folder, progress=progress)
        except TrainingDiverged as error:
            diverged = str(error)
    return Naive(swapped, outcome, diverged, trained, certify(trained, data.test, data, bound=bound))
