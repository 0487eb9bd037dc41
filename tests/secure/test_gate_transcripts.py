"""What each party sees of gates: uniform, run by run and against each other, and the same for any two inputs.

Every message and every stored part of a net of ReLUs, maxima and a label, over many runs on one input. The tests are
deterministic: seeds are injected. Each statistic is a chi-square at a significance of about 1e-6 (Wilson and Hilferty's
approximation); the controls show that broken masks lie far beyond.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from tacit.corr.bundle import Seeds
from tacit.front.labels import with_labels
from tacit.ir.graph import Attr
from tacit.net.frame import Kind
from tacit.net.memory import pair
from tacit.net.record import record
from tacit.plan.plan import Plan
from tacit.ring.prg import Seed
from tacit.run import material
from tacit.run.simulate import simulate
from tacit.secure import labels
from tacit.secure.share import CLIENT, SERVER
from tacit.testing.graphs import Sketch, pinned, plan_for, policy_for

RUNS, Z = 24, 4.9
#: Bytes of every message or part by name, [runs, size].
Views = dict[str, np.ndarray]
POLICIES: dict[str, dict[str, Any]] = {
    "values": {"ring": 40},
    "labels": {"ring": 64, "rounding": "exact", "reveal": "argmax"},
    "windows": {"ring": 44, "window": 12, "tie": "poszero"},
}


@cache
def planned(name: str) -> Plan:
    """Two ReLUs of one shape, a pool by 2 x 3, a linear layer, and a label where the policy says so."""
    chosen = dict(POLICIES[name])
    policy = policy_for("dealer", chosen.pop("ring"), **chosen)
    s = Sketch(1)
    y = s.op("relu", s.conv(s.op("relu", s.conv(s.input(4, 2, 6, 6), 4)), 4))
    for axis, kernel in ((2, 2), (3, 3)):
        attrs: dict[str, Attr] = {"kernel": kernel, "stride": kernel, "padding": 0, "dilation": 1}
        y = s.op("max", y, attrs={**attrs, "axis": axis, "windows": 6 // kernel})
    graph = s.graph(s.linear(s.flat(y), 8))
    graph = with_labels(graph, policy.labels) if policy.labels else graph
    edge = np.random.default_rng(0).normal(size=(4, 2, 6, 6)) + 3.0
    return pinned(plan_for(graph, policy, [edge]))


def seed(*parts: object) -> Seed:
    return Seed(hashlib.sha256(repr(parts).encode()).digest()[:16])


def uniform_part(plan: Plan, label: str, raw: np.ndarray) -> np.ndarray:
    """A stored part without the bits that are zero by definition: the lowest of each seed correction of a tree."""
    site, _, kind = label.partition("/")
    if kind not in ("sign", "carry"):
        return raw
    step = plan.steps[int(site)]
    low, high = step.attrs["bits"]
    depth = max((step.attrs["shift"] if kind == "carry" else high - low - 1) - 7, 0)
    size = depth * plan.wires[step.inputs[0]].count * 16
    rows = raw[:size].reshape(-1, 16)
    assert not (rows[:, 0] & 1).any()
    return np.concatenate([rows[:, 1:].reshape(-1), raw[size:]])


def one_run(plan: Plan, x: np.ndarray, *name: object) -> Iterator[tuple[str, np.ndarray]]:
    seeds = Seeds(seed(*name, "client"), seed(*name, "server"))
    registration, channels = seed(*name, "registration"), pair()
    tap = record(channels[0], keep=True)
    simulate(plan, x, seeds=seeds, registration=registration, channels=channels)
    frames = [f for f in tap.frames if f.kind is Kind.DATA]
    for number, frame in enumerate(frames):
        yield f"message {number} {frame.direction}", np.frombuffer(frame.payload, np.uint8)
    matrices = material.matrices(plan, registration)
    for rank, party in ((CLIENT, "client"), (SERVER, "server")):
        for label, part in material.deal(plan, seeds, rank, matrices).items():
            raw = np.frombuffer(memoryview(part).cast("B"), np.uint8)
            yield f"{party}'s {label}", uniform_part(plan, label, raw)


def views(plan: Plan, x: np.ndarray, name: str) -> Views:
    seen: dict[str, list[np.ndarray]] = defaultdict(list)
    for run in range(RUNS):
        for kind, data in one_run(plan, x, name, run):
            seen[kind].append(data)
    return {kind: np.stack(rows) for kind, rows in seen.items()}


def inputs(plan: Plan) -> dict[str, np.ndarray]:
    shape = plan.inputs[0].shape
    return {"zeros": np.zeros(shape), "threes": np.full(shape, 3.0), "minus": np.full(shape, -3.0)}


@cache
def seen_by(name: str, which: str) -> Views:
    plan = planned(name)
    return views(plan, inputs(plan)[which], which)


# Statistics, each in standard deviations


def score(chi: float, freedom: int) -> float:
    spread = 2 / (9 * freedom)
    return float(((chi / freedom) ** (1 / 3) - (1 - spread)) / np.sqrt(spread))


def bytes_score(data: np.ndarray) -> float:
    """Of byte values, over all runs together."""
    count = np.bincount(data.reshape(-1), minlength=256).astype(float)
    expected = count.sum() / 256
    return score(float(((count - expected) ** 2 / expected).sum()), 255) if expected > 5 else 0.0


def ones(data: np.ndarray) -> np.ndarray:
    """How often each bit of the message is one; padding, which is always zero, left out."""
    total = np.unpackbits(data, axis=1, bitorder="little").sum(0, dtype=np.int64)
    padding = 0
    while padding < 7 and total[-1 - padding] == 0:
        padding += 1
    return total[: len(total) - padding]


def bits_score(data: np.ndarray) -> float:
    """Of each bit's frequency over the runs."""
    total = ones(data)
    return score(float(((total - RUNS / 2) ** 2 / (RUNS / 4)).sum()), len(total))


