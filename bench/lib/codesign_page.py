"""docs/codesign.md from the rows of `bench/codesign.py`."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from lib.codesign_frontiers import frontiers

__all__ = ["page"]

Row = dict[str, Any]

_HEAD = """# Co-design: results

From a model with ReLU to one that is cheap to run privately: what it costs in accuracy, and what it saves in seconds.
This page is written by `python bench/codesign.py --page` from `bench/results/codesign.json`, which

    python bench/codesign.py

makes; it trains, certifies, runs privately and measures, goes on where it was stopped, and at the small scale takes
some hours on two cores. `python bench/codesign.py --full` is the published size (32x32 pixels, 50,000 images, full
width) for a GPU. [codesign/activations.md](codesign/activations.md) shows how to do the same to a model of your own.
"""
_LINES = """
| line | what it is |
|---|---|
| relu | the net with ReLU, from scratch; as in PILLAR, VGG-16 has batch norms and average pools |
| naive | quartics swapped into the trained net, then as many epochs as fine-tuning gets, by cross-entropy alone |
| pillar | PILLAR from scratch: quartic, range penalty with warm-up, clipping in training, its published numbers |
| fine-tuned | from the trained net in a fifth of its epochs: scales, progressive replacement, distillation, penalty |
| deepreduce | DeepReDuce's nets: ReLUs culled by stage, thinned by layer, at half the resolution; each trained anew |
| planner | what `tacit codesign search` finds for a link ([how](codesign/search.md)), in a fifth of the epochs |

"Top-1" is on the test split, which nothing was chosen by; the epoch is chosen on held-out images. "Largest input" is
the range certificate: the largest |x / scale| at any polynomial over the whole test split, clipping off; beyond 8 the
net may not be exported. "Private" runs every byte of the protocol and compares with PyTorch on the same images.
Mean ± sample standard deviation over seeds.
"""
_LATENCY = """
Online seconds of one image between client and server, processes of their own over TLS with a dealer's material made
ahead: the median measured, and in brackets what the bill predicts. LAN is 1 Gbit/s with 0.5 ms round trip, WAN 100
Mbit/s with 40 ms.
"""


def page(results: Row) -> str:
    """The whole page from the results file's content."""
    rows: list[Row] = results["rows"]
    about = results["machine"]
    parts = [_HEAD, f"\nMachine: {about['cpu']}, {about['cores_used']} cores, {about['date']}.\n", _LINES]
    for (scale, data), chosen in _grouped(rows, "scale", "data"):
        parts += [
            f"\n## {_SCALES.get(scale, scale)}, {data}\n",
            *_accuracy(chosen),
            *_latency(chosen),
            *frontiers(chosen),
        ]
    parts += ["\n## Targets\n\n", *_targets(rows)]
    return "".join(parts)


_SCALES = {
    "small": "Small scale (a quarter of the width, 16x16, 5,000 images)",
    "full": "Full scale (32x32, 50,000 images)",
}


def _grouped(rows: Sequence[Row], *keys: str) -> Iterator[tuple[tuple[str, ...], list[Row]]]:
    """The rows that agree in `keys`, in the order in which they first appear."""
    seen = list(dict.fromkeys(tuple(row[k] for k in keys) for row in rows))
    ordered = sorted(rows, key=lambda row: seen.index(tuple(row[k] for k in keys)))
    for values, group in groupby(ordered, key=lambda row: tuple(row[k] for k in keys)):
        yield values, list(group)


def _spread(values: Iterable[float | None], scale: float = 100.0, digits: int = 2) -> str:
    """Mean ± deviation, or a dash."""
    found = [scale * v for v in values if v is not None]
    if not found:
        return "-"
    mean = f"{statistics.fmean(found):.{digits}f}"
    return f"{mean} ± {statistics.stdev(found):.{digits}f}" if len(found) > 1 else mean


def _gaps(rows: Sequence[Row], relu: Sequence[Row]) -> list[float]:
    """Top-1 of ReLU less that of the line, seed by seed."""
    base = {row["seed"]: row["test"]["top1"] for row in relu}
    return [base[row["seed"]] - row["test"]["top1"] for row in rows if row["seed"] in base]


