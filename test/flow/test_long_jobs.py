#!/usr/bin/env python3
"""Commands that run for long: started with `detach`, asked for by number and offset, found again after a lost connection.
budget: 120
"""
import base64
import concurrent.futures
import hashlib
import http.client
import json
import random
import time

import harness
from sessions import PROMPTLY, SPOOL, Session, open_now, run_cases
from streamclient import collect
from tap import case

EXEC_FIELDS = {"exec", "state", "command", "started_at", "duration_ms", "exit_code", "timed_out", "cancelled", "cwd", "stdout_bytes", "stderr_bytes",
               "late_bytes", "shell_left", "session_state", "lost"}
UNTIL_GO = "until [ -e go ]; do sleep 0.02; done"
SOON = 5                                # seconds: less than a wait that was in vain, also on a busy machine


def text_of(answer, stream=None):
    return "".join(p["text"] for p in answer["output"] if "text" in p and stream in (None, p["stream"]))


def check_offsets(answer, since):
    """Pieces and gaps follow each other from `since` to `next`."""
    for piece in answer["output"]:
        assert piece["offset"] == since, (piece, since)
        since += piece.get("gap") or piece["bytes"]
    assert answer["next"] == since, (answer["next"], since)


# ---- starting

@case("detach answers at once with a number, and the command runs on")
def _():
    s = Session()
    since = time.monotonic()
    status, answer = s.server.request("POST", f"{s.path}/exec", {"command": f"echo begun; {UNTIL_GO}; echo done; cd /tmp; exit_() {{ return 5; }}; exit_", "detach": True})
    assert status == 202 and time.monotonic() - since < SOON, (status, answer)
    assert answer == {"status": "success", "data": {"session_id": s.id, "exec": 1, "state": "running"}}, answer
    record = s.wait_printed(1, 6)
    assert record["state"] == "running" and record["exit_code"] is None and text_of(record) == "b", record
    assert s.server.show(s.id)["busy"] is True
    s.touch("go")
    record = s.wait_ended(1)
    assert record["exit_code"] == 5 and record["cwd"] == "/tmp" and record["session_state"] == "active", record
    assert text_of(s.get("execs/1")) == "begun\ndone\n"
    s.end()


@case("a record has each of its fields, while it runs and when it has ended")
def _():
    s = Session()
    before = time.time()
    command = f"echo out; echo error >&2; {UNTIL_GO}  # " + "é" * 2000
    s.detach(command)
    running = s.wait_printed(1, 10)
    assert set(running) == EXEC_FIELDS | {"output", "next", "more"}, set(running) ^ EXEC_FIELDS
    assert running["exec"] == 1 and running["state"] == "running" and running["exit_code"] is None and running["cwd"] is None, running
    assert command.startswith(running["command"].rstrip("\ufffd")) and 1000 <= len(running["command"].encode()) <= 1027, running["command"]
    assert before - 1 < running["started_at"] < time.time() + 1 and running["duration_ms"] >= 0
    assert (running["stdout_bytes"], running["stderr_bytes"], running["late_bytes"]) == (4, 6, 0), running
    assert running["timed_out"] is running["cancelled"] is False
    s.touch("go")
    ended = s.wait_ended(1)
    assert ended["exit_code"] == 0 and ended["cwd"] == s.folder and ended["duration_ms"] >= running["duration_ms"], ended
    again = s.wait_ended(1)
    assert ended == again, (ended, again)
    assert set(s.get("execs")["execs"][0]) == EXEC_FIELDS
    s.end()


@case("commands are numbered from 1 in each session, however they are started, and listed with the oldest first")
def _():
    s, other = Session(), Session()
    assert s.run("echo plain")["exec"] == 1
    assert s.detach("echo detached") == 2
    s.wait_ended(2)
    assert collect(s.stream("echo streamed")).start["exec"] == 3
    assert other.run("echo")["exec"] == 1
    records = s.get("execs")["execs"]
    assert [(r["exec"], r["command"], r["state"]) for r in records] == [(1, "echo plain", "ended"), (2, "echo detached", "ended"), (3, "echo streamed", "ended")]
    assert other.get("execs")["execs"][0]["exec"] == 1
    # A command that was refused has used no number that matters: the numbers only ever grow.
    s.detach(UNTIL_GO)
    s.fails(409, "busy", "POST", "exec", {"command": "true"})
    s.touch("go")
    s.wait_ended(4)
    assert s.run("true")["exec"] > 4
    s.end()
    other.end()


