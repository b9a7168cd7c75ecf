#!/usr/bin/env python3
"""curfew execs, wait, cancel, output, input and signal against a stand-in server."""
import os
import re
import subprocess

from clistand import CURFEW, ENV, SERVER, begun, curfew, expect, lines, main, result
from standin import ERROR, RESULT, START, STDERR, STDOUT, TERMINAL, Stream, error, frame, gap, success
from tap import case

EXEC = {"exec": 3, "state": "ended", "command": "make test\necho done", "started_at": 1795149000.25,
        "duration_ms": 72500.0, "exit_code": 0, "timed_out": False, "cancelled": False, "cwd": "/w",
        "stdout_bytes": 1234, "stderr_bytes": 0, "late_bytes": 0}
RUNNING = {**EXEC, "exec": 4, "state": "running", "exit_code": None, "command": "sleep 600"}


def shown(**more):
    return 200, success({**EXEC, "output": [], "next": 0, "more": False, **more})


# execs

@case("execs prints a table, oldest first, with the first line of each command")
def _():
    long = {**EXEC, "exec": 5, "command": "echo " + "é" * 100, "exit_code": 2}
    cut = {**EXEC, "exec": 6, "timed_out": True, "exit_code": 130, "command": "a\x1b[31m"}
    over = {**EXEC, "exec": 7, "cancelled": True, "exit_code": 130}
    SERVER.set((200, success({"execs": [EXEC, RUNNING, long, cut, over]})))
    head, *rows = lines(expect(curfew("execs", "s1"), 0, err="^$").stdout)
    assert head.split() == ["N", "STATE", "EXIT", "STARTED", "TOOK", "STDOUT", "STDERR", "COMMAND"]
    assert rows[0].split() == ["3", "ended", "0", "2026-11-20", "04:30:00", "1m12s", "1234", "0", "make", "test…"]
    assert rows[1].split()[:3] == ["4", "running", "-"]
    assert rows[2].endswith("  echo " + "é" * 55 + "…"), rows[2]
    assert "  timed out  130  " in rows[3] and rows[3].endswith("  a\\x1b[31m"), rows[3]
    assert rows[4].split()[:3] == ["7", "cancelled", "130"]
    asked = SERVER.requests[0]
    assert (asked.method, asked.path, asked.query) == ("GET", "/v1/sessions/s1/execs", {})
    SERVER.set((200, success({"execs": []})))
    expect(curfew("execs", "s1"), 0, b"", "^no commands\n$")
    expect(curfew("execs", "s1", "--json"), 0, b'{"execs": []}\n', "^$")


@case("execs with a number shows that command, without its output")
def _():
    SERVER.set(shown(output=[{"stream": "stdout", "offset": 0, "bytes": 3, "text": "not this"}]))
    text = expect(curfew("execs", "s1", "3"), 0).stdout.decode()
    for words in (r"^exec: +3$", r"^state: +ended$", r"^command:\n    make test\n    echo done$",
                  r"^duration: +1m12s$"):
        assert re.search(words, text, re.M), (words, text)
    assert "not this" not in text and "more" not in text
    assert SERVER.requests[0].path == "/v1/sessions/s1/execs/3"


@case("what is no number of a command is a usage error")
def _():
    SERVER.set(shown())
    for verb in ("execs", "wait", "cancel"):
        for word in ("0", "-1", "x", "4294967296", "1x", "", "+1", " 1"):
            expect(curfew(verb, "s1", "--", word), 64, b"", "number is from 1 to 4294967295")
    expect(curfew("wait", "s1"), 64, b"", "a command's number .* is missing")
    expect(curfew("cancel"), 64, b"", "a session id is missing")
    expect(curfew("execs", "s1", "1", "2"), 64, b"", "one argument too many")
    assert SERVER.requests == []


# wait

