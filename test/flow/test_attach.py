#!/usr/bin/env python3
"""Viewers of a terminal: WebSockets that see it and type into it.
budget: 120
"""
import hashlib
import os
import random
import re
import select
import subprocess
import sys
import threading

import harness
from sessions import PROMPTLY, open_now, run_cases
from tap import case, skip
from terminals import PROMPT, Terminal, Viewer, visible
from wsclient import BINARY, CLOSE, Refused, frame

LAG = 65536                             # viewer_lag_bytes of one of the servers, the least that it may be


def refused(t, query="", headers=None, path=None):
    """(status, error) of a viewer that is not let in."""
    try:
        viewer = Viewer(t.server, path or f"{t.path}/attach{query}", headers=headers)
    except Refused as error:
        return error.status, harness.json.loads(error.body)["error"]
    viewer.drop()
    raise AssertionError("it was let in")


def drawn(viewer):
    """The text of its first screen, without the gaps: those are jumps of the cursor."""
    return visible(viewer.drawing).replace(" ", "").strip()


def wait_viewers(t, count):
    harness.wait_for(lambda: t.show()["terminal"]["viewers"] == count, f"{count} viewers")


# ---- seeing

@case("several viewers see the same bytes, whoever types, and those of the session's output")
def _():
    t = Terminal()
    with t.attach() as a, t.attach() as b:
        a.at_prompt()
        b.at_prompt()
        start = len(a.drawing)
        first = (a.ask("echo from a", "from a"), b.ask("echo from b é", "from b é"))
        a.wait("from b é\r\n")
        with t.attach() as c:
            for v in (a, b, c):
                v.ask("echo $((6 * 7))", "42")
            for v in (a, b, c):
                v.until(lambda v=v: visible(v.seen).count("\r42\r\n") == 3 and visible(v.seen).endswith(PROMPT), "all three answers")
            wait_viewers(t, 3)
            whole = t.printed()
            assert start and first and whole.endswith(a.seen) and a.seen.endswith(c.seen), (whole, a.seen, c.seen)
            assert whole.endswith(b.seen), (whole, b.seen)
        wait_viewers(t, 2)
    wait_viewers(t, 0)
    t.end()


@case("binary that is no UTF-8, and all other bytes, reach the viewers as they are")
def _():
    t = Terminal()
    with t.attach() as v:
        v.at_prompt()
        v.ask("stty -opost")
        mark = len(v.seen)
        v.type("python3 -c 'import os; os.write(1, bytes(range(256)) * 300)'\r")
        v.until(lambda: bytes(range(256)) * 300 in v.seen[mark:], "all bytes")
    t.end()


@case("who joins sees the recent screen: its text, its place, and what a program has drawn; and goes on from there")
def _():
    t = Terminal(cols=40, rows=10)
    with t.attach() as v:
        v.at_prompt()
        v.ask("seq 30", "30")
        v.ask("echo -e '\\e[31mred\\e[m'", "red")
        v.type("half a li")
        v.wait("half a li")
        with t.attach() as late:
            shown = drawn(late)
            assert shown.split() == ["24", "25", "26", "27", "28", "29", "30", PROMPT + "echo-e'\\e[31mred\\e[m'", "red", PROMPT + "halfali"], shown
            assert b"\x1b[31m" in late.drawing and b"\x1b[6n" not in late.drawing
            late.type("ne\x15")
            mark = len(late.seen)
            late.type("printf '\\033[2J\\033[5;7Hhere'; read -n 1\r")
            late.wait("here", mark)
            v.until(lambda: v.seen.endswith(b"here"), "the same")
            with t.attach() as third:
                assert drawn(third) == "here" and b"\x1b[5;7H" in third.drawing, third.drawing
                third.type("x")
                third.until(lambda: visible(third.seen).endswith(PROMPT), "the prompt")
    t.end()


