"""streamclient.py: a reader of answers that come as they are written, in each form that curfew has.

    with Stream.exec(server, id, "echo hi", form="frames") as stream:
        for record in stream:           # Record(kind="start"|"stdout"|"stderr"|"terminal"|"gap"|"result"|"error"|"comment", …)
            …

A stream that ends without its last chunk raises Cut.  Each has a connection of its own, whose receive buffer may be made small, so that a
reader that stops reading is felt by the server soon.
"""
import base64
import contextlib
import http.client
import json
import socket
import struct
import time

TYPES = {"ndjson": "application/x-ndjson", "sse": "text/event-stream", "frames": "application/vnd.curfew.frames",
         "raw": "application/octet-stream"}
FRAME_KINDS = {1: "stdout", 2: "stderr", 3: "terminal", 4: "gap", 5: "result", 6: "error", 7: "start"}
PIECES = ("stdout", "stderr", "terminal")


class Cut(Exception):
    """The connection was closed in the middle of the answer."""


class Record:
    """kind; data: bytes of a piece; offset; value: the JSON as it was (None for pieces of frames and raw); id: of an event."""

    def __init__(self, kind, data=b"", offset=None, value=None, id=None):
        self.kind, self.data, self.offset, self.value, self.id = kind, data, offset, value, id

    def __repr__(self):
        return f"<{self.kind} at {self.offset}, {len(self.data)} bytes: {self.data[:60] or str(self.value)[:300]!r}>"


def piece_of(value, id=None):
    """A piece or gap of JSON as a Record; checks that it is one."""
    if "gap" in value:
        assert value["gap"] > 0, value
        return Record("gap", offset=value["offset"], value=value, id=id)
    assert value["stream"] in PIECES, value
    data = base64.b64decode(value["base64"]) if "base64" in value else value["text"].encode()
    if "base64" in value or "\ufffd" not in value["text"]:
        assert len(data) == value["bytes"] > 0, value
    return Record(value["stream"], data, value["offset"], value, id)


# ---- the forms: generators that are sent bytes and give lists of records

def parse_ndjson():
    rest, records = b"", []
    while True:
        *lines, rest = (rest + (yield records)).split(b"\n")
        records = []
        for line in lines:
            value = json.loads(line)
            kind = next((k for k in ("start", "result", "error") if k in value), None)
            records.append(Record(kind, value=value[kind]) if kind else piece_of(value))


def parse_sse():
    rest, records = b"", []
    while True:
        *events, rest = (rest + (yield records)).split(b"\n\n")
        records = []
        for event in events:
            if event.startswith(b":"):
                records.append(Record("comment"))
                continue
            fields = dict(line.split(b": ", 1) for line in event.split(b"\n"))
            assert set(fields) == {b"id", b"event", b"data"}, event
            kind, value, id = fields[b"event"].decode(), json.loads(fields[b"data"]), int(fields[b"id"])
            record = piece_of(value, id) if kind in (*PIECES, "gap") else Record(kind, value=value, id=id)
            assert record.kind == kind, event
            records.append(record)


def parse_frames():
    rest, records = b"", []
    while True:
        rest += yield records
        records = []
        at = 0
        while len(rest) - at >= 16:
            number, zeros, size, offset = struct.unpack_from(">B3sIQ", rest, at)
            assert number in FRAME_KINDS and zeros == b"\0\0\0", rest[at:at + 16]
            if len(rest) - at < 16 + size:
                break
            kind, data = FRAME_KINDS[number], rest[at + 16:at + 16 + size]
            at += 16 + size
            if kind == "gap":
                records.append(Record(kind, offset=offset, value={"gap": struct.unpack(">Q", data)[0], "offset": offset}))
            elif kind in PIECES:
                assert size > 0, "an empty frame"
                records.append(Record(kind, data, offset))
            else:
                records.append(Record(kind, offset=offset, value=json.loads(data)))
        rest = rest[at:]


def parse_raw():
    offset, records = 0, []
    while True:
        data = yield records
        records = [Record("raw", data, offset)] if data else []
        offset += len(data)


PARSERS = {"ndjson": parse_ndjson, "sse": parse_sse, "frames": parse_frames, "raw": parse_raw}


