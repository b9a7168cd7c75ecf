"""clistand.py: runs the built command line against a stand-in server."""
import os
import re
import shutil
import subprocess
import tempfile

from standin import RESULT, START, STDERR, STDOUT, Stream, StandIn, frame, success
from tap import build, run

CURFEW = os.path.join(build(), "curfew")
PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDER = tempfile.mkdtemp(prefix="curfew-cli.")
SERVER = StandIn(os.path.join(FOLDER, "curfew.sock"))
ENV = {k: v for k, v in os.environ.items() if not k.startswith("CURFEW_")}
ENV.update(CURFEW_SOCKET=SERVER.path, TZ="UTC", NO_COLOR="1")

SESSION = {
    "session_id": "bash_default_k3v9", "kind": "bash", "workspace_name": "default", "state": "active", "busy": False,
    "created_at": 1795149000.25, "last_used": 1795149100.5, "message_count": 3, "containment": "cgroup+pidns",
    "idle_timeout": 3600, "max_age": 86400, "inactive_time": 192.4, "idle_left": 3407.6,
    "age_left": 86000.0, "pid": 4242}
TOMBSTONE = {
    "session_id": "bash_default_k3v9", "kind": "bash", "workspace_name": "default", "created_at": 1795149000.25,
    "ended_at": 1795152800.75, "reason": "idle", "evidence": "no command for 3601 s, limit 3600 s",
    "rung": "interrupted",
    "exit_code": None, "signal": 2, "killed": 0, "took_ms": 14, "message_count": 3,
    "last_output": "one\ntwo \x1b[31mred\n"}


def curfew(*args, env=None, data=None, **more):
    return subprocess.run([CURFEW, *args], env={**ENV, **(env or {})}, input=data, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60, **more)


RAN = {"exec": 7, "exit_code": 0, "duration_ms": 1.5, "cwd": "/w", "truncated": False, "timed_out": False,
       "cancelled": False, "stdout_bytes": 0, "stderr_bytes": 0, "session_state": "active"}


def begun(exec=7):
    return frame(START, {"session_id": SESSION["session_id"], "exec": exec})


def result(**more):
    return frame(RESULT, {**RAN, **more})


def ran(stdout=b"", stderr=b"", **more):
    """An answer to exec, as a stream or plain as the request asks for it."""
    out, err = (text.encode() if isinstance(text, str) else text for text in (stdout, stderr))

    def write(stream):
        stream.send(begun(), frame(STDOUT, out, 0), frame(STDERR, err, len(out)), result(**more))
        stream.end()

    def answer(request):
        if request.json.get("stream"):
            return Stream(write)
        return 200, success({**RAN, "stdout": out.decode(errors="replace"), "stderr": err.decode(errors="replace"),
                             **more})
    return answer


def lines(data):
    return data.decode().splitlines()


def expect(result, status, out=None, err=None):
    assert result.returncode == status, (result.returncode, result.stdout, result.stderr)
    if out is not None:
        assert result.stdout == out, result.stdout
    if err is not None:
        assert re.search(err, result.stderr.decode()), result.stderr
    return result


def main():
    """Runs the cases and removes what they left."""
    def cleanup():
        SERVER.close()
        shutil.rmtree(FOLDER, ignore_errors=True)

    if not os.access(CURFEW, os.X_OK):
        raise SystemExit(f"{CURFEW} is not built")
    run(cleanup)
