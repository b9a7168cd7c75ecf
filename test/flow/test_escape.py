#!/usr/bin/env python3
"""Nothing escapes: whatever a session started is gone when it is reported ended, for each containment.

CURFEW_TEST_SESSIONS is how many sessions of ten processes end side by side, 1000 when it is not set.
budget: 150
"""
import concurrent.futures
import contextlib
import http.client
import json
import os
import tempfile
import threading
import time

import harness
from tap import case, run, skip

CONTAINMENTS = ("cgroup+pidns", "cgroup", "pidns", "subreaper")
SESSIONS = int(os.environ.get("CURFEW_TEST_SESSIONS", "1000"))
PROCESSES = 10                          # in each of them
CLIENTS = 16
ENDED_WITHIN = 10                       # seconds; without grace it is milliseconds

# What issue after issue of other tools has left running.  Each marks itself by its name in a file "up".
DAEMON = r'''
import os, signal, sys, time
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGUSR1):
    signal.signal(number, signal.SIG_IGN)
open("up.daemon", "w").close()
while True:
    time.sleep(1)
'''
FORKER = r'''
import os, signal, sys, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
open("up.forker", "w").close()
while True:                             # a new session and a new parent each time: no tree leads to it
    if os.fork():
        time.sleep(0.002)
        os._exit(0)
    os.setsid()
'''
HOLDER = r'''
import os, signal, time
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
    signal.signal(number, signal.SIG_IGN)
open("up.holder", "w").close()
while True:                             # it holds the session's pipes, and writes into them
    try:
        os.write(1, b"x" * 4096)
        os.write(2, b"y" * 4096)
    except OSError:
        pass
    time.sleep(0.01)
'''
START = {
    "background": "sleep 1000 &",
    "nohup": "nohup sleep 1000 >/dev/null 2>&1 &",
    "disowned": "(sleep 1000 &) ; sleep 1000 & disown",
    "setsid": "setsid sleep 1000 &",
    "setsid -f": "setsid -f sleep 1000",
    "daemon": "python3 daemon.py",
    "stopped": "bash -c 'kill -STOP $$; sleep 1000' & sleep 1000 & kill -STOP $!",
    "spinner": "bash -c 'trap \"\" INT TERM HUP; : >up.spinner; while :; do :; done' &",
    "holder": "python3 holder.py &",
}
WAITS = ("daemon", "spinner", "holder")

offered = {}


def need(containment):
    """Skips when the machine cannot do it; the keeper itself says why."""
    if containment not in offered:
        with tempfile.TemporaryDirectory(prefix="cf.") as folder:      # it refuses to serve there, if it gets so far
            done = harness.serve("--host=192.0.2.1", "--token-required", containment=containment, state_dir=folder + "/state", runtime_dir=folder + "/run")
        held = f"sessions are held by {containment}" in done.stderr
        offered[containment] = "" if held else done.stderr.strip().splitlines()[-1]
    if offered[containment]:
        skip(f"{containment} cannot be had: {offered[containment]}")


def serve(containment, **settings):
    return harness.Server(containment=containment, max_sessions_per_workspace=2000, max_sessions=2000, **settings)


def put_scripts(server, workspace):
    folder = os.path.join(server.workspaces, workspace)
    for name, text in (("daemon", DAEMON), ("forker", FORKER), ("holder", HOLDER)):
        with open(os.path.join(folder, name + ".py"), "w", encoding="utf-8") as script:
            script.write(text)
    return folder


def start_all(server, session_id, folder, forker):
    """Starts one of each, and returns how many processes there are when all of them have begun."""
    for name, command in START.items():
        got = server.exec(session_id, command)
        assert got["exit_code"] == 0 and got["session_state"] == "active", (name, got)
    waits = list(WAITS)
    if forker:
        server.exec(session_id, "python3 forker.py &")
        waits.append("forker")
    for name in waits:
        harness.wait_for(lambda name=name: os.path.exists(os.path.join(folder, "up." + name)), f"{name} has begun")
    harness.wait_for(lambda: len(mine(server)) >= 10, f"all have begun: {mine(server)}")
    return len(mine(server))


def mine(server):
    """Live processes of the server's sessions: all that carry its mark or sit in its cgroups, without its own three."""
    return {pid: line for pid, line in server.processes().items()
            if harness.program_of(pid) not in ("curfew-keeper", "curfew-server", "") and not line.startswith("curfew")}


def assert_nobody(server, what):
    """At once: when the answer is there they are gone, not soon."""
    left = mine(server)
    assert not left, f"{what}: {len(left)} alive: {left}"


