#!/usr/bin/env python3
"""Kind agent: configured programs with pipes, kept alive by heartbeats, started again when they fail, and ended like all others.
budget: 240
"""
import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time

from harness import Later, Server, clean_env, curfew, serve, wait_for
from tap import case, run, skip

# Stand-ins: what each does is its name.  They run in their session's workspace.
STAND_INS = {
    "cursor-agent": 'echo "ready $$"; while read -r line; do echo "got $line"; done',
    "echoer": 'echo ready; echo err >&2; cat',
    "counter": 'touch starts; echo "start $(wc -l < starts)"; date +%s.%N >> starts; exit "${STATUS:-3}"',
    "stubborn": "trap 'echo int >> trace' INT\nread -r x || echo eof >> trace\necho waiting >> trace\nwhile :; do sleep 0.05; done",
    "heeds": "trap 'echo int >> trace; exit 7' INT\nread -r x || echo eof >> trace\nwhile :; do sleep 0.05; done",
    "forker": "setsid sh -c 'trap \"\" INT TERM HUP; (trap \"\" INT TERM HUP; echo in > forked; exec sleep 1000) & exec sleep 1000' &\n"
              "(nohup sleep 1000 > /dev/null 2>&1 &)\necho ready\nread -r x",
    "flood": "echo begin; exec yes 0123456789abcde",
    "deaf": "echo ready; exec 0< /dev/null; echo closed; sleep 1000",
    "sleeper": "echo ready; exec sleep 1000",
    "quits": 'exit "${STATUS:-0}"',
    "dies": "kill -9 $$",
    "chatty": "while :; do echo tick; sleep 0.1; done",
    "environment": 'echo "$1|$2|$A|$B|$C|$PWD"; cat',
    "trapper": "trap 'echo usr1' USR1\necho ready\nwhile :; do sleep 0.05; done",
    "once": 'if [ -e was ]; then echo again; cat; else touch was; echo first; exit 9; fi',
}


class Agents(Server):
    """A server with all stand-ins configured; `extra` is further text of the file, `more` keys of one agent."""

    def __init__(self, extra="", more=None, **settings):
        self.place = tempfile.mkdtemp(prefix="ag.")
        os.chmod(self.place, 0o755)
        lines = []
        for name, text in STAND_INS.items():
            self.stand_in(name, text)
            lines += [f"[agents.{name}]", f"command = [\"{self.place}/{name}\"]", *(more or {}).get(name, [])]
        path = os.path.join(self.place, "curfew.conf")
        with open(path, "w", encoding="utf-8") as config:
            config.write("\n".join([extra, *lines, ""]))
        settings = {"max_sessions_per_workspace": 100, **settings}
        super().__init__(args=["--config", path, *settings.pop("args", [])], **settings)

    def stand_in(self, name, text):
        path = os.path.join(self.place, name)
        with open(path, "w", encoding="utf-8") as script:
            script.write(f"#!/bin/sh\n{text}\n")
        os.chmod(path, 0o755)

    def discard(self):
        super().discard()
        shutil.rmtree(self.place, ignore_errors=True)

    def agent(self, name, **fields):
        return self.create(kind="agent", agent=name, **fields)["session_id"]

    def output(self, session_id, **query):
        """(text, next) of what it has printed."""
        words = "&".join(f"{name}={value}" for name, value in {"since": 0, **query}.items())
        got = self.ok("GET", f"/v1/sessions/{session_id}/output?{words}")
        return "".join(piece.get("text", "") for piece in got["output"]), got["next"]

    def wait_output(self, session_id, text, **query):
        wait_for(lambda: text in self.output(session_id, **query)[0], f"{session_id} has printed {text!r}")

    def input(self, session_id, text, **fields):
        return self.ok("POST", f"/v1/sessions/{session_id}/input", {"text": text, **fields})

    def end(self, session_id, query=""):
        return self.ok("DELETE", f"/v1/sessions/{session_id}{query}")

    def tombstone(self, session_id):
        return self.fails(410, "gone", "GET", f"/v1/sessions/{session_id}")["session"]

    def wait_ended(self, session_id):
        return wait_for(lambda: self.request("GET", f"/v1/sessions/{session_id}")[0] == 410 and self.tombstone(session_id),
                        f"{session_id} has ended")

    def read(self, name, workspace="default"):
        with contextlib.suppress(OSError), open(os.path.join(self.workspaces, workspace, name), encoding="utf-8") as file:
            return file.read()
        return ""