# Prints 32 KiB for each key, so that who answers each with a key is never far behind.
METER = r"""
import os, termios, tty
old = termios.tcgetattr(0)
tty.setraw(0)
line = b"x" * 62 + b"\r\n"
while True:
    os.write(1, b"go")
    if os.read(0, 1) == b"q":
        break
    for _ in range(512):
        os.write(1, line)
termios.tcsetattr(0, termios.TCSADRAIN, old)
"""


@case("who joins sees the screen also when commands have printed more than is kept since, and after a flood in the terminal itself")
def _():
    t = Terminal(cols=40, rows=10, spool_bytes=1 << 20)
    with t.attach() as v:
        v.at_prompt()
        v.ask("printf '\\033[?1049h\\033[2J\\033[5;7Hhere\\r\\n'", "here")
    assert t.run("head -c 5000000 /dev/zero")["stdout_bytes"] == 5000000
    with t.attach() as v:
        assert drawn(v).endswith("here\r\n" + PROMPT), v.drawing
        assert b"\x1b[?1049h" in v.drawing and b"\x1b[5;7H" in v.drawing, v.drawing
    t.type("head -c 30000000 /dev/zero | tr '\\0' x; echo; echo the last; : >done\r")
    t.wait_file("done")
    with t.attach() as v:
        v.until(lambda: visible(v.drawing + v.seen).endswith(PROMPT), "the prompt")
        shown = drawn(v)
        assert "x" * 40 in shown and "thelast" in shown and b"\x1b[?1049h" in v.drawing, shown
    t.end()


@case("a viewer that takes nothing is dropped with 4001 and by how many bytes; others get every byte, and the terminal goes on")
def _():
    t = Terminal(viewer_lag_bytes=LAG)
    t.write("meter.py", METER.encode())
    with t.attach() as quick, t.attach(receive_buffer=4096) as slow:
        quick.at_prompt()
        quick.type("python3 meter.py\r")
        quick.until(lambda: quick.seen.endswith(b"go"), "it began")
        for _ in range(1000):
            quick.seen = b""
            quick.type("x")
            quick.until(lambda: len(quick.seen) >= 512 * 64 + 2, "the next 32 KiB")
            assert quick.seen == (b"x" * 62 + b"\r\n") * 512 + b"go", quick.seen[-200:]
            if t.show()["terminal"]["viewers"] == 1:
                break
        wait_viewers(t, 1)
        closed = slow.wait_end(60)
        assert closed.code == 4001, closed
        words = closed.reason.split()
        assert words[:3] == ["fell", "behind", "by"] and LAG < int(words[3]) <= 2 * LAG and words[4] == "bytes", closed.reason
        quick.seen = b""
        quick.type("q")
        quick.wait(PROMPT)
        quick.ask("echo goes on", "goes on")
        with t.attach() as again:
            assert "goeson" in drawn(again)
    t.end()


@case("more than viewers_max are refused, and let in again when one has gone")
def _():
    t = Terminal(viewers_max=2)
    with t.attach() as first:
        with t.attach():
            wait_viewers(t, 2)
            status, error = refused(t)
            assert status == 429 and error["code"] == "too_many" and "viewers_max is 2" in error["message"], error
            first.at_prompt()
            first.ask("echo not disturbed", "not disturbed")
        wait_viewers(t, 1)
        with t.attach() as third:
            third.ask("echo let in", "let in")
    t.end()


# ---- typing

@case("shared: everybody types, and keys arrive in the order in which they were sent")
def _():
    t = Terminal()
    with t.attach() as a, t.attach() as b:
        a.at_prompt()
        assert all(v.hello["input"] == "shared" and v.hello["writer"] is True for v in (a, b))
        a.type("echo one ")
        a.wait("echo one ")
        b.type("two")
        a.wait("echo one two")
        mark = len(a.seen)
        a.type("\r")
        a.until(lambda: a.answered(mark, "one two"), "the answer")
        b.wait("\rone two\r\n" + PROMPT)
        for text in ("", "é", "\U0001f642"):
            a.type(text)
        a.wait("\U0001f642")
        a.type("\x15")
        a.ask("cat <<<'" + "y" * 3000 + "' | wc -c", "3001")
    t.end()