@case("wait asks until the command has ended, and exits as it did")
def _():
    answers = [shown(state="running", exit_code=None)] * 3 + [shown(exit_code=42)]
    SERVER.set(lambda request: answers.pop(0))
    expect(curfew("wait", "s1", "3"), 42, b"", "^$")
    assert len(SERVER.requests) == 4 and all(r.query["wait"] == "300" for r in SERVER.requests)
    # Output must not end the wait, or a command that prints much would be asked about without pause.
    assert all(int(r.query["since"]) > 2 ** 50 for r in SERVER.requests)


@case("wait: 124 for a timeout, 125 for curfew's own failures; --json prints the record")
def _():
    SERVER.set(shown(timed_out=True, exit_code=130, duration_ms=2000))
    expect(curfew("wait", "s1", "3"), 124, b"", "interrupted at its timeout, after 2.0 s")
    SERVER.set(shown(cancelled=True, exit_code=130, duration_ms=500))
    expect(curfew("wait", "s1", "3"), 130, b"", "was cancelled after 0.5 s")
    for http, code in ((404, "not_found"), (410, "gone"), (401, "unauthorized")):
        SERVER.set((http, error(code, "words")))
        expect(curfew("wait", "s1", "3"), 125, b"", "^curfew: words\n")
        assert len(SERVER.requests) == 1
    SERVER.set(shown(exit_code=7))
    out = expect(curfew("wait", "--json", "s1", "3"), 7).stdout
    assert b'"exit_code": 7' in out
    expect(curfew("wait", "--socket", "/none", "s1", "3"), 125, b"", "no server answers")


@case("wait goes on when an answer is lost, but not when none ever came")
def _():
    answers = [shown(state="running"), None, None, shown(state="running"), None, shown(exit_code=5)]
    SERVER.set(lambda request: answers.pop(0))
    expect(curfew("wait", "s1", "3"), 5, b"", "^$")
    SERVER.set(lambda request: None)
    expect(curfew("wait", "s1", "3"), 125, b"", "broke off")
    assert len(SERVER.requests) == 1


# cancel, signal

@case("cancel tells how the command ended")
def _():
    SERVER.set((200, success({**EXEC, "cancelled": True, "exit_code": 130, "duration_ms": 1500})))
    expect(curfew("cancel", "s1", "3"), 0, b"3 cancelled after 1s, exit status 130\n")
    assert (SERVER.requests[0].method, SERVER.requests[0].path) == ("DELETE", "/v1/sessions/s1/execs/3")
    SERVER.set((200, success(EXEC)))
    expect(curfew("cancel", "s1", "3"), 0, b"3 ended after 1m12s, exit status 0\n")
    SERVER.set((404, error("not_found", "there is no command 3")))
    expect(curfew("cancel", "s1", "3"), 66, b"", "there is no command 3")


@case("signal sends its name, and prints nothing")
def _():
    SERVER.set((200, success({"exec": 3, "signal": "SIGUSR1"})))
    expect(curfew("signal", "s1", "USR1"), 0, b"", "^$")
    assert SERVER.requests[0].path == "/v1/sessions/s1/signal" and SERVER.requests[0].json == {"signal": "USR1"}
    expect(curfew("signal", "--json", "s1", "USR1"), 0, b'{"exec": 3, "signal": "SIGUSR1"}\n')
    SERVER.set((409, error("not_ready", "no command runs")))
    expect(curfew("signal", "s1", "INT"), 75, b"", "no command runs")
    expect(curfew("signal", "s1"), 64, b"", "a signal, such as INT, is missing")


# output

def kept(data, first=0, most=1000):
    """The raw endpoint: what is kept from `first` on, at most so much in one answer."""
    def answer(request):
        since = max(int(request.query.get("since", first)), first)
        part = data[since:since + min(most, int(request.query.get("limit", most)))]
        return 200, part, {"X-Curfew-Offset": str(since), "X-Curfew-Next": str(since + len(part))}
    return answer


