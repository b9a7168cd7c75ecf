"""Who would end, when and why, also under limits that are only tried, and that asking ends nobody (S3.2, S3.3, S3.11).

budget: 180 (it waits for sessions to become idle, some of the time)
"""
import json
import os
import re
import time
import urllib.parse

from harness import Later, Server, wait_for
from tap import case, run

PLAN, CLEANUP, CONFIGURE = "/v1/cleanup/plan", "/v1/cleanup", "/v1/cleanup/configure"
FIELDS = ["session_id", "workspace_name", "kind", "reason", "due_in", "due_at", "inactive_time", "busy"]
LONG = {"warm_pool": 0, "auto_cleanup_enabled": False, "grace": 0, "max_sessions_per_workspace": 100}


def path(**query):
    return PLAN + ("?" + urllib.parse.urlencode(query) if query else "")


def plan(s, **query):
    """The answer's data, after what holds for every answer was checked."""
    data = s.ok("GET", path(**query))
    rows = data["plan"]
    assert list(data) == ["plan", "total", "within", "limits", "proposed"] and data["total"] >= len(rows)
    assert data["proposed"] == ("session_timeout" in query or "max_age" in query)
    assert all(list(row) == FIELDS for row in rows), rows
    assert [row["due_in"] for row in rows] == sorted(row["due_in"] for row in rows), rows
    assert all(row["due_in"] < (data["within"] or 1e-9) for row in rows), rows
    assert all(abs(row["due_at"] - row["due_in"] - time.time()) < 20 for row in rows), rows
    return data


def ids(data):
    return [row["session_id"] for row in data["plan"]]


def only(data):
    [row] = data["plan"]
    assert data["total"] == 1
    return row


# ---- who, when and why

@case("S3.2: nobody is due at first; within the idle limit all are, the longest unused first")
def _():
    with Server(**LONG) as s:
        made = [s.create(workspace=f"w{i}") for i in range(3)]
        assert plan(s) == {"plan": [], "total": 0, "within": 0, "limits": {"session_timeout": 3600, "max_age": 86400},
                           "proposed": False}
        assert plan(s, within=3500)["plan"] == []
        data = plan(s, within="2h")
        assert ids(data) == [one["session_id"] for one in made] and data["total"] == 3 and data["within"] == 7200
        for row, one in zip(data["plan"], made):
            assert row["workspace_name"] == one["workspace_name"] and row["kind"] == "bash"
            assert row["reason"] == "idle" and row["busy"] is False
            assert 3500 < row["due_in"] <= 3600 and 0 <= row["inactive_time"] < 100
            assert abs(row["due_in"] + row["inactive_time"] - 3600) < 1e-6, row
            assert abs(row["due_at"] - one["last_used"] - 3600) < 1, (row, one)
        s.exec(made[0]["session_id"], ":")
        assert ids(plan(s, within="2h")) == [made[i]["session_id"] for i in (1, 2, 0)]


@case("S0.14: who is idle for longer than the limit is due now, at a moment that is past; who is not, is not")
def _():
    with Server(**LONG) as s:
        s.create()
        made = s.create(idle_timeout=1)["session_id"]
        until, seen = time.monotonic() + 20, []
        while not seen:
            before = s.show(made)["inactive_time"]
            seen = plan(s)["plan"]
            after = s.show(made)["inactive_time"]
            assert after > 1 if seen else before <= 1, (before, seen, after)
            assert time.monotonic() < until
        [row] = seen
        assert row["session_id"] == made and row["reason"] == "idle" and row["due_in"] < 0
        assert abs(row["due_in"] + row["inactive_time"] - 1) < 1e-6, row


@case("S3.3: a session that will be too old before it is idle is planned for its age; so is a busy one")
def _():
    with Server(**LONG) as s:
        old, busy = s.create(max_age=60)["session_id"], s.create(max_age=50, idle_timeout=3)["session_id"]
        idle = s.create(max_age=60, idle_timeout=40)["session_id"]
        running = Later(s.exec, busy, "read -r < <(echo; :) ; until [ -e go ]; do sleep 0.05; done")
        wait_for(lambda: s.show(busy)["busy"], "the command runs")
        data = plan(s, within=100)
        assert [(row["session_id"], row["reason"], row["busy"]) for row in data["plan"]] == [
            (idle, "idle", False), (busy, "age", True), (old, "age", False)]
        assert 0 < data["plan"][1]["due_in"] <= 50 < data["plan"][2]["due_in"] <= 60
        assert busy not in ids(plan(s, within=45)) and busy not in ids(plan(s, within=45, session_timeout=1))
        open(os.path.join(s.workspaces, "default", "go"), "w", encoding="utf-8").close()
        running.result()
        assert [row["reason"] for row in plan(s, within=45)["plan"] if row["session_id"] == busy] == ["idle"]


