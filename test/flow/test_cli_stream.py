#!/usr/bin/env python3
"""Output as it comes, standard input, signals and lost connections of curfew exec and curfew run, against a stand-in
server that streams, stalls, cuts and refuses as it is told."""
import json
import os
import select
import signal
import subprocess
import threading
import time

from clistand import CURFEW, ENV, SERVER, SESSION, TOMBSTONE, begun, curfew, expect, main, ran, result
from standin import ERROR, START, STDERR, STDOUT, Stream, error, frame, gap, success
from tap import case

BYTES = bytes(range(256)) * 40


def start(*args, **more):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.Popen([CURFEW, *args], env=ENV, **pipes)


def finish(process, seconds=20):
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def streamed(*parts, end=True):
    def write(stream):
        stream.send(begun(), *parts)
        if end:
            stream.end()
    return Stream(write)


def read_some(pipe, count):
    data = b""
    while len(data) < count:
        more = os.read(pipe.fileno(), count - len(data))
        assert more, data
        data += more
    return data


class Gate:
    """Holds a thread of the stand-in until the test lets it go on; nobody waits for ever."""

    def __init__(self):
        self.event = threading.Event()

    def wait(self):
        assert self.event.wait(20)

    def open(self):
        self.event.set()


def routes(exec, **others):
    """An answer by the last word of the path; `exec` answers the POST of a command."""
    def answer(request):
        parts = request.path.split("/")
        if request.method == "DELETE":
            name = "cancel" if "execs" in parts else "end"
        elif request.path == "/v1/sessions":
            return 201, success(SESSION)
        else:
            name = parts[4]
        if name == "exec":
            return exec
        return others[name]
    return answer


# output

@case("output appears as it comes, each stream in its own place")
def _():
    gate = Gate()

    def write(stream):
        stream.send(begun(), frame(STDOUT, b"one\n", 0))
        gate.wait()
        stream.send(frame(STDERR, b"two\n", 4), frame(STDOUT, b"three\n", 8), result(exit_code=3))
        stream.end()
    SERVER.set(Stream(write))
    process = start("exec", "s1", "x")
    assert read_some(process.stdout, 4) == b"one\n"
    assert process.poll() is None
    gate.open()
    assert finish(process) == (3, b"three\n", b"two\n")


@case("every byte is passed on as it is")
def _():
    SERVER.set(streamed(frame(STDOUT, BYTES, 0), frame(STDERR, BYTES[::-1], len(BYTES)), result()))
    assert finish(start("exec", "s1", "x")) == (0, BYTES, BYTES[::-1])


@case("frames may be cut anywhere")
def _():
    whole = b"".join([begun(), frame(STDOUT, b"ab", 0), frame(STDERR, b"", 2), frame(99, b"from the future"),
                      frame(STDOUT, b"c", 2), result(exit_code=9)])

    def write(stream):
        for at in range(len(whole)):
            stream.send(whole[at:at + 1])
        stream.end()
    SERVER.set(Stream(write))
    assert finish(start("exec", "s1", "x")) == (9, b"abc", b"")


@case("what is no stream of frames is told, and nothing of it is passed on")
def _():
    for answer in (Stream(lambda stream: (stream.send(b"hello, this is no frame"), stream.end())),
                   Stream(lambda stream: (stream.send(begun(), frame(6, b"no json")), stream.end())),
                   Stream(lambda stream: (stream.send(begun(), frame(4, b"short")), stream.end())),
                   (200, success({"exit_code": 0}))):
        SERVER.set(answer)
        expect(curfew("exec", "s1", "x"), 125, b"", "is no stream of output")
        assert len(SERVER.requests) == 1


@case("an error in the middle of a stream is curfew's own failure, after the output")
def _():
    SERVER.set(streamed(frame(STDOUT, b"half", 0), frame(ERROR, {"code": "shell_died", "message": "the shell died"})))
    expect(curfew("exec", "s1", "x"), 125, b"half", "^curfew: the shell died\n$")
    assert len(SERVER.requests) == 1


@case("a reader that stands still makes the server wait, and gets every byte in the end")
def _():
    block, sent, still = os.urandom(65536), [0], Gate()

    def write(stream):
        stream.send(begun())
        for i in range(256):
            if not select.select([], [stream.handler.connection], [], 1)[1]:
                still.open()
            stream.send(frame(STDOUT, block, i * len(block)))
            sent[0] += 1
        stream.send(result())
        stream.end()
    SERVER.set(Stream(write))
    process = start("exec", "s1", "x")
    assert read_some(process.stdout, 1) == block[:1]
    still.wait()
    assert sent[0] < 64, "the client takes no more than buffers hold"
    status, out, _err = finish(process)
    assert status == 0 and block[:1] + out == block * 256


