#!/usr/bin/env python3
"""What a command reads: nothing, what came with it, or what is written to it while it runs.
budget: 120
"""
import base64
import concurrent.futures
import hashlib
import random

import harness
from sessions import Session, run_cases
from streamclient import collect
from tap import case

MAX_INPUT = 4096                        # max_input_bytes of one of the servers, the least that it may be
UNTIL_GO = "until [ -e go ]; do sleep 0.02; done"


def put(s, text=None, **fields):
    """Writes to the running command; the answer's data."""
    if isinstance(text, bytes):
        fields["base64"] = base64.b64encode(text).decode()
    elif text is not None:
        fields["text"] = text
    got = s.post("input", fields)
    assert set(got) == {"session_id", "exec", "accepted", "duplicate", "open"} and got["session_id"] == s.id, got
    return got


def put_raw(s, data, query="", **more):
    return s.server.request("POST", f"{s.path}/input{query}", data, {"Content-Type": "application/octet-stream"}, **more)


def put_all(s, data, chunk=65536, choose=None, eof=True):
    """Everything, in pieces with sequence numbers; asks again as long as there is no room."""
    seq = at = refused = 0
    while at < len(data) or eof:
        part = data[at:at + (choose.randrange(1, chunk) if choose else chunk)]
        last = at + len(part) == len(data)
        seq += 1
        while True:
            status, answer = put_raw(s, part, f"?seq={seq}" + ("&eof=true" if last and eof else ""))
            if status == 200:
                break
            assert status == 429 and answer["error"]["code"] == "too_many", (status, answer)
            refused += 1
        assert answer["data"]["accepted"] == len(part) and not answer["data"]["duplicate"], answer
        at += len(part)
        if last:
            return refused
    return refused


# ---- nothing

@case("without input a command's stdin is empty: what reads ends at once")
def _():
    s = Session()
    assert s.run("cat; echo cat $?")["stdout"] == "cat 0\n"
    assert s.run("read x; echo $? [$x]")["stdout"] == "1 []\n"
    assert s.run("bash; python3 -c 'import sys; print(len(sys.stdin.read()))'; wc -c; readlink /proc/self/fd/0")["stdout"] == "0\n0\n/dev/null\n"
    assert s.run("cat", stdin="")["stdout"] == "" and s.run("cat", stdin_base64="")["stdout"] == ""
    assert s.run("cat <<<here; cat < /dev/null; echo x | cat")["stdout"] == "here\nx\n"
    s.end()


@case("input to a command without it, and to no command, is refused: not_reading")
def _():
    s = Session()
    assert "no command" in s.fails(409, "not_reading", "POST", "input", {"text": "x"})["message"]
    s.detach(UNTIL_GO)
    assert "without" in s.fails(409, "not_reading", "POST", "input", {"text": "x"})["message"]
    s.fails(409, "not_reading", "POST", "input", {"eof": True})
    s.touch("go")
    s.wait_ended(1)
    s.fails(409, "not_reading", "POST", "input", {"text": "x", "exec": 1})
    s.run("cat", stdin="x")
    s.fails(409, "not_reading", "POST", "input", {"text": "x"})
    s.end()


# ---- with the command

@case("stdin is there from the beginning, as text and as base64, and ends")
def _():
    s = Session()
    text = "line 1\nline 2 é\nno newline"
    assert s.run("cat", stdin=text)["stdout"] == text
    assert s.run("read a; read b; echo \"$b|$a\"", stdin=text)["stdout"] == "line 2 é|line 1\n"
    assert s.run("while read -r l; do echo \"<$l>\"; done", stdin="a b\nc\\d\n")["stdout"] == "<a b>\n<c\\d>\n"
    assert s.run("cat", stdin="")["stdout"] == ""
    data = bytes(range(256)) * 40
    got = s.run("sha256sum; cat", stdin_base64=base64.b64encode(data).decode())
    assert got["stdout"].split()[0] == hashlib.sha256(data).hexdigest()
    assert s.run("cat")["stdout"] == "", "the next command has none of it"
    s.end()


@case("a large stdin, one that nobody reads, and one of which only the beginning is read")
def _():
    s = Session()
    text = "".join(f"{i}\n" for i in range(200000))
    assert s.run("wc -c; true", stdin=text)["stdout"].split() == [str(len(text))]
    assert s.run("echo nobody", stdin=text)["stdout"] == "nobody\n"
    assert s.run("head -1; echo then; head -1 >/dev/null", stdin=text)["stdout"] == "0\nthen\n"
    assert s.run("exec 0<&-; echo closed", stdin=text)["stdout"] == "closed\n"
    s.end()