def steps(tomb):
    return [step["step"] for step in tomb["ladder"]]


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
  sleep 0.2
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
        env = {"SESSION_TIMEOUT": "3s", "CLEANUP_INTERVAL": "1s", "PORT": 3000, "PATH": f"{place}:{os.environ['PATH']}"}
        with Server(port=None, env=env, prefix=with_network()) as s:
            done = subprocess.run(["nsenter", "-n", "-t", str(s.pid), "bash", "-c", VERIFY], capture_output=True, text=True, timeout=90,
                                  env=clean_env(PLACE=place, LOG=s.log_path), check=False)
            out = done.stdout
            first = re.search(r"^id (agent_default_\w+)$", out, re.M).group(1)
            assert "\nrunning 1\n" in out and "\nleft 0\n" in out, out
            gone, kept = re.findall(r"status (\d+)", out)
            assert (gone, kept) == ("404", "200"), out
            assert re.search(rf"session {first} ends: idle \(idle for 3\.\d+ s, limit 3\.000 s\)", s.log()), s.log()
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


# ---- ends by itself

@case("an agent that goes by itself with 0 was closed, with another status or by a signal it failed; the tombstone has which")
def _():
    with Agents() as s:
        tomb = s.wait_ended(s.agent("quits"))
        assert (tomb["reason"], tomb["exit_code"], tomb["evidence"]) == ("closed", 0, "the agent exited with status 0"), tomb
        tomb = s.wait_ended(s.agent("quits", env={"STATUS": "4"}))
        assert (tomb["reason"], tomb["exit_code"], tomb["evidence"]) == ("failed", 4, "the agent exited with status 4"), tomb
        tomb = s.wait_ended(s.agent("dies"))
        assert (tomb["reason"], tomb["exit_code"], tomb["signal"]) == ("failed", None, 9) and "signal 9" in tomb["evidence"], tomb
        assert tomb["restarts"] == 0 and s.list() == []


@case("a program that does not exist, may not be run or is none fails the start with its name, and leaves nothing")
def _():
    extra = ('[agents.nowhere]\ncommand = ["/nowhere/at/all"]\n[agents.unknown]\ncommand = ["no-such-program-at-all"]\n'
             '[agents.folder]\ncommand = ["/tmp"]\n[agents.text]\ncommand = ["/etc/passwd"]\nrestart = "on-failure"')
    with Agents(extra=extra) as s:
        for name, what in (("nowhere", "/nowhere/at/all"), ("unknown", "no-such-program-at-all"), ("folder", "/tmp"), ("text", "/etc/passwd")):
            error = s.fails(500, "spawn_failed", "POST", "/v1/sessions", {"kind": "agent", "agent": name})
            assert what in error["message"], error
            assert s.list() == []
        assert s.stats()["counters"]["sessions_failed"] == 4 and s.stats()["counters"]["agent_restarts"] == 0
        s.end(s.agent("sleeper"))


@case("a start that fails for want of its pipes' folder, or of room for its environment, leaves nothing, and the next one works")
def _():
    many = "\n".join(f'V{i} = "{"x" * 2000}"' for i in range(250))
    with Agents(extra=f"[agents.large]\ncommand = ['/bin/cat']\n[agents.large.env]\n{many}") as s:
        error = s.fails(413, "too_large", "POST", "/v1/sessions", {"kind": "agent", "agent": "large"})
        assert "environment" in error["message"] and s.list() == [], error
        folder = os.path.join(s.runtime, "sessions")
        os.rename(folder, folder + ".away")
        error = s.fails(500, "system", "POST", "/v1/sessions", {"kind": "agent", "agent": "sleeper"})
        assert "cannot make the folder" in error["message"] and s.list() == [], error
        os.rename(folder + ".away", folder)
        before = os.listdir(folder)
        made = s.agent("sleeper")
        assert len(os.listdir(folder)) == len(before) + 1
        s.end(made)
        wait_for(lambda: len(os.listdir(folder)) == len(before), "its pipes are removed")
        assert s.stats()["counters"]["sessions_failed"] == 2


