#!/usr/bin/env python3
"""Agents that go by themselves, are started again or cannot be; many of them; and mistakes.
budget: 180
"""
import os
import re
import subprocess
import tempfile
import time

from agentstand import STAND_INS, Agents, steps
from harness import Later, Server, clean_env, curfew, serve, wait_for
from tap import case, run


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

        def stdins():
            return sum(os.path.exists(os.path.join(folder, name, "i")) for name in os.listdir(folder))
        assert stdins() == 0, "those that failed have left their pipes"
        made = s.agent("sleeper")
        assert stdins() == 1
        s.end(made)
        wait_for(lambda: stdins() == 0, "its pipes are removed")
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


@case("what a failed program left is ended before the next one starts, whatever holds it: there are never two")
def _():
    policy = {"leaver": ['restart = "on-failure"', 'restart_backoff = "10ms"']}
    for containment in ("cgroup+pidns", "cgroup", "pidns", "subreaper"):
        try:
            s = Agents(more=policy, containment=containment, grace="300ms")
        except AssertionError as error:
            print(f"# {containment} is not to be had here: {str(error)[:100]}")
            continue
        with s:
            made = s.agent("leaver")
            s.wait_output(made, "first\nagain\n")
            left = [line for line in s.processes().values() if "sleep 1000" in line]
            assert left == [] and s.show(made)["restarts"] == 1, (containment, left)


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