@case("output writes what is kept, byte for byte, in as many answers as it takes")
def _():
    data = bytes(range(256)) * 20
    SERVER.set(kept(data))
    expect(curfew("output", "s1"), 0, data, "^$")
    offsets = [None, "1000", "2000", "3000", "4000", "5000", "5120"]
    assert [r.query.get("since") for r in SERVER.requests] == offsets
    assert all(r.headers["Accept"].startswith("application/octet-stream") for r in SERVER.requests)
    SERVER.set(kept(data))
    asked = ["--exec", "3", "--stream", "stderr", "--since", "5000", "--wait", "10s"]
    expect(curfew("output", "s1", *asked), 0, data[5000:])
    assert SERVER.requests[0].query == {"since": "5000", "exec": "3", "stream": "stderr", "wait": "10"}
    assert SERVER.requests[1].query == {"since": "5120", "exec": "3", "stream": "stderr"}
    SERVER.set(kept(data))
    expect(curfew("output", "s1", "--since", "10", "--limit", "5"), 0, data[10:15])
    assert len(SERVER.requests) == 1


@case("output that is no longer kept is told with its size, on standard error")
def _():
    data = b"x" * 3000
    for args, lost in (((), 500), (("--since", "200"), 300)):
        SERVER.set(kept(data, first=500))
        expect(curfew("output", "s1", *args), 0, data[500:], f"^curfew: {lost} bytes of the output are missing here")
    SERVER.set(kept(data, first=500))
    expect(curfew("output", "s1", "--since", "500"), 0, data[500:], "^$")


@case("output --follow goes on with what comes, and over a lost connection")
def _():
    answers = [
        Stream(lambda s: s.send(begun(), frame(STDOUT, b"one ", 0), frame(STDERR, b"two ", 4))),
        Stream(lambda s: (s.send(begun(), gap(92, 8), frame(TERMINAL, b"three", 100), result()), s.end()))]
    SERVER.set(lambda request: answers.pop(0))
    expect(curfew("output", "s1", "--exec", "7", "--follow"), 0, b"one two three", "^curfew: 92 bytes")
    assert [r.query for r in SERVER.requests] == [{"exec": "7"}, {"exec": "7", "since": "8"}]
    assert all(r.headers["Accept"].startswith("application/vnd.curfew.frames") for r in SERVER.requests)


@case("output --follow of a session ends when the session does; what is refused is told")
def _():
    start = frame(START, {"session_id": "s1", "exec": None})
    for last in (frame(ERROR, {"code": "gone", "message": "the session has ended"}), frame(RESULT, {})):
        SERVER.set(Stream(lambda s, last=last: (s.send(start, frame(STDOUT, b"x", 5), last), s.end())))
        expect(curfew("output", "s1", "--follow"), 0, b"x")
    SERVER.set((404, error("not_found", "there is no session s1")))
    expect(curfew("output", "s1", "--follow"), 66, b"", "there is no session s1")
    expect(curfew("output", "s1"), 66, b"", "there is no session s1")
    expect(curfew("output", "s1", "--follow", "--limit", "5"), 64, b"", "exclude each other")
    SERVER.set((400, error("invalid", "stream must be terminal")))
    expect(curfew("output", "s1", "--stream", "stdout"), 64, b"", "stream must be terminal")
    assert SERVER.requests[-1].query["stream"] == "stdout", "whether the session has such a stream is the server's to say"


@case("output --json prints the answer as it came, with --follow line by line")
def _():
    SERVER.set((200, success({"output": [{"text": "a"}], "next": 1, "more": False})))
    expect(curfew("output", "--json", "s1", "--encoding", "base64"), 0,
           b'{"output": [{"text": "a"}], "next": 1, "more": false}\n')
    assert SERVER.requests[0].query == {"encoding": "base64"}
    body = b'{"start":{"exec":null}}\n{"stream":"stdout","text":"a"}\n{"result":{}}\n'
    SERVER.set(Stream(lambda s: (s.send(body[:30]), s.send(body[30:]), s.end()), kind="application/x-ndjson"))
    expect(curfew("output", "--json", "s1", "--follow"), 0, body)
    assert SERVER.requests[0].headers["Accept"].startswith("application/x-ndjson")


