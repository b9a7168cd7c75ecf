#!/usr/bin/env python3
"""The examples do what their comments say: each is run as built, and what it prints is compared."""
import os
import re
import subprocess
import threading

from harness import build_dir, wait_for
from tap import case, run

TIMEOUT_S = 60


def example(name):
    path = os.path.join(build_dir(), "examples", name)
    assert os.access(path, os.X_OK), f"{path} is not built"
    return path


def output_of(name):
    done = subprocess.run([example(name)], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0 and done.stderr == "", f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout.splitlines()


@case("S2.2, S2.5, S2.6: coordinator.c cleans up who was not used, and the one in use stays")
def coordinator():
    assert output_of("coordinator") == [
        "bob is gone: idle, 0 messages",
        "Cleaned up 1 sessions; alice is here",
        "alice is gone: shutdown, 12 messages",
    ], output_of("coordinator")


def metrics(lines, when):
    """The counters of the line that begins with `when`, in the order of the document."""
    found = [line for line in lines if line.startswith(when + ": ")]
    assert len(found) == 1, (when, lines)
    pairs = re.findall(r"(\w+) (\d+)", found[0][len(when):])
    assert [name for name, _ in pairs] == ["sessions_created", "sessions_cleaned", "sessions_active", "cleanup_runs",
                                           "cleanup_errors"], found
    return [int(value) for _, value in pairs]


@case("S3.3-S3.7: manager.c fills up, is refused, makes room in an emergency and counts all of it")
def manager():
    lines = output_of("manager")
    assert metrics(lines, "full") == [1000, 0, 1000, 0, 0]
    assert metrics(lines, "after a minute") == [1000, 2, 998, 1, 0]
    assert "extra1: created" in lines and "extra2: created" in lines
    third = [line for line in lines if line.startswith("extra3: ")]
    assert len(third) == 2 and "1000" in third[0] and third[1] == "extra3: created", third
    assert metrics(lines, "after five minutes") == [1003, 999, 4, 1, 0]
    assert "shutdown ended 4, 1003 were exported in all" in lines
    assert metrics(lines, "at the end")[:3] == [1003, 1003, 0]


@case("S3.10, S3.11: manager.c is asked to export each session first and logs what went, what is left and emergencies")
def manager_tells():
    lines = output_of("manager")
    exports = [line.strip() for line in lines if line.startswith("    export: ")]
    assert sorted(exports[:2]) == ["export: session1, reason closed",
                                   "export: session2, reason failed: connection reset"], exports
    assert re.fullmatch(r"export: session\d+, reason limit", exports[2]), exports
    logs = [line.strip() for line in lines if line.startswith("    log: ")]
    assert any(re.match(r"log: warning: .*emergency", line, re.I) for line in logs), logs
    assert any(line.startswith("log: info: ") and re.search(r"\b997\b", line) for line in logs), logs
    assert any(line.startswith("log: debug: ") for line in logs), logs


class Loop:
    """loop.c at work: lines go in, and what came out so far can be asked for."""

    def __init__(self, idle_s):
        self.process = subprocess.Popen([example("loop"), str(idle_s)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.lines = []
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def say(self, *lines):
        self.process.stdin.write("".join(line + "\n" for line in lines))
        self.process.stdin.flush()

    def expect(self, pattern):
        def find():
            return next(filter(None, (re.fullmatch(pattern, line) for line in list(self.lines))), None)
        return wait_for(find, f"{pattern} in {self.lines}", TIMEOUT_S)

    def status(self, name):
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as source:
            return int(re.search(rf"^{name}:\s*(\d+)", source.read(), re.M).group(1))

    def cpu_s(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="utf-8") as source:
            fields = source.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self.process.wait()
            self.reader.join()
            self.process.stdout.close()


@case("S3.2: loop.c ends sessions when they are due, without a thread, and wakes only when somebody is due")
def loop_sweeps():
    with Loop(1) as loop:
        loop.say("new early", "new working", "busy working")
        loop.expect("busy working: ok")
        woken, cpu_s = loop.status("voluntary_ctxt_switches"), loop.cpu_s()
        assert float(loop.expect(r"early ended: idle after (\d+\.\d) s").group(1)) >= 1.0
        # A loop that wakes too early again and again would be at hundreds, one that does not sleep at a second.
        assert loop.status("voluntary_ctxt_switches") - woken < 20, woken
        assert loop.cpu_s() - cpu_s < 0.3 and loop.status("Threads") == 1, cpu_s
        loop.say("plan", "touch early", "done working", "plan")
        loop.expect("touch early: not_found")
        loop.expect("plan: 0 would end within the hour")
        loop.expect("plan: 1 would end within the hour")
        loop.expect(r"plan: 1\. working, idle")
        loop.expect(r"working ended: idle after \d+\.\d s")
        assert not any("early" in line and "shutdown" in line for line in loop.lines)
    assert loop.process.returncode == 0


@case("loop.c waits at the end of its input until nobody is due any more, and ends the rest by a shutdown")
def loop_ends():
    with Loop(0.5) as loop:
        loop.say("new last", "new kept", "busy kept", "new asked", "end asked", "frobnicate kept")
        loop.expect("asked ended: requested after 0.0 s")
        loop.expect("frobnicate kept: invalid")
    assert loop.process.returncode == 0
    ends = [line for line in loop.lines if " ended: " in line]
    assert [line.split()[0] for line in ends] == ["asked", "last", "kept"], ends
    assert re.match(r"last ended: idle after", ends[1]) and re.match(r"kept ended: shutdown after", ends[2]), ends


if __name__ == "__main__":
    run()
