"""wsclient.py: a WebSocket client (RFC 6455) of plain sockets, which can also do what a client must not.

    with WebSocket(server, f"/v1/sessions/{id}/attach?cols=80&rows=24") as ws:
        opcode, data = ws.recv()
        ws.send_binary(b"ls\\r")

`server` is a harness.Server, a path of a Unix socket, or (host, port).  Everything that waits has a bound.
"""
import base64
import hashlib
import os
import socket
import struct
import time

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TIMEOUT = 20
HEAD_MAX = 65536


class Refused(Exception):
    """The server answered with something else than 101: .status, .headers (lower-case names), .body."""

    def __init__(self, status, headers, body):
        super().__init__(f"{status}: {body[:300]!r}")
        self.status, self.headers, self.body = status, headers, body


class Closed(Exception):
    """The connection is over: .code and .reason of the close frame, None when it broke off without one."""

    def __init__(self, code=None, reason=""):
        super().__init__(f"{code} {reason}".strip())
        self.code, self.reason = code, reason


def connect_to(server, timeout, receive_buffer=None):
    """A connected socket.  A small receive buffer has to be asked for before."""
    if isinstance(server, str):
        family, address = socket.AF_UNIX, server
    elif isinstance(server, tuple):
        family, address = socket.AF_INET6 if ":" in server[0] else socket.AF_INET, server
    else:
        host, port = server.address.rsplit(":", 1)
        return connect_to((host.strip("[]"), int(port)), timeout, receive_buffer)
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        if receive_buffer:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        made.settimeout(timeout)
        made.connect(address)
        if family != socket.AF_UNIX:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        made.close()
        raise
    return made


def drop(sock, reset=False):
    """Closes it; with `reset` so that the peer gets RST instead of FIN.  Again does nothing."""
    if reset and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def parse_head(head):
    """(status, {lower-case name: value}) of an answer's head."""
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return int(first.split()[1]), {name.strip().lower(): value.strip() for name, value in pairs}


class Received:
    """Bytes as they come, up to a time."""

    def __init__(self, sock):
        self.sock = sock
        self.bytes = bytearray()

    def fill(self, until):
        """Adds what comes next; False at the end of the connection."""
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError("nothing came in time")
        self.sock.settimeout(left)
        got = self.sock.recv(1 << 18)
        self.bytes += got
        return bool(got)

    def need(self, count, until):
        """Waits until so many bytes are there, and leaves them; EOFError when there are fewer before the end."""
        while len(self.bytes) < count:
            if not self.fill(until):
                raise EOFError(f"{len(self.bytes)} of {count} bytes before the end")

    def find(self, mark, until, most=HEAD_MAX):
        """Where the mark is, once it is there."""
        looked = 0
        while (at := self.bytes.find(mark, looked)) < 0:
            looked = max(0, len(self.bytes) - len(mark) + 1)
            assert len(self.bytes) <= most, f"no {mark!r} within {most} bytes"
            if not self.fill(until):
                raise EOFError(f"the end before {mark!r}: {bytes(self.bytes[:200])!r}")
        return at

    def take(self, count, until, skip=0):
        """Exactly so many bytes, without the first `skip` of them.  Nothing is taken when they do not come."""
        self.need(count, until)
        taken = bytes(self.bytes[skip:count])
        del self.bytes[:count]
        return taken

    def take_until(self, mark, until, most=HEAD_MAX):
        """Up to and without the mark, which is passed over."""
        return self.take(self.find(mark, until, most) + len(mark), until)[:-len(mark)]


