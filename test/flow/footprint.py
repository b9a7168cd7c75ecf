"""footprint.py: what there is of a server: processes, descriptors, files, cgroups, memory."""
import collections
import contextlib
import os
import re

import harness


def tree(pid, depth=0):
    """A process and its children, a line each: state, group, the terminal's foreground group, what waits, command."""
    lines = []
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        with open(f"/proc/{pid}/cmdline", "rb") as command:
            words = command.read().replace(b"\0", b" ").decode("utf-8", "replace")[:80]
        with open(f"/proc/{pid}/wchan", encoding="utf-8") as wchan:
            waits = wchan.read()
        lines.append("  " * depth + f"{pid} {fields[0]} group {fields[2]} foreground {fields[5]} {waits} {words}")
    return lines + [line for child in harness.children(pid) for line in tree(child, depth + 1)]


def kinds_of_descriptors(pid):
    """How many descriptors of each kind: sockets, pipes, memfds by name, files by path."""
    kinds = collections.Counter()
    folder = f"/proc/{pid}/fd"
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            kind = re.sub(r"/sessions/[^/]+", "/sessions/*", os.readlink(os.path.join(folder, name)))
            kinds[re.sub(r"\d+", "N", kind)] += 1
    return kinds


def memory_kb(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))


def folders_of_cgroup(name):
    """How many cgroups are below the one that the keeper made."""
    return sum(len(folders) for path, folders, _ in os.walk("/sys/fs/cgroup") if f"/{name}" in path + "/")


class Footprint:
    """What is there of a server.  Two are compared when nothing is under way."""

    def __init__(self, server):
        self.parts = {
            "processes": collections.Counter(harness.program_of(pid) for pid in server.processes()),
            "descriptors of the server": kinds_of_descriptors(server.server_pid),
            "descriptors of the keeper": kinds_of_descriptors(server.pid),
            "files": len(os.listdir(os.path.join(server.runtime, "sessions"))),
            "cgroups": folders_of_cgroup(server.cgroup),
        }
        self.memory_kb = memory_kb(server.server_pid)

    def difference(self, before, part):
        """In words, "" when there is none."""
        now, then = self.parts[part], before.parts[part]
        if now == then:
            return ""
        if isinstance(now, int):
            return f"{part}: {now}, before {then}"
        return f"{part}: more {dict(now - then)}, fewer {dict(then - now)}"

    def differences(self, before):
        return "; ".join(filter(None, (self.difference(before, part) for part in self.parts)))
