#!/usr/bin/env python3
"""Streams, input, signals and long jobs by the command line against a real server, also over a line that breaks."""
import json
import os
import re
import select
import signal
import socket
import subprocess
import threading

from harness import Server, clean_env, curfew, wait_for
from tap import case, run

SHARED = []


def shared():
    if not SHARED:
        SHARED.append(Server(max_sessions_per_workspace=999, grace=1, exec_kill_grace=1))
    return SHARED[0]


def good(done, status=0):
    assert done.returncode == status, done
    return done.stdout


def create(s, *args):
    return good(s.cli("create", *args)).strip()


def start(s, *args, sock=None, **more):
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.Popen([curfew(), *args], env=clean_env(CURFEW_SOCKET=sock or s.sock), **pipes)


def finish(process, seconds=40):
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


class Breaking:
    """A socket before the server's, which cuts connections: the n-th after `cuts[n]` bytes from the server, later ones
    not at all."""

    def __init__(self, s, cuts):
        self.server, self.cuts, self.count = s.sock, cuts, 0
        self.sock = os.path.join(s.folder, "breaking.sock")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.sock)
        self.listener.listen(16)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            left = self.cuts[self.count] if self.count < len(self.cuts) else None
            self.count += 1
            threading.Thread(target=self.carry, args=(client, left), daemon=True).start()

    def carry(self, client, left):
        server = socket.socket(socket.AF_UNIX)
        server.connect(self.server)
        with client, server:
            while left is None or left > 0:
                for one in select.select([client, server], [], [])[0]:
                    data = one.recv(65536 if left is None or one is client else min(left, 65536))
                    if not data:
                        return
                    try:
                        (server if one is client else client).sendall(data)
                    except OSError:
                        return
                    if one is server and left is not None:
                        left -= len(data)

    def close(self):
        self.listener.close()
        os.unlink(self.sock)


