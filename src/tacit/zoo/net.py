"""Net: how a published architecture is built, on which inputs, and a small relative with the same operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tacit.zoo.made import fill, made_inputs

__all__ = ["Net", "Size"]

Shape = tuple[int, ...]
#: Inputs that made weights are normalised on.
_SAMPLES = 4


@dataclass(frozen=True)
class Size:
    """One size of a net: `build` gives the torch module with whatever weights, `shapes` are its inputs', batch 1."""

    build: Callable[[], Any]
    shapes: tuple[Shape, ...]

    def inputs(self, count: int = 1, *, seed: int = 11) -> tuple[NDArray[np.float32], ...]:
        """Made inputs, normal values as after the usual normalisation: an array of (count, ...) an input."""
        return made_inputs(self.shapes, count, seed)

    def example(self) -> Any:
        """A made input, or a tuple of them, as torch tensors of batch 1."""
        import torch

        tensors = tuple(torch.from_numpy(array) for array in self.inputs())
        return tensors[0] if len(tensors) == 1 else tensors

    def model(self, *, seed: int = 7) -> Any:
        """The torch module in evaluation mode with made weights, the same for the same seed on every machine."""
        model = self.build()
        fill(model, self.inputs(_SAMPLES, seed=seed), seed)
        return model


@dataclass(frozen=True)
class Net:
    """A net of the zoo: as published, and a small relative of the same operations, quick enough for tests.

    `beside` are prefixes of tensors that published weight files hold beside the net's own: the tables that a client
    looks its input up in, and heads that only training needs. `weight_bits` are the fraction bits of weights in the
    expected bill, and in the tests of accuracy.
    """

    published: Size
    small: Size
    beside: tuple[str, ...] = ()
    weight_bits: int = 18
