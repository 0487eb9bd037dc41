"""The search from a trained model to a frontier: costs, sensitivities, choices, short training, bills, files.

Everything that takes long is kept in the search's folder as soon as it is known, so that an interrupted search goes on
where it was: `search.json` (what is searched), `costs.json`, `sensitivity.json`, a folder a point with its checkpoint,
`point.json` and `model.tacit`, and at the end `frontier.json` with pictures.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from tacit.codesign.activations.fit import fit
from tacit.codesign.data.sets import Data
from tacit.codesign.finetune.tune import Choice as Becomes
from tacit.codesign.finetune.tune import FineTuning, fine_tune
from tacit.codesign.frontier import Point, cost_of, exportable, pareto, plot, read, save
from tacit.codesign.pricing import calibration, point_of
from tacit.codesign.ranges import Certificate, fingerprint
from tacit.codesign.search.additive import Additive, fit_additive
from tacit.codesign.search.choices import CHOICES, EXACT, Assignment, check_choices, counts, degree, everywhere
from tacit.codesign.search.choose import Chosen, frontier, least_harm, spread
from tacit.codesign.search.cost import Costs, Phase
from tacit.codesign.search.refine import refined
from tacit.codesign.search.sensitivity import Effect, Table, harms, sensitivities
from tacit.codesign.training.devices import find_device
from tacit.codesign.training.evaluate import evaluate
from tacit.codesign.training.loop import Outcome, check_fit
from tacit.codesign.training.recipe import Recipe
from tacit.errors import InvalidFile, InvalidInput
from tacit.net.shaper import parse_link
from tacit.plan.cost import Rates
from tacit.plan.policy import Policy

__all__ = ["RECIPE", "Found", "Prepared", "Settings", "Trained", "pick", "prepare", "search", "train_choice"]

#: The short training that every point gets unless told: a fifth or less of what the model itself was trained for.
RECIPE = Recipe(epochs=8, lr=0.01, warmup_epochs=1, clip_norm=5.0)
_CALIBRATION = 16
#: Choices of the additive model that are refined, for each point that is trained.
_STARTS = 2

Told = Callable[[str, int, int], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """What a search looks for.

    link      the link whose predicted seconds are traded against accuracy
    links     links that every point is billed on, `link` always among them
    phase     "online": material made ahead; "whole": what material takes on the link counts too
    choices   what may stand at a site, "exact" among them
    points    trained points of the frontier, beside the model as it is
    budgets   predicted seconds to meet on `link`; if given, a point for each in place of `points` even ones
    examples  held-out examples that sensitivities are measured on, at most
    bits      fraction bits of polynomials' coefficients
    """

    link: str = "lan"
    links: tuple[str, ...] = ("lan", "wan")
    phase: Phase = "online"
    choices: tuple[str, ...] = CHOICES
    points: int = 6
    budgets: tuple[float, ...] = ()
    examples: int = 512
    bits: int = 12
    recipe: Recipe = RECIPE
    policy: Policy = field(default_factory=Policy)
    rates: Rates = field(default_factory=Rates)

    def __post_init__(self) -> None:
        check_choices(self.choices)
        for link in (self.link, *self.links):
            parse_link(link)
        if self.phase not in ("online", "whole"):
            raise InvalidInput(f'the phase is "online" or "whole", not {self.phase!r}')
        if self.points < 1 or self.examples < 1 or not all(b > 0 for b in self.budgets):
            raise InvalidInput("a search needs one point and one example at least, and budgets above 0 seconds")
        if self.recipe.epochs < 2:
            raise InvalidInput(f"a point is trained for two epochs at least, not {self.recipe.epochs}")

    @property
    def billed(self) -> tuple[str, ...]:
        """The links that points are billed on."""
        return tuple(dict.fromkeys((self.link, *self.links)))

    def identity(self) -> dict[str, Any]:
        """What decides the result, as JSON data."""
        return json.loads(json.dumps({**asdict(self), "recipe": self.recipe.identity()}))


@dataclass(frozen=True)
class Found:
    """A search's result: all points (the first is the model as it is), and the cost model that it went by."""

    points: tuple[Point, ...]
    additive: Additive
    settings: Settings

    @property
    def front(self) -> tuple[Point, ...]:
        """The points that nothing beats on the link that was searched for, cheapest first; certified ones only."""
        return pareto(exportable(self.points), self.settings.link)

    def within(self, drop: float) -> Point:
        """The cheapest point of the front that loses at most `drop` accuracy (0 to 1) against the model as it is."""
        least = self.points[0].accuracy - drop
        good = [point for point in self.front if point.accuracy >= least]
        return min(good, key=lambda p: cost_of(p, self.settings.link)) if good else self.points[0]