@case("output of exec appears while the command runs")
def _():
    s = shared()
    id = create(s)
    process = start(s, "exec", id, "echo early; read -r line; echo late $line", "-i", stdin=subprocess.PIPE)
    process.communicate(timeout=20)             # "-i" behind the command is one of its words
    process = start(s, "exec", "-i", id, "echo early; read -r line; echo late $line", stdin=subprocess.PIPE)
    assert process.stdout.readline() == b"early\n" and process.poll() is None
    process.stdin.write(b"go\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"late go\n"
    assert finish(process) == (0, b"", b"")


@case("exec passes 20 MB of random bytes on, whole and in order")
def _():
    s = shared()
    id = create(s)
    done = s.cli("exec", id, "head -c 20000000 /dev/urandom | tee copy", text=False)
    with open(os.path.join(s.workspaces, "default", "copy"), "rb") as copy:
        assert good(done) == copy.read()


@case("-i: a file goes through a command and comes back as it was")
def _():
    s = shared()
    id, data = create(s), os.urandom(5000000)
    assert good(s.cli("exec", "-i", id, "cat", input=data, text=False)) == data
    assert good(s.cli("exec", "-i", id, "wc -c", input=b"", text=False)).strip() == b"0"
    assert good(s.cli("exec", "-i", id, "head -c 3", input=data, text=False)) == data[:3]
    assert good(s.cli("exec", id, "cat; echo none")) == "none\n"
    assert good(s.cli("exec", "--stdin", "text\nof two lines", id, "cat -A")) == "text$\nof two lines"
    assert good(s.cli("run", "-i", "tr a-z A-Z", input="through")) == "THROUGH"


@case("a slow command makes -i wait, and nothing is lost")
def _():
    s = shared()
    id, data = create(s), os.urandom(4000000)
    done = s.cli("exec", "-i", id, "head -c 10 | wc -c; sleep 1; cat | sha256sum", input=data, text=False)
    assert done.returncode == 0 and done.stdout.startswith(b"10\n") and done.stderr == b"", done


@case("exec goes on where a broken line has cut it, with every byte once")
def _():
    s = shared()
    id = create(s)
    line = Breaking(s, [300000, 10, 700000, 0, 150])
    try:
        text = "head -c 5000000 /dev/urandom | tee copy; echo end >&2; (exit 9)"
        status, out, err = finish(start(s, "exec", id, text, sock=line.sock))
    finally:
        line.close()
    with open(os.path.join(s.workspaces, "default", "copy"), "rb") as copy:
        assert out == copy.read(), (len(out), status, err)
    assert status == 9 and err == b"end\n" and line.count == 6, (status, err, line.count)


@case("output --follow goes on likewise, and -i sends each piece once over a broken line")
def _():
    s = shared()
    id, data = create(s), os.urandom(300000)
    n = good(s.cli("exec", "--detach", id, "seq 200000")).strip()
    line = Breaking(s, [2000, 50000, 300])
    try:
        status, out, err = finish(start(s, "output", id, "--exec", n, "--follow", sock=line.sock))
    finally:
        line.close()
    assert status == 0 and out == b"".join(b"%d\n" % i for i in range(1, 200001)) and line.count == 4, (status, err)
    # The stream stays; every second answer to a piece of input is lost.
    line = Breaking(s, [None] + [0, None, 40, None, 90, None])
    try:
        process = start(s, "exec", "-i", id, "cat", sock=line.sock, stdin=subprocess.PIPE)
        assert process.communicate(data, timeout=40) == (data, b"") and process.returncode == 0
    finally:
        line.close()


@case("ctrl-c of exec ends the command and what it started, and leaves the session and its background jobs")
def _():
    s = shared()
    id = create(s)
    job = good(s.cli("exec", id, "sleep 600 & echo $!")).strip()
    process = start(s, "exec", id, "(trap - INT; echo here; exec sleep 600); echo not this")
    assert process.stdout.readline() == b"here\n"
    process.send_signal(signal.SIGINT)
    status, out, _err = finish(process)
    assert status == -signal.SIGINT and out == b"", (status, out)
    assert good(s.cli("exec", id, f"kill -0 {job} && echo alive")).endswith("alive\n")


@case("a reader that goes away ends the command")
def _():
    s = shared()
    id = create(s)
    process = start(s, "exec", id, "yes")
    assert process.stdout.readline() == b"y\n"
    process.stdout.close()
    assert process.wait(20) == -signal.SIGPIPE
    process.stderr.close()
    assert good(s.cli("exec", id, "echo usable")) == "usable\n"


@case("a long job: --detach, execs, output, wait and its exit status")
def _():
    s = shared()
    id = create(s)
    n = good(s.cli("exec", "--detach", "-i", id, "echo one; echo two >&2; read -r x; echo $x; (exit 42)")).strip()
    assert re.fullmatch(r"\d+", n)
    wait_for(lambda: good(s.cli("output", id, "--exec", n)).count("\n") == 2, "its first two lines")
    assert good(s.cli("output", id, "--exec", n, "--stream", "stderr")) == "two\n"
    rows = [line.split() for line in good(s.cli("execs", id)).splitlines()]
    assert rows[0][:3] == ["N", "STATE", "EXIT"] and rows[1][:3] == [n, "running", "-"], rows
    waiting = start(s, "wait", id, n)
    following = start(s, "output", id, "--exec", n, "--follow")
    assert s.cli("exec", id, "true").returncode == 125, "the session is busy"
    good(s.cli("input", id, "three"))
    assert finish(waiting) == (42, b"", b"")
    status, out, err = finish(following)
    assert status == 0 and sorted(out.split()) == [b"one", b"three", b"two"] and err == b"", (status, out, err)
    assert good(s.cli("output", id, "--exec", n, "--since", "8")) == "three\n"
    assert s.cli("wait", id, n).returncode == 42
    one = good(s.cli("execs", id, n))
    assert re.search(r"^state: +ended$", one, re.M) and re.search(r"^exit code: +42$", one, re.M), one
    assert json.loads(good(s.cli("execs", "--json", id)))["execs"][0]["exec"] == int(n)
    assert s.cli("wait", id, "999").returncode == 125


@case("input: lines, bytes, the end, a command that does not read, and a number that was taken")
def _():
    s = shared()
    id = create(s)
    n = good(s.cli("exec", "--detach", "-i", id, "cat")).strip()
    good(s.cli("input", id, "a line"))
    good(s.cli("input", id, input=b"\x00\xff bytes\n", text=False))
    good(s.cli("input", id, "--seq", "5", "once"))
    good(s.cli("input", id, "--seq", "5", "once"))
    good(s.cli("input", "--eof", "--exec", n, id, "-", input="the end"))
    assert s.cli("wait", id, n).returncode == 0
    assert good(s.cli("output", id, "--exec", n, text=False)) == b"a line\n\x00\xff bytes\nonce\nthe end"
    done = s.cli("input", id, "x")
    assert done.returncode == 75 and done.stderr.startswith("curfew: "), done


@case("signal and cancel end a command that runs")
def _():
    s = shared()
    id = create(s)
    n = good(s.cli("exec", "--detach", id, "trap 'echo usr1; exec sleep 0' USR1; sleep 600 & wait")).strip()
    assert good(s.cli("signal", id, "USR1")) == ""
    s.cli("wait", id, n)
    s2 = create(s)
    n = good(s.cli("exec", "--detach", s2, "sleep 600")).strip()
    text = good(s.cli("cancel", s2, n))
    assert re.match(rf"{n} cancelled after .*, exit status \d+\n$", text), text
    assert good(s.cli("cancel", s2, n)) == text, "it was over before"
    assert "cancelled" in good(s.cli("execs", s2))
    assert s.cli("signal", s2, "INT").returncode == 75
    assert s.cli("signal", s2, "NOSUCH").returncode == 64


@case("output of a session is all that it printed, in pieces as large as the server gives")
def _():
    s = shared()
    id = create(s)
    good(s.cli("exec", id, "seq 300000"))
    good(s.cli("exec", id, "echo err >&2"))
    whole = "".join(f"{i}\n" for i in range(1, 300001)) + "err\n"
    assert good(s.cli("output", id)) == whole
    assert good(s.cli("output", id, "--since", "10", "--limit", "5")) == whole[10:15]
    answer = json.loads(good(s.cli("output", "--json", id, "--limit", "6")))
    assert answer["output"][0]["text"] == "1\n2\n3\n" and answer["more"] is True, answer
    following = start(s, "output", id, "--follow", "--since", str(len(whole)))
    good(s.cli("exec", id, "echo later"))
    assert following.stdout.readline() == b"later\n"
    good(s.cli("end", "--grace", "0", id))
    status, out, _err = finish(following)
    assert status == 0 and out == b"", (status, out)


@case("output that is no longer kept is told with its size")
def _():
    with Server(grace=0, spool_bytes=1048576) as s:
        id = create(s)
        n = good(s.cli("exec", "--detach", id, "head -c 3000000 /dev/zero; echo end")).strip()
        assert s.cli("wait", id, n).returncode == 0
        for more in ((), ("--follow",)):
            done = s.cli("output", id, "--exec", n, *more, text=False)
            lost = int(re.search(rb"curfew: (\d+) bytes of the output are missing", done.stderr).group(1))
            assert done.returncode == 0 and lost + len(done.stdout) == 3000004 and done.stdout.endswith(b"end\n"), lost


def stop():
    for s in SHARED:
        s.stop()
        s.discard()


if __name__ == "__main__":
    run(stop)
