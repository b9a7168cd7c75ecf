#!/usr/bin/env python3
"""What is on record, black-box: history and audit, over restarts, kills and bad disks.

budget: 240
"""
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import time

import harness
from harness import Server, fill, folder, wait_for
from tap import case, run


def database(s):
    return s.settings.get("ledger_file") or os.path.join(s.state, "ledger.db")


def history(s, **query):
    return s.ok("GET", "/v1/history" + words(query))["sessions"]


def audit(s, **query):
    return s.ok("GET", "/v1/audit" + words(query))["entries"]


def words(query):
    return "?" + "&".join(f"{k}={v}" for k, v in query.items()) if query else ""


def ledger(s):
    return s.stats()["ledger"]


def counter(s, name):
    return s.stats()["counters"]["ledger_" + name]


def written(s, seconds=20):
    """Waits until all that was recorded so far is in the database."""
    wait_for(lambda: ledger(s)["queued"] == 0, "nothing waits for the ledger", seconds)


def ended(s, workspace="w", **fields):
    """Makes a session and ends it; its tombstone."""
    made = s.create(workspace=workspace, **fields)["session_id"]
    return s.end(made)


@case("an ended session is in history with all that its tombstone says, but for the last output")
def _():
    with Server(grace=0) as s:
        made = s.create(workspace="demo")["session_id"]
        s.exec(made, "echo last words; exit_code=3")
        tomb = s.end(made)
        written(s)
        got = history(s)
        assert len(got) == 1 and got[0].pop("number") > 0, got
        assert tomb.pop("last_output").endswith("last words\n")
        assert got[0] == tomb, (got, tomb)



# ---- over restarts

@case("after a restart an ended session is answered 410 with the tombstone that it had, last output and all")
def _():
    with folder() as path:
        with Server(folder=path, grace=0) as s:
            made = s.create(workspace="demo")["session_id"]
            s.exec(made, "printf 'a\\377b'; echo \u00e9")
            tomb = s.end(made)
        with Server(folder=path, grace=0) as s:
            assert s.tombstone(made) == tomb
            for method, rest in (("POST", "/exec"), ("POST", "/heartbeat"), ("DELETE", "")):
                body = {"command": "true"} if rest == "/exec" else None
                assert s.fails(410, "gone", method, f"/v1/sessions/{made}{rest}", body)["session"] == tomb
            shown = s.cli("show", made)
            assert shown.returncode == 69 and "requested" in shown.stdout, shown


@case("what a shutdown ends is in history after the next start, and the audit has both")
def _():
    with folder() as path:
        with Server(folder=path, grace=0) as s:
            made = {s.create(workspace=f"w{i}")["session_id"] for i in range(20)}
        with Server(folder=path) as s:
            got = {one["session_id"]: one for one in history(s)}
            assert set(got) == made and {one["reason"] for one in got.values()} == {"shutdown"}, got
            entries = audit(s)
            assert [e["action"] for e in entries if e["action"] != "end"] == ["stop", "start"] or \
                   [e["action"] for e in entries if e["action"] != "end"] == ["start", "stop", "start"], entries
            assert {e["by"] for e in entries if e["action"] == "end"} == {"shutdown"}, entries


@case("a server that was killed: who was recorded as running is lost, with a tombstone, and is so once")
def _():
    with folder() as path:
        with Server(folder=path, grace=0, server_restarts=0, status=None) as s:
            made = s.create(workspace="demo")["session_id"]
            before = ended(s)
            written(s)
            os.kill(s.server_pid, signal.SIGKILL)
            assert s.wait_exit() == 70
            for _ in range(2):
                s.start()
                tomb = s.tombstone(made)
                assert (tomb["reason"], tomb["workspace_name"], tomb["rung"], tomb["exit_code"]) == ("lost", "demo", "unknown", None), tomb
                assert "no keeper holds it" in tomb["evidence"], tomb
                assert s.tombstone(before["session_id"]) == before
                written(s)
                assert sorted(one["reason"] for one in history(s)) == ["lost", "requested"]
                assert [e["by"] for e in audit(s, session_id=made, action="end")] == ["start"]
                s.process.send_signal(signal.SIGTERM)
                assert s.wait_exit() == 0


