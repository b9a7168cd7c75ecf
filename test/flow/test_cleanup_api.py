"""The cleanup family of seed document 000 (S0.1 to S0.13, S0.18), over HTTP, at the document's paths and at /v1."""
import json
import re
import shutil
import socket
import subprocess
import time

from harness import Server, alive, clean_env, serve, wait_for
from tap import case, run, skip

# ---- the sample replies, as the document prints them; "{...}" stands for the three settings

SETTINGS = '{"session_timeout": 1800, "cleanup_interval": 120, "auto_cleanup_enabled": true}'
CONFIGURED = """{
  "status": "success",
  "data": {
    "status": "updated",
    "old_settings": {...},
    "new_settings": {...},
    "message": "Cleanup configuration updated successfully"
  }
}""".replace("{...}", SETTINGS)
STARTED = """{
  "status": "success",
  "data": {
    "status": "started",
    "cleanup_interval": 300,
    "session_timeout": 3600,
    "message": "Auto-cleanup task started successfully"
  }
}"""
STOPPED = """{
  "status": "success",
  "data": {
    "status": "stopped",
    "message": "Auto-cleanup task stopped successfully"
  }
}"""
STATS = """{
  "status": "success",
  "data": {
    "configuration": {
      "session_timeout": 3600,
      "cleanup_interval": 300,
      "auto_cleanup_enabled": true,
      "max_sessions_per_workspace": 5
    },
    "statistics": {
      "total_sessions": 3,
      "active_sessions": 2,
      "inactive_sessions": 1,
      "sessions_to_cleanup": 1,
      "workspaces_with_sessions": 2
    },
    "auto_cleanup_task": {
      "running": true,
      "task_status": "running"
    },
    "sessions_pending_cleanup": [
      {
        "session_id": "bash_workspace1_abc123",
        "workspace_name": "workspace1",
        "inactive_time": 3650.5,
        "will_cleanup": true
      }
    ]
  }
}"""
CLEANED = """{
  "status": "success",
  "data": {
    "cleaned_sessions": 2,
    "sessions": [
      {
        "session_id": "bash_workspace1_abc123",
        "workspace_name": "workspace1",
        "inactive_time": 3650.5,
        "reason": "inactive"
      }
    ],
    "cleanup_time": 1635789123.456,
    "session_timeout": 3600
  }
}"""

# ---- the usage examples, as the document prints them

SHORT_TIMEOUT = """curl -X PUT "http://localhost:8000/bash/auto-cleanup/configure" \\
  -H "Content-Type: application/json" \\
  -d '{
    "session_timeout": 600,
    "cleanup_interval": 60,
    "auto_cleanup_enabled": true
  }'"""
DISABLE = """curl -X PUT "http://localhost:8000/bash/auto-cleanup/configure" \\
  -H "Content-Type: application/json" \\
  -d '{"auto_cleanup_enabled": false}'"""
MONITOR = """# Get current statistics
curl "http://localhost:8000/bash/auto-cleanup/stats"

# Manually trigger cleanup
curl -X POST "http://localhost:8000/bash/cleanup\""""

CONFIGURE = "/bash/auto-cleanup/configure"
START, STOP, STATS_PATH, CLEANUP = ("/bash/auto-cleanup/start", "/bash/auto-cleanup/stop", "/bash/auto-cleanup/stats",
                                    "/bash/cleanup")
def like(sample, got, where="reply"):
    """Every field of the sample is in `got` with the sample's type; a sample's float may come as a whole number."""
    if isinstance(sample, dict):
        assert isinstance(got, dict), (where, got)
        for name, value in sample.items():
            assert name in got, f"{where} has no {name}: {got}"
            like(value, got[name], f"{where}.{name}")
    elif isinstance(sample, list):
        assert isinstance(got, list) and got, f"{where} should have an entry: {got}"
        for entry in got:
            like(sample[0], entry, where + "[]")
    elif isinstance(sample, float):
        assert isinstance(got, (int, float)) and not isinstance(got, bool), (where, got)
    else:
        assert type(got) is type(sample), (where, got)


