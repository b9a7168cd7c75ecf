#!/usr/bin/env python3
"""curfew attach in a terminal of its own, against a real server."""
import os
import random
import re
import signal
import threading
import time

from harness import Server, clean_env, curfew, wait_for
from tap import case, run
from webstand import Terminal

DETACH = b"\x1cd"
SHARED = []


def shared():
    if not SHARED:
        SHARED.append(Server(max_sessions_per_workspace=999, grace=1, exec_kill_grace=1))
    return SHARED[0]


def good(done, status=0):
    assert done.returncode == status, done
    return done.stdout


def create(s, size="100x30"):
    """A session whose prompt is `ready>`, which no command that is typed holds."""
    id = good(s.cli("create", "--terminal", size)).strip()
    good(s.cli("input", id, r"PS1='ready\076 '"))
    wait_for(lambda: "ready> " in good(s.cli("output", id)), "the prompt")
    return id


def attach(s, id, *args, **more):
    return Terminal([curfew(), "attach", id, *args], clean_env(CURFEW_SOCKET=s.sock, TERM="xterm"), **more)


def ready(t):
    """The next prompt, after Enter."""
    seen = len(t.shown)
    t.type(b"\r")
    wait_for(lambda: t.read(0.02) or b"ready> " in t.shown[seen:], "a prompt")


def line(t, text, answer):
    seen = len(t.shown)
    t.type(text + b"\r")
    wait_for(lambda: t.read(0.02) or answer in t.shown[seen:], (text, answer))


def leave(t, status=0):
    t.type(DETACH)
    assert t.wait() == status and t.restored()


@case("what is typed is run, what is printed is shown; the session goes on after it is left, and shows where it was")
def _():
    s = shared()
    id = create(s)
    with attach(s, id) as t:
        ready(t)
        assert t.raw()
        line(t, b"echo $((6 * 7)) $TERM", b"42 ")
        line(t, b"x=kept; tty", b"/dev/pts/")
        leave(t)
    with attach(s, id) as t:
        t.wait_shown(b"/dev/pts/")
        line(t, b"echo $x''!", b"kept!")
        leave(t)


@case("the session's terminal takes the size of ours, and follows it")
def _():
    s = shared()
    id = create(s, "80x24")
    with attach(s, id, cols=111, rows=33) as t:
        ready(t)
        line(t, b"stty size", b"33 111")
        t.resize(55, 22)
        t.process.send_signal(signal.SIGWINCH)
        wait_for(lambda: re.search(r"cols: +55\b", good(s.cli("show", id))), "the new size")
        line(t, b"stty size", b"22 55")
        leave(t)
    good(s.cli("resize", id, "70x21"))
    assert re.search(r"cols: +70\n +rows: +21\b", good(s.cli("show", id)))


@case("attach over TCP, and exec -i and output --follow as well")
def _():
    s = shared()
    id = create(s)
    with Terminal([curfew(), "attach", "--url", s.url + "/", id], clean_env(TERM="xterm")) as t:
        ready(t)
        line(t, b"echo $((6 * 7))", b"42\r\n")
        leave(t)
    other = good(s.cli("create")).strip()
    assert good(s.cli("exec", "--url", s.url, "-i", other, "tr a-z A-Z", input="over tcp")) == "OVER TCP"
    assert good(s.cli("output", "--url", s.url, other, "--exec", "1", "--follow")) == "OVER TCP"


@case("ctrl-c and ctrl-z act in the session, and leave us alone")
def _():
    s = shared()
    id = create(s)
    with attach(s, id) as t:
        ready(t)
        line(t, b"(echo sl''eeps; exec sleep 600)", b"sleeps")
        t.type(b"\x03")
        t.wait_shown(b"^C")
        ready(t)
        line(t, b"(echo ag''ain; exec sleep 600)", b"again")
        t.type(b"\x1a")
        t.wait_shown(b"Stopped")
        line(t, b"kill %1; echo bo''th", b"both")
        leave(t)


@case("two terminals see the same, and --read-only types nothing")
def _():
    s = shared()
    id = create(s)
    with attach(s, id) as one, attach(s, id, "--read-only") as two:
        ready(one)
        two.wait_shown(b"attached to")
        two.type(b"echo not''this\r")
        line(one, b"echo from o''ne", b"from one")
        two.wait_shown(b"from one")
        assert b"notthis" not in one.shown + two.shown
        two.type(b"\x03")
        assert two.wait() == 0 and two.restored()
        leave(one)


