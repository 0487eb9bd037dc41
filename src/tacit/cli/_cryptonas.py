"""`tacit codesign cryptonas`: search an architecture within a budget, train it, compile it."""

from __future__ import annotations

import json as json_text
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from tacit.cli import _options as options
from tacit.cli._console import make_table, notices, print_json, progress_bars, results, warn
from tacit.errors import InvalidInput

if TYPE_CHECKING:
    from tacit.codesign.cryptonas.budget import Budget
    from tacit.codesign.cryptonas.search import Found
    from tacit.codesign.cryptonas.space import Cell, Space
    from tacit.codesign.data.sets import Data
    from tacit.codesign.training.loop import Outcome
    from tacit.plan.cost import Rates
    from tacit.plan.plan import Plan
    from tacit.plan.policy import Policy

__all__ = ["cryptonas"]

_LINKS = ("lan", "wan")


_DataName: TypeAlias = Annotated[
    str, typer.Option("--data", help="Data set: digits, procedural10, cifar10, folder, ...")
]
_Output: TypeAlias = Annotated[
    Path, typer.Option("--out", "-o", help="Folder for checkpoints, weights, plans, report.")
]
_Relus: TypeAlias = Annotated[int | None, typer.Option("--relus", min=1, help="Budget: ReLUs of one inference.")]
_Seconds: TypeAlias = Annotated[
    float | None, typer.Option("--seconds", help="Budget: predicted online seconds of one inference on --link.")
]
_Link: TypeAlias = Annotated[str, typer.Option("--link", help="Line of --seconds: lan, wan, 100mbit/40ms.")]
_Path: TypeAlias = Annotated[Path | None, typer.Option("--path", help="Where the data set lies.")]
_Size: TypeAlias = Annotated[int | None, typer.Option("--size", help="Height and width of images, divisible by 4.")]
_Examples: TypeAlias = Annotated[int | None, typer.Option("--examples", help="Training examples at most.")]
_HeldOut: TypeAlias = Annotated[float, typer.Option("--held-out", help="Share of them for rewards and selection.")]
_Layers: TypeAlias = Annotated[int, typer.Option("--layers", help="Layers: 3, 6, 9, ...")]
_Operations: TypeAlias = Annotated[
    str, typer.Option("--operations", help="To choose from: conv3, sep3, conv5, sep5, avg, max.")
]
_SearchWidth: TypeAlias = Annotated[int, typer.Option("--search-width", min=1, help="Channels of the shared child.")]
_Width: TypeAlias = Annotated[
    int | None, typer.Option("--width", min=1, help="Channels of the found net; else the most that the budget allows.")
]
_Epochs: TypeAlias = Annotated[int, typer.Option("--epochs", min=1, help="Epochs of the search.")]
_Batch: TypeAlias = Annotated[int, typer.Option("--batch", min=1, help="Examples a step, in search and training.")]
_Steps: TypeAlias = Annotated[int, typer.Option("--controller-steps", min=1, help="Controller's steps an epoch.")]
_Rate: TypeAlias = Annotated[
    float,
    typer.Option("--controller-lr", help="The controller's learning rate; more than published for short searches."),
]
_Retrain: TypeAlias = Annotated[
    int, typer.Option("--retrain-epochs", min=0, help="Epochs of the found net; 0: search only.")
]
_Seed: TypeAlias = Annotated[int, typer.Option("--seed", help="Seed of everything.")]
_Device: TypeAlias = Annotated[str, typer.Option("--device", help="cpu, cuda, or auto.")]
_Policy: TypeAlias = Annotated[Path | None, typer.Option("--policy", help="TOML file of the owner's policy.")]
_Rates: TypeAlias = Annotated[Path | None, typer.Option("--rates", help="Rates, as `tacit bench --save` writes them.")]
_Afresh: TypeAlias = Annotated[bool, typer.Option("--afresh", help="Do not go on from checkpoints in the folder.")]


