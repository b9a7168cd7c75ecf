#!/usr/bin/env python3
"""Output as it comes: POST …/exec with `stream`, and GET …/output that follows, in each of the four forms.
budget: 120
"""
import hashlib
import json
import os
import random
import re
import socket
import time

import harness
import streamclient
from sessions import PROMPTLY, SPOOL, Session, run_cases
from streamclient import Collected, Cut, Stream, collect, stays_the_same
from tap import case
from terminals import Terminal

FORMS = tuple(streamclient.TYPES)
RECORDS = ("ndjson", "sse", "frames")   # those that tell streams apart
STALL = 1                               # seconds, stream_stall_timeout of one of the servers

# How far a writer got is told by what it says on another way: bytes written, in the file `progress`.
WRITER = """python3 -c '
import os, sys
n, most, block = 0, int(sys.argv[1]), bytes(range(256)) * 64
fd = os.open("progress", os.O_WRONLY | os.O_CREAT)
while n < most:
    n += os.write(1, block[:most - n])
    os.pwrite(fd, b"%d" % n, 0)
' """


def progress(session):
    try:
        return int(session.read("progress") or 0)
    except FileNotFoundError:
        return 0


def memory(server):
    """Bytes of the server's own memory, and of all that it has in files without a name."""
    with open(f"/proc/{server.server_pid}/status", encoding="ascii") as status:
        return sum(int(re.search(rf"^{name}:\s*(\d+) kB", text, re.M).group(1)) << 10
                   for text in [status.read()] for name in ("RssAnon", "RssShmem"))


# ---- what comes, and when

silent = []                             # a session and a stream of it on which nothing comes for 15 seconds, and since when


@case("an event stream of a silent command begins (how it goes on is seen below)")
def _():
    s = Session()
    silent.extend((s, s.stream("until [ -e go ]; do sleep 0.1; done", "sse"), time.monotonic()))
    assert silent[1].next().kind == "start"



@case("output comes while its command runs, in each form")
def _():
    for form in FORMS:
        s = Session()
        with s.stream("echo one; until [ -e go ]; do sleep 0.02; done; echo two", form) as stream:
            got = b""
            while b"one\n" not in got:
                got += stream.next().data
            assert b"two" not in got and s.server.show(s.id)["busy"], got
            s.touch("go")
            for record in stream:
                got += record.data
        assert got == b"one\ntwo\n", (form, got)
        s.end()


@case("records: a start, pieces of both streams whose offsets follow each other, a result that is that of a plain exec")
def _():
    for form in RECORDS:
        s = Session()
        got = collect(s.stream("cd /tmp; for i in 1 2 3; do echo out$i; sleep 0.01; echo err$i >&2; sleep 0.01; done; exit_() { return 7; }; exit_", form))
        assert got.start == {"session_id": s.id, "exec": 1}, got.start
        assert got.text("stdout") == "out1\nout2\nout3\n" and got.text("stderr") == "err1\nerr2\nerr3\n", got.streams
        assert not got.gaps and got.next == 30 and got.error is None
        plain = s.server.exec(s.id, "exit_")
        assert set(plain) - {"stdout", "stderr", "truncated"} == set(got.result), (set(plain), set(got.result))
        want = {"exec": 1, "exit_code": 7, "cwd": "/tmp", "timed_out": False, "cancelled": False, "stdout_bytes": 15, "stderr_bytes": 15,
                "session_state": "active"}
        assert {key: got.result[key] for key in want} == want, got.result
        assert 50 < got.result["duration_ms"] < PROMPTLY * 1000
        s.end()


@case("a command that prints nothing has a start and a result, and raw an empty body")
def _():
    s = Session()
    for form in RECORDS:
        got = collect(s.stream("true", form))
        assert got.start and got.result["exit_code"] == 0 and not got.all, got.result
    assert not collect(s.stream("true", "raw")).all
    s.end()


@case("the forms' details: events have ids and names, lines are JSON each, an unknown Accept gives lines")
def _():
    s = Session()
    with s.stream("printf abc", headers={"Accept": "text/html, image/png"}) as stream:
        assert stream.headers["Content-Type"] == "application/x-ndjson"
        assert [r.kind for r in stream] == ["start", "stdout", "result"]
    with s.stream("printf abc", "sse") as stream:
        assert [(r.kind, r.id) for r in stream] == [("start", 0), ("stdout", 3), ("result", 3)]
    for form in FORMS:
        with s.stream("true", form) as stream:
            assert stream.headers["Transfer-Encoding"] == "chunked" and "Content-Length" not in stream.headers, stream.headers
            list(stream)
    s.end()