@case("a restart that cannot be made counts as a failure: it is tried again, and works when the reason has gone")
def _():
    with Agents(more={"once": ['restart = "on-failure"', "restart_limit = 1000", 'restart_backoff = "1s"']}) as s:
        made = s.agent("once")
        wait_for(lambda: s.show(made)["state"] == "restarting", "it has failed")
        folder = os.path.join(s.runtime, "sessions")
        os.rename(folder, folder + ".away")
        shown = wait_for(lambda: s.show(made)["restarts"] >= 2 and s.show(made), "it was tried without the folder")
        assert shown["state"] == "restarting" and "could not be started: cannot make the folder" in shown["last_exit"], shown
        os.rename(folder + ".away", folder)
        s.wait_output(made, "first\nagain\n")
        assert s.show(made)["state"] == "active"


# ---- started again

@case("restart on-failure: started again as often as the limit says, after pauses that double, in the same session with its output and offsets")
def _():
    with Agents(more={"counter": ['restart = "on-failure"', "restart_limit = 3", 'restart_backoff = "200ms"']}) as s:
        made = s.agent("counter")
        tomb = s.wait_ended(made)
        assert (tomb["reason"], tomb["restarts"], tomb["exit_code"]) == ("failed", 3, 3), tomb
        starts = [float(line) for line in s.read("starts").split()]
        assert len(starts) == 4, starts
        pauses = [after - before for before, after in zip(starts, starts[1:])]
        assert all(pause >= least for pause, least in zip(pauses, (0.2, 0.4, 0.8))), pauses
        assert s.output(made)[0] == "start 0\nstart 1\nstart 2\nstart 3\n", s.output(made)
        assert s.output(made, stream="stdout", since=24) == ("start 3\n", 32), s.output(made, stream="stdout", since=24)
        assert s.stats()["counters"]["agent_restarts"] == 3
        told = re.findall(rf"session {made}: agent counter exited with status 3; starting it again in (\S+) s \((\d) of 3\)", s.log())
        assert told == [("0.200", "1"), ("0.400", "2"), ("0.800", "3")], told


@case("one that is done (status 0) is not started again, nor one whose session was asked to end")
def _():
    policy = ['restart = "on-failure"', 'restart_backoff = "100ms"']
    with Agents(more={"counter": policy, "heeds": policy}) as s:
        tomb = s.wait_ended(s.agent("counter", env={"STATUS": "0"}))
        assert (tomb["reason"], tomb["restarts"]) == ("closed", 0) and len(s.read("starts").split()) == 1, tomb
        tomb = s.end(s.agent("heeds"))
        assert (tomb["reason"], tomb["restarts"], tomb["exit_code"]) == ("requested", 0, 7), tomb


@case("between two programs a session shows restarting, and when; it is not busy, takes heartbeats and no input, and its end is immediate")
def _():
    with Agents(more={"once": ['restart = "on-failure"', 'restart_backoff = "1h"']}, grace=30) as s:
        made = s.agent("once")
        shown = wait_for(lambda: s.show(made)["state"] == "restarting" and s.show(made), "it is restarting")
        assert not shown["busy"] and shown["pid"] == 0 and shown["restarts"] == 1 and 3500 < shown["restart_in"] <= 3600, shown
        assert shown["last_exit"] == "exited with status 9" and shown["restart"] == "on-failure" and shown["restart_limit"] == 5, shown
        assert s.ok("POST", f"/v1/sessions/{made}/heartbeat")["state"] == "active" and s.show(made)["inactive_time"] < 10
        s.fails(409, "not_reading", "POST", f"/v1/sessions/{made}/input", {"text": "x"})
        s.fails(409, "not_ready", "POST", f"/v1/sessions/{made}/signal", {"signal": "INT"})
        begun = time.monotonic()
        tomb = s.end(made)
        assert time.monotonic() - begun < 10 and (tomb["reason"], tomb["exit_code"], tomb["restarts"]) == ("requested", 9, 1), tomb
        assert "first" in tomb["last_output"] and s.list() == []