@case("a session without commands has an empty list and empty output")
def _():
    s = Session()
    assert s.get("execs") == {"execs": [], "more": False}
    assert s.get("output") == {"output": [], "next": 0, "more": False}
    s.end()


@case("what is not there: numbers that were never given, that are none, and sessions")
def _():
    s = Session()
    s.run("true")
    for number in (2, 4294967295):
        assert f" {number} " in s.fails(404, "not_found", "GET", f"execs/{number}")["message"]
        assert s.fails(404, "not_found", "GET", f"output?exec={number}")["field"] == "exec"
    for word in ("0", "01", "-1", "1x", "", "4294967296", "99999999999999999999", "1/2", "%31"):
        status, answer = s.server.request("GET", f"{s.path}/execs/{word}")
        assert status == 404 or word in ("", "%31"), (word, status, answer)
    for path in ("execs", "execs/1", "output"):
        s.server.fails(404, "not_found", "GET", f"/v1/sessions/bash_w_aaaaaaaaaaaa/{path}")
    s.end()
    assert s.get("execs/1?wait=10")["exit_code"] == 0           # results outlive the session
    assert s.fails(410, "gone", "POST", "exec", {"command": "true"})["session"]["reason"] == "requested"


@case("a long list comes in parts, from a number on")
def _():
    s = Session()
    for i in range(7):
        s.run(f"echo {i}")
    for since, limit, want in ((1, 3, [1, 2, 3]), (4, 3, [4, 5, 6]), (7, 3, [7]), (8, 3, []), (4294967295, 1, []), (1, 7, [1, 2, 3, 4, 5, 6, 7]), (1, 1000, [1, 2, 3, 4, 5, 6, 7])):
        answer = s.get(f"execs?since={since}&limit={limit}")
        assert [r["exec"] for r in answer["execs"]] == want and answer["more"] == (len(want) == limit and want[-1] < 7), (since, limit, answer)
    s.end()


# ---- long polls

@case("a long poll answers as soon as there is output, each time with what is new")
def _():
    s = Session()
    s.detach("for i in 1 2 3; do until [ -e go$i ]; do sleep 0.02; done; echo line $i; done; until [ -e go ]; do sleep 0.02; done")
    since = 0
    for i in (1, 2, 3):
        asked = harness.Later(s.get, f"execs/1?since={since}&wait=60")
        assert s.server.show(s.id)["busy"]              # another answer in between
        s.touch(f"go{i}")
        begun = time.monotonic()
        got = asked.result()
        assert time.monotonic() - begun < SOON and text_of(got) == f"line {i}\n" and got["state"] == "running", got
        check_offsets(got, since)
        since = got["next"]
    s.touch("go")
    s.wait_ended(1)
    s.end()


@case("a long poll answers when the command ends, and when it has ended at once")
def _():
    s = Session()
    s.detach(UNTIL_GO)
    asked = harness.Later(s.get, "execs/1?wait=60")
    of_output = harness.Later(s.get, "output?exec=1&wait=60")
    s.touch("go")
    begun = time.monotonic()
    got = asked.result()
    assert got["state"] == "ended" and got["exit_code"] == 0 and got["output"] == [], got
    assert of_output.result()["output"] == []
    assert s.get("execs/1?wait=60")["state"] == "ended"
    assert s.get("output?exec=1&wait=60&since=1000")["output"] == []
    assert time.monotonic() - begun < SOON
    s.end()


@case("a long poll answers when its time is over, also while output comes that it does not want")
def _():
    s = Session()
    s.detach("for i in {1..100}; do echo $i; sleep 0.03; done")
    for path in ("output?exec=1&stream=stderr&wait=1", "output?exec=1&since=100000&wait=500ms", "execs/1?since=9007199254740991&wait=0.5"):
        begun = time.monotonic()
        assert s.get(path)["output"] == []
        took = time.monotonic() - begun
        assert 0.49 < took < 2.5, (path, took)
    assert s.get("execs/1?limit=1")["state"] in ("running", "ended")
    s.cancel(1)
    s.end()