@case("stdin with detach and stream, and with input: what came with the command is read first")
def _():
    s = Session()
    s.detach("cat", stdin="detached")
    s.wait_ended(1)
    assert s.get("execs/1")["output"][0]["text"] == "detached"
    assert collect(s.stream("cat", stdin="streamed")).text("stdout") == "streamed"
    s.detach("cat", stdin="first ", input=True)
    assert put(s, "second", eof=True)["open"] is False
    s.wait_ended(3)
    assert s.get("execs/3")["output"][0]["text"] == "first second"
    s.end()


@case("no stdin reaches the command behind it, also while a background job still reads its own")
def _():
    s = Session()
    s.run("(sleep 0.3; cat >later) & read x", stdin="one\ntwo\n")
    assert s.run("cat", stdin="three")["stdout"] == "three"
    assert s.run("wait; cat later")["stdout"] in ("", "two\n"), "bash gives a job without job control nothing, or what its command has"
    s.end()


# ---- while it runs

@case("input is read as it comes, line by line, and ends by eof")
def _():
    s = Session()
    with s.stream("while read -r l; do echo \"<$l>\"; done; echo end", input=True) as stream:
        stream.until("start")
        for text in ("one", "two é", "three\tand more"):
            got = put(s, text + "\n")
            assert got["exec"] == 1 and got["accepted"] == len(text.encode()) + 1 and got["open"] is True and got["duplicate"] is False, got
            assert stream.next().data.decode() == f"<{text}>\n"
        got = put(s, eof=True)
        assert got["accepted"] == 0 and got["open"] is False, got
        assert stream.next().data == b"end\n"
        assert stream.until("result")[-1].value["exit_code"] == 0
    s.end()


@case("input before the command has opened its stdin is not lost")
def _():
    s = Session()
    for i in range(1, 21):
        s.detach("cat", input=True)
        put(s, f"early {i}\n")
        put(s, eof=True)
        s.wait_ended(i)
        assert s.get(f"execs/{i}")["output"][0]["text"] == f"early {i}\n"
    s.end()


@case("input while an earlier command's interrupt is still under way is kept for the command that it is for")
def _():
    s = Session()
    for i in range(15):
        first = s.detach("sleep 60")
        s.cancel(first)
        number = s.detach("cat", input=True, stdin="<")         # it may have to wait for the signal's end
        assert put(s, "hi", seq=1)["open"] is True and put(s, "hi", seq=1)["duplicate"] is True
        assert put(s, ">", seq=2, eof=True)["open"] is False
        s.fails(409, "not_reading", "POST", "input", {"text": "behind"})
        s.wait_ended(number)
        assert s.get(f"execs/{number}")["output"][0]["text"] == "<hi>"
    s.end()


@case("raw bytes of every kind, by base64 and as a raw body")
def _():
    s = Session()
    data = bytes(range(256)) * 64 + b"\0\0\xff\r\n\x1b["
    s.detach("cat", input=True)
    put(s, data)
    status, answer = put_raw(s, data, "?eof=true&seq=7&exec=1")
    assert status == 200 and answer["data"]["accepted"] == len(data) and answer["data"]["open"] is False, answer
    s.wait_ended(1)
    got = b"".join(base64.b64decode(p["base64"]) for p in s.get("execs/1?encoding=base64")["output"])
    assert got == data + data
    s.detach("cat", input=True)
    assert put_raw(s, b"", "?eof=true")[0] == 200       # nothing but the end
    assert s.wait_ended(2)["stdout_bytes"] == 0
    s.end()


@case("1 MB through input, byte for byte, to readers of every pace")
def _():
    for command in ("sha256sum", "python3 -c 'import hashlib, os, time; h = hashlib.sha256()\nwhile d := os.read(0, 30000): h.update(d); time.sleep(0.002)\nprint(h.hexdigest())'"):
        for settings in ({}, {"max_input_bytes": MAX_INPUT}):
            s = Session(**settings)
            data = random.Random(9).randbytes(1000000)
            s.detach(command, input=True)
            put_all(s, data, 4000 if settings else 100000, random.Random(10))
            assert s.wait_ended(1)["exit_code"] == 0
            assert s.get("execs/1")["output"][0]["text"].split()[0] == hashlib.sha256(data).hexdigest()
            s.end()


