#!/usr/bin/env python3
"""A server that dies, by whatever means, and what its clients and sessions see of it.
budget: 200
"""
import contextlib
import http.client
import os
import re
import shutil
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import Later, Server, alive, program_of, wait_for  # noqa: E402  (it lies beside this file)
from streamclient import Cut, Stream  # noqa: E402
from tap import case, run  # noqa: E402
from terminals import PROMPT, Viewer  # noqa: E402

GONE = (OSError, http.client.HTTPException, Cut)


def kill(s, signo=signal.SIGKILL):
    """Returns once it is dead; another one may be there already."""
    pid = s.server_pid
    os.kill(pid, signo)
    wait_for(lambda: not alive(pid), "the server is dead")
    return pid


def kill_for(s, pause):
    """Kills two in a row, so that the keeper waits before it starts a third; the settings say how long."""
    kill(s)
    s.wait_log("the server serves again")
    kill(s)
    s.wait_log(rf"starting it again in {pause} ms")


def again(s, method, path, body=None):
    """Asked until there is an answer."""
    return wait_for(lambda: attempt(s, method, path, body), f"an answer to {method} {path}", 60)


def attempt(s, method, path, body=None):
    with contextlib.suppress(*GONE):
        return s.request(method, path, body)
    return None


@case("sessions, their variables, jobs, counts, clocks and limits are as before, and so are settings that were changed at run time")
def _():
    with Server() as s:
        made = s.create(workspace="a", idle_timeout=500, max_age=5000)["session_id"]
        s.exec(made, "kept=precious; cd /tmp; sleep 600 & echo $! >pid")
        other = s.create(workspace="b")["session_id"]
        s.ok("PUT", "/bash/auto-cleanup/configure", {"session_timeout": 1234, "cleanup_interval": 77})
        s.ok("POST", "/bash/auto-cleanup/stop")
        before, plan = s.show(made), s.ok("GET", "/v1/cleanup/plan?within=2h")
        first = kill(s)
        after = again(s, "GET", f"/v1/sessions/{made}")[1]["data"]
        assert s.server_pid != first
        for field in ("session_id", "kind", "workspace_name", "state", "busy", "created_at", "last_used", "message_count", "containment", "idle_timeout", "max_age", "pid"):
            assert before[field] == after[field], (field, before, after)
        assert after["inactive_time"] >= before["inactive_time"] and after["age_left"] <= before["age_left"], (before, after)
        stats = s.stats()
        assert stats["configuration"]["session_timeout"] == 1234 and stats["configuration"]["cleanup_interval"] == 77, stats
        assert stats["auto_cleanup_task"]["running"] is False, stats
        now = s.ok("GET", "/v1/cleanup/plan?within=2h")
        assert [(p["session_id"], p["reason"]) for p in plan["plan"]] == [(p["session_id"], p["reason"]) for p in now["plan"]], (plan, now)
        assert abs(plan["plan"][0]["due_at"] - now["plan"][0]["due_at"]) < 0.01, (plan, now)
        got = s.exec(made, "echo $kept; pwd; jobs; kill -0 $(cat pid) && echo alive")
        assert got["stdout"].split() [:2] == ["precious", "/tmp"] and "sleep 600" in got["stdout"] and got["stdout"].endswith("alive\n"), got
        assert s.show(made)["message_count"] == before["message_count"] + 1
        assert {one["session_id"] for one in s.list()} == {made, other}


@case("a stream that was cut goes on at its offset, without a byte lost or twice; the command does not notice")
def _():
    with Server(server_restarts=100, server_restart_pause=0) as s:
        made = s.create()["session_id"]
        path = f"/v1/sessions/{made}"
        s.ok("POST", path + "/exec", {"command": "true"})
        assert s.request("POST", path + "/exec", {"command": "i=0; while ((i < 30000)); do echo line $i; ((i % 100)) || sleep 0.01; ((i++)); done; exit_() { return 9; }; exit_", "detach": True})[0] == 202
        whole, result, kills = b"", None, 0
        while result is None:
            try:
                with Stream.output(s, made, "ndjson", exec=2, since=len(whole)) as stream:
                    for record in stream:
                        if record.kind == "stdout":
                            assert record.offset == len(whole), (record, len(whole))
                            whole += record.data
                        elif record.kind == "result":
                            result = record.value
                        if kills < 8 and len(whole) > (kills + 1) * 30000:
                            kills += 1
                            kill(s)
            except GONE:
                pass
        assert kills == 8 and result["exit_code"] == 9, (kills, result)
        assert whole == b"".join(b"line %d\n" % i for i in range(30000)), len(whole)


