"""PILLAR training (Diaa, Fenaux, Humphries et al., USENIX Security 2024): a penalty keeps polynomials in their range.

The penalty of a batch is the mean over activation layers, and over samples, of the sum over one sample's elements of
(x / B)^gamma, where x is the layer's input before clipping, in units of the activation's scale. The published code sums
over the batch instead of averaging, so that its coefficient depends on the batch: `per_sample` converts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from tacit.codesign.activations.fit import Polynomial, fit
from tacit.codesign.activations.poly import PolyAct
from tacit.codesign.conversion import convert
from tacit.codesign.data.sets import Data
from tacit.codesign.training.around import Around
from tacit.codesign.training.loop import Outcome, train
from tacit.codesign.training.objective import CrossEntropy, Objective
from tacit.codesign.training.recipe import Recipe
from tacit.errors import InvalidInput

__all__ = [
    "PRESETS",
    "WARM_UP",
    "Phase",
    "Preset",
    "RangePenalty",
    "per_sample",
    "polynomials",
    "preset",
    "range_penalty",
    "train_pillar",
    "watch",
]


@dataclass(frozen=True)
class Phase:
    """One epoch of the warm-up: the penalty's exponent, the share of its coefficient, the weight of the task's loss."""

    gamma: int
    share: float
    task: float = 1.0


#: The published warm-up, an epoch each; the first trains the ranges alone. Later epochs have the full penalty.
WARM_UP = (Phase(4, 1 / 100, task=0.0), Phase(6, 1 / 50), Phase(8, 1 / 10), Phase(10, 1 / 5))


def per_sample(published: float, batch: int) -> float:
    """The coefficient for a mean over samples that equals `published`, one for a sum over batches of `batch`."""
    return published * batch


def polynomials(model: nn.Module) -> dict[str, PolyAct]:
    """The polynomial activations of `model` by qualified name. Raises InvalidInput if it has none."""
    found = {name: module for name, module in model.named_modules() if isinstance(module, PolyAct)}
    if not found:
        raise InvalidInput("the model has no polynomial activation; convert it first (tacit.codesign.convert)")
    return found


@contextmanager
def watch(layers: Mapping[str, nn.Module]) -> Iterator[list[tuple[str, Tensor]]]:
    """A list that gets (name, input) whenever one of `layers` runs inside the `with`, in order."""
    seen: list[tuple[str, Tensor]] = []

    def recorder(name: str) -> Any:
        return lambda _, given, named: seen.append((name, [*given, *named.values()][0]))

    handles = [layer.register_forward_pre_hook(recorder(name), with_kwargs=True) for name, layer in layers.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def range_penalty(inputs: Sequence[Tensor], bound: float, gamma: int) -> Tensor:
    """Mean over layers and samples of the sum over a sample's elements of (x / bound)^gamma, a scalar.

    `inputs` are the layers' inputs (samples first) in units of their activation's scale; `gamma` is even.
    """
    total = sum((x.float() / bound).pow(gamma).flatten(1).sum(1).mean() for x in inputs)
    return total / len(inputs)


class RangePenalty(Around):
    """`task` plus alpha times the range penalty of every polynomial activation, with a warm-up by epoch.

    alpha    coefficient of the penalty per sample (`per_sample` converts a published one)
    bound    B: magnitude, in units of the activation's scale, beyond which the penalty grows steeply
    gamma    even exponent after the warm-up
    warm_up  what the first epochs do instead, one phase each

    Raises InvalidInput for an odd exponent, other numbers that make no penalty, and a model without polynomials.
    """

    def __init__(
        self,
        task: Objective | None = None,
        *,
        alpha: float,
        bound: float = 4.8,
        gamma: int = 10,
        warm_up: Sequence[Phase] = WARM_UP,
    ) -> None:
        if not (alpha >= 0 and bound > 0):
            raise InvalidInput(f"a range penalty needs alpha >= 0 and a bound > 0, not {alpha!r} and {bound!r}")
        for exponent in (gamma, *(phase.gamma for phase in warm_up)):
            if exponent < 2 or exponent % 2:
                raise InvalidInput(f"the exponent of a range penalty must be even and at least 2, not {exponent!r}")
        super().__init__(task)
        self.alpha, self.bound, self.gamma, self.warm_up = alpha, bound, gamma, tuple(warm_up)
        self._phase = self.phase(0)
        self._layers: dict[str, PolyAct] = {}
        self._last: Tensor | None = None

    def settings(self) -> dict[str, Any]:
        """See Objective."""
        own = {"alpha": self.alpha, "bound": self.bound, "gamma": self.gamma, "warm_up": self.warm_up}
        return {**super().settings(), **own}

    def phase(self, epoch: int) -> Phase:
        """What epoch `epoch` (from 0) trains on."""
        return self.warm_up[epoch] if epoch < len(self.warm_up) else Phase(self.gamma, 1.0)

    def begin(self, model: nn.Module, data: Data, recipe: Recipe) -> None:
        """Find the model's polynomials. Raises InvalidInput if there are none."""
        self._layers = polynomials(model)
        super().begin(model, data, recipe)

    def epoch(self, model: nn.Module, n: int) -> None:
        """Take up the phase of epoch `n`."""
        self._phase = self.phase(n)
        super().epoch(model, n)

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """The weighted task loss plus the penalty of this batch, a scalar."""
        with watch(self._layers) as seen:
            task = self.task.loss(model, x, y)
        inputs = [self._layers[name].normalised(given) for name, given in seen]
        penalty = range_penalty(inputs, self.bound, self._phase.gamma) if inputs else task.new_zeros(())
        self._last = penalty.detach()
        return self._phase.task * task + self.alpha * self._phase.share * penalty

    def parts(self) -> dict[str, float]:
        """The task's parts, and the penalty before its coefficient."""
        return {**super().parts(), **({} if self._last is None else {"penalty": float(self._last)})}

    def end(self, model: nn.Module) -> None:
        """Forget the model."""
        self._layers = {}
        super().end(model)


