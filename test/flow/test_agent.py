#!/usr/bin/env python3
"""Kind agent: configured programs with pipes, kept alive by heartbeats, and ended like all others.
budget: 180
"""
import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
import time

from agentstand import STAND_INS, Agents, steps
from harness import Later, Server, clean_env, serve, wait_for
from tap import case, run, skip


# ---- the document

# The commands of the document's verification as they are printed there, but for the path that the server is started in, with the
# waits shorter.
VERIFY = r"""
SESSION_ID=$(curl -X POST http://localhost:3000/api/session/start | jq -r '.session_id')
echo "id $SESSION_ID"

# Verify session active
curl -X POST "http://localhost:3000/api/heartbeat?session_id=$SESSION_ID"
echo; echo "running $(ps aux | grep cursor-agent | grep -v grep | grep -c "$PLACE")"

# Wait 11 minutes (or adjust timeout for testing)
until grep -q "$SESSION_ID ended" "$LOG"; do sleep 0.1; done

# After timeout, try to use session
curl -w '\nstatus %{http_code}\n' -X POST "http://localhost:3000/api/heartbeat?session_id=$SESSION_ID"

# Verify process gone
echo "left $(ps aux | grep cursor-agent | grep -v grep | grep -c "$PLACE")"

# Test with heartbeat keeping session alive
SESSION_ID=$(curl -X POST http://localhost:3000/api/session/start | jq -r '.session_id')
for i in {1..30}; do
  curl -X POST "http://localhost:3000/api/heartbeat?session_id=$SESSION_ID"
  sleep 0.3
done
curl -w '\nstatus %{http_code}\n' -X POST "http://localhost:3000/api/heartbeat?session_id=$SESSION_ID"
"""


def with_network():
    """Words that run a command in a network of its own, in which port 3000 is free."""
    words = ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$0" "$@"']
    done = subprocess.run([*words, "true"], capture_output=True, timeout=30, check=False)
    return words if done.returncode == 0 else skip("no network namespace: " + done.stderr.decode()[:100])


@case("S1.1, S1.5-S1.8, S1.10: the document's verification runs as printed, on port 3000, with SESSION_TIMEOUT and CLEANUP_INTERVAL short")
def _():
    place = tempfile.mkdtemp(prefix="ag.")
    try:
        path = os.path.join(place, "cursor-agent")
        with open(path, "w", encoding="utf-8") as script:
            script.write(f"#!/bin/sh\n{STAND_INS['cursor-agent']}\n")
        os.chmod(place, 0o755)
        os.chmod(path, 0o755)
        # No configuration at all: the document's program is found in PATH.
        env = {"SESSION_TIMEOUT": "6s", "CLEANUP_INTERVAL": "1s", "PORT": 3000, "PATH": f"{place}:{os.environ['PATH']}"}
        with Server(port=None, env=env, prefix=with_network()) as s:
            done = subprocess.run(["nsenter", "-n", "-t", str(s.pid), "bash", "-c", VERIFY], capture_output=True, text=True, timeout=90,
                                  env=clean_env(PLACE=place, LOG=s.log_path), check=False)
            out = done.stdout
            first = re.search(r"^id (agent_default_\w+)$", out, re.M).group(1)
            assert "\nrunning 1\n" in out and "\nleft 0\n" in out, out
            gone, kept = re.findall(r"status (\d+)", out)
            assert (gone, kept) == ("404", "200"), out
            assert re.search(rf"session {first} ends: idle \(idle for \d+\.\d+ s, limit 6\.000 s\)", s.log()), s.log()
            assert out.count('"status":"success"') == 32, out          # 1, 30 and 1 heartbeats
            assert re.search(rf"session {first} ended: idle, \w+, \d killed", s.log())
            s.stop()
            assert "automatic cleanup stopped" in s.log(), s.log()
    finally:
        shutil.rmtree(place)


@case("S1.7: the start answers 201 with session_id on top, and the session as data; a body may name agent, workspace, folder and environment")
def _():
    with Agents(extra='[agents]\nagent = "environment"') as s:
        os.makedirs(os.path.join(s.workspaces, "mine", "sub"))
        status, answer = s.request("POST", "/api/session/start", {"workspace": "mine", "cwd": "sub", "env": {"A": "1"}, "idle_timeout": "9m", "max_age": 77})
        assert status == 201 and answer["status"] == "success", answer
        made = answer["data"]
        assert answer["session_id"] == made["session_id"] and made["session_id"].startswith("agent_mine_"), answer
        assert (made["kind"], made["agent"], made["idle_timeout"], made["max_age"]) == ("agent", "environment", 540, 77), made
        s.wait_output(made["session_id"], f"||1|||{s.workspaces}/mine/sub\n")
        status, answer = s.request("POST", "/api/session/start", {"agent": "sleeper"})
        assert status == 201 and answer["data"]["agent"] == "sleeper" and answer["data"]["workspace_name"] == "default", answer