def escape(containment, grace, forker):
    need(containment)
    with serve(containment, warm_pool=0) as server:
        other = server.create(workspace="other")["session_id"]
        server.exec(other, "sleep 999 & touch here")
        neighbours = set(mine(server))
        session = server.create(workspace="e")
        assert session["containment"] == containment, session
        folder = put_scripts(server, "e")
        count = start_all(server, session["session_id"], folder, forker)
        since = time.monotonic()
        tomb = server.end(session["session_id"], grace)
        took = time.monotonic() - since
        left = {pid: line for pid, line in mine(server).items() if pid not in neighbours}
        assert not left, f"of {count} processes {len(left)} are alive: {left}"
        assert tomb["containment"] == containment and tomb["reason"] == "requested", tomb
        assert tomb["rung"] == "killed" and tomb["killed"] >= 3, tomb
        assert took < grace + ENDED_WITHIN, took
        if grace:
            assert took >= grace * 0.98, f"those that ignore SIGINT had {took:.3f} s instead of {grace} s"
        # The neighbour has felt nothing of it.
        assert server.exec(other, "jobs -r | wc -l; ls here")["stdout"] == "1\nhere\n"
        server.end(other)
        assert_nobody(server, "after both have ended")


for containment_ in CONTAINMENTS:
    for grace_ in (0, 1):
        def one(containment=containment_, grace=grace_):
            escape(containment, grace, forker=containment != "subreaper")
        what_ = "a forker, " if containment_ != "subreaper" else ""
        case(f"{containment_}, grace {grace_}: jobs, nohup, setsid, daemons, {what_}stopped ones, a busy loop and a holder of the "
             "pipes are gone when the session is reported ended")(one)


@case("each containment: a session whose processes heed the interrupt ends within its grace, and nobody is killed")
def _():
    for containment in CONTAINMENTS:
        with contextlib.suppress(Exception):
            need(containment)
        if offered[containment]:
            continue
        with serve(containment, warm_pool=0) as server:
            session_id = server.create(workspace="e")["session_id"]
            server.exec(session_id, "python3 -c 'import time\ntry:\n    open(\"up.heeds\", \"w\").close(); time.sleep(1000)\n"
                                    "except KeyboardInterrupt:\n    open(\"heeded\", \"w\").close()' >/dev/null 2>&1 &")
            # A background job of bash ignores SIGINT: so one that does not.
            server.exec(session_id, "python3 -c 'import signal, time; signal.signal(signal.SIGINT, lambda *_: (open(\"heeded\", \"w\").close(), exit(0))); "
                                    "open(\"up.heeds2\", \"w\").close(); time.sleep(1000)' >/dev/null 2>&1 &")
            harness.wait_for(lambda: os.path.exists(os.path.join(server.workspaces, "e", "up.heeds2")), "it has begun")
            server.exec(session_id, "kill %1; wait %1 2>/dev/null; true")
            since = time.monotonic()
            tomb = server.end(session_id, 30)
            assert time.monotonic() - since < 20, f"{containment}: it waited for the whole grace"
            assert os.path.exists(os.path.join(server.workspaces, "e", "heeded")), containment
            assert tomb["rung"] in ("closed", "interrupted"), (containment, tomb)
            assert_nobody(server, containment)


@case("each containment: exit of the shell takes along what it left in the background")
def _():
    for containment in CONTAINMENTS:
        with contextlib.suppress(Exception):
            need(containment)
        if offered[containment]:
            continue
        with serve(containment, warm_pool=0, grace=0) as server:
            session_id = server.create(workspace="e")["session_id"]
            folder = put_scripts(server, "e")
            start_all(server, session_id, folder, forker=containment != "subreaper")
            got = server.exec(session_id, "exit 3")
            assert got["exit_code"] == 3, got
            tomb = server.tombstone(session_id)
            assert tomb["reason"] == "closed" and tomb["exit_code"] == 3, tomb
            assert_nobody(server, containment)


@case("each containment: no process that a session sees shows the environment that curfew was started with, but for what env_pass names")
def _():
    secret, wanted = "SECRET_OF_CURFEW", "PASSED_BY_CURFEW"
    for containment in CONTAINMENTS:
        with contextlib.suppress(Exception):
            need(containment)
        if offered[containment]:
            continue
        with serve(containment, env={secret: "hidden", wanted: "shown"}, env_pass=harness.ENV_PASS + f",{wanted},{harness.MARK}") as server:
            session_id = server.create(workspace="e", terminal={"cols": 80, "rows": 24})["session_id"]
            for one in (session_id, server.create(workspace="e")["session_id"]):
                got = server.exec(one, f"grep -lz ^{secret}= /proc/[0-9]*/environ 2>/dev/null; echo ${{{secret}-none}} ${wanted}")
                assert got["stdout"] == "none shown\n", (containment, got)