@case("what nobody reads is bounded by max_input_bytes, refused with too_many, and taken again when there is room")
def _():
    s = Session(max_input_bytes=MAX_INPUT)
    s.detach(f"{UNTIL_GO}; wc -c", input=True)
    total = refused = 0
    while not refused:
        status, answer = put_raw(s, b"x" * 4000)
        total += 4000 * (status == 200)
        refused += status == 429
        assert status in (200, 429) and total < MAX_INPUT + (1 << 20), (status, total)
    assert answer["error"]["code"] == "too_many" and "max_input_bytes" in answer["error"]["message"], answer
    waiting = int(answer["error"]["message"].split()[0])
    assert MAX_INPUT - 4000 < waiting <= MAX_INPUT, answer
    room = MAX_INPUT - waiting
    if room:
        assert put_raw(s, b"y" * room)[0] == 200
        total += room
    assert put_raw(s, b"z")[0] == 429
    assert put(s, eof=False, text="")["accepted"] == 0
    s.touch("go")
    harness.wait_for(lambda: put_raw(s, b"z" * MAX_INPUT)[0] == 200, "there is room again")
    put(s, eof=True)
    s.wait_ended(1)
    assert s.get("execs/1")["output"][0]["text"].strip() == str(total + MAX_INPUT)
    s.end()


@case("more than max_input_bytes at once is refused whole, however empty the queue is; with the command it may be more")
def _():
    s = Session(max_input_bytes=MAX_INPUT)
    s.detach("wc -c", input=True, stdin="a" * (3 * MAX_INPUT))
    assert "max_input_bytes" in s.fails(413, "too_large", "POST", "input", {"text": "b" * (MAX_INPUT + 1)})["message"]
    harness.wait_for(lambda: put_raw(s, b"c" * MAX_INPUT, "?seq=1")[0] == 200, "it is taken")
    put(s, eof=True)
    s.wait_ended(1)
    assert s.get("execs/1")["output"][0]["text"].strip() == str(4 * MAX_INPUT)
    s.end()


# ---- sequence numbers

@case("a piece with a number that was taken before is not written again")
def _():
    s = Session()
    s.detach("cat", input=True)
    assert put(s, "a", seq=1)["duplicate"] is False
    for _ in range(3):
        got = put(s, "a", seq=1)
        assert got["duplicate"] is True and got["accepted"] == 0 and got["open"] is True, got
    assert put(s, "b", seq=5)["duplicate"] is False      # they need not be without gaps
    for seq in (1, 2, 4, 5):
        assert put(s, "x", seq=seq)["duplicate"] is True
    assert put(s, "-")["duplicate"] is False             # without a number nothing is a repetition
    assert put(s, "c", seq=6, eof=True)["open"] is False
    got = put(s, "c", seq=6, eof=True)
    assert got["duplicate"] is True and got["open"] is False, got
    s.wait_ended(1)
    assert s.get("execs/1")["output"][0]["text"] == "ab-c"
    s.end()


@case("a piece that was refused has not used its number")
def _():
    s = Session(max_input_bytes=MAX_INPUT)
    s.detach(f"{UNTIL_GO}; cat >got", input=True)
    while put_raw(s, b"x" * 4096)[0] == 200:
        pass
    assert put_raw(s, b"y" * 4096, "?seq=1")[0] == 429
    s.touch("go")
    harness.wait_for(lambda: (g := put_raw(s, b"y" * 4096, "?seq=1"))[0] == 200 and not g[1]["data"]["duplicate"], "it is taken now")
    put(s, eof=True)
    s.wait_ended(1)
    assert s.read("got").endswith(b"xy" + b"y" * 4095)
    s.end()


@case("numbers begin anew with each command")
def _():
    s = Session()
    for i in (1, 2):
        s.detach("cat", input=True)
        assert put(s, f"{i}", seq=3, eof=True)["duplicate"] is False
        s.wait_ended(i)
        assert s.get(f"execs/{i}")["output"][0]["text"] == f"{i}"
    s.end()