@case("S1.8: /api/heartbeat, /api/message, /api/output and /api/session/end take the session from the query; once it has ended they answer 404 with its tombstone")
def _():
    with Agents() as s:
        made = s.request("POST", "/api/session/start")[1]["session_id"]
        at = f"session_id={made}"
        assert s.ok("POST", f"/api/heartbeat?{at}")["state"] == "active"
        assert s.ok("POST", f"/api/message?{at}", {"message": "one two"})["accepted"] == 8
        status, answer = s.request("POST", f"/api/message?{at}", b"raw\n", {"Content-Type": "application/octet-stream"})
        assert status == 200 and answer["data"]["accepted"] == 4, answer
        wait_for(lambda: "got one two\ngot raw\n" in "".join(p["text"] for p in s.ok("GET", f"/api/output?{at}")["output"]), "both came back")
        got = s.ok("GET", f"/api/output?{at}&since=0&wait=5&stream=stdout")
        assert got["output"][0]["stream"] == "stdout" and got["output"][0]["offset"] == 0, got
        assert s.show(made)["message_count"] == 2
        s.fails(400, "invalid", "POST", f"/api/message?{at}", {})
        s.fails(400, "invalid", "POST", "/api/heartbeat")
        s.fails(400, "unknown_field", "POST", f"/api/heartbeat?{at}&x=1")
        s.fails(404, "not_found", "POST", "/api/heartbeat?session_id=agent_default_nobody")
        tomb = s.ok("POST", f"/api/session/end?{at}&grace=1")
        assert tomb["reason"] == "requested" and tomb["agent"] == "cursor-agent" and tomb["restarts"] == 0, tomb
        for method, path in (("POST", "/api/heartbeat"), ("POST", "/api/session/end"), ("POST", "/api/message")):
            error = s.fails(404, "not_found", method, f"{path}?{at}", {"message": "x"} if path.endswith("message") else None)
            assert error["session"]["session_id"] == made, error
        assert "got raw" in json.dumps(s.ok("GET", f"/api/output?{at}"))        # which is kept


@case("S1.1, S1.6: 10 minutes and 1 minute by default; SESSION_TIMEOUT and CLEANUP_INTERVAL hold for agents too, agent_timeout before them")
def _():
    text = serve("--help").stdout
    assert re.search(r"--agent-timeout TIME.*?default 600 \(10m\)", text, re.S) and re.search(r"--agent-cleanup-interval TIME.*?default 60 \(1m\)", text, re.S), text
    for env, settings, idle in (({}, {}, 600), ({"SESSION_TIMEOUT": "7m"}, {}, 420), ({"SESSION_TIMEOUT": "7m"}, {"agent_timeout": "8m"}, 480),
                                ({"SESSION_TIMEOUT": "7m", "CURFEW_AGENT_TIMEOUT": "9m"}, {}, 540)):
        with Agents(env=env, **settings) as s:
            made = s.create(kind="agent", agent="sleeper")
            assert made["idle_timeout"] == idle, (env, settings, made)
    with Agents(more={"sleeper": ['idle_timeout = "2m"', "max_age = 60"]}) as s:
        made = s.create(kind="agent", agent="sleeper")
        assert (made["idle_timeout"], made["max_age"]) == (120, 60), made
        made = s.create(kind="agent", agent="sleeper", idle_timeout=33)
        assert (made["idle_timeout"], made["max_age"]) == (33, 60), made
    for value in ("10x", "0"):
        done = serve("--check-config", env=clean_env(SESSION_TIMEOUT=value))
        assert done.stderr.count("SESSION_TIMEOUT") == 1, done.stderr


@case("S1.1, S1.10: agents have a sweep of their own; it ends the one that is over its limit, and neither another agent nor a bash session")
def _():
    with Agents(agent_timeout=2, agent_cleanup_interval=1, cleanup_interval=3600, session_timeout=1) as s:
        other, bash = s.agent("sleeper", idle_timeout=600), s.create(workspace="b")["session_id"]
        idle = s.agent("sleeper")
        tomb = s.wait_ended(idle)
        assert tomb["reason"] == "idle" and 2 < tomb["inactive_time"] < 20 and "limit 2.000 s" in tomb["evidence"], tomb
        s.wait_idle(bash, 1.5)
        assert s.show(other)["state"] == "active" and s.show(bash)["state"] == "active"
        s.wait_log(rf"session {idle} ends: idle \(idle for \d+\.\d+ s")