@case("a reader of output that goes away ends it quietly")
def _():
    def write(stream):
        stream.send(begun())
        while True:
            stream.send(frame(STDOUT, b"y" * 60000, write.offset))
            write.offset += 60000
    write.offset = 0
    SERVER.set(Stream(write))
    process = subprocess.Popen([CURFEW, "output", "s1", "--follow"], env=ENV, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    assert process.stdout.read(10) == b"y" * 10
    process.stdout.close()
    assert process.wait(20) == -13 and process.stderr.read() == b""
    process.stderr.close()
    assert len(SERVER.requests) == 1, "nothing was cancelled"


# input

class Sink:
    """Takes pieces of input, `refusals` first."""

    def __init__(self, *refusals):
        self.data, self.queries, self.refusals = b"", [], list(refusals)

    def __call__(self, request):
        assert request.raw and (request.method, request.path) == ("POST", "/v1/sessions/s1/input")
        if self.refusals:
            return self.refusals.pop(0)
        self.data += request.body
        self.queries.append(request.query)
        return 200, success({"session_id": "s1", "exec": 3, "accepted": len(request.body), "duplicate": False,
                             "open": request.query.get("eof") != "true"})


@case("input: text is a line; standard input is bytes; --eof closes it behind them")
def _():
    for args, data, took, queries in (
            (("text of a line",), b"", b"text of a line\n", [{}]),
            (("--eof", "last"), b"", b"last\n", [{}, {"eof": "true"}]),
            ((), b"\x00\xff", b"\x00\xff", [{}]),
            (("-", "--exec", "3"), b"abc", b"abc", [{"exec": "3"}]),
            (("--eof",), b"", b"", [{"eof": "true"}]),
            ((), b"", b"", []),
            (("--", "-x"), b"", b"-x\n", [{}]),
            (("--seq", "9", "y"), b"", b"y\n", [{"seq": "9"}])):
        sink = Sink()
        SERVER.set(sink)
        expect(curfew("input", "s1", *args, data=data), 0, b"", "^$")
        assert (sink.data, sink.queries) == (took, queries), (args, sink.data, sink.queries)


@case("input of much goes in pieces, numbered on when they have numbers; a full queue is waited for")
def _():
    full, data = (429, error("too_many", "input waits already")), os.urandom(200000)
    sink = Sink(full, full)
    SERVER.set(sink)
    expect(curfew("input", "s1", data=data), 0, b"", "^$")
    assert sink.data == data and all(q == {} for q in sink.queries)
    sink = Sink()
    SERVER.set(sink)
    expect(curfew("input", "s1", "--seq", "5", data=data), 0)
    assert sink.data == data and [q["seq"] for q in sink.queries] == [str(5 + i) for i in range(len(sink.queries))]


@case("input that nobody reads exits 75, and tells what was taken before")
def _():
    SERVER.set((409, error("not_reading", "no command reads")))
    expect(curfew("input", "s1", "x"), 75, b"", "^curfew: no command reads\n$")
    sink = Sink()

    def answer(request):
        return (409, error("not_reading", "no command reads")) if sink.data else sink(request)
    SERVER.set(answer)
    told = expect(curfew("input", "s1", data=b"y" * 200000), 75, b"", "no command reads\n$").stderr
    assert f"curfew: {len(sink.data)} bytes were taken before this".encode() in told


@case("input without numbers is not sent again when an answer is lost; with them it is")
def _():
    SERVER.set(lambda request: None)
    expect(curfew("input", "s1", "x"), 69, b"", "broke off")
    assert len(SERVER.requests) == 1
    sink = Sink(None, None)
    SERVER.set(sink)
    expect(curfew("input", "s1", "--seq", "1", "x"), 0)
    assert sink.data == b"x\n" and len(SERVER.requests) == 3


if __name__ == "__main__":
    main()
