#!/usr/bin/env python3
"""A fresh shell in the place of one that went by itself: the setting shell_restarts.
budget: 90
"""
import os
import signal

import harness
import sessions
from sessions import Session, run_cases
from tap import case
from terminals import PROMPT, Terminal, visible

OFTEN = {"shell_restarts": 50}


@case("exit, exec, a kill and set -e: the reply has the exit status and says that the shell left, and the session goes on in a fresh one")
def _():
    for command, code in (("echo out; exit 4", 4), ("exec echo out", 0), ("echo out; kill -9 $$", 137), ("set -e; echo out; false", 1)):
        s = Session(**OFTEN)
        got = s.run(command)
        assert (got["stdout"], got["exit_code"], got["shell_left"], got["session_state"]) == ("out\n", code, True, "active"), got
        got = s.run("echo fresh")           # waits for the shell that is on its way
        assert (got["stdout"], got["shell_left"]) == ("fresh\n", False), got
        s.end()


@case("a fresh shell has the session's folder and environment, and nothing of what the old one had")
def _():
    s = Session(**OFTEN)
    id = s.server.create(workspace="given", env={"GIVEN": "it's here"})["session_id"]
    s.server.exec(id, "cd /; left=1; export LEFT=1; f() { :; }; exit 1")
    got = s.server.exec(id, "echo $GIVEN; echo [$left$LEFT]; basename $PWD; type f 2>&1 | grep -c 'not found'")
    assert got["stdout"] == "it's here\n[]\ngiven\n1\n", got
    s.server.end(id)
    s.end()


@case("what the old shell started goes with it")
def _():
    s = Session(**OFTEN)
    pid = int(s.run("sleep 1000 & echo $!; exit 0")["stdout"])
    mark = s.server.mark
    assert s.run("echo x")["stdout"] == "x\n" and pid > 0
    harness.wait_for(lambda: not [line for line in harness.processes(mark).values() if line.startswith("sleep 1000")], "the job is gone")
    s.end()


@case("records and output go on: numbers, offsets, and the tombstone counts all commands")
def _():
    s = Session(**OFTEN)
    s.run("echo one; exit 1")
    assert s.run("echo two")["exec"] == 2
    execs = s.get("execs")["execs"]
    assert [(e["exec"], e["exit_code"], e["shell_left"]) for e in execs] == [(1, 1, True), (2, 0, False)], execs
    assert "".join(p["text"] for p in s.get("output")["output"]) == "one\ntwo\n"
    assert s.server.end(s.id)["message_count"] == 2


@case("when the restarts are used up the session ends, with the reason")
def _():
    s = Session(shell_restarts=2)
    for _ in range(2):
        assert s.run("exit 1")["session_state"] == "active"
    assert s.run("exit 7")["session_state"] == "closed"
    tomb = s.server.tombstone(s.id)
    assert tomb["reason"] == "closed" and "status 7" in tomb["evidence"], tomb


@case("without the setting a shell that leaves ends its session: closed by exit, failed by a signal")
def _():
    for command, state in (("exit 3", "closed"), ("kill -9 $$", "failed")):
        s = Session()
        assert s.run(command)["session_state"] == state
        assert s.server.tombstone(s.id)["reason"] == state


@case("a shell that is killed between two commands is replaced as well")
def _():
    s = Session(**OFTEN)
    old = s.server.show(s.id)["pid"]
    s.run("(sleep 0.1; kill -9 $$) & true")
    harness.wait_for(lambda: s.server.show(s.id)["pid"] not in (0, old), "another shell")
    assert s.run("echo fresh")["stdout"] == "fresh\n"
    s.end()


@case("ending a session whose shell is on its way leaves nothing")
def _():
    for _ in range(10):
        s = Session(**OFTEN)
        assert s.run("sleep 1000 & exit 1")["session_state"] == "active"
        s.server.end(s.id)
    harness.wait_for(lambda: not [line for line in harness.processes(sessions.server(**OFTEN).mark).values() if "sleep 1000" in line], "no job is left")


@case("in a terminal, what was typed before is not typed again into the fresh shell, and who waited for room in the old one goes on")
def _():
    t = Terminal(max_input_bytes=4096, **OFTEN)
    with t.attach() as v, t.attach() as other:
        v.at_prompt()
        other.at_prompt()
        t.type("stty raw -echo; : >raw; sleep 1000\r", seq=1)
        t.wait_file("raw")
        t.wait_at_work()
        for _ in range(64):                         # more than there is room for: the rest is held, and then goes with the shell
            v.type("z" * 1024)
        mark, told = len(other.seen), len(v.texts)
        os.kill(t.made["pid"], signal.SIGKILL)
        assert v.told("error", told)["code"] == "not_ready"
        other.until(lambda: visible(other.seen[mark:]).endswith(PROMPT), "the fresh shell's prompt")
        assert t.type("exit\r", seq=1)["accepted"] == 0
        assert t.type("echo anew\r", seq=2)["accepted"] == 10
        other.wait("\ranew\r", mark)
        v.ask("echo from both", "from both")
    t.end()


@case("a stream and a detached command see the restart as any other end")
def _():
    s = Session(**OFTEN)
    records = list(s.stream("echo x; exit 2"))
    assert records[-1].kind == "result" and records[-1].value["shell_left"] and records[-1].value["session_state"] == "active", records[-1]
    number = s.detach("exit 5")
    assert s.wait_ended(number)["exit_code"] == 5
    s.end()


if __name__ == "__main__":
    run_cases()