@case("S1.1: both limits change at run time, for agents that are there as well; the answer shows them when they were asked for")
def _():
    with Agents() as s:
        made, bash = s.agent("sleeper"), s.create(workspace="b")["session_id"]
        got = s.ok("PUT", "/bash/auto-cleanup/configure", {"agent_timeout": "2s", "agent_cleanup_interval": 1})
        assert (got["old_settings"]["agent_timeout"], got["old_settings"]["agent_cleanup_interval"]) == (600, 60), got
        assert (got["new_settings"]["agent_timeout"], got["new_settings"]["agent_cleanup_interval"]) == (2, 1), got
        assert s.show(made)["idle_timeout"] == 2 and s.show(bash)["idle_timeout"] == 3600
        assert s.wait_ended(made)["reason"] == "idle" and s.show(bash)["state"] == "active"
        got = s.ok("PUT", "/bash/auto-cleanup/configure", {"session_timeout": 1800})
        assert set(got["new_settings"]) == {"session_timeout", "cleanup_interval", "auto_cleanup_enabled"}, got
        assert s.create(kind="agent", agent="sleeper")["idle_timeout"] == 2
        s.fails(400, "invalid", "PUT", "/v1/cleanup/configure", {"agent_timeout": 0.5})


@case("the plan names agents by their own limit, which session_timeout does not change")
def _():
    with Agents() as s:
        made = s.agent("sleeper", idle_timeout=5)
        plan = s.ok("GET", "/v1/cleanup/plan?within=60")["plan"]
        assert [(p["session_id"], p["kind"], p["reason"]) for p in plan] == [(made, "agent", "idle")], plan
        other = s.agent("sleeper")
        plan = s.ok("GET", "/v1/cleanup/plan?within=300&session_timeout=10")["plan"]
        assert [p["session_id"] for p in plan] == [made], (plan, other)


@case("S1.4, S1.5: a stopped sweeper ends no agent and says so in the log; started again it does")
def _():
    with Agents(agent_timeout=1, agent_cleanup_interval=1) as s:
        s.ok("POST", "/bash/auto-cleanup/stop")
        s.wait_log("automatic cleanup stopped")
        made = s.agent("sleeper")
        s.wait_idle(made, 3)
        assert s.show(made)["state"] == "active"
        s.ok("POST", "/bash/auto-cleanup/start")
        assert s.wait_ended(made)["reason"] == "idle"


# ---- what keeps it alive

@case("S1.8: heartbeats keep an agent alive, and so do messages")
def _():
    with Agents(agent_timeout=2, agent_cleanup_interval=1) as s:
        beaten, fed, idle = s.agent("sleeper"), s.agent("sleeper"), s.agent("sleeper")
        wait_for(lambda: (s.ok("POST", f"/v1/sessions/{beaten}/heartbeat"), s.input(fed, "x")) and s.request("GET", f"/v1/sessions/{idle}")[0] == 410,
                 "the one that nobody asked after has ended")
        assert s.show(beaten)["state"] == "active" and s.show(fed)["state"] == "active" and s.show(fed)["message_count"] > 3


@case("what an agent prints keeps it alive, unless agent_output_counts is off")
def _():
    with Agents(agent_timeout=2, agent_cleanup_interval=1) as s:
        chatty, idle = s.agent("chatty"), s.agent("sleeper")
        s.wait_ended(idle)
        assert s.show(chatty)["state"] == "active" and s.show(chatty)["inactive_time"] < 2
    with Agents(agent_timeout=2, agent_cleanup_interval=1, agent_output_counts=False) as s:
        tomb = s.wait_ended(s.agent("chatty"))
        assert tomb["reason"] == "idle" and "tick" in tomb["last_output"], tomb


# ---- the ladder

@case("S1.2: stdin and stdout are closed, then comes SIGINT, then the grace, then SIGKILL; tombstone and log tell the order and the times")
def _():
    with Agents(grace=1) as s:
        made = s.agent("stubborn")
        begun = time.monotonic()
        tomb = s.end(made)
        assert time.monotonic() - begun >= 1
        assert s.read("trace") == "eof\nwaiting\nint\n", s.read("trace")
        assert steps(tomb) == ["closed", "interrupted", "killed"] and tomb["rung"] == "killed" and tomb["signal"] == 9, tomb
        closed, interrupted, killed = (step["after_ms"] for step in tomb["ladder"])
        assert closed == 0 and interrupted >= 50 and killed >= interrupted + 1000 and tomb["took_ms"] >= killed, tomb
        s.wait_log(rf"session {made} ended: requested, killed, \d+ killed, \d+ ms \(closed after 0 ms, interrupted after {interrupted} ms, killed after {killed} ms\)")


