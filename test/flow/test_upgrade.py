#!/usr/bin/env python3
"""Replacing the server by the program on the disk, while sessions go on.
budget: 120
"""
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import harness  # noqa: E402  (it lies beside this file)
from harness import Later, Server, alive, clean_env, wait_for  # noqa: E402
from tap import case, run  # noqa: E402


@contextlib.contextmanager
def installation(**settings):
    """A server out of a folder of its own, whose programs a test can replace."""
    folder = tempfile.mkdtemp(prefix="cf.")
    os.chmod(folder, 0o755)
    for name in ("curfew", "curfew-keeper", "curfew-server"):
        shutil.copy2(os.path.join(harness.build_dir(), name), folder)
    old = harness.curfew
    harness.curfew = lambda: os.path.join(folder, "curfew")
    try:
        with Server(**settings) as s:
            s.bin = folder
            yield s
    finally:
        harness.curfew = old
        shutil.rmtree(folder)


def replace(s, text):
    """Another curfew-server on the disk, as a package manager puts it there."""
    path = os.path.join(s.bin, "curfew-server")
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path + ".new", 0o755)
    os.rename(path + ".new", path)


def again(s):
    """The same program in another file."""
    path = os.path.join(s.bin, "curfew-server")
    shutil.copy2(os.path.join(harness.build_dir(), "curfew-server"), path + ".new")
    os.rename(path + ".new", path)


def upgrade(s, *args):
    return subprocess.run([os.path.join(s.bin, "curfew"), "upgrade", *args], env=clean_env(CURFEW_SOCKET=s.sock), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=150, check=False)


def servers(s):
    """How many there have been; 0 while none answers."""
    with contextlib.suppress(OSError, harness.http.client.HTTPException):
        return s.ok("GET", "/v1/server")["servers"]
    return 0


def program(pid):
    return os.stat(f"/proc/{pid}/exe").st_ino


@case("curfew upgrade: another process of the program on the disk serves, and says so; a running command, a variable and a count are as before")
def _():
    with installation() as s:
        made = s.create()["session_id"]
        s.exec(made, "kept=precious")
        assert s.request("POST", f"/v1/sessions/{made}/exec", {"command": "for i in $(seq 100); do echo $i; sleep 0.02; done", "detach": True})[0] == 202
        first, shown = s.server_pid, s.ok("GET", "/v1/server")
        assert shown["pid"] == first and shown["upgrade"] is None and shown["servers"] == 1 and shown["keeper_pid"] == s.pid, shown
        again(s)
        done = upgrade(s)
        now = s.server_pid
        assert done.returncode == 0 and f"(pid {first}) ->" in done.stdout and f"(pid {now})" in done.stdout and done.stderr == "", done
        assert now != first and program(now) == os.stat(os.path.join(s.bin, "curfew-server")).st_ino
        shown = s.ok("GET", "/v1/server")
        assert shown["pid"] == now and shown["upgrade"] == "done" and shown["servers"] == 2, shown
        assert s.show(made)["message_count"] == 2
        record = wait_for(lambda: (r := s.ok("GET", f"/v1/sessions/{made}/execs/2?limit=1000"))["state"] == "ended" and r, "it has ended")
        assert record["exit_code"] == 0 and "".join(p["text"] for p in record["output"]) == "".join(f"{i}\n" for i in range(1, 101)), record
        assert s.exec(made, "echo $kept")["stdout"] == "precious\n"


@case("SIGHUP to the keeper does the same; a request in flight gets its answer first")
def _():
    with installation() as s:
        made = s.create()["session_id"]
        first = s.server_pid
        later = Later(s.exec, made, "sleep 0.5; echo answered")
        wait_for(lambda: s.show(made)["busy"], "it runs")
        os.kill(s.pid, signal.SIGHUP)
        assert later.result()["stdout"] == "answered\n"
        wait_for(lambda: not alive(first), "the first has left")
        assert s.ok("GET", "/v1/server")["upgrade"] == "done" and s.exec(made, "echo on")["stdout"] == "on\n"


@case("what takes longer than upgrade_drain is not waited for: the command goes on, and its result is there")
def _():
    with installation(upgrade_drain="200ms") as s:
        made = s.create()["session_id"]
        first = s.server_pid
        later = Later(s.request, "POST", f"/v1/sessions/{made}/exec", {"command": "sleep 2; echo late"})
        wait_for(lambda: s.show(made)["busy"], "it runs")
        assert upgrade(s).returncode == 0 and not alive(first)
        try:
            later.result()
            raise AssertionError("an answer from a server that has left")
        except (OSError, harness.http.client.HTTPException):
            pass
        record = s.ok("GET", f"/v1/sessions/{made}/execs/1?wait=20")
        record = wait_for(lambda: (r := s.ok("GET", f"/v1/sessions/{made}/execs/1"))["state"] == "ended" and r, "it has ended")
        assert record["exit_code"] == 0 and record["output"][0]["text"] == "late\n", record