@case("a timeout and a cancel are told in the result of a stream")
def _():
    s = Session()
    got = collect(s.stream("echo a; sleep 100", timeout=0.3))
    assert got.result["timed_out"] is True and got.result["exit_code"] == 130 and got.text("stdout") == "a\n", got.result
    with s.stream("echo a; sleep 100") as stream:
        stream.until("stdout")
        got = s.server.ok("DELETE", f"/v1/sessions/{s.id}/execs/2")
        assert got["cancelled"] is True and got["state"] == "ended"
        assert stream.until("result")[-1].value["cancelled"] is True
    s.end()


@case("a shell that leaves is told in the result: exit status, and closed or failed")
def _():
    for command, code, state in (("echo x; exit 3", 3, "closed"), ("echo x; kill -9 $$", 137, "failed"), ("exec echo x", 0, "closed")):
        s = Session()
        got = collect(s.stream(command))
        assert got.text("stdout") == "x\n" and got.result["exit_code"] == code and got.result["session_state"] == state, got.result
        s.server.tombstone(s.id)


@case("a session that ends under a stream: what was printed, then an error record with the tombstone")
def _():
    for form in FORMS:
        s = Session()
        with s.stream("echo before; trap '' INT TERM HUP; while :; do sleep 1; done", form) as stream:
            assert stream.until("stdout" if form != "raw" else "raw")[-1].data == b"before\n"
            ended = harness.Later(s.server.end, s.id)
            try:
                rest = list(stream)
            except Cut:
                rest = None
        ended.result()
        if form == "raw":               # which cannot say so, and must not look whole
            assert rest is None, rest
            continue
        assert len(rest) == 1 and rest[0].kind == "error", rest
        error = rest[0].value
        assert error["code"] == "gone" and error["message"] and error["session"]["session_id"] == s.id, error
        assert error["session"]["reason"] == "requested" and "before" in error["session"]["last_output"], error


@case("following a session: all that its commands print, then why it ended")
def _():
    s = Session()
    s.server.exec(s.id, "echo one")
    with s.output("ndjson") as stream:
        got = Collected()
        for record in stream.until("stdout"):
            got.add(record)
        s.server.exec(s.id, "echo two; echo err >&2")
        for record in stream.until("stderr"):
            got.add(record)
        ended = harness.Later(s.server.end, s.id)
        for record in stream:
            got.add(record)
        ended.result()
    assert got.start == {"session_id": s.id} and got.text("stdout") == "one\ntwo\n" and got.text("stderr") == "err\n", got.streams
    assert got.result["session"]["reason"] == "requested", got.result


@case("follow=true on raw bytes goes on until the command has ended, and without it answers with what is there")
def _():
    s = Session()
    with s.stream("echo one; until [ -e go ]; do sleep 0.02; done; echo two", "sse") as running:
        running.until("stdout")
        assert bytes(collect(s.output("raw", exec=1)).all) == b"one\n"
        assert bytes(collect(s.output("raw")).all) == b"one\n"
        following = harness.Later(collect, s.output("raw", exec=1, follow="true", since=1))
        s.touch("go")
        assert bytes(following.result().all) == b"ne\ntwo\n"
        running.until("result")
    s.end()


@case("raw without follow ends also while its command goes on printing")
def _():
    s = Session()
    with s.stream("yes", "raw") as running:
        running.next()
        s.output("raw", exec=1).close()
        reading = harness.Later(collect, s.output("raw", exec=1))
        while reading.thread.is_alive():
            running.next()
        got = reading.result()
        assert 0 < len(got.all) <= SPOOL + (1 << 20), len(got.all)
        s.server.ok("DELETE", f"/v1/sessions/{s.id}/execs/1")
    s.end()


