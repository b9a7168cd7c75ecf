#!/usr/bin/env python3
"""What background jobs print when their command has ended: kept, told as theirs, and in nobody else's answer.
budget: 120
"""
import os
import time

import harness
from sessions import PROMPTLY, SPOOL, Session, run_cases
from streamclient import collect
from tap import case


def late_of(s, number):
    """What came late of the command's jobs, by stream."""
    found = {"stdout": "", "stderr": ""}
    since, more = 0, True
    while more:
        answer = s.get(f"output?since={since}&limit=1000000")
        for piece in answer["output"]:
            if piece.get("late") and piece["exec"] == number:
                found[piece["stream"]] += piece["text"]
        since, more = answer["next"], answer["more"]
    return found


def wait_late(s, number, count):
    """Waits until that many late bytes have come; the record."""
    return harness.wait_for(lambda: (r := s.get(f"execs/{number}?limit=1"))["late_bytes"] >= count and r, f"{count} late bytes of {number}")


JOB = "(until [ -e {0} ]; do sleep 0.01; done; echo late {0}; echo error {0} >&2; touch {0}.done) &"


@case("late output: in the session's output with its command and late, counted, and in no command's own")
def _():
    s = Session()
    got = s.run(JOB.format("go") + " echo begun")
    assert got["stdout"] == "begun\n" and got["stdout_bytes"] == 6, got
    s.touch("go")
    record = wait_late(s, 1, 17)
    assert record["late_bytes"] == 17 and record["stdout_bytes"] == 6 and record["stderr_bytes"] == 0 and record["state"] == "ended", record
    assert late_of(s, 1) == {"stdout": "late go\n", "stderr": "error go\n"}
    assert [p["text"] for p in s.get("execs/1")["output"]] == ["begun\n"], "it is not the command's own"
    pieces = s.get("output")["output"]
    assert [(p["stream"], p["exec"], p.get("late", False)) for p in pieces] == [("stdout", 1, False), ("stdout", 1, True), ("stderr", 1, True)], pieces
    for form in ("ndjson", "frames", "raw"):
        got = collect(s.output(form, exec=1, follow="true"))
        assert bytes(got.all) == b"begun\n", (form, got.all)
    s.end()


@case("what a job prints while another command runs is neither in its answer nor in its stream, whatever the order")
def _():
    s = Session()
    s.run(JOB.format("first") + JOB.format("second"))
    with s.stream("echo one; until [ -e go ]; do sleep 0.01; done; echo two") as stream:
        records = stream.until("stdout")
        s.touch("first")
        s.wait_file("first.done")
        s.touch("go")
        records += list(stream)
    assert "".join(r.data.decode() for r in records) == "one\ntwo\n", records
    got = s.run("touch second; until [ -e second.done ]; do sleep 0.01; done; echo three")
    assert got["stdout"] == "three\n" and got["stderr"] == "", got
    wait_late(s, 1, 2 * len("late first\nerror first\n") + 2)
    assert late_of(s, 1) == {"stdout": "late first\nlate second\n", "stderr": "error first\nerror second\n"}
    assert late_of(s, 2) == late_of(s, 3) == {"stdout": "", "stderr": ""}
    s.end()


@case("jobs of several commands at once: each one's late output has its number")
def _():
    s = Session()
    for i in range(1, 11):
        assert s.run(JOB.format(f"go{i}") + f" echo {i}")["stdout"] == f"{i}\n"
    for i in reversed(range(1, 11)):
        s.touch(f"go{i}")
        s.wait_file(f"go{i}.done")
    for i in range(1, 11):
        wait_late(s, i, len(f"late go{i}\nerror go{i}\n"))
        assert late_of(s, i) == {"stdout": f"late go{i}\n", "stderr": f"error go{i}\n"}, i
    s.end()


@case("40 jobs that hold the pipes of as many commands: 32 are kept, the oldest others lose theirs; no answer waits or is mixed")
def _():
    s = Session()
    since = time.monotonic()
    for i in range(1, 41):
        got = s.run(JOB.format(f"go{i}") + f" echo {i}; echo error {i} >&2")
        assert (got["stdout"], got["stderr"]) == (f"{i}\n", f"error {i}\n"), got
    assert time.monotonic() - since < PROMPTLY
    for i in range(1, 41):
        s.touch(f"go{i}")
    kept = [i for i in range(1, 41) if i > 8]
    for i in kept:
        wait_late(s, i, len(f"late go{i}\nerror go{i}\n"))
        assert late_of(s, i) == {"stdout": f"late go{i}\n", "stderr": f"error go{i}\n"}, i
    for i in range(1, 9):
        assert s.get(f"execs/{i}?limit=1")["late_bytes"] == 0, i
    pid = s.server.server_pid
    s.run("sleep 0.1 & true")                           # pairs that nobody holds any more are given back when the next one is needed
    harness.wait_for(lambda: s.run("sleep 0.05 & true") and len([n for n in os.listdir(f"/proc/{pid}/fd")]) < 60, "pipes are given back")
    s.end()