def apply_mask(payload, mask):
    """Both ways.  One big number is quicker here than a loop of bytes."""
    if not payload:
        return b""
    repeated = (mask * (len(payload) // 4 + 1))[:len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(len(payload), "big")


def frame(opcode, payload=b"", fin=True, mask=b"\x12\x34\x56\x78", rsv=0, length=None):
    """The bytes of one frame.  mask=None: unmasked; length: another one than the payload's own in the header."""
    size = len(payload) if length is None else length
    bit = 0 if mask is None else 0x80
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if size < 126:
        head += bytes([bit | size])
    elif size < 65536:
        head += struct.pack(">BH", bit | 126, size)
    else:
        head += struct.pack(">BQ", bit | 127, size)
    return head + payload if mask is None else head + mask + apply_mask(payload, mask)


class WebSocket:
    """See the top of the file.  With path=None nothing is sent: connect() does that."""

    def __init__(self, server, path=None, headers=None, timeout=TIMEOUT, receive_buffer=None):
        self.timeout = timeout
        self.sock = connect_to(server, timeout, receive_buffer)
        self.received = Received(self.sock)
        self.answers_pings = True
        self.close_sent = False
        self.parts = None               # of a message in fragments: opcode, bytes so far
        if path is not None:
            try:
                self.connect(path, headers)
            except BaseException:
                self.sock.close()
                raise

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.drop()

    # ---- the handshake

    def connect(self, path, headers=None, key=None):
        """Asks for the upgrade; headers replace the usual ones, None leaves one out.  Raises Refused."""
        key = key or base64.b64encode(os.urandom(16)).decode()
        wanted = {"Host": "localhost", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": key,
                  "Sec-WebSocket-Version": "13", **(headers or {})}
        lines = [f"{name}: {value}\r\n" for name, value in wanted.items() if value is not None]
        self.send_raw(f"GET {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode())
        until = time.monotonic() + self.timeout
        status, found = parse_head(self.received.take_until(b"\r\n\r\n", until))
        if status != 101:
            raise Refused(status, found, self.received.take(int(found.get("content-length", "0")), until))
        accept = base64.b64encode(hashlib.sha1(key.encode() + MAGIC).digest()).decode()
        assert found.get("sec-websocket-accept") == accept, found
        assert found.get("upgrade", "").lower() == "websocket", found
        assert "upgrade" in found.get("connection", "").lower(), found

    # ---- sending

    def send_raw(self, data):
        self.sock.settimeout(self.timeout)
        self.sock.sendall(data)

    def send_frame(self, opcode, payload=b"", **how):
        """One frame as frame() makes it."""
        if how.get("mask", b"") is not None:
            how.setdefault("mask", os.urandom(4))
        self.send_raw(frame(opcode, payload, **how))

    def send_text(self, text):
        self.send_frame(TEXT, text.encode())

    def send_binary(self, data):
        self.send_frame(BINARY, data)

    def send_fragments(self, opcode, pieces):
        """One message in as many frames as there are pieces."""
        for i, piece in enumerate(pieces):
            self.send_frame(opcode if i == 0 else CONTINUATION, piece, fin=i == len(pieces) - 1)

    def ping(self, payload=b""):
        self.send_frame(PING, payload)

    def send_close(self, code=1000, reason=""):
        """Only says it; close() waits for the answer as well."""
        self.close_sent = True
        self.send_frame(CLOSE, b"" if code is None else struct.pack(">H", code) + reason.encode())

    # ---- receiving

    def recv_frame(self, timeout=None):
        """(fin, opcode, payload) of the next frame, whole or not at all: after a TimeoutError it may be asked for
        again.  Closed(None) when the connection just ends."""
        until = time.monotonic() + (self.timeout if timeout is None else timeout)
        try:
            self.received.need(2, until)
            first, size = self.received.bytes[:2]
            assert not first & 0x70, f"reserved bits {first:#x}"
            assert not size & 0x80, "a server's frame is masked"
            assert size < 126 or not first & 8, "a control frame of more than 125 bytes"
            head = {126: 4, 127: 10}.get(size, 2)
            self.received.need(head, until)
            if head > 2:
                size = int.from_bytes(self.received.bytes[2:head], "big")
            return bool(first & 0x80), first & 0x0f, self.received.take(head + size, until, skip=head)
        except (EOFError, ConnectionError) as error:
            raise Closed() from error

    def recv(self, timeout=None):
        """(opcode, data) of the next message, data as text for TEXT; pings are answered, they and pongs passed over.
        Raises Closed when it is over, TimeoutError when nothing comes."""
        until = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            fin, opcode, payload = self.recv_frame(max(0.001, until - time.monotonic()))
            if opcode == CLOSE:
                self.answer_close(payload)
            elif opcode == PING:
                if self.answers_pings:
                    self.send_frame(PONG, payload)
            elif opcode != PONG:
                message = self.part(fin, opcode, payload)
                if message:
                    return message

    def part(self, fin, opcode, payload):
        """Adds a frame to its message; the message once it is whole."""
        assert (opcode == CONTINUATION) == (self.parts is not None), f"opcode {opcode} out of turn"
        if self.parts is None:
            self.parts = (opcode, bytearray())
        self.parts[1].extend(payload)
        if not fin:
            return None
        (kind, data), self.parts = self.parts, None
        return kind, data.decode() if kind == TEXT else bytes(data)

    def answer_close(self, payload):
        """What a close frame asks for: the same back, once; then Closed."""
        code = struct.unpack(">H", payload[:2])[0] if len(payload) >= 2 else 1005
        if not self.close_sent:
            self.close_sent = True
            try:
                self.send_frame(CLOSE, payload[:2])
            except OSError:
                pass
        raise Closed(code, payload[2:].decode())

    def recv_pong(self, timeout=None):
        """The payload of the next pong; messages before it are an error."""
        while True:
            _, opcode, payload = self.recv_frame(timeout)
            if opcode == PONG:
                return payload
            assert opcode == PING, (opcode, payload[:100])

    def recv_binary(self, enough, timeout=None):
        """Binary messages put together until enough(bytes so far); texts before it are passed over."""
        until = time.monotonic() + (self.timeout if timeout is None else timeout)
        data = b""
        while not enough(data):
            try:
                opcode, more = self.recv(max(0.001, until - time.monotonic()))
            except TimeoutError:
                raise AssertionError(f"not in time, only: {data[-2000:]!r}") from None
            data += more if opcode == BINARY else b""
        return data

    def wait_closed(self, timeout=None):
        """Reads on until it is over: the Closed."""
        until = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            try:
                self.recv(max(0.001, until - time.monotonic()))
            except Closed as closed:
                return closed

    def close(self, code=1000, reason="", timeout=None):
        """Closes in order: says it, waits for the answer; the Closed with the server's code."""
        self.send_close(code, reason)
        try:
            return self.wait_closed(timeout)
        finally:
            self.drop()

    def drop(self, reset=False):
        """Closes the connection without a word."""
        drop(self.sock, reset)