def cryptonas(
    data: _DataName,
    output: _Output,
    relus: _Relus = None,
    seconds: _Seconds = None,
    link: _Link = "lan",
    path: _Path = None,
    size: _Size = None,
    examples: _Examples = None,
    held_out: _HeldOut = 0.1,
    layers: _Layers = 6,
    operations: _Operations = "conv3,sep3,conv5,sep5",
    search_width: _SearchWidth = 12,
    width: _Width = None,
    epochs: _Epochs = 310,
    batch: _Batch = 128,
    controller_steps: _Steps = 50,
    controller_lr: _Rate = 1e-3,
    retrain_epochs: _Retrain = 310,
    seed: _Seed = 0,
    device: _Device = "auto",
    policy: _Policy = None,
    rates: _Rates = None,
    afresh: _Afresh = False,
    json: options.Json = False,
) -> None:
    """Search an architecture whose private inference keeps within a budget (CryptoNAS), train it and compile it.

    Give --relus or --seconds. Ctrl-C leaves a checkpoint; the same command goes on from it. The folder gets
    `report.json`, `net.safetensors` (weights), `net.tacit` (owner's plan) and `net.public.tacit`.

    Keys of `--json`, and of the report: `cell` (operations and skips), `layers`, `width`, `relus`, `budget`,
    `candidates` (`cell`, `accuracy` on held-out examples by shared weights, `seconds`), `search_seconds`, and after
    training `top1` (test split, clear), `epochs`, `train_seconds`, `predicted_seconds` by link, `plan` (digest).
    """
    from tacit.codesign import load_data
    from tacit.codesign.cryptonas.space import Space

    if (relus is None) == (seconds is None):
        raise InvalidInput("give one budget: --relus or --seconds")
    if seconds is not None and not 0 < seconds < math.inf:
        raise InvalidInput(f"--seconds is a positive number, not {seconds:g}")
    loaded = load_data(data, path, size=size, examples=examples, held_out=held_out, seed=seed)
    chosen = tuple(name.strip() for name in operations.split(","))
    space = Space.of(loaded, layers=layers, width=search_width, operations=chosen)
    prices = _Prices(relus, seconds, link, *_owners(policy, rates))
    common = {"seed": seed, "device": device, "batch": batch}
    controller = {"steps": controller_steps, "lr": controller_lr}
    found = _search(space, loaded, prices, width, output, not afresh, {"epochs": epochs, **common}, controller)
    deployed = space.wide(width or prices.width(space, found.cell))
    report = _searched(deployed, found, prices)
    if retrain_epochs:
        changes = {"epochs": retrain_epochs, **common}
        report |= _trained(deployed, found, loaded, changes, output, prices, not afresh)
    _write(output, report)
    if json:
        print_json(report)
    else:
        _show(report)


@dataclass(frozen=True)
class _Prices:
    """The budget as it was asked for, and what predicts seconds."""

    relus: int | None
    seconds: float | None
    link: str
    policy: Policy
    rates: Rates | None

    def budget(self, space: Space) -> Budget:
        """The search's budget for nets of the width of `space`; one of seconds is fitted to compiled plans first."""
        from tacit.codesign.cryptonas.budget import LatencyBudget, ReluBudget
        from tacit.codesign.cryptonas.latency import Bills, fit_latency

        if self.seconds is None:
            return ReluBudget(self.relus or 0)
        bills = Bills(space, policy=self.policy, rates=self.rates)
        with progress_bars() as show:
            model = fit_latency(bills, self.link, progress=lambda done, total: show("plans drafted", done, total))
        notices().print(f"a cell's cost by its parts is off by {100 * model.error:.2g} % at most, on {model.checked}")
        return LatencyBudget(self.seconds, model, bills)

    def width(self, space: Space, cell: Cell) -> int:
        """The most channels that the budget allows `cell`."""
        from tacit.codesign.cryptonas.latency import width_within

        if self.seconds is None:
            return space.width_within(self.relus or 0)
        with notices().status("finding the widest net within the budget"):
            return width_within(space, cell, self.seconds, self.link, policy=self.policy, rates=self.rates)


