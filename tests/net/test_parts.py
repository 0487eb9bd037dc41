"""Addresses, meters, messages, refusals and recorders, each alone."""

from __future__ import annotations

import threading

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit.errors import ChannelClosed, InvalidInput, PeerError, PeerRefused, Refusal, Refused, TacitError
from tacit.net import Message, Meter, Party, memory
from tacit.net.address import Address, parse_address
from tacit.net.frame import DATA_LIMIT, REFUSAL_LIMIT, Kind, pack_header, parse_header
from tacit.net.message import MessageCodec, one_line
from tacit.net.meter import PHASES, Counts
from tacit.net.record import record
from tacit.net.refusal import decode_refusal, encode_refusal

PEER = Party("server")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("tacit://example.org:99", Address("example.org", 99)),
        ("example.org", Address("example.org", 7070)),
        ("10.0.0.1:0", Address("10.0.0.1", 0)),
        ("tacit://[::1]:65535/", Address("::1", 65535)),
        ("[fe80::1%eth0]", Address("fe80::1%eth0", 7070)),
        (" localhost ", Address("localhost", 7070)),
    ],
)
def test_addresses_are_read(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize("text", ["", ":7070", "::1", "h:", "h:x", "h:70000", "http://h", "h:1:2", "a b", "u@h", "h/p"])
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"is not an address|there is no port"):
        parse_address(text)


def test_meter_phases_and_turns() -> None:
    meter = Meter()
    meter.sent(10)
    meter.sent(10)
    meter.received(5)
    meter.phase("handshake")
    meter.sent(1)
    before = meter.snapshot()
    meter.phase("online")
    meter.sent(2)
    difference = meter.snapshot() - before
    assert before["handshake"] == Counts(frames_sent=3, bytes_sent=21, frames_received=1, bytes_received=5, turns=2)
    assert difference["online"] == Counts(frames_sent=1, bytes_sent=2, turns=1)
    assert difference["handshake"] == Counts()
    assert difference.total == difference["online"]
    assert meter.current == "online"
    with pytest.raises(InvalidInput, match="no phase 'offline'"):
        meter.phase("offline")  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.sampled_from(PHASES), st.booleans(), st.integers(0, 1 << 40))))
def test_meter_equals_a_plain_count(events: list[tuple[str, bool, int]]) -> None:
    meter = Meter()
    for phase, outgoing, nbytes in events:
        meter.phase(phase)  # type: ignore[arg-type]
        (meter.sent if outgoing else meter.received)(nbytes)
    for phase in PHASES:
        mine = [(out, n) for p, out, n in events if p == phase]
        counts = meter.snapshot()[phase]
        assert counts.bytes_sent == sum(n for out, n in mine if out)
        assert counts.frames_received == sum(not out for out, _ in mine)
        assert counts.turns <= counts.frames_sent
        assert (counts.turns > 0) == (counts.frames_sent > 0)


def test_meter_from_threads() -> None:
    meter = Meter()
    threads = [threading.Thread(target=lambda: [meter.sent(3) for _ in range(5000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meter.snapshot().total == Counts(frames_sent=20_000, bytes_sent=60_000, turns=1)


class Loose(msgspec.Struct, tag=True):
    x: int = 0


class Untagged(msgspec.Struct, forbid_unknown_fields=True):
    x: int = 0


class Strict(Message, frozen=True):
    x: int
    items: tuple[int, ...] = ()


def test_loose_types_cannot_be_messages() -> None:
    codec = MessageCodec()
    for kind in (Loose, Untagged):
        with pytest.raises(InvalidInput, match="cannot be a message"):
            codec.encode(kind())
        with pytest.raises(InvalidInput, match="cannot be a message"):
            codec.decode(memoryview(b""), (kind,), PEER)


@pytest.mark.parametrize(
    "content",
    [
        {"type": "Strict", "x": "1"},
        {"type": "Strict", "x": 1.5},
        {"type": "Strict"},
        {"type": "Strict", "x": 1, "y": 2},
        {"type": "Other", "x": 1},
        {"x": 1},
        {"type": ""},
        [1],
        None,
    ],
)
def test_messages_are_checked(content: object) -> None:
    with pytest.raises(PeerError, match="not Strict"):
        MessageCodec().decode(memoryview(msgspec.msgpack.encode(content)), (Strict,), PEER)


@given(st.binary(max_size=64))
def test_any_bytes_are_a_message_or_refused(raw: bytes) -> None:
    try:
        message = MessageCodec().decode(memoryview(raw), (Strict,), PEER)
    except PeerError:
        return
    assert isinstance(message, Strict)


@given(st.text())
def test_one_line(text: str) -> None:
    line = one_line(text, 20)
    assert len(line) <= 20
    assert line.isprintable()


@given(st.sampled_from(Kind), st.integers(0, DATA_LIMIT))
def test_headers_round_trip(kind: Kind, length: int) -> None:
    limit = {Kind.REFUSAL: REFUSAL_LIMIT, Kind.BYE: 0}.get(kind, DATA_LIMIT)
    raw = pack_header(kind, length)
    assert len(raw) == 8
    if length <= limit:
        assert parse_header(raw, PEER) == (kind, length)
    else:
        with pytest.raises(PeerError, match="more than any has"):
            parse_header(raw, PEER)


def test_a_data_header_on_the_wire() -> None:
    """The bytes are fixed: other implementations read them."""
    assert pack_header(Kind.DATA, 0x01020304).hex() == "0403020102010000"


@given(st.text(max_size=3000))
def test_refusals_fit_their_frame(text: str) -> None:
    raw = encode_refusal(text)
    assert len(raw) <= REFUSAL_LIMIT
    error = decode_refusal(memoryview(raw), PEER)
    assert type(error) is PeerRefused
    assert str(error).isprintable()


def test_private_errors_stay_private() -> None:
    problem = Refused([Refusal("never", "layer 3", "secret weights", "none")])
    for error in (problem, InvalidInput("/etc/secret"), TacitError("secret"), ChannelClosed("secret")):
        assert b"secret" not in encode_refusal(error)


def test_unknown_codes_are_plain_refusals() -> None:
    raw = encode_refusal("why").replace(b"refused", b"unheard")
    error = decode_refusal(memoryview(raw), PEER)
    assert type(error) is PeerRefused
    assert str(error) == "server refused: why"


def test_a_recorder_prints_no_payload() -> None:
    left, right = memory.pair()
    with left, right:
        tape = record(left, keep=True)
        left.send_data(b"masked secret")
        assert tape.frames[0].payload == b"masked secret"
        assert "secret" not in repr(tape.frames[0]) + repr(tape) + repr(left) + repr(left.transport)


def test_parties_print_their_name() -> None:
    assert f"{Party('dealer', 'ab')} {Party('')}" == "dealer the peer"