@case("a long poll of a session is answered by the next command's output, and when the session ends")
def _():
    s = Session()
    s.run("echo one")
    got = s.get("output?wait=60")
    assert text_of(got) == "one\n" and got["output"][0]["exec"] == 1 and got["next"] == 4, got
    asked = harness.Later(s.get, "output?since=4&wait=60")
    s.run("echo two")
    got = asked.result()
    assert text_of(got) == "two\n" and got["output"][0]["exec"] == 2, got
    asked = harness.Later(s.get, "output?since=8&wait=60")
    s.server.end(s.id)
    assert asked.result(SOON)["output"] == []


@case("many who wait for the same command are all answered, and one who went away is missed by nobody")
def _():
    s = Session()
    s.detach(f"{UNTIL_GO}; echo hi")
    for _ in range(10):
        connection = s.server.connection()
        connection.request("GET", f"{s.path}/execs/1?wait=60")
        connection.close()
    asked = [harness.Later(s.get, "execs/1?wait=60") for _ in range(20)]
    s.touch("go")
    assert {text_of(one.result()) for one in asked} <= {"hi\n", ""}
    s.wait_ended(1)
    s.end()


# ---- offsets

def random_output(s, size):
    """A detached command that prints `size` random bytes on both streams in portions of all sizes; what they are, merged by offset later."""
    s.write("data", random.Random(6).randbytes(size))
    return s.detach("""python3 -c '
import os, time
data = open("data", "rb").read()
at, i = 0, 0
while at < len(data):
    part = data[at:at + 1 + i * 7919 % 30000]
    os.write(1 + i % 3 % 2, part)
    at += len(part)
    i += 1
    if i % 40 == 0:
        time.sleep(0.01)
'""")


def streams_of(data):
    """What random_output prints on each stream."""
    out, at, i = {"stdout": bytearray(), "stderr": bytearray()}, 0, 0
    while at < len(data):
        part = data[at:at + 1 + i * 7919 % 30000]
        out["stderr" if i % 3 % 2 else "stdout"].extend(part)
        at += len(part)
        i += 1
    return out


def poll_cut(s, path, choose):
    """One GET whose connection is cut at a random place, or not: the answer, or None."""
    connection = s.server.connection()
    try:
        connection.request("GET", path)
        if choose.random() < 0.3:
            return None
        answer = connection.getresponse()
        data = answer.read(choose.randrange(1, 200000) if choose.random() < 0.4 else None)
        return json.loads(data)["data"]
    except (ValueError, http.client.HTTPException, ConnectionError):
        return None
    finally:
        connection.close()


@case("many polls and lost connections: by its offset a client loses and repeats no byte of 5 MB")
def _():
    s, choose = Session(spool_bytes=16 << 20), random.Random(7)
    size = 5 << 20
    random_output(s, size)
    got, since, polls = {"stdout": bytearray(), "stderr": bytearray()}, 0, 0
    while True:
        answer = poll_cut(s, f"{s.path}/execs/1?since={since}&wait=60&encoding=base64&limit={choose.choice((1, 100, 65536, 300000))}", choose)
        polls += 1
        if answer is None:
            continue
        check_offsets(answer, since)
        for piece in answer["output"]:
            data = base64.b64decode(piece["base64"], validate=True)
            assert len(data) == piece["bytes"] > 0, piece
            got[piece["stream"]] += data
        since = answer["next"]
        if answer["state"] == "ended" and since == size:
            break
        assert not answer["more"] or answer["output"], answer
    want = streams_of(s.read("data"))
    for name, data in want.items():
        assert hashlib.sha256(got[name]).digest() == hashlib.sha256(data).digest(), (name, len(got[name]), len(data))
    assert polls > 50, polls
    for name, data in want.items():
        assert collect(s.output("raw", exec=1, stream=name)).all == data
    s.end()


@case("several clients follow the same command, each at its own pace, by polls and by streams")
def _():
    s = Session(spool_bytes=16 << 20)
    size = 3 << 20
    random_output(s, size)

    def polls(seed):
        choose, since, got = random.Random(seed), 0, bytearray()
        while since < size:
            answer = s.get(f"output?exec=1&stream=stdout&since={since}&wait=60&encoding=base64&limit={choose.randrange(1, 200000)}")
            check_offsets(answer, since)
            got += b"".join(base64.b64decode(p["base64"]) for p in answer["output"])
            since = answer["next"]
            if not answer["output"]:
                break
        return bytes(got)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        polled = [pool.submit(polls, seed) for seed in range(4)]
        streamed = [pool.submit(lambda form=form: bytes(collect(s.output(form, exec=1, stream="stdout", follow="true")).all)) for form in ("raw", "frames")]
        want = bytes(streams_of(s.read("data"))["stdout"])
        for one in polled + streamed:
            assert one.result() == want, (len(one.result()), len(want))
    s.end()


