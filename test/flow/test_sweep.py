"""Who goes when: the idle rule, the sweep, starting and stopping it, and what they leave alone (S0.14 to S0.17).

budget: 240 (it waits for sessions to become idle, most of the time)
"""
import os
import re
import shutil
import time

from harness import Later, Server, wait_for
from tap import case, run

CONFIGURE = "/bash/auto-cleanup/configure"
START, STOP, CLEANUP = "/bash/auto-cleanup/start", "/bash/auto-cleanup/stop", "/bash/cleanup"
# Two seconds to idle out, and nobody waits for an interrupt to be heeded.
QUICK = {"session_timeout": 1, "cleanup_interval": 1, "grace": 0, "warm_pool": 0}


# ---- S0.14: who is inactive

@case("S0.14: a session goes when it was idle for longer than its timeout, and not before")
def _():
    with Server(**{**QUICK, "cleanup_interval": 3600}) as s:
        made = s.create()["session_id"]
        data = {"cleaned_sessions": 0}
        until = time.monotonic() + 20
        while data["cleaned_sessions"] == 0:
            seen = s.show(made)["inactive_time"]
            data = s.ok("POST", CLEANUP)
            assert data["cleaned_sessions"] == 1 or seen <= 1.0, f"idle for {seen} s and left"
            assert time.monotonic() < until
        [gone] = data["sessions"]
        assert 1.0 < gone["inactive_time"] < 20 and gone["inactive_time"] >= seen


@case("S0.14: a busy session is not idle, however long its command runs")
def _():
    with Server(**QUICK) as s:
        made = s.create()["session_id"]
        other = s.create()["session_id"]
        done = s.exec(made, "sleep 2.6; echo still here")
        assert done["stdout"] == "still here\n" and done["exit_code"] == 0
        assert s.tombstone(other)["reason"] == "idle", "the sweep was there meanwhile"
        assert s.exec(made, "echo and here")["stdout"] == "and here\n"


@case("S0.14: a heartbeat keeps a session from becoming idle")
def _():
    with Server(**QUICK) as s:
        kept, other = s.create()["session_id"], s.create()["session_id"]

        def beat():
            answer = s.ok("POST", f"/v1/sessions/{kept}/heartbeat")
            assert answer["session_id"] == kept and answer["state"] == "active"
            assert s.show(kept)["message_count"] == 0
            return s.request("GET", f"/v1/sessions/{other}")[0] == 410
        wait_for(beat, "the other session went")
        assert s.show(kept)["state"] == "active"


@case("S0.14: an idle end leaves a tombstone with the reason and what was seen, answered with 410")
def _():
    with Server(**QUICK) as s:
        made = s.create(workspace="quiet")
        s.exec(made["session_id"], "echo last words")
        tomb = s.tombstone(made["session_id"])
        assert tomb["reason"] == "idle" and tomb["state"] == "ended" and tomb["workspace_name"] == "quiet"
        seen, limit = re.fullmatch(r"idle for ([0-9.]+) s, limit ([0-9.]+) s", tomb["evidence"]).groups()
        assert 1 <= float(seen) < 20 and float(limit) == 1 and tomb["inactive_time"] > 1
        assert abs(tomb["inactive_time"] - float(seen)) < 1 and tomb["message_count"] == 1
        assert tomb["last_output"] == "last words\n" and tomb["ended_at"] > made["created_at"] + 1
        error = s.fails(410, "gone", "POST", f"/v1/sessions/{made['session_id']}/exec", {"command": "echo no"})
        assert error["session"] == tomb and "idle" in error["message"]


# ---- S0.15: the sweep

@case("S0.15: the sweep runs every cleanup_interval and logs whom it ends")
def _():
    with Server(log_level="debug", **QUICK) as s:
        keep, idle = s.create(idle_timeout=3000)["session_id"], s.create()["session_id"]
        start = time.monotonic()
        wait_for(lambda: s.cleanup_runs() >= 1, "a sweep")
        assert time.monotonic() - start > 0.5
        wait_for(lambda: s.cleanup_runs() >= 3, "two more sweeps", 10)
        assert time.monotonic() - start > 2.5, "one a second, no more"
        s.wait_log(rf"session {idle} ends: idle \(idle for \d\.\d+ s, limit 1\.000 s\)")
        s.wait_log("sweep: ending 1 sessions, 1 are left")
        s.wait_log("sweep: nothing to end, 1 sessions")
        assert s.show(keep)["state"] == "active" and s.tombstone(idle)["reason"] == "idle"


@case("S0.15: without sessions the sweep does nothing, and goes on with the next session")
def _():
    with Server(**QUICK) as s:
        s.end(s.create()["session_id"])
        # A sweep that was due when the session went may still come.
        until, before = time.monotonic() + 2.3, s.cleanup_runs()
        wait_for(lambda: time.monotonic() > until, "some time without sessions")
        seen = s.cleanup_runs()
        assert seen <= before + 1
        s.create()
        wait_for(lambda: s.cleanup_runs() > seen, "a sweep")