@case("S1.2: one that heeds SIGINT goes by it with its own status, one that sees its input end by that; a grace of 0 is SIGKILL and nothing else")
def _():
    with Agents(grace=30) as s:
        tomb = s.end(s.agent("heeds", workspace="h"))
        assert steps(tomb) == ["closed", "interrupted"] and tomb["rung"] == "interrupted" and tomb["exit_code"] == 7, tomb
        assert s.read("trace", "h") == "eof\nint\n"
        made = s.agent("cursor-agent")
        s.wait_output(made, "ready")
        tomb = s.end(made)
        assert steps(tomb) == ["closed"] and tomb["rung"] == "closed" and tomb["exit_code"] == 0, tomb
        tomb = s.end(s.agent("stubborn"), "?grace=0")
        assert steps(tomb) == ["killed"] and tomb["signal"] == 9, tomb


@case("S1.2, S1.10: what an agent forked twice, with setsid or nohup, is gone with it, whatever holds it")
def _():
    for containment in ("cgroup+pidns", "cgroup", "pidns", "subreaper"):
        try:
            s = Agents(containment=containment, grace="200ms")
        except AssertionError as error:
            print(f"# {containment} is not to be had here: {str(error)[:100]}")
            continue
        with s:
            made = s.agent("forker")
            s.wait_output(made, "ready")
            wait_for(lambda: s.read("forked") == "in\n", "it has forked")
            assert sum("sleep 1000" in line for line in s.processes().values()) == 3, s.processes()
            tomb = s.end(made)
            assert tomb["killed"] >= 2 and not [line for line in s.processes().values() if "sleep 1000" in line], (tomb, s.processes())


# ---- output and input

@case("output is read by offset, all of it or one stream, waits, follows, and outlives the session")
def _():
    with Agents() as s:
        made = s.agent("echoer")
        s.wait_output(made, "ready\n", stream="stdout")
        s.wait_output(made, "err\n", stream="stderr")
        assert s.output(made)[1] == 10
        later = Later(s.output, made, since=10, wait=30)
        s.input(made, "more\n")
        assert later.result() == ("more\n", 15)
        assert s.output(made, stream="stdout", since=6) == ("more\n", 11) and s.output(made, stream="stderr") == ("err\n", 4)
        status, headers, data = s.request("GET", f"/v1/sessions/{made}/output?since=10", headers={"Accept": "application/octet-stream"}, raw=True)
        assert (status, data, headers["X-Curfew-Next"]) == (200, b"more\n", "15"), (status, headers, data)
        status, headers, data = s.request("GET", f"/v1/sessions/{made}/output?since=6&stream=stdout", headers={"Accept": "application/octet-stream"}, raw=True)
        assert (status, data, headers["X-Curfew-Next"]) == (200, b"more\n", "11"), (status, headers, data)
        follow = Later(s.request, "GET", f"/v1/sessions/{made}/output?since=10&follow=true", headers={"Accept": "application/octet-stream"}, raw=True)
        s.input(made, "last\n")
        s.wait_output(made, "last\n")
        s.end(made)
        assert follow.result()[2] == b"more\nlast\n"
        assert s.output(made, since=15) == ("last\n", 20)
        s.fails(400, "invalid", "GET", f"/v1/sessions/{made}/output?stream=terminal")
        s.fails(404, "not_found", "GET", f"/v1/sessions/{made}/output?exec=1")


@case("a megabyte goes in and comes out byte for byte, by raw pieces with numbers")
def _():
    data = os.urandom(1 << 20)
    with Agents(spool_bytes="4M") as s:
        made = s.agent("echoer")
        s.wait_output(made, "ready")
        at = seq = 0
        while at < len(data):
            part = data[at:at + 60000]
            eof = "&eof=true" if at + len(part) == len(data) else ""
            status, answer = s.request("POST", f"/v1/sessions/{made}/input?seq={seq + 1}{eof}", part, {"Content-Type": "application/octet-stream"})
            if status == 429:
                continue
            assert status == 200 and answer["data"]["accepted"] == len(part), answer
            at, seq = at + len(part), seq + 1
        tomb = s.wait_ended(made)
        assert tomb["reason"] == "closed" and tomb["exit_code"] == 0 and tomb["evidence"] == "the agent exited with status 0", tomb
        status, _, got = s.request("GET", f"/v1/sessions/{made}/output", headers={"Accept": "application/octet-stream"}, raw=True)
        assert status == 200 and got.replace(b"err\n", b"", 1).replace(b"ready\n", b"", 1) == data, len(got)


