#!/usr/bin/env python3
"""soak.py: many sessions, each with a client that does whatever clients do, in an order that a seed decides.

    python3 test/flow/soak.py --seconds 600 --sessions 50 --seed 7

Runs commands, streams them and leaves in the middle, detaches and polls, writes input, interrupts, cancels, lets them
time out, takes the shell away, ends sessions under commands, watches terminals (soak_pipe.py, soak_terminal.py).  Each
answer is checked; what may fail, and how, is said by the operation that asks.  In the end every session is ended, and
what the server holds is compared with what it held before (footprint.py).  A failure names seed, client and the last
operations, and shows the session.
"""
import argparse
import collections
import contextlib
import random
import sys
import threading
import time

import harness
import soak_pipe
import soak_terminal
from footprint import Footprint, memory_kb, tree
from soak_terminal import Expected
from streamclient import Collected, piece_of

POLL_S = 10
BOUND_S = soak_pipe.BOUND_S
SETTLE_S = 60
RETENTION_S = 10                        # more than what a client may lag behind its own command
# exec_kill_grace is as it is by default: half a second is too short for a bash among fifty that share a processor.
SERVER = {"grace": "500ms", "exec_timeout": 60, "exec_retention": RETENTION_S, "stream_stall_timeout": 20,
          "spool_bytes": 4 << 20, "tombstones": 50, "max_sessions_per_workspace": 1000}
# Beyond what it held before, all sessions gone.  The allocator keeps some; what leaks grows without end, and a build
# with sanitizers counts it to the byte when it stops.
MEMORY_GROWTH_KB = 64 << 10


class Client(threading.Thread):
    """Does one thing after another with a session of its own, until the time is over."""

    def __init__(self, soak, slot):
        super().__init__(daemon=True, name=f"client-{slot}")
        self.soak, self.slot, self.server = soak, slot, soak.server
        self.random = random.Random(f"{soak.seed}/{slot}")
        self.id = None
        self.terminal = False
        self.steps = 0
        self.recent = collections.deque(maxlen=8)
        self.error = None
        self.scene = ""

    def run(self):
        try:
            while not self.soak.over():
                self.step()
            if self.id:
                self.end_session()
        except BaseException as error:
            self.error = error
            self.scene = self.look_around()
            self.soak.stop.set()

    def look_around(self):
        """What there is of the session when it has gone wrong: what the server says, and its processes."""
        if self.id is None:
            return ""
        with contextlib.suppress(Exception):
            status, answer = self.server.request("GET", self.path())
            pid = answer.get("data", {}).get("pid", 0)
            return f"\n    {status}: {answer}\n    " + "\n    ".join(tree(pid) if pid else [])
        return "\n    the server does not answer"

    def step(self):
        self.steps += 1
        if self.id is None:
            self.create()
        table = (soak_terminal if self.terminal else soak_pipe).OPERATIONS
        operation = self.random.choices([row[1] for row in table], [row[0] for row in table])[0]
        self.recent.append(operation.__name__)
        since = time.monotonic()
        operation(self)
        self.soak.count(operation.__name__, time.monotonic() - since)

    # ---- asking

    def call(self, method, path, body=None, allowed=(), headers=None):
        """The data of a success.  A failure whose code is in `allowed` is an Expected, any other one ends the soak."""
        status, answer = self.server.request(method, path, body, headers)
        if status < 300 and answer["status"] == "success":
            return answer["data"]
        code = answer["error"]["code"]
        assert code in allowed, f"{method} {path} {str(body)[:300]}: {status} {str(answer)[:1000]}"
        self.soak.count(f"({code})")
        raise Expected(code)

    def path(self, rest=""):
        return f"/v1/sessions/{self.id}{rest}"

    def exec(self, command, allowed=(), **fields):
        return self.call("POST", self.path("/exec"), {"command": command, **fields}, allowed)

    def detach(self, command, **fields):
        return self.exec(command, detach=True, **fields)["exec"]

    def create(self):
        self.terminal = self.slot % 3 == 2
        size = {"cols": self.random.choice([20, 80, 200]), "rows": self.random.choice([5, 24, 60])}
        more = {"terminal": size} if self.terminal else {}
        self.id = self.call("POST", "/v1/sessions", {"workspace": f"soak{self.slot}", **more})["session_id"]
        self.soak.count("create")

    def gone(self):
        """The session has ended, or is about to; another one is made at the next step."""
        harness.wait_for(lambda: self.server.request("GET", self.path())[0] == 410, f"{self.id} has ended", BOUND_S)
        self.id = None

    def end_session(self):
        grace = self.random.choice(["0", "0.05", "0.5"])
        self.call("DELETE", self.path(f"?grace={grace}"), allowed=("gone",))
        self.gone()

    # ---- looking

    def poll(self, number, output=None):
        """Asks for a command's output until it has ended: (record, Collected)."""
        output = output or Collected()
        until = time.monotonic() + BOUND_S
        while True:
            limit = self.random.choice([1, 100, 65536, 1 << 20]) if output.next < 1000 else 1 << 20
            got = self.call("GET", self.path(f"/execs/{number}?since={output.next}&wait={POLL_S}s&limit={limit}"
                                             "&encoding=base64"))
            for piece in got["output"]:
                output.add(piece_of(piece))
            assert got["next"] == output.next, got
            if got["state"] == "ended" and not got["more"] and not got["output"]:
                return got, output
            assert time.monotonic() < until, f"command {number} has not ended: {str(got)[:500]}"

    def ended(self, number):
        """The record of a command, once it has ended."""
        return self.poll(number)[0]

    def until_output(self, number):
        """Waits until a command has printed something."""
        got = self.call("GET", self.path(f"/execs/{number}?wait={BOUND_S}s&limit=1"))
        assert got["output"], got

    def usable(self):
        """A command, and nothing but its own output."""
        word = f"ok{self.random.randrange(10 ** 6)}"
        got = self.exec(f"echo {word}; echo {word} >&2")
        assert (got["stdout"], got["stderr"], got["exit_code"]) == (word + "\n", word + "\n", 0), got