@case("a keeper that was killed: likewise")
def _():
    with folder() as path:
        with Server(folder=path, status=None) as s:
            made = s.create(workspace="demo")["session_id"]
            written(s)
            s.kill()
            s.assert_nobody_left()
            s.start()
            assert s.tombstone(made)["reason"] == "lost"
            assert s.wait_log("1 sessions were recorded as running")


# ---- who asked for what

@case("the audit names who ended what: a caller, the sweep, the session itself, an emergency")
def _():
    with Server(grace=0, session_timeout=3600, token_required=False) as s:
        by = {}
        by["tcp"] = s.create()["session_id"]
        s.end(by["tcp"])
        by["socket"] = s.create()["session_id"]
        s.request("DELETE", f"/v1/sessions/{by['socket']}?grace=0", over="unix")
        by["session"] = s.create()["session_id"]
        s.exec_later(by["session"], "exit 3")
        s.tombstone(by["session"])
        by["sweep"] = s.create(idle_timeout=1)["session_id"]
        s.ok("PUT", "/bash/auto-cleanup/configure", {"cleanup_interval": 1})
        s.tombstone(by["sweep"])
        by["cleanup"] = s.create(idle_timeout=1, workspace="b")["session_id"]
        s.ok("POST", "/bash/auto-cleanup/stop")
        s.wait_idle(by["cleanup"], 1.01)
        s.ok("POST", "/bash/cleanup")
        s.ok("POST", "/bash/auto-cleanup/start")
        written(s)
        uid = os.geteuid()
        got = {name: audit(s, action="end", session_id=made) for name, made in by.items()}
        assert all(len(entries) == 1 for entries in got.values()), got
        said = {name: entries[0]["by"] for name, entries in got.items()}
        assert said.pop("socket") == f"uid {uid} (socket, pid {os.getpid()})", said
        assert said == {"tcp": f"uid {uid} (tcp)", "session": "session", "sweep": "sweep", "cleanup": f"uid {uid} (tcp)"}, said
        assert got["session"][0]["detail"] == "closed: the shell exited with status 3"
        assert [e["action"] for e in audit(s) if e["action"].startswith("cleanup")] == ["cleanup_start", "cleanup", "cleanup_stop"]


@case("each setting that is changed at run time is in the audit: old, new, who; what stays as it was is not")
def _():
    with Server(session_timeout=3600) as s:
        with open(os.path.join(s.state, "token"), encoding="utf-8") as file:
            token = file.read().strip()
        s.ok("PUT", "/v1/cleanup/configure", {"session_timeout": "90m", "cleanup_interval": 300, "auto_cleanup_enabled": False})
        s.fails(400, "invalid", "PUT", "/v1/cleanup/configure", {"session_timeout": 0})
        s.ok("PUT", "/v1/cleanup/configure", {"session_timeout": 0.5 + 1}, headers={"Authorization": "Bearer " + token})
        written(s)
        got = [(e["setting"], e["old"], e["new"]) for e in audit(s, action="setting")]
        assert got == [("session_timeout", "5400", "1.5"), ("auto_cleanup_enabled", "true", "false"),
                       ("session_timeout", "3600", "5400")], got


# ---- asking