def sample_like(text, got):
    like(json.loads(text), got)
    return got["data"]


# ---- settings

@case("S0.1 S0.2 S0.3: the defaults are 3600 s, 300 s, enabled and 5 sessions a workspace")
def _():
    with Server() as s:
        assert s.stats()["configuration"] == {"session_timeout": 3600, "cleanup_interval": 300,
                                              "auto_cleanup_enabled": True, "max_sessions_per_workspace": 5}
        assert s.create()["idle_timeout"] == 3600


def minimum_is_one(name, flag):
    with Server() as s:
        for bad in (0, 0.999, -1, "0s", "999ms"):
            assert s.fails(400, "invalid", "PUT", CONFIGURE, {name: bad})["field"] == name
        assert s.ok("PUT", CONFIGURE, {name: 1})["new_settings"][name] == 1
    done = serve("--check-config", flag + "=0")
    assert done.returncode == 64 and flag in done.stderr, done
    done = serve("--check-config", flag + "=1")
    assert done.returncode == 0, done


@case("S0.1: session_timeout is at least 1 second")
def _():
    minimum_is_one("session_timeout", "--session-timeout")


@case("S0.2: cleanup_interval is at least 1 second")
def _():
    minimum_is_one("cleanup_interval", "--cleanup-interval")


@case("S0.3: a workspace takes max_sessions_per_workspace sessions and no more")
def _():
    with Server(max_sessions_per_workspace=2) as s:
        s.create(workspace="w")
        s.create(workspace="w")
        s.fails(429, "workspace_full", "POST", "/v1/sessions", {"workspace": "w"})
        s.create(workspace="other")


# ---- S0.4: configure

@case("S0.4: configure answers as in the document, with all of the old and the new settings")
def _():
    with Server() as s:
        status, reply = s.request("PUT", CONFIGURE, SETTINGS.replace("true", "false"))
        assert status == 200
        data = sample_like(CONFIGURED, reply)
        assert data["status"] == "updated" and data["message"] == "Cleanup configuration updated successfully"
        assert data["old_settings"] == {"session_timeout": 3600, "cleanup_interval": 300, "auto_cleanup_enabled": True}
        assert data["new_settings"] == {"session_timeout": 1800, "cleanup_interval": 120, "auto_cleanup_enabled": False}
        assert s.stats()["configuration"] == {**data["new_settings"], "max_sessions_per_workspace": 5}


@case("S0.4: configure changes any of the three fields alone, and none when none is given")
def _():
    with Server() as s:
        now = {"session_timeout": 3600, "cleanup_interval": 300, "auto_cleanup_enabled": True}
        for change in ({"session_timeout": 7}, {"cleanup_interval": 8.5}, {"auto_cleanup_enabled": False},
                       {"session_timeout": "10m"}, {}):
            data = s.ok("PUT", CONFIGURE, change)
            assert data["old_settings"] == now, data
            now = {**now, **change, **({"session_timeout": 600} if change.get("session_timeout") == "10m" else {})}
            assert data["new_settings"] == now, data


@case("S0.4: a bad field is named and changes nothing, the good fields beside it included")
def _():
    bad = [{"session_timeout": value} for value in
           (0, -1, 0.5, 315360001, 1e300, "", "soon", "10 apples", "-5m", True, None, [], {}, [600])]
    bad += [{"cleanup_interval": value} for value in (0, -1, 86401, "x", False, None)]
    bad += [{"auto_cleanup_enabled": value} for value in (0, 1, "true", "", None, [])]
    with Server() as s:
        before = s.stats()
        for fields in bad:
            name = next(iter(fields))
            good = {"cleanup_interval": 60} if name == "session_timeout" else {"session_timeout": 600}
            for body in (fields, {**good, **fields}, {**fields, **good}):
                error = s.fails(400, "invalid", "PUT", CONFIGURE, body)
                assert error["field"] == name and name in error["message"], (body, error)
        error = s.fails(400, "unknown_field", "PUT", CONFIGURE, {"session_timeout": 600, "session_timeuot": 700})
        assert error["field"] == "session_timeuot", error
        for body in ('{"session_timeout": 600', '{"session_timeout": 600,}',
                     '{"session_timeout": 600, "session_timeout": 700}', '{"session_timeout": NaN}',
                     '{"session_timeout": 1e999}', "[600]", "600", "null", "x",
                     '{"session_timeout": 600} {}', "\0"):
            status, answer = s.request("PUT", CONFIGURE, body)
            assert status == 400 and answer["error"]["code"] in ("malformed", "invalid"), (body, status, answer)
        after = s.stats()
        for part in ("configuration", "auto_cleanup_task"):
            assert after[part] == before[part], (before, after)


