"""The page of benchmarks from the JSON files: `python bench/lib/report.py bench/results docs/benchmarks.md`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from results import Results, Row, peer_row
from targets import check

__all__ = ["main", "page"]

_HEAD = """# Benchmarks

Made by the scripts in `bench/`; this page is written from their JSON files by

    python bench/lib/report.py bench/results docs/benchmarks.md

after `python bench/kernels.py --json > bench/results/kernels.json`,
`python bench/relu.py --resume --out bench/results/relu.json`,
`python bench/nets.py --full --resume --out bench/results/nets.json`,
`python bench/answers.py --resume --out bench/results/answers.json` and
`python bench/activation_error.py --full --out bench/results/activation_error.json`. `sh bench/all.sh` runs them all and
goes on where it was stopped.
"""
_METHOD = """
Dealer, server and client are three processes that share the cores named above and talk over mutual TLS on one machine;
links other than loopback are emulated: lan is 1 Gbit/s with 0.5 ms round trip, wan 100 Mbit/s with 40 ms, wan1g
1 Gbit/s with 100 ms. Online times are medians of up to {runs} predictions of one image each; the clock starts with a
bundle claimed and loaded on both sides, at the first masked byte, and stops at the decoded answer. Bytes are those of
frames above TLS. Nets with ReLU have the pools of their papers; those with a quartic have averages, and weights such
that every activation's input lies within {range:g} (largest seen: {largest:.2f}). All weights are made. nRMSE is the
root mean square error of the logits over the root mean square of the clear reading's.
"""
_POLICY = """
Policies: "auto" is the default, whose rings and precision the planner picks; "ringN" has one ring of N bits. "ring32"
takes a margin of 2 on the observed ranges, where the others take 4, and the fraction bits with the least error. Signs
leave out the bits below an activation's resolution; "exact32" is "ring32" comparing all bits, "windowed" comparing 20.
"""
_PEERS = """
The peers ran in the same run on the same two cores, one for each party, in network namespaces and without encryption.
Scheduling: {scheduling}; ours ordinary. It matters to CrypTen, which waits for many small messages: with real-time
scheduling its LeNet-5 with ReLU takes less than half as long as with the ordinary one, and ResNet-18 about six tenths
online. CrypTen's first party deals, so its "whole" includes making the randomness and "online" does not. The peers have
the same kind of activation as our net beside them, and ReLU nets the same pools. Numbers in brackets say how many times
as long as ours online they take.
"""
_RELU = """
One ReLU of many values. "End to end" is a whole prediction by three processes on loopback, which also masks and sends
the input, multiplies once and reveals the answer; "around" is the same without the ReLU. Bytes online are those of the
ReLU, both ways; key bytes are what a dealer makes for a party. "Dealt" counts everything that making and storing the
material takes at all three parties. The peers start and end with shares: compare them with end to end less around.
"""
_OFFLINE = """
Registration happens once per model and client; dealing and priming are given for one bundle: the first one after a
start ("first", with the expansion of the dealer's matrices) and each of several ("more", always over loopback). Where a
registration and a bundle would take more than a minute on a link, loopback's time stands in brackets. "M/s" are
millions of activations that material is made for in a second, at all parties. "Kept" is what both parties store of a
bundle until it is used; "key B" what the party with more gets from the dealer for one ReLU.
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
    quartics = results.cases(activation="quartic")
    largest = max((row["largest_activation_input"] for row in quartics), default=0.0)
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
    if not results.cases():
        return
    yield "\n## Online\n"
    yield _POLICY
    for activation, title in _KINDS:
        rows = results.cases(activation=activation)
        if rows:
            yield f"\n### {title}\n"
            head = ("net", "policy", "k", "link", *_ONLINE)
            yield from _table(head, [_online_row(row) for row in rows], 4)
    yield (
        "\nk lists the rings of the plan; least is the fastest run; cold runs read both parties' material from the "
        "disk as they go, and disk alone is what reading it takes at the rate measured there; predicted is what the "
        "bill says with this machine's measured rates; nRMSE and class are over simulated runs of several inputs "
        "where there are more of these than of predictions; PyTorch is one plain inference with one thread, in ms."
    )


_ONLINE = (
    "ms",
    "least",
    "cold",
    "disk alone",
    "predicted",
    "steps",
    "MB up",
    "MB down",
    "nRMSE",
    "same class",
    "PyTorch",
)
_KINDS = (("relu", "ReLU"), ("quartic", "Quartic"))


def _rings(row: Row) -> str:
    return "/".join(str(k) for k in row["rings"])


def _online_row(row: Row) -> tuple[object, ...]:
    o = row["online"]
    cold = row.get("cold") or {"median": None, "disk_seconds": None}
    times = (_ms(o["median"]), _ms(o["least"]), _ms(cold["median"]), _ms(cold["disk_seconds"]))
    sizes = (_mb(o["bytes_client"]), _mb(o["bytes_server"]))
    accuracy = row.get("accuracy") or {**o, "inputs": len(o["runs"])}
    same = f"{accuracy['argmax_equal']} of {accuracy['inputs']}"
    plain = _ms(row["plain_torch_seconds"]["1"])
    named = (row["net"], row["policy"], _rings(row), row["link"])
    return (
        *named,
        *times,
        _ms(row["predicted_seconds"]),
        o["one_way_steps"],
        *sizes,
        f"{accuracy['nrmse']:.1e}",
        same,
        plain,
    )


def _offline(results: Results) -> Iterator[str]:
    rows = results.cases()
    if not rows:
        return
    yield "\n## Before the query\n"
    yield _OFFLINE
    head = ["net", "policy", "link", "register s", "MB", "deal s, first", "more", "M/s", "MB", "prime s, first", "more"]
    for activation, title in _KINDS:
        rows = results.cases(activation=activation)
        if rows:
            yield f"\n### {title}\n"
            yield from _table([*head, "MB", "kept MB", "key B"], [_offline_row(row) for row in rows], 3)


def _offline_row(row: Row) -> tuple[object, ...]:
    first, more = row["offline"], row["offline_more"]
    cells: list[str] = []
    for phase in ("register", "deal", "prime"):
        shown = f"{first[phase]['seconds']:.2f}"
        cells.append(shown if row["offline_link"] == row["link"] else f"({shown})")
        cells += [f"{more[phase]['seconds']:.2f}"] if phase != "register" else []
        cells += [f"{row['evaluations'] / more[phase]['seconds'] / 1e6:.2f}"] if phase == "deal" else []
        cells.append(_mb(first[phase]["bytes"]))
    kept = _mb(sum(row["material_bytes"].values()))
    keys = f"{max(row['key_bytes'].values()):.0f}" if row["relus"] else "-"
    return (row["net"], row["policy"], row["link"], *cells, kept, keys)


def _peers(results: Results) -> Iterator[str]:
    rows = [row for row in results.cases() if _peer_cells(results, row) != ["-"] * len(_SHOWN)]
    if not rows:
        return
    yield "\n## Beside CrypTen and SPU\n"
    measured: list[Row] = (results.nets or {})["peers"]
    yield _PEERS.format(scheduling=", ".join(sorted({f"{row['system']} {row['scheduling']}" for row in measured})))
    head = ("net", "activation", "policy", "link", "ours, ms", *(f"{system} {part}" for system, part in _SHOWN))
    cells = [
        (r["net"], r["activation"], r["policy"], r["link"], _ms(r["online"]["median"]), *_peer_cells(results, r))
        for r in rows
    ]
    yield from _table(head, cells, 4)
    for row in (row for row in measured if "failed" in row):
        yield f"- {row['system']}, {row['net']} with {row['activation']}, {row['link']}: failed ({row['failed']})"


_SHOWN = (("CrypTen", "whole"), ("CrypTen", "online"), ("SPU Semi2k", "whole"))
_THEIR_NAMES = {"relu": "relu", "quartic": "poly4"}


def _peer_cells(results: Results, row: Row) -> list[str]:
    cells = []
    for system, part in _SHOWN:
        found = peer_row(results, row["net"], row["link"], system, _THEIR_NAMES[row["activation"]], part)
        times = "-" if found is None else f"{_ms(found['seconds'])} ({found['seconds'] / row['online']['median']:.1f})"
        cells.append(times)
    return cells


def _relu(results: Results) -> Iterator[str]:
    relu = results.relu
    if relu is None:
        return
    yield "\n## ReLU by itself\n"
    yield _RELU
    head = (
        "values",
        "policy",
        "k",
        "end to end, ms",
        "least",
        "around",
        "B online",
        "key B, client",
        "server",
        "dealt M/s",
    )
    yield from _table(head, [_end_row(row) for row in relu["ends"]], 0)
    rows = [
        (f"2^{r['net'].removeprefix('relu')}", r["system"], r["part"], _ms(r["seconds"]), f"{r['megabytes']:.1f}")
        for r in relu["peers"]
        if "seconds" in r
    ]
    yield from _table(("values", "peer", "part", "ms", "MB"), rows, 3) if rows else ()
    yield "\nOne core, fastest call; a dealer's work for one ReLU is the key and the words of the selection:\n"
    speeds = [
        (r["tier"], r["work"], r["bits"], f"{r['keys']:,}", f"{r['rate'] / 1e6:.2f}", f"{r['median_rate'] / 1e6:.2f}")
        for r in relu["kernels"]
    ]
    yield from _table(("tier", "work", "bits", "keys", "M/s", "median"), speeds, 2)


def _end_row(row: Row) -> tuple[object, ...]:
    times = (_ms(row[k]) for k in ("seconds", "least_seconds", "around_seconds"))
    sizes = (row["online_bytes_per_relu"], row["key_bytes"]["client"], row["key_bytes"]["server"])
    dealt = f"{row['dealt_per_second'] / 1e6:.2f}"
    return (f"{row['values']:,}", row["policy"], row["ring"], *times, *(f"{size:.2f}" for size in sizes), dealt)


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


def _answers(results: Results) -> Iterator[str]:
    found = results.answers
    if found is None:
        return
    yield "\n## Answers of nets too large to stock\n"
    yield (
        "\nOne bundle at a time, every party started anew for each input, no timing of note: other work may have run "
        "beside it. Memory is what each party had resident at most, dealing and running."
    )
    cases: dict[tuple[str, str, str], list[Row]] = {}
    for row in found["answers"]:
        cases.setdefault((row["net"], row["activation"], row["policy"]), []).append(row)
    head = ("net", "activation", "policy", "k", "inputs", "same class", "nRMSE, worst", "material GB", "dealt s")
    parties = ("client", "server", "dealer")
    lines = []
    for case, rows in cases.items():
        peaks = (f"{max(row['peak_bytes'][party] for row in rows) / 1e9:.1f}" for party in parties)
        facts = (
            sum(row["argmax_equal"] for row in rows),
            f"{max(row['nrmse'] for row in rows):.1e}",
            f"{rows[0]['material_bytes'] / 1e9:.1f}",
            f"{max(row['deal_seconds'] for row in rows):.0f}",
        )
        lines.append((*case, _rings(rows[0]), len(rows), *facts, *peaks))
    yield from _table((*head, *(f"{party} GB" for party in parties)), lines, 3)


def page(results: Results) -> str:
    """The whole page as Markdown."""
    parts = (_machine, _targets, _online, _answers, _peers, _relu, _offline, _kernels, _activations)
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
    results = Results(*(_load(folder, name) for name in ("nets", "kernels", "activation_error", "relu", "answers")))
    out.write_text(page(results), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
