#!/usr/bin/env python3
"""Runs the test programs, each in its own bounds, and counts what they say in TAP.

A program is a unit test (C or Python), a flow or fault test (Python), a fuzz harness, or the shell check.  It fails as a
whole, beside the tests that it names itself, when it dies, takes longer than its budget, prints no test, leaves a
process behind, or when a sanitizer reported anything in it or in a daemon that it started.
A line `budget: SECONDS` within the first 40 of its source gives a program another budget than the default.
"""
import argparse
import concurrent.futures
import ctypes
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DEFAULT_BUDGET_S = 120
# All of ./check stays under 15 minutes; the build takes its part.
TOTAL_BUDGET_S = 780
FUZZ_S = 5
PARALLEL = 2
SHOWN_LINES = 60
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
RESULT = re.compile(r"^(not )?ok\b *(\d+)?(?: - | |$)(.*)$")
SKIP = re.compile(r"(?:^|\s)# *skip\b[: ]*(.*)$", re.I)
PLAN = re.compile(r"^1\.\.(\d+)(?:\s*# *skip\b[: ]*(.*))?\s*$", re.I)


class Program:
    """One thing to run: its name as people type it, its command, its budget in seconds."""

    def __init__(self, name, command, source=None, budget=DEFAULT_BUDGET_S, env=None, fuzz=False):
        self.name = name
        self.command = command
        self.budget = read_budget(source, budget) if source else budget
        self.env = env or {}
        self.fuzz = fuzz


class Outcome:
    """What came of a program: (title, reason) of failed and skipped tests, a count of the passed."""

    def __init__(self, program):
        self.program = program
        self.lines = []
        self.output = ""
        self.passed = 0
        self.failed = []
        self.skipped = []
        self.seconds = 0.0


def read_budget(path, default):
    try:
        with open(path, encoding="utf-8") as source:
            head = [source.readline() for _ in range(40)]
    except FileNotFoundError:
        return default
    found = re.search(r"\bbudget: (\d+)", "".join(head))
    return int(found.group(1)) if found else default


# ---- which programs there are

def find_programs(build, fuzz_seconds):
    programs = []
    for path in sorted(glob.glob(os.path.join(ROOT, "test/unit/test_*.c"))):
        name = os.path.basename(path)[:-2]
        programs.append(Program("unit/" + name, [os.path.join(build, "test", name)], path))
    for name in threaded():
        programs.append(Program("tsan/test_" + name, [os.path.join(build, "tsan/test/test_" + name)],
                                os.path.join(ROOT, "test/unit/test_" + name + ".c"), budget=240))
    for path in sorted(glob.glob(os.path.join(ROOT, "test/*/test_*.py"))):
        name = os.path.relpath(path, os.path.join(ROOT, "test"))[:-3]
        programs.append(Program(name, [sys.executable, path], path))
    for path in sorted(glob.glob(os.path.join(ROOT, "test/fuzz/fuzz_*.c"))):
        programs.append(fuzz_program(build, path, fuzz_seconds))
    programs.append(Program("tools/shellcheck", [sys.executable, os.path.abspath(__file__), "--shellcheck"]))
    # Long ones first, so that none of them is left running alone at the end.
    return sorted(programs, key=lambda program: -program.budget)


def threaded():
    """The unit tests that run under ThreadSanitizer as well."""
    with open(os.path.join(ROOT, "test/meson.build"), encoding="utf-8") as source:
        return re.findall(r"'(\w+)'", re.search(r"^threaded = \[(.*)\]", source.read(), re.M).group(1))