@case("raw says the offset of its first byte and of the next one, also behind a gap")
def _():
    s = Session()
    s.server.exec(s.id, f"head -c {SPOOL + 100000} /dev/zero | tr '\\0' x")
    with s.output("raw", exec=1, since=5) as stream:
        first, data = int(stream.headers["X-Curfew-Offset"]), b"".join(r.data for r in stream)
        assert first >= 100000 and first + len(data) == SPOOL + 100000, (first, len(data))
        assert int(stream.headers["X-Curfew-Next"]) == SPOOL + 100000, stream.headers
    with s.output("raw", exec=1, since=SPOOL, limit=10) as stream:
        assert stream.headers["X-Curfew-Offset"] == str(SPOOL) and stream.headers["X-Curfew-Next"] == str(SPOOL + 10)
        assert bytes(collect(stream).all) == b"x" * 10
    s.end()


@case("one stream of a command: its own offsets, and nothing of the other")
def _():
    s = Session()
    s.server.exec(s.id, "for i in {1..50}; do echo out$i; echo error$i >&2; done")
    out, err = "".join(f"out{i}\n" for i in range(1, 51)), "".join(f"error{i}\n" for i in range(1, 51))
    for form in FORMS:
        for name, want in (("stdout", out), ("stderr", err)):
            got = collect(s.output(form, exec=1, stream=name, follow="true"))
            assert bytes(got.all).decode() == want, (form, name)
            got = collect(s.output(form, exec=1, stream=name, since=100, follow="true"), 0 if form == "raw" else 100)
            assert bytes(got.all).decode() == want[100:], (form, name)
    s.end()


@case("following one stream while the other floods: the flood is held up by nobody")
def _():
    for form in FORMS:
        s = Session()
        flood = s.stream(f"head -c {3 * SPOOL} /dev/zero; echo end >&2", "frames")
        flood.until("start")
        following = harness.Later(collect, s.output(form, exec=1, stream="stderr", follow="true"))
        got = collect(flood)
        assert len(got.streams["stdout"]) == 3 * SPOOL, len(got.streams["stdout"])
        assert bytes(following.result(PROMPTLY).all) == b"end\n"
        s.end()


@case("following from an offset that has not come yet holds up nobody, and begins there")
def _():
    s = Session()
    flood = s.stream(f"until [ -e go ]; do sleep 0.02; done; head -c {3 * SPOOL} /dev/zero; echo end", "frames")
    flood.until("start")
    following = harness.Later(collect, s.output("frames", exec=1, since=3 * SPOOL), 3 * SPOOL)
    s.touch("go")
    assert len(collect(flood).all) == 3 * SPOOL + 4
    assert bytes(following.result(PROMPTLY).all) == b"end\n"
    s.end()


# ---- bytes

def chatter(size):
    """A command that prints `size` bytes of the file `data` in portions on both streams, and what each gets."""
    return f"""python3 -c '
import os
data = open("data", "rb").read()
at, i = 0, 0
while at < len(data):
    part = data[at:at + 1 + i * 7919 % 30000]
    os.write(1 + i % 3 % 2, part)
    at += len(part)
    i += 1
'"""


def chatter_streams(data):
    out, at, i = (bytearray(), bytearray()), 0, 0
    while at < len(data):
        part = data[at:at + 1 + i * 7919 % 30000]
        out[i % 3 % 2].extend(part)
        at += len(part)
        i += 1
    return out


@case("100 MB in one line, byte for byte, on raw and frames")
def _():
    s = Session()
    block = random.Random(1).randbytes(1 << 20).replace(b"\n", b"\0")
    s.write("block", block)
    want = hashlib.sha256()
    for _ in range(100):
        want.update(block)
    for form in ("raw", "frames"):
        got, size = hashlib.sha256(), 0
        with s.stream("for i in {1..100}; do cat block; done", form) as stream:
            for record in stream:
                got.update(record.data)
                size += len(record.data)
        assert size == 100 << 20 and got.digest() == want.digest(), (form, size)
    s.end()


@case("NUL, invalid UTF-8, CR and escape sequences on both streams survive on frames, and as base64")
def _():
    s = Session()
    data = bytes(range(256)) * 300 + b"\r\n\x1b[31mred\x1b[0m\xff\xfe\xc3" + random.Random(2).randbytes(500000)
    s.write("data", data)
    out, err = chatter_streams(data)
    got = collect(s.stream(chatter(len(data)), "frames"))
    assert got.streams["stdout"] == out and got.streams["stderr"] == err
    for form in ("ndjson", "sse"):
        got = collect(s.output(form, exec=1, encoding="base64"))
        assert got.streams["stdout"] == out and got.streams["stderr"] == err
    assert collect(s.output("raw", exec=1, stream="stderr")).all == err
    s.end()


