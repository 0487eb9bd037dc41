"""What a Session refuses: to draw a mask twice, make a part twice, take what is not there; and labels are distinct."""

from __future__ import annotations

import numpy as np
import pytest

from tacit.corr.bundle import Seeds
from tacit.errors import InvalidInput, PeerError, StoreError
from tacit.net.memory import pair
from tacit.ring.prg import Seed
from tacit.run.execute import walk
from tacit.run.simulate import simulate
from tacit.secure import labels
from tacit.secure.protocol import load_protocol
from tacit.secure.session import Session, Step
from tacit.secure.share import CLIENT, SERVER, Share, Wire
from tacit.testing.graphs import plan_for, policy_for, residual_net

WIRE = Wire((2, 3), 40, 1 << 16, "dealt")  # type: ignore[arg-type]


def session(rank: int = CLIENT, **more: object) -> Session:
    s = Session("online", rank, seeds=Seeds(Seed(bytes(16)), Seed(bytes([1] * 16))), **more)  # type: ignore[arg-type]
    s.step = Step(3, "open", (), {}, "masked", "layer")
    return s


def test_a_mask_is_drawn_once() -> None:
    s = session()
    s.uniform(CLIENT, labels.MASK, (4,), 40)
    s.uniform(CLIENT, labels.OPEN_CLIENT, (4,), 40)
    s.uniform(SERVER, labels.MASK, (4,), 40)
    for again in (lambda: s.uniform(CLIENT, labels.MASK, (4,), 40), lambda: s.stream(CLIENT, labels.MASK)):
        with pytest.raises(RuntimeError, match="same mask twice"):
            again()
    s.step = Step(4, "open", (), {}, "masked", "layer")
    s.uniform(CLIENT, labels.MASK, (4,), 40)


def test_a_stream_is_drawn_once() -> None:
    s = session()
    s.stream(CLIENT, labels.POWERS)
    with pytest.raises(RuntimeError, match="same mask twice"):
        s.uniform(CLIENT, labels.POWERS, (1,), 64)


def test_a_session_walks_a_plan_once() -> None:
    """A second walk of the same session would send the same masks: it stops at the first."""
    graph, xs = residual_net()
    plan = plan_for(graph, policy_for("dealer"), xs)
    s = Session(
        "deal", CLIENT, seeds=Seeds.fresh(), tensors={k: np.zeros(w, np.uint64) for k, w in weights(plan).items()}
    )
    walk(plan, s)
    with pytest.raises(RuntimeError, match="twice"):
        walk(plan, s)


def weights(plan: object) -> dict[tuple[int, str], tuple[int, ...]]:
    return {(s.site, "weight"): s.weights["weight"] for s in plan.steps if "weight" in s.weights}  # type: ignore[attr-defined]


def test_labels_are_distinct() -> None:
    values = [getattr(labels, name) for name in labels.__all__]
    assert len(set(values)) == len(values)
    assert all(0 < v < 1 << 32 for v in values)


def test_streams_of_different_labels_and_steps_differ() -> None:
    seed = Seed(bytes(16))
    drawn = {
        seed.uniform(getattr(labels, name), site, (4,), 64).tobytes() for name in labels.__all__ for site in range(5)
    }
    assert len(drawn) == 5 * len(labels.__all__)


def test_masks_of_a_run_never_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever two runs draw, for both parties: equal words come from the same seed, domain and step only."""
    graph, xs = residual_net()
    plan = plan_for(graph, policy_for("dealer"), xs)
    keys: dict[bytes, tuple[object, ...]] = {}
    plain = Seed.uniform

    def watched(self: Seed, domain: int, site: int, shape: tuple[int, ...], ring: int, *, threads: int = 1) -> object:
        words = plain(self, domain, site, shape, ring, threads=threads)
        use = (self.key, domain, site)
        assert keys.setdefault(words.tobytes(), use) == use, "two places of the protocol drew the same mask"
        return words

    monkeypatch.setattr(Seed, "uniform", watched)
    simulate(plan, *xs)
    simulate(plan, *xs)
    assert len(keys) > 20


def test_a_part_is_made_once_and_taken_whole() -> None:
    s = session(taken={"3/opening": b"12345"})
    s.put("3/opening", b"1")
    with pytest.raises(RuntimeError, match="twice"):
        s.put("3/opening", b"1")
    assert bytes(s.take("3/opening", 5)) == b"12345"
    with pytest.raises(StoreError, match="5 bytes, not 6"):
        s.take("3/opening", 6)
    with pytest.raises(StoreError, match="made for another plan"):
        s.take("4/opening", 5)


def test_what_arrives_is_checked() -> None:
    here, there = pair()
    s = session(channel=here)
    there.send_data(bytes(WIRE.packed - 1))
    with pytest.raises(PeerError, match="29 bytes of data where 30 were due"):
        s.receive(WIRE)


def test_padding_bits_of_a_message_must_be_zero() -> None:
    wire = Wire((1, 3), 44, WIRE.scale, "dealt")
    here, there = pair()
    s = session(channel=here)
    there.send_data(bytes(16) + b"\xf0")
    with pytest.raises(PeerError, match="damaged value"):
        s.receive(wire)


def test_a_missing_payload_is_a_fault_of_the_program() -> None:
    with pytest.raises(LookupError, match="dealt wire of shape"):
        Share(WIRE).require()
    with pytest.raises(LookupError, match="no channel"):
        session().send(np.zeros(3, np.uint64), 40)


def test_payloads_never_print() -> None:
    s = session(taken={"a": b"secret"}, tensors={(0, "weight"): np.full(3, 77, np.uint64)})
    shown = repr(s) + repr(Share(WIRE, np.full((2, 3), 123456789, np.uint64)))
    assert "secret" not in shown
    assert "77" not in shown
    assert "123456789" not in shown


@pytest.mark.parametrize("name", ["nothing_like_it", "../masked", "os", "Masked", ""])
def test_unknown_protocols(name: str) -> None:
    with pytest.raises(InvalidInput):
        load_protocol(name)