@case("single: who types first is the writer, and when it leaves the next who types is; everybody is told of each change")
def _():
    t = Terminal(terminal_input="single")
    with t.attach() as a, t.attach() as b:
        a.at_prompt()
        b.at_prompt()
        assert a.hello["input"] == "single" and a.hello["writer"] is b.hello["writer"] is True, "nobody has typed yet"
        a.ask("echo from a", "from a")
        assert a.told("writer")["writer"] is True and b.told("writer")["writer"] is False
        told = len(b.texts)
        b.type("echo from b\r")
        assert b.told("writer", told)["writer"] is False, "it is told again when it tries"
        a.ask("echo still a", "still a")
        b.wait("\rstill a\r\n")
        assert "from b" not in visible(b.seen), "what it types is dropped"
        with t.attach() as c:
            assert c.hello["writer"] is False, c.hello
            told = len(b.texts)
            a.close()
            assert c.told("writer")["writer"] is b.told("writer", told)["writer"] is True
            told = len(c.texts)
            b.ask("echo now b", "now b")
            assert c.told("writer", told)["writer"] is False
    t.end()


# Reads so many bytes, in raw mode and once there is a file `go`, which may have another number; then says what they were.
TAKER = r"""
import hashlib, os, sys, termios, time, tty
left = int(sys.argv[1])
old = termios.tcgetattr(0)
tty.setraw(0)
open("raw", "w").close()
while not os.path.exists("go"):
    if os.path.exists("say"):
        os.remove("say")
        os.write(1, b"said\r\n")
    time.sleep(0.01)
left = int(open("go").read() or left)
took = hashlib.sha256()
with open("took", "wb") as file:
    while left and (data := os.read(0, min(left, 65536))):
        left -= len(data)
        took.update(data)
        file.write(data)
termios.tcsetattr(0, termios.TCSADRAIN, old)
print("took", took.hexdigest())
"""
SMALL = 8192                            # max_input_bytes of one of the servers


def taker(t, v, count):
    """A program in the terminal that waits to take so many bytes."""
    t.write("taker.py", TAKER.encode())
    v.at_prompt()
    v.type(f"python3 taker.py {count}\r")
    t.wait_file("raw")


def paste(v, data, size=60000):
    """Begins to send all of it, on a thread; who takes from the viewer goes on."""
    def send():
        v.sock.settimeout(PROMPTLY)
        for at in range(0, len(data), size):
            v.send_binary(data[at:at + size])
    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


def wait_full(t):
    """Types until the terminal takes not one byte more; a program that does not read has it."""
    for text in ("p" * 1024, "p"):
        while t.server.request("POST", f"{t.path}/input", {"text": text})[0] == 200:
            pass


def push(v, most):
    """Sends messages until the connection takes no more for a second, or so many bytes.  How many went out; the last message is
    cut short, so nothing can be sent behind it."""
    message = frame(BINARY, b"x" * 32768) * 8
    v.sock.setblocking(False)
    sent = 0
    while sent < most and select.select([], [v.sock], [], 1)[1]:
        at = sent % len(message)
        sent += v.sock.send(message[at:])
    return sent


@case("8 MiB that a viewer pastes reach a program that reads later, byte for byte")
def _():
    for settings in ({}, {"max_input_bytes": SMALL}):
        t = Terminal(**settings)
        data = random.Random(8).randbytes(8 << 20 if not settings else 1 << 20)
        with t.attach() as v:
            taker(t, v, len(data))
            sending = paste(v, data)
            with t.attach() as other:
                told = len(other.texts)
                t.post("resize", {"cols": 100, "rows": 40})
                assert other.told("resized", told)["cols"] == 100
                t.write("go", b"")
                v.wait(hashlib.sha256(data).hexdigest(), seconds=60)
                other.wait(hashlib.sha256(data).hexdigest())
            sending.join(PROMPTLY)
            v.until(lambda: visible(v.seen).endswith(PROMPT), "the prompt")
            v.ask("echo alive", "alive")
            assert not any(told["type"] == "error" for told in v.texts), v.texts
        t.end()


