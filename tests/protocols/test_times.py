"""Products of two secrets against plain integers mod 2^k, at both parties' real kernels; what each sees is uniform."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacit.corr.bundle import Seeds
from tacit.front.clear import run_clear
from tacit.net.frame import Kind
from tacit.net.memory import pair
from tacit.net.record import record
from tacit.plan.plan import Plan
from tacit.protocols.fss.times import cross
from tacit.ring import bits
from tacit.ring.prg import Seed
from tacit.run import material
from tacit.run.simulate import simulate
from tacit.secure import labels
from tacit.secure.multiply import multiply
from tacit.secure.protocol import load_protocol
from tacit.secure.session import Session, Step
from tacit.secure.share import CLIENT, SERVER, Share, Wire, Words
from tacit.testing.graphs import Sketch, nrmse, pinned, plan_for, policy_for
from tacit.testing.protocols import check_bill

SEEDS = Seeds(Seed(bytes([7] * 16)), Seed(bytes([9] * 16)))
X_SITE, Y_SITE, SITE = 3, 4, 5


def session(
    reading: Any, rank: int, op: str, inputs: tuple[int, int], taken: Mapping[str, Any] | None = None
) -> Session:
    """One party's session at a product of the values opened at the sites `inputs`."""
    seeds = SEEDS if reading == "deal" else Seeds(client=SEEDS.client) if rank == CLIENT else Seeds(server=SEEDS.server)
    s = Session(reading, rank, seeds=seeds, taken=taken or {})
    s.step, s.protocol = Step(SITE, op, inputs, {}, "fss", "layer"), load_protocol("fss")
    return s


def opening(site: int, value: Words, ring: int) -> tuple[Words, Words]:
    """λ and C of an opening of `value` at `site`, as both parties' seeds give them."""
    client = SEEDS.of(CLIENT).uniform(labels.OPEN_CLIENT, site, value.shape, ring)
    mask = client + SEEDS.of(SERVER).uniform(labels.OPEN_SERVER, site, value.shape, ring)
    return mask, (value + mask + np.uint64(1 << (ring - 2))) & np.uint64((1 << ring) - 1)


def product(op: str, x: Words, y: Words, ring: int, inputs: tuple[int, int] = (X_SITE, Y_SITE)) -> Words:
    """x·y mod 2^ring by the dealer's, the client's and the server's kernels."""
    wires = [Wire(v.shape, ring, Fraction(4), "opened") for v in (x, y)]
    made = [opening(site, v, ring) for site, v in zip(inputs, (x, y), strict=True)]
    parts = []
    for rank in (CLIENT, SERVER):
        dealer = session("deal", rank, op, inputs)
        cross(dealer, *(Share(w, mask) for w, (mask, _) in zip(wires, made, strict=True)))
        online = session("online", rank, op, inputs, dealer.made)
        got = cross(online, *(Share(w, c) for w, (_, c) in zip(wires, made, strict=True)))
        assert got.wire.scale == 16
        parts.append(got.require())
    return (parts[0] + parts[1]) & np.uint64((1 << ring) - 1)


def plain(op: str, x: Words, y: Words, ring: int) -> Any:
    """The same in Python's integers."""
    a, b = x.astype(object), y.astype(object)
    return (a * b if op == "mul" else a @ b) % (1 << ring)


