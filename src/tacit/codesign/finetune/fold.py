"""Folding: scaled polynomials become plain ones, their scales move into the weights around them; outputs are equal."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tacit.codesign.activations.poly import PolyAct
from tacit.codesign.finetune.freedom import CONVOLUTIONS, FIXED, NORMS, TRANSPOSED, Classes, Freedom
from tacit.errors import InvalidInput

__all__ = ["fold"]


def fold(model: nn.Module, example: Tensor) -> nn.Module:
    """A copy of `model` whose polynomials have scale 1 and whose outputs in evaluation mode are the same.

    `example` is a batch of inputs. The copy runs privately at the cost of a net that never had scales. Batch norms keep
    their statistics in the new units. Raises InvalidInput where scales cannot be moved into weights: where one of an
    activation whose channels cannot be rescaled is not 1, or those that must be the same differ.
    """
    folded = copy.deepcopy(model).eval()
    freedom = Freedom(folded, example)
    units = _units(folded, freedom)
    with torch.no_grad():
        for name, (before, after) in freedom.edges.items():
            layer = folded.get_submodule(name)
            _rescale(layer, *(_vector(classes, units, layer) for classes in (before, after)))
        for name in freedom.sites:
            act = folded.get_submodule(name)
            if isinstance(act, PolyAct):
                act.rescale(1.0)
    for module, original in zip(folded.modules(), model.modules(), strict=True):
        module.training = original.training
    return folded


def _units(model: nn.Module, freedom: Freedom) -> dict[int, float]:
    """The scale of every class that an activation sets. Raises InvalidInput for two."""
    units = {FIXED: 1.0}
    for name, classes in freedom.sites.items():
        act = model.get_submodule(name)
        if not isinstance(act, PolyAct):
            continue
        scale = torch.as_tensor(act.scale, dtype=torch.float64).cpu().expand(len(classes)).tolist()
        for channel, value in zip(classes.tolist(), scale, strict=True):
            if units.setdefault(channel, value) != value:
                cause = freedom.blocked.get(name)
                why = f"since {cause} is beside it" if cause else "since it is added to another activation of its own"
                raise InvalidInput(f"the scale {value:g} of {name} cannot move into weights, {why}")
    return units


def _vector(classes: Classes, units: Mapping[int, float], layer: nn.Module) -> Tensor:
    like = next(iter([*layer.parameters(), *layer.buffers()]))
    return torch.tensor([units.get(channel, 1.0) for channel in classes.tolist()], dtype=torch.float64).to(like.device)


def _rescale(layer: nn.Module, before: Tensor, after: Tensor) -> None:
    """Rewrite the layer for inputs divided by `before` and outputs divided by `after`, both by channel."""
    if bool((before == 1).all()) and bool((after == 1).all()):
        return
    if isinstance(layer, NORMS):
        _rescale_norm(layer, before, after)
        return
    weight = layer.weight
    rest = (1,) * (weight.dim() - 2)
    if isinstance(layer, TRANSPOSED):
        factor = before.reshape(-1, 1, *rest) / after.reshape(1, -1, *rest)
    elif isinstance(layer, CONVOLUTIONS):
        groups = before.reshape(layer.groups, 1, -1).expand(-1, len(after) // layer.groups, -1)
        factor = groups.reshape(len(after), -1, *rest) / after.reshape(-1, 1, *rest)
    else:
        factor = before.reshape(1, -1) / after.reshape(-1, 1)
    weight.copy_(weight.double() * factor)
    if layer.bias is not None:
        layer.bias.copy_(layer.bias.double() / after)


def _rescale_norm(layer: nn.Module, before: Tensor, after: Tensor) -> None:
    """w (x - mean) / deviation + b: the mean is in units of the input, so that the deviation can stay as it is."""
    if layer.running_mean is None:
        raise InvalidInput("a batch norm without running statistics depends on the batch; train it with statistics")
    if layer.weight is None:
        layer.weight = nn.Parameter(torch.ones_like(layer.running_mean))
        layer.bias = nn.Parameter(torch.zeros_like(layer.running_mean))
        layer.affine = True
    layer.running_mean.copy_(layer.running_mean.double() / before)
    layer.weight.copy_(layer.weight.double() * before / after)
    layer.bias.copy_(layer.bias.double() / after)