@case("history is chosen by time, reason, kind, workspace and session, and read page by page")
def _():
    with Server(grace=0, max_sessions_per_workspace=50) as s:
        made = [ended(s, f"w{i % 3}")["session_id"] for i in range(9)]
        last = s.create()["session_id"]
        s.exec_later(last, "exit")
        s.tombstone(last)
        written(s)
        ids = lambda **query: [one["session_id"] for one in history(s, **query)]
        assert ids() == [last, *reversed(made)]
        assert ids(reason="closed") == [last] and ids(reason="idle") == []
        assert ids(workspace="w1") == [made[7], made[4], made[1]]
        assert ids(kind="bash") == ids() and ids(kind="record") == []
        assert ids(session_id=made[3]) == [made[3]] and ids(session_id="x") == []
        moment = history(s, session_id=made[4])[0]["ended_at"]
        assert ids(since=moment + 0.00001)[-1] == made[5] and ids(until=moment - 0.00001)[0] == made[3]
        assert ids(since="1h") == ids() and ids(until="1h") == []
        pages, before = [], None
        while True:
            data = s.ok("GET", "/v1/history?limit=4" + (f"&before={before}" if before else ""))
            pages.append([one["session_id"] for one in data["sessions"]])
            before = data["next"]
            if before is None:
                break
        assert [len(page) for page in pages] == [4, 4, 2] and sum(pages, []) == ids(), pages


@case("a question that makes no sense is refused, naming the parameter and what it takes")
def _():
    with Server() as s:
        for path, query, field, says in (
                ("history", "since=yesterday", "since", "Unix seconds from 0 to 9000000000"), ("history", "until=-1", "until", "Unix seconds"),
                ("history", "since=9e99", "since", "Unix seconds"), ("history", "since=1e5", "since", "Unix seconds"),
                ("history", "reason=bored", "reason", "idle, age"),
                ("history", "kind=tank", "kind", "bash"), ("history", "limit=0", "limit", "1 to 1000"),
                ("history", "limit=1001", "limit", "1 to 1000"), ("history", "before=0", "before", "1 to"),
                ("history", "workspace=", "workspace", "1 to 64"), ("audit", "action=dance", "action", "end, setting"),
                ("audit", "since=", "since", "1 to 32"), ("audit", "limit=x", "limit", "1 to 1000")):
            error = s.fails(400, "invalid", "GET", f"/v1/{path}?{query}")
            assert error["field"] == field and says in error["message"], (path, query, error)
        s.fails(400, "unknown_field", "GET", "/v1/audit?reason=idle")
        s.fails(405, "method_not_allowed", "POST", "/v1/history", {})


@case("curfew history and curfew audit are tables for people, and the API's data with --json")
def _():
    with Server(grace=0) as s:
        tomb = ended(s, "demo")
        s.ok("PUT", "/v1/cleanup/configure", {"session_timeout": 90})
        written(s)
        lines = s.cli("history").stdout.splitlines()
        assert lines[0].split() == ["ENDED", "ID", "WORKSPACE", "REASON", "RUNG", "EXIT", "SIGNAL", "KILLED", "EVIDENCE"], lines
        assert tomb["session_id"] in lines[1] and "requested" in lines[1] and lines[1].endswith("a caller asked for it"), lines
        assert lines[0].index("REASON") == lines[1].index("requested")
        lines = s.cli("audit", "--action", "setting").stdout.splitlines()
        assert re.search(r"uid \d+ \(tcp\) +setting +- +session_timeout +3600 +90 ", lines[1]), lines
        assert json.loads(s.cli("history", "--json").stdout) == s.ok("GET", "/v1/history")
        got = s.cli("history", "--reason", "idle")
        assert (got.returncode, got.stdout, got.stderr) == (0, "", "nothing of that is on record\n"), got
        ended(s, "demo")
        written(s)
        assert re.search(r"--before \d+", s.cli("history", "--limit", "1").stderr)
        assert s.cli("history", "--reason", "x").returncode == 64


# ---- without it, and with a bad disk

