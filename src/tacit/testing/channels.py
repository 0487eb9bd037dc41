"""The conformance suite of channels: what every transport must do, checked over a fresh pair each time.

    check_channel(make_pair)                                   # all checks
    @pytest.mark.parametrize("check", CHECKS)                  # or one test per check
    def test_mine(check): check(make_pair)

`make_pair()` returns two connected channels, as after a handshake. A check raises AssertionError, or lets through the
error that should not have been; the pairs it made are closed in either case.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import partial

import numpy as np

from tacit.errors import (
    BundleSpent,
    ChannelClosed,
    ChannelTimeout,
    Exhausted,
    InvalidInput,
    Mismatch,
    NotPermitted,
    PeerError,
    PeerRefused,
    QuotaExceeded,
    RolledBack,
    TacitError,
)
from tacit.net.channel import Channel
from tacit.net.frame import DATA_LIMIT, HEADER_BYTES, Kind, pack_header
from tacit.net.message import Message
from tacit.net.meter import Counts
from tacit.net.record import record

__all__ = ["CHECKS", "Check", "MakePair", "check_channel"]

MakePair = Callable[[], tuple[Channel, Channel]]
Check = Callable[[MakePair], None]

_PATIENCE_S = 20.0
_BIG = 9 << 20


class _Ping(Message, frozen=True, tag="conformance-ping"):
    number: int
    note: str = ""


class _Pong(Message, frozen=True, tag="conformance-pong"):
    digest: bytes


def check_channel(make_pair: MakePair) -> None:
    """Runs every check of the suite. Raises AssertionError naming what is wrong."""
    for check in CHECKS:
        check(make_pair)


def _keeps_order(make_pair: MakePair) -> None:
    """Messages and data arrive whole, in order, as several buffers or one; empty frames too."""
    with _pair(make_pair) as (left, right):
        words = np.arange(12, dtype=np.uint64).reshape(3, 4)
        left.send_message(_Ping(number=1, note="ü"))
        left.send_data(b"ab", words, memoryview(b"cd"))
        left.send_data()
        left.send_data(np.empty((0, 3)))
        left.send_message(_Pong(digest=b"\x00\xff"))
        assert right.recv_message(_Ping, _Pong) == _Ping(number=1, note="ü")
        assert bytes(right.recv_data(100)) == b"ab" + words.tobytes() + b"cd"
        assert len(right.recv_data(0)) == 0
        right.recv_data_into(bytearray())
        assert right.recv_message(_Ping, _Pong) == _Pong(digest=b"\x00\xff")
        right.send_data(words)
        back = np.zeros_like(words)
        left.recv_data_into(back)
        assert (back == words).all()


def _carries_big_frames(make_pair: MakePair) -> None:
    """Both sides send 9 MB before either receives, from two threads; neither blocks for ever and every byte arrives."""
    with _pair(make_pair) as (left, right):
        payloads = [np.random.default_rng(seed).bytes(_BIG) for seed in (1, 2)]
        got: dict[str, bytes] = {}

        def run(name: str, channel: Channel, payload: bytes) -> None:
            channel.send_data(payload[:100], payload[100:])
            got[name] = bytes(channel.recv_data(_BIG))

        _together(lambda: run("left", left, payloads[0]), lambda: run("right", right, payloads[1]))
        assert got == {"left": payloads[1], "right": payloads[0]}


def _gives_own_memory(make_pair: MakePair) -> None:
    """A sender may change its buffer once it was sent; a receiver may write to what it received."""
    with _pair(make_pair) as (left, right):
        buffer = np.zeros(1000, np.uint8)
        left.send_data(buffer)
        buffer[:] = 7
        left.send_data(buffer)
        first, second = right.recv_data(1000), right.recv_data(1000)
        first[0] = 9
        assert bytes(first[1:]) == bytes(999)
        assert bytes(second) == b"\x07" * 1000


def _refuses_other_size(make_pair: MakePair) -> None:
    """Data of another size than due is a PeerError, and so is a frame of another kind."""
    for due, sent in ((10, 9), (10, 11), (0, 1), (1 << 20, 0)):
        with _pair(make_pair) as (left, right):
            left.send_data(bytes(sent))
            _raises(PeerError, partial(right.recv_data, due))
            _is_dead(right)
    with _pair(make_pair) as (left, right):
        left.send_message(_Ping(number=1))
        _raises(PeerError, lambda: right.recv_data(10))
    with _pair(make_pair) as (left, right):
        left.send_data(b"0123456789")
        _raises(PeerError, lambda: right.recv_message(_Ping))


def _holds_limits(make_pair: MakePair) -> None:
    """Too long is refused: by the sender before a byte leaves, by the receiver before a byte is allocated."""
    with _pair(make_pair) as (left, right):
        left.message_limit = right.message_limit = 1000
        _raises(InvalidInput, lambda: left.send_message(_Ping(number=1, note="x" * 1000)))
        _raises(InvalidInput, lambda: left.send_data(np.zeros(8, np.uint16)[::2]))
        _raises(InvalidInput, lambda: right.recv_data(DATA_LIMIT + 1))
        _raises(InvalidInput, lambda: right.recv_data(-1))
        left.send_data(b"alive")
        assert bytes(right.recv_data(5)) == b"alive"
        left.transport.send([memoryview(pack_header(Kind.MESSAGE, 1001))])
        _raises(PeerError, lambda: right.recv_message(_Ping))
    with _pair(make_pair) as (left, right):
        left.transport.send([memoryview(pack_header(Kind.DATA, DATA_LIMIT))])
        _raises(PeerError, lambda: right.recv_data(8))


def _refuses_garbage(make_pair: MakePair) -> None:
    """Headers and messages that are not the protocol are a PeerError, never another exception."""
    good = pack_header(Kind.DATA, 4)
    for place, value in ((4, 0), (4, 5), (4, 255), (5, 0), (5, 2), (6, 1), (7, 128)):
        bad = bytearray(good)
        bad[place] = value
        _raw_is(make_pair, bytes(bad) + b"abcd", PeerError)
    for raw in (b"", b"\xc1", b"\x80", b"\x91" * 900, b"\xff" * 40, b"\x81\xa4type\xa7unknown"):
        _raw_is(make_pair, pack_header(Kind.MESSAGE, len(raw)) + raw, PeerError, message=True)
        _raw_is(make_pair, pack_header(Kind.REFUSAL, len(raw)) + raw, PeerError)


def _notices_the_end(make_pair: MakePair) -> None:
    """A goodbye, a half header and a half payload are ChannelClosed for the receiver, and sending to a peer that left
    is too.
    """
    with _pair(make_pair) as (left, right):
        left.send_data(b"last")
        left.close()
        left.close()
        assert bytes(right.recv_data(4)) == b"last"
        _raises(ChannelClosed, lambda: right.recv_data(4))
        _is_dead(right)
        _is_dead(left)
    for part in (b"\x04", pack_header(Kind.DATA, 4), pack_header(Kind.DATA, 4) + b"abc"):
        with _pair(make_pair) as (left, right):
            left.transport.send([memoryview(part)])
            left.transport.close()
            _raises(ChannelClosed, partial(right.recv_data, 4))
            _is_dead(right)
    with _pair(make_pair) as (left, right):
        right.close()
        _raises(ChannelClosed, lambda: _send_until_noticed(left))
        _is_dead(left)


def _wakes_on_close(make_pair: MakePair) -> None:
    """`close` from another thread ends a call that waits, with ChannelClosed."""
    with _pair(make_pair) as (left, _right):
        timer = threading.Timer(0.05, left.close)
        timer.start()
        _raises(ChannelClosed, lambda: left.recv_data(4))
        timer.join()


def _times_out(make_pair: MakePair) -> None:
    """Silence longer than the limit is ChannelTimeout, before a frame and inside one, and a limit must be positive."""
    with _pair(make_pair) as (left, right):
        _raises(InvalidInput, lambda: right.set_timeout(0.0))
        right.set_timeout(0.05)
        begin = time.monotonic()
        _raises(ChannelTimeout, lambda: right.recv_data(4))
        assert time.monotonic() - begin >= 0.04, "it gave up before its time"
        _is_dead(right)
        left.set_timeout(0.05)
        right.transport.send([memoryview(pack_header(Kind.MESSAGE, 4) + b"ab")])
        _raises(ChannelTimeout, lambda: left.recv_message(_Ping))


def _passes_refusals_on(make_pair: MakePair) -> None:
    """A refusal is raised at the peer as the type it had, with its text and nothing else.

    Private errors stay private.
    """
    shared: tuple[TacitError, ...] = (
        BundleSpent("bundle 1 is claimed"),
        Exhausted("deal more"),
        RolledBack("epoch 3 there"),
        NotPermitted("trust=none"),
        QuotaExceeded("disk full"),
    )
    for error in shared:
        raised = _refused(make_pair, error)
        assert type(raised) is type(error), f"{error!r} arrived as {raised!r}"
        assert str(error) in str(raised)
    mismatch = _refused(make_pair, Mismatch("client", "plan digest", "aa", "bb"))
    assert isinstance(mismatch, Mismatch)
    assert (mismatch.field, mismatch.ours, mismatch.theirs) == ("plan digest", "bb", "aa")
    plain = _refused(make_pair, "not\x1b[31m now\n")
    assert type(plain) is PeerRefused
    assert str(plain).isprintable()
    assert "/secret/path" not in str(_refused(make_pair, InvalidInput("cannot read /secret/path")))


def _says_why_to_a_busy_sender(make_pair: MakePair) -> None:
    """A refusal reaches a peer that is in the middle of sending, although nobody reads what it sends."""
    with _pair(make_pair) as (left, right):

        def refuse() -> None:
            left.refuse(Exhausted("deal more"))
            left.close()

        _together(refuse, lambda: _raises(Exhausted, lambda: _send_until_noticed(right, 1 << 20)))
        _is_dead(right)


def _is_dead_after_an_error(make_pair: MakePair) -> None:
    """Once refused or closed, every later call raises ChannelClosed on that side; refusing again is harmless."""
    with _pair(make_pair) as (left, right):
        left.refuse("no")
        left.refuse("no")
        _is_dead(left)
        _raises(PeerRefused, lambda: right.recv_data(1))
        _is_dead(right)
        left.close()
        _is_dead(left)


def _counts_the_same(make_pair: MakePair) -> None:
    """What one side counts and records as sent, the other counts and records as received, per phase.

    Turns are one-way steps.
    """
    with _pair(make_pair) as (left, right):
        tapes = record(left, keep=True), record(right)
        for channel in (left, right):
            channel.meter.phase("online")
        for _ in range(3):
            left.send_data(bytes(100))
            left.send_data(bytes(50))
            right.recv_data(100)
            right.recv_data(50)
            right.send_message(_Ping(number=1))
            left.recv_message(_Ping)
        ours, theirs = left.meter.snapshot(), right.meter.snapshot()
        got, sent = ours["online"], theirs["online"]
        assert got.bytes_sent == 3 * (150 + 2 * HEADER_BYTES) == sent.bytes_received
        assert (got.frames_sent, got.frames_received, got.turns) == (6, 3, 3)
        assert (got.frames_sent, got.bytes_received) == (sent.frames_received, sent.bytes_sent)
        assert sent.turns == 3
        assert ours["handshake"] == Counts()
        assert ours.total == ours["online"]
        assert all(getattr((ours - ours).total, field.name) == 0 for field in fields(Counts))
        assert tapes[0].sent_digest == tapes[1].received_digest
        assert tapes[0].received_digest == tapes[1].sent_digest != tapes[0].sent_digest
        assert sum(frame.nbytes for frame in tapes[0].frames) == got.bytes_sent + got.bytes_received


def _carries_many_small_frames(make_pair: MakePair) -> None:
    """Thousands of frames of changing size cross in both directions at once from two threads, none mixed up."""
    with _pair(make_pair) as (left, right):
        sizes = [int(n) for n in np.random.default_rng(3).integers(0, 3000, 400)]

        def run(channel: Channel, mark: int, other: int) -> None:
            for size in sizes:
                channel.send_data(bytes([mark]) * size)
            for size in sizes:
                assert bytes(channel.recv_data(size)) == bytes([other]) * size

        _together(lambda: run(left, 1, 2), lambda: run(right, 2, 1))


CHECKS: tuple[Check, ...] = (
    _keeps_order,
    _carries_big_frames,
    _gives_own_memory,
    _refuses_other_size,
    _holds_limits,
    _refuses_garbage,
    _notices_the_end,
    _wakes_on_close,
    _times_out,
    _passes_refusals_on,
    _says_why_to_a_busy_sender,
    _is_dead_after_an_error,
    _counts_the_same,
    _carries_many_small_frames,
)


@contextmanager
def _pair(make_pair: MakePair) -> Iterator[tuple[Channel, Channel]]:
    left, right = make_pair()
    for channel in (left, right):
        channel.set_timeout(_PATIENCE_S)
    try:
        yield left, right
    finally:
        left.close()
        right.close()


def _raises(kind: type[TacitError], call: Callable[[], object]) -> TacitError:
    try:
        call()
    except kind as error:
        caught = error
    else:
        raise AssertionError(f"{kind.__name__} was due")
    assert str(caught).isprintable(), f"{caught!r} is not one sentence"
    return caught


def _is_dead(channel: Channel) -> None:
    _raises(ChannelClosed, lambda: channel.send_data(b"x"))
    _raises(ChannelClosed, lambda: channel.recv_data(1))
    _raises(ChannelClosed, lambda: channel.send_message(_Ping(number=1)))
    _raises(ChannelClosed, lambda: channel.recv_message(_Ping))


def _raw_is(make_pair: MakePair, raw: bytes, kind: type[TacitError], *, message: bool = False) -> None:
    with _pair(make_pair) as (left, right):
        left.transport.send([memoryview(raw)])
        _raises(kind, lambda: right.recv_message(_Ping) if message else right.recv_data(4))
        _is_dead(right)


def _refused(make_pair: MakePair, error: TacitError | str) -> TacitError:
    with _pair(make_pair) as (left, right):
        left.refuse(error)
        return _raises(TacitError, lambda: right.recv_data(4))


def _send_until_noticed(channel: Channel, nbytes: int = 1000) -> None:
    """Sends until it fails; a transport may take a while to see that the peer left."""
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end:
        channel.send_data(bytes(nbytes))
        time.sleep(0.001)


def _together(*calls: Callable[[], object]) -> None:
    """Runs `calls` in one thread each; raises the first error of any."""
    errors: list[BaseException] = []

    def run(call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(call,), daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * _PATIENCE_S)
        assert not thread.is_alive(), "the two sides block each other"
    if errors:
        raise errors[0]