def _accuracy(rows: Sequence[Row]) -> Iterator[str]:
    yield (
        "\n| net | line | seeds | epochs | minutes | top-1 % | points below ReLU | largest input | "
        "private top-1 % | clear, same images | same label |\n|---|---|---|---|---|---|---|---|---|---|---|\n"
    )
    for (net, name), group in _grouped(rows, "net", "name"):
        relu = [row for row in rows if row["net"] == net and row["name"] == "relu"]
        ranges = [row["ranges"]["largest"] for row in group if row["ranges"]]
        largest = f"{max(ranges):.3g}" if ranges else "-"
        private = [row["private"] for row in group if "private" in row]
        same = f"{sum(p['same_label'] for p in private)}/{sum(p['images'] for p in private)}" if private else "-"
        cells = (
            *(net, name, str(len(group)), str(group[0]["epochs"])),
            _spread((row["seconds"] for row in group), 1 / 60, 1),
            _spread(row["test"]["top1"] for row in group),
            "" if name == "relu" else _spread(_gaps(group, relu)),
            largest,
            _spread(p["top1"] for p in private),
            _spread(p["clear_top1"] for p in private),
            same,
        )
        yield f"| {' | '.join(cells)} |\n"


def _latency(rows: Sequence[Row]) -> Iterator[str]:
    timed = [row for row in rows if "latency" in row]
    if not timed:
        return
    links = list(timed[0]["latency"]["links"])
    yield _LATENCY
    heads = ("net", "line", "polynomials", "comparisons", "one-way steps", "MB", *(f"{link} ms" for link in links))
    yield f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}\n"
    for row in timed:
        cost = row["latency"]
        cells = [row["net"], row["name"], f"{cost['activations']['poly']:,}", f"{cost['activations']['relu']:,}"]
        cells += [str(cost["one_way_steps"]), f"{(cost['bytes_client'] + cost['bytes_server']) / 1e6:.2f}"]
        cells += [_shown(cost["links"].get(link)) for link in links]
        yield f"| {' | '.join(cells)} |\n"


def _shown(figures: Row | None) -> str:
    return "-" if figures is None else f"{1e3 * figures['measured']:.1f} ({1e3 * figures['predicted']:.1f})"


def _targets(rows: Sequence[Row]) -> Iterator[str]:
    """What was wanted, beside what was measured."""
    yield "| what | wanted | measured | met |\n|---|---|---|---|\n"
    for (scale, data, net), group in _grouped(rows, "scale", "data", "net"):
        where = f"{net}, {data}, {scale}"
        for what, wanted, measured, met in _checked(group, 1.5 if data.endswith("100") else 0.5):
            yield f"| {what} ({where}) | {wanted} | {measured} | {'yes' if met else 'no'} |\n"


def _checked(group: Sequence[Row], points: float) -> Iterator[tuple[str, str, str, bool]]:
    def of(name: str) -> list[Row]:
        return [row for row in group if row["name"] == name]

    relu, tuned = of("relu"), of("fine-tuned")
    gaps = _gaps(tuned, relu)
    if gaps:
        gap = 100 * statistics.fmean(gaps)
        yield "fine-tuned below ReLU", f"at most {points:g} points", f"{gap:.2f} points", gap <= points
        epochs = tuned[0]["epochs"] / relu[0]["epochs"]
        yield "epochs of fine-tuning", "at most 20 % of ReLU's", f"{100 * epochs:.0f} %", epochs <= 0.2
    yield from _ranged(tuned, "fine-tuned")
    yield from _ranged(of("pillar"), "pillar")
    if pillar := of("pillar"):
        worst = min(row["test"]["top1"] for row in pillar)
        middle = statistics.median(row["test"]["top1"] for row in pillar)
        yield "PILLAR preset, worst seed", "no collapse", f"{100 * worst:.2f} %", worst > 0.5 * middle and worst > 0.3
    if unprepared := of("naive"):
        lost = 100 * max(_gaps(unprepared, relu), default=0.0)
        far = max(row["ranges"]["largest"] for row in unprepared)
        said = f"up to {lost:.1f} points lost, inputs up to {far:.3g}"
        yield "naive replacement", "collapses or escapes", said, lost > 5 or not far <= 8
    yield from _agreed([row for row in group if row["name"] in ("fine-tuned", "pillar") and "private" in row])


def _ranged(rows: Sequence[Row], name: str) -> Iterator[tuple[str, str, str, bool]]:
    if rows:
        largest = max(row["ranges"]["largest"] for row in rows)
        yield f"largest input, {name}", "at most 8", f"{largest:.2f}", largest <= 8


def _agreed(rows: Sequence[Row]) -> Iterator[tuple[str, str, str, bool]]:
    if not rows:
        return
    same, images, bad = (sum(row["private"][key] for row in rows) for key in ("same_label", "images", "non_finite"))
    share = same / images
    yield "private and clear label the same", "at least 99.9 %", f"{100 * share:.2f} %", share >= 0.999
    lost = 100 * max(abs(row["private"]["clear_top1"] - row["private"]["top1"]) for row in rows)
    yield "private against clear top-1", "at most 0.1 points apart", f"{lost:.2f} points", lost <= 0.1 + 1e-9
    yield "logits that are not finite", "none", str(bad), bad == 0