def fuzz_program(build, path, seconds):
    name = os.path.basename(path)[len("fuzz_"):-2]
    found = os.path.join(build, "fuzz-corpus", name)
    crashes = os.path.join(build, "fuzz-crashes")
    os.makedirs(found, exist_ok=True)
    os.makedirs(crashes, exist_ok=True)
    # Options may be given by the harness's folder: corpus/NAME to start from, NAME.dict with words to try.
    command = [os.path.join(build, "fuzz", "test", "fuzz_" + name), f"-max_total_time={seconds}", "-timeout=20",
               "-rss_limit_mb=2048", "-print_final_stats=1", f"-artifact_prefix={crashes}/{name}-"]
    words = os.path.join(ROOT, "test/fuzz", name + ".dict")
    if os.path.exists(words):
        command.append("-dict=" + words)
    command.append(found)
    corpus = os.path.join(ROOT, "test/fuzz/corpus", name)
    if os.path.isdir(corpus):
        command.append(corpus)
    return Program("fuzz/fuzz_" + name, command, budget=seconds + 60, fuzz=True)


# ---- running one, in a process that takes over whatever the program leaves behind

def supervise(budget, report, command):
    """Runs the command, kills what outlives it, and writes how it went as JSON."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    signal.signal(signal.SIGTERM, give_up)
    signal.signal(signal.SIGINT, give_up)
    signal.signal(signal.SIGALRM, time_is_up)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    result = {"status": None, "left": []}
    signal.setitimer(signal.ITIMER_REAL, budget)
    try:
        # Orphans of the program are reaped as they die: a test that counts what is alive must not see zombies of ours.
        pid = 0
        while pid != child.pid:
            pid, status = os.wait()
        signal.setitimer(signal.ITIMER_REAL, 0)
        result["status"] = os.waitstatus_to_exitcode(status)
        # What it stopped just now may need a moment to be gone.
        result["left"] = wait_for_children(2.0)
    except TimeoutError:
        os.kill(child.pid, signal.SIGTERM)
        wait_for_children(3.0)
    kill_descendants()
    with open(report, "w", encoding="utf-8") as out:
        json.dump(result, out)


def time_is_up(_signal, _frame):
    raise TimeoutError


def give_up(_signal, _frame):
    kill_descendants()
    os._exit(1)


def children():
    """Live children of this process as (pid, name); zombies are reaped on the way."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return []
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
                name, rest = stat.read().split("(", 1)[1].rsplit(")", 1)
            if int(rest.split()[1]) == os.getpid() and rest.split()[0] not in "ZX":
                found.append((int(pid), name))
        except (OSError, IndexError):
            continue
    return found


def wait_for_children(seconds):
    until = time.monotonic() + seconds
    while True:
        left = children()
        if not left or time.monotonic() > until:
            return [f"{name} ({pid})" for pid, name in left]
        time.sleep(0.02)


def kill_descendants():
    # Each child that dies hands its own children to us, so this ends when the whole tree is gone.
    until = time.monotonic() + 10
    while time.monotonic() < until:
        left = children()
        if not left:
            return
        for pid, _ in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.005)


def environment(program, build, folder):
    reports = os.path.join(folder, "asan")
    env = dict(os.environ)
    for name in list(env):
        if name.startswith("CURFEW_") or name in ("SESSION_TIMEOUT", "CLEANUP_INTERVAL", "PORT", "WORKSPACE_DIR"):
            del env[name]
    # A fuzz harness reports on its own output; everything else into files, since a daemon's output may go anywhere.
    log = "" if program.fuzz else f":log_path={reports}"
    env.update(
        CURFEW_BUILD=build, CURFEW_SOURCE=ROOT, CMOCKA_MESSAGE_OUTPUT="TAP", PYTHONDONTWRITEBYTECODE="1",
        PYTHONUNBUFFERED="1", TMPDIR=folder, LC_ALL=env.get("LC_ALL", "C.UTF-8"),
        ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1" + log,
        LSAN_OPTIONS="print_suppressions=0", UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1" + log,
        TSAN_OPTIONS="halt_on_error=0" + log)
    env.update(program.env)
    return env


