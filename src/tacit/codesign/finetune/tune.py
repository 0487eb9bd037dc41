"""Fine-tuning: from a trained net with ReLU to one with polynomials, in a fraction of the epochs that ReLU took."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from tacit.codesign.activations.fit import Polynomial, fit
from tacit.codesign.activations.poly import PolyAct
from tacit.codesign.conversion import convert
from tacit.codesign.data.sets import Data
from tacit.codesign.finetune.distil import Distillation
from tacit.codesign.finetune.fold import fold
from tacit.codesign.finetune.freedom import Freedom
from tacit.codesign.finetune.normalise import observe, scales
from tacit.codesign.finetune.progressive import Blend, Order, Progressive, Ramp, blends, settle
from tacit.codesign.kinds import BOUNDED, MAXPOOL, kind_of
from tacit.codesign.pillar import RangePenalty
from tacit.codesign.ranges import Certificate, certify, check_certifiable
from tacit.codesign.separate import spots
from tacit.codesign.training.loop import Outcome, train
from tacit.codesign.training.objective import Objective
from tacit.codesign.training.recipe import Recipe
from tacit.errors import InvalidInput

__all__ = ["SHARE", "Choice", "FineTuning", "Tuned", "fine_tune", "prepare", "short"]

#: What becomes of an activation.
Choice = Literal["poly", "identity", "keep"] | Polynomial
#: What fine-tuning may take of the epochs of the ReLU net's training.
SHARE = 0.2
#: Images at a time, where ranges are observed.
_BATCH = 256


@dataclass(frozen=True)
class FineTuning:
    """How ReLU is replaced.

    degree, bits, interval   the polynomial: its fit (`activations.fit`)
    reach      scales are such that on training data |x / scale| stays within this before any polynomial is in the net
    normalise  one scale per channel; otherwise every scale is 1
    powers     scales are powers of two
    examples   training examples that scales are taken from
    order      polynomials replace ReLU "at once", together bit by bit ("blend"), or "site by site"
    ramp       the part of the run that the latter two take for it
    soft, temperature, features  distillation: weight and temperature of soft labels, weight of the features' loss
    alpha, bound, gamma  the range penalty on x / scale (`pillar.RangePenalty`), with no warm-up
    tail       beyond this |x / scale| training goes on along the tangent, so that gradients point back; None: nowhere
    """

    degree: int = 4
    bits: int = 12
    interval: float = 5.0
    reach: float = 5.0
    normalise: bool = True
    powers: bool = False
    examples: int = 1024
    ramp: float = 0.4
    order: Order = "at once"
    soft: float = 0.9
    temperature: float = 4.0
    features: float = 1.0
    alpha: float = 1.0
    bound: float = 4.8
    gamma: int = 10
    tail: float | None = 5.0

    @property
    def polynomial(self) -> Polynomial:
        """The activation's polynomial."""
        return fit(self.degree, self.bits, self.interval)


@dataclass(frozen=True)
class Tuned:
    """The result: `model` has plain polynomials, scales folded into its weights, and is in evaluation mode.

    outcome      of the training, of a model that still has scales
    certificate  of `model`'s ranges on the test split: `export` asks for it
    scaled       how many polynomials were normalised, of `sites` in all
    blocked      why others could not be, by site
    """

    model: nn.Module
    outcome: Outcome
    certificate: Certificate
    scaled: int
    sites: int
    blocked: dict[str, str]


def short(recipe: Recipe, *, lr: float | None = None, share: float = SHARE) -> Recipe:
    """The recipe of fine-tuning a net that `recipe` trained: at most `share` of its epochs, gradients clipped at 5.

    The learning rate is half of the recipe's unless given, with a warm-up of one epoch. Raises InvalidInput if that
    leaves fewer than two epochs.
    """
    epochs = int(recipe.epochs * share + 1e-9)
    if epochs < 2:
        raise InvalidInput(f"{share:g} of {recipe.epochs} epochs leaves {epochs}; fine-tuning needs two at least")
    return recipe.replace(epochs=epochs, lr=recipe.lr / 2 if lr is None else lr, warmup_epochs=1, clip_norm=5.0)


