"""The lines of the co-design page: what is trained in each, on which net, data set and seed.

A line is a function in LINES, put there by `@line`; it gets the case and what earlier lines made, and yields nets. A
module that adds lines is imported by `bench/codesign.py`. Training is kept in the case's folder, so that a line that
ran before gives its nets again at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tacit.codesign.data import load
from tacit.codesign.data.sets import Data
from tacit.codesign.finetune import FineTuning, fine_tune, naive, short
from tacit.codesign.pillar import preset, train_pillar
from tacit.codesign.ranges import Certificate, certify
from tacit.codesign.training.evaluate import Scores
from tacit.codesign.training.loop import train
from tacit.codesign.training.recipe import Recipe
from tacit.plan.policy import Policy
from tacit.zoo.nets._residual import BasicBlock, ImageResNet
from tacit.zoo.nets.vgg16 import VGG16

__all__ = ["FULL", "LINES", "NETS", "SMALL", "Case", "Line", "Made", "Scale", "case", "line"]


@dataclass(frozen=True)
class Scale:
    """The size of everything: pixels, training images, the nets' width, epochs of the ReLU schedule by net, device."""

    name: str
    size: int
    examples: int
    width: float
    epochs: Mapping[str, int]
    lr: Mapping[str, float]
    device: str = "cpu"
    mixed: str | None = None
    threads: int | None = 2
    batch: int = 128

    def relu(self, net: str, seed: int) -> Recipe:
        """The schedule that trains the net with ReLU; the preset is trained for as many epochs."""
        return Recipe(
            epochs=self.epochs[net],
            lr=self.lr[net],
            warmup_epochs=3,
            seed=seed,
            batch=self.batch,
            device=self.device,
            mixed=self.mixed,  # type: ignore[arg-type]
            threads=self.threads,
        )


SMALL = Scale("small", 16, 5_000, 0.25, {"resnet18": 40, "vgg16": 40}, {"resnet18": 0.05, "vgg16": 0.05}, batch=64)
FULL = Scale(
    "full", 32, 50_000, 1.0, {"resnet18": 185, "vgg16": 300}, {"resnet18": 0.1, "vgg16": 0.05}, "cuda", "bf16", None
)


def _resnet18(scale: Scale, classes: int) -> nn.Module:
    return ImageResNet(BasicBlock, (2, 2, 2, 2), classes, int(64 * scale.width), small_stem=True)


def _vgg16(scale: Scale, classes: int) -> nn.Module:
    pools = scale.size.bit_length() - 1
    hidden = int(512 * scale.width)
    sizes = {"norm": True, "pools": min(5, pools), "dropout": 0.0, "pool": nn.AvgPool2d}
    return VGG16(classes, scale.width, 1, hidden, **sizes)


#: ResNet-18 with the stem for small images, and VGG-16 with norms, average pools and linear layers of 512: PILLAR's.
NETS: Mapping[str, Callable[[Scale, int], nn.Module]] = {"resnet18": _resnet18, "vgg16": _vgg16}


@dataclass(frozen=True)
class Case:
    """One net on one data set with one seed; `folder` keeps its runs."""

    net: str
    seed: int
    scale: Scale
    data: Data
    folder: Path
    progress: bool = True

    def model(self) -> nn.Module:
        """The untrained net with ReLU, the same for the same seed."""
        with torch.random.fork_rng([]):
            torch.manual_seed(1000 + self.seed)
            return NETS[self.net](self.scale, self.data.classes)

    @property
    def relu(self) -> Recipe:
        """The schedule of the net with ReLU."""
        return self.scale.relu(self.net, self.seed)


@dataclass(frozen=True)
class Made:
    """A trained net of a line: how long it took, how good it is, what its ranges are; `facts` go to the results.

    `policies` are those that it is compiled under for links by name, the default one for others.
    """

    name: str
    model: nn.Module
    epochs: int
    seconds: float
    test: Scores
    held_out: float | None = None
    certificate: Certificate | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)

    @property
    def runnable(self) -> bool:
        """Whether it may run privately: its polynomials, if it has any, are certified."""
        return self.certificate is None or self.certificate.holds


