"""webstand.py: the stand-in's side of a WebSocket, and a terminal to run a program in."""
import base64
import fcntl
import hashlib
import json
import os
import pty
import select
import struct
import subprocess
import termios
import time

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Socket:
    """An answer that accepts a WebSocket: `serve(socket)` runs on the request's thread."""

    def __init__(self, serve, accept=None, **headers):
        self.handle, self.accept, self.headers = serve, accept, headers

    def serve(self, handler):
        key = handler.headers["Sec-WebSocket-Key"].encode()
        assert len(base64.b64decode(key)) == 16 and handler.headers["Sec-WebSocket-Version"] == "13"
        assert handler.headers["Upgrade"].lower() == "websocket" and handler.headers["Connection"] == "Upgrade"
        accept = self.accept or base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
        headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept, **self.headers}
        self.wire = handler.connection
        self.input = handler.rfile
        head = "HTTP/1.1 101 Switching Protocols\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n"
        self.early = head.encode()
        handler.close_connection = True
        try:
            Connection(self).run(self.handle)
        except (BrokenPipeError, ConnectionResetError):
            pass


class Connection:
    def __init__(self, socket):
        self.wire, self.input = socket.wire, socket.input
        self.head = socket.early            # goes with the first frame, in one write
        self.wire.settimeout(20)

    def run(self, handle):
        handle(self)

    def frame(self, opcode, data, final=True):
        size = len(data)
        if size < 126:
            head = struct.pack(">BB", (0x80 if final else 0) | opcode, size)
        elif size < 65536:
            head = struct.pack(">BBH", (0x80 if final else 0) | opcode, 126, size)
        else:
            head = struct.pack(">BBQ", (0x80 if final else 0) | opcode, 127, size)
        self.raw(head + data)

    def raw(self, data):
        data, self.head = self.head + data, b""
        self.wire.sendall(data)

    def say(self, **message):
        self.frame(TEXT, json.dumps(message).encode())

    def hello(self, **more):
        self.say(**{"type": "hello", "session_id": "s1", "cols": 80, "rows": 24, "input": "shared", "writer": True,
                    **more})

    def show(self, data):
        self.frame(BINARY, data)

    def close(self, code, reason=b""):
        self.frame(CLOSE, struct.pack(">H", code) + reason)
        while True:
            opcode, data = self.take()
            if opcode == CLOSE:
                assert data[:2] == struct.pack(">H", code), data
                return

    def take(self):
        """The next frame: (opcode, data).  (None, b"") at the end of the connection."""
        head = self.input.read(2)
        if len(head) < 2:
            return None, b""
        assert head[1] & 0x80, "a client masks its frames"
        size = head[1] & 0x7f
        if size == 126:
            size = struct.unpack(">H", self.input.read(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", self.input.read(8))[0]
        mask = self.input.read(4)
        data = bytes(c ^ mask[i % 4] for i, c in enumerate(self.input.read(size)))
        return head[0] & 0x0f, data

    def typed(self, count):
        """The next `count` bytes that were typed."""
        data = b""
        while len(data) < count:
            opcode, more = self.take()
            assert opcode == BINARY, (opcode, more, data)
            data += more
        return data


class Terminal:
    """A program on a pty of its own, which is its controlling terminal."""

    def __init__(self, command, env, cols=100, rows=30):
        self.master, self.slave = pty.openpty()
        self.resize(cols, rows)
        self.before = termios.tcgetattr(self.slave)
        self.shown = b""
        self.process = subprocess.Popen(command, stdin=self.slave, stdout=self.slave, stderr=self.slave, env=env,
                                        start_new_session=True, preexec_fn=self.control)

    def control(self):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def resize(self, cols, rows):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def raw(self):
        return not termios.tcgetattr(self.slave)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)

    def restored(self):
        return termios.tcgetattr(self.slave) == self.before

    def type(self, data):
        os.write(self.master, data)

    def read(self, seconds=0.0):
        limit = len(self.shown) + 1000000
        while len(self.shown) < limit and select.select([self.master], [], [], seconds)[0]:
            try:
                self.shown += os.read(self.master, 65536)
            except OSError:
                return

    def wait_shown(self, data, seconds=20):
        end, at = time.monotonic() + seconds, 0
        while self.shown.find(data, at) < 0:
            at = max(0, len(self.shown) - len(data))
            assert time.monotonic() < end, (data[-100:], self.shown[-300:])
            self.read(0.05)

    def wait(self, seconds=20):
        """Reads on until it ends, and returns its exit status."""
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < end, self.shown[-300:]
            self.read(0.02)
        self.read(0.0)
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        for fd in (self.master, self.slave):
            os.close(fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