@case("a reader that goes away cancels the command, and curfew dies of SIGPIPE as the command would have")
def _():
    def write(stream):
        stream.send(begun())
        offset = 0
        while True:
            stream.send(frame(STDOUT, b"y\n" * 5000, offset))
            offset += 10000
    SERVER.set(routes(Stream(write), cancel=(200, success({"exec": 7, "state": "ended", "cancelled": True}))))
    process = start("exec", "s1", "yes")
    read_some(process.stdout, 10)
    process.stdout.close()
    assert process.wait(20) == -signal.SIGPIPE and process.stderr.read() == b""
    process.stderr.close()
    asked = SERVER.wait_for(lambda r: r.method == "DELETE")
    assert asked.path == "/v1/sessions/s1/execs/7"


@case("lost output is told with its size, in its place")
def _():
    SERVER.set(streamed(frame(STDOUT, b"a", 0), gap(5000, 1), frame(STDOUT, b"b", 5001), result()))
    expect(curfew("exec", "s1", "x"), 0, b"ab", "^curfew: 5000 bytes of the output are missing here")


# lost connections

@case("a connection that breaks is made again, and no byte is lost or repeated")
def _():
    offsets = []

    def answer(request):
        if request.method == "POST":
            return streamed(frame(STDOUT, BYTES[:1000], 0), end=False)
        assert request.path == "/v1/sessions/s1/output" and request.query["exec"] == "7", request.query
        since = int(request.query["since"])
        offsets.append(since)
        if len(offsets) == 1:
            return streamed(frame(STDOUT, BYTES[since:3000], since), frame(STDERR, b"err", 3000), end=False)
        if len(offsets) == 2:
            return None                                         # no answer at all
        if len(offsets) == 3:
            return streamed(frame(STDOUT, BYTES[3000:4000], 3003)[:500], end=False)     # cut inside of a frame
        if len(offsets) == 4:
            return 503, error("unavailable", "later")
        # A piece that begins before what was asked for is passed on from there.
        return streamed(frame(STDOUT, BYTES[3400:], 3403), result(exit_code=4))
    SERVER.set(answer)
    status, out, err = finish(start("exec", "s1", "x"))
    assert (status, out, err) == (4, BYTES, b"err"), (status, len(out), err)
    assert offsets == [1000, 3003, 3003, 3003 + 484, 3003 + 484], offsets
    assert sum(r.method == "POST" for r in SERVER.requests) == 1, "the command was sent once"


@case("a stream that ends without a result is asked for again")
def _():
    SERVER.set(lambda r: streamed(frame(STDOUT, b"a", 0)) if r.method == "POST" else
               streamed(frame(STDOUT, b"b", 1), result()))
    assert finish(start("exec", "s1", "x")) == (0, b"ab", b"")


@case("a server that does not come back ends it with 125, and with how to go on")
def _():
    SERVER.set(lambda r: streamed(frame(STDOUT, b"abc", 0), end=False) if r.method == "POST" else None)
    begin = time.monotonic()
    expect(curfew("exec", "s1", "x"), 125, b"abc",
           "connection to the server was lost; to go on: curfew output s1 --exec 7 --since 3 --follow\n$")
    assert 3 < time.monotonic() - begin < 40


@case("a session that is gone when the connection comes back is told at once")
def _():
    SERVER.set(lambda r: streamed(frame(STDOUT, b"abc", 0), end=False) if r.method == "POST" else
               (410, error("gone", "the session has ended: idle")))
    expect(curfew("exec", "s1", "x"), 125, b"abc", "^curfew: the session has ended: idle\n$")
    assert len(SERVER.requests) == 2


@case("a connection that breaks before the command has a number is not made again")
def _():
    SERVER.set(Stream(lambda stream: None))
    expect(curfew("exec", "s1", "x"), 125, b"", "broke off")
    assert len(SERVER.requests) == 1


# signals

@case("a first SIGINT, SIGTERM or SIGHUP cancels the command; its last words come, and we die of the signal")
def _():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        gate = Gate()

        def write(stream, gate=gate):
            stream.send(begun(), frame(STDOUT, b"working\n", 0))
            gate.wait()
            stream.send(frame(STDOUT, b"bye\n", 8), result(exit_code=130, cancelled=True))
            stream.end()

        def cancel(request, gate=gate):
            gate.open()
            return 200, success({"exec": 7, "state": "ended", "cancelled": True})
        SERVER.set(routes(Stream(write), cancel=cancel))
        process = start("exec", "s1", "x")
        read_some(process.stdout, 8)
        process.send_signal(number)
        assert finish(process) == (-number, b"bye\n", b""), number
        assert [(r.method, r.path) for r in SERVER.requests][1:] == [("DELETE", "/v1/sessions/s1/execs/7")]