class Soak:
    """One run.  go() does it all; after it .errors, .before and .after tell how it went."""

    def __init__(self, seconds, sessions, seed, say=print, **settings):
        self.seconds, self.sessions, self.seed, self.say = seconds, sessions, seed, say
        self.settings = {**SERVER, **settings}
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.counts = collections.Counter()
        self.longest = collections.Counter()            # seconds, of each operation
        self.errors = []
        self.clients = []

    def over(self):
        return self.stop.is_set() or time.monotonic() > self.until

    def count(self, name, seconds=0):
        with self.lock:
            self.counts[name] += 1
            self.longest[name] = max(self.longest[name], seconds)

    def settled(self):
        """The footprint once it does not change; the pool and what is made ahead take a moment."""
        def same():
            first = Footprint(self.server)
            time.sleep(0.3)
            second = Footprint(self.server)
            return not second.differences(first) and second
        return harness.wait_for(same, "the server comes to rest", SETTLE_S)

    def warm_up(self):
        """One session, so that what is made once is there."""
        made = self.server.create(workspace="soak0")
        self.server.exec(made["session_id"], "true")
        self.server.end(made["session_id"])
        harness.wait_for(lambda: not self.server.list(), "no session is left", BOUND_S)

    def go(self):
        with harness.Server(**self.settings) as self.server:
            self.warm_up()
            self.before = self.settled()
            self.until = time.monotonic() + self.seconds
            self.clients = [Client(self, slot) for slot in range(self.sessions)]
            for client in self.clients:
                client.start()
            self.watch()
            self.gather()
            if not self.errors:
                self.compare()
        return self

    def watch(self):
        """Tells now and then how it goes, until all clients are done."""
        told = time.monotonic()
        deadline = self.until + 3 * BOUND_S
        while any(client.is_alive() for client in self.clients) and time.monotonic() < deadline:
            self.clients[0].join(0.2)
            if time.monotonic() - told > 10:
                told = time.monotonic()
                self.say(f"{sum(self.counts.values())} operations, server {memory_kb(self.server.server_pid)} kB")

    def gather(self):
        for client in self.clients:
            if client.is_alive():
                self.errors.append(f"client {client.slot} hangs; {self.where(client)}")
            elif client.error is not None:
                what = f"{type(client.error).__name__}: {str(client.error)[:1500]}"
                self.errors.append(f"client {client.slot}: {what}; {self.where(client)}")

    def where(self, client):
        last = ", ".join(client.recent)
        return f"seed {self.seed}, step {client.steps}, session {client.id}, last: {last}{client.scene}"

    def compare(self):
        """Waits until everything is as it was, or has had its time."""
        self.left = self.server.list()
        until = time.monotonic() + RETENTION_S + SETTLE_S
        while True:
            self.after = Footprint(self.server)
            if not self.after.differences(self.before) or time.monotonic() > until:
                break
            time.sleep(0.2)
        self.after.memory_kb = memory_kb(self.server.server_pid)

    def summary(self):
        done = ", ".join(f"{name} {count}" for name, count in sorted(self.counts.items()))
        slow = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.longest.most_common(3))
        return (f"seed {self.seed}, {self.sessions} sessions at a time, {sum(self.counts.values())} operations: {done}; "
                f"longest: {slow}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10 ** 6))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    soak = Soak(given.seconds, given.sessions, given.seed, say=lambda text: print(text, flush=True)).go()
    print(soak.summary())
    for error in soak.errors:
        print(error)
    if soak.errors:
        return 1
    print(f"memory of the server: {soak.before.memory_kb} kB before, {soak.after.memory_kb} kB after")
    left = soak.after.differences(soak.before)
    print(left or "processes, descriptors, files and cgroups are as they were before")
    return 1 if left or soak.left else 0


if __name__ == "__main__":
    sys.exit(main())
