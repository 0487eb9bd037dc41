"""The channel: frames of checked messages and raw data between two parties, dead after any error."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from tacit.errors import ChannelClosed, ChannelError, InvalidInput, PeerError, PeerRefused, TacitError
from tacit.net.frame import DATA_LIMIT, HEADER_BYTES, MESSAGE_LIMIT, Kind, pack_header, parse_header
from tacit.net.inbox import Inbox
from tacit.net.message import MessageCodec
from tacit.net.meter import Meter
from tacit.net.party import Party
from tacit.net.refusal import decode_refusal, encode_refusal
from tacit.net.transport import Transport

__all__ = ["Bytes", "Channel", "Tap"]

Bytes = bytes | bytearray | memoryview | NDArray[Any]
M = TypeVar("M", bound=msgspec.Struct)

# How long the end of a channel may take: to place a last word, and to listen for the peer's.
_LAST_WORD_S = 1.0


class Tap(Protocol):
    """Sees every message and data frame of a channel as it passes; `record.Recorder` is one."""

    def sent(self, kind: Kind, header: bytes, payload: Sequence[memoryview]) -> None:
        """A frame left; `payload` is its parts in order and holds only during the call."""

    def received(self, kind: Kind, header: bytes, payload: memoryview) -> None:
        """A frame arrived whole; `payload` holds only during the call."""


class Channel:
    """Framed messages and data over any transport, for use by one thread; `close` may come from another.

    After any error (also an interrupt in the middle of a frame) the channel is dead, and every later call raises
    ChannelClosed. `peer` is the party at the other end, `meter` counts frames, `tap` may be set to watch them,
    `message_limit` is the longest message accepted, in bytes. Used in a `with` statement it closes itself.
    """

    def __init__(self, transport: Transport, *, message_limit: int = MESSAGE_LIMIT) -> None:
        self.transport = transport
        self.meter = Meter()
        self.tap: Tap | None = None
        self.message_limit = message_limit
        self._inbox = Inbox(transport)
        self._codec = MessageCodec()
        self._timeout: float | None = None
        self._sending = threading.Lock()
        self._dead: str | None = None
        self._closed = False
        self._mid_frame = False
        self._refused = False

    @property
    def peer(self) -> Party:
        """The party at the other end."""
        return self.transport.peer

    def __repr__(self) -> str:
        return f"<Channel to {self.peer}{' (dead)' if self._dead else ''}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def wrap(self, layer: Callable[[Transport], Transport]) -> None:
        """Puts a layer between this channel and its transport, such as `shaper.Shaped`.

        Bytes already read ahead stay.
        """
        self.transport = self._inbox.transport = layer(self.transport)
        self.transport.set_timeout(self._timeout)

    def set_timeout(self, seconds: float | None) -> None:
        """Limits the silence that is borne: data must keep moving, and a message must arrive whole within `seconds`.
        None: no limit.
        """
        if seconds is not None and not seconds > 0:
            raise InvalidInput(f"a timeout must be a positive number of seconds or None, not {seconds}")
        self._timeout = seconds
        self.transport.set_timeout(seconds)

    @contextmanager
    def patient(self, seconds: float) -> Iterator[None]:
        """Within the `with` block silence of at least `seconds` is borne: the peer has much to do before it answers."""
        usual = self._timeout
        try:
            if usual is not None:
                self.set_timeout(max(usual, seconds))
            yield
        finally:
            self.set_timeout(usual)

    def send_data(self, *buffers: Bytes) -> None:
        """Sends `buffers` (C-contiguous; numpy arrays, bytes or memoryviews) as one data frame, in order, without
        copying large ones.

        Raises InvalidInput (the channel lives on) for a buffer that is not contiguous or a frame over 2^31 bytes;
        ChannelError.
        """
        views = [_flat(buffer) for buffer in buffers]
        if sum(map(len, views)) > DATA_LIMIT:
            raise InvalidInput(
                f"a data frame of {sum(map(len, views))} bytes is over the limit of 2^31; send it in parts"
            )
        self._send(Kind.DATA, views)

    def recv_data(self, nbytes: int) -> memoryview:
        """Receives one data frame of exactly `nbytes` bytes, as a writable flat uint8 view that belongs to the caller.

        Raises PeerError if the peer sent anything else, before a byte is allocated for it; ChannelError.
        """
        if not 0 <= nbytes <= DATA_LIMIT:
            raise InvalidInput(f"cannot receive a data frame of {nbytes} bytes; frames have 0 to 2^31")
        return self._receive(Kind.DATA, nbytes, None)

    def recv_data_into(self, buffer: Bytes) -> None:
        """Receives one data frame of exactly the size of `buffer` (writable, C-contiguous) into it.

        Raises as `recv_data`.
        """
        view = _flat(buffer)
        if view.readonly:
            raise InvalidInput("cannot receive into a read-only buffer")
        self._receive(Kind.DATA, len(view), view)

    def send_message(self, message: msgspec.Struct) -> None:
        """Sends `message`, an instance of a subclass of `net.message.Message`.

        Raises InvalidInput if it is over the limit; ChannelError.
        """
        raw = self._codec.encode(message)
        if len(raw) > self.message_limit:
            raise InvalidInput(
                f"a {type(message).__name__} of {len(raw)} bytes is over the limit of {self.message_limit}"
            )
        self._send(Kind.MESSAGE, [memoryview(raw)])

    def recv_message(self, *types: type[M]) -> M:
        """Receives one message of one of `types`, checked field by field. Raises PeerError for anything else.

        ChannelError.
        """
        raw = self._receive(Kind.MESSAGE, self.message_limit, None)
        try:
            return self._codec.decode(raw, types, self.peer)
        except PeerError as error:
            self._die(error)
            raise

    def refuse(self, error: TacitError | str) -> None:
        """Tells the peer in one sentence why this side will not go on; the channel is dead then, and still to be
        closed.

        The peer's next call raises the same error where its type is one of the shared ones (see `net.refusal`), else
        PeerRefused. `error` must hold no secret. Never raises: a peer that is gone or does not listen misses the
        reason.
        """
        self._die(f"this side refused: {error if isinstance(error, str) else type(error).__name__}")
        if self._refused or self._closed or self._mid_frame or not self._sending.acquire(blocking=False):
            return
        self._refused = True
        try:
            raw = encode_refusal(error)
            self.transport.set_timeout(_LAST_WORD_S)
            self.transport.send([memoryview(pack_header(Kind.REFUSAL, len(raw)) + raw)])
        except ChannelError:
            self._mid_frame = True
        finally:
            self._sending.release()

    def close(self) -> None:
        """Says goodbye where that is still possible and ends the channel; harmless when repeated.

        Any thread may call it.
        """
        if self._closed:
            return
        self._closed = True
        polite = self._dead is None and self._sending.acquire(blocking=False)
        self._die("this channel was closed on this side")
        if polite:
            with suppress(ChannelError):
                self.transport.set_timeout(_LAST_WORD_S)
                self.transport.send([memoryview(pack_header(Kind.BYE, 0))])
            self._sending.release()
        self.transport.close(_LAST_WORD_S if self._refused else 0.0)

    def _send(self, kind: Kind, views: list[memoryview]) -> None:
        header = pack_header(kind, sum(map(len, views)))
        with self._sending:
            self._check_alive()
            self._mid_frame = True
            try:
                self.transport.send([memoryview(header), *views])
            except ChannelClosed as error:
                reason = self._last_word() or error
                self._die(reason)
                raise reason from None
            except BaseException as error:
                self._die(error)
                raise
            self._mid_frame = False
        self.meter.sent(HEADER_BYTES + sum(map(len, views)))
        if self.tap is not None:
            self.tap.sent(kind, header, views)

    def _receive(self, kind: Kind, size: int, into: memoryview | None) -> memoryview:
        """The payload of the next frame: of exactly `size` bytes if data, at most `size` if a message."""
        self._check_alive()
        limited = kind is Kind.MESSAGE and self._timeout is not None
        deadline = time.monotonic() + self._timeout if limited and self._timeout is not None else None
        try:
            header = memoryview(bytearray(HEADER_BYTES))
            self._inbox.fill(header, deadline)
            length = self._expect(kind, size, *parse_header(header, self.peer))
            payload = _empty(length) if into is None else into
            self._inbox.fill(payload, deadline)
        except BaseException as error:
            self._die(error)
            raise
        self.meter.received(HEADER_BYTES + length)
        if self.tap is not None:
            self.tap.received(kind, bytes(header), payload)
        return payload

    def _expect(self, kind: Kind, size: int, got: Kind, length: int) -> int:
        """Checks the header (`got`, `length`) against what is due; raises the peer's own reason if it refused."""
        if got is Kind.BYE:
            self.transport.close()
            raise ChannelClosed(f"{self.peer} closed the connection")
        if got is Kind.REFUSAL:
            raise self._read_refusal(length)
        if got is not kind:
            raise PeerError(f"{self.peer} sent a {got.name.lower()} frame where {kind.name.lower()} was due")
        if kind is Kind.DATA and length != size:
            raise PeerError(f"{self.peer} sent {length} bytes of data where {size} were due")
        if length > size:
            raise PeerError(f"{self.peer} announced a message of {length} bytes; the limit is {size}")
        return length

    def _read_refusal(self, length: int) -> TacitError:
        payload = memoryview(bytearray(length))
        self._inbox.fill(payload, time.monotonic() + _LAST_WORD_S)
        self.transport.close()  # at once: the peer lingers until we do
        return decode_refusal(payload, self.peer)

    def _last_word(self) -> TacitError | None:
        """Why the peer went away, if it said so before: skips the frames that still lie in the inbox."""
        if self._closed:
            return None
        deadline = time.monotonic() + _LAST_WORD_S
        skipped = memoryview(bytearray(1 << 16))
        try:
            self.transport.set_timeout(_LAST_WORD_S)
            while time.monotonic() < deadline:
                header = memoryview(bytearray(HEADER_BYTES))
                self._inbox.fill(header, deadline)
                kind, left = parse_header(header, self.peer)
                if kind is Kind.REFUSAL:
                    return self._read_refusal(left)
                while left and time.monotonic() < deadline:
                    self._inbox.fill(skipped[: min(left, len(skipped))])
                    left -= min(left, len(skipped))
        except PeerRefused as error:
            return error
        except ChannelError:
            return None
        return None

    def _check_alive(self) -> None:
        if self._dead is not None:
            raise ChannelClosed(f"the channel to {self.peer} is dead: {self._dead}")

    def _die(self, reason: BaseException | str) -> None:
        if self._dead is None:
            text = (
                str(reason) if isinstance(reason, str | TacitError) else f"it was interrupted ({type(reason).__name__})"
            )
            self._dead = text


def _flat(buffer: Bytes) -> memoryview:
    """`buffer` as a flat view of its bytes, without a copy."""
    try:
        view = buffer.data if isinstance(buffer, np.ndarray) else memoryview(buffer)
        return view.cast("B") if view.nbytes else memoryview(bytearray())
    except (TypeError, ValueError):
        raise InvalidInput(
            "cannot send this buffer as it lies: it must be C-contiguous and of a plain number type"
        ) from None


def _empty(nbytes: int) -> memoryview:
    """Fresh writable bytes; numpy's allocation skips the zeroing that bytearray would do."""
    return np.empty(nbytes, np.uint8).data if nbytes else memoryview(bytearray())