@case("a command that ends in its own way at SIGINT has its exit status passed on")
def _():
    gate = Gate()

    def write(stream):
        stream.send(begun(), frame(STDOUT, b"working\n", 0))
        gate.wait()
        stream.send(result(exit_code=5, cancelled=False))
        stream.end()
    SERVER.set(routes(Stream(write), cancel=lambda r: (gate.open(), (200, success({"exec": 7, "state": "ended"})))[1]))
    process = start("exec", "s1", "x")
    read_some(process.stdout, 8)
    process.send_signal(signal.SIGINT)
    assert finish(process) == (5, b"", b"")


@case("a second SIGINT leaves at once and says that the command may still run")
def _():
    gate = Gate()

    def write(stream):
        stream.send(begun(), frame(STDOUT, b"x", 0))
        gate.wait()
    SERVER.set(routes(Stream(write), cancel=lambda r: gate.wait()))
    process = start("exec", "s1", "x")
    try:
        read_some(process.stdout, 1)
        process.send_signal(signal.SIGINT)
        SERVER.wait_for(lambda r: r.method == "DELETE")
        line = process.stderr.readline()
        assert b"interrupt once more" in line, line
        process.send_signal(signal.SIGINT)
        status, _out, err = finish(process)
        assert status == -signal.SIGINT and b"command 7 of s1 may still run; see: curfew execs s1" in err, (status, err)
    finally:
        gate.open()


@case("a signal that comes before the command has a number cancels it as soon as it has one")
def _():
    gate, cancelled = Gate(), Gate()

    def write(stream):
        gate.wait()
        stream.send(begun())
        cancelled.wait()
        stream.send(result(exit_code=130, cancelled=True))
        stream.end()
    SERVER.set(routes(Stream(write), cancel=lambda r: (cancelled.open(), (200, success({})))[1]))
    process = start("exec", "s1", "x")
    SERVER.wait_for(lambda r: r.method == "POST")
    process.send_signal(signal.SIGINT)
    gate.open()
    assert finish(process)[0] == -signal.SIGINT
    assert len(SERVER.requests) == 2


@case("a SIGINT is seen while nobody reads our output")
def _():
    cancelled = Gate()

    def write(stream):
        stream.send(begun())
        for i in range(200):
            stream.send(frame(STDOUT, b"y" * 65536, i * 65536))
        cancelled.wait()
        stream.send(result(exit_code=130, cancelled=True))
        stream.end()
    SERVER.set(routes(Stream(write), cancel=lambda r: (cancelled.open(), (200, success({})))[1]))
    process = start("exec", "s1", "yes")
    read_some(process.stdout, 1)
    process.send_signal(signal.SIGINT)
    SERVER.wait_for(lambda r: r.method == "DELETE")
    status, out, _err = finish(process)
    assert status == -signal.SIGINT and len(out) == 200 * 65536 - 1


@case("--json: SIGINT interrupts the command, and its answer is printed")
def _():
    gate = Gate()

    def answer(request):
        if request.path.endswith("/exec"):
            gate.wait()
            return ran(stdout="part", exit_code=130)
        gate.open()
        return 200, success({"exec": 7, "signal": "SIGINT"})
    SERVER.set(answer)
    process = start("exec", "--json", "s1", "x")
    SERVER.wait_for(lambda r: r.path.endswith("/exec"))
    process.send_signal(signal.SIGINT)
    status, out, err = finish(process)
    assert status == -signal.SIGINT and b'"exit_code": 130' in out and err == b"", (status, out, err)
    asked = SERVER.requests[1]
    assert (asked.path, asked.json) == ("/v1/sessions/s1/signal", {"signal": "INT"})
    assert SERVER.requests[0].json == {"command": "x"}


@case("run: what the command prints while its session ends is passed on")
def _():
    gate = Gate()

    def write(stream):
        stream.send(begun(), frame(STDOUT, b"working\n", 0))
        gate.wait()
        stream.send(frame(STDOUT, b"last words\n", 8), frame(ERROR, {"code": "gone", "message": "it has ended"}))
        stream.end()
    SERVER.set(routes(Stream(write), end=lambda r: (gate.open(), (200, success(TOMBSTONE)))[1]))
    process = start("run", "x")
    read_some(process.stdout, 8)
    process.send_signal(signal.SIGTERM)
    assert finish(process) == (-signal.SIGTERM, b"last words\n", b"")