def difference_score(a: np.ndarray, b: np.ndarray) -> float:
    """Of each bit's frequency in two samples."""
    p, q = ones(a), ones(b)
    size = min(len(p), len(q))
    return score(float((((p[:size] - q[:size]) ** 2) / (RUNS / 2)).sum()), size)


def together(kinds: Views) -> Iterator[tuple[str, np.ndarray]]:
    """The exclusive or of any two messages of one length: zero or structured, had they shared a mask."""
    for (first, a), (second, b) in combinations(kinds.items(), 2):
        if a.shape == b.shape:
            yield f"{first} with {second}", a ^ b


@pytest.mark.parametrize("name", POLICIES)
def test_every_message_is_uniform_alone_and_in_pairs(name: str) -> None:
    plan = planned(name)
    kinds = {label.partition("/")[2] for rank in (0, 1) for label, _ in material.dealt_parts(plan)[rank]}
    assert kinds >= {"sign", "select"} | ({"carry", "bits"} if name == "labels" else set())
    for which in inputs(plan):
        seen = seen_by(name, which)
        assert sum(kind.startswith("message") for kind in seen) > 15
        for kind, data in [*seen.items(), *together(seen)]:
            assert abs(bytes_score(data)) < Z, f"{kind} is not uniform for {which}"
            assert abs(bits_score(data)) < Z, f"{kind} has a biased bit for {which}"


@pytest.mark.parametrize("name", POLICIES)
def test_no_message_tells_two_inputs_apart(name: str) -> None:
    seen = {which: seen_by(name, which) for which in inputs(planned(name))}
    for first, second in combinations(seen, 2):
        assert seen[first].keys() == seen[second].keys()
        for kind, data in seen[first].items():
            other = seen[second][kind]
            assert data.shape == other.shape, f"the length of {kind} tells {first} from {second}"
            assert abs(difference_score(data, other)) < Z, f"{kind} tells {first} from {second}"


def broken(monkeypatch: pytest.MonkeyPatch, domains: set[int], site: int | None) -> None:
    """Masks of these domains are all ones and zeros by turns, or the same at every step."""
    plain = Seed.uniform

    def weak(self: Seed, domain: int, at: int, shape: tuple[int, ...], ring: int, *, threads: int = 1) -> np.ndarray:
        if domain not in domains:
            return plain(self, domain, at, shape, ring, threads=threads)
        return (
            np.full(shape, 12345 % (1 << ring), np.uint64) if site is None else plain(self, domain, site, shape, ring)
        )

    monkeypatch.setattr(Seed, "uniform", weak)


def test_signs_without_their_mask_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """r_d constant: the two messages of a sign test show the sign, each alone still looks random."""
    plan = planned("values")
    broken(monkeypatch, {labels.SIGN_CLIENT, labels.SIGN_SERVER}, None)
    seen = views(plan, inputs(plan)["threes"], "threes")
    worst = max(((bits_score(data), kind) for kind, data in together(seen)), default=(0.0, ""))
    assert worst[0] > 4 * Z
    assert worst[1].count("message") == 2


def test_one_mask_at_two_openings_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned("values")
    broken(monkeypatch, {labels.OPEN_CLIENT, labels.OPEN_SERVER}, 99)
    seen = views(plan, inputs(plan)["zeros"], "zeros")
    assert all(abs(bytes_score(data)) < Z for kind, data in seen.items() if "received" in kind)
    assert max(bits_score(data) for kind, data in together(seen) if kind.count("received") == 2) > 2 * Z


def test_an_opening_without_its_mask_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned("values")
    broken(monkeypatch, {labels.OPEN_CLIENT, labels.OPEN_SERVER}, None)
    threes, zeros = (views(plan, inputs(plan)[which], which) for which in ("threes", "zeros"))
    assert max(bits_score(data) for data in threes.values()) > 4 * Z
    assert max(difference_score(data, zeros[kind]) for kind, data in threes.items()) > 4 * Z
