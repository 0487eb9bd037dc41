"""Every protocol, by listing the folder, against the conformance suite; and the suite against protocols that lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tacit.protocols.masked import PROTOCOL
from tacit.run.simulate import simulate
from tacit.secure.cost import Cost
from tacit.secure.kernel import Leaf
from tacit.secure.session import Session
from tacit.secure.share import Share, Wire
from tacit.testing.graphs import residual_net
from tacit.testing.protocols import check_bill, check_protocol, check_readings, plan_under, protocol_names


@pytest.mark.parametrize("name", protocol_names())
def test_protocol(name: str, tmp_path: Path) -> None:
    check_protocol(name, tmp_path)


def test_the_listing() -> None:
    assert {"clear", "masked"} <= set(protocol_names())


def _leaf(name: str) -> Leaf:
    leaf = PROTOCOL.kernels[name]
    assert isinstance(leaf, Leaf)
    return leaf


def _silent(leaf: Leaf) -> Leaf:
    """Costs nothing, it says."""
    return replace(leaf, cost=lambda s, *wires: Cost())


def _wide(leaf: Leaf) -> Leaf:
    """Priming makes a wider wire than the dry reading."""

    def prime(s: Session, *shares: Share) -> Share:
        share = leaf.prime(s, *shares)
        return replace(share, wire=replace(share.wire, scale=2 * share.wire.scale))

    return replace(leaf, prime=prime)


def _short(leaf: Leaf) -> Leaf:
    """Forgets one message."""

    def cost(s: Session, *wires: Wire) -> Cost:
        whole = leaf.cost(s, *wires)
        return replace(whole, messages=whole.messages[1:])

    return replace(leaf, cost=cost)


@pytest.mark.parametrize(("name", "lie"), [("open", _silent), ("reveal", _silent), ("mask", _short), ("open", _short)])
def test_a_wrong_bill_is_found_out(name: str, lie: Callable[[Leaf], Leaf], monkeypatch: pytest.MonkeyPatch) -> None:
    graph, xs = residual_net()
    plan = plan_under("masked", graph, xs)
    result = simulate(plan, *xs)
    check_bill(plan, result)
    monkeypatch.setitem(PROTOCOL.kernels, name, lie(_leaf(name)))  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="the bill"):
        check_bill(replace(plan), result)


@pytest.mark.parametrize("name", ["product", "open", "mask"])
def test_a_reading_that_strays_is_found_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, xs = residual_net()
    plan = plan_under("masked", graph, xs)
    check_readings(plan, xs)
    monkeypatch.setitem(PROTOCOL.kernels, name, _wide(_leaf(name)))  # type: ignore[arg-type]
    with pytest.raises((AssertionError, ValueError)):
        check_readings(plan, xs)