def run_program(program, build, deadline):
    outcome = Outcome(program)
    if not os.access(program.command[0], os.X_OK):
        outcome.failed.append(("is built", f"{program.command[0]} is not there: is it named in test/meson.build?"))
        return outcome
    budget = min(program.budget, deadline - time.monotonic())
    if budget < 1:
        outcome.failed.append(("starts", f"no time was left of the {TOTAL_BUDGET_S} s for all"))
        return outcome
    folder = tempfile.mkdtemp(prefix="curfew-check.")
    os.chmod(folder, 0o1777)  # a session's own user writes there too
    try:
        start = time.monotonic()
        report = os.path.join(folder, "report.json")
        # Not a pipe: what a program leaves behind would hold it open.
        with open(os.path.join(folder, "output"), "w+b") as output:
            supervisor = subprocess.Popen(
                [sys.executable, os.path.abspath(__file__), "--supervise", str(budget), report, *program.command],
                cwd=ROOT, env=environment(program, build, folder), stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT)
            supervisor.wait()
            output.seek(0)
            outcome.output = output.read().decode("utf-8", "replace")
        outcome.seconds = time.monotonic() - start
        judge(outcome, report, budget, sorted(glob.glob(os.path.join(folder, "asan.*"))))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return outcome


# ---- what it said

def judge(outcome, report, budget, sanitizer_files):
    try:
        with open(report, encoding="utf-8") as source:
            result = json.load(source)
    except (OSError, ValueError):
        result = {"status": -signal.SIGKILL, "left": []}
    if outcome.program.fuzz:
        judge_fuzz(outcome, result["status"])
    else:
        judge_tap(outcome, result["status"])
    if result["status"] is None:
        outcome.failed.append(("ends in time", f"still running after {budget:.0f} s"))
    elif result["status"] < 0:
        outcome.failed.append(("stays alive", f"killed by {signal_name(-result['status'])}"))
    if result["left"]:
        outcome.failed.append(("leaves nothing behind", "still alive after it: " + ", ".join(result["left"])))
    for path in sanitizer_files:
        with open(path, encoding="utf-8", errors="replace") as source:
            text = source.read()
        outcome.failed.append(("no sanitizer report", "in one of its processes"))
        outcome.output += "\n" + text


def judge_tap(outcome, status):
    planned = 0
    plans = 0
    for line in outcome.output.splitlines():
        plan = PLAN.match(line)
        if plan:
            plans += 1
            planned += int(plan.group(1))
            if plan.group(1) == "0":
                outcome.skipped.append(("all of it", plan.group(2) or "no reason given"))
            continue
        result = RESULT.match(line)
        if not result:
            continue
        title = result.group(3).strip()
        skip = SKIP.search(title)
        if skip:
            title = title[:skip.start()].strip() or skip.group(1)
            outcome.skipped.append((title, skip.group(1) or "no reason given"))
        elif result.group(1):
            outcome.failed.append((title, ""))
        else:
            outcome.passed += 1
        outcome.lines.append(line)
    seen = outcome.passed + len(outcome.failed) + len([s for s in outcome.skipped if s[0] != "all of it"])
    if status is None or status < 0:
        return
    if plans == 0:
        outcome.failed.append(("says what it tests", "it printed no TAP plan"))
    elif seen < planned:
        outcome.failed.append(("runs every test", f"{seen} of {planned} were reported"))
    elif planned == 0 and not outcome.skipped:
        outcome.failed.append(("says what it tests", "it printed no test"))
    if status > 0 and not outcome.failed:
        outcome.failed.append(("exits with status 0", f"exit status {status}"))


def judge_fuzz(outcome, status):
    runs = re.search(r"number_of_executed_units: *(\d+)", outcome.output)
    count = int(runs.group(1)) if runs else 0
    if status == 0 and count > 0:
        outcome.passed += 1
        outcome.lines.append(f"ok - {count} inputs without a crash")
    elif status is not None and status >= 0:
        outcome.failed.append(("no input makes it crash", f"exit status {status} after {count} inputs"))


def signal_name(number):
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


# ---- telling