@case("a bad program on the disk is rolled back and reported: one that does not start, one that exits at once, one that is none")
def _():
    for text, why in (("#!/bin/sh\nexit 3\n", "exited with status 3"), ("#!/nonexistent/interpreter\n", "exited with status 127"),
                      ("not a program", "exited with status 127"), ("#!/bin/sh\nkill -9 $$\n", "was killed by signal 9")):
        with installation() as s:
            made = s.create()["session_id"]
            s.exec(made, "kept=precious")
            program_before = program(s.server_pid)
            replace(s, text)
            done = upgrade(s)
            assert done.returncode == 69 and "the old one goes on" in done.stderr and done.stdout == "", (text, done)
            assert f"the fresh server {why} before it served" in s.log(), (text, s.log())
            assert program(s.server_pid) == program_before
            assert s.ok("GET", "/v1/server")["upgrade"] == "undone"
            assert s.exec(made, "echo $kept")["stdout"] == "precious\n"
            # One that dies now is followed by the same one, not by what lies on the disk; and a good one can be had later.
            os.kill(s.server_pid, signal.SIGKILL)
            wait_for(lambda s=s, p=program_before: program(s.server_pid) == p, "the old program")
            assert s.exec(made, "echo $kept")["stdout"] == "precious\n"
            again(s)
            assert upgrade(s).returncode == 0
            assert s.exec(made, "echo $kept")["stdout"] == "precious\n"


@case("a server that speaks another version of the wire is rolled back")
def _():
    with installation() as s:
        made = s.create()["session_id"]
        s.exec(made, "kept=precious")
        replace(s, f"#!{sys.executable}\nimport socket, struct, time\nwire = socket.socket(fileno=3)\nwire.send(struct.pack('II', 1, 999))\ntime.sleep(60)\n")
        done = upgrade(s, "--json")
        assert done.returncode == 69 and json.loads(done.stderr or done.stdout)["code"] == "unavailable", done
        assert "version 999 of the wire" in s.log(), s.log()
        assert s.exec(made, "echo $kept")["stdout"] == "precious\n"


@case("a server that cannot read what the last one left is rolled back, and the sessions are there")
def _():
    with installation() as s:
        made = s.create()["session_id"]
        s.exec(made, "kept=precious")
        path = os.path.join(s.bin, "curfew-server")
        with open(path, "rb") as file:
            whole = file.read()
        magic = b"tluavfc"              # of vault.c, behind the byte that is its version
        assert whole.count(magic) >= 1, "the vault's magic number is not in the program as it is written there"
        other = b"".join(part[:-1] + b"\x7f" + magic for part in whole.split(magic)[:-1]) + whole.split(magic)[-1]
        with open(path + ".new", "wb") as file:
            file.write(other)
        os.chmod(path + ".new", 0o755)
        os.rename(path + ".new", path)
        done = upgrade(s)
        assert done.returncode == 69 and "the old one goes on" in done.stderr, done
        assert "cannot be read by this one" in s.log(), s.log()
        assert s.exec(made, "echo $kept")["stdout"] == "precious\n"


@case("upgrades one after the other, with sessions that work all the time, lose nothing; a second one at the same time is ignored")
def _():
    with installation(upgrade_drain="100ms") as s:
        made = s.create()["session_id"]
        assert s.request("POST", f"/v1/sessions/{made}/exec", {"command": "for i in $(seq 3000); do echo $i; done; sleep 1; echo end", "detach": True})[0] == 202
        for _ in range(10):
            before = s.ok("GET", "/v1/server")["servers"]
            os.kill(s.pid, signal.SIGHUP)
            os.kill(s.pid, signal.SIGHUP)
            wait_for(lambda before=before: servers(s) > before, "another one serves")
        record = wait_for(lambda: (r := s.ok("GET", f"/v1/sessions/{made}/execs/1?limit=100000"))["state"] == "ended" and r, "it has ended")
        assert "".join(p["text"] for p in record["output"]) == "".join(f"{i}\n" for i in range(1, 3001)) + "end\n"
        assert s.ok("GET", "/v1/server")["servers"] >= 11


run()
