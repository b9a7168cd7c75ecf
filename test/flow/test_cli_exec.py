#!/usr/bin/env python3
"""curfew exec and curfew run against a stand-in server: they stand in for the command that they run."""
import os
import signal
import subprocess
import threading
import time

from clistand import CURFEW, ENV, SERVER, SESSION, TOMBSTONE, curfew, expect, main, ran
from standin import error, success
from tap import case, skip


# exec

def ended():
    """The one DELETE.  Not the last request: what was broken off just before may be noted later, on another thread."""
    [request] = [r for r in SERVER.requests if r.method == "DELETE"]
    return request


@case("exec passes stdout, stderr and the exit status through")
def _():
    SERVER.set(ran(stdout="out\n\x00\x1b[1m\u00e9", stderr="err", exit_code=7))
    result = expect(curfew("exec", "s1", "echo hi | tr a-z A-Z"), 7, "out\n\x00\x1b[1m\u00e9".encode())
    assert result.stderr == b"err"
    asked = SERVER.requests[0]
    assert (asked.method, asked.path) == ("POST", "/v1/sessions/s1/exec")
    assert asked.json == {"command": "echo hi | tr a-z A-Z", "stream": True}
    assert asked.headers["Accept"].startswith("application/vnd.curfew.frames")


@case("exec: several words reach the command as they are")
def _():
    words = ["printf", "%s|", "a b", "it's", "", "$HOME", "*", "`id`", "a\nb", "-n", "--json", "\\", '"', "~", "!x",
             "x=1", "é", ";"]
    SERVER.set(ran())
    expect(curfew("exec", "s1", "--", *words), 0)
    expect(curfew("exec", "s1", *words), 0)
    assert SERVER.requests[0].json == SERVER.requests[1].json
    text = SERVER.requests[0].json["command"]
    out = subprocess.run(["bash", "-c", text], stdout=subprocess.PIPE, check=True).stdout.decode()
    assert out == "".join(w + "|" for w in words[2:]), (text, out)


@case("exec: bytes that are not UTF-8 survive in several words and are refused in one")
def _():
    SERVER.set(ran())
    expect(curfew("exec", "s1", "printf", "%s", b"a\xff4'\xc3"), 0)
    out = subprocess.run(["bash", "-c", SERVER.requests[0].json["command"]], stdout=subprocess.PIPE, check=True).stdout
    assert out == b"a\xff4'\xc3", out
    expect(curfew("exec", "s1", b"echo \xff"), 125, b"", "not UTF-8")
    assert len(SERVER.requests) == 1


