"""What the project set out to reach, beside what was measured: one row a target, from the results of the benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from relu_targets import check_relu
from results import Results, Row, Target, at_least, at_most, peer_ratio, peer_row

__all__ = ["check"]


def check(results: Results) -> list[Target]:
    """Every target that the results speak about."""
    parts: tuple[Callable[[Results], Iterator[Target]], ...] = (
        _kernels,
        _traffic,
        _loopback,
        _ratios,
        _links,
        check_relu,
        _truth,
    )
    return [target for part in parts for target in part(results)]


def _kernels(results: Results) -> Iterator[Target]:
    rows = {(row["kernel"], row["size"]): row for row in (results.kernels or {}).get("rows", [])}
    product, convolution = rows.get(("matmul", "1024 x 1024 x 1024")), rows.get(("conv2d", "1 x 64 x 32^2, 3 x 3"))
    if product:
        yield at_least("64-bit ring product, 1024^3, one core", 18, product["rate"] / 1e9, "GMAC/s")
    if product and product.get("speedup"):
        yield at_least("the same against torch's int64 in the same run", 1.5, product["speedup"], "times")
    for kernel, size in (("matmul", "512 x 512 x 512"), ("conv2d", "1 x 64 x 56^2, 3 x 3")):
        wide, half = rows.get((kernel, size)), rows.get((f"{kernel} 32", size))
        if wide and half:
            ratio = half["rate"] / wide["rate"]
            yield at_least(f"32-bit words against 64-bit ones, {kernel} {size}, one core", 1.8, ratio, "times")
    if convolution:
        yield at_least("64 to 64 channels, 3x3 at 32x32, one core", 14, convolution["rate"] / 1e9, "GMAC/s")


def _traffic(results: Results) -> Iterator[Target]:
    rows = results.cases(activation="quartic")
    if not rows:
        return
    # the masked input goes first and the answer last: two steps that belong to no activation layer
    steps = max((row["online"]["one_way_steps"] - 2) / row["activation_layers"] for row in rows)
    yield at_most("one-way steps per quartic layer, online", 2, steps, "steps")
    excess = max(_bytes_over(row) for row in rows)
    yield Target(
        "bytes per quartic online, each way",
        "at most k bits and the frame's header",
        "k bits" if excess <= 1 else f"{excess:.2f} times that",
        excess <= 1,
    )
    billed = all(row["online"]["as_billed"] for row in results.cases())
    yield Target("weight bytes per query", "0", "0" if billed else "unknown", billed)
    material = max((_material(row) for row in rows), key=lambda pair: pair[0] / pair[1])
    yield Target(
        "material per quartic, both parties",
        "at most 128 B and 2 k bits, linear outputs apart",
        f"{material[0]:.1f} B of {material[1]:.1f}",
        material[0] <= material[1],
    )


def _bytes_over(row: Row) -> float:
    """Bytes of the busier direction over k bits for each activation and the frames' headers; k is the widest ring.

    The input and the answer, which belong to no activation, are taken off first.
    """
    online = row["online"]
    allowed = row["evaluations"] * max(row["rings"]) / 8 + 8 * row["activation_layers"]
    sent = max(online["bytes_client"] - row["input_bytes"], online["bytes_server"] - row["answer_bytes"])
    return float(sent / allowed)


def _material(row: Row) -> tuple[float, float]:
    """Bytes kept for a run per activation, and what is allowed."""
    return sum(row["material_bytes"].values()) / row["evaluations"], 128 + 2 * max(row["rings"]) / 8


def _loopback(results: Results) -> Iterator[Target]:
    limits = {"lenet5": 0.010, "minionn": 0.025, "resnet32": 0.060, "vgg16": 0.090, "resnet18": 0.110, "resnet50": 1.5}
    for net, limit in limits.items():
        yield at_most(f"{net} with quartics online, loopback", limit, results.online(net), "ms", 1e3, 1)
    for row in results.cases(net="resnet50", link="loopback", activation="quartic", policy="auto"):
        most = max(row["online"]["bytes_client"], row["online"]["bytes_server"]) / 1e6
        yield at_most("resnet50 with quartics online, each way", 90, most, "MB", 1, 1)


def _ratios(results: Results) -> Iterator[Target]:
    ours = results.online("resnet18")
    for activation, part, factor in (("relu", "online", 7), ("relu", "whole", 12), ("poly4", "online", 4)):
        theirs = peer_row(results, "resnet18", "loopback", "CrypTen", activation, part)
        name = {"relu": "ReLU", "poly4": "a quartic"}[activation]
        yield peer_ratio(f"resnet18 with quartics against CrypTen with {name}, {part}", factor, theirs, ours)


def _links(results: Results) -> Iterator[Target]:
    for policy, limit in (("auto", 1.4), ("ring64", 1.8)):
        rows = results.cases(net="resnet18", link="wan", activation="quartic", policy=policy)
        row = rows[0] if rows else None
        rings = f"k = {max(row['rings'])}" if row else policy
        measured = row["online"]["median"] if row else None
        yield at_most(f"resnet18 with quartics online, 100 Mbit/s and 40 ms, {rings}", limit, measured, "s", 1, 2)
    what = "any net, any link: (online - loopback) / (trips x RTT + bytes / bandwidth)"
    factors = [(_link_factor(results, row), row) for row in results.cases()]
    if factors:
        worst, row = max(factors, key=lambda pair: pair[0])
        where = f"{worst:.2f} ({row['net']}, {row['activation']}, {row['link']}, k = {max(row['rings'])})"
        yield Target(what, "at most 1.3", where, worst <= 1.3)


def _link_factor(results: Results, row: Row) -> float:
    near = results.online(row["net"], "loopback", row["activation"], row["policy"])
    line = row["online"]["link_seconds"]
    return (row["online"]["median"] - near) / line if line and near else 0.0


def _truth(results: Results) -> Iterator[Target]:
    if results.activations:
        found, limit = results.activations["rings"], results.activations["bound"]
        largest, count = max(row["largest"] for row in found), sum(row["count"] for row in found)
        yield at_most("activation error, f = 16, inputs within 8", limit, largest, "units in the last place", 1, 2)
        gross = sum(row["gross"] for row in found)
        yield Target("gross errors", "none in 1e8 activations", f"{gross} in {count:.2g}", gross == 0 and count >= 1e8)
    for label, rows in (("the default policy", results.cases(policy="auto")), ("any policy", results.cases())):
        if rows:
            worst = max(rows, key=lambda row: float(row["online"]["nrmse"]))
            error = worst["online"]["nrmse"]
            where = f"{error:.1e} ({worst['net']}, {worst['activation']}, {worst['policy']})"
            yield Target(f"logits against the clear reading, nRMSE, {label}", "at most 1e-3", where, error <= 1e-3)
    if rows := results.cases():
        billed = all(r["online"]["as_billed"] and r["offline"]["as_billed"] for r in rows)
        yield Target("bill against metered bytes, every phase", "equal", "equal" if billed else "different", billed)
