"""convert: a model with other activations and pools, and a report of every site."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from torch import nn

from tacit.codesign.activations.fit import Polynomial, fit
from tacit.codesign.activations.poly import PolyAct
from tacit.codesign.kinds import BOUNDED, MAXPOOL, curve_of, kind_of
from tacit.codesign.separate import Spot, separate, spots
from tacit.codesign.sites import Example, Site, no_activation, observed, outputs
from tacit.errors import InvalidInput

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Change", "Choice", "Conversion", "convert"]

#: What becomes of a site: "poly", "identity", "keep", for a max-pool also "avg", or what makes a module.
Choice = str | Callable[[], nn.Module]
_CHOICES = ("poly", "identity", "keep")
_POOLS = ("avg", "keep")


@dataclass(frozen=True)
class Change:
    """What was at a site, what is there now ("" where nothing changed), and why it was left."""

    site: Site
    before: str
    after: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Conversion:
    """The model, and one `Change` for every site: in the order they run if an example was given, else of the modules.

    `str` and `table` show the report.
    """

    model: nn.Module
    changes: tuple[Change, ...]

    @property
    def replaced(self) -> tuple[Change, ...]:
        """The sites that changed."""
        return tuple(change for change in self.changes if change.after)

    @property
    def left(self) -> tuple[Change, ...]:
        """The sites that did not, each with its reason."""
        return tuple(change for change in self.changes if not change.after)

    def table(self) -> Table:
        """The report as a table of rich."""
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name, right in (("site", False), ("shape", True), ("activations", True), ("was", False), ("is", False)):
            table.add_column(name, justify="right" if right else "left", overflow="fold")
        for change in self.changes:
            site = change.site
            shape = "x".join(map(str, site.shape)) or "-"
            now = change.after or f"left: {change.reason}"
            table.add_row(site.name, shape, f"{site.count:,}" if site.calls else "-", change.before, now)
        return table

    def __str__(self) -> str:
        lines = [f"{c.site.name}: {c.before} -> {c.after or f'left: {c.reason}'}" for c in self.changes]
        return "\n".join([f"{len(self.replaced)} of {len(self.changes)} sites replaced", *lines])


def convert(
    model: nn.Module,
    example: Example | None = None,
    *,
    activation: Choice | Mapping[str, Choice] = "poly",
    maxpool: str = "avg",
    keep: Collection[str] = (),
    inplace: bool = False,
    degree: int = 4,
    bits: int = 12,
    interval: float = 5.0,
) -> Conversion:
    """The model with its activations replaced, each by a module of its own, and a report of every site.

    example      a batch to run, for shapes, and to check that nothing but activations changes; sites that only a run
                 can find (functions in code that cannot be traced) are reported with it alone
    activation   "poly": the polynomial of `degree` and `bits` that is nearest on [-interval, interval] to what is
                 there; "identity"; "keep": each activation only becomes a module of its own; or what makes a module
                 (a class, a lambda). A mapping says so for the sites it names, and leaves others. Bounded activations,
                 which are gates or outputs more often, change only where a mapping names them
    maxpool      "avg": the average over the same windows, without the padding, which a maximum does not see either;
                 or "keep"
    keep         names of sites to leave as they are
    inplace      change the model given instead of a copy; use the one returned, for its root may have to be new

    Raises InvalidInput for a model without activations, names of no site, and what `sites` raises.
    """
    if not isinstance(model, nn.Module):
        raise InvalidInput(f"convert takes a torch.nn.Module, not a {type(model).__name__}")
    if maxpool not in _POOLS:
        raise InvalidInput(f'maxpool must be "avg" or "keep", not {maxpool!r}')
    choices: Mapping[str, Choice] = activation if isinstance(activation, Mapping) else {}
    for choice in (*choices.values(), *(() if isinstance(activation, Mapping) else (activation,))):
        if not callable(choice) and choice not in (*_CHOICES, "avg"):
            raise InvalidInput(f'an activation becomes "poly", "identity", "keep" or a new module, not {choice!r}')
    wanted = None if example is None else outputs(model, example)
    made = separate(model if inplace else copy.deepcopy(model))
    found = {spot.path: spot for spot in spots(made)}
    if example is None or wanted is None:
        listed = [Site(path, str(kind_of(spot.module))) for path, spot in found.items()]
    else:
        listed = observed(made, example, wanted)
    if all(site.kind == MAXPOOL for site in listed):
        raise no_activation(model)
    unknown = sorted({*choices, *keep} - {site.name for site in listed})
    if unknown:
        names = ", ".join(site.name for site in listed)
        raise InvalidInput(f"the model has no site {', '.join(unknown)}; it has {names}")
    fits = _Fits(degree, bits, interval)
    rule = _Rule(choices if isinstance(activation, Mapping) else activation, maxpool, frozenset(keep), fits)
    return Conversion(made, tuple(rule.apply(site, found.get(site.name)) for site in listed))


class _Fits:
    """The nearest polynomials, one for all activations that compute the same."""

    def __init__(self, degree: int, bits: int, interval: float) -> None:
        self._given = (degree, bits, interval)
        self._known: dict[str, Polynomial] = {}

    def of(self, module: nn.Module) -> Polynomial | None:
        """The polynomial for an activation; None for one with trained weights."""
        curve = curve_of(module)
        if curve is None:
            return None
        key = repr(module).replace("inplace=True", "")
        if key not in self._known:
            plain = kind_of(module) == "relu"
            self._known[key] = fit(*self._given, target="relu" if plain else curve)
        return self._known[key]


@dataclass(frozen=True)
class _Rule:
    """What becomes of each site."""

    activation: Choice | Mapping[str, Choice]
    maxpool: str
    keep: frozenset[str]
    fits: _Fits

    def apply(self, site: Site, spot: Spot | None) -> Change:
        """The site's module replaced in its parent, or left with a reason."""
        if spot is None or site.fixed:
            return Change(site, site.kind, reason=site.fixed)
        before = _shown(spot.module)
        new, reason = self._module(site, spot.module)
        if new is None:
            return Change(site, before, reason=reason)
        new.train(spot.module.training)
        spot.parent._modules[spot.name] = new
        return Change(site, before, _shown(new))

    def _module(self, site: Site, old: nn.Module) -> tuple[nn.Module | None, str]:
        """The new module, or None and why there is none."""
        named = isinstance(self.activation, Mapping)
        choice = self._choice(site)
        if site.name in self.keep or choice == "keep":
            return None, "as asked"
        if choice is None:
            return None, "not named"
        if site.kind in BOUNDED and not named:
            return None, "bounded, so that it may be a gate or an output; name it in `activation` to replace it"
        if choice == "avg":
            return _average(old) if site.kind == MAXPOOL else (None, "an average stands for a max-pool only")
        if choice == "identity":
            return nn.Identity(), ""
        if choice == "poly":
            polynomial = None if site.kind == MAXPOOL else self.fits.of(old)
            return (PolyAct(polynomial), "") if polynomial else (None, "no public polynomial stands for it")
        return _built(cast(Callable[[], nn.Module], choice), site), ""

    def _choice(self, site: Site) -> Choice | None:
        if isinstance(self.activation, Mapping):
            return self.activation.get(site.name, self.maxpool if site.kind == MAXPOOL else None)
        return self.maxpool if site.kind == MAXPOOL else self.activation


def _built(factory: Callable[[], Any], site: Site) -> nn.Module:
    made = factory()
    if not isinstance(made, nn.Module):
        raise InvalidInput(f"what `activation` makes for {site.name} is no torch.nn.Module: {type(made).__name__}")
    return made


def _shown(module: nn.Module) -> str:
    """A module in one line."""
    return " ".join(repr(module).split())


def _average(pool: nn.Module) -> tuple[nn.Module | None, str]:
    """The average pool of the same geometry, or None and why there is none."""
    kind = type(pool).__name__
    if getattr(pool, "return_indices", False):
        return None, "its indices are used"
    if kind.startswith("Adaptive"):
        return getattr(nn, kind.replace("Max", "Avg"))(pool.output_size), ""
    dilation = pool.dilation if isinstance(pool.dilation, tuple) else (pool.dilation,)
    if set(dilation) != {1}:
        return None, "an average pool has no dilation"
    average = getattr(nn, kind.replace("Max", "Avg"), None)
    if average is None:
        return None, f"there is no average pool for {kind}"
    window = (pool.kernel_size, pool.stride, pool.padding)
    return average(*window, ceil_mode=pool.ceil_mode, count_include_pad=False), ""