@case("a session that is restarting becomes idle and old as any other, and goes at shutdown")
def _():
    with Agents(more={"once": ['restart = "on-failure"', 'restart_backoff = "1h"']}, agent_timeout=1, agent_cleanup_interval=1) as s:
        tomb = s.wait_ended(s.agent("once"))
        assert (tomb["reason"], tomb["exit_code"]) == ("idle", 9), tomb
        os.unlink(os.path.join(s.workspaces, "default", "was"))
        made = s.agent("once", idle_timeout=600)
        wait_for(lambda: s.show(made)["state"] == "restarting", "it is restarting")


@case("after its pause it reads and prints again, where the one before stopped; input numbers go on")
def _():
    with Agents(more={"once": ['restart = "on-failure"', 'restart_backoff = "100ms"']}) as s:
        made = s.agent("once")
        s.wait_output(made, "again\n")
        assert s.input(made, "hello\n", seq=1)["accepted"] == 6
        s.wait_output(made, "hello\n")
        assert s.output(made) == ("first\nagain\nhello\n", 18) and s.show(made)["state"] == "active" and s.show(made)["pid"] > 0


@case("a program that vanished meanwhile counts as a failure: tried again up to the limit, then the session has failed")
def _():
    with Agents(more={"once": ['restart = "on-failure"', "restart_limit = 2", 'restart_backoff = "300ms"']}) as s:
        made = s.agent("once")
        os.unlink(os.path.join(s.place, "once"))
        tomb = s.wait_ended(made)
        assert tomb["reason"] == "failed" and tomb["restarts"] == 2 and "once" in tomb["evidence"], tomb


# ---- many, and mistakes

@case("fifty agents side by side: each gets its own message and nobody else's; then all go")
def _():
    with Agents(max_sessions=100) as s:
        made = [later.result() for later in [Later(s.agent, "cursor-agent", workspace=f"w{i % 7}") for i in range(50)]]
        assert len(set(made)) == 50
        for i, one in enumerate(made):
            s.ok("POST", f"/api/message?session_id={one}", {"message": f"message {i}."})
        for i, one in enumerate(made):
            s.wait_output(one, f"got message {i}.\n")
            assert s.output(one)[0].count("got") == 1
        assert len(s.list()) == 50
        for later in [Later(s.end, one) for one in made]:
            tomb = later.result()
            assert steps(tomb) in (["closed"], ["closed", "interrupted"]), tomb
        assert s.list() == []


@case("curfew create --kind agent, input, output, show and end do it on the command line; curfew run and exec say what they are not for")
def _():
    with Agents() as s:
        def cli(*words, status=0):
            done = subprocess.run([curfew(), "--socket", s.sock, *words], capture_output=True, text=True, timeout=60, env=clean_env(), check=False)
            assert done.returncode == status, (words, done)
            return done.stdout + done.stderr
        made = cli("create", "--kind", "agent", "--agent", "echoer").strip()
        cli("input", made, "hello")
        wait_for(lambda: cli("output", made, "--stream", "stdout") == "ready\nhello\n", "it came back")
        assert cli("output", made, "--stream", "stderr") == "err\n"
        shown = cli("show", made)
        assert re.search(r"^agent: +echoer$", shown, re.M) and f"program\n  {s.place}/echoer\n" in shown, shown
        assert re.search(rf"^{made} +agent +default +active ", cli("ls"), re.M)
        assert "takes input, not commands" in cli("exec", made, "ls", status=125)
        assert "unknown option --kind" in cli("run", "--kind", "agent", "ls", status=64)
        assert "there is no agent" in cli("create", "--kind", "agent", "--agent", "nobody", status=66)
        cli("end", made)
        shown = cli("show", made, status=69)
        assert re.search(r"closed +0", shown.split("ladder")[1]), shown