@case("characters are never torn between two pieces of text, however they were printed")
def _():
    s = Session()
    text = "".join(random.Random(3).choice("aé€😀") for _ in range(400000))
    s.write("data", text.encode())
    for form in ("ndjson", "sse"):
        assert collect(s.stream("printf x; cat data", form)).text("stdout") == "x" + text, form
        assert collect(s.stream("""python3 -c '
import os
data = open("data", "rb").read()[:3000]
for i in range(len(data)):
    os.write(1, data[i:i + 1])
'""", form)).text("stdout") == text.encode()[:3000].decode("utf-8", "replace"), form
    s.end()


@case("a character that lacks its end does not hold up the writer, and comes as U+FFFD when the command has ended")
def _():
    s = Session()
    # The end of each pipeful is in the middle of a character.
    size = 3 * SPOOL
    with s.stream(f"""python3 -c '
import os
data = b"x" + ("é" * {size // 2}).encode()
at = 0
while at < len(data):
    at += os.write(1, data[at:at + 4096])
'""") as stream:
        got = collect(stream)
    assert got.text("stdout") == "x" + "é" * (size // 2)
    got = collect(s.stream("printf 'a\\xe2\\x82'"))
    assert got.text("stdout").startswith("a\ufffd") and got.result["stdout_bytes"] == 3, got.text("stdout")
    s.end()


# ---- readers that are slow, stop, or leave

@case("a slow reader makes the writer wait, and the server does not grow")
def _():
    for form in FORMS:
        s = Session()
        size = 100 << 20
        before = memory(s.server)
        with s.stream(WRITER + str(size), form, rcvbuf=65536) as stream:
            stream.next()
            far = stays_the_same(lambda: progress(s), "the writer", seconds=0.5)
            assert far < 24 << 20, (form, far)
            assert memory(s.server) - before < 32 << 20, (form, before, memory(s.server))
            for _ in range(1000):
                stream.next()
            harness.wait_for(lambda: progress(s) > far, f"{form}: the writer goes on when the reader does")
        # It went away: the command goes on to its end.
        record = s.wait_ended(1)
        assert progress(s) == size and record["stdout_bytes"] == size and record["exit_code"] == 0, record
        s.end()


@case("every byte arrives at a reader that takes its time, while what is kept grows and when it no longer does")
def _():
    for form, spool in (("raw", SPOOL), ("frames", SPOOL), ("raw", 64 << 20), ("frames", 64 << 20)):
        s = Session(spool_bytes=spool)
        size = 40 << 20
        block = bytes(range(256)) * 64
        want, got, count = hashlib.sha256(block * (size // len(block))).digest(), hashlib.sha256(), 0
        with s.stream(WRITER + str(size), form, rcvbuf=16384) as stream:
            for record in stream:
                got.update(record.data)
                count += len(record.data)
                if count >> 22 != (count - len(record.data)) >> 22:     # once in 4 MiB it looks away until the writer waits
                    stays_the_same(lambda: progress(s), "the writer", seconds=0.1)
        assert count == size and got.digest() == want, (form, count)
        s.end()


def poor_session():
    """A session for whose output there is no more memory than the least, since another one has used it up."""
    settings = {"spool_total_bytes": 1 << 20}
    rich = Session(**settings)
    rich.run("head -c 3000000 /dev/zero")
    return Session(**settings)


@case("a writer that waits for a reader when the memory for output is used up goes on when the reader does")
def _():
    # The reader has not taken a byte of the first piece when the second one finds no more room.
    s = poor_session()
    connection = harness.UnixConnection(s.server.sock, timeout=PROMPTLY)
    body = json.dumps({"command": "head -c 300000 /dev/zero; touch printed; echo end", "stream": True})
    connection.request("POST", f"{s.path}/exec", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    stays_the_same(lambda: s.get("execs/1?limit=1")["stdout_bytes"], "what the command printed")
    assert not os.path.exists(os.path.join(s.folder, "printed"))
    records = [json.loads(line) for line in answer.read().splitlines()]
    total = sum(r["bytes"] for r in records if "text" in r) + sum(r.get("gap", 0) for r in records)
    assert total == 300004, [str(r)[:200] for r in records]
    assert records[-1]["result"]["stdout_bytes"] == 300004, records[-1]
    connection.close()
    s.end()


@case("what a command leaves in its pipes when the memory for output is used up is a gap, not another's output")
def _():
    s = poor_session()
    connection = harness.UnixConnection(s.server.sock, timeout=PROMPTLY)
    body = json.dumps({"command": "head -c 100000 /dev/zero; head -c 60000 /dev/zero >&2", "stream": True})
    connection.request("POST", f"{s.path}/exec", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    s.wait_ended(1)
    records = [json.loads(line) for line in answer.read().splitlines()]
    result = records[-1]["result"]
    assert (result["stdout_bytes"], result["stderr_bytes"]) == (100000, 60000), result
    assert sum(r["bytes"] for r in records if "text" in r) + sum(r.get("gap", 0) for r in records) == 160000
    connection.close()
    s.end()


@case("what a terminal prints while a reader is slow never comes as a command's output")
def _():
    t = Terminal(spool_bytes=1 << 20)
    t.type("(until [ -e stop ]; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done) &\r")
    t.wait_shown("xxx\r\nxxx")
    printed = t.get("output?limit=1")["next"]
    with t.stream("head -c 8000000 /dev/zero", "frames", rcvbuf=4096) as stream:
        harness.wait_for(lambda: t.get("output?limit=1")["next"] > printed + (6 << 20), "the ring was filled anew a few times")
        kept = lost = 0
        for record in stream:
            assert record.data.count(b"\0") == len(record.data), (record.kind, record.offset, record.data.strip(b"\0")[:100])
            kept += len(record.data)
            lost += record.value["gap"] if record.kind == "gap" else 0
    assert kept + lost == 8000000, (kept, lost)
    t.touch("stop")
    t.end()


@case("a reader that goes away neither ends nor blocks the command, whose output is there afterwards")
def _():
    for form in FORMS:
        for leave in ("close", "reset"):
            s = Session()
            with s.stream("echo one; until [ -e go ]; do sleep 0.02; done; seq 100000; echo err >&2", form) as stream:
                while stream.next().data != b"one\n":
                    pass
                getattr(stream, leave)()
            s.touch("go")
            record = s.wait_ended(1)
            want = "one\n" + "".join(f"{i}\n" for i in range(1, 100001))
            assert record["exit_code"] == 0 and record["stdout_bytes"] == len(want) and record["cancelled"] is False, record
            assert bytes(collect(s.output("raw", exec=1, stream="stdout")).all).decode() == want
            s.end()


@case("many readers that go away at any time, while a command prints: it comes to its end")
def _():
    s = Session()
    choose = random.Random(4)
    size = 64 << 20
    with s.stream(WRITER + str(size), "raw") as first:
        reading = harness.Later(lambda: sum(len(r.data) for r in first))
        number = 0
        while reading.thread.is_alive():
            form = choose.choice(FORMS)
            stream = s.output(form, exec=1, follow="true", rcvbuf=choose.choice((4096, 65536, None)))
            for _ in range(choose.randrange(20)):
                if stream.next() is None:
                    break
            choose.choice((stream.close, stream.reset))()
            number += 1
        assert reading.result() == size and number > 5, number
    assert s.wait_ended(1)["stdout_bytes"] == size
    s.end()


@case("a reader that takes nothing for stream_stall_timeout is cut, and the command goes on")
def _():
    size = 100 << 20
    readers = []
    for form in FORMS:
        s = Session(stream_stall_timeout=STALL)
        stream = s.stream(WRITER + str(size), form, rcvbuf=16384)
        stream.next()
        readers.append((s, stream))
    for s, stream in readers:
        record = s.wait_ended(1)
        assert record["stdout_bytes"] == size and record["exit_code"] == 0, record
        try:
            with stream:
                for _ in stream:
                    pass
        except Cut:
            pass
        else:
            raise AssertionError(f"{stream.form}: it was not cut")
        s.end()


@case("a reader that takes little by little is not cut")
def _():
    s = Session(stream_stall_timeout=STALL)
    with s.stream("head -c 8000000 /dev/zero", "raw", rcvbuf=4096) as stream:
        count, since = 0, time.monotonic()
        while time.monotonic() - since < 3 * STALL:
            count += len(stream.bytes(16384))
            stays_the_same(lambda: time.monotonic() - since > 3 * STALL, "time", seconds=0.1)
        while data := stream.bytes():
            count += len(data)
    assert count == 8000000, count
    s.end()


@case("a command that is silent for longer than stream_stall_timeout keeps its reader")
def _():
    s = Session(stream_stall_timeout=STALL)
    assert collect(s.stream("echo one; sleep 2.5; echo two")).text("stdout") == "one\ntwo\n"
    s.end()


@case("a reader of an ended command does not hold up the one that runs")
def _():
    s = Session()
    s.server.exec(s.id, f"head -c {SPOOL} /dev/zero")
    with s.output("frames", exec=1, rcvbuf=4096) as slow:
        slow.until("start")
        since = time.monotonic()
        got = s.server.exec(s.id, WRITER + str(32 << 20))
        assert got["stdout_bytes"] == 32 << 20 and time.monotonic() - since < PROMPTLY
        records = list(slow)
    # What it had not read yet when its place was needed is a gap, and nothing but its own bytes came.
    assert all(r.data == bytes(len(r.data)) for r in records if r.kind == "stdout")
    assert sum(len(r.data) for r in records) + sum(r.value["gap"] for r in records if r.kind == "gap") == SPOOL
    s.end()


@case("a stalled reader of a command that has ended does not hold up the next one, and gets nothing of its output")
def _():
    s = Session(stream_stall_timeout=STALL)
    with s.stream(WRITER + str(32 << 20), "frames", rcvbuf=4096, timeout=30) as slow:
        slow.until("stdout")
        stays_the_same(lambda: progress(s), "the writer", seconds=0.2)
        s.server.ok("DELETE", f"/v1/sessions/{s.id}/execs/1")
        got = s.server.exec(s.id, f"head -c {4 * SPOOL} /dev/zero; echo end")
        assert got["stdout_bytes"] == 4 * SPOOL + 4 and got["stdout"].endswith("end\n") and got["timed_out"] is False, got["stdout_bytes"]
        written = bytes(range(256)) * 64
        try:
            for record in slow:
                if record.kind == "stdout":
                    at = record.offset % len(written)
                    assert record.data == (written * (len(record.data) // len(written) + 2))[at:at + len(record.data)], record.offset
        except Cut:
            pass                                    # it had taken nothing for long enough
    s.end()


@case("an event stream that was cut goes on behind the last id that was seen, with Last-Event-ID")
def _():
    s = Session()
    choose = random.Random(5)
    text = "".join(f"{i} é\n" for i in range(60000))
    s.write("data", text.encode())
    stream, got, cuts = s.stream("cat data; until [ -e go ]; do sleep 0.02; done; echo end", "sse"), Collected(), 0
    while got.result is None:
        for _ in range(choose.randrange(1, 4)):
            if got.next == len(text.encode()):
                s.touch("go")
            if got.result is None:
                got.add(stream.next())
                last = got.last_id
        stream.close()
        cuts += 1
        stream = Stream.output(s.server, s.id, "sse", exec=1, headers={"Last-Event-ID": str(last)})
    stream.close()
    assert got.text("stdout") == text + "end\n" and not got.gaps and cuts > 3, cuts
    s.end()


@case("Last-Event-ID wins over since; one that is no number is passed over")
def _():
    s = Session()
    s.server.exec(s.id, "printf 0123456789")
    for since, last, want in ((2, "5", "56789"), (2, "x", "23456789"), (2, "-1", "23456789"), (0, "10", ""), (0, "99", "")):
        got = b"".join(r.data for r in s.output("sse", exec=1, since=since, headers={"Last-Event-ID": last}))
        assert got.decode() == want, (since, last, got)
    s.end()


@case("a slow stream delays neither its session's other answers nor other sessions")
def _():
    s, other = Session(), Session()
    with s.stream("yes", "frames", rcvbuf=4096) as stream:
        stream.until("stdout")
        stays_the_same(lambda: s.get("execs/1?limit=1")["stdout_bytes"], "the writer", seconds=0.3)
        since = time.monotonic()
        for _ in range(20):
            assert other.server.exec(other.id, "echo hi")["stdout"] == "hi\n"
            assert s.server.show(s.id)["busy"]
        assert time.monotonic() - since < PROMPTLY / 2
        assert s.server.ok("DELETE", f"/v1/sessions/{s.id}/execs/1")["cancelled"] is True
    s.end()
    other.end()


@case("flooding streams in several sessions, all read: others get their turn")
def _():
    floods = [Session() for _ in range(6)]
    other = Session()
    streams = [s.stream("yes", "raw") for s in floods]
    stop = []

    def read(stream):
        while not stop:
            stream.bytes()
    readers = [harness.Later(read, stream) for stream in streams]
    since = time.monotonic()
    for _ in range(20):
        assert other.server.exec(other.id, "echo hi")["stdout"] == "hi\n"
    assert time.monotonic() - since < PROMPTLY, time.monotonic() - since
    stop.append(True)
    for reader, stream, s in zip(readers, streams, floods):
        reader.result()
        stream.reset()
        s.server.end(s.id)
    other.end()


@case("a comment comes on an event stream while nothing else does, every 15 seconds")
def _():
    s, stream, since = silent
    with stream:
        assert [r.kind for r in stream.until("comment")] == ["comment"]
        assert time.monotonic() - since > 14
        s.touch("go")
        assert {r.kind for r in stream} <= {"comment", "result"}
    s.end()


# ---- HTTP

def plain_http(server, request):
    """The whole answer to a request as it is, headers and body, once the other side closes."""
    host, port = server.address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=PROMPTLY) as sock:
        sock.sendall(request)
        answer = b""
        while data := sock.recv(65536):
            answer += data
    return answer.split(b"\r\n\r\n", 1)


@case("HTTP/1.0 gets a stream without chunks, which ends with the connection")
def _():
    s = Session()
    body = b'{"command":"echo one; sleep 0.1; echo two","stream":true}'
    head, got = plain_http(s.server, f"POST /v1/sessions/{s.id}/exec HTTP/1.0\r\nContent-Type: application/json\r\nAccept: application/octet-stream\r\n"
                           f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    assert head.split()[1] == b"200" and b"chunked" not in head and got == b"one\ntwo\n", (head, got)
    s.end()


@case("HEAD gets the headers of a stream alone, and what follows is the next answer or nothing")
def _():
    s = Session()
    s.server.exec(s.id, "echo hi")
    for accept in streamclient.TYPES.values():
        head, rest = plain_http(s.server, (f"HEAD /v1/sessions/{s.id}/output?exec=1 HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n"
                                           "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").encode())
        assert head.split()[1] == b"200" and accept.encode() in head, head
        assert rest == b"" or (rest.startswith(b"HTTP/1.1 200") and b'"healthy"' in rest), rest
    s.end()


@case("a connection goes on with the next request behind a stream, also one that was sent before")
def _():
    s = Session()
    body = b'{"command":"echo one; sleep 0.1; echo two","stream":true}'
    ask = (f"POST /v1/sessions/{s.id}/exec HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: application/octet-stream\r\n"
           f"Content-Length: {len(body)}\r\n\r\n").encode() + body
    _, rest = plain_http(s.server, ask + ask + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert rest.count(b"4\r\none\n\r\n4\r\ntwo\n\r\n0\r\n\r\n") == 2 and rest.count(b"HTTP/1.1 200") == 2, rest
    s.end()


@case("the server's end under a stream: the connection is closed, and nothing is left")
def _():
    with harness.Server(grace="200ms") as one:
        streams = []
        for form in FORMS:
            stream = Stream.exec(one, one.create(workspace=form)["session_id"], "echo one; sleep 100", form)
            while stream.next().data != b"one\n":
                pass
            streams.append((stream, Stream.exec(one, one.create(workspace=form)["session_id"], "yes", form, rcvbuf=4096)))
        one.stop()
        for stream, flood in streams:
            try:
                records = list(stream)
            except Cut:
                records = []
            # Whether the command heeds the SIGINT or is killed by the next one is open.
            assert stream.form == "raw" or not records or records[-1].kind in ("result", "error"), records
            flood.close()


if __name__ == "__main__":
    run_cases()
