#!/usr/bin/env python3
"""Clocks that are set, a machine that sleeps: no session ends for it that should not, and those that should do.
budget: 90
"""
import contextlib
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import Server, wait_for  # noqa: E402  (it lies beside this file)
from tap import case, run  # noqa: E402

YEAR = 365 * 86400


class Clocks:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="cf.")
        self.path = os.path.join(self.folder, "steps")
        self.library = os.path.join(self.folder, "clockstep.so")
        self.set()
        subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", self.library, os.path.join(os.path.dirname(os.path.abspath(__file__)), "clockstep.c")], check=True)

    def set(self, wall=0, asleep=0):
        with open(self.path, "r+b" if os.path.exists(self.path) else "wb") as file:
            file.write(struct.pack("qq", wall, asleep))

    @property
    def env(self):
        return {"LD_PRELOAD": self.library, "CLOCKSTEP_FILE": self.path, "ASAN_OPTIONS": "verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", "")}


@contextlib.contextmanager
def moved(**settings):
    clocks = Clocks()
    try:
        with Server(env=clocks.env, **settings) as s:
            yield s, clocks
    finally:
        shutil.rmtree(clocks.folder)


@case("a year forwards and a year back: no session ends, none gets older, and the sweep goes on")
def _():
    with moved(session_timeout=60, cleanup_interval=1, max_session_age=120) as (s, clocks):
        made = s.create()["session_id"]
        s.exec(made, "kept=precious")
        before = s.show(made)
        runs = s.cleanup_runs()
        for step in (YEAR, -YEAR, 0):
            clocks.set(wall=step)
            runs = wait_for(lambda runs=runs: (n := s.cleanup_runs()) > runs + 1 and n, "the sweep has run")
            shown = s.show(made)
            assert shown["state"] == "active" and shown["inactive_time"] < 60 and shown["age_left"] < before["age_left"], (step, shown)
            assert s.exec(made, "echo $kept")["stdout"] == "precious\n"
            late = s.create(workspace="b")["session_id"]
            wall = time.time() + step
            assert abs(s.show(late)["created_at"] - wall) < 30, (step, s.show(late))
            s.end(late)
            assert abs(s.tombstone(late)["ended_at"] - wall) < 30


@case("limits hold while the clock is moved to and fro: an idle session still ends after its time, no sooner and hardly later")
def _():
    with moved(session_timeout=3, cleanup_interval=1) as (s, clocks):
        made = s.create()["session_id"]
        began = time.monotonic()
        ended = None
        while ended is None and time.monotonic() < began + 60:
            for step in (YEAR, -YEAR):
                clocks.set(wall=step)
                if s.request("GET", f"/v1/sessions/{made}")[0] == 410:
                    ended = time.monotonic()
            time.sleep(0.02)
        assert ended is not None and ended - began >= 3, (ended, began)
        tomb = s.tombstone(made)
        assert tomb["reason"] == "idle" and 3 < tomb["inactive_time"] < 30, tomb


@case("a command's timeout and a detached job are not touched by either")
def _():
    with moved() as (s, clocks):
        made = s.create()["session_id"]
        assert s.request("POST", f"/v1/sessions/{made}/exec", {"command": "sleep 1.5; echo done", "timeout": 30, "detach": True})[0] == 202
        clocks.set(wall=YEAR, asleep=YEAR)
        record = s.ok("GET", f"/v1/sessions/{made}/execs/1?wait=20")
        record = wait_for(lambda: (r := s.ok("GET", f"/v1/sessions/{made}/execs/1"))["state"] == "ended" and r, "it has ended")
        assert record["exit_code"] == 0 and not record["timed_out"] and 1400 < record["duration_ms"] < 30000, record


@case("a machine that slept for a year, and one that is stopped altogether for longer than every timeout: the sessions are there")
def _():
    with moved(session_timeout=60, max_session_age=120, lease=2, cleanup_interval=1) as (s, clocks):
        made = s.create()["session_id"]
        s.exec(made, "kept=precious")
        clocks.set(asleep=YEAR, wall=YEAR)          # CLOCK_MONOTONIC stands still meanwhile
        runs = s.cleanup_runs()
        wait_for(lambda: s.cleanup_runs() > runs + 1, "the sweep has run")
        assert s.exec(made, "echo $kept")["stdout"] == "precious\n"
        stopped = [s.pid, s.server_pid]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(6)                               # three leases
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        assert s.exec(made, "echo $kept")["stdout"] == "precious\n"
        assert s.show(made)["state"] == "active"


@case("a wall clock that is moved does not make the next server forget anything: sessions, clocks, tombstones")
def _():
    with moved(session_timeout=60) as (s, clocks):
        made, gone = s.create()["session_id"], s.create()["session_id"]
        s.end(gone)
        tomb, before = s.tombstone(gone), s.show(made)
        clocks.set(wall=YEAR)
        pid = s.server_pid
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: s.server_pid != pid, "another server")
        now = s.show(made)
        assert now["state"] == "active" and now["created_at"] == before["created_at"] and now["last_used"] == before["last_used"], (before, now)
        assert now["inactive_time"] < 60 and s.tombstone(gone) == tomb


run()
