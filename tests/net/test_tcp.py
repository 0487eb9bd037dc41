"""Connecting and listening fail in one clear sentence each, and a dead peer is noticed."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from tacit.errors import ChannelClosed, ChannelTimeout, Exhausted, InvalidInput
from tacit.net import Channel, Message, Party, tcp
from tacit.net.address import Address
from tacit.net.frame import Kind, pack_header
from tacit.net.sockets import SocketTransport


@pytest.fixture
def listener() -> Iterator[tcp.Listener]:
    with tcp.Listener(port=0) as made:
        yield made


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
    return port


def test_a_port_in_use_is_named(listener: tcp.Listener) -> None:
    with pytest.raises(InvalidInput, match=f"port {listener.port} of 127.0.0.1 is in use"):
        tcp.Listener(port=listener.port)


@pytest.mark.parametrize(
    ("host", "port", "sentence"),
    [("192.0.2.1", 0, "not an address of this machine"), ("no.such.host.invalid", 0, "there is no such host")],
)
def test_listening_elsewhere(host: str, port: int, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        tcp.Listener(host, port)


def test_a_port_that_is_none() -> None:
    with pytest.raises(InvalidInput, match="port 70000"):
        tcp.Listener(port=70000)


def test_nobody_listens() -> None:
    with pytest.raises(ChannelClosed, match=r"nobody listens at tacit://127\.0\.0\.1"):
        tcp.connect(Address("127.0.0.1", free_port()))


def test_a_host_that_is_not() -> None:
    with pytest.raises(InvalidInput, match="cannot find the host"):
        tcp.connect("tacit://no.such.host.invalid:1")
    with pytest.raises(InvalidInput, match="cannot find the host"):
        tcp.connect(Address("a" * 300, 1))


def test_a_host_that_does_not_answer() -> None:
    """A full backlog drops further connections."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(0)
        address = Address("127.0.0.1", sock.getsockname()[1])
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex((address.host, address.port))
            with pytest.raises(ChannelTimeout, match=r"nothing answered .* within 0\.1 s"):
                tcp.connect(address, timeout=0.1)
        finally:
            for filler in fillers:
                filler.close()


def test_patience_waits_for_the_listener() -> None:
    port = free_port()
    channels: list[Channel] = []
    thread = threading.Thread(target=lambda: channels.append(tcp.connect(f"127.0.0.1:{port}", patience=20.0)))
    thread.start()
    time.sleep(0.2)
    with tcp.Listener(port=port) as listener, listener.accept(10.0) as theirs:
        thread.join()
        with channels[0] as ours:
            ours.send_data(b"x")
            assert bytes(theirs.recv_data(1)) == b"x"
            assert theirs.peer.fingerprint == ""
            assert theirs.peer.name.startswith("tacit://127.0.0.1:")


def test_waiting_for_callers_ends(listener: tcp.Listener) -> None:
    with pytest.raises(ChannelTimeout, match="nobody called"):
        listener.accept(0.05)
    timer = threading.Timer(0.05, listener.close)
    timer.start()
    with pytest.raises(ChannelClosed, match="stopped listening"):
        listener.accept()
    timer.join()
    with pytest.raises(ChannelClosed, match="stopped listening"):
        listener.wait(1.0)


def test_a_caller_may_be_hung_up_on(listener: tcp.Listener) -> None:
    with tcp.connect(listener.address) as ours:
        incoming = listener.wait(10.0)
        assert incoming.caller.startswith("tacit://127.0.0.1:")
        incoming.close()
        with pytest.raises(ChannelClosed):
            ours.recv_data(1)


def test_ipv6_and_every_interface() -> None:
    try:
        six = tcp.Listener("::1", 0)
    except InvalidInput:
        pytest.skip("this machine has no IPv6")
    with six, tcp.connect(str(six.address)) as ours, six.accept(10.0) as theirs:
        ours.send_data(b"6")
        assert bytes(theirs.recv_data(1)) == b"6"
    with tcp.Listener("", 0) as every:
        for host in ("127.0.0.1", "::1"):
            with tcp.connect(Address(host, every.port)) as ours, every.accept(10.0) as theirs:
                theirs.send_data(b"x")
                assert bytes(ours.recv_data(1)) == b"x"


def test_a_reset_is_a_closed_channel(listener: tcp.Listener) -> None:
    with tcp.connect(listener.address) as ours:
        theirs = listener.accept(10.0)
        ours.send_data(bytes(100))
        assert isinstance(theirs.transport, SocketTransport)
        sock = theirs.transport._sock
        select.select([sock], [], [], 10.0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.transport.close()
        with pytest.raises(ChannelClosed):
            ours.recv_data(1)


def test_a_sender_does_not_wait_for_ever(listener: tcp.Listener) -> None:
    with tcp.connect(listener.address) as ours, listener.accept(10.0):
        ours.set_timeout(0.1)
        with pytest.raises(ChannelTimeout):
            ours.send_data(np.zeros(64 << 20, np.uint8))
        with pytest.raises(ChannelClosed, match="dead"):
            ours.send_data(b"x")


def test_a_dribbled_message_runs_out_of_time() -> None:
    """Each byte comes in time, the whole message does not."""
    left, right = socket.socketpair()
    receiver = Channel(SocketTransport(right, Party("slow")))
    receiver.set_timeout(0.2)
    raw, stop = pack_header(Kind.MESSAGE, 200) + bytes(200), threading.Event()

    def dribble() -> None:
        for byte in raw:
            if stop.wait(0.02):
                return
            left.send(bytes([byte]))

    thread = threading.Thread(target=dribble)
    thread.start()
    with receiver, pytest.raises(ChannelTimeout, match="too long over one message"):
        receiver.recv_message(Message)
    stop.set()
    thread.join()
    left.close()


def test_a_refusing_side_lingers() -> None:
    """Closing at once would reset the connection under a peer that still sends, and the reason could be lost."""
    left, right = socket.socketpair()
    refusing, busy = Channel(SocketTransport(left, Party("b"))), Channel(SocketTransport(right, Party("a")))
    refusing.refuse(Exhausted("deal more"))
    thread = threading.Thread(target=refusing.close)
    thread.start()
    time.sleep(0.1)
    with busy:
        busy.send_data(bytes(1 << 20))
        with pytest.raises(Exhausted, match="deal more"):
            busy.recv_data(1)
    thread.join()


def test_many_buffers_and_short_writes() -> None:
    """More buffers than one gather takes, through a socket that takes little at once."""
    left, right = socket.socketpair()
    left.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    sender, receiver = Channel(SocketTransport(left, Party("b"))), Channel(SocketTransport(right, Party("a")))
    parts = [bytes([i % 256]) * (i * 7 % 1000) for i in range(1000)]
    with sender, receiver:
        thread = threading.Thread(target=lambda: sender.send_data(*parts))
        thread.start()
        assert bytes(receiver.recv_data(sum(map(len, parts)))) == b"".join(parts)
        thread.join()


def test_an_interrupt_kills_the_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    """After Ctrl-C in the middle of a frame nothing may follow it on the wire."""
    left, right = socket.socketpair()
    with Channel(SocketTransport(left, Party("b"))) as sender, Channel(SocketTransport(right, Party("a"))) as receiver:
        monkeypatch.setattr(sender.transport, "_write", lambda pending: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            sender.send_data(b"x")
        monkeypatch.undo()
        with pytest.raises(ChannelClosed, match="interrupted"):
            sender.send_data(b"x")
        sender.refuse(Exhausted("x"))
        sender.close()
        with pytest.raises(ChannelClosed, match="without a goodbye"):
            receiver.recv_data(1)