@case("S3.3: a session whose shell has gone is ending already, and in no plan")
def _():
    with Server(**{**LONG, "grace": 3600}) as s:
        made = s.create()["session_id"]
        s.exec(made, "(trap '' INT HUP TERM; exec >/dev/null 2>&1; touch started; while :; do sleep 1; done) & "
                     "until [ -e started ]; do sleep 0.05; done")
        assert s.exec(made, "exit")["session_state"] == "closed"
        assert s.show(made)["state"] == "ending" and plan(s, within=315360000)["plan"] == []
        s.end(made)
        assert plan(s, within=315360000)["total"] == 0


# ---- limits that are only tried

@case("S3.2: a shorter session_timeout that is tried lists who would then end, and a longer one who would not")
def _():
    with Server(**LONG) as s:
        idle, other = s.create()["session_id"], s.create()["session_id"]
        s.wait_idle(idle, 3.2)
        s.exec(other, ":")
        data = plan(s, session_timeout=3.1)
        row = only(data)
        assert row["session_id"] == idle and row["reason"] == "idle" and row["due_in"] < 0
        assert data["limits"] == {"session_timeout": 3.1, "max_age": 86400} and data["proposed"] is True
        assert abs(row["due_in"] + row["inactive_time"] - 3.1) < 1e-6, row
        assert ids(plan(s, session_timeout="10m", within="11m")) == [idle, other]
        assert plan(s, session_timeout="12m", within="11m")["plan"] == []
        assert plan(s, session_timeout=7200, within=3700)["plan"] == [] and plan(s, within=3700)["total"] == 2
        assert plan(s, session_timeout=3600)["proposed"] is True, "also when it is the one in force"


@case("S3.3: a max_age that is tried, longer, shorter and none")
def _():
    with Server(max_session_age=1, **LONG) as s:
        made = s.create()["session_id"]
        wait_for(lambda: plan(s)["total"] == 1, "it is over its age")
        assert only(plan(s))["reason"] == "age" and plan(s)["limits"]["max_age"] == 1
        assert plan(s, max_age=3000)["plan"] == []
        row = only(plan(s, max_age=3000, within=3010))
        assert (row["session_id"], row["reason"]) == (made, "age") and 2900 < row["due_in"] < 3000
        data = plan(s, max_age=0, within=315360000)
        assert only(data)["reason"] == "idle" and data["limits"] == {"session_timeout": 3600, "max_age": None}
        assert only(plan(s, max_age=0, session_timeout=1, within=3600))["reason"] == "idle"
    with Server(max_session_age=0, **LONG) as s:
        s.create()
        assert plan(s)["limits"]["max_age"] is None and only(plan(s, within=315360000))["reason"] == "idle"
        assert only(plan(s, within=60, max_age=10))["reason"] == "age"


@case("S3.2 S3.3: sessions with limits of their own keep them, whatever is tried")
def _():
    with Server(**LONG) as s:
        both, idle = s.create(idle_timeout=1000, max_age=1500)["session_id"], s.create(idle_timeout=1000)["session_id"]
        age, none = s.create(max_age=1500)["session_id"], s.create()["session_id"]
        data = plan(s, session_timeout=10, max_age=20, within=5000)
        assert [(row["session_id"], row["reason"]) for row in data["plan"]] == [
            (age, "idle"), (none, "idle"), (idle, "age"), (both, "idle")], data
        data = plan(s, session_timeout=4000, max_age=3000, within=5000)
        assert [(row["session_id"], row["reason"]) for row in data["plan"]] == [
            (both, "idle"), (idle, "idle"), (age, "age"), (none, "age")], data
        assert data["plan"][0]["due_in"] <= 1000 and 1400 < data["plan"][2]["due_in"] <= 1500


