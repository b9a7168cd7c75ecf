#!/usr/bin/env python3
"""Agents whose server is killed: the next one goes on with them.
budget: 180
"""
import contextlib
import http.client
import os
import signal
import time

from agentstand import STAND_INS, Agents, steps
from harness import alive, wait_for
from tap import case, run

# Reads nothing until it is told to by a signal, or by the file "read".
STAND_INS["late"] = "trap : USR1\necho ready\nwhile [ ! -e read ]; do sleep 0.02; done\nexec cat"
STAND_INS["goes"] = 'echo start; read -r code; exit "$code"'
FAILS = ['restart = "on-failure"', "restart_limit = 3"]
LASTING = {"server_restarts": 100, "grace": 1}


def kill(s, gone=lambda: None):
    """kill -9 of the server; `gone` is called while it is dead.  Returns once the next one answers."""
    old = s.server_pid
    os.kill(old, signal.SIGKILL)
    gone()

    def next_one():
        with contextlib.suppress(OSError, http.client.HTTPException):
            return s.server_pid != old and s.request("GET", "/healthz", timeout=20)[0] == 200
        return False
    wait_for(next_one, "another server serves")


def kill_for_a_while(s, gone):
    """The second in a row is followed after a pause (server_restart_pause), in which no server is there."""
    kill(s)
    kill(s, gone)


@case("an agent lives on: its process, output by offset, messages with their numbers and count, limits; and its end is whole")
def _():
    with Agents(**LASTING) as s:
        made = s.agent("echoer", idle_timeout=700, env={"A": "1"})
        s.wait_output(made, "ready\n")
        assert not s.input(made, "one\n", seq=5)["duplicate"]
        s.wait_output(made, "one\n")
        before, printed = s.show(made), s.output(made, stream="stdout")
        for _ in range(3):
            kill(s)
        after = s.show(made)
        for name in ("pid", "agent", "program", "restarts", "message_count", "idle_timeout", "max_age", "created_at", "last_used", "state"):
            assert before[name] == after[name], (name, before, after)
        assert s.output(made, stream="stdout") == printed and s.output(made, stream="stderr")[0] == "err\n"
        assert s.input(made, "one\n", seq=5)["duplicate"], "it was taken by a server that is dead"
        s.input(made, "two\n", seq=6)
        s.wait_output(made, "two\n", stream="stdout", since=printed[1])
        assert s.output(made, stream="stdout")[0] == "ready\none\ntwo\n"
        tomb = s.end(made)
        assert tomb["reason"] == "requested" and tomb["message_count"] == 2 and tomb["agent"] == "echoer" and not alive(before["pid"]), tomb


@case("agents are those of the first server's configuration, whatever the file says by now")
def _():
    with Agents(more={"goes": [*FAILS, 'restart_backoff = "0.1s"']}, **LASTING) as s:
        made = s.agent("goes")
        s.wait_output(made, "start\n")
        with open(os.path.join(s.place, "curfew.conf"), "w", encoding="utf-8") as config:
            config.write("[agents.other]\ncommand = 7\n")
        kill(s)
        s.input(made, "3\n")
        s.wait_output(made, "start\nstart\n")
        assert s.show(made)["restarts"] == 1, s.show(made)
        s.wait_output(s.agent("echoer"), "ready\n")
        s.fails(404, "not_found", "POST", "/v1/sessions", {"kind": "agent", "agent": "other"})


@case("one that goes while no server is there is collected: what it left is started again as its table says, or the session ends with its status")
def _():
    with Agents(more={"goes": [*FAILS, 'restart_backoff = "0.1s"']}, server_restart_pause=1, **LASTING) as s:
        fails, done, killed = s.agent("goes"), s.agent("goes"), s.agent("sleeper")
        pid = s.show(killed)["pid"]
        wait_for(lambda: all(s.output(made)[0] == "start\n" for made in (fails, done)), "they have started")
        places = {made: f"/proc/{s.show(made)['pid']}/fd/0" for made in (fails, done)}

        def gone():
            # The keeper has their pipes, and so has everybody who may look at their descriptors.
            for made, code in ((fails, "3"), (done, "0")):
                with open(places[made], "w", encoding="utf-8") as pipe:
                    pipe.write(code + "\n")
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: not any(os.path.exists(place) for place in places.values()), "they have gone")
        kill_for_a_while(s, gone)
        wait_for(lambda: s.output(fails)[0] == "start\nstart\n", "the one that failed is started again")
        shown = s.show(fails)
        assert shown["restarts"] == 1 and shown["last_exit"] == "exited with status 3" and shown["state"] == "active", shown
        tomb = s.wait_ended(done)
        assert (tomb["reason"], tomb["exit_code"], tomb["last_output"]) == ("closed", 0, "start\n"), tomb
        tomb = s.wait_ended(killed)
        assert (tomb["reason"], tomb["signal"]) == ("failed", 9), tomb


