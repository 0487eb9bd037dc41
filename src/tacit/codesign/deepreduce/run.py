"""DeepReDuce end to end: profile, cull, thin, reshape, each net trained with distillation, and its point."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from tacit.codesign.data.sets import Data
from tacit.codesign.deepreduce.profile import Profile, Stage, profile
from tacit.codesign.deepreduce.reduce import Build, Design, built, check_factors, designs
from tacit.codesign.finetune.distil import Distillation
from tacit.codesign.frontier import Point, pareto, read, save
from tacit.codesign.pricing import calibration, point_of
from tacit.codesign.search.cost import activation_sites
from tacit.codesign.training.evaluate import evaluate
from tacit.codesign.training.loop import Outcome, check_fit, train
from tacit.codesign.training.recipe import Recipe
from tacit.plan.cost import Rates
from tacit.plan.policy import Policy

__all__ = ["Job", "Reduced", "Reduction", "deepreduce"]


@dataclass(frozen=True)
class Reduction:
    """How a net is reduced.

    links    links that every point is billed on
    alphas   channels of reshaped nets, as multiples of the net's; needs `build`
    rhos     resolutions of reshaped nets
    soft     weight of the teacher's soft labels, and `temperature` theirs
    """

    links: tuple[str, ...] = ("lan", "wan")
    alphas: tuple[float, ...] = ()
    rhos: tuple[float, ...] = ()
    soft: float = 0.9
    temperature: float = 4.0
    policy: Policy = field(default_factory=Policy)
    rates: Rates = field(default_factory=Rates)


@dataclass(frozen=True)
class Reduced:
    """What came of it: the profile and the points of all nets trained, the unmodified one first."""

    profile: Profile
    points: tuple[Point, ...]

    def front(self, key: str = "activations") -> tuple[Point, ...]:
        """The points that nothing beats by activations or by predicted seconds on a link, cheapest first."""
        return pareto(self.points, key)


def deepreduce(
    model: nn.Module,
    data: Data,
    recipe: Recipe,
    how: Reduction | None = None,
    *,
    build: Build | None = None,
    folder: Path | str | None = None,
    progress: bool = True,
) -> Reduced:
    """Reduce a trained ReLU net as published: about 4 (D - 1) nets of D stages are trained from fresh weights.

    model   the trained net, which is the teacher of all others and is not changed
    recipe  of every training run
    build   makes the net with other channels, for `how.alphas`
    folder  holds checkpoints and points, from which an interrupted run goes on

    Stages are profiled on held-out data; points have test accuracy. Raises InvalidInput for a net with fewer than two
    stages or no activation, and what `train` raises.
    """
    how, folder = how or Reduction(), None if folder is None else Path(folder)
    model = deepcopy(model).cpu().eval()
    job = Job(model, data, recipe, how, build, folder, progress)
    found = activation_sites(model, calibration(data, 1)[0])
    _check_shapes(job, frozenset(site.name for site in found))
    profiled = profile(found, job.alone)
    points = [job.reference()]
    points += [job.point(design) for design in designs(profiled, alphas=how.alphas, rhos=how.rhos)]
    reduced = Reduced(profiled, tuple(points))
    if folder is not None:
        save(reduced.points, folder / "deepreduce.json", **_about(profiled))
    return reduced


def _check_shapes(job: Job, names: frozenset[str]) -> None:
    """That every reshaped net can be built and takes the data, before any is trained. Raises InvalidInput."""
    check_factors(*job.how.alphas, *job.how.rhos)
    shapes = [Design(f"a={alpha:g}", names, alpha=alpha) for alpha in job.how.alphas]
    shapes += [Design(f"r={rho:g}", names, rho=rho) for rho in job.how.rhos]
    for design in shapes:
        net = built(job.model, calibration(job.data, 1)[0], design, build=job.build)
        check_fit(net, job.data, torch.device("cpu"))


def _about(profiled: Profile) -> dict[str, object]:
    names: Sequence[str] = [stage.name for stage in profiled.stages]
    return {
        "stages": [{"name": s.name, "size": list(s.size), "count": s.count} for s in profiled.stages],
        "alone": dict(zip(names, profiled.accuracy, strict=True)),
        "criticality": dict(zip(names, profiled.criticality, strict=True)),
    }


@dataclass(frozen=True)
class Job:
    """The runs of one reduction of `model`, a copy in evaluation mode; see `deepreduce` for the rest."""

    model: nn.Module
    data: Data
    recipe: Recipe
    how: Reduction
    build: Build | None
    folder: Path | None
    progress: bool

    def alone(self, stage: Stage) -> float:
        """Held-out accuracy of the net with ReLU in one stage only."""
        outcome = self.trained(Design(f"only {stage.name}", frozenset(stage.sites)))
        scores = outcome.held_out or outcome.test
        return scores.top1

    def reference(self) -> Point:
        """The net as it is."""
        top1 = evaluate(self.model, self.data.test, self.data).top1
        return self._priced("as it is", self.model, top1)

    def point(self, design: Design) -> Point:
        """The trained net of a design, from its file if that exists."""
        file = None if self.folder is None else self.folder / _named(design) / "point.json"
        if file is not None and file.exists():
            return read(file)[0]
        outcome = self.trained(design)
        plan = None if file is None else file.with_name("model.tacit")
        made = self._priced(design.name, outcome.model.cpu(), outcome.test.top1, plan)
        if file is not None:
            save([made], file)
        return made

    def _priced(self, name: str, model: nn.Module, top1: float, file: Path | None = None) -> Point:
        how = self.how
        return point_of(name, model, top1, self.data, how.links, policy=how.policy, rates=how.rates, file=file)

    def trained(self, design: Design) -> Outcome:
        """A design's net after its run, which resumes."""
        example = calibration(self.data, 1)[0]
        net = built(self.model, example, design, build=self.build, seed=self.recipe.seed)
        teacher = Distillation(deepcopy(self.model), soft=self.how.soft, temperature=self.how.temperature)
        folder = None if self.folder is None else self.folder / _named(design) / "run"
        return train(net, self.data, self.recipe, objective=teacher, folder=folder, progress=self.progress)


def _named(design: Design) -> str:
    """A folder's name."""
    return design.name.replace(" ", "-").replace("=", "").replace("+", "-")