@case("S0.4: a new session_timeout holds at once for sessions that are there already, not for those with their own")
def _():
    with Server(warm_pool=0) as s:
        plain, own = s.create(), s.create(idle_timeout=500)
        s.ok("PUT", CONFIGURE, {"session_timeout": 100})
        assert s.show(plain["session_id"])["idle_timeout"] == 100
        assert s.show(own["session_id"])["idle_timeout"] == 500


# ---- S0.5, S0.6: start and stop

@case("S0.5: start answers as in the document, and the sweep runs")
def _():
    with Server(auto_cleanup_enabled=False, session_timeout=1800, cleanup_interval=120) as s:
        assert s.stats()["auto_cleanup_task"] == {"running": False, "task_status": "stopped"}
        status, reply = s.request("POST", START)
        data = sample_like(STARTED, reply)
        assert status == 200 and data == {"status": "started", "cleanup_interval": 120, "session_timeout": 1800,
                                          "message": "Auto-cleanup task started successfully"}
        assert s.stats()["auto_cleanup_task"] == {"running": True, "task_status": "running"}
        assert s.ok("POST", START)["status"] == "started", "starting it twice is no error"


@case("S0.6: stop answers as in the document, and the sweep does not run")
def _():
    with Server() as s:
        status, reply = s.request("POST", STOP)
        data = sample_like(STOPPED, reply)
        assert status == 200 and data == {"status": "stopped", "message": "Auto-cleanup task stopped successfully"}
        assert s.stats()["auto_cleanup_task"] == {"running": False, "task_status": "stopped"}
        assert s.ok("POST", STOP)["status"] == "stopped", "stopping it twice is no error"


# ---- S0.7 to S0.10: stats

def three_sessions(s):
    """The document's own example: three sessions in two workspaces, one of them over the timeout."""
    idle = s.create(workspace="workspace1", idle_timeout=1)["session_id"]
    s.create(workspace="workspace1")
    s.create(workspace="workspace2")
    s.wait_idle(idle, 1)
    return idle


@case("S0.7: stats has every field of the document with its type")
def _():
    with Server() as s:
        three_sessions(s)
        status, reply = s.request("GET", STATS_PATH)
        assert status == 200
        assert sample_like(STATS, reply)["configuration"] == json.loads(STATS)["data"]["configuration"]


@case("S0.8: stats counts the document's example as the document does")
def _():
    with Server() as s:
        assert s.stats()["statistics"] == {"total_sessions": 0, "active_sessions": 0, "inactive_sessions": 0,
                                           "sessions_to_cleanup": 0, "workspaces_with_sessions": 0}
        three_sessions(s)
        assert s.stats()["statistics"] == json.loads(STATS)["data"]["statistics"]
        s.ok("POST", CLEANUP)
        assert s.stats()["statistics"] == {"total_sessions": 2, "active_sessions": 2, "inactive_sessions": 0,
                                           "sessions_to_cleanup": 0, "workspaces_with_sessions": 2}


@case("S0.9: stats tells whether the sweep is running, whoever switched it")
def _():
    with Server() as s:
        def task():
            return s.stats()["auto_cleanup_task"]
        on, off = {"running": True, "task_status": "running"}, {"running": False, "task_status": "stopped"}
        assert task() == on
        s.ok("PUT", CONFIGURE, {"auto_cleanup_enabled": False})
        assert task() == off
        s.ok("PUT", CONFIGURE, {"auto_cleanup_enabled": True})
        assert task() == on
        s.ok("POST", STOP)
        assert task() == off
        s.ok("PUT", CONFIGURE, {"auto_cleanup_enabled": True})
        assert task() == on