@case("what exits while no server is there is collected: exit status, reason and last words")
def _():
    with Server(server_restart_pause="1s") as s:
        made = [s.create(workspace=w)["session_id"] for w in ("a", "b", "c")]
        for session, command in zip(made, ("sleep 0.5; echo bye; exit 3", "sleep 0.5; echo bye; kill -9 $$", "sleep 0.5; echo done; (exit 4)")):
            assert s.request("POST", f"/v1/sessions/{session}/exec", {"command": command, "detach": True})[0] == 202
        kill_for(s, 1000)
        for session, reason, field, value in ((made[0], "closed", "exit_code", 3), (made[1], "failed", "signal", 9)):
            wait_for(lambda session=session: (attempt(s, "GET", f"/v1/sessions/{session}") or [0])[0] == 410, "it is gone")
            tomb = s.tombstone(session)
            assert tomb["reason"] == reason and tomb[field] == value and tomb["last_output"] == "bye\n", tomb
        record = again(s, "GET", f"/v1/sessions/{made[2]}/execs/1?wait=20")[1]["data"]
        assert record["exit_code"] == 4 and record["output"][0]["text"] == "done\n", record
        assert s.exec(made[2], "echo on")["stdout"] == "on\n"


@case("who connects while no server is there waits, and is served: no connection is refused")
def _():
    with Server(server_restart_pause="1s") as s:
        made = s.create()["session_id"]
        kill_for(s, 1000)
        for over in ("tcp", "unix"):
            assert s.request("GET", f"/v1/sessions/{made}", over=over)[0] == 200
        assert s.log().count("the server serves again") == 2, s.log()


@case("a terminal: the program in front goes on, a viewer who comes back sees the screen and types on")
def _():
    with Server(server_restart_pause="300ms") as s:
        made = s.create(terminal={"cols": 80, "rows": 24})["session_id"]
        path = f"/v1/sessions/{made}"
        s.exec(made, f"PS1='{PROMPT}'; kept=precious")
        with Viewer(s, path + "/attach") as v:
            v.greet()
            v.type("echo before; for i in $(seq 400); do echo n$i; sleep 0.005; done; read -p 'say: ' word; echo got $word\r")
            v.wait("n20")
            kill_for(s, 300)
            with contextlib.suppress(Exception):
                v.take()
        again(s, "GET", path)
        with Viewer(s, path + "/attach") as v:
            v.greet()
            v.until(lambda: "say: " in v.drawing.decode() + v.seen.decode(), "the question")
            v.type("hello\r")
            v.wait("got hello")
        got = s.ok("GET", f"{path}/output?stream=terminal&limit=1000000")["output"]
        text = "".join(p.get("text", "") for p in got)
        assert [int(n) for n in re.findall(r"^n(\d+)\r$", text, re.M)] == list(range(1, 401)), text[-2000:]
        wait_for(lambda: s.exec(made, "echo $kept")["stdout"] == "precious\n", "it takes commands")


@case("what is kept of sessions and commands that have ended is still there: tombstones, output by offset, exit status")
def _():
    with Server() as s:
        made, live = s.create()["session_id"], s.create()["session_id"]
        s.exec(made, "echo out; echo err >&2; (exit 5)")
        s.exec(live, "echo first; (exit 6)")
        s.end(made)
        tomb = s.tombstone(made)
        kill(s)
        again(s, "GET", "/v1/sessions")
        assert s.tombstone(made) == tomb
        record = s.ok("GET", f"/v1/sessions/{made}/execs/1")
        assert record["exit_code"] == 5 and [p["text"] for p in record["output"]] == ["out\n", "err\n"], record
        record = s.ok("GET", f"/v1/sessions/{live}/execs/1")
        assert record["exit_code"] == 6 and record["output"][0]["text"] == "first\n", record
        assert s.exec(live, "echo second")["exec"] == 2


@case("a command that is over its time while no server is there is ended by the next; what an earlier one was cancelling, too")
def _():
    with Server(server_restart_pause="1s", exec_kill_grace="500ms") as s:
        made, other = s.create(workspace="a")["session_id"], s.create(workspace="b")["session_id"]
        s.exec(made, "kept=precious")
        assert s.request("POST", f"/v1/sessions/{made}/exec", {"command": "sleep 300", "timeout": 0.6, "detach": True})[0] == 202
        assert s.request("POST", f"/v1/sessions/{other}/exec", {"command": "trap '' INT; sleep 300; sleep 301", "detach": True})[0] == 202
        cancel = Later(attempt, s, "DELETE", f"/v1/sessions/{other}/execs/1")
        wait_for(lambda: s.ok("GET", f"/v1/sessions/{other}/execs/1")["cancelled"] or s.show(other)["busy"], "it is being cancelled")
        kill_for(s, 1000)
        record = again(s, "GET", f"/v1/sessions/{made}/execs/2?wait=20")[1]["data"]
        assert record["state"] == "ended" and record["timed_out"] and record["duration_ms"] >= 600, record
        assert s.exec(made, "echo $kept")["stdout"] == "precious\n"
        cancel.result()
        again(s, "DELETE", f"/v1/sessions/{other}/execs/1")
        assert wait_for(lambda: s.ok("GET", f"/v1/sessions/{other}/execs/1")["state"] == "ended", "it has ended")


