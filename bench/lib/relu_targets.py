"""The targets of exact ReLU: bytes, keys, speed by itself, and nets that have it."""

from __future__ import annotations

from collections.abc import Iterator

from results import Results, Row, Target, at_least, at_most, peer_ratio, peer_row

__all__ = ["check_relu"]

#: Online milliseconds over loopback, a net's fastest policy.
_LIMITS = {"minionn": 0.040, "resnet32": 0.090, "vgg16": 0.150, "resnet50": 4.0}


def check_relu(results: Results) -> Iterator[Target]:
    """Every target about ReLU that the results speak about."""
    if results.relu is not None:
        yield from _alone(results.relu)
        yield from _speeds(results.relu)
    if results.cases(activation="relu"):
        yield from _nets(results)


def _largest(relu: Row, policy: str) -> Row | None:
    """The end-to-end row of a policy with the most values."""
    rows = [row for row in relu["ends"] if row["policy"] == policy]
    return max(rows, key=lambda row: int(row["values"]), default=None)


def _alone(relu: Row) -> Iterator[Target]:
    for policy, bits, limit in (("ring32", 32, 8.5), ("ring64", 64, 16.5)):
        row = _largest(relu, policy)
        sent = row["online_bytes_per_relu"] if row else None
        yield at_most(f"bytes per ReLU online, both ways, k = {bits}", limit, sent, "B", 1, 2)
    for policy, name, limit in (("exact32", "k = 32, exact", 450), ("windowed", "windowed, w = 20", 260)):
        row = _largest(relu, policy)
        keys = max(row["key_bytes"].values()) if row else None
        yield at_most(f"key bytes per ReLU and party, {name}", limit, keys, "B", 1, 1)
    row = next((r for r in relu["ends"] if (r["policy"], r["values"]) == ("ring32", 1 << 20)), None)
    note = f" ({1e3 * (row['seconds'] - row['around_seconds']):.0f} without the input and the answer)" if row else ""
    yield at_most("2^20 ReLUs end to end, k = 32", 0.150, row["seconds"] if row else None, "ms", 1e3, 0, note)


def _speeds(relu: Row) -> Iterator[Target]:
    """The comparison and the dealer on one core, with keys in memory."""
    by_size = sorted(relu["kernels"], key=lambda r: int(r["keys"]))
    rates = {(r["work"], r["tier"]): r["rate"] / 1e6 for r in by_size}
    cached = {(r["work"], r["tier"]): r["rate"] / 1e6 for r in reversed(by_size)}
    for tier, name, limit in (("avx512", "VAES", 25), ("avx2", "AES-NI", 8)):
        case = "sign", tier
        note = f" ({cached[case]:.1f} with keys in cache)" if case in cached else ""
        yield at_least(f"sign tests, 31 bits, {name}, one core", limit, rates.get(case), "M/s", note)
    dealt = [rate for (work, _), rate in rates.items() if work == "deal"]
    yield at_least("keys that a dealer makes, one core", 5, max(dealt, default=None), "M/s")


def _nets(results: Results) -> Iterator[Target]:
    ours = results.online("resnet18", activation="relu", policy="ring32")
    yield at_most("resnet18 with ReLU, k = 32, loopback", 0.170, ours, "ms", 1e3, 1)
    yield at_most("the same, further goal", 0.110, ours, "ms", 1e3, 1)
    for system, part, factor in (("CrypTen", "online", 4.5), ("CrypTen", "whole", 8), ("SPU Semi2k", "whole", 60)):
        theirs = peer_row(results, "resnet18", "loopback", system, "relu", part)
        what = f"resnet18 with ReLU, k = 32, against {system} with ReLU, {part}"
        yield peer_ratio(what, factor, theirs, ours)
    for net, limit in _LIMITS.items():
        rows = results.cases(net=net, link="loopback", activation="relu")
        row = min(rows, key=lambda r: float(r["online"]["median"]), default=None)
        note = f" ({row['policy']})" if row else ""
        measured = row["online"]["median"] if row else None
        yield at_most(f"{net} with ReLU, its fastest policy, loopback", limit, measured, "ms", 1e3, 1, note)
    far = results.online("resnet18", "wan", "relu", "ring32")
    yield at_most("resnet18 with ReLU, k = 32, 100 Mbit/s and 40 ms", 1.6, far, "s", 1, 2)