@case("S0.10: stats lists who is pending, with the time since the last use, and nobody else")
def _():
    with Server() as s:
        idle = three_sessions(s)
        stats = s.stats()
        shown = s.show(idle)["inactive_time"]
        [pending] = stats["sessions_pending_cleanup"]
        assert pending == {"session_id": idle, "workspace_name": "workspace1", "will_cleanup": True,
                           "inactive_time": pending["inactive_time"]}
        assert 1 < pending["inactive_time"] <= shown < 30
        s.exec(idle, ":")
        assert s.stats()["sessions_pending_cleanup"] == []


# ---- S0.11: cleanup

@case("S0.11: cleanup answers as in the document, with each session that went and why")
def _():
    with Server(grace=0) as s:
        idle = three_sessions(s)
        before = time.time()
        status, reply = s.request("POST", CLEANUP)
        after = time.time()
        data = sample_like(CLEANED, reply)
        assert status == 200 and data["cleaned_sessions"] == 1 and data["session_timeout"] == 3600
        [gone] = data["sessions"]
        assert gone["session_id"] == idle and gone["workspace_name"] == "workspace1" and gone["reason"] == "inactive"
        assert 1 < gone["inactive_time"] < 30
        assert before - 1 < data["cleanup_time"] < after + 1 and data["cleanup_time"] % 1 != 0
        assert len(s.list()) == 2


@case("S0.11: cleanup with nothing to clean answers with an empty list")
def _():
    with Server() as s:
        s.create()
        data = s.ok("POST", CLEANUP)
        assert data["cleaned_sessions"] == 0 and data["sessions"] == [] and len(s.list()) == 1


@case("S0.11: cleanup takes a session over its age too, and says so; several go in one answer")
def _():
    with Server(grace=0) as s:
        one, two = (s.create(max_age=1, idle_timeout=3000)["session_id"] for _ in range(2))
        wait_for(lambda: s.stats()["statistics"]["sessions_to_cleanup"] == 2, "both are over their age")
        data = s.ok("POST", CLEANUP)
        assert data["cleaned_sessions"] == 2
        assert {(gone["session_id"], gone["reason"]) for gone in data["sessions"]} == {(one, "age"), (two, "age")}


@case("S0.11: when cleanup answers, the processes of what it ended are gone")
def _():
    with Server(grace=0) as s:
        made = s.create(idle_timeout=1)
        s.exec(made["session_id"], "sleep 600 & setsid sleep 600 &")
        s.wait_idle(made["session_id"], 1)
        assert alive(made["pid"])
        assert s.ok("POST", CLEANUP)["cleaned_sessions"] == 1
        assert not alive(made["pid"])
        assert "sleep 600" not in " ".join(s.processes().values())


# ---- S0.12, S0.13: sessions

@case("S0.12: ids are bash_, the workspace, _ and a suffix, and no two are the same")
def _():
    with Server(max_sessions_per_workspace=9) as s:
        ids = [s.create(workspace="work-space_1.x")["session_id"] for _ in range(8)]
        assert all(re.fullmatch(r"bash_work-space_1\.x_[A-Za-z0-9]{6,}", id) for id in ids), ids
        assert len(set(ids)) == 8
        assert s.create()["session_id"].startswith("bash_default_")


@case("S0.13: created_at and last_used are set at creation; a command moves last_used alone")
def _():
    with Server() as s:
        before = time.time()
        made = s.create()
        after = time.time()
        assert before - 0.1 <= made["created_at"] <= made["last_used"] <= after + 0.1
        for count in (1, 2):
            was = s.show(made["session_id"])
            s.exec(made["session_id"], "sleep 0.05")
            now = s.show(made["session_id"])
            assert now["created_at"] == made["created_at"] and now["last_used"] >= was["last_used"] + 0.05
            assert now["message_count"] == count and now["inactive_time"] < 10
        assert abs(now["last_used"] + now["inactive_time"] - time.time()) < 1
        was = s.show(made["session_id"])
        assert s.show(made["session_id"])["last_used"] == was["last_used"], "looking is not using"


