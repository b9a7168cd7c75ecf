#!/usr/bin/env python3
"""curfew attach in a terminal of its own, against a stand-in that is the server's side of the WebSocket.  However it
ends, the terminal is as it was."""
import json
import os
import re
import signal
import subprocess
import threading

from clistand import CURFEW, ENV, SERVER, curfew, expect, main
from standin import error, success
from tap import case
from webstand import CLOSE, PING, PONG, TEXT, Socket, Terminal

DETACH = b"\x1cd"
LEAVES = b"curfew: detached from s1"


class Talk:
    """What the server says on each connection, one function each; a failure in it fails the test."""

    def __init__(self, *functions):
        self.functions, self.failure, self.done, self.lock = list(functions), None, 0, threading.Lock()
        SERVER.set(lambda request: Socket(self.serve))

    def serve(self, connection):
        with self.lock:
            function = self.functions.pop(0)
        try:
            function(connection)
        except BaseException as failure:
            self.failure = failure
            raise
        finally:
            self.done += 1

    def check(self):
        assert not self.functions, f"{len(self.functions)} connections did not come"
        if self.failure:
            raise self.failure


def attach(*args, **more):
    return Terminal([CURFEW, "attach", "s1", *args], {**ENV, "TERM": "xterm"}, **more)


def greeted(c, **more):
    c.hello(**more)
    c.show(b"PROMPT$ ")


def until_close(c):
    """What is typed until the client says goodbye."""
    data = b""
    while True:
        opcode, more = c.take()
        if opcode in (CLOSE, None):
            return data, opcode
        data += more if opcode == 2 else b""


# showing and typing

@case("attach shows what the session prints, and hands on what is typed, byte for byte")
def _():
    every = bytes(range(256))

    def serve(c):
        greeted(c)
        assert c.typed(3) == b"ls\r"
        c.show(every + b"DONE")
        assert c.typed(256) == every.replace(b"\x1c", b"x")
        c.show(b"GOT")
        assert until_close(c) == (b"", CLOSE)
    talk = Talk(serve)
    with attach() as t:
        t.wait_shown(b"PROMPT$ ")
        assert t.raw()
        t.type(b"ls\r")
        t.wait_shown(every + b"DONE")
        t.type(every.replace(b"\x1c", b"x"))
        t.wait_shown(b"GOT")
        t.type(DETACH)
        assert t.wait() == 0 and LEAVES in t.shown and t.restored()
    talk.check()
    asked = SERVER.requests[0]
    assert asked.path == "/v1/sessions/s1/attach" and asked.query == {"cols": "100", "rows": "30"}, asked.query


@case("a line at the start tells how to leave, before the session's screen")
def _():
    for args, words in (((), b"attached to s1; ctrl-\\ and then d detaches\r\n"),
                        (("--detach-keys", "ctrl-p,ctrl-q"), b"attached to s1; ctrl-p and then ctrl-q detaches\r\n"),
                        (("--detach-keys=none",), b"attached to s1\r\n"),
                        (("--read-only",), b"detaches, and so does ctrl-c\r\n")):
        talk = Talk(lambda c: (greeted(c), c.close(1000)))
        with attach(*args) as t:
            assert t.wait() == 0
            assert 0 <= t.shown.index(words) < t.shown.index(b"\r\n" * 30) < t.shown.index(b"PROMPT$ "), t.shown
        talk.check()


@case("a token is sent along, and an answer that comes in pieces is understood")
def _():
    def serve(c):
        data, c.head = c.head, b""
        for at in range(0, len(data), 7):
            c.wire.sendall(data[at:at + 7])
        c.hello()
        c.frame(2, b"in two ", final=False)
        c.frame(0, b"parts")
        c.close(1000)
    talk = Talk(serve)
    with Terminal([CURFEW, "attach", "s1"], {**ENV, "CURFEW_TOKEN": "s3cret"}) as t:
        assert t.wait() == 0 and b"in two parts" in t.shown, t.shown
    talk.check()
    assert SERVER.requests[0].headers["Authorization"] == "Bearer s3cret"