@case("a program on the alternate screen is shown to who joins, and undone for who leaves")
def _():
    s = shared()
    id = create(s)
    with attach(s, id) as t:
        ready(t)
        line(t, br"printf '\033[?1049h\033[?25l\033[2J\033[5;5HFULLSC''REEN'; read -r x", b"FULLSCREEN")
        leave(t)
        rest = t.shown[t.shown.rindex(b"FULLSCREEN"):]
        assert b"\x1b[?1049l" in rest and b"\x1b[?25h" in rest, rest
    with attach(s, id) as t:
        t.wait_shown(b"FULLSCREEN")
        assert b"\x1b[?1049h" in t.shown
        line(t, b"\r" + br"printf '\033[?1049l\033[?25h'", b"ready> ")
        leave(t)


@case("a session that ends is told with its reason, whoever ends it")
def _():
    s = shared()
    id = create(s)
    with attach(s, id) as t:
        ready(t)
        t.type(b"exit\r")
        assert t.wait() == 0 and t.restored() and b"curfew: the session has ended: " in t.shown, t.shown[-300:]
        assert b"closed" in t.shown, t.shown[-300:]
    id = create(s)
    with attach(s, id) as t:
        ready(t)
        good(s.cli("end", "--grace", "0", id))
        assert t.wait() == 0 and t.restored() and b"requested" in t.shown, t.shown[-300:]


@case("a flood of output is seen to its end, and ctrl-c stops it")
def _():
    s = shared()
    id = create(s)
    with attach(s, id) as t:
        ready(t)
        line(t, b"seq 100000; echo e''nd", b"100000\r\nend")
        t.type(b"yes\r")
        t.wait_shown(b"y\r\ny\r\ny")
        t.type(b"\x03")
        wait_for(lambda: t.read(0.02) or t.shown[-20:].rstrip().endswith(b"ready>"), "the prompt", 60)
        leave(t)


@case("a terminal that takes nothing falls behind, and shows the present screen when it takes again")
def _():
    with Server(grace=0, viewer_lag_bytes=65536) as s:
        id = create(s)
        with attach(s, id) as t:
            ready(t)
            t.type(b"seq 1000000; echo e''nd\r")
            wait_for(lambda: "\nend\n" in good(s.cli("output", id, "--since", "7000000")), "its end", 60)
            t.wait_shown(b"1000000\r\nend")
            assert len(t.shown) < 6000000, "what was on no screen any more was left out"
            line(t, b"echo st''ill", b"still")
            leave(t)


# Takes as many bytes as a file `go` says, in raw mode and once that is there; they go beside it.
TAKER = r"""
import os, sys, termios, time, tty
folder = sys.argv[1]
old = termios.tcgetattr(0)
tty.setraw(0)
open(folder + "/raw", "w").close()
while not os.path.exists(folder + "/go"):
    time.sleep(0.01)
left = int(open(folder + "/go").read())
with open(folder + "/took", "wb") as file:
    while left and (data := os.read(0, left)):
        left -= len(data)
        file.write(data)
termios.tcsetattr(0, termios.TCSADRAIN, old)
os.rename(folder + "/took", folder + "/all")
"""


def taker(s, t, name):
    """A program in the session that takes what is typed; the folder where it goes."""
    folder = f"{s.folder}/{name}"
    os.mkdir(folder)
    with open(f"{folder}/taker.py", "w", encoding="utf-8") as file:
        file.write(TAKER)
    ready(t)
    t.type(f"python3 {folder}/taker.py {folder}\r".encode())
    wait_for(lambda: t.read(0.02) or os.path.exists(f"{folder}/raw"), "it has the terminal")
    return folder


def paste(t, data):
    """Begins to type all of it, on a thread."""
    def write():
        at = 0
        while at < len(data):
            at += os.write(t.master, data[at:at + 65536])
    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


def fill(s, id):
    """Types until the terminal takes not one byte more; how many it took."""
    count = 0
    for size in (4096, 1):
        while s.request("POST", f"/v1/sessions/{id}/input", {"text": "p" * size})[0] == 200:
            count += size
    return count


def go(folder, count):
    with open(f"{folder}/gone", "w", encoding="utf-8") as file:
        file.write(str(count))
    os.rename(f"{folder}/gone", f"{folder}/go")


def check_taken(folder, data):
    wait_for(lambda: os.path.exists(f"{folder}/all"), "all is taken", 60)
    with open(f"{folder}/all", "rb") as file:
        assert file.read() == data