class Stream:
    """An answer under way."""

    def __init__(self, server, method, path, body=None, form="ndjson", headers=None, rcvbuf=None, timeout=60):
        self.form = form
        self.connection = server.connection(timeout=timeout)
        if rcvbuf:
            self.connection.sock = small_socket(server, rcvbuf, timeout)
        headers = {"Accept": TYPES[form], **(headers or {})}
        if body is not None:
            headers["Content-Type"] = "application/json"
        self.connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        self.sock = self.connection.sock
        self.answer = self.connection.getresponse()
        self.status, self.headers = self.answer.status, dict(self.answer.getheaders())
        self.parser = PARSERS[form]()
        next(self.parser)
        self.pending = []

    @classmethod
    def exec(cls, server, session_id, command, form="ndjson", rcvbuf=None, headers=None, timeout_of_reader=60, **fields):
        """A command with `stream`; it must have been taken."""
        stream = cls(server, "POST", f"/v1/sessions/{session_id}/exec", {"command": command, "stream": True, **fields}, form,
                     rcvbuf=rcvbuf, headers=headers, timeout=timeout_of_reader)
        assert stream.status == 200, (stream.status, stream.answer.read())
        assert stream.headers["Content-Type"] == TYPES[form], stream.headers
        return stream

    @classmethod
    def output(cls, server, session_id, form="ndjson", rcvbuf=None, headers=None, **query):
        """What it has printed, with these parameters."""
        words = "&".join(f"{name}={value}" for name, value in query.items())
        stream = cls(server, "GET", f"/v1/sessions/{session_id}/output" + (f"?{words}" if words else ""), None, form, headers, rcvbuf)
        assert stream.status == 200, (stream.status, stream.answer.read())
        return stream

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Goes away, also in the middle."""
        self.answer.close()
        self.connection.close()

    def reset(self):
        """Goes away with a RST, as a process that was killed with unread bytes."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def bytes(self, most=1 << 18):
        """The next bytes of the body; b"" at its end."""
        try:
            return self.answer.read1(most)
        except (http.client.IncompleteRead, ConnectionError) as error:
            raise Cut(str(error)) from None

    def __iter__(self):
        while (record := self.next()) is not None:
            yield record

    def next(self):
        """The next record; None at the end."""
        while not self.pending:
            data = self.bytes()
            if not data:
                return None
            self.pending = self.parser.send(data)
        return self.pending.pop(0)

    def until(self, kind):
        """Records up to the first of this kind, which is the last of them."""
        records = []
        for record in self:
            records.append(record)
            if record.kind == kind:
                return records
        raise AssertionError(f"no {kind}: {records[-5:]}")


def small_socket(server, rcvbuf, timeout):
    host, port = server.address.rsplit(":", 1)
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    sock.settimeout(timeout)
    sock.connect((host.strip("[]"), int(port)))
    return sock


class Collected:
    """What a stream's records say together; each record is checked against the ones before it."""

    def __init__(self, since=0):
        self.streams = {}               # name: bytes
        self.all = bytearray()
        self.next = since
        self.gaps = []
        self.last_id = None             # of an event
        self.start = self.result = self.error = None
        self.records = 0

    def add(self, record):
        assert self.result is None and self.error is None, f"{record} behind the end"
        self.records += 1
        self.last_id = self.last_id if record.id is None else record.id
        if record.kind in PIECES or record.kind == "raw":
            assert record.offset == self.next, (record, self.next)
            self.streams.setdefault(record.kind, bytearray()).extend(record.data)
            self.all.extend(record.data)
            self.next += len(record.data)
            assert record.id is None or record.id == self.next, (record, record.id)
        elif record.kind == "gap":
            assert record.offset == self.next, (record, self.next)
            self.gaps.append((record.offset, record.value["gap"]))
            self.next += record.value["gap"]
            assert record.id is None or record.id == self.next, (record, record.id)
        elif record.kind != "comment":
            setattr(self, record.kind, record.value)

    def text(self, stream):
        return bytes(self.streams.get(stream, b"")).decode()


def collect(stream, since=0):
    """Reads a stream to its end."""
    collected = Collected(since)
    with contextlib.closing(stream):
        for record in stream:
            collected.add(record)
    return collected


def stays_the_same(look, what, seconds=1.0, within=30):
    """Waits until what `look` gives has been the same for so long, and returns it."""
    until = time.monotonic() + within
    value, since = look(), time.monotonic()
    while time.monotonic() - since < seconds:
        assert time.monotonic() < until, f"{what} did not come to a rest within {within} s"
        time.sleep(0.02)
        now = look()
        if now != value:
            value, since = now, time.monotonic()
    return value