@dataclass(frozen=True)
class Prepared:
    """What is known of a model before anything is trained: its copy, costs of variants, sensitivities, best choices."""

    model: nn.Module
    costs: Costs
    additive: Additive
    table: Table
    front: tuple[Chosen, ...]


@dataclass(frozen=True)
class Trained:
    """One trained assignment; the certificate is of its polynomials' ranges on the test split."""

    model: nn.Module
    outcome: Outcome
    certificate: Certificate


def search(
    model: nn.Module,
    data: Data,
    folder: Path,
    settings: Settings | None = None,
    *,
    prepared: Prepared | None = None,
    told: Told | None = None,
    progress: bool = True,
) -> Found:
    """Search `model`, trained on `data`, for the activations worth their seconds; all files go to `folder`.

    prepared  what `prepare` gave for the same arguments
    told      told of (what, done, total) while costs and sensitivities are measured
    progress  whether training shows how far it is

    `model` is not changed. The same folder continues a search that was interrupted. Raises InvalidInput for a model
    without activations or that does not fit the data, no held-out examples, or a folder of another search; Refused for
    a model that cannot be compiled; and what `train` raises.
    """
    settings = settings or Settings()
    ready = prepared or prepare(model, data, folder, settings, told=told)
    points = [_reference(ready.model, data, settings, folder)]
    for number, chosen in enumerate(pick(ready, settings), 1):
        points.append(_point(ready, data, chosen, settings, folder / f"point-{number:02d}", progress))
    found = Found(tuple(points), ready.additive, settings)
    _write(found, folder)
    return found


def prepare(model: nn.Module, data: Data, folder: Path, settings: Settings, *, told: Told | None = None) -> Prepared:
    """Measure costs and sensitivities, or find them in the folder. Raises what `search` does."""
    model = deepcopy(model).cpu().eval()
    check_fit(model, data, torch.device("cpu"))
    find_device(settings.recipe.device)
    for title, split in (("held-out", data.held_out), ("test", data.test)):
        if not len(split):
            raise InvalidInput(f"{data.name} has no {title} examples, which a search measures on; set some aside")
    inputs = torch.cat(calibration(data, _CALIBRATION))
    costs = Costs(model, inputs, policy=settings.policy, rates=settings.rates)
    _claim(folder, {"model": fingerprint(model), "data": _about(data), "settings": settings.identity()})
    say = told or (lambda what, done, total: None)
    additive = _costed(costs, settings, folder / "costs.json", say)
    table = _sensed(model, data, costs, settings, folder / "sensitivity.json", say)
    return Prepared(
        model, costs, additive, table, _chosen(costs, additive, table, settings, folder / "choices.json", say)
    )


def _about(data: Data) -> dict[str, Any]:
    sizes = [len(split) for split in (data.train, data.held_out, data.test)]
    return {"name": data.name, "sizes": sizes, "shape": list(data.shape), "classes": data.classes}


def _claim(folder: Path, identity: Mapping[str, Any]) -> None:
    """Make the folder this search's own, or see that it is. Raises InvalidInput if it is another's."""
    file = folder / "search.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"cannot make the folder {folder}: {error.strerror}") from None
    if file.exists():
        kept = _loaded(file, dict)
        changed = [name for name in identity if kept.get(name) != identity[name]]
        if changed:
            raise InvalidInput(f"{folder} holds a search with another {changed[0]}; name another folder, or remove it")
        return
    _kept(file, identity)


def _kept(file: Path, value: Any) -> None:
    draft = file.with_name(file.name + ".new")
    draft.write_text(json.dumps(value, indent=1) + "\n", "utf-8")
    draft.replace(file)


def _loaded(file: Path, read_as: Callable[[Any], T]) -> T:
    """What `read_as` makes of a file of the folder. Raises InvalidFile."""
    try:
        return read_as(json.loads(file.read_text("utf-8")))
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise InvalidFile(f"{file} is damaged: {error}; remove it, and what it holds is made again") from None


def _costed(costs: Costs, settings: Settings, file: Path, told: Told) -> Additive:
    if file.exists():
        return _loaded(file, lambda found: Additive(**found))

    def seconds(assignment: Assignment) -> float:
        return costs.seconds(assignment, settings.link, settings.phase)

    made = fit_additive(costs.sites, settings.choices, seconds, progress=lambda d, t: told("compiling", d, t))
    _kept(file, asdict(made))
    return made


def _sensed(model: nn.Module, data: Data, costs: Costs, settings: Settings, file: Path, told: Told) -> Table:
    known: Table = {}
    if file.exists():
        known = _loaded(file, lambda found: {s: {c: Effect(**e) for c, e in r.items()} for s, r in found.items()})

    def note(table: Table, done: int, total: int) -> None:
        _kept(file, {s: {c: asdict(e) for c, e in row.items()} for s, row in table.items()})
        told("sensitivity", done, total)

    return sensitivities(
        model,
        data,
        costs.sites,
        settings.choices,
        costs.reach,
        examples=settings.examples,
        seed=settings.recipe.seed,
        device="cpu" if settings.recipe.device == "auto" and not torch.cuda.is_available() else settings.recipe.device,
        known=known,
        told=note,
    )


