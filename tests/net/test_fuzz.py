"""Ten thousand altered frames: each ends in a typed error or the message itself, and none makes the receiver wait."""

from __future__ import annotations

import random

import pytest

from tacit.errors import Mismatch, TacitError
from tacit.net import Channel, Message, Party, memory
from tacit.net.frame import HEADER_BYTES, Kind, pack_header
from tacit.net.message import MessageCodec
from tacit.net.refusal import encode_refusal


class Offer(Message, frozen=True):
    bundle: bytes
    shape: tuple[int, ...]
    note: str = ""
    parts: dict[str, float] | None = None


class Answer(Message, frozen=True):
    accepted: bool


SAMPLES = (
    (Kind.MESSAGE, MessageCodec().encode(Offer(bundle=bytes(16), shape=(1, 3, 32, 32), note="ü", parts={"a": 0.5}))),
    (Kind.MESSAGE, MessageCodec().encode(Answer(accepted=True))),
    (Kind.DATA, bytes(range(40))),
    (Kind.REFUSAL, encode_refusal(Mismatch("client", "plan digest", "aa", "bb"))),
    (Kind.REFUSAL, encode_refusal("no")),
    (Kind.BYE, b""),
)


def altered(rng: random.Random) -> bytes:
    """A valid frame with a few bytes changed, cut, doubled or inserted; or none."""
    kind, payload = rng.choice(SAMPLES)
    raw = bytearray(pack_header(kind, len(payload)) + payload)
    for _ in range(rng.randrange(4)):
        place = rng.randrange(len(raw)) if raw else 0
        match rng.randrange(5):
            case 0 if raw:
                raw[place] ^= 1 << rng.randrange(8)
            case 1 if raw:
                raw[place] = rng.choice((0, 1, 0x7F, 0x80, 0xC1, 0xD9, 0xDD, 0xFF))
            case 2:
                del raw[place:]
            case 3:
                raw[place:place] = rng.randbytes(rng.randrange(1, 9))
            case _:
                raw += raw[:place]
    if rng.random() < 0.3 and len(raw) > HEADER_BYTES:  # reach the decoder: make the length true again
        raw[:4] = (len(raw) - HEADER_BYTES).to_bytes(4, "little")
    return bytes(raw)


def fuzz(seed: int, count: int) -> dict[str, int]:
    """Feeds `count` altered frames to a receiver each; counts how they ended."""
    rng = random.Random(seed)
    ended: dict[str, int] = {}
    for number in range(count):
        sender, transport = memory.transports()
        receiver = Channel(transport, message_limit=rng.choice((64, 1 << 20)))
        receiver.set_timeout(10.0)
        raw = altered(rng)
        sender.send([memoryview(raw)])
        sender.close()
        text = ""
        try:
            if rng.random() < 0.3:
                result = type(receiver.recv_data(40)).__name__
            else:
                result = type(receiver.recv_message(Offer, Answer)).__name__
        except TacitError as error:
            result, text = type(error).__name__, str(error)
        assert text.isprintable(), (number, raw)
        assert len(text) < 1000, (number, raw)
        ended[result] = ended.get(result, 0) + 1
    return ended


def test_altered_frames_end_in_typed_errors() -> None:
    ended = fuzz(seed=1, count=10_000)
    for outcome in ("PeerError", "ChannelClosed", "PeerRefused", "Mismatch", "Offer", "Answer", "memoryview"):
        assert ended.get(outcome, 0) > 20, ended
    assert "ChannelTimeout" not in ended


@pytest.mark.slow
def test_altered_frames_at_length() -> None:
    for seed in range(2, 32):
        assert "ChannelTimeout" not in fuzz(seed, 10_000)


def test_random_bytes_are_refused() -> None:
    rng = random.Random(7)
    for _ in range(500):
        sender, transport = memory.transports()
        receiver = Channel(transport)
        sender.send([memoryview(rng.randbytes(rng.randrange(64)))])
        sender.close()
        with pytest.raises(TacitError):
            receiver.recv_message(Offer)


def test_a_peer_cannot_write_to_the_terminal() -> None:
    raw = MessageCodec().encode(Answer(accepted=True)).replace(b"Answer", b"\x1b[31m\n")
    sender, transport = memory.transports()
    receiver = Channel(transport)
    sender.send([memoryview(pack_header(Kind.MESSAGE, len(raw)) + raw)])
    with pytest.raises(TacitError) as caught:
        receiver.recv_message(Answer)
    assert str(caught.value).isprintable()
    assert receiver.peer == Party("client")
