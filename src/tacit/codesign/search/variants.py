"""Variants: the model with one choice at every activation site, as a module that can be trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tacit.codesign.activations.poly import PolyAct
from tacit.codesign.conversion import convert
from tacit.codesign.search.choices import EXACT, IDENTITY, Assignment, degree

__all__ = ["recalibrate", "scale_for", "variant"]

#: Where a range certificate draws the line, in units of an activation's scale.
_BOUND = 8.0


def scale_for(reach: float) -> float:
    """The power of two that brings inputs up to `reach` within the bound of range certificates, and above half of it.

    Powers of two because a polynomial's coefficients are public: a finer scale would tell more of the weights.
    """
    return 2.0 ** math.ceil(math.log2(max(reach, 2.0**-20) / _BOUND))


def variant(
    model: nn.Module,
    example: Tensor,
    assignment: Assignment,
    reach: Mapping[str, float],
    *,
    bits: int = 12,
) -> nn.Module:
    """A copy of `model` with the choices of `assignment`, as it is where that says nothing; pools are kept.

    reach   the largest magnitude of every site's input, by site; polynomials are stretched to cover it
    bits    fraction bits of polynomials' coefficients

    Raises InvalidInput for a site that does not exist.
    """
    changes = {site: _factory(choice, reach.get(site, 0.0), bits) for site, choice in assignment.items()}
    mapping = {site: made for site, made in changes.items() if made is not None}
    if not mapping:
        return convert(model, example, activation={}, maxpool="keep").model
    return convert(model, example, activation=mapping, maxpool="keep").model


def _factory(choice: str, reach: float, bits: int) -> Callable[[], nn.Module] | str | None:
    if choice == EXACT:
        return None
    if choice == IDENTITY:
        return "identity"
    wanted, scale = degree(choice), scale_for(reach)
    assert wanted is not None
    return lambda: PolyAct(degree=wanted, bits=bits, scale=scale)


def recalibrate(model: nn.Module, batches: Sequence[Tensor]) -> nn.Module:
    """Batch norms learn their means and variances anew on `batches` of normalised inputs; nothing else changes.

    The cheapest repair after an activation was taken away: no weight moves. Without a batch nothing changes at all.
    Returns `model`.
    """
    norms = [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    if not norms or not batches:
        return model
    momenta, modes = [norm.momentum for norm in norms], [(layer, layer.training) for layer in model.modules()]
    model.eval()
    for norm in norms:
        norm.train().reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    try:
        with torch.no_grad():
            for x in batches:
                model(x)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for layer, training in modes:
            layer.training = training
    return model