@case("input is text, base64 or raw, is not written twice under one number, and is refused with 409 behind eof")
def _():
    with Agents() as s:
        made = s.agent("cursor-agent")
        path = f"/v1/sessions/{made}/input"
        assert s.input(made, "a\n", seq=1) == {"session_id": made, "exec": None, "accepted": 2, "duplicate": False, "open": True}
        assert s.input(made, "a\n", seq=1)["duplicate"] and s.input(made, "b\n", seq=2)["accepted"] == 2
        s.ok("POST", path, {"base64": base64.b64encode(b"c\n").decode()})
        s.wait_output(made, "got a\ngot b\ngot c\n")
        assert s.show(made)["message_count"] == 3
        s.fails(400, "invalid", "POST", path, {"text": "x", "base64": "eA=="})
        s.fails(400, "invalid", "POST", path, {"base64": "%"})
        s.fails(400, "invalid", "POST", path, {})
        s.fails(409, "not_reading", "POST", path, {"text": "x", "exec": 1})
        made = s.agent("sleeper")
        assert not s.ok("POST", f"/v1/sessions/{made}/input", {"eof": True})["open"]
        error = s.fails(409, "not_reading", "POST", f"/v1/sessions/{made}/input", {"text": "x"})
        assert "closed" in error["message"], error


@case("an agent that closes its stdin lives on; who writes to it is told")
def _():
    with Agents() as s:
        made = s.agent("deaf")
        s.wait_output(made, "closed")
        error = s.fails(409, "not_reading", "POST", f"/v1/sessions/{made}/input", {"text": "x"})
        assert "closed its stdin" in error["message"] and s.show(made)["state"] == "active", error


@case("what waits for an agent that does not read is bounded by max_input_bytes: 429, and 413 for what could never fit; nothing of it is taken")
def _():
    with Agents(max_input_bytes=4096) as s:
        made = s.agent("sleeper")
        path = f"/v1/sessions/{made}/input"
        s.fails(413, "too_large", "POST", path, {"text": "x" * 4097})
        taken = 0
        while True:
            status, answer = s.request("POST", path, {"text": "x" * 4096})
            if status == 429:
                break
            assert status == 200 and answer["data"]["accepted"] == 4096 and taken < 100, answer
            taken += 1
        assert "max_input_bytes" in answer["error"]["message"] and taken >= 16, (taken, answer)        # the pipe, and the queue
        assert s.show(made)["message_count"] == taken


@case("an agent that floods is bounded: the oldest goes, a gap tells how much, the server answers, and its end is prompt")
def _():
    with Agents(spool_bytes="1M", grace="500ms") as s:
        made = s.agent("flood")
        wait_for(lambda: s.output(made, limit=1000)[1] > 4 << 20, "it has printed 4 MiB")
        got = s.ok("GET", f"/v1/sessions/{made}/output?limit=1000")["output"]
        assert got[0]["gap"] > 1 << 20 and got[1]["offset"] == got[0]["gap"], got
        assert s.show(made)["state"] == "active" and s.exec(s.create(workspace="b")["session_id"], "echo hi")["stdout"] == "hi\n"
        tomb = s.end(made)
        assert tomb["took_ms"] < 20000 and "0123456789abcde" in tomb["last_output"], tomb


@case("signals go to the program; resize, attach and commands are refused, and the answer says that an agent takes input")
def _():
    with Agents() as s:
        made = s.agent("trapper")
        s.wait_output(made, "ready")
        assert s.ok("POST", f"/v1/sessions/{made}/signal", {"signal": "USR1"}) == {"exec": None, "signal": "SIGUSR1"}
        s.wait_output(made, "usr1")
        error = s.fails(400, "invalid", "POST", f"/v1/sessions/{made}/exec", {"command": "ls"})
        assert "takes input, not commands" in error["message"], error
        s.fails(409, "not_ready", "POST", f"/v1/sessions/{made}/resize", {"cols": 80, "rows": 24})
        s.fails(404, "not_found", "DELETE", f"/v1/sessions/{made}/execs/1")
        assert s.ok("GET", f"/v1/sessions/{made}/execs")["execs"] == []
        assert s.show(made)["busy"] is False and s.show(made)["state"] == "active"


if __name__ == "__main__":
    run()
