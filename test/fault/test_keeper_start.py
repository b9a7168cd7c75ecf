#!/usr/bin/env python3
"""What whoever starts curfew can get wrong about the process that curfew is started in, and about its folders.
budget: 60
"""
import contextlib
import os
import stat
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "flow"))

from harness import Server, folder, serve  # noqa: E402  (it lies in a folder of its own)
from tap import case, run, skip  # noqa: E402


def links(pid):
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found


@case("a descriptor that whoever started curfew left open is open in neither keeper, server nor session")
def _():
    with folder() as path:
        path += "/open"
        with open(path, "wb"):
            pass
        # At a low number and at a high one.
        prefix = [sys.executable, "-c", "import os, sys; theirs = os.open(sys.argv[1], os.O_RDWR); "
                  "os.dup2(theirs, 7); os.dup2(theirs, 200); os.execv(sys.argv[2], sys.argv[2:])", path]
        with Server(prefix=prefix) as s:
            shell = s.exec(s.create()["session_id"], "ls -l /proc/self/fd /proc/$$/fd")["stdout"]
            assert "fd" in shell and path not in shell, shell
            for pid in (s.pid, s.server_pid):
                assert path not in links(pid), (pid, links(pid))


@case("a state_dir or runtime_dir that others may write is refused with its path, owner and mode")
def _():
    with folder() as path:
        for which in ("state_dir", "runtime_dir"):
            folders = {"state_dir": path + "/state", "runtime_dir": path + "/run", which: path + "/open"}
            os.mkdir(path + "/open")
            os.chmod(path + "/open", 0o775)
            done = serve(port=0, **folders)
            assert done.returncode == 71, done
            for word in (path + "/open", f"uid {os.geteuid()}", "0775"):
                assert word in done.stderr, done.stderr
            os.rmdir(path + "/open")


@case("a state_dir of another user is refused with its path, owner and mode")
def _():
    if os.geteuid() != 0:
        skip("only root can give a folder away")
    with folder() as path:
        os.mkdir(path + "/theirs", 0o700)
        os.chown(path + "/theirs", 12345, 12345)
        done = serve(port=0, state_dir=path + "/theirs", runtime_dir=path + "/run")
        assert done.returncode == 71 and path + "/theirs" in done.stderr and "12345" in done.stderr, done


@case("the path of the keeper's cgroup folder is remembered in state_dir, for it alone to read")
def _():
    with Server() as s:
        path = os.path.join(s.state, "cgroup")
        if not os.path.exists(path):
            skip("no cgroup of version 2 can be used")
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
        assert len(lines) == 1 and lines[0].endswith("/" + s.cgroup) and os.path.isdir(lines[0]), lines


run()