Line = Callable[[Case, Mapping[str, Made]], Iterator[Made]]
#: Every line by name, in the order they run, and the lines each needs.
LINES: dict[str, tuple[Line, Sequence[str]]] = {}


def line(name: str, *, needs: Sequence[str] = ()) -> Callable[[Line], Line]:
    """Register a function as the line `name`, which gets what the lines it `needs` made."""

    def register(function: Line) -> Line:
        LINES[name] = (function, tuple(needs))
        return function

    return register


def case(net: str, data: str, seed: int, scale: Scale, folder: Path, path: Path | None = None) -> Case:
    """The case, with its data loaded: every seed has the same images and held-out split."""
    loaded = load(data, path, size=scale.size, examples=scale.examples, seed=0)
    return Case(net, seed, scale, loaded, folder / scale.name / data / net / f"seed{seed}")


@line("relu")
def relu(case: Case, done: Mapping[str, Made]) -> Iterator[Made]:
    """The net with ReLU, trained from scratch."""
    outcome = train(case.model(), case.data, case.relu, folder=case.folder / "relu", progress=case.progress)
    held_out = outcome.held_out.top1 if outcome.held_out else None
    yield Made("relu", outcome.model.cpu(), outcome.epochs, outcome.seconds, outcome.test, held_out)


@line("naive", needs=("relu",))
def unprepared(case: Case, done: Mapping[str, Made]) -> Iterator[Made]:
    """Quartics swapped in, then as many epochs as fine-tuning gets, by cross-entropy alone."""
    recipe = short(case.relu).replace(clip_norm=None)
    given = done["relu"].model
    found = naive(given, case.data, recipe, folder=case.folder / "naive", progress=case.progress)
    swapped = {"swapped_top1": found.swapped.top1, "diverged": found.diverged}
    outcome = found.outcome
    test = found.swapped if outcome is None else outcome.test
    seconds = outcome.seconds if outcome else 0.0
    yield Made("naive", found.model.cpu(), recipe.epochs, seconds, test, None, found.certificate, swapped)


@line("pillar")
def published(case: Case, done: Mapping[str, Made]) -> Iterator[Made]:
    """PILLAR's recipe from scratch, its numbers for this net on CIFAR-10, over the epochs of the ReLU schedule."""
    how = preset(f"{case.net}/cifar10")
    recipe = how.recipe.replace(
        **{name: getattr(case.relu, name) for name in ("epochs", "seed", "device", "mixed", "threads")}
    )
    run = partial(train_pillar, case.model(), case.data, how, recipe=recipe)
    outcome = run(folder=case.folder / "pillar", progress=case.progress)
    certificate = certify(outcome.model, case.data.test, case.data)
    held_out = outcome.held_out.top1 if outcome.held_out else None
    yield Made("pillar", outcome.model.cpu(), outcome.epochs, outcome.seconds, outcome.test, held_out, certificate)


@line("fine-tuned", needs=("relu",))
def tuned(case: Case, done: Mapping[str, Made]) -> Iterator[Made]:
    """The ReLU net's activations replaced by quartics in a fifth of its epochs."""
    recipe = short(case.relu)
    folder = case.folder / "fine-tuned"
    found = fine_tune(done["relu"].model, case.data, recipe, FineTuning(), folder=folder, progress=case.progress)
    outcome = found.outcome
    held_out = outcome.held_out.top1 if outcome.held_out else None
    facts = {"scaled_sites": found.scaled, "sites": found.sites}
    model = found.model.cpu()
    yield Made("fine-tuned", model, outcome.epochs, outcome.seconds, outcome.test, held_out, found.certificate, facts)
