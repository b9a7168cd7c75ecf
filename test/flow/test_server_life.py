"""The server's own life: shells that wait for sessions, shutdown, and what happens when it or the keeper is killed."""
import http.client
import os
import re
import signal
import socket

from harness import Later, Server, alive, processes, program_of, serve, wait_for
from tap import case, run, skip

# A process that SIGINT does not end.
STUBBORN = "trap '' INT; echo here >started; while :; do sleep 600; done"
# Two that outlive their shell unless they are looked for.
DAEMONS = "setsid nohup sleep 600 >/dev/null 2>&1 & (trap '' INT TERM HUP; sleep 600) & disown -a"


def hold(**settings):
    """A server under a containment, or a skipped test where the machine does not offer it."""
    done = serve("--check-config", containment=settings["containment"])
    assert done.returncode == 0, done
    try:
        return Server(**settings)
    except AssertionError as error:
        if "sessions are held by" not in str(error) and re.search(r"does not work here|cgroup|namespace", str(error)):
            skip(f"no containment {settings['containment']} on this machine")
        raise


# ---- the warm pool

@case("with a warm pool shells wait for sessions, and every session gets one of its own in its own workspace")
def _():
    with Server(warm_pool=2, max_sessions_per_workspace=9) as s:
        def shells():
            return {pid for pid in s.processes() if program_of(pid) == "bash"}
        wait_for(lambda: len(shells()) == 2, "two shells wait")
        assert s.list() == [] and s.stats()["statistics"]["total_sessions"] == 0
        made = [s.create(workspace=f"w{i}", env={"N": str(i)}) for i in range(4)]
        assert len({one["pid"] for one in made}) == 4
        for i, one in enumerate(made):
            done = s.exec(one["session_id"], 'echo "$PWD $N ${OLDPWD-none} $#"')
            assert done["stdout"] == f"{s.workspaces}/w{i} {i} none 0\n", done
        wait_for(lambda: len(shells()) == 6, "two more wait")


@case("without a warm pool no shell waits, and sessions work the same")
def _():
    with Server(warm_pool=0) as s:
        assert not [pid for pid in s.processes() if program_of(pid) == "bash"]
        made = s.create(workspace="w", env={"N": "1"})["session_id"]
        done = s.exec(made, 'echo "$PWD $N ${OLDPWD-none} $#"')
        assert done["stdout"] == f"{s.workspaces}/w 1 none 0\n", done


@case("a shell that dies in the warm pool is replaced, and no session gets it")
def _():
    with Server(warm_pool=1) as s:
        def shells():
            return {pid for pid in s.processes() if program_of(pid) == "bash"}
        [first] = wait_for(shells, "a shell waits")
        os.kill(first, signal.SIGKILL)
        status, answer = s.request("POST", "/v1/sessions", {})
        if status != 201:                               # it was given out before its death was known
            assert (status, answer["error"]["code"]) == (500, "shell_died"), answer
        # Or even given out before it was dead: then that session ends at once.
        lives = status == 201 and answer["data"]["pid"] != first
        wait_for(lambda: len(s.list()) == lives, "what could not be started is gone")
        made = s.create()
        assert made["pid"] != first and s.exec(made["session_id"], "echo ok")["stdout"] == "ok\n"


# ---- the server's end

@case("S0.17: SIGTERM ends every session, with whatever it started, before the server exits with 0")
def _():
    with Server(grace=1) as s:
        made = [s.create(workspace=f"w{i}") for i in range(3)]
        s.exec(made[0]["session_id"], DAEMONS)
        running = s.exec_later(made[1]["session_id"], "echo here >started; sleep 600")
        s.wait_started(made[1])
        s.stop()
        status, answer = running.result()               # cut short, or with what the command made of SIGINT
        assert status == 410 and answer["error"]["session"]["reason"] == "shutdown" or \
            answer["data"]["exit_code"] == 130 and answer["data"]["session_state"] == "ending", answer
        assert not any(alive(one["pid"]) for one in made)
        log = s.log()
        assert "3 sessions to end" in log and "all sessions have ended" in log
        assert len(re.findall(r"session \S+ ended: shutdown", log)) == 3, log


@case("SIGINT does the same as SIGTERM")
def _():
    with Server(grace=1) as s:
        made = s.create()
        s.stop(signo=signal.SIGINT)
        assert not alive(made["pid"]) and re.search(r"session \S+ ended: shutdown", s.log())