def random_keys(count):
    """Without the first of the keys that detach."""
    return random.Random(count).randbytes(count).replace(DETACH[:1], b"x")


@case("8 MiB that are pasted reach a program that reads later, byte for byte")
def _():
    s = shared()
    id = create(s)
    data = random_keys(8 << 20)
    with attach(s, id) as t:
        folder = taker(s, t, "paste")
        pasting = paste(t, data)
        pasting.join(1)                 # or as much of it as goes
        go(folder, len(data))
        check_taken(folder, data)
        pasting.join(20)
        line(t, b"echo al''ive", b"alive")
        leave(t)


@case("who detaches right behind a paste leaves when all of it is taken")
def _():
    with Server(grace=0, max_input_bytes=8192) as s:
        id = create(s)
        data = random_keys(30000)       # more than the server holds, less than the socket does
        for way in ([], ["--url", s.url]):
            with attach(s, id, *way) as t:
                folder = taker(s, t, f"leave{len(way)}")
                filled = fill(s, id)
                pasting = paste(t, data + DETACH)
                pasting.join(20)
                t.read(1.2)             # the goodbye is said; and the server has looked whether we are there
                go(folder, filled + len(data))
                assert t.wait() == 0 and t.restored() and b"detached from" in t.shown and b"lost" not in t.shown, t.shown[-300:]
            check_taken(folder, b"p" * filled + data)


@case("a program that never reads keeps nobody from detaching, and what was pasted and not taken is told")
def _():
    with Server(grace=0) as s:
        id = create(s)
        with attach(s, id) as t:
            taker(s, t, "never")
            pasting = paste(t, random_keys(4 << 20) + DETACH)
            assert t.wait() == 0 and t.restored() and b"what was typed last is lost" in t.shown, t.shown[-300:]
            pasting.join(20)
        with attach(s, id) as t:
            t.wait_shown(b"attached to")
            leave(t)


@case("where one types at a time, the other is told, and types when the first has left")
def _():
    with Server(grace=0, terminal_input="single") as s:
        id = create(s)
        with attach(s, id) as one:
            ready(one)
            with attach(s, id) as two:
                two.wait_shown(b"somebody else types")
                two.type(b"x")
                two.wait_shown(b"\a")
                leave(one)
                line(two, b"echo my tu''rn", b"my turn")
                leave(two)


@case("a session without a terminal, one that is unknown and one that has ended are refused")
def _():
    s = shared()
    plain, gone = good(s.cli("create")).strip(), create(s)
    good(s.cli("end", "--grace", "0", gone))
    for id, words in ((plain, b"terminal"), ("bash_none_here", b"bash_none_here"), (gone, b"ended")):
        with attach(s, id) as t:
            assert t.wait() == 125 and t.restored() and b"curfew: " in t.shown and words in t.shown, t.shown


@case("exec in a session with a terminal passes its output on to us, not to who looks at the terminal")
def _():
    s = shared()
    id = create(s)
    with attach(s, id) as t:
        ready(t)
        assert good(s.cli("exec", id, "echo out; echo err >&2; tty; (exit 3)"), 3).startswith("out\n")
        line(t, b"echo af''ter", b"after")
        assert b"out\r\n" not in t.shown and b"err" not in t.shown, t.shown
        leave(t)


@case("a server that is killed gives the terminal back, as it was, with exit status 125")
def _():
    with Server(grace=0, server_restarts=0, status=None) as s:
        id = create(s)
        with attach(s, id) as t:
            ready(t)
            line(t, br"printf '\033[?1049h\033[?1003h'; echo f''ull", b"full")
            os.kill(s.server_pid, signal.SIGKILL)
            assert t.wait(40) == 125 and t.restored(), t.shown[-300:]
            assert b"\x1b[?1049l" in t.shown and b"\x1b[?1003l" in t.shown
            assert b"lost the connection" in t.shown or b"has ended" in t.shown, t.shown[-300:]


@case("a server that stops in order gives the terminal back")
def _():
    with Server(grace=0) as s:
        id = create(s)
        with attach(s, id) as t:
            ready(t)
            s.stop()
            t.wait(40)
            assert t.restored() and b"curfew: " in t.shown[t.shown.rindex(b"ready> "):], t.shown[-300:]


def stop():
    for s in SHARED:
        s.stop()
        s.discard()


if __name__ == "__main__":
    run(stop)