@case("a paste into cat, with echo, is in the file as it was")
def _():
    t = Terminal()
    lines = "".join(f"{number} {'é' * (number % 40)}\r" for number in range(20000))
    with t.attach() as v:
        v.at_prompt()
        v.type("stty -echoctl; cat >pasted; cksum <pasted\r")
        v.wait("cksum <pasted\r\n")
        t.wait_at_work("cat")
        sending = paste(v, lines.encode() + b"\x04", 5000)
        v.until(lambda: visible(v.seen).endswith(PROMPT), "the prompt", 60)
        sending.join(PROMPTLY)
    with open(f"{t.folder}/pasted", encoding="utf-8") as file:
        assert file.read() == lines.replace("\r", "\n")
    t.end()


@case("several viewers that paste at a time all wait for their turn, and no message is torn")
def _():
    t = Terminal(max_input_bytes=SMALL)
    size, each = 30000, 10
    with t.attach() as a, t.attach() as b, t.attach() as c:
        taker(t, a, 3 * each * size)
        sending = [paste(v, letter * size * each, size) for v, letter in ((a, b"a"), (b, b"b"), (c, b"c"))]
        t.write("go", b"")
        for thread in sending:
            thread.join(PROMPTLY)
        a.wait("took ")
        with open(f"{t.folder}/took", "rb") as file:
            took = file.read()
        assert all(took.count(letter) == size * each for letter in (b"a", b"b", b"c")), len(took)
        runs = [len(run) for run in re.findall(b"a+|b+|c+", took)]
        assert all(run % size == 0 for run in runs), runs
    t.end()


@case("a program that never reads: who pastes into it waits, and takes no memory; it sees and is seen, and when it goes all is free")
def _():
    t = Terminal(max_input_bytes=SMALL)
    with t.attach() as other:
        taker(t, other, 1)
        wait_full(t)
        before = harness.wait_for(lambda: len(open_now(t.server.server_pid)), "descriptors")
        for reset in (False, True):
            with t.attach(timeout=60) as v:
                assert push(v, 64 << 20) < 32 << 20
                wait_viewers(t, 2)
                t.write("say", b"")
                for viewer in (v, other):
                    viewer.seen = b""
                    viewer.wait("said")
                told = len(v.texts)
                other.order(type="resize", cols=70 + reset, rows=20)
                assert v.told("resized", told)["cols"] == 70 + reset
                v.drop(reset)
                wait_viewers(t, 1)
        harness.wait_for(lambda: len(open_now(t.server.server_pid)) <= before, f"{before} descriptors again")
        told = len(other.texts)
        other.type("held as well")
        with t.attach() as v:
            push(v, 4 << 20)
            t.server.end(t.id)
            for viewer in (v, other):
                assert viewer.told("ended")["session"]["reason"] == "requested"
            assert other.wait_end().code == 1000


@case("who says goodbye behind a paste is answered when all of it is typed; who does not wait for that leaves at once")
def _():
    t = Terminal(max_input_bytes=SMALL)
    data = random.Random(5).randbytes(300000)
    with t.attach() as v, t.attach() as other:
        taker(t, v, len(data))
        sending = paste(v, data, 30000)
        t.write("go", b"")
        sending.join(PROMPTLY)
        v.send_close()
        assert v.wait_end().code == 1000
        other.wait(hashlib.sha256(data).hexdigest())
        other.until(lambda: visible(other.seen).endswith(PROMPT), "the prompt")
        wait_viewers(t, 1)
        os.remove(f"{t.folder}/go")
        os.remove(f"{t.folder}/raw")
        other.type("python3 taker.py 1\r")
        t.wait_file("raw")
        wait_full(t)
        with t.attach() as gone:
            gone.send_raw(frame(BINARY, b"never typed") + frame(CLOSE, b"\x03\xe8"))
            wait_viewers(t, 2)
            gone.drop(True)
            wait_viewers(t, 1)
        with t.attach() as unlucky:
            unlucky.send_raw(frame(BINARY, b"never typed") + frame(CLOSE, b"\x03\xe8"))
            wait_viewers(t, 2)
            t.server.end(t.id)
            assert unlucky.wait_end().code != 1000      # which would say that all of it was typed