@case("a change of our terminal's size is told, but not with --read-only")
def _():
    def serve(c):
        greeted(c)
        opcode, data = c.take()
        assert opcode == TEXT and json.loads(data) == {"type": "resize", "cols": 120, "rows": 40}, data
        c.say(type="resized", cols=120, rows=40)
        c.close(1000)
    talk = Talk(serve)
    with attach() as t:
        t.wait_shown(b"PROMPT$ ")
        t.resize(120, 40)
        t.process.send_signal(signal.SIGWINCH)
        assert t.wait() == 0
    talk.check()

    def watched(c):
        greeted(c)
        assert until_close(c) == (b"", CLOSE)
    talk = Talk(watched)
    with attach("--read-only") as t:
        t.wait_shown(b"PROMPT$ ")
        t.resize(120, 40)
        t.process.send_signal(signal.SIGWINCH)
        t.type(b"typed for nobody" + DETACH)
        assert t.wait() == 0
    talk.check()
    assert SERVER.requests[0].query == {}


@case("--read-only: ctrl-c detaches")
def _():
    talk = Talk(lambda c: (greeted(c), until_close(c)))
    with attach("--read-only") as t:
        t.wait_shown(b"PROMPT$ ")
        t.type(b"\x03")
        assert t.wait() == 0 and LEAVES in t.shown and t.restored()
    talk.check()


@case("where another client types, it is said at the start, and keys that go nowhere ring the bell")
def _():
    def serve(c):
        c.hello(input="single", writer=False)
        c.show(b"PROMPT$ ")
        assert c.typed(2) == b"no"
        c.say(type="writer", writer=False)
        assert c.typed(2) == b"ok"
        c.say(type="writer", writer=True)
        c.show(b"YOURS")
        assert c.typed(4) == b"more"
        c.say(type="error", code="too_many", message="too much waits")
        c.close(1000)
    talk = Talk(serve)
    with attach() as t:
        t.wait_shown(b"PROMPT$ ")
        assert b"somebody else types" in t.shown
        t.type(b"no")
        t.wait_shown(b"\a")
        t.type(b"ok")
        t.wait_shown(b"YOURS")
        assert t.shown.count(b"\a") == 1
        t.type(b"more")
        assert t.wait() == 0 and t.shown.count(b"\a") == 2
    talk.check()


@case("pings are answered; a flood of output and a large paste both arrive whole")
def _():
    flood, paste = os.urandom(3000000).replace(b"\x0e", b"x"), b"0123456789abcdef" * 20000
    got = []

    def serve(c):
        greeted(c)
        c.frame(PING, b"there?")
        assert c.take() == (PONG, b"there?")
        for at in range(0, len(flood), 60000):
            c.show(flood[at:at + 60000])
        c.show(b"FLOODED")
        got.append(c.typed(len(paste)))
        c.close(1000)
    talk = Talk(serve)
    with attach() as t:
        t.wait_shown(flood + b"FLOODED")
        writer = threading.Thread(target=lambda: [t.type(paste[i:i + 1000]) for i in range(0, len(paste), 1000)])
        writer.start()
        status = t.wait()
        writer.join(10)
        assert status == 0
    talk.check()
    assert got == [paste]


# leaving

@case("the detach keys: the first alone goes on after a second, with another key at once, twice it still leads")
def _():
    def serve(c):
        greeted(c)
        assert c.typed(1) == b"\x1c"
        c.show(b"ONE")
        assert c.typed(2) == b"\x1cx"
        c.show(b"TWO")
        assert until_close(c) == (b"\x1c", CLOSE)
    talk = Talk(serve)
    with attach() as t:
        t.wait_shown(b"PROMPT$ ")
        t.type(b"\x1c")
        t.wait_shown(b"ONE")
        t.type(b"\x1c")
        t.type(b"x")
        t.wait_shown(b"TWO")
        t.type(b"\x1c\x1c")
        t.type(b"d")
        assert t.wait() == 0 and LEAVES in t.shown
    talk.check()


