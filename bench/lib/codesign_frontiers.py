"""Lines of the co-design page that are frontiers: DeepReDuce's nets, and those that the planner finds for a link."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from lib.codesign_lines import Case, Made, line
from tacit.codesign.deepreduce.profile import profile
from tacit.codesign.deepreduce.reduce import designs
from tacit.codesign.deepreduce.run import Job, Reduction
from tacit.codesign.finetune import short
from tacit.codesign.frontier import Point, pareto
from tacit.codesign.precision import fastest
from tacit.codesign.pricing import calibration, compiled
from tacit.codesign.search.cost import activation_sites
from tacit.codesign.search.run import Settings, pick, prepare, train_choice
from tacit.plan.policy import Policy

__all__ = ["LINKS", "POINTS", "frontiers", "points_of", "ratios"]

Row = dict[str, Any]
#: Points that the planner trains for each link.
POINTS = 6
#: Epochs of DeepReDuce's nets, which are trained from fresh weights, as a share of the ReLU net's.
SHARE = 0.25
#: The links that nets are compiled for, and the only net and seed with frontiers: one has some twenty nets.
LINKS, NET, SEED = ("lan", "wan"), "resnet18", 0


@line("deepreduce", needs=("relu",))
def reduced(case: Case, done: Mapping[str, Made]) -> Iterator[Made]:
    """DeepReDuce: profiled, culled, thinned, and at half the resolution, each net trained with distillation."""
    if (case.net, case.seed) != (NET, SEED):
        return
    recipe = case.relu.replace(epochs=max(4, round(case.relu.epochs * SHARE)))
    job = Job(done["relu"].model, case.data, recipe, Reduction(), None, case.folder / "deepreduce", case.progress)
    profiled = profile(activation_sites(job.model, calibration(case.data, 1)[0]), job.alone)
    for design in designs(profiled, rhos=(0.5,)):
        outcome = job.trained(design)
        facts = {"frontier": "deepreduce", "design": design.name, "criticality": profiled.criticality}
        held_out = outcome.held_out.top1 if outcome.held_out else None
        policies = _policies(outcome.model, case)
        parts = (f"deepreduce {design.name}", outcome.model.cpu(), outcome.epochs, outcome.seconds, outcome.test)
        yield Made(*parts, held_out, facts=facts, policies=policies)


def _policies(model: nn.Module, case: Case) -> dict[str, Policy]:
    """The precision that is fastest for the net on each link."""
    plans = compiled(model, case.data)
    return {link: fastest(plans, link).policy for link in LINKS}


def _planned(case: Case, done: Mapping[str, Made], link: str) -> Iterator[Made]:
    """The planner's points for one link, each trained for as long as fine-tuning may."""
    if (case.net, case.seed) != (NET, SEED):
        return
    settings = Settings(link=link, links=("lan", "wan"), points=POINTS, recipe=short(case.relu, lr=0.02))
    folder = case.folder / f"planner-{link}"
    ready = prepare(done["relu"].model, case.data, folder, settings)
    for number, chosen in enumerate(pick(ready, settings), 1):
        where = folder / f"point-{number:02d}" / "run"
        made = train_choice(ready, case.data, chosen.assignment, settings, where, progress=case.progress)
        outcome = made.outcome
        facts = {
            "frontier": f"planner {link}",
            "assignment": dict(chosen.assignment),
            "additive_seconds": chosen.cost,
            "additive_error": ready.additive.error,
        }
        held_out = outcome.held_out.top1 if outcome.held_out else None
        name = f"planner {link} {number}"
        policies = _policies(made.model, case)
        parts = (name, made.model, outcome.epochs, outcome.seconds, outcome.test, held_out, made.certificate)
        yield Made(*parts, facts=facts, policies=policies)


@line("planner lan", needs=("relu",))
def planned_for_lan(case: Case, done: Mapping[str, Made]) -> Iterator[Made]:
    """The planner's frontier for 1 Gbit/s and 0.5 ms."""
    return _planned(case, done, "lan")


@line("planner wan", needs=("relu",))
def planned_for_wan(case: Case, done: Mapping[str, Made]) -> Iterator[Made]:
    """The planner's frontier for 100 Mbit/s and 40 ms."""
    return _planned(case, done, "wan")


def points_of(rows: Sequence[Row], frontier: str) -> tuple[Point, ...]:
    """The measured points of a frontier, and the ReLU net's, from timed rows of one case."""
    chosen = [row for row in rows if "latency" in row]
    wanted = [row for row in chosen if row["facts"].get("frontier") == frontier or row["name"] == "relu"]
    return tuple(
        Point(
            row["name"],
            row["test"]["top1"],
            sum(row["latency"]["activations"].values()),
            {link: figures["measured"] for link, figures in row["latency"]["links"].items()},
            {"predicted": {link: figures["predicted"] for link, figures in row["latency"]["links"].items()}},
        )
        for row in wanted
    )


def frontiers(rows: Sequence[Row]) -> Iterator[str]:
    """The section of the page on frontiers: their points by measured seconds, and which frontier wins by how much.

    `rows` are those of one scale and data set; nothing where no frontier was measured.
    """
    theirs = points_of([row for row in rows if row["net"] == NET and row["seed"] == SEED], "deepreduce")
    if len(theirs) < 2:
        return
    yield f"\n### Frontiers, {NET}\n"
    for link in LINKS:
        ours = points_of([row for row in rows if row["net"] == NET and row["seed"] == SEED], f"planner {link}")
        if len(ours) < 2:
            continue
        yield f"\nFor {link}, unbeaten points, milliseconds measured (predicted):\n\n"
        yield "| frontier | net | top-1 % | activations | ms |\n|---|---|---|---|---|\n"
        for name, points in (("DeepReDuce", theirs), ("planner", ours)):
            for point in pareto(points, link):
                took = f"{1e3 * point.seconds[link]:.1f} ({1e3 * point.detail['predicted'][link]:.1f})"
                yield f"| {name} | {point.name} | {100 * point.accuracy:.2f} | {point.activations:,} | {took} |\n"
        found = ratios(ours, theirs, link)
        if found:
            at, best, factor = max(found, key=lambda entry: entry[2])
            middle = statistics.median(entry[2] for entry in found)
            yield (
                f"\nWhere both reach an accuracy, the planner's net takes 1/{middle:.2f} of DeepReDuce's time in the "
                f"median; at best 1/{factor:.2f} ({best.name} against {at.name}).\n"
            )


def ratios(ours: Sequence[Point], theirs: Sequence[Point], link: str) -> list[tuple[Point, Point, float]]:
    """For each unbeaten point of theirs the cheapest of ours that is as accurate, and how many times as fast it is.

    Points of theirs that nothing of ours is as accurate as are left out.
    """
    out = []
    for point in pareto(theirs, link):
        good = [p for p in ours if p.accuracy >= point.accuracy]
        if good:
            best = min(good, key=lambda p: p.seconds[link])
            out.append((point, best, point.seconds[link] / best.seconds[link]))
    return out