@case("a reply does not wait for a job that holds its output, nor for one that floods it")
def _():
    s = Session()
    for job in ("sleep 60 &", "(sleep 60 | cat) &", "yes &", "cat /dev/zero >&2 &", "setsid sleep 60 &", "nohup sleep 60 >/dev/null 2>&1 &"):
        since = time.monotonic()
        got = s.run(f"echo before; {job} echo after")
        assert got["exit_code"] == 0 and time.monotonic() - since < PROMPTLY / 2, (job, got["exit_code"])
        if job.startswith(("yes", "cat")):
            assert "before\n" in got["stdout"] and "after\n" in got["stdout"], got["stdout"][:100]
        else:
            assert got["stdout"] == "before\nafter\n" and got["stderr"] == "", (job, got["stdout"][:100])
        for i in range(3):
            got = s.run(f"echo next {i}; echo error {i} >&2")
            assert (got["stdout"], got["stderr"]) == (f"next {i}\n", f"error {i}\n"), job
        s.run("kill $(jobs -p) 2>/dev/null")
    s.server.end(s.id)


@case("a flood from the background drives out older output, but not what its session's commands answer")
def _():
    s = Session(spool_bytes=1 << 20)
    s.run("yes flood &")
    wait_late(s, 1, 3 << 20)
    for i in range(20):
        got = s.run(f"echo {i}; head -c 1000 /dev/zero | tr '\\0' x; echo error >&2")
        assert got["stdout"] == f"{i}\n" + "x" * 1000 and got["stderr"] == "error\n" and got["truncated"] is False, got["stdout"][:50]
    answer = s.get("output?limit=10")
    assert answer["output"][0]["gap"] > 0 and answer["output"][0]["offset"] == 0, answer
    s.run("kill %1 2>/dev/null; kill $(jobs -p)")
    s.server.end(s.id)


@case("following the session: late output as it comes, with its command's number and late")
def _():
    s = Session()
    for form in ("ndjson", "sse"):
        s.run(f"rm -f go; {JOB.format('go')} echo begun")
        number = s.get("execs")["execs"][-1]["exec"]
        with s.output(form, since=s.get("output?limit=1000000")["next"]) as stream:
            stream.until("start")
            s.touch("go")
            first, second = stream.next(), stream.next()
        assert {(r.kind, r.data) for r in (first, second)} == {("stdout", b"late go\n"), ("stderr", b"error go\n")}, (first, second)
        assert all(r.value["late"] is True and r.value["exec"] == number for r in (first, second))
    s.end()


@case("what jobs print at their session's end is in the tombstone's last output, and in its output afterwards")
def _():
    s = Session()
    s.run("(trap 'echo last words; exit' TERM; while :; do sleep 0.01; done) & echo $!")
    s.run("echo own output")
    s.run("kill -TERM $!; wait $! ; true")
    wait_late(s, 1, len("last words\n"))
    tomb = s.server.end(s.id)
    assert "last words\n" in tomb["last_output"], tomb["last_output"]
    assert "last words\n" in "".join(p["text"] for p in s.get("output")["output"] if p.get("late"))


@case("a job that prints after its command's record is forgotten: its bytes are the session's, and nothing breaks")
def _():
    s = Session(execs_kept=1)
    s.run(JOB.format("go"))
    for i in range(5):
        s.run(f"echo {i}")
    s.fails(404, "not_found", "GET", "execs/1")
    s.touch("go")
    harness.wait_for(lambda: "late go" in str(s.get("output")["output"]), "it has come")
    piece = [p for p in s.get("output")["output"] if "late go" in p["text"]][0]
    assert piece["late"] is True and piece["exec"] == 1, piece
    s.end()


@case("a job that gets its output redirected, or closes it, holds no pair and is heard of no more")
def _():
    s = Session()
    pid = s.server.server_pid
    before = len(os.listdir(f"/proc/{pid}/fd"))
    for i in range(50):
        s.run(f"sleep 60 >/dev/null 2>&1 & echo {i}")
        s.run("(exec >&- 2>&-; sleep 60) & true")
    assert len(os.listdir(f"/proc/{pid}/fd")) < before + 20
    s.run("kill $(jobs -p)")
    s.server.end(s.id)


@case("late output does not keep a session from becoming idle")
def _():
    s = Session(session_timeout=1, cleanup_interval=1)
    s.run("while :; do echo tick; sleep 0.1; done &")
    tomb = s.server.tombstone(s.id)
    assert tomb["reason"] == "idle" and "tick" in tomb["last_output"], tomb


@case("a reader of a command that holds is not held up by late output of others, and does not hold that up for ever")
def _():
    s = Session()
    s.run("yes late &")
    with s.stream("until [ -e go ]; do sleep 0.01; done; echo mine", "frames") as stream:
        stream.until("start")
        wait_late(s, 1, 3 * SPOOL)
        s.touch("go")
        records = list(stream)
    assert b"".join(r.data for r in records if r.kind == "stdout") == b"mine\n" and records[-1].kind == "result"
    s.run("kill $(jobs -p)")
    s.server.end(s.id)


if __name__ == "__main__":
    run_cases()