@case("ledger_file=none: no file, history says why there is none, and tombstones are kept in memory")
def _():
    with Server(grace=0, ledger_file="none") as s:
        tomb = ended(s)
        assert s.tombstone(tomb["session_id"]) == tomb
        assert "ledger_file" in s.fails(503, "unavailable", "GET", "/v1/history")["message"]
        assert "ledger_file" in s.fails(503, "unavailable", "GET", "/v1/audit")["message"]
        assert ledger(s) == {"state": "off", "queued": 0, "error": None}
        assert not os.path.exists(os.path.join(s.state, "ledger.db"))
        s.fails(404, "not_found", "GET", "/v1/sessions/bash_w_aaaaaaaaaaaa")


@case("heartbeats and commands do not touch the ledger")
def _():
    with Server() as s:
        made = s.create()["session_id"]
        written(s)
        files = [database(s) + end for end in ("", "-wal")]
        before = [(os.stat(f).st_mtime_ns, os.stat(f).st_size) for f in files], counter(s, "writes")
        with contextlib.closing(s.connection()) as connection:
            for _ in range(500):
                connection.request("POST", f"/v1/sessions/{made}/heartbeat")
                assert connection.getresponse().read()
        s.exec(made, "true")
        written(s)
        assert before == ([(os.stat(f).st_mtime_ns, os.stat(f).st_size) for f in files], counter(s, "writes"))


@contextlib.contextmanager
def tiny_disk(size="256k"):
    with folder() as path, harness.tiny_disk(os.path.join(path, "disk"), size) as disk:
        yield disk


def remount(path, how):
    subprocess.run(["mount", "-o", f"remount,{how}", path], check=True)


@case("a full disk: sessions start and end as ever; it is counted, shown, logged once, and made up for")
def _():
    with tiny_disk() as disk, Server(grace=0, ledger_file=os.path.join(disk, "l.db")) as s:
        first = ended(s)["session_id"]
        written(s)
        fill(disk)
        made = [ended(s, f"w{i}")["session_id"] for i in range(20)]
        wait_for(lambda: ledger(s)["state"] == "failing", "it is seen to fail")
        more = [ended(s, f"w{i}")["session_id"] for i in range(20)]
        shown = ledger(s)
        assert shown["error"] and shown["queued"] > 0 and counter(s, "errors") > 0 and counter(s, "failing") == 1, shown
        assert all(s.tombstone(one)["reason"] == "requested" for one in [first, *made, *more])
        os.unlink(os.path.join(disk, "filler"))
        wait_for(lambda: ledger(s)["state"] == "ok", "it recovers")
        written(s)
        assert {one["session_id"] for one in history(s)} == {first, *made, *more}
        assert counter(s, "dropped") == 0 and counter(s, "failing") == 0
        assert len(re.findall("cannot be written", s.log())) == 1 and len(re.findall("is written again", s.log())) == 1


@case("a disk that is full from the start and at the stop: curfew starts, serves and stops, and says what is lost")
def _():
    with tiny_disk("64k") as disk:
        fill(disk)
        with Server(grace=0, ledger_file=os.path.join(disk, "l.db"), ledger_queue=16) as s:
            made = [ended(s, f"w{i}")["session_id"] for i in range(10)]
            assert ledger(s)["state"] == "failing" and counter(s, "dropped") > 0
            assert all(s.tombstone(one) for one in made)
            s.fails(503, "unavailable", "GET", "/v1/history")
            s.stop()
            assert re.search(r"\d+ entries could not be written to the ledger", s.log())


@case("a database on a file system that is read-only: entries wait, and are written when it is writable")
def _():
    with tiny_disk("2m") as disk, folder() as path:
        settings = {"grace": 0, "folder": path, "ledger_file": os.path.join(disk, "l.db")}
        with Server(**settings) as s:
            first = ended(s)["session_id"]
        remount(disk, "ro")
        with Server(**settings) as s:
            made = ended(s)["session_id"]
            assert ledger(s)["state"] == "failing" and "Read-only" in ledger(s)["error"], ledger(s)
            assert s.tombstone(made)["reason"] == "requested"
            remount(disk, "rw")
            wait_for(lambda: ledger(s)["state"] == "ok", "it recovers")
            written(s)
            assert [one["session_id"] for one in history(s)] == [made, first]
            assert s.tombstone(first)["reason"] == "requested"