@case("each containment: SIGTERM to curfew ends every session, warm shells included, and leaves nobody")
def _():
    for containment in CONTAINMENTS:
        with contextlib.suppress(Exception):
            need(containment)
        if offered[containment]:
            continue
        with serve(containment, warm_pool=2, grace=0) as server:
            for number in range(3):
                session_id = server.create(workspace=f"e{number}")["session_id"]
                server.exec(session_id, "sleep 1000 & setsid -f sleep 1000; trap '' TERM INT HUP; setsid sleep 1000 &")
            folder = put_scripts(server, "e0")
            start_all(server, server.create(workspace="e0")["session_id"], folder, forker=containment != "subreaper")
            server.stop()               # asserts the exit status, and that nobody is left


# ---- many

class Clients:
    """Keep-alive connections, each in a thread of its own."""

    def __init__(self, server):
        self.server = server
        self.pool = concurrent.futures.ThreadPoolExecutor(CLIENTS)
        self.connections = {}

    def ask(self, method, path, body=None):
        me = threading.get_ident()
        if me not in self.connections:
            self.connections[me] = self.server.connection(timeout=120)
        connection = self.connections[me]
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None,
                               {"Content-Type": "application/json"} if body is not None else {})
            answer = connection.getresponse()
            data = json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            connection.close()
            raise
        assert answer.status < 300, (method, path, answer.status, data)
        return data["data"]

    def map(self, function, items):
        return list(self.pool.map(function, items))

    def close(self):
        self.pool.shutdown()
        for connection in self.connections.values():
            connection.close()


def begin_many(clients, count):
    """`count` sessions of ten processes each: the shell and nine more, every second of them a setsid one."""
    command = "for i in 1 2 3 4; do sleep 2000 & setsid sleep 2000 & done >/dev/null 2>&1; trap '' INT TERM HUP; sleep 2000 &"

    def begin(number):
        session_id = clients.ask("POST", "/v1/sessions", {"workspace": f"m{number % 10}"})["session_id"]
        got = clients.ask("POST", f"/v1/sessions/{session_id}/exec", {"command": command})
        assert got["exit_code"] == 0, got
        return session_id
    return clients.map(begin, range(count))


@case(f"{SESSIONS} sessions of ten processes each end side by side, and not one process is left")
def _():
    with harness.Server(max_sessions=SESSIONS + 10, max_sessions_per_workspace=SESSIONS, warm_pool=0, log_level="warning",
                        auto_cleanup_enabled=False) as server:
        clients = Clients(server)
        try:
            ids = begin_many(clients, SESSIONS)
            assert len(set(ids)) == SESSIONS
            assert len(server.list()) == SESSIONS
            procs = len(mine(server))
            assert procs >= SESSIONS * PROCESSES, procs
            since = time.monotonic()
            server.ok("PUT", "/bash/auto-cleanup/configure", {"session_timeout": 1})
            harness.wait_for(lambda: all(s["inactive_time"] > 1 for s in server.list()), "all are idle for over a second", 60)
            since = time.monotonic()
            cleaned = server.ok("POST", "/bash/cleanup?grace=0")
            assert cleaned["cleaned_sessions"] == SESSIONS, cleaned["cleaned_sessions"]
            harness.wait_for(lambda: not server.list(), "all have ended", 60)
            took = time.monotonic() - since
            assert_nobody(server, f"{SESSIONS} sessions")
            print(f"# {procs} processes of {SESSIONS} sessions ended in {took:.2f} s")
            assert took < 60, took
        finally:
            clients.close()


# ---- the keeper itself is killed

def settle(server, all_gone):
    """What is alive once keeper and server are gone; all_gone: the rest has to go with them."""
    harness.wait_for(lambda: not [p for p in server.processes() if harness.program_of(p) in ("curfew-keeper", "curfew-server")],
                     "keeper and server are gone")
    if all_gone:
        harness.wait_for(lambda: not mine(server), "nobody outlives the keeper", 10)
    return mine(server)


for containment_ in CONTAINMENTS:
    @case(f"{containment_}: the keeper is killed by SIGKILL; nobody is left, or the next start finds and kills the rest")
    def killed(containment=containment_):
        need(containment)
        with serve(containment, warm_pool=1, status=None) as server:
            session_id = server.create(workspace="e")["session_id"]
            folder = put_scripts(server, "e")
            start_all(server, session_id, folder, forker=containment != "subreaper")
            server.kill()
            left = settle(server, all_gone=containment != "cgroup")
            print(f"# {containment}: {len(left)} processes outlive a killed keeper: {sorted(set(left.values()))}")
            server.start()
            # Its own warm shell is a bash, and nothing but that.
            left = {pid: line for pid, line in mine(server).items() if pid in left or "sleep" in line or ".py" in line}
            assert not left, f"after the next start: {left}"
            assert server.fails(410, "gone", "GET", f"/v1/sessions/{session_id}")["session"]["reason"] == "lost"
            assert server.exec(server.create(workspace="e")["session_id"], "echo anew")["stdout"] == "anew\n"


if __name__ == "__main__":
    run()