@case("an abort, and other ends that a program can come to, cost no more than a kill")
def _():
    with Server(server_restart_pause=0) as s:
        made = s.create()["session_id"]
        s.exec(made, "kept=precious")
        for signo in (signal.SIGABRT, signal.SIGXCPU):
            kill(s, signo)
            assert again(s, "GET", f"/v1/sessions/{made}")[0] == 200
            assert s.exec(made, "echo $kept")["stdout"] == "precious\n"


@case("a server that is stopped for longer than its lease, and every timeout, costs no session: another one takes its place")
def _():
    with Server(lease=2, server_restart_pause="100ms") as s:
        made = s.create()["session_id"]
        s.exec(made, "kept=precious")
        stopped = s.server_pid
        os.kill(stopped, signal.SIGSTOP)
        s.wait_log("the server hangs", 60)
        s.wait_log("the server serves again", 60)
        assert not alive(stopped) and s.exec(made, "echo $kept")["stdout"] == "precious\n"
        assert s.show(made)["state"] == "active"


@case("servers that cannot start: after server_restarts of them in a row every session ends, and the exit status is 70")
def _():
    with Server(server_restarts=3, server_restart_pause=0, grace="1s", status=70) as s:
        made = s.create()
        shutil.rmtree(s.workspaces)
        os.symlink("/nonexistent/folder", s.workspaces)
        os.kill(s.server_pid, signal.SIGKILL)
        assert s.wait_exit() == 70
        assert "started 3 servers in a row in vain" in s.log() and not alive(made["pid"]), s.log()


def stopped_shells(s):
    """The bashes that are there, which do not go on until they are told."""
    found = [pid for pid in s.processes() if program_of(pid) == "bash"]
    for pid in found:
        os.kill(pid, signal.SIGSTOP)
    return found


@case("a command that was taken while its shell was not ready yet is begun by the next server, once, with its text and its stdin")
def _():
    with Server(warm_pool=1) as s:
        wait_for(lambda: any(program_of(pid) == "bash" for pid in s.processes()), "a warm shell")
        stopped = stopped_shells(s)
        made = s.create()["session_id"]
        assert s.request("POST", f"/v1/sessions/{made}/exec", {"command": "cat; echo ran >>ran; (exit 7)", "stdin": "given\n", "detach": True})[0] == 202
        kill(s)
        again(s, "GET", "/v1/sessions")
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        record = wait_for(lambda: (r := s.ok("GET", f"/v1/sessions/{made}/execs/1"))["state"] == "ended" and r, "it has ended")
        assert record["exit_code"] == 7 and record["output"][0]["text"] == "given\n" and record["lost"] is None, record
        assert s.exec(made, "cat ran")["stdout"] == "ran\n"


@case("a command that waits for the clock's next tick behind a job that was just left goes on with the next server")
def _():
    with Server(server_restarts=1000, server_restart_pause=0) as s:
        made = s.create()["session_id"]
        for _ in range(12):
            s.exec(made, "sleep 600 & :")
            status, answer = s.request("POST", f"/v1/sessions/{made}/exec", {"command": "echo hi", "detach": True})
            assert status == 202, answer
            kill(s)
            again(s, "GET", "/v1/sessions")
            record = wait_for(lambda n=answer["data"]["exec"]: (r := s.ok("GET", f"/v1/sessions/{made}/execs/{n}"))["state"] == "ended" and r, "it has ended")
            assert record["exit_code"] == 0 and record["output"][0]["text"] == "hi\n", record


@case("a long stdin that is half written when the server dies arrives whole, and nothing of it twice")
def _():
    with Server() as s:
        made = s.create()["session_id"]
        whole = "".join(f"{i:09d}\n" for i in range(60000))
        assert s.request("POST", f"/v1/sessions/{made}/exec", {"command": "head -c 200000 >first; touch half; until [ -e go ]; do sleep 0.05; done; cat >rest", "input": True, "detach": True})[0] == 202
        assert s.ok("POST", f"/v1/sessions/{made}/input", {"text": whole, "seq": 1, "exec": 1, "eof": True})
        folder = os.path.join(s.workspaces, "default")
        wait_for(lambda: os.path.exists(os.path.join(folder, "half")), "half of it is read")
        kill(s)
        again(s, "GET", "/v1/sessions")
        with open(os.path.join(folder, "go"), "wb"):
            pass
        assert wait_for(lambda: s.ok("GET", f"/v1/sessions/{made}/execs/1")["state"] == "ended", "it has ended")
        got = b""
        for name in ("first", "rest"):
            with open(os.path.join(folder, name), "rb") as file:
                got += file.read()
        assert got == whole.encode(), (len(got), len(whole))


