"""The page of benchmarks from the JSON files: `python bench/lib/report.py bench/results docs/benchmarks.md`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from targets import Results, Row, check, peer_seconds

__all__ = ["main", "page"]

_HEAD = """# Benchmarks

Made by the scripts in `bench/`; this page is written from their JSON files by

    python bench/lib/report.py bench/results docs/benchmarks.md

after `python bench/kernels.py --json > bench/results/kernels.json`,
`python bench/nets.py --full --out bench/results/nets.json` and
`python bench/activation_error.py --full --out bench/results/activation_error.json`.
"""
_METHOD = """
Dealer, server and client are three processes that share the cores named above and talk over mutual TLS on one machine;
links other than loopback are emulated: lan is 1 Gbit/s with 0.5 ms round trip, wan 100 Mbit/s with 40 ms, wan1g
1 Gbit/s with 100 ms. Online times are medians of {runs} predictions of one image each; the clock starts with a bundle
claimed and loaded on both sides, at the first masked byte, and stops at the decoded answer. Bytes are those of frames
above TLS. The nets have a quartic at every activation and averages for pools; their weights are made, and scaled so
that every activation's input lies within {range:g} (largest seen: {largest:.2f}). nRMSE is the root mean square error
of the logits over the root mean square of the clear reading's.
"""
_PEERS = """
The peers ran in the same run on the same two cores, one for each party, in network namespaces, without encryption and
under the scheduling that serves them best (real-time for CrypTen, raised for SPU; ours has the ordinary one). CrypTen's
first party deals, so its "whole" includes making the randomness and "online" does not; "ReLU" nets have max pools,
"quartic" ones averages. Numbers in brackets say how many times as long as ours online they take.
"""
_OFFLINE = """
Registration happens once per model and client; dealing and priming are given for one bundle: the first one after a
start ("first", with the expansion of the dealer's matrices) and each of several ("more", always over loopback). Where a
registration and a bundle would take more than a minute on a link, loopback's time stands in brackets. "Kept" is what
both parties store of a bundle until it is used.
"""


def _table(head: Sequence[str], rows: Iterable[Sequence[object]], left: int = 1) -> list[str]:
    """A Markdown table whose first `left` columns are aligned to the left."""
    rule = [":--" if i < left else "--:" for i in range(len(head))]
    return ["", *("| " + " | ".join(map(str, cells)) + " |" for cells in (head, rule, *rows)), ""]


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1e3 * seconds:.1f}" if seconds < 1 else f"{1e3 * seconds:,.0f}"


def _mb(size: float) -> str:
    return f"{size / 1e6:.2f}" if size < 1e8 else f"{size / 1e6:.0f}"


def _machine(results: Results) -> Iterator[str]:
    if results.nets is None:
        return
    m, settings = results.nets["machine"], results.nets["settings"]
    v = m["versions"]
    yield (
        f"\nMachine: {m['cpu']}, {m['cores_used']} of {m['cores_present']} cores used, {m['memory_gib']} GiB, kernels "
        f"of tier {m['tiers'][0]}, {m['system']}, Python {v['python']}, numpy {v['numpy']}, torch {v['torch']}, "
        f"{v['openssl']}; {m['date']}."
    )
    rows = results.cases()
    largest = max(row["largest_activation_input"] for row in rows)
    yield _METHOD.format(runs=settings["runs"], range=settings["input_range"], largest=largest)
    busiest = max(row["busy_before"] for row in rows)
    yield f"Others used at most {100 * busiest:.0f} % of the cores just before a measurement."


def _targets(results: Results) -> Iterator[str]:
    found = check(results)
    if not found:
        return
    yield "\n## Targets\n"
    shown = {True: "yes", False: "no", None: "-"}
    yield from _table(
        ("measure", "target", "measured", "met"), [(t.what, t.wanted, t.measured, shown[t.met]) for t in found], 3
    )


def _online(results: Results) -> Iterator[str]:
    rows = results.cases()
    if not rows:
        return
    yield "\n## Online\n"
    head = (
        "net",
        "k",
        "link",
        "ms",
        "least",
        "predicted",
        "steps",
        "MB up",
        "MB down",
        "nRMSE",
        "same class",
        "PyTorch",
    )
    yield from _table(head, [_online_row(row) for row in rows], 3)
    yield (
        "\nk lists the rings of the plan; least is the fastest run; predicted is what the bill says with this "
        "machine's measured rates; PyTorch is one plain inference with one thread, in ms."
    )


def _online_row(row: Row) -> tuple[object, ...]:
    o = row["online"]
    rings = "/".join(str(k) for k in row["rings"])
    times = (_ms(o["median"]), _ms(o["least"]), _ms(row["predicted_seconds"]))
    sizes = (_mb(o["bytes_client"]), _mb(o["bytes_server"]))
    same = f"{o['argmax_equal']} of {len(o['runs'])}"
    plain = _ms(row["plain_torch_seconds"]["1"])
    return (row["net"], rings, row["link"], *times, o["one_way_steps"], *sizes, f"{o['nrmse']:.1e}", same, plain)


def _offline(results: Results) -> Iterator[str]:
    rows = results.cases()
    if not rows:
        return
    yield "\n## Before the query\n"
    yield _OFFLINE
    head = (
        "net",
        "k",
        "link",
        "register s",
        "MB",
        "deal s, first",
        "more",
        "MB",
        "prime s, first",
        "more",
        "MB",
        "kept MB",
    )
    yield from _table(head, [_offline_row(row) for row in rows], 3)


def _offline_row(row: Row) -> tuple[object, ...]:
    first, more = row["offline"], row["offline_more"]
    cells: list[str] = []
    for phase in ("register", "deal", "prime"):
        shown = f"{first[phase]['seconds']:.2f}"
        cells.append(shown if row["offline_link"] == row["link"] else f"({shown})")
        cells += [f"{more[phase]['seconds']:.2f}"] if phase != "register" else []
        cells.append(_mb(first[phase]["bytes"]))
    kept = _mb(sum(row["material_bytes"].values()))
    return (row["net"], "/".join(str(k) for k in row["rings"]), row["link"], *cells, kept)


def _peers(results: Results) -> Iterator[str]:
    rows = [row for row in results.cases(ring="auto") if _peer_cells(results, row) != ["-"] * 5]
    if not rows:
        return
    yield "\n## Beside CrypTen and SPU\n"
    yield _PEERS
    head = ("net", "link", "ours, ms", *(f"{s} {a} {p}" for s, a, p in _SHOWN))
    cells = [(r["net"], r["link"], _ms(r["online"]["median"]), *_peer_cells(results, r)) for r in rows]
    yield from _table(head, cells, 2)
    failed = [row for row in (results.nets or {})["peers"] if "failed" in row]
    for row in failed:
        yield f"- {row['system']}, {row['net']} with {row['activation']}, {row['link']}: failed ({row['failed']})"


_SHOWN = (
    ("CrypTen", "ReLU", "whole"),
    ("CrypTen", "ReLU", "online"),
    ("CrypTen", "quartic", "whole"),
    ("CrypTen", "quartic", "online"),
    ("SPU Semi2k", "ReLU", "whole"),
)


def _peer_cells(results: Results, row: Row) -> list[str]:
    cells = []
    for system, activation, part in _SHOWN:
        key = "relu" if activation == "ReLU" else "poly4"
        seconds = peer_seconds(results, row["net"], row["link"], system, key, part)
        cells.append(f"{_ms(seconds)} ({seconds / row['online']['median']:.1f})" if seconds else "-")
    return cells


def _kernels(results: Results) -> Iterator[str]:
    if results.kernels is None:
        return
    yield "\n## Kernels\n"
    yield "\nOne thread, rate of the fastest call; the last column is against torch's int64 in the same run."
    rows = [
        (
            r["kernel"],
            r["size"],
            f"{r['rate'] / 1e9:.2f}",
            f"1e9 {r['unit']}/s",
            f"{r['speedup']:.1f}" if r["speedup"] else "-",
        )
        for r in results.kernels["rows"]
    ]
    yield from _table(("kernel", "size", "rate", "unit", "times torch"), rows, 2)


def _activations(results: Results) -> Iterator[str]:
    found = results.activations
    if found is None:
        return
    yield "\n## Error of an activation\n"
    yield (
        f"\nThe quartic at f = {found['input_bits']} on inputs within {found['range']}, through the whole protocol, in "
        f"units of 2^-{found['input_bits']}; the bound is ceil(max |P'|) + 1 = {found['bound']}."
    )
    rows = [
        (r["ring"], f"{r['count']:,}", f"{r['largest']:.3f}", f"{r['mean']:.3f}", r["over_bound"], r["gross"])
        for r in found["rings"]
    ]
    yield from _table(("k", "activations", "largest error", "mean", "above the bound", "gross"), rows)


def page(results: Results) -> str:
    """The whole page as Markdown."""
    parts = (_machine, _targets, _online, _peers, _offline, _kernels, _activations)
    lines = [_HEAD, *(line for part in parts for line in part(results))]
    text = "\n".join(lines)
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text.rstrip() + "\n"


def _load(folder: Path, name: str) -> dict[str, Any] | None:
    file = folder / f"{name}.json"
    return json.loads(file.read_text("utf-8")) if file.exists() else None


def main() -> int:
    """Read the JSON files of the folder that is the first argument and write the page that is the second."""
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    results = Results(*(_load(folder, name) for name in ("nets", "kernels", "activation_error")))
    out.write_text(page(results), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
