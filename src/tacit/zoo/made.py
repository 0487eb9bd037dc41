"""Made weights and inputs: the same on every machine for the same seed, and sane layer by layer.

They stand in for trained ones where only an architecture matters. Nothing here is secret: the numbers are those of
AES-CTR under a public key, since generators of numpy and torch change with their versions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tacit.ring.prg import SEED_BYTES, Seed

__all__ = ["fill", "made_inputs", "normal"]

Shape = tuple[int, ...]
_CHUNK = 1 << 21
_WEIGHTS, _INPUTS = 1, 2  # streams of a seed
#: Standard deviations of biases and of other parameters, around 0 or (a norm's weight) 1.
_SPREAD = 0.1
#: Mean of what convolutions and batch norms give. Most of a ReLU's inputs pass, then; with half of them cut off, a deep
#: net of random weights is chaotic: it amplifies rounding as no trained net does.
_LEVEL = 0.5


def normal(seed: int, stream: int, shape: Shape, *, kind: int = _WEIGHTS) -> NDArray[np.float32]:
    """Standard normal numbers of `shape`, from the generator `stream` of the small number `seed`.

    Box and Muller, Annals of Mathematical Statistics 1958, on halves of words.
    """
    source, count = Seed(seed.to_bytes(SEED_BYTES, "little")), math.prod(shape)
    out = np.empty(count + count % 2, np.float32)
    for start in range(0, len(out) // 2, _CHUNK):
        words = source.words(kind, stream, min(_CHUNK, len(out) // 2 - start), start)
        radius = np.sqrt(-2 * np.log(((words >> np.uint64(32)).astype(np.float64) + 0.5) * 2.0**-32))
        angle = (words & np.uint64(0xFFFFFFFF)).astype(np.float64) * (2 * math.pi * 2.0**-32)
        out[2 * start : 2 * (start + len(words)) : 2] = radius * np.cos(angle)
        out[2 * start + 1 : 2 * (start + len(words)) : 2] = radius * np.sin(angle)
    return out[:count].reshape(shape)


def made_inputs(shapes: Sequence[Shape], count: int, seed: int) -> tuple[NDArray[np.float32], ...]:
    """`count` inputs of each of `shapes` (batch 1), with variance 1: an array of (count, ...) an input.

    Values are normal; where there is more than one axis they are the sum of details, of patches of eight and of a level
    for each channel, since independent pixels alone look all the same to a net that averages.
    """
    return tuple(_made_input((count, *shape[1:]), 3 * place, seed) for place, shape in enumerate(shapes))


def _made_input(shape: Shape, stream: int, seed: int) -> NDArray[np.float32]:
    fine = normal(seed, stream, shape, kind=_INPUTS)
    if len(shape) < 3:
        return fine
    coarse = normal(seed, stream + 1, (*shape[:2], *(-(-size // 8) for size in shape[2:])), kind=_INPUTS)
    for axis, size in enumerate(shape[2:], 2):
        coarse = coarse.repeat(8, axis).take(range(size), axis)
    level = normal(seed, stream + 2, (*shape[:2], *(1 for _ in shape[2:])), kind=_INPUTS)
    return (fine + coarse + level) / np.float32(math.sqrt(3))


def fill(model: Any, inputs: Sequence[NDArray[np.float32]], seed: int) -> None:
    """Give the torch module made weights, normalised on `inputs` (a batch each), and put it in evaluation mode.

    Weights are normal; then, in the order of one run, every linear layer's output is shifted and scaled to mean 0 and
    variance 1 a channel, as a trained net's roughly are, and batch norms learn their statistics. A norm keeps the size
    that the module gave it.
    """
    import torch

    model.eval().requires_grad_(False)
    tables = {layer.weight for layer in model.modules() if isinstance(layer, torch.nn.Embedding)}
    for stream, (name, parameter) in enumerate(model.named_parameters()):
        values = torch.from_numpy(normal(seed, stream, tuple(parameter.shape)))
        trained, last = parameter.clone(), name.rpartition(".")[2]
        if parameter.dim() == 1:
            parameter.copy_(trained * (1 + _SPREAD * values) if last == "weight" else _SPREAD * values)
        elif last.startswith("weight") and parameter not in tables:
            parameter.copy_(values / math.sqrt(math.prod(parameter.shape[1:])))
        else:  # tokens and tables are added to values of variance 1
            parameter.copy_(values / 2)
    for norm in model.modules():
        if isinstance(norm, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            norm.bias.add_(_LEVEL).mul_(norm.weight)
    handles = [hook for layer in model.modules() for hook in _hooks(layer, torch.nn)]
    with torch.no_grad():
        model(*map(torch.from_numpy, inputs))
    for handle in handles:
        handle.remove()


def _hooks(layer: Any, nn: Any) -> list[Any]:
    """What makes the layer learn from the first run."""
    linear = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    if isinstance(layer, linear):
        return [layer.register_forward_hook(_normalised)]
    if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
        return [layer.register_forward_pre_hook(_learn)]
    return []


def _normalised(layer: Any, given: Any, y: Any) -> Any:
    """The layer's output shifted (if it can) and scaled to the mean and variance it should have; its weights follow."""
    convolution = layer.weight.dim() > 2
    last = 1 if convolution else y.dim() - 1
    shape = [-1 if axis == last else 1 for axis in range(y.dim())]
    mean = y.mean([axis for axis in range(y.dim()) if axis != last]) if layer.bias is not None else y.new_zeros(1)
    shifted = y - mean.reshape(shape)
    factor = 1 / float(shifted.square().mean().sqrt())
    level = _LEVEL if convolution and layer.bias is not None else 0.0
    layer.weight.mul_(factor)
    if layer.bias is not None:
        layer.bias.sub_(mean).mul_(factor).add_(level)
    return shifted * factor + level


def _learn(layer: Any, given: tuple[Any, ...]) -> None:
    """Set a batch norm's statistics to those of its input; half of a variance is all channels', as few are seen."""
    x = given[0]
    axes = [0, *range(2, x.dim())]
    layer.running_mean.copy_(x.mean(axes))
    variance = x.var(axes, correction=0)
    layer.running_var.copy_((variance + variance.mean()) / 2)