@case("run --keep: a signal cancels the command and leaves the session, whose name is told")
def _():
    gate = Gate()

    def write(stream):
        stream.send(begun(), frame(STDOUT, b"x", 0))
        gate.wait()
        stream.send(result(exit_code=130, cancelled=True))
        stream.end()
    SERVER.set(routes(Stream(write), cancel=lambda r: (gate.open(), (200, success({})))[1]))
    process = start("run", "--keep", "x")
    read_some(process.stdout, 1)
    process.send_signal(signal.SIGINT)
    status, _out, err = finish(process)
    assert status == -signal.SIGINT and err == b"bash_default_k3v9\n", (status, err)
    assert [r.method for r in SERVER.requests] == ["POST", "POST", "DELETE"]


# input

class Reader:
    """A command that reads: takes the pieces of input, as the server does, and echoes them at the end of the input."""

    def __init__(self, refuse=()):
        self.data, self.seqs, self.refuse, self.eof, self.posts = b"", [], list(refuse), Gate(), []

    def write(self, stream):
        stream.send(begun())
        self.eof.wait()
        stream.send(frame(STDOUT, self.data, 0), result())
        stream.end()

    def take(self, request):
        assert request.raw and request.path == "/v1/sessions/s1/input" and request.query["exec"] == "7"
        self.posts.append(len(request.body))
        if self.refuse:
            refusal = self.refuse.pop(0)
            if refusal != "lost after":
                return refusal
        else:
            refusal = None
        seq = int(request.query["seq"])
        duplicate = bool(self.seqs) and seq <= self.seqs[-1]
        if not duplicate:
            assert seq == len(self.seqs) + 1, (seq, self.seqs)
            self.seqs.append(seq)
            self.data += request.body
        closing = request.query.get("eof") == "true"
        if refusal:
            return None
        if closing:
            self.eof.open()
        return 200, success({"session_id": "s1", "exec": 7, "accepted": 0 if duplicate else len(request.body),
                             "duplicate": duplicate, "open": not closing})


@case("-i passes standard input on to its end, in numbered pieces; without -i it is left alone")
def _():
    reader, data = Reader(), os.urandom(300000)
    SERVER.set(routes(Stream(reader.write), input=reader.take))
    out = expect(curfew("exec", "-i", "s1", "cat", data=data), 0).stdout
    assert out == data
    assert SERVER.requests[0].json == {"command": "cat", "stream": True, "input": True}
    assert max(reader.posts) <= 65536 and reader.seqs == list(range(1, len(reader.seqs) + 1))
    SERVER.set(ran(stdout="x"))
    left = subprocess.run(["bash", "-c", '"$0" exec s1 x; cat', CURFEW], input=b"rest", env=ENV, stdout=subprocess.PIPE,
                          check=True).stdout
    assert left == b"xrest" and "input" not in SERVER.requests[0].json


@case("-i at the end of the file closes the command's input; it works on files and on /dev/null")
def _():
    for path in ("/dev/null", CURFEW):
        reader = Reader()
        SERVER.set(routes(Stream(reader.write), input=reader.take))
        with open(path, "rb") as file:
            result = subprocess.run([CURFEW, "exec", "--input", "s1", "cat"], stdin=file, env=ENV,
                                    stdout=subprocess.PIPE, check=True, timeout=30)
        with open(path, "rb") as file:
            assert result.stdout == file.read()


@case("-i passes on what is typed at once, before the end of the input")
def _():
    reader = Reader()
    SERVER.set(routes(Stream(reader.write), input=reader.take))
    process = start("exec", "-i", "s1", "cat", stdin=subprocess.PIPE)
    process.stdin.write(b"one\n")
    process.stdin.flush()
    SERVER.wait_for(lambda r: r.raw and r.body == b"one\n")
    process.stdin.write(b"two\n")
    process.stdin.flush()
    SERVER.wait_for(lambda r: r.raw and r.body == b"two\n")
    assert finish(process)[:2] == (0, b"one\ntwo\n")


@case("-i: a full queue is waited for, and a lost answer costs and repeats nothing")
def _():
    full = (429, error("too_many", "1 MiB of input wait already"))
    reader, data = Reader(refuse=[full, full, full, "lost after", None, full]), os.urandom(200000)
    SERVER.set(routes(Stream(reader.write), input=reader.take))
    result = expect(curfew("exec", "-i", "s1", "cat", data=data), 0, data)
    assert result.stderr == b""