@case("exec: the first of several words is a command, never a keyword or an assignment")
def _():
    SERVER.set(ran())
    for words in (["if", "x"], ["A=1", "env"], ["time", "x"]):
        expect(curfew("exec", "s1", *words), 0)
        out = subprocess.run(["bash", "-c", SERVER.requests[-1].json["command"]], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        assert out.returncode == 127 or words[0] == "time", (words, out)


@case("exec: options stand before the command; what follows it belongs to the command")
def _():
    SERVER.set(ran())
    expect(curfew("exec", "--timeout", "1m30s", "s1", "ls", "--timeout", "5", "--help"), 0)
    assert SERVER.requests[0].json == {"timeout": 90, "command": "'ls' --timeout 5 --help",
                                       "stream": True}, SERVER.requests[0].json
    expect(curfew("exec", "s1", "--timeout=0.5", "--", "--weird"), 0)
    assert SERVER.requests[1].json == {"timeout": 0.5, "command": "--weird", "stream": True}


@case("exec exits 124 when the command timed out, and tells so; it tells of a session that has failed")
def _():
    SERVER.set(ran(timed_out=True, exit_code=130, stdout="part", duration_ms=1000.2))
    expect(curfew("exec", "s1", "sleep 9"), 124, b"part", "interrupted at its timeout, after 1.0 s")
    SERVER.set(ran(stdout="part", exit_code=137, session_state="failed"))
    expect(curfew("exec", "s1", "kill -9 $$"), 137, b"part", "^curfew: the session is failed now\n$")


@case("exec exits 125 for curfew's own failures")
def _():
    for http, code in ((404, "not_found"), (409, "busy"), (410, "gone"), (500, "shell_died"), (400, "invalid")):
        SERVER.set((http, error(code, "words of " + code)))
        expect(curfew("exec", "s1", "true"), 125, b"", "curfew: words of " + code)


@case("exec: a failure that quotes a command cannot drive the terminal")
def _():
    SERVER.set((409, error("busy", "a command has been running for 1.0 s: printf '\x1b]0;x\x07\n'")))
    expect(curfew("exec", "s1", "true"), 125, b"", r"^curfew: .*printf '\\x1b\]0;x\\x07\\x0a'\n$")


@case("exec --json prints the data as it came, and exits as the command did")
def _():
    data = b'{"stdout":"a}\\"b", "exit_code" : 3,"duration_ms":1.50,"big":1.7976931348623157e308,"x":[{"y":"]"}]}'
    SERVER.set((200, b'{ "status" : "success" , "data" : ' + data + b' }'))
    expect(curfew("--json", "exec", "s1", "true"), 3, data + b"\n")
    expect(curfew("exec", "--json", "s1", "true"), 3, data + b"\n")
    expect(curfew("exec", "s1", "--json", "true"), 3, data + b"\n")
    SERVER.set((404, b'{"status":"error","error":{"code":"not_found","message":"m",  "field":"id"}}'))
    expect(curfew("exec", "--json", "s1", "true"), 125, b'{"code":"not_found","message":"m",  "field":"id"}\n', "^$")


@case("exec of large output is whole, and a reader that goes away ends it quietly")
def _():
    text = "0123456789abcde\n" * 500000
    SERVER.set(ran(stdout=text))
    expect(curfew("exec", "s1", "big"), 0, text.encode())
    process = subprocess.Popen([CURFEW, "exec", "s1", "big"], env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(10)
    process.stdout.close()
    assert process.wait(30) == -signal.SIGPIPE and process.stderr.read() == b""
    process.stderr.close()


@case("output to a pipe that somebody made non-blocking is whole")
def _():
    SERVER.set(ran(stdout="0123456789abcde\n" * 100000))
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    process = subprocess.Popen([CURFEW, "exec", "s1", "big"], env=ENV, stdout=writing)
    os.close(writing)
    time.sleep(0.2)
    with os.fdopen(reading, "rb") as out:
        assert len(out.read()) == 1600000
    assert process.wait(10) == 0


@case("output that cannot be written is an error")
def _():
    if not os.path.exists("/dev/full"):
        skip("no /dev/full")
    SERVER.set(ran(stdout="x"))
    with open("/dev/full", "w", encoding="utf-8") as full:
        for args, status in ((["exec", "s1", "x"], 125), (["--help"], 74)):
            result = subprocess.run([CURFEW, *args], env=ENV, stdout=full, stderr=subprocess.PIPE, timeout=60)
            assert result.returncode == status and b"No space left" in result.stderr, result
    SERVER.set(ran(stdout="x"))
    result = subprocess.run(["sh", "-c", '"$0" exec s1 x >&-', CURFEW], env=ENV, stderr=subprocess.PIPE, timeout=60)
    assert result.returncode == 125 and b"cannot be written" in result.stderr, result


# run

def run_answers(executed):
    def answer(request):
        if request.method == "POST" and request.path == "/v1/sessions":
            return 201, success(SESSION)
        if request.method == "DELETE":
            return 200, success(TOMBSTONE)
        return executed(request) if callable(executed) else executed
    return answer


@case("run creates a session, runs the command there and ends the session")
def _():
    SERVER.set(run_answers(ran(stdout="hi\n", exit_code=5)))
    result = expect(curfew("run", "--workspace", "w", "--timeout", "5", "--grace", "2s", "--", "echo hi"), 5, b"hi\n")
    assert result.stderr == b""
    assert [(r.method, r.path) for r in SERVER.requests] == [
        ("POST", "/v1/sessions"), ("POST", "/v1/sessions/bash_default_k3v9/exec"),
        ("DELETE", "/v1/sessions/bash_default_k3v9")]
    assert SERVER.requests[0].json == {"workspace": "w"}
    assert SERVER.requests[1].json == {"timeout": 5, "command": "echo hi", "stream": True}
    assert SERVER.requests[2].query == {"grace": "2"} and SERVER.requests[2].body == b""


@case("run --keep leaves the session and names it on stderr")
def _():
    SERVER.set(run_answers(ran(stdout="hi\n")))
    result = expect(curfew("run", "--keep", "echo", "--keep"), 0, b"hi\n")
    assert result.stderr == b"bash_default_k3v9\n"
    assert len(SERVER.requests) == 2 and SERVER.requests[1].json["command"] == "'echo' --keep"


@case("run ends the session when the command cannot be run, and when its reader has gone")
def _():
    SERVER.set(run_answers((500, error("shell_died", "the shell died"))))
    expect(curfew("run", "x"), 125, b"", "the shell died")
    assert SERVER.requests[-1].method == "DELETE"
    SERVER.set(run_answers(ran(stdout="x" * 3000000)))
    process = subprocess.Popen([CURFEW, "run", "x"], env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.wait(30) == -signal.SIGPIPE
    process.stderr.close()
    assert SERVER.requests[-1].method == "DELETE"


@case("run passes the refusal of a create on and ends nothing")
def _():
    SERVER.set((429, error("workspace_full", "workspace w has 5 sessions")))
    expect(curfew("run", "x"), 125, b"", "has 5 sessions")
    assert len(SERVER.requests) == 1


@case("run ends the session before it dies of SIGINT, SIGTERM or SIGHUP")
def _():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        stop = threading.Event()
        SERVER.set(run_answers(lambda request: stop.wait(20) and None))
        process = subprocess.Popen([CURFEW, "run", "sleep 99"], env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            SERVER.wait_for(lambda r: r.path.endswith("/exec"))
            started = time.monotonic()
            process.send_signal(number)
            assert process.wait(10) == -number
            assert time.monotonic() - started < 5
            assert ended().query == {}
        finally:
            stop.set()
            process.communicate()


@case("run: a signal during the create ends the session that comes of it")
def _():
    go = threading.Event()

    def answer(request):
        if request.path == "/v1/sessions":
            go.wait(20)
            return 201, success(SESSION)
        return (200, success(TOMBSTONE)) if request.method == "DELETE" else (time.sleep(5), None)[1]
    SERVER.set(answer)
    process = subprocess.Popen([CURFEW, "run", "sleep 99"], env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    SERVER.wait_for(lambda r: r.path == "/v1/sessions")
    process.send_signal(signal.SIGTERM)
    time.sleep(0.05)
    assert process.poll() is None
    go.set()
    assert process.wait(10) == -signal.SIGTERM
    process.communicate()
    assert ended().path == f"/v1/sessions/{SESSION['session_id']}"


@case("run: a signal does not wait for a create that hangs")
def _():
    stop = threading.Event()
    SERVER.set(lambda request: stop.wait(20) and None)
    process = subprocess.Popen([CURFEW, "run", "x"], env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        SERVER.wait_for(lambda r: r.path == "/v1/sessions")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == -signal.SIGINT
        assert b"given up before an answer" in process.stderr.read()
    finally:
        stop.set()
        process.communicate()


@case("run: a second signal kills at once")
def _():
    stop = threading.Event()

    def answer(request):
        if request.path == "/v1/sessions":
            return 201, success(SESSION)
        if request.query.get("grace") == "0":
            return 200, success(TOMBSTONE)
        stop.wait(20)
        return None
    SERVER.set(answer)
    process = subprocess.Popen([CURFEW, "run", "sleep 99"], env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        SERVER.wait_for(lambda r: r.path.endswith("/exec"))
        process.send_signal(signal.SIGINT)
        SERVER.wait_for(lambda r: r.method == "DELETE")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == -signal.SIGINT
    finally:
        stop.set()
        process.communicate()


@case("run: a signal that is ignored stays ignored")
def _():
    SERVER.set(run_answers(lambda request: (time.sleep(0.3), ran(stdout="done"))[1]))
    process = subprocess.Popen(["sh", "-c", 'trap "" HUP; exec "$0" run x', CURFEW], env=ENV, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    SERVER.wait_for(lambda r: r.path.endswith("/exec"))
    process.send_signal(signal.SIGHUP)
    out, _err = process.communicate(timeout=10)
    assert process.returncode == 0 and out == b"done"


@case("a command is sent once, also when the server breaks off")
def _():
    SERVER.set(lambda request: None)
    expect(curfew("exec", "x", "make"), 125, b"", "broke off")
    assert len(SERVER.requests) == 1


if __name__ == "__main__":
    main()