@case("a folder in the database's place, from the start: served all the same, recorded when it is gone")
def _():
    with folder() as path:
        os.mkdir(os.path.join(path, "l.db"))
        with Server(grace=0, ledger_file=os.path.join(path, "l.db")) as s:
            made = ended(s)["session_id"]
            assert ledger(s)["state"] == "failing" and "directory" in ledger(s)["error"], ledger(s)
            os.rmdir(os.path.join(path, "l.db"))
            wait_for(lambda: ledger(s)["state"] == "ok", "it recovers")
            assert [one["session_id"] for one in history(s)] == [made]


@case("a database that is deleted while curfew runs is begun anew, and who runs is recorded in it once more")
def _():
    with Server(grace=0, server_restarts=0, status=None) as s:
        made = s.create()["session_id"]
        written(s)
        for end in ("", "-wal", "-shm"):
            os.unlink(database(s) + end)
        last = ended(s)["session_id"]
        written(s)
        assert [one["session_id"] for one in history(s)] == [last]
        wait_for(lambda: sqlite3.connect(database(s)).execute("SELECT session_id FROM running").fetchall() == [(made,)],
                 "who runs is recorded")
        os.kill(s.server_pid, signal.SIGKILL)
        s.wait_exit()
        s.start()
        assert s.tombstone(made)["reason"] == "lost"


@case("a damaged database, and one of a later version, are put aside at the start, and the log says so")
def _():
    for word, spoil in (("corrupt", lambda path: open(path, "r+b").write(b"x" * 8192)),
                        ("newer", lambda path: sqlite3.connect(path).execute("PRAGMA user_version = 99"))):
        with folder() as path:
            with Server(folder=path, grace=0) as s:
                ended(s)
            spoil(database(s))
            with Server(folder=path, grace=0) as s:
                assert s.wait_log(rf"put aside as \S+ledger\.db\.{word}-\d+T\d+")
                made = ended(s)["session_id"]
                written(s)
                assert [one["session_id"] for one in history(s)] == [made]
                assert len([name for name in os.listdir(s.state) if f".{word}-" in name and not name.endswith("-wal")]) == 1


@case("somebody who locks the database does not hold up curfew")
def _():
    with Server(grace=0) as s:
        first = ended(s)["session_id"]
        written(s)
        with contextlib.closing(sqlite3.connect(database(s), isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            made = ended(s)["session_id"]
            wait_for(lambda: ledger(s)["state"] == "failing", "it is seen to fail")
            assert "locked" in ledger(s)["error"]
            assert [one["session_id"] for one in history(s)] == [first]
            other.execute("ROLLBACK")
        wait_for(lambda: ledger(s)["state"] == "ok", "it recovers")
        assert [one["session_id"] for one in history(s)] == [made, first]


@case("a record is gone from history, and its session 404, when its retention has run out")
def _():
    with Server(grace=0, tombstone_retention=1, ledger_retention=1) as s:
        made = ended(s)["session_id"]
        wait_for(lambda: s.request("GET", f"/v1/sessions/{made}")[0] == 404, "it is forgotten")
        assert history(s) == []
        wait_for(lambda: counter(s, "pruned") > 0, "it is counted")


@case("the server's only other thread is the ledger's, and signals are none of its business")
def _():
    with Server() as s:
        tasks = os.listdir(f"/proc/{s.server_pid}/task")
        others = [task for task in tasks if int(task) != s.server_pid]
        assert len(others) == 1, tasks
        with open(f"/proc/{s.server_pid}/task/{others[0]}/status", encoding="utf-8") as status:
            blocked = int(re.search(r"SigBlk:\s*(\w+)", status.read()).group(1), 16)
        for signo in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD):
            assert blocked & 1 << (signo - 1), (signo, hex(blocked))


if __name__ == "__main__":
    run()