def _owners(policy: Path | None, rates: Path | None) -> tuple[Policy, Rates | None]:
    from tacit.plan.cost import load_rates
    from tacit.plan.policy import Policy

    return Policy.from_toml(policy) if policy else Policy(), load_rates(rates) if rates else None


def _search(
    space: Space,
    data: Data,
    prices: _Prices,
    width: int | None,
    output: Path,
    resume: bool,
    settings: dict[str, Any],
    controller: dict[str, Any],
) -> Found:
    from tacit.codesign.cryptonas.controller import ControllerSettings
    from tacit.codesign.cryptonas.search import search
    from tacit.codesign.cryptonas.settings import SearchSettings

    if prices.relus is not None:
        space.width_within(prices.relus)  # too small a budget is said before the search
    asked = SearchSettings(controller=ControllerSettings(**controller), **settings)
    budget = prices.budget(space.wide(width or space.width))
    return search(space, data, asked, budget=budget, folder=output / "search", resume=resume)


def _searched(space: Space, found: Found, prices: _Prices) -> dict[str, Any]:
    budget = {"relus": prices.relus} if prices.seconds is None else {"seconds": prices.seconds, "link": prices.link}
    candidates = [{"cell": str(c.cell), "accuracy": c.accuracy, "seconds": c.seconds} for c in found.candidates]
    return {
        "cell": str(found.cell),
        "layers": space.layers,
        "width": space.width,
        "relus": space.relus,
        "budget": budget,
        "candidates": candidates,
        "search_seconds": found.seconds,
    }


def _trained(
    space: Space,
    found: Found,
    data: Data,
    changes: dict[str, Any],
    output: Path,
    prices: _Prices,
    resume: bool,
) -> dict[str, Any]:
    """Train the found net, write its weights and plans, and say what they are worth."""
    from safetensors.torch import save_file

    from tacit.codesign.cryptonas.retrain import RECIPE, compile_net, retrain

    recipe = RECIPE.replace(**changes)
    outcome: Outcome = retrain(space, found.cell, data, recipe, folder=output / "retrain", resume=resume)
    with notices().status("compiling"):
        plan: Plan = compile_net(outcome.model, data, policy=prices.policy, link=prices.link, rates=prices.rates)
    try:
        save_file(outcome.model.state_dict(), output / "net.safetensors")
    except OSError as error:
        raise InvalidInput(f"cannot write the weights to {output}: {error}; choose another folder") from error
    taken = plan.bill(prices.link, rates=prices.rates).seconds()
    if prices.seconds is not None and taken > prices.seconds:
        warn(
            f"trained, the net takes {taken:.4g} s: its values need wider numbers than made ones; train a narrower net"
        )
    plan.save(output / "net.tacit")
    plan.save_public(output / "net.public.tacit")
    return {
        "top1": outcome.test.top1,
        "epochs": outcome.epochs,
        "train_seconds": outcome.seconds,
        "predicted_seconds": {name: plan.bill(name, rates=prices.rates).seconds() for name in _LINKS},
        "plan": plan.digest,
    }


def _write(output: Path, report: dict[str, Any]) -> None:
    try:
        (output / "report.json").write_text(json_text.dumps(report, indent=2) + "\n", "utf-8")
    except OSError as error:
        raise InvalidInput(f"cannot write to {output}: {error.strerror}; choose another folder") from error


def _show(report: dict[str, Any]) -> None:
    table = make_table("candidate", "held-out %", "seconds", title="cells by the shared weights")
    for row in report["candidates"]:
        table.add_row(
            row["cell"], f"{100 * row['accuracy']:.2f}", "" if row["seconds"] is None else f"{row['seconds']:.4f}"
        )
    console = results()
    console.print(table)
    console.print(f"found: {report['cell']}", f"width {report['width']}: {report['relus']:,} ReLUs", sep="\n")
    if "top1" in report:
        seconds = ", ".join(f"{link} {value:.3f} s" for link, value in report["predicted_seconds"].items())
        console.print(f"trained for {report['epochs']} epochs: {100 * report['top1']:.2f} % on the test split")
        console.print(f"one private inference, predicted: {seconds}")
