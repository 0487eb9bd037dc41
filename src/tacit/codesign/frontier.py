"""Frontiers: what is gained for what it costs, as points, the ones that nothing beats, JSON, a table and a picture."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tacit.errors import InvalidFile, InvalidInput

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Key", "Point", "cost_of", "exportable", "pareto", "plot", "read", "save", "table"]


@dataclass(frozen=True)
class Point:
    """One trained net on the plane of cost and accuracy.

    accuracy      top-1 on the test split, 0 to 1
    activations   values that an inference evaluates an activation on, exact or polynomial
    seconds       predicted (or, where `detail` says so, measured) seconds of one private inference by link
    detail        whatever else is known, as JSON data; `certified` is False where polynomials leave their range
    """

    name: str
    accuracy: float
    activations: int
    seconds: dict[str, float] = field(default_factory=dict)
    detail: dict[str, Any] = field(default_factory=dict)


#: What a point costs: "activations", the name of a link, or a function of the point.
Key = str | Callable[[Point], float]


def cost_of(point: Point, key: Key) -> float:
    """What `point` costs by `key`. Raises InvalidInput for a link that the point has no seconds for."""
    if callable(key):
        return float(key(point))
    if key == "activations":
        return float(point.activations)
    if key not in point.seconds:
        raise InvalidInput(f"the point {point.name} has no seconds for {key!r}; it has {sorted(point.seconds)}")
    return point.seconds[key]


def exportable(points: Iterable[Point]) -> list[Point]:
    """The points without those whose polynomials leave their range: these have no plan, whatever their accuracy."""
    return [point for point in points if point.detail.get("certified", True)]


def pareto(points: Iterable[Point], key: Key = "activations") -> tuple[Point, ...]:
    """The points that no other beats in cost and accuracy at once, cheapest first; of equals the first one given."""
    best, kept = -math.inf, []
    for point in sorted(points, key=lambda p: (cost_of(p, key), -p.accuracy)):
        if point.accuracy > best:
            kept.append(point)
            best = point.accuracy
    return tuple(kept)


def save(points: Sequence[Point], path: str | Path, **about: Any) -> None:
    """Write the points, and JSON data `about` them, whole or not at all. Raises InvalidInput if it cannot."""
    path = Path(path)
    draft = path.with_name(path.name + ".new")
    try:
        text = json.dumps({**about, "points": [asdict(point) for point in points]}, indent=1, allow_nan=False)
        draft.write_text(text + "\n", "utf-8")
        draft.replace(path)
    except OSError as error:
        raise InvalidInput(f"cannot write the frontier {path}: {error.strerror}") from None


def read(path: str | Path) -> tuple[Point, ...]:
    """The points that `save` wrote. Raises InvalidFile."""
    try:
        return tuple(Point(**entry) for entry in json.loads(Path(path).read_text("utf-8"))["points"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InvalidFile(f"{path} holds no frontier: {error}") from None


def table(points: Sequence[Point], keys: Sequence[str] = ("activations",)) -> Table:
    """A row a point, cheapest first by the first key; a star where nothing exportable beats it in a column."""
    from rich import box
    from rich.table import Table

    out = Table("point", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("top-1 %", *(key if key == "activations" else f"{key} ms" for key in keys)):
        out.add_column(heading, justify="right")
    fronts = {key: pareto(exportable(points), key) for key in keys}
    for point in sorted(points, key=lambda p: cost_of(p, keys[0])):
        cells = [_cell(point, key) + ("*" if point in fronts[key] else " ") for key in keys]
        out.add_row(point.name, f"{100 * point.accuracy:.2f}", *cells)
    return out


def _cell(point: Point, key: str) -> str:
    return f"{point.activations:,}" if key == "activations" else f"{1e3 * cost_of(point, key):.1f}"


def plot(series: Sequence[Point] | Mapping[str, Sequence[Point]], path: str | Path, key: str = "activations") -> None:
    """Accuracy over cost, a line of unbeaten exportable points a series; the suffix (.png, .svg, .pdf) is the format.

    Raises InvalidInput when matplotlib is missing or the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise InvalidInput("plots need matplotlib; install tacit[plot]") from error
    named = series if isinstance(series, Mapping) else {"": series}
    figure = Figure(figsize=(7.0, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for number, (name, points) in enumerate(named.items()):
        _draw(axes, name, points, key, f"C{number}")
    axes.set_xlabel("activations evaluated" if key == "activations" else f"seconds of one private inference, {key}")
    axes.set_ylabel("top-1 accuracy, %")
    axes.grid(alpha=0.3)
    if any(named):
        axes.legend(fontsize=8, loc="lower right")
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot write the plot {path}: {error}") from None


def _draw(axes: Any, name: str, points: Sequence[Point], key: str, colour: str) -> None:
    front = pareto(exportable(points), key)
    others = [point for point in points if point not in front]
    for chosen, alpha in ((others, 0.35), (front, 1.0)):
        xs, ys = [cost_of(p, key) for p in chosen], [100 * p.accuracy for p in chosen]
        axes.plot(xs, ys, "o", color=colour, alpha=alpha, markersize=4)
    xs, ys = [cost_of(p, key) for p in front], [100 * p.accuracy for p in front]
    axes.plot(xs, ys, color=colour, linewidth=1.2, drawstyle="steps-post", label=name or None)
    for point in front:
        where = (cost_of(point, key), 100 * point.accuracy)
        axes.annotate(point.name, where, fontsize=6, xytext=(3, -7), textcoords="offset points")