@case("a client that repeats each piece at random, as after lost answers: nothing is lost or doubled")
def _():
    s, choose = Session(), random.Random(11)
    data = random.Random(12).randbytes(400000)
    s.detach("sha256sum", input=True)
    parts = [data[at:at + 9973] for at in range(0, len(data), 9973)]
    for seq, part in enumerate(parts, 1):
        query = f"?seq={seq}" + ("&eof=true" if seq == len(parts) else "")
        for attempt in range(choose.randrange(1, 4)):
            if choose.random() < 0.3:                   # it does not wait for the answer
                connection = s.server.connection()
                connection.request("POST", f"{s.path}/input{query}", part, {"Content-Type": "application/octet-stream"})
                connection.close()
        harness.wait_for(lambda q=query, p=part: put_raw(s, p, q)[0] in (200, 409), f"piece {seq} is taken")
    s.wait_ended(1)
    assert s.get("execs/1")["output"][0]["text"].split()[0] == hashlib.sha256(data).hexdigest()
    s.end()


# ---- who reads

@case("exec=N writes to that command only")
def _():
    s = Session()
    s.run("true")
    s.detach("cat", input=True)
    for number in (1, 3, 4294967295):
        error = s.fails(409, "not_reading", "POST", "input", {"text": "x", "exec": number})
        assert error["field"] == "exec" and str(number) in error["message"], error
    assert put(s, "right", exec=2, eof=True)["exec"] == 2
    s.wait_ended(2)
    assert s.get("execs/2")["output"][0]["text"] == "right"
    s.end()


@case("a command never sees what was written for the one before it")
def _():
    s = Session(max_input_bytes=MAX_INPUT)
    for i in range(10):
        first = s.detach("read -r x; echo got $x", input=True)
        put(s, f"{i}\n" + "left over\n" * 100)
        s.wait_ended(first)
        second = s.detach("cat", input=True)
        put(s, "mine", eof=True)
        s.wait_ended(second)
        assert s.get(f"execs/{second}")["output"][0]["text"] == "mine"
        assert s.run("cat")["stdout"] == ""
    s.end()


@case("a command that has closed its stdin, or whose reader has gone: not_reading, and it runs on")
def _():
    s = Session()
    s.detach(f"exec 0<&-; echo closed; {UNTIL_GO}; echo done", input=True)
    s.wait_printed(1, 7)

    def refused():
        status, answer = s.server.request("POST", f"{s.path}/input", {"text": "x"})
        assert status == 200 or answer["error"]["code"] == "not_reading", answer
        return status == 409
    harness.wait_for(refused, "nobody reads any more")
    s.fails(409, "not_reading", "POST", "input", {"eof": True})
    s.touch("go")
    record = s.wait_ended(1)
    assert record["exit_code"] == 0 and record["stdout_bytes"] == 12, record
    s.end()


@case("after eof nothing is taken; a second eof is refused as well")
def _():
    s = Session()
    s.detach(f"cat; {UNTIL_GO}", input=True)
    put(s, "a", eof=True)
    assert "closed" in s.fails(409, "not_reading", "POST", "input", {"text": "b"})["message"]
    s.fails(409, "not_reading", "POST", "input", {"eof": True})
    s.touch("go")
    s.wait_ended(1)
    assert s.get("execs/1")["output"][0]["text"] == "a"
    s.end()


@case("a command with input that does not read it ends by itself; one that waits for it ends by timeout and by cancel")
def _():
    s = Session()
    assert s.run("echo hi", input=True)["stdout"] == "hi\n"
    got = s.run("cat", input=True, timeout=0.3)
    assert got["timed_out"] is True and got["exit_code"] == 130, got
    number = s.detach("cat; echo behind", input=True)
    assert s.cancel(number)["cancelled"] is True
    assert s.run("cat")["stdout"] == ""
    s.end()


@case("input keeps its session from becoming idle, and many at a time are all taken")
def _():
    s = Session()
    s.detach("wc -c", input=True)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda i: put_raw(s, b"x" * 1000)[0], range(100)))
    assert set(done) == {200}
    put(s, eof=True)
    s.wait_ended(1)
    assert s.get("execs/1")["output"][0]["text"].strip() == "100000"
    s.end()


@case("programs that talk: python's input(), a shell within the shell, bc-like dialogue")
def _():
    s = Session()
    with s.stream("python3 -u -c 'name = input(\"name? \"); print(\"hello\", name)'", input=True) as stream:
        stream.until("stdout")
        put(s, "Ada\n")
        assert "hello Ada\n" in "".join(r.data.decode() for r in stream if r.kind == "stdout")
    with s.stream("bash", input=True) as stream:
        stream.until("start")
        put(s, "x=41\n")
        put(s, "echo $((x + 1))\n")
        assert stream.next().data == b"42\n"
        put(s, "exit 6\n")
        assert stream.until("result")[-1].value["exit_code"] == 6
    s.end()


if __name__ == "__main__":
    run_cases()
