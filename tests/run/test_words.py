"""Rings of up to 32 bits compute in 32-bit words: every byte and answer is what words of 64 bits give."""

from __future__ import annotations

import numpy as np
import pytest

from tacit.corr.bundle import Seeds
from tacit.net.memory import pair
from tacit.net.record import record
from tacit.plan.compile import commit, integer_weights
from tacit.plan.plan import Plan
from tacit.ring.prg import Seed
from tacit.run import material
from tacit.run.simulate import Simulation, simulate
from tacit.testing.graphs import Sketch, pinned, plan_for, policy_for

SEEDS = Seeds(Seed(bytes(range(16))), Seed(bytes(range(16, 32))))
REGISTRATION = Seed(bytes(range(32, 48)))


def made_plan(ring: int, activation: str) -> tuple[Plan, list[np.ndarray]]:
    """Every kind of product: convolutions (dense, depthwise, strided), a gain per channel, linear layers."""
    s = Sketch(3)
    x = s.activation(activation, s.conv(s.input(2, 3, 6, 6), 6))
    x = s.activation(activation, s.conv(s.affine(x), 6, groups=6, stride=2))
    x = s.activation(activation, s.conv(x, 5, padding=1, gain=0.5))
    graph = s.graph(s.linear(s.flat(x), 4))
    xs = s.values()
    return pinned(plan_for(graph, policy_for("dealer", ring), xs)), xs


@pytest.mark.parametrize("activation", ["poly", "relu"])
def test_both_words_give_the_same_bytes(activation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, xs = made_plan(32, activation)

    def run() -> tuple[Simulation, str, str]:
        channels = pair()
        tap = record(channels[0])
        result = simulate(plan, *xs, seeds=SEEDS, registration=REGISTRATION, channels=channels)
        return result, tap.sent_digest, tap.received_digest

    assert all(words.dtype == np.uint32 for words in material.matrices(plan, REGISTRATION).values())
    halves, *sent_halves = run()
    monkeypatch.setattr(material, "narrowed", lambda values, bits: values)
    assert all(words.dtype == np.uint64 for words in material.matrices(plan, REGISTRATION).values())
    words, *sent_words = run()
    for a, b in zip(halves.words, words.words, strict=True):
        assert np.array_equal(a & np.uint64(2**32 - 1), b & np.uint64(2**32 - 1))
    assert all(np.array_equal(a, b) for a, b in zip(halves.outputs, words.outputs, strict=True))
    assert sent_halves == sent_words


def test_only_narrow_rings_are_narrowed_and_the_commitment_is_over_whole_words() -> None:
    for ring in (32, 40, 64):
        plan, _ = made_plan(ring, "poly")
        held = material.server_tensors(plan)
        whole = integer_weights(plan)
        assert held.keys() == whole.keys()
        for (site, name), tensor in held.items():
            narrow = ring == 32 and name == "weight"
            assert tensor.dtype == (np.uint32 if narrow else np.uint64)
            assert np.array_equal(tensor, whole[site, name] & np.uint64(2**32 - 1) if narrow else whole[site, name])
        assert plan.opening is not None
        assert commit(whole, plan.opening) == plan.commitment
        assert {t.dtype for t in material.matrices(plan, REGISTRATION).values()} == {
            np.dtype(np.uint32 if ring == 32 else np.uint64)
        }