@case("an unknown agent is 404 with the list of those there are; what does not fit the kind is 400 and starts nothing")
def _():
    with Agents() as s:
        error = s.fails(404, "not_found", "POST", "/v1/sessions", {"kind": "agent", "agent": "nobody"})
        assert error["field"] == "agent" and "echoer" in error["message"] and "cursor-agent" in error["message"], error
        s.fails(404, "not_found", "POST", "/api/session/start", {"agent": "nobody"})
        for body, field in (({"kind": "agent", "agent": "echoer", "terminal": {"cols": 80, "rows": 24}}, "terminal"), ({"agent": "echoer"}, "agent"),
                            ({"kind": "bash", "agent": "echoer"}, "agent"), ({"kind": "Agent"}, "kind"), ({"kind": "agent", "agent": 7}, "agent"),
                            ({"kind": "agent", "agent": ""}, "agent"), ({"kind": "agent", "agent": "echoer", "env": {"1": "x"}}, "env"),
                            ({"kind": "agent", "agent": "echoer", "workspace": "../x"}, "workspace")):
            assert s.fails(400, "invalid", "POST", "/v1/sessions", body)["field"] == field, body
        s.fails(400, "unknown_field", "POST", "/api/session/start", {"command": "ls"})
        s.fails(400, "invalid", "POST", "/v1/sessions", {"kind": "agent", "agent": "echoer", "cwd": "missing"})
        assert s.list() == []


@case("an agent's table says arguments, environment, workspace and folder; a session's env comes before it, and that before what is inherited")
def _():
    extra = ('[agents.told]\ncommand = ["PLACE", "one, two", ""]\nworkspace = "told"\n[agents.told.env]\nA = "agent"\nB = "b = c"\nHOME = "/"\n'
             '[agents.listed]\ncommand = "PLACE a b"\nenv = ["A=x", "B=y"]\nworkspace = "told"\ncwd = "sub"')
    with Server() as plain:
        place = plain.folder + ".sh"
        with open(place, "w", encoding="utf-8") as script:
            script.write(f"#!/bin/sh\n{STAND_INS['environment']}\n")
        os.chmod(place, 0o755)
    try:
        with Agents(extra=extra.replace("PLACE", place)) as s:
            os.makedirs(os.path.join(s.workspaces, "told", "sub"))
            made = s.create(kind="agent", agent="told", env={"A": "session", "C": "c"})
            assert made["workspace_name"] == "told" and made["program"] == [place, "one, two", ""], made
            s.wait_output(made["session_id"], f"one, two||session|b = c|c|{s.workspaces}/told\n")
            s.wait_output(s.agent("listed"), f"a|b|x|y||{s.workspaces}/told/sub\n")
    finally:
        os.unlink(place)


@case("--check-config names every mistake in an agent's table with line, agent, key and what is allowed")
def _():
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write('[agents]\nagent = "nobody"\n[agents.a]\ncommand = []\nrestart = "always"\nrestart_limit = -1\n'
                   '[agents.b]\nfoo = 1\nrestart_backoff = "2h"\n[agents.b.env]\n1A = "x"\n[agents.c.d]\n')
        file.flush()
        done = serve("--check-config", "--config", file.name)
        assert done.returncode == 64, done
        for text in (":4: agents.a: command must be a list of texts", ':5: agents.a: restart must be "never" or "on-failure"',
                     ":6: agents.a: restart_limit must be a whole number from 0 to 1000000", ":8: agents.b: there is no key foo; there are command, env,",
                     ":9: agents.b: restart_backoff must be a duration from 0.01 to 3600 seconds", ":11: agents.b: env must be a table of texts",
                     ":7: agents.b: command is missing", ":12: an agent is written [agents.NAME]", "settings: agent: there is no agent nobody; there are a, b, cursor-agent"):
            assert text in done.stderr, (text, done.stderr)
        assert len(done.stderr.splitlines()) == 9, done.stderr


@case("S1.9: SIGTERM with agents alive and restarting: the sweeper stops, all are ended with the grace, exit status 0")
def _():
    with Agents(more={"once": ['restart = "on-failure"', 'restart_backoff = "1h"']}, grace=1) as s:
        made = [s.agent(name) for name in ("stubborn", "sleeper", "once")]
        wait_for(lambda: s.show(made[2])["state"] == "restarting" and s.read("trace") == "", "they are on their way")
        s.stop(0)
        log = s.log()
        assert log.index("automatic cleanup stopped") < log.index(f"session {made[0]} ended: shutdown, killed"), log
        for one in made:
            assert f"session {one} ended: shutdown" in log, log
        s.start()


if __name__ == "__main__":
    run()