@case("the detach keys are known as well where a program had keys sent as escape sequences")
def _():
    for keys in (b"\x1b[92;5ud", b"\x1b[92;5:1u\x1b[92;5:3ud", b"\x1b[27;5;92~d", b"\x1b[92;69u\x1b[100u"):
        talk = Talk(lambda c: (greeted(c), until_close(c)))
        with attach() as t:
            t.wait_shown(b"PROMPT$ ")
            t.type(keys)
            assert t.wait() == 0 and LEAVES in t.shown, keys
        talk.check()


@case("--detach-keys takes other keys, and none; what is no key is a usage error")
def _():
    def serve(c):
        greeted(c)
        assert c.typed(2) == DETACH
        c.show(b"THROUGH")
        until_close(c)
    for keys, typed in (("ctrl-p,ctrl-q", b"\x10\x11"), ("ctrl-],q", b"\x1dq"), ("a,a,b", b"aaab"), (",,~", b",~")):
        talk = Talk(serve)
        with attach("--detach-keys", keys) as t:
            t.wait_shown(b"PROMPT$ ")
            t.type(DETACH)
            t.wait_shown(b"THROUGH")
            t.type(typed)
            assert t.wait() == 0 and LEAVES in t.shown, keys
        talk.check()
    for keys in ("", "ctrl-", "ctrl-ab", "ab", "a,", "ctrl-1", "a,b,c,d,e,f,g,h,i"):
        with attach("--detach-keys", keys) as t:
            assert t.wait() == 64 and b"--detach-keys must be" in t.shown, (keys, t.shown)


@case("a session that ends is told with its reason; the exit status is 0")
def _():
    def serve(c):
        greeted(c)
        c.show(b"logout\r\n")
        c.say(type="ended", session={"reason": "closed", "evidence": "the shell exited with \x1b[31m0"})
        c.close(1000, b"the session has ended")
    talk = Talk(serve)
    with attach() as t:
        assert t.wait() == 0 and t.restored()
        t.wait_shown(b"curfew: the session has ended: s1: closed, the shell exited with \\x1b[31m0")
        assert t.shown.index(b"logout") < t.shown.index(b"curfew: the session has ended")
    talk.check()


