#!/usr/bin/env python3
"""A system call of the keeper that fails, one after the other, while a session is created or ended: it is there as a whole or not at all.

strace(1) attaches to the keeper and lets the Nth call of a kind fail.
budget: 150
"""
import contextlib
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "flow"))

from harness import Server, alive, wait_for  # noqa: E402  (it lies in a folder of its own)
from kills import may_trace  # noqa: E402
from tap import case, run, skip  # noqa: E402

# Calls of the keeper in a start or an end, and how each fails in life.
CALLS = {"clone3": "EAGAIN", "clone": "EAGAIN", "openat": "EMFILE", "mkdirat": "ENOSPC", "socketpair": "EMFILE", "pipe2": "EMFILE", "fcntl": "EMFILE", "epoll_ctl": "ENOMEM",
         "pidfd_open": "EMFILE", "pidfd_send_signal": "ENOMEM", "kill": "EPERM", "unlinkat": "EBUSY", "write": "ENOMEM", "sendmsg": "ENOBUFS", "dup3": "EMFILE",
         "mmap": "ENOMEM", "getdents64": "ENOMEM"}
DEEP = 4


@contextlib.contextmanager
def failing(pid, call, nth):
    """The Nth call of this kind fails, if there are so many; yields a function that tells whether there were."""
    log = f"/tmp/cf-strace.{os.getpid()}"
    process = subprocess.Popen(["strace", "-qq", "-o", log, "-p", str(pid), "-e", f"trace={call}", "-e", f"inject={call}:error={CALLS[call]}:when={nth}"],
                               stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def traced():
        with open(f"/proc/{pid}/status", encoding="utf-8") as status:
            return f"TracerPid:\t{process.pid}\n" in status.read() or process.poll() is not None
    wait_for(traced, "strace is attached")

    def hit():
        with open(log, encoding="utf-8") as file:
            return "(INJECTED)" in file.read()
    try:
        yield hit
    finally:
        process.terminate()
        process.wait(timeout=30)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(log)


def each(s, what):
    """Calls what(hit) for each call and depth; how many were hit."""
    hits = 0
    for call in CALLS:
        for nth in range(1, DEEP + 1):
            with failing(s.pid, call, nth) as hit:
                try:
                    what()
                except BaseException:
                    print(f"# call {call}, {nth}", flush=True)
                    raise
                if not hit():
                    break
                hits += 1
            assert s.process.poll() is None, (call, nth, s.log()[-2000:])
    return hits


def settled(s):
    return s.ok("GET", "/v1/sessions")["sessions"]


@case("create: it works, or is refused with a reason, and then no process, session or folder of it is left")
def _():
    if not may_trace():
        skip("strace cannot trace here")
    with Server(warm_pool=0, max_sessions_per_workspace=1000, grace="300ms", lease=5) as s:
        keep = s.create(workspace="keep")["session_id"]
        s.exec(keep, "kept=precious")
        refused = []

        def create():
            status, answer = s.request("POST", "/v1/sessions", {"workspace": "made"})
            if status == 201:
                made = answer["data"]["session_id"]
                status, got = s.request("POST", f"/v1/sessions/{made}/exec", {"command": "echo hi"})
                assert status == 200 and got["data"]["stdout"] == "hi\n", got
                s.request("DELETE", f"/v1/sessions/{made}?grace=0")
                wait_for(lambda: s.request("GET", f"/v1/sessions/{made}")[0] == 410, "it has ended")
            else:
                assert status >= 500 and answer["error"]["message"], answer
                refused.append(answer["error"]["message"])
            wait_for(lambda: [one["session_id"] for one in settled(s)] == [keep], "only the other one is there")
        hits = each(s, create)
        assert hits >= 10 and refused, (hits, refused)
        print(f"# {hits} calls failed, {len(refused)} creates were refused: {sorted(set(refused))}")
        assert s.exec(keep, "echo $kept")["stdout"] == "precious\n"
        wait_for(lambda: len(s.processes()) <= 5, f"nothing else is left: {s.processes()}")
        assert s.exec(s.create(workspace="after")["session_id"], "echo hi")["stdout"] == "hi\n"


@case("end: whatever fails on the way, nothing of the session is alive when it is reported ended")
def _():
    if not may_trace():
        skip("strace cannot trace here")
    with Server(warm_pool=0, max_sessions_per_workspace=1000, grace="300ms", lease=5) as s:
        keep = s.create(workspace="keep")["session_id"]
        s.exec(keep, "kept=precious")

        def end():
            status, answer = s.request("POST", "/v1/sessions", {"workspace": "made"})
            if status != 201:           # it was met already
                assert status >= 500, answer
                return
            made = answer["data"]
            session = made["session_id"]
            s.exec(session, "trap '' INT HUP TERM; setsid sleep 600 & (trap '' INT; sleep 601) & :")
            before = set(s.processes())
            s.request("DELETE", f"/v1/sessions/{session}?grace=0.1")
            wait_for(lambda: s.request("GET", f"/v1/sessions/{session}")[0] == 410, "it has ended", 60)
            assert not alive(made["pid"]), made
            assert not any("sleep 60" in line for line in s.processes().values()), (before, s.processes())
        hits = each(s, end)
        assert hits >= 10, hits
        print(f"# {hits} calls failed")
        assert s.exec(keep, "echo $kept")["stdout"] == "precious\n"


run()
