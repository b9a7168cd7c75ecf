"""kills.py: a server that is killed at a chosen system call, and what has to hold afterwards.

strace(1) attaches to curfew-server and has the kernel deliver SIGKILL at its Nth system call; then one operation is asked for over
HTTP, whose answer may or may not come.  A round is a seed: it chooses the operation, its details and N, so it can be repeated:

    python3 test/fault/kills.py --seed 17 --rounds 1 -v
    python3 test/fault/kills.py --rounds 5000
    python3 test/fault/kills.py --rounds 300 --only agent
"""
import argparse
import base64
import contextlib
import http.client
import os
import random
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "flow"))

import agentstand  # noqa: E402  (it lies in a folder of its own)
import harness  # noqa: E402

GONE = (OSError, http.client.HTTPException, EOFError)
# System calls that change something outside of the process, or wait; the others are passed on the way between two of these.
CALLS = ("read,write,writev,splice,sendto,sendmsg,recvmsg,openat,unlink,unlinkat,mkdir,mkdirat,mknodat,rename,renameat,ftruncate,fallocate,"
         "close,epoll_wait,epoll_ctl,poll,lseek,memfd_create,fcntl,ioctl")


def links(pid):
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found


def may_trace():
    """Whether strace is there and may look at other processes."""
    return shutil.which("strace") is not None and \
        subprocess.run(["strace", "-o", "/dev/null", "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0


class Killer:
    """Kills the server at its Nth system call from now on."""

    def __init__(self, pid, nth, calls=CALLS):
        self.pid = pid
        self.process = subprocess.Popen(["strace", "-qq", "-o", "/dev/null", "-p", str(pid), "-e", f"trace={calls}",
                                         "-e", f"inject={calls}:signal=KILL:when={nth}"], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        harness.wait_for(lambda: self.attached() or self.process.poll() is not None, "strace is attached")

    def attached(self):
        try:
            with open(f"/proc/{self.pid}/status", encoding="utf-8") as status:
                return f"TracerPid:\t{self.process.pid}\n" in status.read()
        except OSError:
            return True

    def finish(self):
        """Kills it now if it has not come so far. Whether it had."""
        came = self.process.poll() is not None or not os.path.exists(f"/proc/{self.pid}")
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.process.wait(timeout=30)
        self.process.stderr.close()
        return came


# Agents beside the stand-ins of the flow tests: one that prints as much as it is told to, and one that goes as it is told to.
agentstand.STAND_INS["printer"] = 'echo ready; while read -r n; do seq "$n"; seq 100 >&2; done'
agentstand.STAND_INS["fails"] = 'echo start; read -r code; echo "bye $code"; exit "$code"'
FAILS = ['restart = "on-failure"', "restart_limit = 1000", 'restart_backoff = "20ms"']


class World:
    def __init__(self, verbose=False, only="", **settings):
        self.verbose = verbose
        self.only = only
        self.server = agentstand.Agents(more={"fails": FAILS}, server_restarts=1000000, server_restart_pause=0, warm_pool=1, exec_kill_grace="300ms", grace="1s", **settings)
        self.keep = self.server.create(workspace="keep")["session_id"]
        self.server.exec(self.keep, "kept=precious; n=0")
        self.terminal = self.server.create(workspace="term", terminal={"cols": 80, "rows": 24})["session_id"]
        self.server.exec(self.terminal, "kept=precious")
        self.ends = {}                  # of what agents printed, where it was looked at last
        self.agents = {name: self.start_agent(name) for name in ("echoer", "printer")}
        self.seq = 0                    # of what the echoer was told last
        self.twice = 0                  # texts that came twice
        self.marks = 0
        self.kills = 0
        self.called = 0                 # of them at the system call that was chosen
        self.never = 0                  # commands that never began
        self.server.exec(self.keep, "true")
        self.baseline = None

    def __str__(self):
        return f"{self.kills} kills, {self.called} at their system call, {self.never} commands never began, {self.twice} texts came twice"

    # ---- asking, without knowing whether an answer comes

    def ask(self, method, path, body=None):
        """(status, answer), or None when the server went before it had answered."""
        try:
            return self.server.request(method, path, body, timeout=20)
        except GONE:
            return None

    def again(self, method, path, body=None):
        """Asked until there is an answer: what a client does that has lost its connection."""
        until = time.monotonic() + 60
        while True:
            try:
                return self.server.request(method, path, body, timeout=20)
            except GONE:
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)

    def ok(self, method, path, body=None):
        status, answer = self.again(method, path, body)
        assert status in (200, 201, 202), (method, path, status, answer)
        return answer["data"]

    def run(self, session, command):
        """A command whose answer is not cut off: nobody kills just now."""
        return self.ok("POST", f"/v1/sessions/{session}/exec", {"command": command})

    def file(self, workspace, name):
        try:
            with open(os.path.join(self.server.workspaces, workspace, name), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    # ---- operations: each asks for something, and gives a function that checks what became of it

    def op_exec(self, rng, session=None, workspace="keep", quick=None):
        self.marks += 1
        mark, session = self.marks, session or self.keep
        path = f"/v1/sessions/{session}"
        before = self.last_exec(path)
        code = mark % 5
        nap = "" if rng.random() < 0.5 else f"sleep 0.0{rng.randrange(1, 9)}; "
        more = {} if rng.random() < 0.5 else {"stdin": f"in{mark}\n"}
        command = f"echo begun{mark} >>log; {nap}cat; echo out{mark}; {nap}echo err{mark} >&2; n=$((n+1)); echo ended{mark} >>log; (exit {code})"
        if rng.random() < 0.2:
            command += " # " + "x" * 6000           # goes by a file
        answer = self.ask("POST", path + "/exec", {"command": command, **more})

        def check():
            record = self.await_exec(path, before + 1)
            log = self.file(workspace, "log")
            began = log.count(f"begun{mark}\n")
            if record is None or record["lost"]:
                assert answer is None or answer[0] != 200, answer
                assert began == 0, (mark, record, log[-200:])
                self.never += 1
                return
            assert began == 1 and log.count(f"ended{mark}\n") == 1, (mark, record, log[-200:])
            out = (more.get("stdin", "") if more else "") + f"out{mark}\n"
            assert record["exit_code"] == code and not record["timed_out"] and not record["cancelled"], record
            assert self.raw(path, before + 1, "stdout") == out.encode(), (self.raw(path, before + 1, "stdout"), out, record)
            assert self.raw(path, before + 1, "stderr") == f"err{mark}\n".encode(), record
            if answer is not None:
                assert answer[0] == 200 and answer[1]["data"]["stdout"] == out, answer
        return check

    def op_terminal(self, rng):
        return self.op_exec(rng, self.terminal, "term")

    def op_flood(self, rng):
        """Output that is longer than pipes, read on by offset over the death of who keeps it."""
        path = f"/v1/sessions/{self.keep}"
        before = self.last_exec(path)
        lines = rng.randrange(1000, 60000)
        answer = self.ask("POST", path + "/exec", {"command": f"seq {lines}; seq 100 >&2", "detach": True})

        def check():
            record = self.await_exec(path, before + 1)
            if record is None or record["lost"]:
                assert answer is None, (answer, record)
                self.never += 1
                return
            whole = b"".join(b"%d\n" % i for i in range(1, lines + 1))
            assert record["exit_code"] == 0 and record["stdout_bytes"] == len(whole), (record, len(whole))
            got = self.raw(path, before + 1, "stdout")
            assert got == whole, (len(got), len(whole), got[:40], got[-40:])
        return check

    def op_late(self, rng):
        """A background job that prints when its command has ended."""
        path = f"/v1/sessions/{self.keep}"
        before = self.last_exec(path)
        self.marks += 1
        mark = self.marks
        answer = self.ask("POST", path + "/exec", {"command": f"(sleep 0.0{rng.randrange(1, 9)}; echo late{mark}; echo {mark} >>late) & echo now{mark}"})

        def check():
            record = self.await_exec(path, before + 1)
            if record is None or record["lost"]:
                assert answer is None or answer[0] != 200, answer
                return
            harness.wait_for(lambda: f"{mark}\n" in self.file("keep", "late"), "the job has printed")
            harness.wait_for(lambda: f"late{mark}\n".encode() in self.output(path), f"late{mark} is in the session's output")
            assert self.output(path).count(f"late{mark}\n".encode()) == 1
            # What the job prints before the server has seen the command's end, which may be a while, cannot be told from its output.
            out = self.raw(path, before + 1, "stdout")
            assert out in (f"now{mark}\n".encode(), f"now{mark}\nlate{mark}\n".encode()), (out, answer)
        return check

    def op_cancel(self, rng):
        path = f"/v1/sessions/{self.keep}"
        before = self.last_exec(path)
        answer = self.ask("POST", path + "/exec", {"command": "sleep 300", "detach": True})
        cancel = self.ask("DELETE", f"{path}/execs/{before + 1}") if answer is not None else None

        def check():
            record = self.await_exec(path, before + 1, cancel=True)
            assert record is None or record["lost"] or record["cancelled"], (record, cancel)
        return check

    def op_input(self, rng):
        """Texts with numbers: the one that got no answer is sent once more."""
        path = f"/v1/sessions/{self.keep}"
        before = self.last_exec(path)
        texts = [f"text{i}-{rng.randrange(1000)}\n" for i in range(1, 4)]
        answer = self.ask("POST", path + "/exec", {"command": "cat", "input": True, "detach": True})
        done = 0
        if answer is not None:
            for text in texts:
                got = self.ask("POST", path + "/input", {"text": text, "seq": done + 1, "exec": before + 1})
                if got is None:
                    break
                assert got[0] == 200, got
                done += 1

        def check():
            record = self.record(path, before + 1)
            if record is None:
                assert answer is None
                return
            if not record["lost"] and record["state"] == "running":
                for seq, text in enumerate(texts[done:], done + 1):
                    status, got = self.again("POST", path + "/input", {"text": text, "seq": seq, "exec": before + 1})
                    if status == 409:
                        break
                    assert status == 200, (status, got)
                status, got = self.again("POST", path + "/input", {"eof": True, "exec": before + 1})
            record = self.await_exec(path, before + 1)
            if record["lost"]:
                return
            got = self.raw(path, before + 1, "stdout").decode()
            # A text that was being written at that moment may come twice, whole; none is missing, and none out of order.
            rest, twice = got, 0
            for text in texts:
                assert rest.startswith(text), (got, texts)
                rest = rest[len(text):]
                while rest.startswith(text):
                    rest, twice = rest[len(text):], twice + 1
            assert rest == "" and twice <= 1, (got, texts)
        return check

    def op_create(self, rng):
        terminal = {"terminal": {"cols": 100, "rows": 30}} if rng.random() < 0.3 else {}
        env = {"env": {"MINE": "yes"}} if rng.random() < 0.4 else {}
        before = {s["session_id"] for s in self.list()}
        answer = self.ask("POST", "/v1/sessions", {"workspace": "made", **terminal, **env})

        def check():
            made = {s["session_id"]: s for s in self.list()}
            for session, row in made.items():
                if session in before:
                    continue
                harness.wait_for(lambda session=session: self.again("GET", f"/v1/sessions/{session}")[1].get("data", {}).get("state") not in ("starting", "ending"), "it started or failed")
                if self.again("GET", f"/v1/sessions/{session}")[0] != 200:
                    continue
                got = self.run(session, "echo $MINE; pwd")
                assert got["exit_code"] == 0 and got["stdout"].split("\n")[0] == ("yes" if env else ""), (got, row)
                assert got["stdout"].rstrip().endswith("/made"), got
                self.ok("DELETE", f"/v1/sessions/{session}")
            if answer is not None and answer[0] == 201:
                assert answer[1]["data"]["session_id"] in made, (answer, list(made))
        return check

    def op_end(self, rng):
        session = self.ok("POST", "/v1/sessions", {"workspace": "made"})["session_id"]
        self.run(session, "echo last words; trap '' INT; sleep 300 & setsid sleep 301 &")
        killer = yield
        answer = self.ask("DELETE", f"/v1/sessions/{session}?grace={rng.choice([0, 0.1, 0.5])}")

        def check():
            status, got = self.again("DELETE", f"/v1/sessions/{session}?grace=0")
            assert status in (200, 410), (status, got, killer, answer)
            status, got = self.again("GET", f"/v1/sessions/{session}")
            tomb = got["error"]["session"]
            assert status == 410 and tomb["reason"] == "requested" and "last words" in tomb["last_output"], (got, answer)
            assert tomb["ended_at"] >= tomb["created_at"], tomb
        return check

    def op_exit(self, rng):
        """A shell that goes by itself, maybe while nobody is there to see it."""
        session = self.ok("POST", "/v1/sessions", {"workspace": "made"})["session_id"]
        yield
        code = rng.randrange(1, 100)
        self.ask("POST", f"/v1/sessions/{session}/exec", {"command": f"echo bye; exit {code}"})

        def check():
            status, got = self.again("GET", f"/v1/sessions/{session}")
            if status == 200 and got["data"]["state"] == "active":
                log = self.again("GET", f"/v1/sessions/{session}/execs")[1]["data"]
                if not got["data"]["busy"] and all(r["lost"] or r["state"] != "ended" for r in log["execs"]):
                    self.ok("DELETE", f"/v1/sessions/{session}")      # it never began
                    return
            harness.wait_for(lambda: self.again("GET", f"/v1/sessions/{session}")[0] == 410, "the session has ended")
            tomb = self.again("GET", f"/v1/sessions/{session}")[1]["error"]["session"]
            assert tomb["reason"] == "closed" and tomb["exit_code"] == code and "bye" in tomb["last_output"], tomb
        return check

    def op_settings(self, rng):
        value = rng.randrange(1000, 9000)
        old = self.ok("GET", "/bash/auto-cleanup/stats")["configuration"]["session_timeout"]
        answer = self.ask("PUT", "/bash/auto-cleanup/configure", {"session_timeout": value})

        def check():
            now = self.ok("GET", "/bash/auto-cleanup/stats")["configuration"]["session_timeout"]
            assert now == value or answer is None and now == old, (now, value, old, answer)
        return check

    # ---- agents

    def start_agent(self, name):
        """Its session and its process, which has to stay the same."""
        made = self.ok("POST", "/v1/sessions", {"kind": "agent", "agent": name, "workspace": "agents"})
        harness.wait_for(lambda: self.printed(made["session_id"]).startswith(b"ready\n"), f"{name} has started")
        return made["session_id"], made["pid"]

    def printed(self, session, stream="stdout", since=0):
        found = b""
        while True:
            got = self.ok("GET", f"/v1/sessions/{session}/output?since={since}&encoding=base64&limit=1000000&stream={stream}")
            for piece in got["output"]:
                assert "gap" not in piece, piece
                found += base64.b64decode(piece["base64"])
            if got["next"] == since:
                return found
            since = got["next"]

    def end_of(self, session, stream="stdout"):
        """Where what comes next will begin.  The first of it may be gone when there have been many rounds."""
        at = self.ends.get((session, stream), 0)
        self.ends[session, stream] = at = at + len(self.printed(session, stream, at))
        return at

    def op_agent_start(self, rng):
        before = {s["session_id"] for s in self.list()}
        env = {"env": {"A": "yes"}} if rng.random() < 0.5 else {}
        answer = self.ask("POST", "/api/session/start", {"agent": "environment", "workspace": "made", **env})

        def check():
            made = {s["session_id"] for s in self.list()} - before
            for session in made:
                harness.wait_for(lambda session=session: self.again("GET", f"/v1/sessions/{session}")[1].get("data", {}).get("state") not in ("starting", "ending"), "it started or failed")
                status, got = self.again("GET", f"/v1/sessions/{session}")
                if status != 200:
                    assert answer is None or answer[0] != 201, (answer, got)
                    continue
                assert got["data"]["agent"] == "environment" and got["data"]["restarts"] == 0, got
                self.ok("POST", f"/api/message?session_id={session}", {"message": "hello"})
                want = f"||{'yes' if env else ''}|||{os.path.join(self.server.workspaces, 'made')}\nhello\n".encode()
                harness.wait_for(lambda session=session: self.printed(session) == want, f"{want} from {session}")
                self.ok("POST", f"/api/session/end?session_id={session}&grace=0")
            if answer is not None:
                assert answer[0] == 201 and answer[1]["session_id"] in made, (answer, made)
        return check

    def op_agent_input(self, rng):
        """Texts with numbers: the one that got no answer is sent once more."""
        session = self.agents["echoer"][0]
        path = f"/v1/sessions/{session}"
        since = self.end_of(session)
        texts = {self.seq + i: f"text{i}-{rng.randrange(1000)}-{'x' * rng.choice([0, 0, 9000])}\n" for i in range(1, 4)}
        self.seq += 3
        done = 0
        for seq, text in texts.items():
            got = self.ask("POST", path + "/input", {"text": text, "seq": seq})
            if got is None:
                break
            assert got[0] == 200, got
            done = seq

        def check():
            for seq, text in texts.items():
                if seq > done:
                    self.ok("POST", path + "/input", {"text": text, "seq": seq})
            last = list(texts.values())[-1].encode()
            harness.wait_for(lambda: self.printed(session, since=since).endswith(last), "the last text is echoed")
            rest = self.printed(session, since=since).decode()
            for text in texts.values():
                assert rest.startswith(text), (rest, texts)
                rest = rest[len(text):]
                while rest.startswith(text):
                    rest = rest[len(text):]
                    self.twice += 1
            assert rest == "", (rest, texts)
        return check

    def op_agent_output(self, rng):
        """Output that is longer than pipes, read on by offset over the death of who keeps it."""
        session = self.agents["printer"][0]
        out, err = self.end_of(session), self.end_of(session, "stderr")
        lines = rng.randrange(1000, 60000)
        answer = self.ask("POST", f"/api/message?session_id={session}", {"message": str(lines)})

        def check():
            want = b"".join(b"%d\n" % i for i in range(1, lines + 1))
            errors = b"".join(b"%d\n" % i for i in range(1, 101))
            if answer is None and self.printed(session, since=out) == b"":
                self.ok("POST", f"/api/message?session_id={session}", {"message": str(lines)})
            harness.wait_for(lambda: len(self.printed(session, "stderr", err)) >= len(errors), "it has printed all")
            harness.wait_for(lambda: len(self.printed(session, since=out)) % len(want) == 0 and len(self.printed(session, "stderr", err)) % len(errors) == 0, "and nothing more")
            got, got_err = self.printed(session, since=out), self.printed(session, "stderr", err)
            times = len(got) // len(want)
            assert got == want * times and got_err == errors * times and times == 1 or answer is None and times == 2, (len(got), len(want), len(got_err))
        return check

    def op_agent_heartbeat(self, rng):
        session = self.agents["echoer"][0]
        before = self.ok("GET", f"/v1/sessions/{session}")
        answer = self.ask("POST", f"/api/heartbeat?session_id={session}")

        def check():
            now = self.ok("GET", f"/v1/sessions/{session}")
            assert now["last_used"] >= before["last_used"] and now["message_count"] == before["message_count"], (before, now)
            assert answer is None or answer[0] == 200 and now["last_used"] > before["last_used"], (before, now, answer)
        return check

    def op_agent_end(self, rng):
        session = self.ok("POST", "/v1/sessions", {"kind": "agent", "agent": "forker", "workspace": "made"})["session_id"]
        harness.wait_for(lambda: self.printed(session) == b"ready\n", "it is ready")
        yield
        answer = self.ask("DELETE", f"/v1/sessions/{session}?grace={rng.choice([0, 0.1, 0.5])}")

        def check():
            status, got = self.again("DELETE", f"/v1/sessions/{session}?grace=0")
            assert status in (200, 410), (status, got, answer)
            status, got = self.again("GET", f"/v1/sessions/{session}")
            tomb = got["error"]["session"]
            assert status == 410 and tomb["reason"] == "requested" and tomb["last_output"] == "ready\n", (got, answer)
            steps = [step["step"] for step in tomb["ladder"]]
            times = [step["after_ms"] for step in tomb["ladder"]]
            assert tomb["agent"] == "forker" and steps in (["killed"], ["closed", "killed"], ["closed", "interrupted", "killed"]), tomb
            assert times == sorted(times) and tomb["ended_at"] >= tomb["created_at"], tomb
        return check

    def op_agent_exit(self, rng):
        """One that fails and is started again, and goes for good at last; maybe while nobody is there to see it."""
        session = self.ok("POST", "/v1/sessions", {"kind": "agent", "agent": "fails", "workspace": "made"})["session_id"]
        harness.wait_for(lambda: self.printed(session) == b"start\n", "it has started")
        yield
        self.ask("POST", f"/api/message?session_id={session}", {"message": "3", "seq": 1})
        if rng.random() < 0.5:          # to be killed in the pause, or at the next one's start
            time.sleep(rng.random() / 20)

        def check():
            self.ok("POST", f"/api/message?session_id={session}", {"message": "3", "seq": 1}) if self.shown(session)["restarts"] == 0 and self.shown(session)["restart_in"] is None else None
            harness.wait_for(lambda: self.shown(session)["restarts"] > 0 and self.shown(session)["restart_in"] is None, "it was started again")
            harness.wait_for(lambda: self.printed(session).endswith(b"start\n"), "the next one says so")
            got, shown = self.printed(session), self.shown(session)
            assert shown["restarts"] in (1, 2) and shown["last_exit"] == "exited with status 3", shown
            assert got.count(b"start\n") == shown["restarts"] + 1, (got, shown)        # no program that nobody had
            assert got in (b"start\nbye 3\nstart\n", b"start\nbye 3\nstart\nbye 3\nstart\n"), (got, shown)
            self.ok("POST", f"/api/message?session_id={session}", {"message": "0"})
            harness.wait_for(lambda: self.again("GET", f"/v1/sessions/{session}")[0] == 410, "the session has ended")
            tomb = self.again("GET", f"/v1/sessions/{session}")[1]["error"]["session"]
            assert tomb["reason"] == "closed" and tomb["exit_code"] == 0 and tomb["restarts"] == shown["restarts"], (tomb, shown)
            assert tomb["last_output"].endswith("start\nbye 0\n"), tomb
        return check

    def shown(self, session):
        return self.ok("GET", f"/v1/sessions/{session}")

    # ---- looking

    def list(self):
        return self.ok("GET", "/v1/sessions")["sessions"]

    def last_exec(self, path):
        records = self.ok("GET", path + "/execs")["execs"]
        return max((r["exec"] for r in records), default=0)

    def record(self, path, number):
        status, got = self.again("GET", f"{path}/execs/{number}?limit=1")
        return got["data"] if status == 200 else None

    def await_exec(self, path, number, cancel=False):
        """Its record once it has ended; None when there never was one."""
        until = time.monotonic() + 60
        while True:
            record = self.record(path, number)
            if record is None or record["state"] == "ended":
                return record
            if cancel:
                self.again("DELETE", f"{path}/execs/{number}")
            assert time.monotonic() < until, record
            time.sleep(0.005)

    def raw(self, path, number, stream):
        """All of a command's stream, by offset."""
        return self.output(path, f"&exec={number}&stream={stream}")

    def output(self, path, query=""):
        found, at = b"", 0
        while True:
            got = self.ok("GET", f"{path}/output?since={at}&encoding=base64&limit=1000000{query}")
            for piece in got["output"]:
                assert "gap" not in piece, piece
                found += base64.b64decode(piece["base64"])
            if got["next"] == at:
                return found
            at = got["next"]

    # ---- one round

    def invariants(self):
        assert self.run(self.keep, "echo $kept")["stdout"] == "precious\n"
        assert self.run(self.terminal, "echo $kept")["stdout"] == "precious\n"
        live = {s["session_id"] for s in self.list()}
        assert live == {self.keep, self.terminal, *(session for session, _ in self.agents.values())}, live
        for session, pid in self.agents.values():
            shown = self.shown(session)
            assert shown["pid"] == pid and shown["restarts"] == 0 and shown["state"] == "active", shown

    def round(self, seed):
        rng = random.Random(seed)
        name = rng.choice([one for one in OPERATIONS if self.only in one])
        nth = rng.choice([rng.randrange(1, 8), rng.randrange(1, 16), rng.randrange(1, 60)])
        calls = CALLS
        if rng.random() < 0.2:          # between two packets to the keeper
            calls, nth = "sendmsg", rng.randrange(1, 12)
        if self.verbose:
            print(f"# seed {seed}: {name}, system call {nth}", flush=True)
        steps = getattr(self, name)(rng)
        next(steps)                     # what it has to prepare
        killer = Killer(self.server.server_pid, nth, calls)
        try:
            steps.send(killer)
            raise AssertionError(f"{name} goes on behind its operation")
        except StopIteration as last:
            check = last.value
        for _ in range(60):             # it goes on with what comes, until it has come that far
            if self.ask("GET", f"/v1/sessions/{self.keep}") is None:
                break
        self.called += killer.finish()
        self.kills += 1
        check()
        self.invariants()

    def finish(self):
        """Everything ends, and nothing is left."""
        for session in self.list():
            self.ok("DELETE", f"/v1/sessions/{session['session_id']}?grace=0")
        self.server.stop()
        folder = os.path.join(self.server.runtime, "sessions")
        assert not os.path.isdir(folder) or not os.listdir(folder), os.listdir(folder)


def prepared(function):
    """An operation that has nothing to prepare."""
    def steps(self, rng):
        yield
        return function(self, rng)
    return steps


for _name in ("op_exec", "op_terminal", "op_flood", "op_late", "op_cancel", "op_input", "op_create", "op_settings", "op_agent_start", "op_agent_input", "op_agent_output",
              "op_agent_heartbeat"):
    setattr(World, _name + "_killed", prepared(getattr(World, _name)))
World.op_end_killed, World.op_exit_killed = World.op_end, World.op_exit
World.op_agent_end_killed, World.op_agent_exit_killed = World.op_agent_end, World.op_agent_exit
OPERATIONS = sorted(name for name in dir(World) if name.endswith("_killed"))

def rounds(seed, count, verbose=False, only=""):
    """That many, and what has to hold at the end; the world, which says how it went."""
    world = World(verbose, only)
    try:
        for one in range(seed, seed + count):
            seed = one
            world.round(one)
        world.finish()
        return world
    except BaseException:
        print(f"# failed at seed {seed}")
        world.server.tell_log()
        raise
    finally:
        world.server.discard()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--only", default="", help="operations that have this in their name")
    parser.add_argument("-v", action="store_true")
    args = parser.parse_args()
    print(rounds(args.seed, args.rounds, args.v, args.only))


if __name__ == "__main__":
    main()
