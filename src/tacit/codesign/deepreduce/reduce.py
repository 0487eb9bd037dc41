"""Reduction: which nets DeepReDuce trains, by culling stages, thinning layers and reshaping channels and resolution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from tacit.codesign.conversion import convert
from tacit.codesign.deepreduce.profile import Profile, Stage
from tacit.codesign.search.choices import IDENTITY
from tacit.codesign.search.cost import activation_sites
from tacit.codesign.seeding import derive
from tacit.errors import InvalidInput

__all__ = ["Build", "Design", "Shrunk", "built", "check_factors", "cull", "designs", "fresh", "thin"]

#: Makes the net with its channels multiplied by a number, with fresh weights and the same names of modules.
Build = Callable[[float], nn.Module]


@dataclass(frozen=True)
class Design:
    """One net to train: the sites that keep their ReLU, its channels times `alpha`, its resolution times `rho`."""

    name: str
    kept: frozenset[str]
    alpha: float = 1.0
    rho: float = 1.0


class Shrunk(nn.Module):
    """A net on images averaged over squares of `factor` pixels, so that every feature map is as much smaller."""

    def __init__(self, net: nn.Module, factor: int) -> None:
        super().__init__()
        self.pool, self.net = nn.AvgPool2d(factor), net

    def forward(self, x: Tensor) -> Tensor:
        """The net's output."""
        return self.net(self.pool(x))


def cull(profile: Profile) -> tuple[tuple[Stage, ...], ...]:
    """The stages left after the least critical is gone, then the next, until one is left: D - 1 sets of D stages."""
    gone: set[str] = set()
    out = []
    for stage in profile.order[:-1]:
        gone.add(stage.name)
        out.append(tuple(kept for kept in profile.stages if kept.name not in gone))
    return tuple(out)


def thin(stage: Stage) -> tuple[str, ...]:
    """Every other site of a stage, counted from its end: in basic blocks the ReLU after the sum, and not the inner one.

    A stage with one site keeps it.
    """
    return tuple(reversed(stage.sites[::-1][::2]))


def check_factors(*factors: float) -> None:
    """What channels or resolution are multiplied by lies between 0 and 1. Raises InvalidInput."""
    for value in factors:
        if not 0 < value < 1:
            raise InvalidInput(f"channels and resolution are multiplied by a number between 0 and 1, not {value:g}")


def designs(profile: Profile, *, alphas: Sequence[float] = (), rhos: Sequence[float] = ()) -> tuple[Design, ...]:
    """The nets to train, of D stages: D - 1 culled, as many thinned, and each thinned one reshaped by alpha and by rho.

    Reshaping comes after culling and thinning, as published. Raises InvalidInput for an alpha or rho outside (0, 1).
    """
    check_factors(*alphas, *rhos)
    out: list[Design] = []
    for left in cull(profile):
        name = "+".join(stage.name for stage in left)
        culled = Design(name, frozenset(site for stage in left for site in stage.sites))
        thinned = Design(f"{name} thin", frozenset(site for stage in left for site in thin(stage)))
        out += [culled] if thinned.kept == culled.kept else [culled, thinned]
        out += [replace(thinned, name=f"{thinned.name} a={alpha:g}", alpha=alpha) for alpha in alphas]
        out += [replace(thinned, name=f"{thinned.name} r={rho:g}", rho=rho) for rho in rhos]
    return tuple(out)


def built(model: nn.Module, example: Tensor, design: Design, *, build: Build | None = None, seed: int = 0) -> nn.Module:
    """The net of `design` with fresh weights, identities where it keeps no ReLU.

    model   the net that is reduced; its architecture is taken where `design` leaves the channels as they are
    build   makes it with other channels; needed where alpha is not 1

    Raises InvalidInput when `build` is missing or gives other sites, or the resolution cannot be reduced so far.
    """
    if design.alpha != 1 and build is None:
        raise InvalidInput(
            f"the design {design.name} has other channels; give a function that builds the net with them"
        )
    net = fresh(model, seed) if build is None else _seeded(lambda: build(design.alpha), seed)
    names = [site.name for site in activation_sites(net, example)]
    unknown = sorted(design.kept - set(names))
    if unknown:
        raise InvalidInput(f"the net has no activation {unknown[0]!r}; its builder must keep the names of modules")
    gone = dict.fromkeys((name for name in names if name not in design.kept), IDENTITY)
    net = convert(net, example, activation=gone, maxpool="keep").model if gone else net
    return net if design.rho == 1 else _shrunk(net, example, design.rho)


def _shrunk(net: nn.Module, example: Tensor, rho: float) -> nn.Module:
    factor = round(1 / rho)
    if abs(factor * rho - 1) > 1e-6 or any(size % factor for size in example.shape[2:]):
        raise InvalidInput(
            f"a resolution times {rho:g} must be a whole fraction of {tuple(example.shape[2:])}; use 0.5 or 0.25"
        )
    return Shrunk(net, factor)


def fresh(model: nn.Module, seed: int = 0) -> nn.Module:
    """A copy of `model` with weights drawn anew, the same for the same seed: nets are retrained, not tuned.

    Weights are drawn by the layers' own `reset_parameters`; parameters that no layer resets stay as they are.
    """
    from copy import deepcopy

    def drawn() -> nn.Module:
        copy = deepcopy(model)
        for layer in copy.modules():
            reset = getattr(layer, "reset_parameters", None)
            if callable(reset):
                reset()
        return copy

    return _seeded(drawn, seed)


def _seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """What `make` makes, with torch's generator seeded for it and put back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "fresh weights") % (1 << 63))
        return make()