@case("text: every character whole, limits kept to the byte, and never less than one character")
def _():
    s = Session()
    text = "aé€😀" * 50
    s.run(f"printf %s '{text}'")
    for limit in (1, 2, 3, 4, 5, 7, 64):
        got, since, wide = "", 0, 0
        while since < len(text.encode()):
            answer = s.get(f"execs/1?since={since}&limit={limit}")
            check_offsets(answer, since)
            count = sum(p["bytes"] for p in answer["output"])
            assert 0 < count <= max(limit, 4), (limit, answer)
            wide += count > limit
            got += text_of(answer)
            since = answer["next"]
            assert answer["more"] == (since < len(text.encode())), answer
        assert got == text, (limit, got)
        assert (wide > 0) == (limit < 4), (limit, wide)
    s.end()


@case("limit bounds base64 to the byte; more says whether there is more")
def _():
    s = Session()
    s.run("printf 0123456789; printf abc >&2")
    for limit in range(1, 15):
        answer = s.get(f"execs/1?limit={limit}&encoding=base64")
        assert sum(p["bytes"] for p in answer["output"]) == min(limit, 13) and answer["more"] == (limit < 13), (limit, answer)
        check_offsets(answer, 0)
    for since in (13, 14, 1000000):
        answer = s.get(f"execs/1?since={since}")
        assert answer["output"] == [] and answer["more"] is False and answer["next"] >= 13, answer
    s.end()


@case("bytes that are no text: U+FFFD in text, themselves in base64; NUL and controls as they are")
def _():
    s = Session()
    s.run(r"printf 'a\0b\xff\xfe\x1b[1m\r\n\xc3'")
    data = b"a\0b\xff\xfe\x1b[1m\r\n\xc3"
    assert base64.b64decode(s.get("execs/1?encoding=base64")["output"][0]["base64"]) == data
    assert s.get("execs/1")["output"][0]["text"] == data.decode("utf-8", "replace")
    s.end()


@case("the largest answers: 1 MiB of NULs as text, tens of thousands of pieces, hundreds of commands in the list")
def _():
    s = Session()
    s.run("head -c 1048576 /dev/zero")
    answer = s.get("execs/1?limit=1048576")
    assert text_of(answer) == "\0" * 1048576 and answer["more"] is False
    s.run("""python3 -c '
import os
for i in range(40000):
    os.write(1 + i % 2, b"x")
'""")
    answer = s.get("execs/2?limit=1048576")
    check_offsets(answer, 0)
    assert answer["next"] == 40000 and text_of(answer) == "x" * 40000
    for i in range(260):
        s.run("true  # " + "\x01" * 1000)
    records = s.get("execs")["execs"]
    assert len(records) == 256 and all(r["command"] == "true  # " + "\x01" * 1000 for r in records), len(records)
    s.end()


# ---- bounds

@case("of more than spool_bytes the oldest is gone, and a gap says how many bytes")
def _():
    s = Session()
    extra = 123456
    s.run(f"head -c {SPOOL + extra} /dev/zero | tr '\\0' x; echo end >&2")
    answer = s.get("execs/1?limit=10")
    assert answer["output"][0] == {"gap": extra + 4, "offset": 0} and answer["output"][1]["text"] == "x" * 10, answer
    check_offsets(answer, 0)
    answer = s.get(f"execs/1?since=1000&limit=10")
    assert answer["output"][0] == {"gap": extra + 4 - 1000, "offset": 1000}, answer
    answer = s.get(f"output?exec=1&stream=stderr")
    assert text_of(answer) == "end\n" and answer["output"][0]["offset"] == 0, answer
    answer = s.get("output?limit=1")
    assert answer["output"][0] == {"gap": extra + 4, "offset": 0}, answer
    # A later command drives out the rest of it.
    s.run(f"head -c {SPOOL + 7} /dev/zero")
    answer = s.get("execs/1")
    assert answer["output"] == [{"gap": SPOOL + extra + 4, "offset": 0}] and answer["next"] == SPOOL + extra + 4 and answer["more"] is False, answer
    assert s.get("execs/1?since=5")["output"] == [{"gap": SPOOL + extra - 1, "offset": 5}]
    got = collect(s.output("frames", exec=1))
    assert got.gaps == [(0, SPOOL + extra + 4)] and not got.all and got.result["exit_code"] == 0, got.gaps
    s.end()