def tell(outcome, verbose):
    program = outcome.program
    counts = f"{outcome.passed} passed"
    if outcome.failed:
        counts += f", {len(outcome.failed)} FAILED"
    if outcome.skipped:
        counts += f", {len(outcome.skipped)} skipped"
    out = [f"{program.name:<28} {counts:<34} {outcome.seconds:6.1f} s of {program.budget} s"]
    if verbose:
        out += ["    " + line for line in outcome.output.splitlines()]
    for title, reason in outcome.skipped:
        out.append(f"    skipped: {title}: {reason}")
    for title, reason in outcome.failed:
        out.append(f"    FAILED: {title}" + (f": {reason}" if reason else ""))
    if outcome.failed and not verbose:
        out += ["    | " + line for line in interesting(outcome.output)]
    print("\n".join(out), flush=True)


def interesting(output):
    """The output without the passed tests: all of it when short, else what surrounds the failures and the end."""
    lines = [line for line in output.splitlines() if not re.match(r"ok\b|INFO: |#\d+\t|stat::", line)]
    if len(lines) <= SHOWN_LINES * 2:
        return lines
    wanted = set(range(len(lines) - SHOWN_LINES, len(lines)))
    for number, line in enumerate(lines):
        if re.match(r"^not ok\b|.*ERROR: |.*runtime error: ", line):
            wanted.update(range(max(0, number - 3), min(len(lines), number + 25)))
    shown = []
    for number in sorted(wanted)[:SHOWN_LINES * 5]:
        if shown and number - 1 not in wanted:
            shown.append("…")
        shown.append(lines[number])
    return shown


def run_shellcheck():
    """A test program of its own: every shell script of the project under shellcheck."""
    scripts = ["run", "check", ".ci/run"] + sorted(glob.glob("tools/*.sh", root_dir=ROOT))
    scripts += sorted(glob.glob("test/**/*.sh", root_dir=ROOT, recursive=True))
    if not shutil.which("shellcheck"):
        print("1..0 # SKIP shellcheck is not installed")
        return 0
    print(f"1..{len(scripts)}")
    failed = 0
    for number, script in enumerate(scripts, 1):
        done = subprocess.run(["shellcheck", "-x", script], cwd=ROOT, capture_output=True, text=True, check=False)
        print(f"{'ok' if done.returncode == 0 else 'not ok'} {number} - shellcheck has nothing to say about {script}")
        for line in (done.stdout + done.stderr).splitlines():
            print("# " + line)
        failed += done.returncode != 0
    return 1 if failed else 0


def parse_arguments():
    parser = argparse.ArgumentParser(prog="./check")
    parser.add_argument("--build", default="build-check")
    parser.add_argument("--fuzz", type=int, metavar="SECONDS")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("patterns", nargs="*", metavar="PATTERN")
    return parser.parse_args()


def main():
    if sys.argv[1:2] == ["--supervise"]:
        return supervise(float(sys.argv[2]), sys.argv[3], sys.argv[4:])
    if sys.argv[1:2] == ["--shellcheck"]:
        return run_shellcheck()
    arguments = parse_arguments()
    build = os.path.join(ROOT, arguments.build)
    programs = find_programs(build, arguments.fuzz or FUZZ_S)
    if arguments.fuzz:
        programs = [program for program in programs if program.fuzz]
    if arguments.patterns:
        programs = [p for p in programs if any(pattern in p.name for pattern in arguments.patterns)]
    if arguments.list:
        print("\n".join(f"{p.name:<28} {p.budget} s" for p in sorted(programs, key=lambda p: p.name)))
        return 0
    if not programs:
        print("no test program matches\n0 passed, 1 failed")
        return 1
    total = TOTAL_BUDGET_S + (arguments.fuzz or 0) * len(programs)
    deadline = time.monotonic() + total
    with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
        running = [pool.submit(run_program, program, build, deadline) for program in programs]
        outcomes = []
        for done in concurrent.futures.as_completed(running):
            outcomes.append(done.result())
            tell(outcomes[-1], arguments.verbose)
    passed, failed = sum(o.passed for o in outcomes), sum(len(o.failed) for o in outcomes)
    skipped = sum(len(o.skipped) for o in outcomes)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