def fine_tune(
    model: nn.Module,
    data: Data,
    recipe: Recipe,
    how: FineTuning | None = None,
    *,
    choices: Mapping[str, Choice] | None = None,
    teacher: nn.Module | None = None,
    folder: Path | str | None = None,
    resume: bool = True,
    progress: bool = True,
    bound: float = 8.0,
) -> Tuned:
    """Replace activations of the trained `model` by polynomials and train for as long as `recipe` says.

    `choices` says what becomes of a site (named as by `convert`): "poly", which is what becomes of all others, another
    Polynomial, "identity" or "keep".

    1. Activations become mixtures with their replacement, max pools with average pools.
    2. On training data each channel gets a scale; where values are added, one scale for all that meet.
    3. Training: replacements take over, at once or along the ramp; soft labels and features of `teacher` (by default
       the given model), the range penalty and clipped gradients hold the net together.
    4. Scales are folded into weights, and the ranges on the whole test split certified against `bound`.

    The given model is not changed. Raises InvalidInput for a model without activations or that cannot be traced, a
    choice of no site and an empty test split, and what `train` raises. Whether the ranges hold is for the caller
    to see: `certificate.require()`.
    """
    how = how or FineTuning()
    check_certifiable(data.test, bound)
    if next(model.parameters(), None) is None:
        raise InvalidInput("the model has no parameters, so there is nothing to train")
    student, blocked = prepare(model, data, how, choices)
    guide = _mixed(model if teacher is None else teacher, data, how, {})
    modules = dict(student.named_modules())
    pairs = {name: name for name in blends(guide) if name in modules}
    objective: Objective = Distillation(
        guide, soft=how.soft, temperature=how.temperature, features=how.features if pairs else 0.0, pairs=pairs
    )
    scaled = [name for name, blend in blends(student).items() if isinstance(blend.goal, PolyAct)]
    if scaled:
        objective = RangePenalty(objective, alpha=how.alpha, bound=how.bound, gamma=how.gamma, warm_up=())
    objective = Progressive(
        objective, Ramp(how.ramp, how.order), {"how": how, "choices": sorted((choices or {}).items())}
    )
    outcome = train(student, data, recipe, objective=objective, folder=folder, resume=resume, progress=progress)
    final = settle(copy.deepcopy(outcome.model)).eval()
    if how.normalise and scaled:
        final = fold(final, _example(final, data))
    certificate = certify(final, data.test, data, bound=bound, exact=True)
    return Tuned(final, outcome, certificate, len(scaled) - len(blocked), len(scaled), blocked)


def prepare(
    model: nn.Module, data: Data, how: FineTuning, choices: Mapping[str, Choice] | None = None
) -> tuple[nn.Module, dict[str, str]]:
    """A copy of `model` with mixtures, exact so far, of polynomials scaled on data; and why some have scale 1."""
    student = _mixed(model, data, how, choices or {})
    _mix_pools(student, convert(student, _example(student, data), activation="keep", maxpool="avg").model)
    sites = {name: blend.goal for name, blend in blends(student).items() if isinstance(blend.goal, PolyAct)}
    if not how.normalise:
        return student, dict.fromkeys(sites, "scales were not asked for")
    freedom = Freedom(student, _example(student, data))
    count = min(how.examples, len(data.train))
    images = (data.normalise(data.train.batch(part)[0]) for part in torch.arange(count).split(_BATCH))
    found = observe(student, {name: student.get_submodule(name) for name in sites}, images)
    for name, scale in scales(found, freedom, how.reach, powers=how.powers).items():
        sites[name].rescale(scale.to(next(student.parameters()).device))
    return student, {name: reason for name, reason in freedom.blocked.items() if name in sites}


def _mixed(model: nn.Module, data: Data, how: FineTuning, choices: Mapping[str, Choice]) -> nn.Module:
    """A copy of `model` with a mixture at every activation that is to change, exact so far."""
    conversion = convert(model, _example(model, data), activation="keep", maxpool="keep")
    wanted = {change.site.name for change in conversion.changes if change.site.kind not in (MAXPOOL, *BOUNDED)}
    if unknown := sorted(choices.keys() - wanted):
        raise InvalidInput(f"the model has no activation {unknown[0]!r} to replace; it has {', '.join(sorted(wanted))}")
    for spot in [spot for spot in spots(conversion.model) if spot.path in wanted]:
        choice = choices.get(spot.path, "poly")
        if choice != "keep":
            mixture = Blend(spot.module, _goal(choice, how, spot.path))
            spot.parent._modules[spot.name] = mixture.train(spot.module.training)
    if not blends(conversion.model):
        raise InvalidInput("none of the model's activations is to be replaced, or can be; see convert's report")
    return conversion.model


def _mix_pools(student: nn.Module, averaged: nn.Module) -> None:
    """Make each max-pool a mixture with the average that `averaged`, the same net, has in its place."""
    for spot in [spot for spot in spots(student) if kind_of(spot.module) == MAXPOOL]:
        average = averaged.get_submodule(spot.path)
        if kind_of(average) != MAXPOOL:
            spot.parent._modules[spot.name] = Blend(spot.module, average).train(spot.module.training)


def _goal(choice: Choice, how: FineTuning, site: str) -> PolyAct | nn.Identity:
    """What stands at a site in the end."""
    if isinstance(choice, Polynomial):
        return PolyAct(choice, tail=how.tail)
    if choice not in ("poly", "identity"):
        raise InvalidInput(f'{site} becomes "poly", a Polynomial, "identity" or "keep", not {choice!r}')
    return PolyAct(how.polynomial, tail=how.tail) if choice == "poly" else nn.Identity()


def _example(model: nn.Module, data: Data) -> Tensor:
    x, _ = data.train.batch([0])
    return data.normalise(x).to(next(model.parameters()).device)