@case("a poller that is slower than the command sees gaps, and every byte between them is right")
def _():
    s, choose = Session(spool_bytes=1 << 20), random.Random(8)
    # Each 8 bytes say where they are.
    size = 24 << 20
    s.detach(f"""python3 -c '
import os, struct
at = 0
while at < {size}:
    part = b"".join(struct.pack(">Q", n) for n in range(at, at + 65536, 8))
    os.write(1, part)
    at += len(part)
'""")
    since, gaps, seen = 0, 0, 0
    while since < size:
        answer = s.get(f"execs/1?since={since}&wait=60&encoding=base64&limit={choose.randrange(1, 300000)}")
        check_offsets(answer, since)
        for piece in answer["output"]:
            if "gap" in piece:
                gaps += piece["gap"]
                continue
            data, at = base64.b64decode(piece["base64"]), piece["offset"]
            seen += len(data)
            want = b"".join(n.to_bytes(8, "big") for n in range(at // 8 * 8, at + len(data) + 8, 8))
            assert data == want[at % 8:at % 8 + len(data)], f"wrong bytes at {at}"
        since = answer["next"]
        if choose.random() < 0.1:
            s.wait_printed(1, min(size, since + (2 << 20)))     # it falls behind
    assert gaps > 0 and seen > 0 and gaps + seen == size, (gaps, seen)
    s.wait_ended(1)
    s.end()


@case("the answer of a plain command shows its first and last half, also when more was printed than is kept")
def _():
    s = Session(spool_bytes=1 << 20, max_output_bytes=1024)
    got = s.run("printf first; head -c 3000000 /dev/zero | tr '\\0' x; printf last; printf err >&2")
    assert got["stdout_bytes"] == 3000009 and got["stderr"] == "err" and got["truncated"] is True, got["stdout_bytes"]
    assert got["stdout"] == "first" + "x" * 507 + f"\n[curfew: {3000009 - 1024} bytes left out]\n" + "x" * 508 + "last", got["stdout"]
    s.end()


@case("ended commands are forgotten beyond execs_kept, the oldest first, running ones never")
def _():
    s = Session(execs_kept=3)
    for i in range(1, 6):
        s.run(f"echo {i}")
    assert [r["exec"] for r in s.get("execs")["execs"]] == [3, 4, 5]
    s.fails(404, "not_found", "GET", "execs/2")
    assert text_of(s.get("execs/3")) == "3\n"
    s.detach(f"{UNTIL_GO}; echo six")
    assert [r["exec"] for r in s.get("execs")["execs"]][-1] == 6
    s.touch("go")
    s.wait_ended(6)
    for i in range(3):
        s.run("true")
    assert [r["exec"] for r in s.get("execs")["execs"]] == [7, 8, 9]
    # Its output is part of the session's, for as long as that is kept.
    assert text_of(s.get("output")) == "1\n2\n3\n4\n5\nsix\n"
    s.end()


@case("a record that somebody reads or waits for outlives its retention until then")
def _():
    s = Session(execs_kept=1)
    s.detach(f"{UNTIL_GO}; echo one")
    asked = harness.Later(s.get, "execs/1?since=4&wait=60")
    slow = s.output("frames", exec=1)
    slow.until("start")
    s.touch("go")
    s.run("true") if s.wait_ended(1) else None
    for _ in range(3):
        s.run("echo next")
    got = collect(slow)
    assert got.text("stdout") == "one\n" and got.result["exec"] == 1, got.result
    assert asked.result()["exec"] == 1
    s.fails(404, "not_found", "GET", "execs/1")
    s.end()


@case("ended commands are forgotten exec_retention after their end")
def _():
    s = Session(exec_retention=1)
    s.detach(f"echo long; {UNTIL_GO}")
    s.wait_printed(1, 5)
    begun = time.monotonic()
    harness.wait_for(lambda: time.monotonic() - begun > 1.2, "it runs for longer than that")
    assert s.get("execs/1")["state"] == "running"
    s.touch("go")
    ended = s.wait_ended(1)
    assert ended["exit_code"] == 0
    harness.wait_for(lambda: s.server.request("GET", f"{s.path}/execs/1")[0] == 404, "it is forgotten")
    assert time.monotonic() - begun > 2 and s.get("execs")["execs"] == []
    s.end()


# ---- life

@case("a detached command has no timeout unless one is given; a plain and a streamed one have exec_timeout")
def _():
    s = Session(exec_timeout=1)
    s.detach("sleep 2.2; echo done")
    record = s.wait_ended(1)
    assert record["timed_out"] is False and record["stdout_bytes"] == 5, record
    s.detach("sleep 60", timeout=0.3)
    record = s.wait_ended(2)
    assert record["timed_out"] is True and record["exit_code"] == 130 and record["duration_ms"] < 20000, record
    assert s.run("sleep 60")["timed_out"] is True
    assert collect(s.stream("sleep 60")).result["timed_out"] is True
    s.end()


@case("a session is busy while a detached command runs, so it does not become idle, and its idle time begins with the end")
def _():
    s = Session(session_timeout=1, cleanup_interval=1)
    s.detach(UNTIL_GO)
    begun = time.monotonic()
    harness.wait_for(lambda: time.monotonic() - begun > 3, "three times its idle limit has passed")
    status, shown = s.server.request("GET", s.path)
    assert status == 200 and shown["data"]["busy"] is True and shown["data"]["idle_left"] is None, shown
    s.touch("go")
    assert s.server.tombstone(s.id)["reason"] == "idle"


@case("while a detached command runs another is refused, and the message names it")
def _():
    s = Session()
    s.detach(f"{UNTIL_GO}  # the long one")
    for fields in ({}, {"detach": True}, {"stream": True}):
        assert "the long one" in s.fails(409, "busy", "POST", "exec", {"command": "echo hi", **fields})["message"]
    shown = s.server.show(s.id)
    assert shown["exec"] == 1 and "the long one" in shown["command"], shown
    s.touch("go")
    s.wait_ended(1)
    s.end()


@case("a session that ends under a detached command: its waiters are told, and the command has no exit code")
def _():
    s = Session()
    s.detach("trap '' INT TERM HUP; echo hi; while :; do sleep 1; done")
    s.wait_printed(1, 3)
    asked = harness.Later(s.get, "execs/1?since=3&wait=60")
    tomb = s.server.end(s.id)
    assert "hi" in tomb["last_output"], tomb
    got = asked.result(SOON)
    assert got["state"] == "ended" and got["exit_code"] is None and got["session_state"] == "ended" and got["output"] == [], got
    got = s.get("execs/1?wait=60")
    assert got["state"] == "ended" and got["exit_code"] is None and got["output"][0]["text"] == "hi\n", got


@case("a detached command whose shell leaves has its exit code, as long as its session is there")
def _():
    s = Session()
    s.detach(f"{UNTIL_GO}; exit 9")
    asked = harness.Later(s.get, "execs/1?wait=60")
    s.touch("go")
    got = asked.result()
    assert got["exit_code"] == 9 and got["session_state"] == "closed", got
    assert s.server.tombstone(s.id)["reason"] == "closed"


@case("results of a session that has ended are found until exec_retention is over, and then its output is let go")
def _():
    with harness.Server(exec_retention=3) as one:
        id = one.create()["session_id"]
        one.exec(id, "echo bye; exit 4")
        harness.wait_for(lambda: one.request("GET", f"/v1/sessions/{id}")[0] == 410, "the session has ended")
        status, answer = one.request("GET", f"/v1/sessions/{id}/execs/1")
        assert status == 200 and answer["data"]["exit_code"] == 4 and answer["data"]["shell_left"], answer
        assert answer["data"]["output"][0]["text"] == "bye\n" and answer["data"]["session_state"] == "closed", answer
        assert one.request("GET", f"/v1/sessions/{id}/output")[1]["data"]["next"] == 4
        assert len(one.request("GET", f"/v1/sessions/{id}/execs")[1]["data"]["execs"]) == 1
        assert one.request("DELETE", f"/v1/sessions/{id}/execs/1")[0] == 410
        harness.wait_for(lambda: one.request("GET", f"/v1/sessions/{id}/execs/1")[0] == 410, "it is gone")
        harness.wait_for(lambda: not [n for n in open_now(one.server_pid) if "curfew-output" in n], "its output is let go")


if __name__ == "__main__":
    run_cases()
