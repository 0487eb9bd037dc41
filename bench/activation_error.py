"""How far activations are off, sampled through the whole protocol: `python bench/activation_error.py [--count N]`.

A chunk is one simulated run of input, product with the server's weights, opening, quartic and reveal, with fresh seeds;
the values that are opened are uniform within 8 and use every bit of their scale. The result is compared with the exact
quartic of the exact product, evaluated in float64, whose own rounding is below 1e-6 units in the last place. Exit
status 1 if an error exceeds the bound ceil(max |P'|) + 1.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from lib import machine
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from tacit.ir.graph import Graph, Node
from tacit.plan.compile import plan_graph
from tacit.plan.plan import Plan
from tacit.plan.policy import Policy
from tacit.run.simulate import simulate

__all__ = ["Sampled", "bound", "main", "sample"]

RANGE, INPUT_BITS, CHUNK = 8, 16, (1, 1024, 512)
#: PILLAR's public quartic (Diaa et al., USENIX Security 2024), the constant first.
QUARTIC = (Fraction(322, 1024), Fraction(1, 2), Fraction(160, 1024), Fraction(0), Fraction(-3, 1024))
#: Weight bits with which values within the range, and a margin of 2, fit each ring.
WEIGHT_BITS = {32: 9, 40: 12, 44: 12, 64: 12}
RINGS = tuple(WEIGHT_BITS)
#: An error is gross when it is this many times the bound: no rounding can explain it.
GROSS = 64
OUT = Path(__file__).resolve().parent / "results" / "local" / "activation_error.json"


@dataclass(frozen=True)
class Sampled:
    """One ring's sample: how many activations, largest and mean error in units of 2^-16, errors above the bound."""

    ring: int
    count: int
    largest: float
    mean: float
    over_bound: int
    gross: int
    seconds: float


def slope(x: Fraction) -> Fraction:
    """The quartic's derivative at x."""
    return sum((i * c * x ** (i - 1) for i, c in enumerate(QUARTIC) if i), Fraction(0))


def bound() -> int:
    """ceil(max |P'|) + 1 on [-RANGE, RANGE], in units in the last place.

    P' is a cubic, so its extremes lie at the ends or where P'' = 2 c2 + 12 c4 x^2 vanishes.
    """
    turn = Fraction(math.sqrt(-2 * QUARTIC[2] / (12 * QUARTIC[4])))
    return math.ceil(max(abs(slope(x)) for x in (Fraction(-RANGE), Fraction(RANGE), turn, -turn))) + 1


def _plan(ring: int, gains: NDArray[np.float64]) -> Plan:
    """x times a secret gain per channel, then the quartic, in one ring."""
    nodes = (
        Node("x", "input", (), CHUNK),
        Node("y", "affine", ("x",), CHUNK, {"axis": 1}, {"gain": "gains"}),
        Node("p", "poly", ("y",), CHUNK, {"coeffs": [str(c) for c in QUARTIC]}),
    )
    bounds = {"x": 2.0 * RANGE, "y": 2.0 * RANGE, "p": float(RANGE)}
    seen = dict.fromkeys(bounds, float(RANGE))
    policy = Policy(ring=ring, input_bits=INPUT_BITS, weight_bits=WEIGHT_BITS[ring])
    return plan_graph(Graph(nodes, ("p",), {"gains": gains}), policy, bounds, seen, "")


def _errors(ring: int, rng: np.random.Generator, threads: int) -> NDArray[np.float64]:
    """Errors of one chunk in units in the last place."""
    unit = 1 << WEIGHT_BITS[ring]
    gains = rng.integers(unit // 2, unit, CHUNK[1], endpoint=True) / unit
    y = rng.uniform(-RANGE, RANGE, CHUNK)
    x = np.rint(y / gains[:, None] * 2**INPUT_BITS) / 2**INPUT_BITS
    x = np.where(np.abs(x * gains[:, None]) <= RANGE, x, 0.0)
    product = x * gains[:, None]  # exact: 20 bits by 13 bits
    exact = np.polynomial.polynomial.polyval(product, [float(c) for c in QUARTIC])
    got = simulate(_plan(ring, gains), x, threads=threads).outputs[0]
    return np.abs(got - exact).reshape(-1) * 2**INPUT_BITS


def sample(ring: int, count: int, *, seed: int = 1, threads: int = 2) -> Sampled:
    """At least `count` activations in the ring of `ring` bits; `seed` picks the inputs, masks are always fresh."""
    rng, started = np.random.default_rng([seed, ring]), time.perf_counter()
    done, largest, total, over, gross, limit = 0, 0.0, 0.0, 0, 0, bound()
    while done < count:
        errors = _errors(ring, rng, threads)
        done += errors.size
        largest, total = max(largest, float(errors.max())), total + float(errors.sum())
        over += int((errors > limit).sum())
        gross += int((errors > GROSS * limit).sum())
    return Sampled(ring, done, largest, total / done, over, gross, time.perf_counter() - started)


def _measure(count: int) -> Iterator[Sampled]:
    for ring in RINGS:
        yield sample(ring, -(-count // len(RINGS)))


def _table(rows: list[Sampled]) -> Table:
    table = Table(title=f"quartic, f = {INPUT_BITS}, inputs within {RANGE}; bound {bound()} units in the last place")
    for column in ("ring", "activations", "largest error", "mean error", "over the bound", "gross", "s"):
        table.add_column(column, justify="right")
    for r in rows:
        figures = (f"{r.largest:.3f}", f"{r.mean:.3f}", str(r.over_bound), str(r.gross), f"{r.seconds:.1f}")
        table.add_row(str(r.ring), f"{r.count:,}", *figures)
    return table


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=float, help="activations in all, shared by the rings; 1e7, or 1e8 with --full")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args()


def main() -> int:
    """Sample, print a table, write the JSON file."""
    given = _arguments()
    rows = list(_measure(int(given.count or (1e8 if given.full else 1e7))))
    Console().print(_table(rows))
    about: dict[str, Any] = {"bound": bound(), "input_bits": INPUT_BITS, "range": RANGE, "gross_factor": GROSS}
    result = {"machine": machine.describe(2), **about, "rings": [asdict(row) for row in rows]}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    return 1 if any(row.over_bound for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
