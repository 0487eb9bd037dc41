"""`tacit codesign search`: from a trained PyTorch model to a frontier of accuracy and predicted seconds."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from tacit.cli import _options as options
from tacit.cli._codesign_inputs import load_trained
from tacit.cli._console import notices, print_json, progress_bars, results
from tacit.errors import InvalidInput

if TYPE_CHECKING:
    from tacit.codesign.data.sets import Data
    from tacit.codesign.frontier import Point
    from tacit.codesign.search.run import Found, Settings

__all__ = ["search"]


_Model: TypeAlias = Annotated[str, typer.Argument(metavar="MODEL", help="file.py:name, which makes the torch module.")]
_Output: TypeAlias = Annotated[
    Path, typer.Option("--out", "-o", help="Folder of the search; an interrupted one goes on.")
]
_Data: TypeAlias = Annotated[str, typer.Option("--data", help="Data set: digits, procedural10, cifar10, folder ...")]
_Path: TypeAlias = Annotated[Path | None, typer.Option("--path", help="Where the data set lies, if it is on disk.")]
_Weights: TypeAlias = Annotated[Path | None, typer.Option("--weights", help="Trained weights, .safetensors or .pth.")]
_Link: TypeAlias = Annotated[str, typer.Option("--link", help="Line to be fast on: lan, wan, 100mbit/40ms.")]
_Also: TypeAlias = Annotated[list[str] | None, typer.Option("--also", help="Further lines to predict for.")]
_Phase: TypeAlias = Annotated[str, typer.Option("--phase", help="online, or whole: the material's time too.")]
_Choices: TypeAlias = Annotated[
    str, typer.Option("--choices", help="What may stand at a site, of exact, identity, poly2 to poly6.")
]
_Points: TypeAlias = Annotated[int, typer.Option("--points", help="Points of the frontier to train.")]
_Budget: TypeAlias = Annotated[
    list[float] | None, typer.Option("--budget", help="Seconds to meet on the line, a point each, instead of --points.")
]
_Drop: TypeAlias = Annotated[float, typer.Option("--drop", help="Accuracy that may be lost, in points of a hundred.")]
_Epochs: TypeAlias = Annotated[int, typer.Option("--epochs", help="Epochs that each point is trained for.")]
_Rate: TypeAlias = Annotated[float, typer.Option("--lr", help="Learning rate.")]
_Batch: TypeAlias = Annotated[int, typer.Option("--batch", help="Examples a step.")]
_Size: TypeAlias = Annotated[int | None, typer.Option("--size", help="Pixels of an image's side.")]
_Examples: TypeAlias = Annotated[int | None, typer.Option("--examples", help="Training examples, at most.")]
_Classes: TypeAlias = Annotated[int | None, typer.Option("--classes", help="Keep the first classes only.")]
_HeldOut: TypeAlias = Annotated[float, typer.Option("--held-out", help="Share of training examples to choose by.")]
_Device: TypeAlias = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:1.")]
_Seed: TypeAlias = Annotated[int, typer.Option("--seed", help="Seed of everything drawn.")]
_Policy: TypeAlias = Annotated[Path | None, typer.Option("--policy", help="The owner's policy, a TOML file.")]
_Rates: TypeAlias = Annotated[Path | None, typer.Option("--rates", help="Rates, as `tacit bench --save` writes.")]


def search(
    model: _Model,
    output: _Output,
    data: _Data,
    path: _Path = None,
    weights: _Weights = None,
    link: _Link = "lan",
    also: _Also = None,
    phase: _Phase = "online",
    choices: _Choices = "exact,poly4,identity",
    points: _Points = 6,
    budget: _Budget = None,
    drop: _Drop = 1.0,
    epochs: _Epochs = 8,
    rate: _Rate = 0.01,
    batch: _Batch = 128,
    size: _Size = None,
    examples: _Examples = None,
    classes: _Classes = None,
    held_out: _HeldOut = 0.1,
    device: _Device = "auto",
    seed: _Seed = 0,
    policy: _Policy = None,
    rates: _Rates = None,
    json: options.Json = False,
) -> None:
    """Choose exact, polynomial or no activation at every site, by accuracy lost against seconds on your line.

    MODEL must be trained on the data's images, normalised as the data set says; a .pt2 or .onnx file cannot be trained.
    Each point of the frontier is trained with the model as its teacher. The folder gets frontier.json, a picture a
    line, and for every point the owner's plan, model.tacit, unless its polynomials leave their range on test data.

    Keys of `--json`: `points` (`name`, `accuracy`, `activations`, `seconds` by line, `detail`), `front` (names of the
    unbeaten ones on `link`), `chosen` (the cheapest within `--drop`), `additive_error`, `folder`.
    """
    from tacit.codesign.search.run import prepare
    from tacit.codesign.search.run import search as run

    settings = _settings(
        link=link,
        links=(link, *(also or [other for other in ("lan", "wan") if other != link])),
        phase=phase,
        choices=tuple(word.strip() for word in choices.split(",")),
        points=points,
        budgets=tuple(budget or ()),
        recipe={"epochs": epochs, "lr": rate, "batch": batch, "device": device, "seed": seed},
        policy=policy,
        rates=rates,
    )
    if not 0 <= drop <= 100:
        raise InvalidInput(f"--drop is in points of a hundred, from 0 to 100, not {drop:g}")
    source = load_trained(model, weights)
    with notices().status(f"loading {data}"):
        loaded = _data(data, path, size=size, examples=examples, classes=classes, held_out=held_out, seed=seed)
    with progress_bars(keep=False) as show:  # training shows bars of its own afterwards
        ready = prepare(source, loaded, output, settings, told=show)
    found = run(source, loaded, output, settings, prepared=ready, progress=notices().is_terminal)
    _report(found, output, drop / 100, json)


def _settings(*, recipe: dict[str, Any], policy: Path | None, rates: Path | None, **given: Any) -> Settings:
    """The search's settings from the command's options. Raises InvalidInput."""
    from tacit.codesign.search.run import RECIPE, Settings
    from tacit.plan.cost import Rates, load_rates
    from tacit.plan.policy import Policy

    warmup = min(RECIPE.warmup_epochs, max(0, recipe["epochs"] - 1))
    return Settings(
        **given,
        recipe=RECIPE.replace(**recipe, warmup_epochs=warmup),
        policy=Policy.from_toml(policy) if policy else Policy(),
        rates=load_rates(rates) if rates else Rates(),
    )


def _data(name: str, path: Path | None, **limits: Any) -> Data:
    from tacit.codesign.data import load

    return load(name, path, **limits)


def _report(found: Found, folder: Path, drop: float, json: bool) -> None:
    from tacit.codesign.frontier import table

    chosen = found.within(drop)
    if json:
        print_json(
            {
                "points": [asdict(point) for point in found.points],
                "front": [point.name for point in found.front],
                "chosen": chosen.name,
                "additive_error": found.additive.error,
                "folder": str(folder),
            }
        )
        return
    console, links = results(), found.settings.billed
    console.print(table(found.points, (found.settings.link, *links[1:], "activations")))
    console.print(
        f"costs of single choices add up to those of whole plans within {100 * found.additive.error:.1f} % on average",
        f"within {100 * drop:g} points of the model as it is: {chosen.name}{_where(chosen)}",
        f"all points, pictures and plans: {folder}",
        sep="\n",
        soft_wrap=True,
    )
    for point in found.points:
        if not point.detail.get("certified", True):
            console.print(f"{point.name}: its polynomials leave their range on test data, so that it has no plan")


def _where(point: Point) -> str:
    return f", {point.detail['file']}" if "file" in point.detail else ""
