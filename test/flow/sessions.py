"""sessions.py: sessions that run commands, for the flow tests of running commands.

    s = Session()                       # in a workspace of its own, on a server that cases with the same settings share
    s.run("echo hi")["stdout"]
    s.end()                             # when all is as it should be: it still runs commands, and their output is clean

run_cases() runs the cases, then looks whether the servers have left anything, and stops them.
"""
import os

import harness
import tap
from streamclient import Stream

PROMPTLY = 20                           # seconds: far less than what a command that hangs takes, also on a busy machine
SPOOL = 4 << 20                         # spool_bytes, unless told otherwise

servers = {}


def server(**settings):
    key = tuple(sorted(settings.items()))
    if key not in servers:
        servers[key] = harness.Server(**{"exec_kill_grace": "500ms", "exec_timeout": 60, "max_sessions": 500,
                                         "max_sessions_per_workspace": 500, "spool_bytes": SPOOL, **settings})
    return servers[key]


class Session:
    count = 0

    def __init__(self, **settings):
        Session.count += 1
        self.server = server(**settings)
        made = self.server.create(workspace=f"w{Session.count}")
        self.id = made["session_id"]
        self.path = f"/v1/sessions/{self.id}"
        self.made = made
        self.folder = os.path.join(self.server.workspaces, made["workspace_name"])

    # ---- asking

    def run(self, command, **fields):
        return self.server.exec(self.id, command, **fields)

    def detach(self, command, **fields):
        """Starts a command; its number."""
        status, answer = self.server.request("POST", f"{self.path}/exec", {"command": command, "detach": True, **fields})
        assert status == 202, (status, answer)
        data = answer["data"]
        assert data["session_id"] == self.id and data["state"] in ("running", "ended"), data
        return data["exec"]

    def get(self, path):
        return self.server.ok("GET", f"{self.path}/{path}")

    def post(self, path, body):
        return self.server.ok("POST", f"{self.path}/{path}", body)

    def fails(self, status, code, method, path, body=None, **more):
        return self.server.fails(status, code, method, f"{self.path}/{path}", body, **more)

    def cancel(self, number):
        return self.server.ok("DELETE", f"{self.path}/execs/{number}")

    def stream(self, command, form="ndjson", **more):
        return Stream.exec(self.server, self.id, command, form, **more)

    def output(self, form="ndjson", **query):
        return Stream.output(self.server, self.id, form, **query)

    # ---- waiting

    def wait_ended(self, number, seconds=PROMPTLY):
        """The command's record, once it has ended."""
        def ended():
            record = self.get(f"execs/{number}?limit=1")
            return record["state"] == "ended" and record
        return harness.wait_for(ended, f"command {number} has ended", seconds)

    def wait_file(self, name, seconds=PROMPTLY):
        harness.wait_for(lambda: os.path.exists(os.path.join(self.folder, name)), f"{name} is there", seconds)

    def wait_printed(self, number, count, seconds=PROMPTLY):
        """Waits until the command has printed so many bytes."""
        def printed():
            record = self.get(f"execs/{number}?limit=1")
            return record["stdout_bytes"] + record["stderr_bytes"] >= count and record
        return harness.wait_for(printed, f"command {number} has printed {count} bytes", seconds)

    # ---- files in its workspace

    def touch(self, name):
        self.write(name, b"")

    def read(self, name):
        with open(os.path.join(self.folder, name), "rb") as source:
            return source.read()

    def write(self, name, data):
        with open(os.path.join(self.folder, name), "wb") as target:
            target.write(data)

    def check_usable(self):
        got = self.run("echo alive; echo err >&2")
        assert (got["stdout"], got["stderr"], got["exit_code"], got["session_state"]) == ("alive\n", "err\n", 0, "active"), got

    def end(self):
        self.check_usable()
        self.server.end(self.id)


def open_now(pid):
    """What the process has open."""
    names = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            names.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except OSError:
            pass
    return names


def nothing_is_left():
    for one in servers.values():
        for session in one.list():
            one.end(session["session_id"])
        pid = one.server_pid
        # Results are kept for exec_retention, so output is; a test of its own sees them go.
        harness.wait_for(lambda pid=pid: len([n for n in open_now(pid) if "curfew-output" not in n]) < 60,
                         f"descriptors are few again: {open_now(pid)}")
    while servers:
        _, one = servers.popitem()
        try:
            one.stop()
        finally:
            one.discard()


def run_cases():
    def cleanup():
        for one in servers.values():
            one.discard()
    tap.case("after all of this nothing is left but results that are kept: descriptors, streams, processes")(nothing_is_left)
    tap.run(cleanup)
