#!/usr/bin/env python3
"""Signals to a running command, and its end by request: that command's alone, whatever it does about it.
budget: 120
"""
import concurrent.futures
import os
import random
import signal
import socket
import threading
import time

import harness
from sessions import PROMPTLY, Session, run_cases
from streamclient import collect
from tap import case
from terminals import Terminal

# A program that is certain to run when it says so: bash overlooks an interrupt while it starts one.
SLEEP = "sh -c 'echo begun; exec sleep 60'"
# It ends by no interrupt.
DEAF = "sh -c 'trap \"\" INT TERM HUP; echo begun; while :; do sleep 1; done'"
UNTIL_GO = "until [ -e go ]; do sleep 0.02; done"
SOON = 8                                # seconds: less than the 60 of a command that nothing ends, also on a busy machine


def send(s, name):
    return s.post("signal", {"signal": name})


def alive(s, pid):
    """Whether the process of the session is there, as its shell sees it."""
    return s.run(f"kill -0 {pid} 2>/dev/null; echo $?")["stdout"] == "0\n"


def begun(s, command, **fields):
    """Starts a command that says `begun` when it is where it should be; its number."""
    number = s.detach(command, **fields)
    s.wait_printed(number, len("begun\n"))
    return number


def text_of(s, number, stream="stdout"):
    return "".join(p["text"] for p in s.get(f"output?exec={number}&stream={stream}")["output"])


def spin_until_started(s):
    """Comes back as soon as the shell has a child, in a terminal as soon as that child has the terminal."""
    pid, limit = s.made["pid"], time.monotonic() + PROMPTLY
    terminal = isinstance(s, Terminal)
    with open(f"/proc/{pid}/stat" if terminal else f"/proc/{pid}/task/{pid}/children", "rb", buffering=0) as file:
        while (file.read().rsplit(b")", 1)[1].split()[5] == str(pid).encode()) if terminal else not file.read():
            assert time.monotonic() < limit, "no child"
            file.seek(0)


# ---- signals