SIZES = st.integers(1, 4)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(SIZES, min_size=1, max_size=4),
    ones=st.tuples(st.integers(0, 15), st.integers(0, 15)),
    ring=st.integers(16, 64),
    seed=st.integers(0, 1 << 30),
)
def test_mul_is_exact_mod_the_ring(shape: list[int], ones: tuple[int, int], ring: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shapes = [tuple(1 if ones[i] >> a & 1 else size for a, size in enumerate(shape)) for i in (0, 1)]
    x, y = (rng.integers(0, 1 << 64, size, np.uint64) & np.uint64((1 << ring) - 1) for size in shapes)
    assert np.array_equal(product("mul", x, y, ring), plain("mul", x, y, ring))


@settings(max_examples=60, deadline=None)
@given(
    batch=st.lists(SIZES, max_size=2),
    ones=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    m=SIZES,
    k=st.integers(1, 9),
    n=SIZES,
    ring=st.integers(16, 64),
    seed=st.integers(0, 1 << 30),
)
def test_matmul_is_exact_mod_the_ring(
    batch: list[int], ones: tuple[int, int], m: int, k: int, n: int, ring: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    lead = [tuple(1 if ones[i] >> a & 1 else size for a, size in enumerate(batch)) for i in (0, 1)]
    x, y = (
        rng.integers(0, 1 << 64, (*first, *last), np.uint64) & np.uint64((1 << ring) - 1)
        for first, last in zip(lead, ((m, k), (k, n)), strict=True)
    )
    assert np.array_equal(product("matmul", x, y, ring), plain("matmul", x, y, ring))


@pytest.mark.parametrize("op", ["mul", "matmul"])
def test_the_same_wire_on_both_sides(op: str) -> None:
    x = np.random.default_rng(1).integers(0, 1 << 40, (2, 3, 3), np.uint64)
    assert np.array_equal(product(op, x, x, 40, (X_SITE, X_SITE)), plain(op, x, x, 40))


def test_threads_change_nothing() -> None:
    rng = np.random.default_rng(2)
    x, y = (rng.integers(0, 1 << 64, shape, np.uint64) for shape in ((5, 2, 70, 65), (5, 1, 65, 80)))
    want = x @ y
    for threads in (1, 2, 3, 16):
        assert np.array_equal(multiply("matmul", x, y, 64, threads=threads), want)


def test_a_step_recalls_only_the_openings_that_it_reads() -> None:
    s = session("online", CLIENT, "mul", (X_SITE, Y_SITE))
    wire = Wire((4,), 40, Fraction(1), "opened")
    again = [s.recall_opening(X_SITE, wire) for _ in range(2)]
    assert np.array_equal(*again)
    assert np.array_equal(again[0], SEEDS.of(CLIENT).uniform(labels.OPEN_CLIENT, X_SITE, (4,), 40))
    with pytest.raises(RuntimeError, match="does not read"):
        s.recall_opening(SITE, wire)


def shared_net() -> tuple[Any, list[np.ndarray]]:
    """One opening that feeds two products and a ReLU; x·x·y; a product of products; attention's two matrix products."""
    s = Sketch(3)
    x, y = s.input(2, 3, 4), s.input(2, 3, 4)
    first, second = s.op("mul", x, y), s.op("mul", x, s.linear(y, 4))
    cube = s.op("mul", s.op("mul", x, x), y)
    turned = s.op("permute", s.linear(y, 4), attrs={"order": [0, 2, 1]})
    scores = s.op("matmul", s.linear(x, 4), turned, attrs={"inner": 4})
    mixed = s.op("matmul", s.op("relu", scores), x, attrs={"inner": 3})
    return s.graph(s.op("add", first, s.op("relu", x)), second, cube, mixed), s.values()


@pytest.mark.parametrize("ring", [0, 64])
def test_one_opening_serves_many_products(ring: int) -> None:
    graph, xs = shared_net()
    plan = plan_for(graph, policy_for("dealer", ring), xs)
    opened = [step.inputs[0] for step in plan.steps if step.op == "open"]
    assert len(opened) == len(set(opened)), "a value is opened twice"
    uses = [i for step in plan.steps if step.op in ("mul", "matmul") for i in step.inputs]
    assert len(uses) > len(set(uses)), "no opening is shared, so that the test shows nothing"
    result = simulate(plan, *xs)
    check_bill(plan, result)
    assert nrmse(result.outputs, run_clear(graph, *xs)) < 1e-3


def test_a_product_takes_two_one_way_steps() -> None:
    s = Sketch(1)
    xs = [np.full((1, 8), 0.5), np.full((1, 8), 0.25)]
    plan = plan_for(s.graph(s.op("mul", s.input(1, 8), s.input(1, 8))), policy_for("dealer"), xs)
    assert [step.op for step in plan.steps] == ["mask", "mask", "open", "open", "mul", "reveal"]
    assert plan.bill().turns == 4  # the inputs; both openings; the result; what is revealed
    assert np.abs(simulate(plan, *xs).outputs[0] - 0.125).max() < 2.0**-16


def _product_plan(size: int) -> Plan:
    s = Sketch(1)
    xs = [np.full((1, size), 1.0), np.full((1, size), 1.0)]
    product = s.op("mul", s.input(1, size), s.input(1, size))
    return pinned(plan_for(s.graph(product), policy_for("dealer", 40), xs))


def _chi(data: bytes) -> float:
    count = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    expected = len(data) / 256
    return float((((count - expected) ** 2) / expected).sum() - 255) / np.sqrt(2 * 255)


def test_all_that_the_parties_see_is_uniform_whatever_the_factors() -> None:
    """The openings, the result's mask and the server's corrections, as bytes over fresh seeds."""
    size = 4096
    plan = _product_plan(size)
    for value in (0.0, 1.0):
        xs = [np.full((1, size), value)] * 2
        seeds = Seeds(Seed(bytes([3] * 15 + [int(value)])), Seed(bytes([4] * 16)))
        channels = pair()
        tap = record(channels[0], keep=True)
        simulate(plan, *xs, seeds=seeds, channels=channels)
        frames = [f.payload for f in tap.frames if f.kind is Kind.DATA][:-1]  # the last holds the client's answer
        assert len(frames) == 7  # m of two openings; two inputs, two openings, the result's mask
        parts = material.deal(plan, seeds, SERVER, {})
        assert [label for label in parts if label.endswith("/cross")]
        for data in (*frames, *(np.asarray(part).tobytes() for part in parts.values())):
            assert abs(_chi(bytes(data))) < 6, f"not uniform for {value}"


def test_corrections_without_their_mask_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were z_c constant and so the masks, the same statistic would tell."""
    plain_uniform = Seed.uniform

    def constant(self: Seed, domain: int, site: int, shape: tuple[int, ...], ring: int, *, threads: int = 1) -> Words:
        words = plain_uniform(self, domain, site, shape, ring, threads=threads)
        return np.full(shape, 12345, np.uint64) if domain != labels.MASK else words

    monkeypatch.setattr(Seed, "uniform", constant)
    (part,) = material.deal(_product_plan(4096), SEEDS, SERVER, {}).values()
    assert abs(_chi(np.asarray(part).tobytes())) > 100


def test_two_products_of_the_same_masks_have_shares_of_their_own() -> None:
    """The same z in two products would give away the difference of their results."""
    graph, xs = shared_net()
    plan = plan_for(graph, policy_for("dealer"), xs)
    client = {step.site for step in plan.steps if step.op in ("mul", "matmul")}
    drawn = {SEEDS.of(CLIENT).uniform(labels.CROSS, site, (8,), 40).tobytes() for site in client}
    assert len(drawn) == len(client) > 3


def test_material_is_one_word_of_the_ring_an_output() -> None:
    s = Sketch(1)
    x, y = s.input(2, 5, 7), s.input(2, 7, 3)
    plan = plan_for(s.graph(s.op("matmul", x, y, attrs={"inner": 7})), policy_for("dealer"), s.values())
    ring = plan.wires[plan.outputs[0].site].ring
    (row,) = [row for row in plan.bill().rows if "matmul" in row.ops]
    assert sum(m.payload for m in row.messages if m.phase == "deal") == bits.packed_size(30, ring)
    assert (row.macs, row.client_macs) == (2 * 2 * 5 * 7 * 3,) * 2


@pytest.mark.parametrize(("size", "truncated"), [(2, 0), (1 << 14, 1)])
def test_a_factor_is_truncated_where_that_is_cheaper(size: int, truncated: int) -> None:
    """A layer's output at twice the resolution: worth truncating before a product with many more values than it has."""
    s = Sketch(2)
    small = s.linear(s.input(1, 2), 2)
    column = s.op("reshape", small, attrs={"shape": [1, 2, 1]})
    wide = s.input(1, 1, size)
    graph = s.graph(s.op("matmul", column, wide, attrs={"inner": 1}))
    plan = plan_for(graph, policy_for("dealer"), s.values())
    assert sum(step.op == "poly" for step in plan.steps) == truncated


def test_factors_that_fit_no_ring_are_truncated() -> None:
    s = Sketch(2)
    x = s.input(2, 6)
    deep = [s.linear(s.linear(x, 6), 6) for _ in range(2)]
    graph, xs = s.graph(s.op("mul", *deep)), s.values()
    plan = plan_for(graph, policy_for("dealer"), xs)
    assert any(step.op == "poly" for step in plan.steps)
    assert nrmse(simulate(plan, *xs).outputs, run_clear(graph, *xs)) < 1e-3