@case("a POST types too, and is refused when the terminal takes no more")
def _():
    t = Terminal()
    with t.attach() as v:
        v.at_prompt()
        assert t.type("echo posted")["accepted"] == 11
        v.wait("echo posted")
        v.ask("", "posted")
        t.type("echo up; exec cat\r")      # what it prints comes behind the line editor's modes
        v.wait("\rup\r\n")
        t.type("line\r")
        v.wait("line\r\nline\r\n")
        assert t.post("input", {"eof": True})["open"] is True
        assert t.server.tombstone(t.id)["exit_code"] == 0
        assert v.told("ended")["session"]["reason"] == "closed"


@case("a POST of text with eof types all of it or nothing, so that it can be sent again with its number")
def _():
    t = Terminal(max_input_bytes=SMALL)
    with t.attach() as v:
        taker(t, v, 0)
        t.fails(413, "too_large", "POST", "input", {"text": "p" * SMALL, "eof": True})
        count = 0
        while t.server.request("POST", f"{t.path}/input", {"text": "p" * 1000})[0] == 200:
            count += 1000
        more = {"eof": True, "seq": 1}
        size = next(size for size in range(999, 0, -1)
                    if t.server.request("POST", f"{t.path}/input", {"text": "t" * size, **more})[0] == 200)
        assert t.type("t" * size, **more)["duplicate"] is True
        t.write("gone", str(count + size + 1).encode())
        os.rename(f"{t.folder}/gone", f"{t.folder}/go")
        v.wait("took ")
        with open(f"{t.folder}/took", "rb") as file:
            took = file.read()
        assert took == b"p" * count + b"t" * size + b"\x04", took[count:]
        v.until(lambda: visible(v.seen).endswith(PROMPT), "the prompt")
    t.end()


# ---- sizes

@case("a viewer that resizes: the program is told, and so is every viewer; as is one who joins with a size of its own")
def _():
    t = Terminal()
    with t.attach() as a, t.attach() as b:
        a.at_prompt()
        a.order(type="resize", cols=100, rows=40)
        for v in (a, b):
            assert v.told("resized") == {"type": "resized", "cols": 100, "rows": 40}
        a.ask("stty size", "40 100")
        a.ask("echo $LINES $COLUMNS", "40 100")
        told = len(a.texts)
        with t.attach("?cols=90&rows=33") as c:
            assert (c.hello["cols"], c.hello["rows"]) == (90, 33), c.hello
            assert a.told("resized", told)["cols"] == 90
        assert t.show()["terminal"]["rows"] == 33
        told = len(b.texts)
        assert t.post("resize", {"cols": 1, "rows": 1}) == {"session_id": t.id, "cols": 1, "rows": 1}
        harness.wait_for(lambda: b.told("resized", told) and any(m.get("cols") == 1 for m in b.texts) or b.take(), "it is told")
        assert t.post("resize", {"cols": 1000, "rows": 1000})["rows"] == 1000
    assert t.run_soon("stty size </dev/tty")["stdout"] == "1000 1000\n"
    t.end()