# ---- how many

@case("S3.9: limit cuts the list to those that end first, and total counts all; without it there are 100")
def _():
    with Server(max_sessions=200, **{**LONG, "max_sessions_per_workspace": 200, "warm_pool": 4}) as s:
        made = [s.create(idle_timeout=2000 - 10 * i)["session_id"] for i in range(103)]
        first = made[::-1]
        assert plan(s, within=2000, limit=5)["total"] == 103
        for limit in (1, 5, 102, 103, 104, 1000):
            data = plan(s, within=2000, limit=limit)
            assert ids(data) == first[:limit] and data["total"] == 103, (limit, data)
        data = plan(s, within=2000)
        assert ids(data) == first[:100] and data["total"] == 103
        assert plan(s, within=1500, limit=2)["total"] < 103


# ---- it is only asked

def state(s):
    stats = s.stats()
    counters = {name: n for name, n in stats["counters"].items() if not name.startswith(("requests", "ledger"))}     # the ledger is written behind the answer
    names = ("session_id", "state", "last_used", "message_count", "pid", "idle_timeout", "max_age")
    rows = [{name: row[name] for name in names} for row in s.list()]
    return stats["configuration"], stats["auto_cleanup_task"], stats["statistics"], counters, rows


@case("S3.11: a plan ends nobody, moves no last_used, counts as no sweep and sets nothing")
def _():
    with Server(**LONG) as s:
        due = s.create(idle_timeout=1)["session_id"]
        s.create()
        s.wait_idle(due, 1)
        before = state(s)
        for query in ({}, {"within": 7200}, {"session_timeout": 1, "max_age": 1}, {"max_age": 0, "limit": 1}):
            assert plan(s, **query)["total"] >= 1
            status, _, body = s.request("HEAD", path(**query), raw=True)
            assert status == 200 and body == b""
        assert state(s) == before
        assert only(plan(s))["session_id"] == due, "and it would still end"


@case("a parameter that is wrong is named with its range, and nothing is changed")
def _():
    with Server(**LONG) as s:
        s.create()
        before = state(s)
        wrong = {"within": ("-1", "315360001", "x", "", "1e400", "nan", "87601h"),
                 "session_timeout": ("0", "0.5", "315360001", "-5m", "never", "0s"),
                 "max_age": ("-1", "315360001", "none", "1d"),
                 "limit": ("0", "1001", "-1", "1.5", "ten", "", "10m", "99999999999999999999")}
        ranges = {"within": "from 0 to 315360000 seconds", "session_timeout": "from 1 to 315360000 seconds",
                  "max_age": "from 0 to 315360000 seconds", "limit": "a whole number from 1 to 1000"}
        for name, values in wrong.items():
            for value in values:
                error = s.fails(400, "invalid", "GET", path(**{name: value}))
                assert error["field"] == name and f'"{name}" must be {ranges[name]}' in error["message"], (value, error)
        error = s.fails(400, "unknown_field", "GET", path(grace=1))
        assert error["field"] == "grace" and "within, session_timeout, max_age, limit" in error["message"]
        assert s.fails(400, "invalid", "GET", PLAN + "?limit=1&limit=2")["field"] == "limit"
        s.fails(405, "method_not_allowed", "POST", PLAN)
        assert state(s) == before
        assert plan(s, within=315360000, session_timeout=315360000, max_age=315360000, limit=1000)["total"] == 1
        assert plan(s, within="1h30m", session_timeout="90m", limit=1)["within"] == 5400


# ---- and then it happens

def outcome(rows):
    return {(row["session_id"], {"inactive": "idle"}.get(row["reason"], row["reason"])) for row in rows}


@case("S3.11: the plan for now is what a cleanup that follows ends, for the same reasons")
def _():
    with Server(**LONG) as s:
        made = {"idle": [s.create(idle_timeout=1)["session_id"] for _ in range(3)],
                "age": [s.create(max_age=1)["session_id"] for _ in range(2)]}
        left = [s.create()["session_id"], s.create(idle_timeout=500, max_age=600)["session_id"]]
        wait_for(lambda: plan(s)["total"] == 5, "five are due")
        planned = plan(s)["plan"]
        assert outcome(planned) == {(id, reason) for reason, some in made.items() for id in some}
        assert outcome(s.ok("POST", CLEANUP)["sessions"]) == outcome(planned)
        for row in planned:
            assert s.tombstone(row["session_id"])["reason"] == row["reason"]
        assert [row["session_id"] for row in s.list()] == left and plan(s)["total"] == 0


