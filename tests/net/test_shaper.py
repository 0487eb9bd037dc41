"""The shaper is never faster than the link it plays, in either direction, and loses nothing."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit.errors import ChannelClosed, ChannelTimeout, InvalidInput
from tacit.net import Channel, memory
from tacit.net.shaper import LAN, LOOPBACK, WAN, WAN1G, Link, Shaped, parse_link, shape


def pair(link: Link) -> tuple[Channel, Channel]:
    left, right = memory.transports()
    return Channel(Shaped(left, link)), Channel(Shaped(right, link))


@pytest.mark.parametrize("nbytes", [0, 1, 1000, 65_000, 300_000])
@pytest.mark.parametrize("link", [Link("slow", 20e6, 0.03), Link("far", math.inf, 0.1), LAN])
def test_never_faster_than_the_link(link: Link, nbytes: int) -> None:
    left, right = pair(link)
    with left, right:
        begin = time.monotonic()
        left.send_data(bytes(nbytes))
        assert len(right.recv_data(nbytes)) == nbytes
        assert time.monotonic() - begin >= link.seconds(nbytes + 8)


def test_frames_share_the_line_and_stream() -> None:
    """Two frames take the rate twice but the delay once; the other direction is free meanwhile."""
    link = Link("slow", 16e6, 0.1)
    left, right = pair(link)
    with left, right:
        begin = time.monotonic()
        left.send_data(bytes(100_000))
        left.send_data(bytes(100_000))
        right.send_data(b"x")
        left.recv_data(1)
        other = time.monotonic() - begin
        right.recv_data(100_000)
        right.recv_data(100_000)
        both = time.monotonic() - begin
        assert both >= link.seconds(200_016)
        assert other >= link.seconds(9)
        assert other < both


def test_a_round_trip_costs_the_rtt() -> None:
    left, right = pair(Link("far", math.inf, 0.02))
    with left, right:
        begin = time.monotonic()
        for _ in range(3):
            left.send_data(b"a")
            right.recv_data(1)
            right.send_data(b"b")
            left.recv_data(1)
        assert time.monotonic() - begin >= 3 * 0.02


def test_closing_flushes() -> None:
    left, right = pair(Link("slow", 8e6, 0.05))
    left.send_data(bytes(100_000))
    left.close()
    with right:
        assert len(right.recv_data(100_000)) == 100_000
        with pytest.raises(ChannelClosed, match="closed the connection"):
            right.recv_data(1)


def test_a_full_line_makes_the_sender_wait() -> None:
    left, right = memory.transports()
    shaped = Shaped(left, Link("crawl", 1e6, 0.0))
    shaped.set_timeout(0.05)
    with pytest.raises(ChannelTimeout, match="took nothing"):
        shaped.send([memoryview(bytes(70 << 20))])
    right.close()  # the next delivery fails, which ends the line
    shaped.close()


def send_until_told(shaped: Shaped) -> None:
    for _ in range(10_000):
        shaped.send([memoryview(b"x")])
        time.sleep(0.001)


def test_shaping_begins_in_the_middle() -> None:
    """What was read ahead before the layer came is not lost."""
    left, right = memory.pair()
    with left, right:
        left.send_data(b"one")
        left.send_data(b"two")
        left.transport.send([])
        first = right.recv_data(3)
        shape(left, LAN)
        shape(right, LAN)
        left.send_data(b"three")
        assert (bytes(first), bytes(right.recv_data(3)), bytes(right.recv_data(5))) == (b"one", b"two", b"three")


def test_a_failed_delivery_is_told() -> None:
    left, right = memory.transports()
    shaped = Shaped(left, LOOPBACK)
    right.close()
    with pytest.raises(ChannelClosed, match="closed the connection"):
        send_until_told(shaped)
    shaped.close()


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("lan", LAN),
        (" WAN ", WAN),
        ("wan1g", WAN1G),
        ("loopback", LOOPBACK),
        ("100mbit/40ms", Link("100mbit/40ms", 100e6, 0.04)),
        ("2.5Gbit/0.1s", Link("2.5gbit/0.1s", 2.5e9, 0.1)),
        ("56kbit/0ms", Link("56kbit/0ms", 56e3, 0.0)),
    ],
)
def test_links_are_read(text: str, link: Link) -> None:
    found = parse_link(text)
    assert (found.name, found.bandwidth_bits_per_s) == (link.name, link.bandwidth_bits_per_s)
    assert found.rtt_s == pytest.approx(link.rtt_s)


@given(st.text(max_size=20))
def test_other_links_are_refused(text: str) -> None:
    try:
        link = parse_link(text)
    except InvalidInput as error:
        message = str(error)
    else:
        assert link.bandwidth_bits_per_s > 0
        message = "is not a link"
    assert "is not a link" in message


@pytest.mark.parametrize("text", ["0mbit/1ms", "100mbit", "mbit/ms", "-1mbit/1ms", "1e9bit/1ms", "100mbit/40ms/x"])
def test_wrong_links_are_named(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not a link"):
        parse_link(text)


def test_the_least_time_of_a_link() -> None:
    assert WAN.seconds(12_500_000) == pytest.approx(1.02)
    assert LOOPBACK.seconds(10**9) == 0