@case("S0.15: no trouble with a session ends the sweep: killed, stopped, without its folders")
def _():
    with Server(**QUICK) as s:
        killed, stopped, robbed, plain = (s.create(workspace=name) for name in ("killed", "stopped", "robbed", "plain"))
        s.exec(stopped["session_id"], "trap '' INT TERM HUP")
        os.kill(killed["pid"], 9)
        os.kill(stopped["pid"], 19)
        shutil.rmtree(os.path.join(s.workspaces, "robbed"))
        assert s.tombstone(killed["session_id"])["reason"] == "failed"
        for made in (stopped, robbed, plain):
            assert s.tombstone(made["session_id"])["reason"] == "idle", made
        assert s.stats()["auto_cleanup_task"]["running"] is True
        seen = s.cleanup_runs()
        s.create()
        wait_for(lambda: s.cleanup_runs() > seen, "another sweep")


@case("S0.15: a new cleanup_interval holds at once, and for a sweep that is stopped and started again")
def _():
    with Server(**{**QUICK, "cleanup_interval": 86400}) as s:
        idle, _ = s.create()["session_id"], s.create(idle_timeout=3000)
        s.wait_idle(idle, 1)
        assert s.cleanup_runs() == 0
        s.ok("PUT", CONFIGURE, {"cleanup_interval": 1})
        s.tombstone(idle)
        s.ok("PUT", CONFIGURE, {"cleanup_interval": 86400})
        s.ok("POST", STOP)
        s.ok("PUT", CONFIGURE, {"cleanup_interval": 1})
        assert s.stats()["auto_cleanup_task"]["running"] is False, "a new interval does not start it"
        seen = s.cleanup_runs()
        assert s.ok("POST", START)["cleanup_interval"] == 1
        wait_for(lambda: s.cleanup_runs() > seen, "a sweep")


# ---- S0.16: start and stop leave sessions alone

@case("S0.15: an interval that is set again and again does not put the sweep off")
def _():
    with Server(**QUICK) as s:
        made = s.create()["session_id"]

        def gone():
            s.ok("PUT", CONFIGURE, {"cleanup_interval": 1})
            return s.request("GET", f"/v1/sessions/{made}")[0] == 410
        wait_for(gone, "it is swept while the interval is being set")


@case("S0.16: starting and stopping the sweep touches no session, busy or idle")
def _():
    with Server(cleanup_interval=1) as s:
        idle, busy = s.create(), s.create()
        s.exec(idle["session_id"], "x=kept; cd /tmp")
        before = s.show(idle["session_id"])
        answer = Later(s.exec, busy["session_id"], "read -r -t 1.2 < <(sleep 5); echo done")
        wait_for(lambda: s.show(busy["session_id"])["busy"], "the command runs")
        for _ in range(10):
            s.ok("POST", STOP)
            s.ok("POST", START)
            s.ok("PUT", CONFIGURE, {"auto_cleanup_enabled": False})
            s.ok("PUT", CONFIGURE, {"auto_cleanup_enabled": True})
        now = s.show(idle["session_id"])
        for name in ("pid", "state", "last_used", "created_at", "message_count"):
            assert now[name] == before[name], (name, before, now)
        assert answer.result()["stdout"] == "done\n"
        assert s.exec(idle["session_id"], "echo $x $PWD")["stdout"] == "kept /tmp\n"


@case("S0.16: while the sweep is stopped an idle session stays; a cleanup that is asked for takes it")
def _():
    with Server(**QUICK) as s:
        s.ok("POST", STOP)
        made = s.create()["session_id"]
        s.wait_idle(made, 2.2)
        assert s.show(made)["state"] == "active" and s.stats()["statistics"]["sessions_to_cleanup"] == 1
        assert s.ok("POST", CLEANUP)["cleaned_sessions"] == 1


# ---- S0.17: with the server

@case("S0.17: the sweep starts with the server when enabled, and not otherwise")
def _():
    with Server() as s:
        s.wait_log("automatic cleanup started")
        assert s.stats()["auto_cleanup_task"]["running"] is True
    with Server(auto_cleanup_enabled=False) as s:
        assert s.stats()["auto_cleanup_task"]["running"] is False
        assert s.stats()["configuration"]["auto_cleanup_enabled"] is False
        assert "automatic cleanup started" not in s.log()


@case("S0.17: shutdown stops the sweep and ends what remains")
def _():
    with Server(grace=1) as s:
        ids = [s.create(workspace=f"w{i}")["session_id"] for i in range(3)]
        s.exec(ids[0], "setsid nohup sleep 600 >/dev/null 2>&1 &")
        s.stop()
        log = s.log()
        assert "automatic cleanup stopped" in log and "all sessions have ended" in log
        for id in ids:
            assert re.search(rf"session {id} ended: shutdown", log), log


run()