@case("SIGTERM, SIGINT, SIGHUP and SIGQUIT set the terminal back before we die of them; the server hears a goodbye")
def _():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        talk = Talk(lambda c: (greeted(c), c.show(b"\x1b[?1049h\x1b[?25l\x1b[?1002h\x1b[?2004hFULL"),
                               until_close(c)))
        with attach() as t:
            t.wait_shown(b"FULL")
            assert t.raw()
            t.process.send_signal(number)
            assert t.wait() == -number and t.restored(), number
            rest = t.shown[t.shown.index(b"FULL"):]
            for undo in (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?1002l", b"\x1b[?2004l"):
                assert undo in rest, (number, rest)
        talk.check()


@case("what a program changed in the terminal is set back, and nothing else")
def _():
    def shown(data, cut=b""):
        talk = Talk(lambda c: (greeted(c), c.show(data + b"END" + cut), until_close(c)))
        with attach() as t:
            t.wait_shown(b"END")
            t.type(DETACH)
            assert t.wait() == 0
            talk.check()
            rest = t.shown[t.shown.index(b"END") + 3 + len(cut):]
            return rest[:rest.index(b"\r\ncurfew")]
    assert shown(b"plain text \x1b[2J\x1b[H\x1b[31mred\x1b[0m\x1b[?1049h\x1b[?1049l\x1b]0;title\x07") == b""
    assert shown(b"\x1b[1;31mred") == b"\x1b[m"
    assert shown(b"\x1b[?1049;25h\x1b[?25l") == b"\x1b[?1049l\x1b[?25h"
    assert shown(b"\x1b[2;10r\x1b(0\x1b[4h\x1b[6 q") == b"\x1b[4l\x1b7\x1b[r\x1b8\x1b[0 q\x0f\x1b(B"
    assert shown(b"\x1b=\x1b[?1h\x1b[?1000h\x1b[?1006h\x1b[>4;2m\x1b[>1u") == \
        b"\x1b[?1l\x1b[?1000l\x1b[?1006l\x1b>\x1b[>4m\x1b[<1u"
    assert shown(b"", b"\x1b]0;a title that is cut") == b"\x1b\\"
    assert shown(b"\x1b[?25l", b"\x1b[12;") == b"\x18\x1b[?25h"
    assert shown(b"\x1bc\x1b[?25l\x1bc") == b""


@case("a broken connection is made again once, and the terminal is set back when that fails")
def _():
    def broken(c):
        greeted(c)
        c.show(b"\x1b[?1049hBEFORE")

    def again(c):
        greeted(c)
        c.show(b"AFTER")
        until_close(c)
    talk = Talk(broken, again)
    with attach() as t:
        t.wait_shown(b"AFTER")
        assert t.raw() and b"\x1b[?1049l" in t.shown and t.shown.count(b"attached to") == 1
        t.type(DETACH)
        assert t.wait() == 0 and t.restored()
    talk.check()
    talk = Talk(broken, broken)
    with attach() as t:
        assert t.wait() == 125 and t.restored()
        assert re.search(rb"curfew: lost the connection to s1: the session may go on; curfew attach s1 comes back",
                         t.shown), t.shown
    talk.check()


@case("a server that is gone when the connection is made again, or refuses it, is told; the terminal is set back")
def _():
    gone = (410, error("gone", "the session has ended: lost"))
    for answer, words in ((None, b"lost the connection to s1"), (gone, b"curfew: the session has ended: lost")):
        answers = [Socket(lambda c: greeted(c)), answer]
        SERVER.set(lambda request, answers=answers: answers.pop(0))
        with attach() as t:
            assert t.wait() == 125 and t.restored() and words in t.shown, (words, t.shown)


@case("4001, fell behind: it connects again by itself, as often as it takes")
def _():
    def behind(c):
        greeted(c)
        c.close(4001, b"1048576 bytes behind")

    def fine(c):
        greeted(c)
        c.show(b"CURRENT")
        until_close(c)
    for times in (1, 4):
        talk = Talk(*[behind] * times, fine)
        with attach() as t:
            t.wait_shown(b"CURRENT")
            assert t.shown.count(b"attached to") == 1
            t.type(DETACH)
            assert t.wait() == 0 and t.restored()
        talk.check()


@case("a close for another reason is told with it")
def _():
    for code, reason in ((1001, b"the server shuts down"), (1009, b"message too large"), (1011, b"oops \x1b[1m")):
        talk = Talk(lambda c, code=code, reason=reason: (greeted(c), c.close(code, reason)))
        with attach() as t:
            assert t.wait() == 125 and t.restored()
            assert b"closed the connection to s1: " + reason.replace(b"\x1b", b"\\x1b") in t.shown, t.shown
        talk.check()


@case("SIGTSTP from outside sets the terminal back and stops; SIGCONT takes it again and draws it anew")
def _():
    def second(c):
        greeted(c)
        c.show(b"ANEW")
        until_close(c)
    talk = Talk(lambda c: (greeted(c), c.show(b"\x1b[?1049hFULL"), until_close(c)), second)
    with attach() as t:
        t.wait_shown(b"FULL")
        t.process.send_signal(signal.SIGTSTP)
        _pid, status = os.waitpid(t.process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status) and t.restored()
        t.wait_shown(b"\x1b[?1049l")
        t.process.send_signal(signal.SIGCONT)
        t.wait_shown(b"ANEW")
        assert t.raw()
        t.type(DETACH)
        assert t.wait() == 0 and t.restored()
    talk.check()


@case("a key that would suspend goes to the session")
def _():
    talk = Talk(lambda c: (greeted(c), c.close(1000) if c.typed(4) == b"\x1a\x03\x04\x13" else None))
    with attach() as t:
        t.wait_shown(b"PROMPT$ ")
        t.type(b"\x1a\x03\x04\x13")
        assert t.wait() == 0
    talk.check()


@case("a terminal that hangs up ends it")
def _():
    gone = []
    talk = Talk(lambda c: (greeted(c), gone.append(until_close(c))))
    t = attach()
    t.wait_shown(b"PROMPT$ ")
    os.close(t.master)
    os.close(t.slave)
    assert t.process.wait(20) == -signal.SIGHUP
    talk.check()


# refusals

@case("what the server refuses is told as it says, and the terminal is never touched")
def _():
    for http, code in ((404, "not_found"), (409, "not_ready"), (410, "gone"), (429, "too_many")):
        SERVER.set((http, error(code, "words of " + code)))
        with attach() as t:
            assert t.wait() == 125 and t.restored() and b"curfew: words of " + code.encode() in t.shown, t.shown
    with Terminal([CURFEW, "attach", "--socket", "/none", "s1"], ENV) as t:
        assert t.wait() == 125 and b"no server answers" in t.shown


@case("an answer that is no WebSocket is refused")
def _():
    for answer in ((200, success({})), (200, b"hello"), Socket(lambda c: c.raw(b""), accept="bm90IG91cnM="),
                   Socket(lambda c: c.raw(b""), Upgrade="h2c"), None):
        SERVER.set(answer)
        with attach() as t:
            assert t.wait() == 125 and t.restored() and b"curfew: " in t.shown, t.shown


@case("frames that break the protocol end it, with the terminal set back")
def _():
    for bad in (b"\xff\x00", b"\x81\x03\xff\xfe\xfd", b"\x83\x00", b"\x89\x7e\x00\x80" + bytes(128)):
        talk = Talk(*[lambda c, bad=bad: (greeted(c), c.raw(bad), until_close(c))] * 2)
        with attach() as t:
            assert t.wait() == 125 and t.restored(), (bad, t.shown)
        talk.check()


@case("without a terminal it is refused, with what to use instead")
def _():
    SERVER.set((404, error("not_found", "no")))
    result = expect(curfew("attach", "s1", data=b"ls\n"), 64, b"", "must be a terminal; curfew input s1")
    assert b"curfew output s1 --follow" in result.stderr and SERVER.requests == []
    with Terminal(["sh", "-c", '"$0" attach s1 | cat', CURFEW], ENV) as t:
        t.wait()
        assert b"must be a terminal" in t.shown


# sizes

@case("create --terminal asks for a terminal of that size, without one for our own or 80x24; resize likewise")
def _():
    SERVER.set((201, success({"session_id": "s1"})))
    expect(curfew("create", "--terminal", "132x43"), 0)
    expect(curfew("create", "--terminal=40x10", "--workspace", "w"), 0)
    expect(curfew("create", "--terminal", "--workspace", "w"), 0)
    assert [r.json["terminal"] for r in SERVER.requests] == [{"cols": 132, "rows": 43}, {"cols": 40, "rows": 10},
                                                             {"cols": 80, "rows": 24}]
    for bad in ("0x10", "1001x10", "10", "10x", "x", "10x10x10", "-1x5"):
        expect(curfew("create", "--terminal=" + bad), 64, b"", "COLSxROWS, such as 80x24, each from 1 to 1000")
    with Terminal([CURFEW, "create", "--terminal"], ENV, cols=77, rows=11) as t:
        assert t.wait() == 0
    assert SERVER.requests[-1].json["terminal"] == {"cols": 77, "rows": 11}
    SERVER.set((200, success({"cols": 132, "rows": 43})))
    expect(curfew("resize", "s1", "132x43"), 0, b"")
    expect(curfew("resize", "s1"), 0, b"")
    assert [r.json for r in SERVER.requests] == [{"cols": 132, "rows": 43}, {"cols": 80, "rows": 24}]
    expect(curfew("resize", "s1", "large"), 64, b"", "a size is COLSxROWS")


if __name__ == "__main__":
    main()