@case("an interrupt that comes just when a program starts, and that bash overlooks, is sent again")
def _():
    body = b'{"signal":"INT"}'
    for s in (Session(), Terminal()):
        request = (f"POST {s.path}/signal HTTP/1.1\r\nHost: {s.server.address}\r\nContent-Type: application/json\r\n"
                   f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body
        host, port = s.server.address.rsplit(":", 1)
        for _ in range(50):
            number = s.detach("until [ -e go ]; do :; done; sleep 1000")
            with socket.create_connection((host, int(port)), PROMPTLY) as sock:
                sock.sendall(request[:-1])      # its last byte goes when there is a child
                s.touch("go")
                spin_until_started(s)
                sock.sendall(request[-1:])
                assert sock.recv(4096).startswith(b"HTTP/1.1 200")
            assert s.wait_ended(number)["exit_code"] == 130
            os.unlink(f"{s.folder}/go")
        s.end()


# It ends of an interrupt as it likes, and says when it is there.
HEEDS = "python3 -c 'import signal, sys, time; signal.signal(2, lambda *_: sys.exit(0)); print(\"begun\", flush=True); time.sleep(60)'"


@case("an interrupt is for what was there then: what the command starts next has none of it")
def _():
    for s in (Session(), Terminal()):
        number = begun(s, f"{HEEDS}; sleep 2; echo done")
        send(s, "INT")
        record = s.wait_ended(number)
        assert record["exit_code"] == 0 and text_of(s, number) == "begun\ndone\n", record
        s.end()


@case("in a terminal, the byte of Ctrl-C that a program in raw mode reads is a byte, and a Ctrl-C that was typed comes once")
def _():
    t = Terminal()
    number = begun(t, "exec 3</dev/tty; stty raw -echo <&3; python3 -c 'import os; print(\"begun\", flush=True); "
                      "print(b\"\".join(os.read(3, 1) for _ in range(3)))'; sleep 0.5; stty sane <&3; exec 3<&-")
    t.type("a\x03b")
    record = t.wait_ended(number)
    assert record["exit_code"] == 0 and text_of(t, number) == "begun\nb'a\\x03b'\n", (record, text_of(t, number))
    t.run("sleep 1000 & :")
    number = begun(t, "python3 -c 'import signal, time; n = []; signal.signal(2, lambda *_: n.append(1)); print(\"begun\", flush=True); "
                      "[time.sleep(0.01) for _ in range(150)]; print(len(n))'")
    t.type("\x03")
    assert t.wait_ended(number)["exit_code"] in (0, 130) and text_of(t, number) == "begun\n1\n", text_of(t, number)
    t.end()


@case("an interrupt that comes just when bash forks leaves one shell, in which the next command runs")
def _():
    choose = random.Random(6)
    commands = ("while :; do cat <(true) >/dev/null; done", "while :; do diff <(true) <(true); done", "cat <(sleep 100)", "x=$(cat <(sleep 100))")
    s = Session(exec_kill_grace="500ms")
    for turn in range(100):
        number = s.detach(choose.choice(commands))
        time.sleep(choose.random() * 0.012)         # anywhere in its beginning
        s.cancel(number)
        got = s.run(f"echo {turn} $BASHPID $$")
        number, here, shell = got["stdout"].split()
        assert (int(number), here) == (turn, shell), got
    s.end()


@case("interrupts that are sent on and on put off no kill of a cancelled command")
def _():
    s = Session(exec_kill_grace="500ms")
    number = begun(s, DEAF)
    cancel = harness.Later(s.server.request, "DELETE", f"{s.path}/execs/{number}")
    limit = time.monotonic() + PROMPTLY
    while cancel.thread.is_alive():
        assert time.monotonic() < limit, "it is never killed"
        s.server.request("POST", f"{s.path}/signal", {"signal": "INT"})
    assert cancel.result()[0] == 200
    s.check_usable()
    s.end()


@case("INT by any of its names interrupts the foreground job, and the command ends with 130")
def _():
    s = Session()
    for name in ("INT", "SIGINT", "int", "sigint", "SigInt", "2"):
        number = begun(s, f"{SLEEP}; echo never")
        assert send(s, name) == {"exec": number, "signal": "SIGINT"}
        record = s.wait_ended(number)
        assert record["exit_code"] == 130 and record["cancelled"] is False and record["timed_out"] is False, record
        assert text_of(s, number) == "begun\n"
        s.check_usable()
    s.end()


@case("other signals go to what the command started, and not to the shell")
def _():
    s = Session()
    for name, code in (("TERM", 143), ("KILL", 137), ("HUP", 129), ("USR1", 138), ("9", 137), ("15", 143), ("SIGQUIT", 131)):
        number = begun(s, SLEEP)
        assert send(s, name)["signal"] == signal.Signals(code - 128).name
        record = s.wait_ended(number)
        assert record["exit_code"] == code and record["session_state"] == "active", (name, record)
        s.check_usable()
    s.end()


@case("a program gets the signal that was sent, as often as it was sent, and may live on")
def _():
    s = Session()
    number = begun(s, """python3 -u -c '
import signal, sys
count = 0
def on(number, frame):
    global count
    count += 1
    print("got", number)
    if count == 5:
        sys.exit(7)
for one in (1, 2, 10, 12, 15):
    signal.signal(one, on)
print("begun")
while True:
    signal.pause()
'""")
    want = "begun\n"
    for name in ("HUP", "INT", "USR1", "USR2", "TERM"):
        send(s, name)
        want += f"got {signal.Signals['SIG' + name].value}\n"
        s.wait_printed(number, len(want))
    assert s.wait_ended(number)["exit_code"] == 7 and text_of(s, number) == want
    s.end()


@case("STOP and CONT: a command that was stopped goes on, and can be cancelled while it is stopped")
def _():
    s = Session()
    number = begun(s, "sh -c 'echo begun; sleep 0.3'; echo done")
    send(s, "STOP")
    send(s, "CONT")
    assert s.wait_ended(number)["exit_code"] == 0 and text_of(s, number) == "begun\ndone\n"
    number = begun(s, SLEEP)
    send(s, "STOP")
    assert s.cancel(number)["cancelled"] is True
    s.end()


@case("names and numbers that are no signal are refused, and nothing is sent")
def _():
    s = Session()
    number = begun(s, f"trap 'echo got' INT TERM HUP; echo begun; {UNTIL_GO}")
    for name in ("NOPE", "SIG", "SIGSIGINT", "0", "-2", "65", "32", "2x", " INT", "INT ", "+2", "99999999999999999999", "SIGRTMIN", "x" * 16, "x" * 17, ""):
        error = s.fails(400, "invalid", "POST", "signal", {"signal": name})
        assert error["field"] == "signal" and "1 to " in error["message"], error
    for body in ({}, {"signal": ""}, {"signal": 2}, {"signal": None}, {"signal": "x" * 17}, {"signal": ["INT"]}):
        assert s.server.request("POST", f"{s.path}/signal", body)[0] == 400, body
    s.touch("go")
    s.wait_ended(number)
    assert text_of(s, number) == "begun\n"
    s.end()


@case("a signal while nothing runs is refused, and meets no later command")
def _():
    s = Session()
    for name in ("INT", "TERM", "KILL"):
        s.fails(409, "not_ready", "POST", "signal", {"signal": name})
        assert s.run("sleep 0.05; echo fine")["stdout"] == "fine\n"
    s.end()
    s.fails(410, "gone", "POST", "signal", {"signal": "INT"})


@case("jobs of earlier commands get none of it, however soon the next command came")
def _():
    s = Session()
    for name in ("TERM", "INT", "KILL", "HUP"):
        for _ in range(8):
            pid = int(s.run("sleep 50 & echo $!")["stdout"])
            number = begun(s, SLEEP)                    # at once: often within the same clock tick
            send(s, name)
            s.wait_ended(number)
            assert alive(s, pid), (name, pid)
            s.run(f"kill {pid}")
    s.end()


# ---- cancelling

@case("cancelling: SIGINT is enough for most, the answer is its record, and the session goes on")
def _():
    s = Session()
    for command in ("sleep 60", "sleep 60 | cat", "cat /dev/zero >/dev/null", "while :; do :; done", "while true; do sleep 0.01; done", "read x < <(sleep 60)",
                    "(sleep 60)", "bash -c 'sleep 60; true'", "python3 -c 'import time; time.sleep(60)'", "wait_() { sleep 60; }; wait_", "yes", "sleep 60 & wait",
                    "for i in {1..1000000000}; do x=$i; done", "eval 'sleep 60'", "find / -exec sleep 1 \\; 2>/dev/null", "time sleep 60", "! sleep 60",
                    "trap 'echo trapped' INT; sleep 60"):
        number = s.detach(f"echo begun; {command}; exit_never")
        s.wait_printed(number, 6)
        since = time.monotonic()
        record = s.cancel(number)
        assert record["exec"] == number and record["state"] == "ended" and record["cancelled"] is True and record["timed_out"] is False, (command, record)
        assert record["session_state"] == "active" and time.monotonic() - since < SOON, (command, record)
        s.check_usable()
    s.end()


@case("commands that do not heed SIGINT are killed after exec_kill_grace, and the shell lives on")
def _():
    s = Session()
    for command in ("trap '' INT; echo begun; sleep 60", DEAF, "python3 -uc 'import signal, time; signal.signal(2, signal.SIG_IGN); print(\"begun\"); time.sleep(60)'",
                    "bash -c 'trap \"\" INT TERM HUP; echo begun; while :; do sleep 1; done'", "setsid -w sh -c 'echo begun; sleep 60'"):
        number = begun(s, f"x=kept; {command}")
        since = time.monotonic()
        record = s.cancel(number)
        assert record["state"] == "ended" and record["cancelled"] is True and record["session_state"] == "active", (command, record)
        assert 0.3 < time.monotonic() - since < SOON, (command, time.monotonic() - since)
        got = s.run("trap - INT; echo $x")
        assert got["stdout"] == "kept\n" and got["stderr"] == "", (command, got)
    s.end()


@case("a shell that ignores SIGINT and loops cannot be had back: its session fails, and says so")
def _():
    s = Session()
    number = begun(s, "trap '' INT; echo begun; while :; do :; done")
    record = s.cancel(number)
    assert record["cancelled"] is True and record["session_state"] == "failed" and record["exit_code"] == 137, record
    assert s.server.tombstone(s.id)["reason"] == "failed"


@case("a command that was interrupted before it began does not run afterwards")
def _():
    s = Session()
    for _ in range(40):
        number = s.detach("sleep 1; touch ran; sleep 60")
        s.cancel(number)
        for _ in range(3):
            s.check_usable()
    assert "ran" not in os.listdir(s.folder), os.listdir(s.folder)
    s.end()


@case("a command that heeds the interrupt in its own time, within the grace, has the end and the output that it chose")
def _():
    s = Session(exec_kill_grace="20s")
    for seconds in (0.1, 0.29, 0.3, 0.31, 0.4, 1):      # its own end takes a while, too, without its handlers
        number = begun(s, f"""python3 -u -c '
import sys, time
try:
    print("begun")
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep({seconds})
    print("cleaned up")
    sys.exit(42)
'""")
        record = s.cancel(number)
        assert record["exit_code"] == 42 and record["cancelled"] is True, record
        assert text_of(s, number) == "begun\ncleaned up\n"
    s.end()


@case("cancelling what has ended answers at once with its record as it is; an unknown number is not found")
def _():
    s = Session()
    s.run("exit_() { return 3; }; exit_")
    record = s.cancel(1)
    assert record["exit_code"] == 3 and record["cancelled"] is False and record["state"] == "ended", record
    for number in (2, 4294967295):
        s.fails(404, "not_found", "DELETE", f"execs/{number}")
    number = begun(s, f"echo begun; {UNTIL_GO}")
    assert s.cancel(1)["cancelled"] is False, "an older one is not the running one"
    assert s.get(f"execs/{number}")["state"] == "running"
    s.touch("go")
    assert s.wait_ended(number)["cancelled"] is False
    s.end()
    s.fails(410, "gone", "DELETE", "execs/1")


@case("cancelling twice, and by many at a time: one end, the same answer for all")
def _():
    s = Session()
    number = begun(s, DEAF)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        records = list(pool.map(lambda _: s.cancel(number), range(8)))
    assert all(r["cancelled"] and r["state"] == "ended" for r in records), records
    assert len({r["duration_ms"] for r in records}) == 1, records
    assert s.cancel(number) == records[0]
    s.end()


@case("a cancel's client that goes away: the command ends all the same")
def _():
    s = Session()
    number = begun(s, "sh -c 'trap \"echo got\" INT; echo begun; while :; do sleep 0.1; done'")
    connection = s.server.connection()
    connection.request("DELETE", f"{s.path}/execs/{number}")
    s.wait_printed(number, len("begun\ngot\n"))
    connection.close()
    assert s.wait_ended(number)["cancelled"] is True
    s.end()


@case("cancelling leaves older background jobs alone, and what they print does not show in the next answer")
def _():
    s = Session()
    pid = int(s.run("(while :; do echo noise; echo noise >&2; sleep 0.01; done) & echo $!")["stdout"].split()[0])
    quiet = int(s.run("sleep 50 & echo $!")["stdout"])
    for command in (SLEEP, DEAF):
        number = begun(s, command)
        assert s.cancel(number)["cancelled"] is True
        assert alive(s, pid) and alive(s, quiet), command
        s.check_usable()
    s.run(f"kill {pid} {quiet}")
    s.end()


@case("background jobs of the cancelled command itself: an interrupt spares them, the kill does not")
def _():
    s = Session()
    number = begun(s, f"sleep 51 & echo $! >pid; {SLEEP}")
    s.cancel(number)
    pid = int(s.read("pid"))
    assert alive(s, pid), "the interrupt was enough"
    s.run(f"kill {pid}")
    number = begun(s, f"sleep 51 & echo $! >pid; {DEAF}")
    s.cancel(number)
    assert not alive(s, int(s.read("pid")))
    s.end()


@case("the waiting answers of a cancelled command: plain, stream, long poll")
def _():
    s = Session()
    plain = s.server.exec_later(s.id, SLEEP)
    harness.wait_for(lambda: s.get("execs")["execs"], "it is taken")
    s.wait_printed(1, 6)
    assert s.cancel(1)["cancelled"] is True
    status, answer = plain.result()
    assert status == 200 and answer["data"]["cancelled"] is True and answer["data"]["exit_code"] == 130 and answer["data"]["stdout"] == "begun\n", answer
    stream = s.stream(SLEEP)
    stream.until("stdout")
    poll = harness.Later(s.get, "execs/2?since=6&wait=60")
    s.cancel(2)
    assert collect(stream, 6).result["cancelled"] is True
    assert poll.result(SOON)["cancelled"] is True
    s.end()


@case("cancelling a flooding command whose reader has stopped reading")
def _():
    s = Session()
    with s.stream("yes", "frames", rcvbuf=4096) as stream:
        stream.until("stdout")
        since = time.monotonic()
        assert s.cancel(1)["cancelled"] is True and time.monotonic() - since < SOON
        s.check_usable()
    s.end()


@case("a command that waits for an earlier one's interrupt can be cancelled before it has begun")
def _():
    s = Session()
    early = 0
    for _ in range(20):
        s.cancel(s.detach("sleep 60"))
        number = s.detach("echo begun; sleep 60")
        record = s.cancel(number)
        assert record["cancelled"] is True and record["session_state"] == "active", record
        early += record["stdout_bytes"] == 0
        assert s.run("echo next")["stdout"] == "next\n"
    s.end()


@case("a session that ends while its command is being cancelled: the cancel is answered")
def _():
    s = Session(exec_kill_grace="20s")
    number = begun(s, DEAF)
    cancel = harness.Later(s.server.request, "DELETE", f"{s.path}/execs/{number}")
    harness.wait_for(lambda: s.get(f"execs/{number}?limit=1")["state"] == "running" and cancel.thread.is_alive(), "it is being cancelled")
    s.server.end(s.id)
    status, answer = cancel.result(SOON)
    assert status in (200, 409, 410), (status, answer)     # 409: it came when the session was ending already
    assert status != 200 or (answer["data"]["exit_code"] is None and answer["data"]["session_state"] == "ended"), answer


# ---- both, and timeouts, against each other

@case("timeouts are as before: interrupt, then kill; a cancel after the interrupt changes nothing about it")
def _():
    s = Session()
    got = s.run("sleep 60", timeout=0.2)
    assert got["timed_out"] is True and got["cancelled"] is False and got["exit_code"] == 130, got
    got = s.run(DEAF, timeout=0.2)
    assert got["timed_out"] is True and got["session_state"] == "active" and got["exit_code"] == 137, got
    number = begun(s, DEAF, timeout=0.3)
    record = s.cancel(number)
    assert record["state"] == "ended" and (record["cancelled"] or record["timed_out"]), record
    s.end()


@case("200 cancels at random moments, against commands that are just about to end: every answer belongs to its command")
def _():
    choose = random.Random(13)
    cases = [Session() for _ in range(4)]

    def work(s, seed):
        mine, seen = random.Random(seed), {True: 0, False: 0}
        for i in range(50):
            number = s.detach(f"echo {i}; sleep 0.0{mine.randrange(1, 6)}; echo {i} again")
            timer = threading.Event()
            timer.wait(mine.random() * 0.06)
            record = s.cancel(number)
            seen[record["cancelled"]] += 1
            text = text_of(s, number)
            whole = f"{i}\n{i} again\n"
            assert whole.startswith(text) and (record["cancelled"] or text == whole), (record, text)
            assert record["exec"] == number and record["session_state"] == "active", record
            got = s.run(f"echo next {i}")
            assert (got["stdout"], got["stderr"], got["exit_code"], got["cancelled"]) == (f"next {i}\n", "", 0, False), got
        return seen
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        seen = [one.result() for one in [pool.submit(work, s, choose.random()) for s in cases]]
    assert sum(one[True] for one in seen) > 20, seen
    for s in cases:
        s.end()


@case("signals at random moments never meet the command behind, nor the shell")
def _():
    s, choose = Session(), random.Random(14)
    for i in range(60):
        number = s.detach(f"sleep 0.0{choose.randrange(1, 5)}")
        s.server.request("POST", f"{s.path}/signal", {"signal": choose.choice(("INT", "TERM", "KILL", "HUP"))})
        if choose.random() < 0.5:
            s.wait_ended(number)
        harness.wait_for(lambda n=number: s.get(f"execs/{n}?limit=1")["state"] == "ended", "it has ended")
        got = s.run(f"sleep 0.01; echo {i}")
        assert (got["stdout"], got["stderr"], got["exit_code"]) == (f"{i}\n", "", 0), got
    s.end()


@case("an interrupted command that is late: the keeper was stopped meanwhile, and nothing of it meets the next command")
def _():
    s = Session()
    keeper = s.server.pid
    number = begun(s, f"echo begun; {UNTIL_GO}; echo by itself")
    os.kill(keeper, signal.SIGSTOP)
    try:
        cancel = harness.Later(s.cancel, number)
        s.touch("go")
        s.wait_ended(number)
        record = cancel.result()
        after = harness.Later(s.run, "sleep 0.5; echo clean")
        harness.wait_for(lambda: s.server.show(s.id)["busy"], "the next command is taken")
    finally:
        os.kill(keeper, signal.SIGCONT)
    assert record["exit_code"] == 0 and text_of(s, number) == "begun\nby itself\n", record
    got = after.result()
    assert got["stdout"] == "clean\n" and got["exit_code"] == 0, got
    s.end()


@case("in a terminal, a command that is cancelled while it begins is over, and the next one runs")
def _():
    # Whether the shell has read the request when the cancel comes differs from time to time.
    t = Terminal()
    for turn in range(300):
        t.cancel(t.detach("true"))
        got = t.run(f"echo {turn}", timeout=10)
        assert (got["stdout"], got["exit_code"]) == (f"{turn}\n", 0), got
    t.end()


if __name__ == "__main__":
    run_cases()