@case("a message that is no order is answered with an error that says what is wanted, and the connection lives")
def _():
    t = Terminal()
    with t.attach() as v:
        v.at_prompt()
        for text in ("resize", "", "{", "[]", "null", "7", '"resize"', "{}", '{"type":7}', '{"type":"type"}', '{"type":"resize"}',
                     '{"type":"resize","type":"resize","cols":80,"rows":24}', '{"type":"resize","cols":0,"rows":24}',
                     '{"type":"resize","cols":80,"rows":1001}', '{"type":"resize","cols":"80","rows":24}', '{"type":"resize","cols":80.5,"rows":24}',
                     '{"type":"resize","cols":-80,"rows":24}', '{"type":"resize","cols":99999999999999999999,"rows":24}',
                     '{"type":"resize","cols":4294967376,"rows":24}', "[" * 5000, '{"type":"resize\\u0000","cols":80,"rows":24}'):
            told = len(v.texts)
            v.send_text(text)
            error = v.told("error", told)
            assert error["code"] == "invalid" and ("resize" in error["message"] or "1 to 1000" in error["message"]), (text, error)
        v.ask("stty size", "24 80")
    t.end()


@case("a message that is too long ends the connection with 1009, text that is no UTF-8 with 1007, and the terminal goes on")
def _():
    t = Terminal()
    for send, code in ((lambda v: v.send_binary(b"x" * 65537), 1009), (lambda v: v.send_frame(1, b"\xff\xfe"), 1007)):
        with t.attach() as v:
            v.at_prompt()
            send(v)
            assert v.wait_end().code == code
        wait_viewers(t, 0)
    with t.attach() as v:
        v.at_prompt()
        v.ask("echo fine", "fine")
    t.end()


# ---- coming and going

