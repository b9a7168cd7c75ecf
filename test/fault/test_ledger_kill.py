#!/usr/bin/env python3
"""kill -9 of the server while sessions start and end, again and again: every session is in history, once, ended or lost.

    test_ledger_kill.py             LEDGER_KILLS=1000 LEDGER_SEED=7 for more of it, and the same again

budget: 240
"""
import contextlib
import http.client
import os
import random
import signal
import sqlite3
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "flow"))

from harness import Server, folder, wait_for  # noqa: E402  (it lies in a folder of its own)
from tap import case, run  # noqa: E402

KILLS = int(os.environ.get("LEDGER_KILLS", "40"))
SEED = int(os.environ.get("LEDGER_SEED", str(random.randrange(1 << 30))))
SESSIONS = 12
ENDERS = 4


def history(s):
    """{id: reason} of all, and how many rows that were."""
    found, rows, before = {}, 0, ""
    while before is not None:
        data = s.ok("GET", "/v1/history?limit=1000" + before)
        rows += len(data["sessions"])
        found.update((one["session_id"], one["reason"]) for one in data["sessions"])
        before = data["next"] and f"&before={data['next']}"
    return found, rows


def written(s):
    wait_for(lambda: (st["ledger"]["queued"] == 0) if "ledger" in (st := s.stats()) else print("# NO LEDGER", st), "nothing waits for the ledger")


def end_some(s, made, answered, dice):
    """Ends and makes sessions until the server is gone; notes what was answered, and when."""
    for session in made:
        with contextlib.suppress(OSError, http.client.HTTPException, AssertionError):
            status, answer = s.request("DELETE", f"/v1/sessions/{session}?grace={dice.choice((0, 0, 1))}")
            if status == 200:
                answered[session] = time.monotonic()
            if dice.random() < 0.3:
                s.request("POST", "/v1/sessions", {"workspace": "more"})


def kill_in_the_middle(s, dice):
    """(sessions that were on record, {session whose end was answered: when}, when it was killed)."""
    made = [s.create(workspace=f"w{i}")["session_id"] for i in range(SESSIONS)]
    written(s)
    answered = {}
    threads = [threading.Thread(target=end_some, args=(s, made[i::ENDERS], answered, random.Random(dice.random())), daemon=True)
               for i in range(ENDERS)]
    for thread in threads:
        thread.start()
    time.sleep(dice.random() * 0.05)    # not a measure: anywhere in the middle of it
    os.kill(s.server_pid, signal.SIGKILL)
    killed = time.monotonic()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a request hangs"
    return made, answered, killed


@case(f"after each of {KILLS} kills that end curfew every session that was on record is in history once, and the database is whole")
def _():
    print(f"# seed {SEED}", flush=True)
    dice = random.Random(SEED)
    everyone, reasons = set(), {}
    with folder() as path, Server(folder=path, grace=0, status=None, server_restarts=0, max_sessions_per_workspace=1000) as s:
        for _ in range(KILLS):
            made, answered, killed = kill_in_the_middle(s, dice)
            assert s.wait_exit() == 70
            s.start()
            written(s)
            everyone |= set(made)
            found, rows = history(s)
            assert rows == len(found), "a session is there twice"
            assert everyone <= set(found), f"not on record: {everyone - set(found)}"
            for session in made:
                assert found[session] in ("requested", "lost"), (session, found[session])
                # What is asked of a server is written some 5 ms later; a busy machine may take its time for that.
                if session in answered and killed - answered[session] > 1:
                    assert found[session] == "requested", session
                reasons[found[session]] = reasons.get(found[session], 0) + 1
                assert s.tombstone(session)["reason"] == found[session]
            with contextlib.closing(sqlite3.connect(os.path.join(s.state, "ledger.db"))) as db:
                assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
                assert db.execute("SELECT count(*) FROM running").fetchone() == (0,)
                assert db.execute("SELECT count(*) FROM outputs WHERE seq NOT IN (SELECT seq FROM ended)").fetchone() == (0,)
    print(f"# {len(everyone)} sessions: {reasons}", flush=True)
    assert reasons.get("lost") and reasons.get("requested"), reasons


@case(f"after each of {KILLS} kills that another server follows none is lost: a session is alive, or in history once as what it was ended for")
def _():
    dice = random.Random(SEED)
    everyone, last = set(), None
    with Server(grace=0, server_restarts=1000000, server_restart_pause=0, max_sessions_per_workspace=1000, max_sessions=100000) as s:
        for _ in range(KILLS):
            last = s.server_pid
            made, _, _ = kill_in_the_middle(s, dice)
            wait_for(lambda last=last: s.server_pid != last, "another server")
            written(s)
            everyone |= set(made)
            alive = {one["session_id"] for one in s.list() if one["state"] == "active"}
            for session in alive:
                s.end(session)
            written(s)
            found, rows = history(s)
            assert rows == len(found), "a session is there twice"
            assert everyone <= set(found), f"not on record: {everyone - set(found)}"
            assert set(found.values()) == {"requested"}, {i: r for i, r in found.items() if r != "requested"}
            for session in made:
                assert s.tombstone(session)["reason"] == "requested"


if __name__ == "__main__":
    run()
