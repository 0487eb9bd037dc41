"""The comparison as one picture: nRMSE by layer, a line a rung, the limit, and the first layer that drifts in red."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import Any

from tacit.drift.compare import Comparison
from tacit.errors import InvalidInput

__all__ = ["save_plot"]

_LOOKS = {"model": ("tab:purple", "s"), "fixed": ("tab:blue", "o"), "private": ("tab:green", "^")}
#: What an axis of powers of ten shows for no error at all, and for an infinite one.
_NONE, _MOST = 1e-9, 1e1


def save_plot(comparison: Comparison, path: str | Path) -> None:
    """Write the picture; the suffix (.png, .svg, .pdf) says in what format. No display is needed.

    Raises InvalidInput when matplotlib is missing or the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise InvalidInput("plots need matplotlib; install tacit[plot]") from error
    layers = [node.id for node in comparison.layers]
    figure = Figure(figsize=(max(7.0, min(0.32 * len(layers) + 3.0, 40.0)), 5.0), layout="constrained")
    axes = figure.add_subplot()
    _draw(axes, comparison, layers)
    title = textwrap.fill(comparison.verdict(), max(60, int(12 * figure.get_figwidth())))
    axes.set_title(title, loc="left", fontsize=10, color="tab:red" if comparison.first else "tab:green")
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot write the plot {path}: {error}") from error


def _draw(axes: Any, comparison: Comparison, layers: list[str]) -> None:
    places = {name: place for place, name in enumerate(layers)}
    for name, found in comparison.rungs.items():
        colour, marker = _LOOKS[name]
        xs = [places[node] for node in layers if node in found]
        ys = [_shown(found[node].whole.nrmse) for node in layers if node in found]
        own = [_shown(found[node].own.nrmse) for node in layers if node in found]
        axes.plot(xs, ys, color=colour, marker=marker, markersize=4, linewidth=1.2, label=f"{name}: so far")
        axes.plot(xs, own, color=colour, marker=marker, markersize=3, linewidth=0, alpha=0.4, label=f"{name}: own part")
    axes.axhline(comparison.limit, color="tab:red", linewidth=0.8, linestyle="--", label="limit")
    if comparison.first is not None and comparison.first.layer in places:
        at = places[comparison.first.layer]
        axes.axvspan(at - 0.5, at + 0.5, color="tab:red", alpha=0.15, label="first to drift")
    axes.set_yscale("log")
    axes.set_ylim(_NONE, _MOST)
    axes.set_ylabel("nRMSE")
    axes.set_xticks(range(len(layers)), [n if len(n) < 26 else "…" + n[-24:] for n in layers], rotation=90, fontsize=7)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=7, ncols=2, loc="upper left")


def _shown(value: float) -> float:
    return min(max(value, _NONE), _MOST) if math.isfinite(value) else _MOST