@case("-i: a piece that is too large is sent in smaller ones")
def _():
    reader, data = Reader(), os.urandom(100000)

    def take(request):
        return (413, error("too_large", "too large")) if len(request.body) > 5000 else reader.take(request)
    SERVER.set(routes(Stream(reader.write), input=take))
    expect(curfew("exec", "-i", "s1", "cat", data=data), 0, data)


@case("-i: a command that does not read on ends it quietly")
def _():
    for code in ("not_reading", "not_found", "gone"):
        gate = Gate()

        def write(stream, gate=gate):
            stream.send(begun())
            gate.wait()
            stream.send(frame(STDOUT, b"head\n", 0), result())
            stream.end()
        SERVER.set(routes(Stream(write), input=lambda r: (gate.open(), (409, error(code, "no command reads")))[1]))
        process = start("exec", "-i", "s1", "head -1", stdin=subprocess.PIPE)
        process.stdin.write(b"x" * 100000)      # more than a pipe holds, and no end of file
        assert finish(process) == (0, b"head\n", b""), code
        assert sum(r.raw for r in SERVER.requests) == 1


class Read:
    """An answer, and `then` when the client has read it."""

    def __init__(self, status, reply, then):
        self.status, self.reply, self.then = status, json.dumps(reply).encode(), then

    def serve(self, handler):
        handler.send_response(self.status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(self.reply)))
        handler.end_headers()
        handler.wfile.write(self.reply)
        handler.close_connection = True
        handler.rfile.read()
        self.then()


@case("-i: other refusals are told, and the command's output still comes")
def _():
    gate = Gate()

    def write(stream):
        stream.send(begun())
        gate.wait()
        stream.send(frame(STDOUT, b"out", 0), result())
        stream.end()
    SERVER.set(routes(Stream(write), input=lambda r: Read(403, error("forbidden", "not you"), gate.open)))
    expect(curfew("exec", "-i", "s1", "cat", data=b"abc"), 0, b"out",
           "^curfew: standard input was passed on up to byte 0 only: not you\n$")


@case("-i: standard input that cannot be read closes the command's input, and is told")
def _():
    reader = Reader()
    SERVER.set(routes(Stream(reader.write), input=reader.take))
    folder = os.open("/", os.O_RDONLY)
    try:
        status, out, err = finish(start("exec", "-i", "s1", "cat", stdin=folder))
    finally:
        os.close(folder)
    assert status == 0 and out == b"" and b"cannot be read: Is a directory" in err, (status, out, err)


@case("--stdin is text in the request; --json goes with it, not with -i")
def _():
    SERVER.set(ran(stdout="x"))
    expect(curfew("exec", "--stdin", "a\nb", "s1", "cat"), 0)
    assert SERVER.requests[0].json == {"command": "cat", "stream": True, "stdin": "a\nb"}
    expect(curfew("exec", "--json", "-i", "s1", "cat"), 64, b"", "--json goes with --stdin")
    expect(curfew("run", "--json", "-i", "cat"), 64, b"", "--json goes with --stdin")
    expect(curfew("ls", "-i"), 64, b"", "unknown option -i")
    assert len(SERVER.requests) == 1


@case("run -i passes standard input on as well")
def _():
    reader = Reader()
    SERVER.set(routes(Stream(reader.write), input=lambda r: reader.take(r), end=(200, success(TOMBSTONE))))
    original = reader.take

    def take(request):
        request.path = request.path.replace(SESSION["session_id"], "s1")
        return original(request)
    reader.take = take
    expect(curfew("run", "-i", "cat", data=b"through"), 0, b"through")
    assert SERVER.requests[-1].method == "DELETE"


# detached

@case("--detach prints the command's number and leaves it running, with -i with its input open")
def _():
    SERVER.set((202, success({"session_id": "s1", "exec": 12, "state": "running"})))
    expect(curfew("exec", "--detach", "s1", "make"), 0, b"12\n", "^$")
    assert SERVER.requests[0].json == {"command": "make", "detach": True}
    expect(curfew("exec", "--detach", "-i", "s1", "cat", data=b"left alone"), 0, b"12\n")
    assert SERVER.requests[1].json == {"command": "cat", "detach": True, "input": True} and len(SERVER.requests) == 2
    out = expect(curfew("exec", "--detach", "--json", "s1", "x"), 0).stdout
    assert b'"exec": 12' in out
    SERVER.set((409, error("busy", "a command is running")))
    expect(curfew("exec", "--detach", "s1", "x"), 125, b"", "a command is running")
    expect(curfew("run", "--detach", "x"), 64, b"", "unknown option --detach")


if __name__ == "__main__":
    main()
