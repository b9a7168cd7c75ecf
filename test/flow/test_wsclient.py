#!/usr/bin/env python3
"""The tests' own WebSocket client against servers that say exactly what is written here."""
import base64
import contextlib
import hashlib
import socket
import struct
import threading

import wsclient
from tap import case, run
from wsclient import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Closed, Refused, WebSocket


class Peer:
    """Takes one connection in a thread and lets `talk` have it; what talk raises, or fails to hear, fails the case."""

    def __init__(self, talk):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(20)
        self.address = self.listener.getsockname()
        self.error = None
        self.thread = threading.Thread(target=self.serve, args=(talk,), daemon=True)
        self.thread.start()

    def serve(self, talk):
        try:
            with contextlib.closing(self.listener.accept()[0]) as sock:
                sock.settimeout(20)
                talk(sock)
        except BaseException as error:
            self.error = error

    def __enter__(self):
        return self.address

    def __exit__(self, kind, error, trace):
        self.thread.join(20)
        self.listener.close()
        assert kind or not self.thread.is_alive(), "the peer still waits"
        if not kind and self.error:
            raise self.error


def head_of(sock):
    got = b""
    while b"\r\n\r\n" not in got:
        more = sock.recv(65536)
        assert more, got
        got += more
    return got.split(b"\r\n\r\n", 1)[0].decode()


def exactly(sock, count):
    got = b""
    while len(got) < count:
        more = sock.recv(count - len(got))
        assert more, got
        got += more
    return got


# ---- WebSocket

def upgrade(sock, accept=None):
    head = head_of(sock)
    key = next(line.split(": ")[1] for line in head.split("\r\n") if line.startswith("Sec-WebSocket-Key"))
    accept = accept or base64.b64encode(hashlib.sha1(key.encode() + wsclient.MAGIC).digest()).decode()
    sock.sendall(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())


def frame_from(sock):
    """(first byte, payload) of a client's masked frame."""
    first, second = exactly(sock, 2)
    assert second & 0x80, "a client's frame has to be masked"
    size = second & 0x7f
    if size > 125:
        size = int.from_bytes(exactly(sock, 2 if size == 126 else 8), "big")
    mask = exactly(sock, 4)
    return first, wsclient.apply_mask(exactly(sock, size), mask)


def say(sock, opcode, payload=b"", fin=True):
    sock.sendall(wsclient.frame(opcode, payload, fin=fin, mask=None))


@case("a message comes back as it was sent, of every size of length")
def _():
    sizes = (0, 1, 125, 126, 65535, 65536, 200000)
    sample = bytes(range(256)) * 800

    def talk(sock):
        upgrade(sock)
        for size in sizes:
            assert frame_from(sock) == (0x80 | BINARY, sample[:size])
            say(sock, BINARY, b"x" * size)
        assert frame_from(sock) == (0x80 | TEXT, "é".encode())
        say(sock, TEXT, "é".encode())
    with Peer(talk) as address, WebSocket(address, "/x") as ws:
        for size in sizes:
            ws.send_binary(sample[:size])
            assert ws.recv() == (BINARY, b"x" * size)
        ws.send_text("é")
        assert ws.recv() == (TEXT, "é")


@case("fragments are put together, pings between them answered")
def _():
    def talk(sock):
        upgrade(sock)
        say(sock, TEXT, b"a\xc3", fin=False)
        say(sock, PING, b"there?")
        say(sock, CONTINUATION, b"\xa9", fin=False)
        say(sock, CONTINUATION, b"z")
        assert frame_from(sock) == (0x80 | PONG, b"there?")
        got = [frame_from(sock) for _ in range(3)]
        assert got == [(BINARY, b"1"), (CONTINUATION, b""), (0x80 | CONTINUATION, b"3")], got
    with Peer(talk) as address, WebSocket(address, "/x") as ws:
        assert ws.recv() == (TEXT, "aéz")
        ws.send_fragments(BINARY, [b"1", b"", b"3"])


@case("a close is answered, and tells code and reason; one that only breaks off tells neither")
def _():
    def talk(sock):
        upgrade(sock)
        say(sock, CLOSE, struct.pack(">H", 4001) + b"fell behind by 7 bytes")
        assert frame_from(sock) == (0x80 | CLOSE, struct.pack(">H", 4001))
    with Peer(talk) as address, WebSocket(address, "/x") as ws:
        closed = ws.wait_closed()
        assert (closed.code, closed.reason) == (4001, "fell behind by 7 bytes")
    with Peer(upgrade) as address, WebSocket(address, "/x") as ws:
        assert ws.wait_closed().code is None


@case("closing waits for the answer, and passes over what comes before")
def _():
    def talk(sock):
        upgrade(sock)
        say(sock, BINARY, b"late")
        assert frame_from(sock) == (0x80 | CLOSE, struct.pack(">H", 1000) + b"done")
        say(sock, CLOSE, struct.pack(">H", 1000))
        assert sock.recv(1) == b""
    with Peer(talk) as address:
        assert WebSocket(address, "/x").close(1000, "done").code == 1000


@case("an answer that is no upgrade is Refused, one with a wrong key fails")
def _():
    def refuse(sock):
        head_of(sock)
        sock.sendall(b"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nContent-Length: 2\r\n\r\nno")
    with Peer(refuse) as address:
        try:
            WebSocket(address, "/x", {"Sec-WebSocket-Version": "8"})
            raise AssertionError("it was taken")
        except Refused as refused:
            assert (refused.status, refused.headers["sec-websocket-version"], refused.body) == (426, "13", b"no")
    with Peer(lambda sock: upgrade(sock, "wrong")) as address:
        try:
            WebSocket(address, "/x")
        except AssertionError:
            return
        raise AssertionError("it was taken")


@case("nothing in time is a TimeoutError, and the next message is still whole")
def _():
    go = threading.Event()

    def talk(sock):
        upgrade(sock)
        sock.sendall(b"\x82\x05he")
        assert go.wait(20)
        sock.sendall(b"llo\x82\x01!")
    with Peer(talk) as address, WebSocket(address, "/x") as ws:
        try:
            ws.recv(0.1)
            raise AssertionError("half a frame was told")
        except TimeoutError:
            go.set()
        assert ws.recv() == (BINARY, b"hello") and ws.recv() == (BINARY, b"!")


run()
