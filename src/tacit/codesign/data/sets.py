"""What a data set is to the trainers: three splits of labelled images, and how their pixels are normalised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional

from tacit.codesign.seeding import generator
from tacit.errors import InvalidInput

__all__ = ["Data", "Images", "Split", "Subset", "as_indices", "assemble", "balanced", "check_labels", "statistics"]

Shape = tuple[int, int, int]
#: Examples that a set's mean and deviation are taken from; more change them in the third digit.
_SAMPLE = 10_000
#: Examples read at a time where a whole split is walked.
_CHUNK = 1_000


@runtime_checkable
class Split(Protocol):
    """Labelled images: `shape` is (C, H, W) of each, `labels` of (N,), int64, in 0 ... classes - 1."""

    @property
    def classes(self) -> int:
        """How many classes there are."""
        ...

    @property
    def shape(self) -> Shape:
        """(C, H, W) of every image."""
        ...

    @property
    def labels(self) -> Tensor:
        """The labels of all examples, (N,), int64, on the CPU."""
        ...

    def __len__(self) -> int: ...

    def batch(self, indices: Tensor | Sequence[int]) -> tuple[Tensor, Tensor]:
        """The examples at `indices`: float32 images of (n, C, H, W) in [0, 1] and int64 labels of (n,), on the CPU."""
        ...


@dataclass(frozen=True, eq=False)
class Images:
    """A split in memory: `pixels` of (N, C, H, W), uint8, that stand for [0, 1].

    Raises:
        InvalidInput: pixels or labels have another type or shape, or a label is out of range.
    """

    pixels: Tensor
    labels: Tensor
    classes: int

    def __post_init__(self) -> None:
        if self.pixels.dtype != torch.uint8 or self.pixels.dim() != 4:
            raise InvalidInput(
                f"images are uint8 of (N, C, H, W), and these are {self.pixels.dtype} of {tuple(self.pixels.shape)}"
            )
        if self.labels.shape != self.pixels.shape[:1]:
            raise InvalidInput(f"there are {len(self.pixels)} images and labels of {tuple(self.labels.shape)}")
        check_labels(self.labels, self.classes)

    @property
    def shape(self) -> Shape:
        """(C, H, W)."""
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Tensor | Sequence[int]) -> tuple[Tensor, Tensor]:
        """See Split."""
        chosen = as_indices(indices)
        return self.pixels[chosen].to(torch.float32).div_(255), self.labels[chosen]

    def resized(self, size: int) -> Images:
        """The same images at `size` x `size` pixels, by bilinear interpolation with antialiasing."""
        if self.shape[1:] == (size, size):
            return self
        made = torch.empty((len(self), self.shape[0], size, size), dtype=torch.uint8)
        for start in range(0, len(self), _CHUNK):
            pixels = self.pixels[start : start + _CHUNK].float()
            made[start : start + _CHUNK] = _resize(pixels, size).round_().clamp_(0, 255).to(torch.uint8)
        return replace(self, pixels=made)


@dataclass(frozen=True, eq=False)
class Subset:
    """Some examples of another split, in the order of `indices` of (n,), int64; `classes`, if given, are its classes.

    Raises:
        InvalidInput: a label is out of range.
    """

    whole: Split
    indices: Tensor
    classes: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", self.classes or self.whole.classes)
        check_labels(self.labels, self.classes)

    @property
    def shape(self) -> Shape:
        """(C, H, W)."""
        return self.whole.shape

    @property
    def labels(self) -> Tensor:
        """The labels of the chosen examples."""
        return self.whole.labels[self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, indices: Tensor | Sequence[int]) -> tuple[Tensor, Tensor]:
        """See Split."""
        return self.whole.batch(self.indices[as_indices(indices)])


@dataclass(frozen=True, eq=False)
class Data:
    """A data set: `train` to learn from, `held_out` to choose by, `test` to report; mean and deviation by channel.

    `flip` says whether a mirrored image keeps its class. The splits must agree in shape and number of classes.

    Raises:
        InvalidInput: they do not, the training split is empty, a label is out of range, or mean or deviation do not fit
            the channels.
    """

    name: str
    train: Split
    held_out: Split
    test: Split
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flip: bool = True

    def __post_init__(self) -> None:
        if not len(self.train):
            raise InvalidInput(f"the data set {self.name} has no training examples; check its path and its limits")
        for title, split in (("held-out", self.held_out), ("test", self.test)):
            if (split.shape, split.classes) != (self.shape, self.classes):
                raise InvalidInput(
                    f"the {title} split of {self.name} has images of {split.shape} in {split.classes} classes, and "
                    f"the training split {self.shape} in {self.classes}; they must be the same"
                )
        for title, split in (("training", self.train), ("held-out", self.held_out), ("test", self.test)):
            if split.labels.shape != (len(split),):
                raise InvalidInput(
                    f"the {title} split of {self.name} has {len(split)} examples and labels of "
                    f"{tuple(split.labels.shape)}; give one label an example"
                )
            check_labels(split.labels, self.classes)
        if not len(self.mean) == len(self.std) == self.shape[0] or min(self.std) <= 0:
            raise InvalidInput(f"{self.name} has {self.shape[0]} channels; give as many means and positive deviations")

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return self.train.classes

    @property
    def shape(self) -> Shape:
        """(C, H, W) of every image."""
        return self.train.shape

    def normalise(self, x: Tensor) -> Tensor:
        """(x - mean) / deviation by channel, for x of (N, C, H, W) in [0, 1]; what a model is trained on and served."""
        mean, std = (x.new_tensor(values).reshape(1, -1, 1, 1) for values in (self.mean, self.std))
        return (x - mean) / std


def as_indices(indices: Tensor | Sequence[int]) -> Tensor:
    """`indices` as an int64 tensor of (n,) on the CPU."""
    return torch.as_tensor(indices, dtype=torch.int64, device="cpu").reshape(-1)


def check_labels(labels: Tensor, classes: int) -> None:
    """Labels are int64 in 0 ... classes - 1.

    Raises:
        InvalidInput: they are not; names the first one that is out of range and its place.
    """
    if labels.dtype != torch.int64:
        raise InvalidInput(f"labels are int64, and these are {labels.dtype}; convert them")
    wrong = ((labels < 0) | (labels >= classes)).nonzero()
    if len(wrong):
        place = int(wrong[0])
        raise InvalidInput(
            f"label {int(labels[place])} of example {place} is out of range: with {classes} classes labels are "
            f"0 ... {classes - 1}; check the class count and whether labels start at 0"
        )


def balanced(labels: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """`count` places drawn so that every class has its share of them, and all others; both sorted, int64.

    Each class gives the nearest whole number to its share, and the largest remainders make up the sum.
    """
    order = torch.randperm(len(labels), generator=generator(seed, "balanced"))
    count = min(count, len(labels))
    sizes = torch.bincount(labels)
    share = sizes * (count / max(len(labels), 1))
    quota = share.floor().long()
    for place in (share - quota).argsort(descending=True, stable=True)[: count - int(quota.sum())]:
        quota[place] += 1
    shuffled = labels[order]
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for number, wanted in enumerate(quota.tolist()):
        chosen[order[(shuffled == number).nonzero().reshape(-1)[:wanted]]] = True
    return chosen.nonzero().reshape(-1), (~chosen).nonzero().reshape(-1)


def assemble(
    name: str,
    train: Split,
    test: Split,
    *,
    examples: int | None = None,
    held_out: float = 0.1,
    seed: int = 0,
    classes: int | None = None,
    flip: bool = True,
    norm: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
) -> Data:
    """The data set of a training and a test split.

    Only the first `classes` classes are kept; of the rest `examples` for training and as many at most for testing, in
    the classes' proportions; a share `held_out` of the training examples is split off. `norm` is (mean, deviation), by
    default those of the training examples.

    Raises:
        InvalidInput: a number makes no sense, or nothing is left.
    """
    if not 0 <= held_out < 1:
        raise InvalidInput(f"held_out is the share of training examples to choose by, in [0, 1), and not {held_out}")
    if classes is not None and not 2 <= classes <= train.classes:
        raise InvalidInput(f"{name} has {train.classes} classes: keep 2 ... {train.classes} of them, and not {classes}")
    train, test = (_limited(split, classes or train.classes, examples, seed) for split in (train, test))
    aside, rest = balanced(train.labels, round(held_out * len(train)), seed)
    train, aside_split = Subset(train, rest), Subset(train, aside)
    if not len(train):
        raise InvalidInput(f"{name} has no training examples left; give it more examples or hold fewer of them out")
    mean, std = norm or statistics(train)
    return Data(name, train, aside_split, test, mean, std, flip)


def statistics(split: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of a split, over at most 10,000 examples evenly apart.

    A channel that is constant gets deviation 1.
    """
    chosen = torch.linspace(0, len(split) - 1, min(len(split), _SAMPLE), dtype=torch.float64).round().long()
    total = torch.zeros(2, split.shape[0], dtype=torch.float64)
    for part in chosen.split(_CHUNK):
        x = split.batch(part)[0].double()
        total += torch.stack([x.sum((0, 2, 3)), x.square().sum((0, 2, 3))])
    mean, square = total / (len(chosen) * split.shape[1] * split.shape[2])
    std = (square - mean.square()).clamp_min(0).sqrt()
    std = torch.where(std > 1e-6, std, torch.ones_like(std))
    return tuple(mean.tolist()), tuple(std.tolist())


def _limited(split: Split, classes: int, examples: int | None, seed: int) -> Split:
    kept = (split.labels < classes).nonzero().reshape(-1)
    if examples is not None and examples < len(kept):
        kept = kept[balanced(split.labels[kept], examples, seed)[0]]
    whole = len(kept) == len(split) and classes == split.classes
    return split if whole else Subset(split, kept, classes)


def _resize(pixels: Tensor, size: int) -> Tensor:
    return functional.interpolate(pixels, (size, size), mode="bilinear", antialias=True, align_corners=False)
