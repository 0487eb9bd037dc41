"""What the project set out to reach, beside what was measured: one row a target, from the results of the benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Results", "Row", "Target", "check", "peer_seconds"]

Row = dict[str, Any]


@dataclass(frozen=True)
class Results:
    """The JSON files by name: `nets`, `kernels`, `activations`; None where one was not made."""

    nets: Row | None = None
    kernels: Row | None = None
    activations: Row | None = None

    def cases(self, net: str | None = None, link: str | None = None, ring: str | None = None) -> list[Row]:
        """The cases of nets that match; all if nothing is given."""
        wanted = {"net": net, "link": link, "ring": ring}
        rows: list[Row] = self.nets["nets"] if self.nets else []
        return [row for row in rows if all(v is None or row[k] == v for k, v in wanted.items())]

    def online(self, net: str, link: str = "loopback", ring: str = "auto") -> float | None:
        """Median online seconds of a case, None if it was not measured."""
        return next((row["online"]["median"] for row in self.cases(net, link, ring)), None)


@dataclass(frozen=True)
class Target:
    """One row: what, how much of it was wanted, what was measured, and whether that is enough (None: not measured)."""

    what: str
    wanted: str
    measured: str
    met: bool | None


def check(results: Results) -> list[Target]:
    """Every target that the results speak about."""
    parts: tuple[Callable[[Results], Iterator[Target]], ...] = (_kernels, _traffic, _loopback, _ratios, _links, _truth)
    return [target for part in parts for target in part(results)]


def peer_seconds(results: Results, net: str, link: str, system: str, activation: str, part: str) -> float | None:
    """Median seconds of a peer, None if it was not measured."""
    wanted = {"net": net, "link": link, "system": system, "activation": activation, "part": part}
    rows: list[Row] = results.nets["peers"] if results.nets else []
    return next((r["seconds"] for r in rows if "seconds" in r and all(r[k] == v for k, v in wanted.items())), None)


def _at_most(what: str, limit: float, value: float | None, unit: str, scale: float = 1.0, digits: int = 0) -> Target:
    shown = "not measured" if value is None else f"{value * scale:.{digits}f} {unit}"
    return Target(
        what, f"at most {limit * scale:g} {unit}".strip(), shown.strip(), None if value is None else value <= limit
    )


def _at_least(what: str, limit: float, value: float | None, unit: str) -> Target:
    shown = "not measured" if value is None else f"{value:.1f} {unit}"
    return Target(what, f"at least {limit:g} {unit}", shown, None if value is None else value >= limit)


def _kernels(results: Results) -> Iterator[Target]:
    rows = {(row["kernel"], row["size"]): row for row in (results.kernels or {}).get("rows", [])}
    product, convolution = rows.get(("matmul", "1024 x 1024 x 1024")), rows.get(("conv2d", "1 x 64 x 32^2, 3 x 3"))
    if product:
        yield _at_least("64-bit ring product, 1024^3, one core", 18, product["rate"] / 1e9, "GMAC/s")
    if product and product.get("speedup"):
        yield _at_least("the same against torch's int64 in the same run", 1.5, product["speedup"], "times")
    for kernel, size in (("matmul", "512 x 512 x 512"), ("conv2d", "1 x 64 x 56^2, 3 x 3")):
        wide, half = rows.get((kernel, size)), rows.get((f"{kernel} 32", size))
        if wide and half:
            ratio = half["rate"] / wide["rate"]
            yield _at_least(f"32-bit words against 64-bit ones, {kernel} {size}, one core", 1.8, ratio, "times")
    if convolution:
        yield _at_least("64 to 64 channels, 3x3 at 32x32, one core", 14, convolution["rate"] / 1e9, "GMAC/s")


def _traffic(results: Results) -> Iterator[Target]:
    rows = results.cases()
    if not rows:
        return
    # the masked input goes first and the answer last: two steps that belong to no activation layer
    steps = max((row["online"]["one_way_steps"] - 2) / row["activation_layers"] for row in rows)
    yield _at_most("one-way steps per activation layer, online", 2, steps, "steps")
    excess = max(_bytes_over(row) for row in rows)
    yield Target(
        "bytes per activation online, each way",
        "at most k bits and the frame's header",
        "k bits" if excess <= 1 else f"{excess:.2f} times that",
        excess <= 1,
    )
    yield Target("weight bytes per query", "0", "0" if all(r["online"]["as_billed"] for r in rows) else "unknown", True)
    material = max((_material(row) for row in rows), key=lambda pair: pair[0] / pair[1])
    yield Target(
        "material per activation, both parties",
        "at most 128 B and 2 k bits, linear outputs apart",
        f"{material[0]:.1f} B of {material[1]:.1f}",
        material[0] <= material[1],
    )


def _bytes_over(row: Row) -> float:
    """Bytes of the busier direction over k bits for each activation and the frames' headers; k is the widest ring.

    The input and the answer, which belong to no activation, are taken off first.
    """
    online = row["online"]
    allowed = row["activations"] * max(row["rings"]) / 8 + 8 * row["activation_layers"]
    sent = max(online["bytes_client"] - row["input_bytes"], online["bytes_server"] - row["answer_bytes"])
    return float(sent / allowed)


def _material(row: Row) -> tuple[float, float]:
    """Bytes kept for a run per activation, and what is allowed."""
    return sum(row["material_bytes"].values()) / row["activations"], 128 + 2 * max(row["rings"]) / 8


def _loopback(results: Results) -> Iterator[Target]:
    limits = {"lenet5": 0.010, "minionn": 0.025, "resnet32": 0.060, "vgg16": 0.090, "resnet18": 0.110, "resnet50": 1.5}
    for net, limit in limits.items():
        yield _at_most(f"{net} online, loopback", limit, results.online(net), "ms", 1e3, 1)
    for row in results.cases("resnet50", "loopback", "auto"):
        most = max(row["online"]["bytes_client"], row["online"]["bytes_server"]) / 1e6
        yield _at_most("resnet50 online, each way", 90, most, "MB", 1, 1)


def _ratios(results: Results) -> Iterator[Target]:
    ours = results.online("resnet18")
    for activation, part, factor in (("relu", "online", 7), ("relu", "whole", 12), ("poly4", "online", 4)):
        theirs = peer_seconds(results, "resnet18", "loopback", "CrypTen", activation, part)
        ratio = theirs / ours if ours and theirs else None
        name = {"relu": "ReLU", "poly4": "a quartic"}[activation]
        yield _at_least(f"resnet18 against CrypTen with {name}, {part}, same run", factor, ratio, "times as fast")


def _links(results: Results) -> Iterator[Target]:
    for ring, limit in (("auto", 1.4), ("64", 1.8)):
        name = "k = 40" if ring == "auto" else "k = 64"
        yield _at_most(
            f"resnet18 online, 100 Mbit/s and 40 ms, {name}", limit, results.online("resnet18", "wan", ring), "s", 1, 2
        )
    what = "any net, any link: (online - loopback) / (trips x RTT + bytes / bandwidth)"
    factors = [(_link_factor(results, row), row) for row in results.cases()]
    if factors:
        worst, row = max(factors, key=lambda pair: pair[0])
        where = f"{worst:.2f} ({row['net']}, {row['link']}, k = {max(row['rings'])})"
        yield Target(what, "at most 1.3", where, worst <= 1.3)


def _link_factor(results: Results, row: Row) -> float:
    near = results.online(row["net"], ring=row["ring"])
    line = row["online"]["link_seconds"]
    return (row["online"]["median"] - near) / line if line and near else 0.0


def _truth(results: Results) -> Iterator[Target]:
    if results.activations:
        found, limit = results.activations["rings"], results.activations["bound"]
        largest, count = max(row["largest"] for row in found), sum(row["count"] for row in found)
        yield _at_most("activation error, f = 16, inputs within 8", limit, largest, "units in the last place", 1, 2)
        gross = sum(row["gross"] for row in found)
        yield Target("gross errors", "none in 1e8 activations", f"{gross} in {count:.2g}", gross == 0 and count >= 1e8)
    rows = results.cases()
    if rows:
        worst = max(row["online"]["nrmse"] for row in rows)
        yield Target("logits against the clear reading, nRMSE", "at most 1e-3", f"{worst:.1e}", worst <= 1e-3)
        billed = all(r["online"]["as_billed"] and r["offline"]["as_billed"] for r in rows)
        yield Target("bill against metered bytes, every phase", "equal", "equal" if billed else "different", billed)
