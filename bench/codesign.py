"""The results of co-design: `python bench/codesign.py` trains and measures, `--page` writes docs/codesign.md from it.

At the usual scale (a quarter of the width, 16x16 pixels, 5,000 images) it takes some hours on two cores; `--full` is
the published size, for a GPU. Both go on where they were stopped: runs are kept in --folder, and rows in --out after
each line.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lib import machine
from lib.cases import CORES, THREADS
from lib.codesign_lines import FULL, LINES, NETS, SMALL, Case, Made, Scale, case
from lib.codesign_page import page
from lib.privately import agreement, latency
from rich.console import Console

from tacit.cli._rates import measure_rates
from tacit.plan.cost import Rates, load_rates

__all__ = ["Book", "main", "run"]

ROOT = Path(__file__).resolve().parent.parent
KEY = ("scale", "data", "net", "seed", "line")
LINKS = ("loopback", "lan", "wan")
Row = dict[str, Any]
Say = Callable[[str], None]


@dataclass
class Book:
    """The rows, written to `out` with the facts `about` the run whenever one is added."""

    out: Path
    about: Row
    rows: list[Row] = field(default_factory=list)

    def resume(self) -> None:
        """Take over the rows of `out`, if there are any; SystemExit if they are of another machine."""
        if not self.out.exists():
            return
        kept = json.loads(self.out.read_text("utf-8"))
        machine.must_be_same(kept["machine"], self.about["machine"])
        self.rows, self.about["rates"] = kept["rows"], kept["rates"]

    def has(self, case: Case, line: str) -> bool:
        """Whether a line of a case is there with all its nets."""
        return any(self._key(row) == _key(case, line) and row["last"] for row in self.rows)

    def add(self, row: Row) -> None:
        """Put in a row, in place of one of the same net, and write the file, whole or not at all."""
        same = (*KEY, "name")
        self.rows = [r for r in self.rows if any(r[k] != row[k] for k in same)] + [row]
        self.out.parent.mkdir(parents=True, exist_ok=True)
        draft = self.out.with_suffix(".new")
        draft.write_text(json.dumps({**self.about, "rows": self.rows}, indent=1) + "\n", "utf-8")
        draft.replace(self.out)

    @staticmethod
    def _key(row: Row) -> tuple[Any, ...]:
        return tuple(row[k] for k in KEY)


def _key(case: Case, line: str) -> tuple[Any, ...]:
    return (case.scale.name, case.data.name, case.net, case.seed, line)


@dataclass(frozen=True)
class Measures:
    """How much is measured of each net: private predictions, and for which seeds over which links."""

    images: int
    links: Sequence[str]
    timed_seeds: Sequence[int]
    runs: int
    rates: Rates


def run(cases: Iterable[Case], lines: Sequence[str], book: Book, measures: Measures, say: Say) -> None:
    """Every line of every case that `book` lacks, and what those need."""
    for one in cases:
        missing = [name for name in lines if not book.has(one, name)]
        done: dict[str, Made] = {}
        for name in _with_needs(missing):
            made = list(LINES[name][0](one, done))
            done |= {m.name: m for m in made}
            for place, net in enumerate(made if name in missing else ()):
                row = {**_row(one, name, net, measures, say), "last": place == len(made) - 1}
                book.add(row)
                say(_told(row))


def _with_needs(lines: Sequence[str]) -> list[str]:
    """The lines and what they need, in the order of LINES."""
    wanted = set(lines)
    for _ in LINES:
        wanted |= {need for name in wanted for need in LINES[name][1]}
    return [name for name in LINES if name in wanted]


def _row(case: Case, line: str, made: Made, measures: Measures, say: Say) -> Row:
    certificate = made.certificate
    ranges = certificate and {
        "largest": certificate.largest,
        "bound": certificate.bound,
        "holds": certificate.holds,
        "non_finite": certificate.non_finite,
        "examples": certificate.examples,
        "outside": max(site.outside for site in certificate.sites),
    }
    row = {
        **dict(zip(KEY, _key(case, line), strict=True)),
        "name": made.name,
        "epochs": made.epochs,
        "seconds": made.seconds,
        "parameters": sum(p.numel() for p in made.model.parameters()),
        "test": asdict(made.test),
        "held_out_top1": made.held_out,
        "ranges": ranges,
        "facts": dict(made.facts),
    }
    if made.runnable and measures.images:
        row["private"] = agreement(made, case.data, measures.images, say=say)
    if made.runnable and case.seed in measures.timed_seeds:
        row["latency"] = latency(made, case.data, measures.links, measures.rates, runs=measures.runs)
    return row


def _told(row: Row) -> str:
    said = f"{row['data']} {row['net']} seed {row['seed']} {row['name']}: {100 * row['test']['top1']:.2f} %"
    if row["ranges"]:
        said += f", inputs up to {row['ranges']['largest']:.3g}"
    if "private" in row:
        said += f", private agrees on {row['private']['same_label']}/{row['private']['images']}"
    links = row.get("latency", {}).get("links", {})
    return said + "".join(f", {k} {1e3 * v['measured']:.0f} ms ({1e3 * v['predicted']:.0f})" for k, v in links.items())


def _cases(given: argparse.Namespace, scale: Scale) -> Iterator[Case]:
    """Seed by seed, so that an interrupted run has whole seeds."""
    for seed in given.seeds:
        for data in given.data:
            for net in given.nets:
                yield case(net, data, seed, scale, given.folder, given.path)


def _arguments() -> argparse.Namespace:
    def words(text: str) -> list[str]:
        return text.split(",")

    def numbers(text: str) -> list[int]:
        return [int(word) for word in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", action="store_true", help="measure nothing; write docs/codesign.md from the results")
    parser.add_argument("--full", action="store_true", help="32x32 pixels, 50,000 images, full width, on a GPU")
    parser.add_argument("--nets", type=words, default=list(NETS), help=f"of {', '.join(NETS)}")
    parser.add_argument("--data", type=words, default=["procedural10"], help="data sets by name")
    parser.add_argument("--path", type=Path, help="where the data set lies on disk, for those that do")
    parser.add_argument("--lines", type=words, default=None, help=f"of {', '.join(LINES)}")
    parser.add_argument("--seeds", type=numbers, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, help="of the ReLU schedule, for all nets")
    parser.add_argument("--device", help="cpu or cuda; as the scale says if absent")
    parser.add_argument("--threads", type=int, help="that PyTorch trains with on a CPU")
    parser.add_argument("--images", type=int, default=1000, help="private predictions a net, 0 for none")
    parser.add_argument("--links", type=words, default=list(LINKS))
    parser.add_argument("--runs", type=int, default=5, help="timed predictions a link")
    parser.add_argument("--rates", type=Path, help="rates for the predictions; measured here if absent")
    parser.add_argument("--folder", type=Path, default=ROOT / "bench" / "results" / "local" / "codesign")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "codesign.json")
    return parser.parse_args()


def _scale(given: argparse.Namespace) -> Scale:
    scale = FULL if given.full else SMALL
    if given.epochs:
        scale = replace(scale, epochs=dict.fromkeys(NETS, given.epochs))
    if given.threads:
        scale = replace(scale, threads=given.threads)
    return replace(scale, device=given.device) if given.device else scale


def main() -> int:
    """Train, measure, write the JSON file; or write the page from it."""
    given = _arguments()
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False, markup=False)
    if given.page:
        target = ROOT / "docs" / "codesign.md"
        target.write_text(page(json.loads(given.out.read_text("utf-8"))), "utf-8")
        console.print(f"written to {target}")
        return 0
    book = Book(given.out, {"machine": machine.describe(CORES), "settings": {"arguments": sys.argv[1:]}})
    book.resume()
    kept = book.about.get("rates")
    rates = load_rates(given.rates) if given.rates else Rates(**kept) if kept else measure_rates(threads=THREADS)
    book.about["rates"] = asdict(rates)
    measures = Measures(given.images, given.links, given.seeds[:1], given.runs, rates)
    run(_cases(given, _scale(given)), given.lines or list(LINES), book, measures, console.print)
    console.print(f"written to {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