@dataclass(frozen=True)
class Preset:
    """The published way to train one net on one data set.

    recipe   epochs, learning rate, batch and weight decay; SGD with momentum 0.9, warm-up and cosine
    alpha    coefficient of the penalty summed over a batch of `summed`, as published
    degree   as requested; the integer fit of 10 bits gives the quartic for 4, 5 and 6 alike
    """

    name: str
    recipe: Recipe
    alpha: float
    bound: float = 4.8
    gamma: int = 10
    degree: int = 4
    bits: int = 10
    interval: float = 5.0
    summed: int = 128
    smoothing: float = 0.0

    @property
    def polynomial(self) -> Polynomial:
        """The activation that the published code uses for this net."""
        return fit(self.degree, self.bits, self.interval)

    def activation(self) -> PolyAct:
        """The activation, which clips its input to the interval in training only."""
        return PolyAct(self.polynomial, clip=self.interval)

    def objective(self) -> RangePenalty:
        """Cross entropy with the range penalty, of a coefficient that does not depend on the batch."""
        task = CrossEntropy(label_smoothing=self.smoothing)
        alpha = per_sample(self.alpha, self.summed)
        return RangePenalty(task, alpha=alpha, bound=self.bound, gamma=self.gamma)


def _recipe(epochs: int, lr: float, weight_decay: float = 5e-4, batch: int = 128) -> Recipe:
    return Recipe(epochs=epochs, lr=lr, batch=batch, weight_decay=weight_decay, warmup_epochs=5, warmup_start=0.01)


_IMAGENET = _recipe(600, 0.03, 2e-5, 1024).replace(decay_norms=False)
_PUBLISHED = (
    Preset("resnet18/cifar10", _recipe(185, 0.013), 5e-5),
    Preset("resnet110/cifar10", _recipe(185, 0.013), 5e-5),
    Preset("minionn/cifar10", _recipe(180, 0.06), 5e-5, bound=4.4, degree=6),
    Preset("vgg16/cifar10", _recipe(300, 0.0025), 1e-6),
    Preset("vgg16/cifar100", _recipe(300, 0.0025), 1e-6),
    Preset("resnet18/cifar100", _recipe(185, 0.013), 5e-5, degree=6),
    Preset("resnet32/cifar100", _recipe(150, 0.1, 1e-4), 1e-2, bound=4.0, degree=5),
    # Four devices of 256 each: gradients are averaged over devices, so that the sum is over 256. The published run also
    # had mixup, cutmix, random erasing and an averaged model, which are not part of a recipe here.
    Preset("resnet50/imagenet", _IMAGENET, 1e-4, summed=256, smoothing=0.1),
)
#: The published hyper-parameters by "net/data".
PRESETS: Mapping[str, Preset] = {preset.name: preset for preset in _PUBLISHED}


def preset(name: str) -> Preset:
    """The preset called `name`, such as "resnet18/cifar10". Raises InvalidInput naming those that there are."""
    if name not in PRESETS:
        raise InvalidInput(f"there is no preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]


def train_pillar(
    model: nn.Module,
    data: Data,
    how: Preset | str,
    *,
    recipe: Recipe | None = None,
    folder: Path | str | None = None,
    resume: bool = True,
    progress: bool = True,
) -> Outcome:
    """Train `model`'s architecture with polynomials in place of its activations, as `how` says, from its weights.

    `recipe` replaces the published one, such as for fewer epochs. Max pools become average pools. The given model is
    not changed; the outcome's is the epoch best on held-out data. Raises InvalidInput, and what `train` raises.
    """
    chosen = preset(how) if isinstance(how, str) else how
    x, _ = data.train.batch([0])
    converted = convert(model, data.normalise(x), activation=chosen.activation, maxpool="avg")
    return train(
        converted.model,
        data,
        recipe or chosen.recipe,
        objective=chosen.objective(),
        folder=folder,
        resume=resume,
        progress=progress,
    )
