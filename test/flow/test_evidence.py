#!/usr/bin/env python3
"""What a session says of itself: since when it is busy or idle, by what, and what will end it; and, when it has ended, what showed that.
budget: 60
"""
import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import Server, clean_env, curfew, wait_for  # noqa: E402  (it lies beside this file)
from tap import case, run  # noqa: E402


@case("an idle session says since when, by the last use that counted, and when it will end by which limit")
def _():
    with Server(session_timeout=1000, max_session_age=3000) as s:
        made = s.create()["session_id"]
        shown = s.show(made)
        assert shown["activity"]["state"] == "idle" and shown["activity"]["last_use"] == "created", shown
        assert shown["ends"]["reason"] == "idle" and 990 < shown["ends"]["in"] <= 1000, shown
        for use, ask in (("end of a command", lambda: s.exec(made, "true")),
                         ("heartbeat", lambda: s.ok("POST", f"/v1/sessions/{made}/heartbeat"))):
            before = s.show(made)["activity"]
            ask()
            now = s.show(made)
            assert now["activity"]["last_use"] == use and now["activity"]["since"] > before["since"], (use, now)
            assert now["activity"]["since"] == now["last_used"] and abs(now["activity"]["for"] - now["inactive_time"]) < 1e-6, now
            assert abs(now["ends"]["at"] - now["ends"]["in"] - now["last_used"] - now["activity"]["for"]) < 0.1, now
            assert abs(now["ends"]["in"] - now["idle_left"]) < 0.1, now


@case("a busy one is busy since its command began, and only its age ends it; one without limits is ended by nothing")
def _():
    with Server(session_timeout=1000, max_session_age=0) as s:
        aged = s.create(workspace="a", max_age=500)["session_id"]
        free = s.create(workspace="b")["session_id"]
        for session in (aged, free):
            assert s.request("POST", f"/v1/sessions/{session}/exec", {"command": "cat", "input": True, "detach": True})[0] == 202
        shown = s.show(aged)
        record = s.ok("GET", f"/v1/sessions/{aged}/execs/1")
        assert shown["activity"]["state"] == "busy" and shown["activity"]["last_use"] == "command", shown
        assert abs(shown["activity"]["since"] - record["started_at"]) < 0.01, (shown, record)
        assert shown["ends"]["reason"] == "age" and 490 < shown["ends"]["in"] <= 500, shown
        assert s.show(free)["ends"] is None, s.show(free)
        s.ok("POST", f"/v1/sessions/{aged}/input", {"text": "x"})
        shown = s.show(aged)
        assert shown["activity"]["last_use"] == "input" and abs(shown["activity"]["since"] - record["started_at"]) < 0.01, shown
        s.ok("POST", f"/v1/sessions/{aged}/signal", {"signal": "CONT"})
        assert s.show(aged)["activity"]["last_use"] == "signal"


@case("the next server says the same")
def _():
    with Server() as s:
        made = s.create()["session_id"]
        s.exec(made, "true")
        s.ok("POST", f"/v1/sessions/{made}/heartbeat")
        before, pid = s.show(made), s.server_pid
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: s.server_pid != pid, "another server")
        now = s.show(made)
        assert now["activity"]["last_use"] == "heartbeat" and now["activity"]["since"] == before["activity"]["since"], (before, now)
        assert abs(now["ends"]["at"] - before["ends"]["at"]) < 0.1, (before, now)


@case("an ended one has reason, evidence, the steps of its end with their times, exit status and last output")
def _():
    with Server(grace="400ms") as s:
        made = s.create()["session_id"]
        s.exec(made, "echo last words; trap '' INT HUP TERM; (trap '' INT; while :; do sleep 1; done) &")
        s.end(made, grace=0.4)
        tomb = s.tombstone(made)
        assert tomb["reason"] == "requested" and tomb["evidence"] and tomb["last_output"] == "last words\n", tomb
        assert [step["step"] for step in tomb["ladder"]] == ["closed", "interrupted", "killed"], tomb
        times = [step["after_ms"] for step in tomb["ladder"]]
        assert times == sorted(times) and times[0] == 0 and times[2] >= 400 and tomb["rung"] == "killed" and tomb["killed"] >= 1, tomb
        assert tomb["exit_code"] is not None or tomb["signal"] is not None, tomb


@case("curfew show prints it for people: times as times, durations as durations")
def _():
    with Server() as s:
        made = s.create()["session_id"]
        done = subprocess.run([curfew(), "show", made], env=clean_env(CURFEW_SOCKET=s.sock), capture_output=True, text=True, timeout=60, check=True)
        assert re.search(r"^activity\n  state: +idle\n  since: +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\n  for: +\d+m?s\n  last use: +created$", done.stdout, re.M), done.stdout
        assert re.search(r"^ends\n  reason: +idle\n  in: +(59m59s|1h)\n  at: +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$", done.stdout, re.M), done.stdout


run()