@case("viewers that go at every stage, in order and with a RST, leave no descriptor behind")
def _():
    t = Terminal()
    with t.attach() as v:
        v.at_prompt()
        v.ask("echo ready", "ready")
    wait_viewers(t, 0)
    pid = t.server.server_pid
    before = harness.wait_for(lambda: len(open_now(pid)), "descriptors")
    for round_ in range(6):
        for reset in (False, True):
            early = Viewer(t.server, None)
            early.send_raw(f"GET {t.path}/attach HTTP/1.1\r\nHost: localhost\r\nUpgr".encode())
            early.drop(reset)
            asked = Viewer(t.server, None)
            asked.send_raw((f"GET {t.path}/attach HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode())
            asked.drop(reset)
            opened = t.attach(greet=False)
            opened.drop(reset)
            halfway = t.attach()
            halfway.send_raw(b"\x82\xfe\x10")
            halfway.drop(reset)
            typing = t.attach()
            typing.type(f"echo {round_}\x15")
            typing.drop(reset)
        assert t.attach().close().code == 1000
    wait_viewers(t, 0)
    harness.wait_for(lambda: len(open_now(pid)) <= before, f"{before} descriptors again: {open_now(pid)}")
    t.end()


@case("the session ends: what was printed last, then {\"type\":\"ended\"} with the tombstone, then 1000")
def _():
    t = Terminal()
    with t.attach() as a, t.attach() as b:
        a.at_prompt()
        a.type("echo the last; exit 4\r")
        for v in (a, b):
            closed = v.wait_end()
            assert closed.code == 1000 and "ended" in closed.reason, closed
            assert "\rthe last\r\n" in visible(v.seen) and v.texts[-1]["type"] == "ended", (v.seen, v.texts)
            session = v.texts[-1]["session"]
            assert session["reason"] == "closed" and session["exit_code"] == 4 and "status 4" in session["evidence"], session
    status, error = refused(t)
    assert status == 410 and error["session"]["reason"] == "closed", error
    t = Terminal()
    with t.attach() as v:
        v.at_prompt()
        t.server.end(t.id)
        assert v.wait_end().code == 1000 and v.texts[-1]["session"]["reason"] == "requested"


@case("the server stops: viewers are told that the session has ended by its shutdown, and the connection is closed in order")
def _():
    with harness.Server() as server:
        t = Terminal.__new__(Terminal)
        t.server = server
        t.made = server.create(workspace="a", terminal={"cols": 80, "rows": 24}, env={"PS1": PROMPT})
        t.id = t.made["session_id"]
        t.path = f"/v1/sessions/{t.id}"
        with t.attach() as v, t.attach(receive_buffer=4096) as other:
            v.at_prompt()
            server.stop()
            closed = v.wait_end()
            assert v.texts[-1]["type"] == "ended" and v.texts[-1]["session"]["reason"] == "shutdown", v.texts
            assert closed.code in (1000, 1001), closed
            assert other.wait_end().code in (1000, 1001)


# ---- who may

@case("a foreign Origin is refused, a session without a terminal, one that is not there, and half of a size")
def _():
    t = Terminal()
    assert refused(t, headers={"Origin": "https://evil.example"})[0] == 403
    assert refused(t, headers={"Host": "evil.example"})[0] == 421
    pipes = t.server.create(workspace="pipes")["session_id"]
    status, error = refused(t, path=f"/v1/sessions/{pipes}/attach")
    assert status == 409 and error["code"] == "not_ready" and "terminal" in error["message"], error
    t.server.fails(409, "not_ready", "POST", f"/v1/sessions/{pipes}/resize", {"cols": 80, "rows": 24})
    t.server.end(pipes)
    assert refused(t, path="/v1/sessions/bash_none_aaaaaaaaaaaa/attach")[0] == 404
    for query, field in (("?cols=80", "cols"), ("?rows=24", "cols"), ("?cols=0&rows=24", "cols"), ("?cols=80&rows=1001", "rows"),
                         ("?cols=x&rows=24", "cols"), ("?cols=80&rows=24&depth=8", "depth")):
        status, error = refused(t, query)
        assert status == 400 and error["field"] == field, (query, error)
    assert t.show()["terminal"] == {**t.show()["terminal"], "cols": 80, "rows": 24}
    t.end()


AS_NOBODY = r'''
import sys
sys.path.insert(0, sys.argv[1])
from wsclient import Refused, WebSocket
try:
    WebSocket((sys.argv[2], int(sys.argv[3])), sys.argv[4], {"Authorization": "Bearer " + sys.argv[5]} if len(sys.argv) > 5 else None)
    print("let in")
except Refused as error:
    print(error.status)
'''


@case("another user needs the token to attach")
def _():
    if os.getuid() != 0:
        skip("not root")
    t = Terminal()
    host, port = t.server.address.rsplit(":", 1)
    with open(os.path.join(t.server.state, "token"), encoding="utf-8") as file:
        token = file.read().strip()
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "wsclient.py"), encoding="utf-8") as file:     # nobody may be unable to read this folder
        folder = os.path.join(t.server.folder, "client")
        os.makedirs(folder)
        with open(os.path.join(folder, "wsclient.py"), "w", encoding="utf-8") as copy:
            copy.write(file.read())

    def attach(*words):
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c", AS_NOBODY, folder, host, port,
                   f"{t.path}/attach", *words]
        if not os.access(sys.executable, os.X_OK):
            skip("no python for others")
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=PROMPTLY, check=False)
        if "ermission denied" in done.stderr:
            skip("python cannot be run by another user: " + done.stderr.strip().splitlines()[-1])
        return done.stdout.strip()
    assert attach() == "401" and attach("wrong") == "401", attach()
    assert attach(token) == "let in"
    t.end()


@case("a terminal that floods, with a viewer that reads nothing, holds up no command of another session")
def _():
    t, other = Terminal(), Terminal()
    with t.attach(receive_buffer=4096) as v:
        v.at_prompt()
        t.type("yes $(seq 20)\r")
        t.wait_at_work("yes")
        for number in range(20):
            assert other.run(f"echo {number}")["stdout"] == f"{number}\n"
        t.type("\x03")
        harness.wait_for(lambda: not t.show()["terminal"]["at_work"], "it was interrupted")
    with t.attach() as v:
        v.at_prompt()
        v.ask("echo fine", "fine")
    t.end()
    other.end()


run_cases()