@case("while the server shuts down a new session is refused, and a second SIGTERM kills what is left at once")
def _():
    with Server(grace=3600) as s:
        made = s.create()
        running = s.exec_later(made["session_id"], f'bash -c "{STUBBORN}"')
        s.wait_started(made)
        late = s.connection()
        late.connect()                                  # new connections are not taken any more
        s.process.send_signal(signal.SIGTERM)
        s.wait_log("shutting down, 1 sessions to end")
        late.request("POST", "/v1/sessions", "{}", {"Content-Type": "application/json"})
        assert late.getresponse().status == 503
        late.close()
        assert alive(made["pid"]) or s.process.poll() is None
        s.stop()
        assert running.result()[0] == 410


@case("with cleanup_on_shutdown = false sessions get no grace at shutdown, but end all the same")
def _():
    with Server(grace=3600, cleanup_on_shutdown=False) as s:
        made = s.create()
        s.exec_later(made["session_id"], f'bash -c "{STUBBORN}"')
        s.wait_started(made)
        s.stop()
        assert not alive(made["pid"])


@case("a shutdown right after the start, while shells are on their way, ends in order")
def _():
    for _ in range(3):
        with Server(warm_pool=8):
            pass
    with Server(warm_pool=0, max_sessions_per_workspace=99, grace=0) as s:
        asked = [Later(s.request, "POST", "/v1/sessions", {}) for _ in range(8)]
        wait_for(s.list, "one is listed")
        s.stop()
        for later in asked:                             # answered or cut off, but not left waiting
            try:
                assert later.result()[0] in (201, 503)
            except (OSError, http.client.HTTPException):
                pass


@case("from the beginning of a shutdown on who connects is refused, and not left waiting for a server that will not come")
def _():
    with Server(grace="5s") as s:
        s.exec(s.create()["session_id"], "(trap '' INT; exec sleep 600) & :")
        host, port = s.address.rsplit(":", 1)

        def refused():
            try:
                socket.create_connection((host, int(port)), timeout=10).close()
            except ConnectionRefusedError:
                return True
            return False
        assert not refused()
        os.kill(s.pid, signal.SIGTERM)
        wait_for(refused, "a connection is refused")
        assert any("sleep 600" in line for line in s.processes().values()), "only when all was over"
        s.stop()


@case("with server_restarts 0: when the server is killed, the keeper ends every session, says so, and exits with 70")
def _():
    with Server(grace=1, server_restarts=0, status=70) as s:
        made = [s.create(workspace=f"w{i}") for i in range(3)]
        s.exec(made[0]["session_id"], "setsid nohup sleep 600 >/dev/null 2>&1 &")
        os.kill(s.server_pid, signal.SIGKILL)
        assert s.wait_exit() == 70
        assert not any(alive(one["pid"]) for one in made)
        assert re.search(r"error keeper: the server .*; ending [3-9] sessions", s.log()), s.log()


@case("a second keeper on the same state folder is refused and says who is there; the first goes on")
def _():
    with Server() as s:
        made = s.create()["session_id"]
        done = serve(state_dir=s.state, runtime_dir=os.path.join(s.folder, "other"), port=0)
        assert done.returncode == 75, done
        assert "running already" in done.stderr and s.state in done.stderr and str(s.pid) in done.stderr, done.stderr
        assert s.exec(made, "echo still here")["stdout"] == "still here\n"


@case("when the keeper is killed too, what its sessions leave is killed at the next start at the latest")
def _():
    for containment in ("auto", "cgroup"):
        with hold(containment=containment, warm_pool=0) as s:
            made = s.create()["session_id"]
            s.exec(made, DAEMONS)
            wait_for(lambda: sum(program_of(pid) == "sleep" for pid in s.processes()) == 2, "both run")
            s.kill()
            s.start()
            # The first to look, so that nothing of the old can hide behind the new.
            sessions = [line for line in s.processes().values() if "curfew" not in line]
            assert sessions == [], sessions
            if containment == "cgroup":
                s.wait_log("killed [1-9][0-9]* processes that an earlier keeper had left")
            status, answer = s.request("GET", f"/v1/sessions/{made}")
            # What was not on disk yet when it was killed is not known at all.
            assert status == 404 or status == 410 and answer["error"]["session"]["reason"] == "lost", answer
            assert s.exec(s.create()["session_id"], "echo on")["stdout"] == "on\n"


@case("after a stop the same folders serve again: workspaces are there, sessions are not")
def _():
    with Server() as s:
        made = s.create(workspace="w")["session_id"]
        s.exec(made, "echo data >file")
        s.stop()
        s.start()
        assert s.list() == []
        assert s.fails(410, "gone", "GET", f"/v1/sessions/{made}")["session"]["reason"] == "shutdown"
        assert s.exec(s.create(workspace="w")["session_id"], "cat file")["stdout"] == "data\n"
    assert processes(s.mark) == {}


run()