# ---- S0.18: the document's examples

def port_is_free(port):
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.settimeout(5)
            try:
                if probe.connect_ex((address, port)) == 0:
                    return False
            except OSError:
                pass
    return True


def bash(text):
    env = clean_env(http_proxy=None, HTTP_PROXY=None, all_proxy=None, ALL_PROXY=None)
    done = subprocess.run(["bash", "-c", text], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60, text=True, check=False)
    assert done.returncode == 0, done
    return done.stdout


def with_printed_port(test):
    if not shutil.which("curl"):
        skip("curl is not installed")
    if not port_is_free(8000):
        skip("port 8000 is taken by somebody else")
    with Server(port=None, grace=0) as s:
        assert s.address == "127.0.0.1:8000", "8000 is the default"
        test(s)


@case("S0.18: the document's example 1 (a short timeout) works as printed, on the port that is the default")
def _():
    def test(s):
        data = sample_like(CONFIGURED, json.loads(bash(SHORT_TIMEOUT)))
        assert data["new_settings"] == {"session_timeout": 600, "cleanup_interval": 60, "auto_cleanup_enabled": True}
        assert s.stats()["configuration"]["session_timeout"] == 600
    with_printed_port(test)


@case("S0.18: the document's example 2 (no automatic cleanup) works as printed")
def _():
    def test(s):
        data = sample_like(CONFIGURED, json.loads(bash(DISABLE)))
        assert data["new_settings"] == {"session_timeout": 3600, "cleanup_interval": 300, "auto_cleanup_enabled": False}
        assert s.stats()["auto_cleanup_task"]["running"] is False
    with_printed_port(test)


@case("S0.18: the document's example 3 (monitoring) works as printed")
def _():
    def test(s):
        three_sessions(s)
        text = bash(MONITOR)
        stats, end = json.JSONDecoder().raw_decode(text)
        cleaned = json.loads(text[end:])
        assert sample_like(STATS, stats) == {**stats["data"], **{
            name: json.loads(STATS)["data"][name] for name in ("configuration", "statistics", "auto_cleanup_task")}}
        assert sample_like(CLEANED, cleaned)["cleaned_sessions"] == 1
    with_printed_port(test)


@case("S0.4 to S0.11: the document's paths and the canonical ones give the same")
def _():
    def blank(value):
        """What moves with time, taken out."""
        if isinstance(value, dict):
            return {k: 0 if k in ("inactive_time", "cleanup_time", "session_id", "counters", "ledger") else blank(v)
                    for k, v in value.items()}
        return [blank(entry) for entry in value] if isinstance(value, list) else value

    with Server() as s:
        def both(method, old, new, body=None, prepare=lambda: None):
            answers = []
            for path in (old, new):
                prepare()
                answers.append(s.request(method, path, body))
            assert answers[0][0] == answers[1][0] and blank(answers[0][1]) == blank(answers[1][1]), answers
            return answers[0][0]

        assert both("PUT", CONFIGURE, "/v1/cleanup/configure", {"cleanup_interval": 200},
                    lambda: s.ok("PUT", CONFIGURE, {"cleanup_interval": 300})) == 200
        assert both("PUT", CONFIGURE, "/v1/cleanup/configure", {"cleanup_interval": 0}) == 400
        assert both("POST", STOP, "/v1/cleanup/stop", None, lambda: s.ok("POST", START)) == 200
        assert both("POST", START, "/v1/cleanup/start", None, lambda: s.ok("POST", STOP)) == 200
        assert both("GET", STATS_PATH, "/v1/cleanup/stats") == 200
        assert both("GET", CONFIGURE, "/v1/cleanup/configure") == 405
        assert both("POST", CLEANUP, "/v1/cleanup", None,
                    lambda: s.wait_idle(s.create(idle_timeout=1)["session_id"], 1)) == 200
        assert both("POST", CLEANUP, "/v1/cleanup", {}) == 200


run()