@case("S3.11: a session_timeout that was tried, once it is set, ends whom the plan had named")
def _():
    with Server(**LONG) as s:
        made = [s.create()["session_id"] for _ in range(3)]
        own = s.create(idle_timeout=900)["session_id"]
        wait_for(lambda: plan(s, session_timeout=1)["total"] == 3, "three would be idle")
        planned = plan(s, session_timeout=1)["plan"]
        assert {row["session_id"] for row in planned} == set(made) and len(s.list()) == 4
        s.ok("PUT", CONFIGURE, {"session_timeout": 1})
        data = plan(s)
        assert outcome(data["plan"]) == outcome(planned) and data["limits"]["session_timeout"] == 1
        assert outcome(s.ok("POST", CLEANUP)["sessions"]) == outcome(planned)
        assert [row["session_id"] for row in s.list()] == [own]


@case("S3.2: the moment that a plan gave has passed when the sweep ends the session, and not long before")
def _():
    with Server(**{**LONG, "cleanup_interval": 1, "auto_cleanup_enabled": True}) as s:
        made = s.create(idle_timeout=4)["session_id"]
        row = only(plan(s, within=10))
        assert row["session_id"] == made and 0 < row["due_in"] <= 4
        tomb = s.tombstone(made)
        assert tomb["reason"] == row["reason"] and row["due_at"] < tomb["ended_at"] < row["due_at"] + 20


# ---- on the command line

def good(done):
    assert done.returncode == 0, done
    return done.stdout


@case("curfew plan shows a table that aligns: who, where, why, in how long, idle for how long")
def _():
    with Server(**LONG) as s:
        due = s.create(workspace="a", idle_timeout=1)["session_id"]
        later = s.create(workspace="a-longer-name", idle_timeout=3000, max_age=2000)["session_id"]
        s.wait_idle(due, 1)
        out = good(s.cli("plan", "--within", "1h"))
        head, *rows = out.splitlines()
        assert head.split() == ["ID", "WORKSPACE", "REASON", "IN", "IDLE"] and len(rows) == 2, out
        starts = [match.start() for match in re.finditer(r"\S+", head)]
        for row in rows:
            assert [match.start() for match in re.finditer(r"\S+", row)] == starts, out
        assert rows[0].split()[:4] == [due, "a", "idle", "now"] and re.fullmatch(r"\d+s", rows[0].split()[4])
        assert rows[1].split()[:3] == [later, "a-longer-name", "age"], out
        assert re.fullmatch(r"3[23]m(\d+s)?", rows[1].split()[3]), out
        done = s.cli("plan", "--within", "1h", "--limit", "1")
        assert good(done).splitlines()[1:] and done.stderr == "1 more would end within 1h; see --limit\n", done
        assert due in done.stdout and later not in done.stdout


@case("curfew plan tries limits, says on stderr when nobody would end, and gives the data with --json")
def _():
    with Server(**LONG) as s:
        made = s.create()["session_id"]
        done = s.cli("plan")
        assert good(done) == "" and done.stderr == "no session would end now\n", done
        done = s.cli("plan", "--within=90")
        assert good(done) == "" and done.stderr == "no session would end within 1m30s\n", done
        assert made in good(s.cli("plan", "--within", "1h", "--session-timeout", "10m", "--max-age", "0"))
        done = s.cli("plan", "--within", "2h", "--max-age", "5m", "--json")
        data = json.loads(good(done))
        assert done.stderr == "" and only(data)["reason"] == "age"
        assert data["limits"] == {"session_timeout": 3600, "max_age": 300}
        assert json.loads(good(s.cli("plan", "--json")))["plan"] == []
        for words in (["--limit", "0"], ["--limit", "1001"], ["--within", "-1"], ["--session-timeout", "0"],
                      ["--max-age", "x"]):
            done = s.cli("plan", *words)
            assert done.returncode == 64 and words[0] in done.stderr and done.stdout == "", done
        assert len(s.list()) == 1


run()