def _chosen(
    costs: Costs, additive: Additive, table: Table, settings: Settings, file: Path, told: Told
) -> tuple[Chosen, ...]:
    """The frontier of choices, by costs of compiled variants."""
    if file.exists():
        return _loaded(file, lambda found: tuple(Chosen(**entry) for entry in found))
    harm = harms(table)
    starts = spread(frontier(additive.change, harm, base=additive.base), _STARTS * settings.points)

    def seconds(assignment: Assignment) -> float:
        return costs.seconds(assignment, settings.link, settings.phase)

    found = refined(starts, harm, seconds, told=lambda done, total: told("choosing", done, total))
    _kept(file, [asdict(chosen) for chosen in found])
    return found


def pick(ready: Prepared, settings: Settings) -> tuple[Chosen, ...]:
    """The assignments to train: one for every budget, or evenly spaced ones; the model as it is needs no training.

    Raises InvalidInput for a budget that nothing meets.
    """
    if settings.budgets:
        wanted: Sequence[Chosen] = [least_harm(ready.front, budget) for budget in settings.budgets]
    else:
        wanted = spread(ready.front, settings.points + 1)
    changed = [chosen for chosen in wanted if any(choice != EXACT for choice in chosen.assignment.values())]
    most = max(settings.points, len(settings.budgets))
    return tuple({tuple(chosen.assignment.values()): chosen for chosen in changed}.values())[:most]


def _reference(model: nn.Module, data: Data, settings: Settings, folder: Path) -> Point:
    """The model as it is."""
    file = folder / "point-00.json"
    if file.exists():
        return read(file)[0]
    scores = evaluate(model, data.test, data)
    point = point_of(
        "as it is", model, scores.top1, data, settings.billed, policy=settings.policy, rates=settings.rates
    )
    save([point], file)
    return point


def train_choice(
    ready: Prepared,
    data: Data,
    assignment: Assignment,
    settings: Settings,
    folder: Path | None,
    *,
    progress: bool = True,
) -> Trained:
    """The model with `assignment` at its sites, fine-tuned with the model itself as teacher; resumes in `folder`.

    Activations that go fade out over the first epochs; max pools become average pools; polynomials are normalised by
    channel, held in range by a penalty and certified on the test split. Raises what `fine_tune` raises.
    """
    whole = {**everywhere(ready.costs.sites), **assignment}
    choices = {site: _becomes(choice, settings.bits) for site, choice in whole.items()}
    how = FineTuning(bits=settings.bits)
    tuned = fine_tune(ready.model, data, settings.recipe, how, choices=choices, folder=folder, progress=progress)
    return Trained(tuned.model.cpu(), tuned.outcome, tuned.certificate)


def _becomes(choice: str, bits: int) -> Becomes:
    """A choice as fine-tuning names it."""
    if choice == EXACT:
        return "keep"
    wanted = degree(choice)
    return "identity" if wanted is None else fit(wanted, bits)


def _point(ready: Prepared, data: Data, chosen: Chosen, settings: Settings, folder: Path, progress: bool) -> Point:
    """One trained assignment, from its file if it is done."""
    file = folder / "point.json"
    if file.exists():
        return read(file)[0]
    folder.mkdir(exist_ok=True)
    made = train_choice(ready, data, chosen.assignment, settings, folder / "run", progress=progress)
    largest = made.certificate.largest
    number = counts(chosen.assignment, ready.costs.sizes)
    point = point_of(
        f"{number[EXACT]:,} exact, {number['poly']:,} poly",
        made.model,
        made.outcome.test.top1,
        data,
        settings.billed,
        policy=settings.policy,
        rates=settings.rates,
        file=folder / "model.tacit" if made.certificate.holds else None,
        assignment=dict(chosen.assignment),
        certified=made.certificate.holds,
        largest=largest if math.isfinite(largest) else None,
        wanted_seconds=chosen.cost,
        wanted_harm=chosen.harm,
        epochs=made.outcome.epochs,
        training_seconds=round(made.outcome.seconds, 3),
    )
    save([point], file)
    return point


def _write(found: Found, folder: Path) -> None:
    about = {"link": found.settings.link, "phase": found.settings.phase, "additive_error": found.additive.error}
    save(found.points, folder / "frontier.json", **about)
    shown = [replace(p, name="as it is" if i == 0 else f"{i}") for i, p in enumerate(found.points)]
    for link in found.settings.billed:
        plot({"planner": shown}, folder / f"frontier-{link.replace('/', '-')}.png", link)