@case("text typed with a seq is not typed again after a kill")
def _():
    with Server() as s:
        made = s.create(terminal={"cols": 80, "rows": 24})["session_id"]
        path = f"/v1/sessions/{made}"
        s.exec(made, "true")
        assert s.ok("POST", path + "/input", {"text": "echo x >>typed\r", "seq": 5})["duplicate"] is False
        file = os.path.join(s.workspaces, "default", "typed")
        wait_for(lambda: os.path.exists(file), "it was typed")
        kill(s)
        assert again(s, "POST", path + "/input", {"text": "echo x >>typed\r", "seq": 5})[1]["data"]["duplicate"] is True
        assert wait_for(lambda: s.exec(made, "cat typed")["stdout"], "it takes commands") == "x\n"


@case("a session that is in its grace when the server dies has the rest of it")
def _():
    with Server(grace="30s") as s:
        made = s.create()["session_id"]
        s.exec(made, "(trap 'sleep 1.5; touch saved; exit' INT; touch waits; while :; do sleep 0.1; done) & until [ -e waits ]; do sleep 0.05; done")
        Later(attempt, s, "DELETE", f"/v1/sessions/{made}?grace=20")
        wait_for(lambda: (attempt(s, "GET", f"/v1/sessions/{made}") or [0, {}])[1].get("data", {}).get("state") == "ending", "it is ending")
        kill(s)
        wait_for(lambda: (attempt(s, "GET", f"/v1/sessions/{made}") or [0])[0] == 410, "it has ended", 40)
        tomb = s.tombstone(made)
        assert tomb["rung"] == "interrupted" and tomb["reason"] == "requested" and os.path.exists(os.path.join(s.workspaces, "default", "saved")), tomb


@case("a server that cannot start for a moment takes nothing with it: the sessions wait for one that can")
def _():
    with Server(server_restarts=1000, server_restart_pause="50ms") as s:
        made = s.create()["session_id"]
        s.exec(made, "kept=precious")
        token = os.path.join(s.state, "token")
        os.chmod(token, 0o644)                          # which a server refuses to use
        kill(s)
        s.wait_log("starting it again in 200 ms")
        os.chmod(token, 0o600)
        assert again(s, "GET", f"/v1/sessions/{made}")[0] == 200
        assert s.exec(made, "echo $kept")["stdout"] == "precious\n"


@case("a shell that is replaced while servers die: the session goes on in a fresh one, and the old one's jobs are ended")
def _():
    with Server(shell_restarts=1000, server_restarts=1000, server_restart_pause=0, grace="300ms") as s:
        made = s.create()["session_id"]
        for i in range(10):
            s.exec(made, "(trap '' HUP; sleep 600) & :")
            Later(attempt, s, "POST", f"/v1/sessions/{made}/exec", {"command": f"exit {i}"})
            time.sleep(0.002 * i)                       # not a measure: anywhere in the middle of it
            kill(s)
            assert again(s, "GET", f"/v1/sessions/{made}")[1]["data"]["state"] == "active"
            wait_for(lambda: again(s, "POST", f"/v1/sessions/{made}/exec", {"command": "echo on"})[1].get("data", {}).get("stdout") == "on\n", "it takes commands")
        s.end(made)
        wait_for(lambda: not any("sleep 600" in line for line in s.processes().values()), "nothing of it is left")


@case("nothing is left over by a hundred servers: no process, descriptor or folder more than one has")
def _():
    with Server(server_restarts=1000, server_restart_pause=0) as s:
        made = [s.create(workspace=f"w{i}")["session_id"] for i in range(3)]
        for session in made:
            s.exec(session, "echo hi")

        def held():
            return len(os.listdir(f"/proc/{s.pid}/fd")), len(os.listdir(os.path.join(s.runtime, "sessions")))

        def settled():
            """The pool is full again, and what was freed is gone."""
            wait_for(lambda: len(s.processes()) == settled.processes, f"{settled.processes} processes, not {s.processes()}")
        kill(s)
        again(s, "GET", "/v1/sessions")
        time.sleep(0.3)
        settled.processes = len(s.processes())
        before = held()
        for _ in range(100):
            kill(s)
            again(s, "GET", "/v1/sessions")
        settled()
        wait_for(lambda: held() == before, f"as many as before, {before}: {held()}")
        for session in made:
            assert s.exec(session, "echo hi")["stdout"] == "hi\n"


run()