@case("a pause before a restart goes on under the next server, and does not begin anew; an end in it is immediate")
def _():
    with Agents(more={"goes": [*FAILS, 'restart_backoff = "4s"']}, **LASTING) as s:
        waits, ends = s.agent("goes"), s.agent("goes")
        for made in (waits, ends):
            s.wait_output(made, "start\n")
            s.input(made, "3\n", seq=9)
            wait_for(lambda made=made: s.show(made)["state"] == "restarting", "it waits")
        began = time.monotonic() - (4 - s.show(waits)["restart_in"])
        time.sleep(1)                   # not a measure: the pause is to be seen to shrink
        kill(s)
        shown = s.show(waits)
        assert shown["state"] == "restarting" and 0 < shown["restart_in"] < 3.2 and shown["restarts"] == 1, shown
        s.fails(409, "not_reading", "POST", f"/v1/sessions/{waits}/input", {"text": "x"})
        tomb = s.end(ends)
        assert (tomb["reason"], tomb["restarts"], tomb["last_output"]) == ("requested", 1, "start\n"), tomb
        wait_for(lambda: s.output(waits)[0] == "start\nstart\n", "it is started again")
        assert time.monotonic() - began > 3.9 and s.show(waits)["state"] == "active"
        assert s.input(waits, "x", seq=9)["duplicate"], "numbers outlive a program and a server"


@case("what waits to be read is written by the next server, once and in order, and the end of input behind it")
def _():
    text = "".join(f"{i:07}\n" for i in range(50000))
    with Agents(**LASTING) as s:
        made = s.agent("late")
        s.wait_output(made, "ready\n")
        assert s.input(made, text, seq=1)["accepted"] == len(text)
        assert s.input(made, "last\n", seq=2, eof=True)["open"] is False
        kill(s)
        s.fails(409, "not_reading", "POST", f"/v1/sessions/{made}/input", {"text": "more"})
        os.close(os.open(os.path.join(s.workspaces, "default", "read"), os.O_CREAT, 0o644))
        kill(s)
        tomb = s.wait_ended(made)
        assert (tomb["reason"], tomb["exit_code"]) == ("closed", 0), tomb
        assert s.output(made, limit=1000000)[0] == "ready\n" + text + "last\n"


@case("a standard input that the agent closed stays closed, and an agent that nobody reads goes on printing")
def _():
    with Agents(**LASTING) as s:
        deaf, chatty = s.agent("deaf"), s.agent("chatty")
        s.wait_output(deaf, "closed\n")
        s.request("POST", f"/v1/sessions/{deaf}/input", {"text": "x"})
        kill(s)
        s.fails(409, "not_reading", "POST", f"/v1/sessions/{deaf}/input", {"text": "x"})
        have = s.output(chatty)[1]
        kill(s)
        wait_for(lambda: s.output(chatty)[1] > have + 10, "it prints on")


@case("S1.1: idle since before its server died, an agent ends when it would have; a limit that was set at run time holds")
def _():
    with Agents(agent_cleanup_interval=1, **LASTING) as s:
        made = s.agent("sleeper")
        s.wait_output(made, "ready\n")
        s.ok("PUT", "/v1/cleanup/configure", {"agent_timeout": 4})
        kill(s)
        assert s.show(made)["idle_timeout"] == 4
        kill(s)
        tomb = s.wait_ended(made)
        assert tomb["reason"] == "idle" and 4 <= tomb["inactive_time"] < 4 + 20, tomb
        configuration = s.ok("GET", "/v1/cleanup/stats")["configuration"]
        assert configuration.get("agent_timeout", 4) == 4, configuration


@case("S1.2: an end that was on its way when its server died climbs the whole ladder, and its tombstone tells all steps")
def _():
    with Agents(**LASTING) as s:
        made = s.agent("stubborn")
        wait_for(lambda: s.show(made)["pid"], "it runs")
        try:
            s.request("DELETE", f"/v1/sessions/{made}?grace=2", timeout=0.3)
        except OSError:
            pass                        # it takes longer than that, which is what is wanted
        kill(s)
        tomb = s.wait_ended(made)
        assert tomb["reason"] == "requested" and steps(tomb) == ["closed", "interrupted", "killed"], tomb
        assert s.read("trace").startswith("eof\n") or "int" in s.read("trace"), s.read("trace")


run()
