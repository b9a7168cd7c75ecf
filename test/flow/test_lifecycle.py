"""A session's life over HTTP: created, used, limited, ended by whatever rule, remembered."""
import os
import re
import signal
import stat
import time

from harness import Later, Server, alive, wait_for
from tap import case, run

HOLDS = ("cgroup+pidns", "cgroup", "pidns", "subreaper")
# A process that SIGINT does not end, and one that takes its leave on SIGINT.
STUBBORN = "trap '' INT; echo here >started; while :; do sleep 600; done"
POLITE = "trap 'echo bye >left; exit 0' INT; echo here >started; while :; do sleep 0.05; done"


# ---- create

@case("a session asked for without any field is a bash in the workspace default, with the limits of the settings")
def _():
    with Server() as s:
        status, answer = s.request("POST", "/v1/sessions", {})
        made = answer["data"]
        assert status == 201 and made["kind"] == "bash" and made["workspace_name"] == "default"
        assert made["state"] == "active"
        assert made["idle_timeout"] == 3600 and made["max_age"] == 86400 and made["message_count"] == 0
        assert made["busy"] is False and made["containment"] in HOLDS
        assert s.request("POST", "/v1/sessions")[0] == 201, "a body is not needed"


@case("a workspace is made when it is missing, and kept with what is in it")
def _():
    with Server() as s:
        path = os.path.join(s.workspaces, "fresh")
        assert not os.path.exists(path)
        one = s.create(workspace="fresh")["session_id"]
        assert stat.S_ISDIR(os.lstat(path).st_mode)
        assert s.exec(one, "pwd; echo kept >file")["stdout"] == path + "\n"
        s.end(one)
        two = s.create(workspace="fresh")["session_id"]
        assert s.exec(two, "cat file")["stdout"] == "kept\n"


@case("a session starts in the folder of its workspace that cwd names; one that is missing or outside is refused")
def _():
    for pool in (0, 2):
        with Server(warm_pool=pool) as s:
            first = s.create(workspace="w")["session_id"]
            s.exec(first, "mkdir -p a/b; ln -s /etc out; ln -s a/b inside; touch file")
            made = s.create(workspace="w", cwd="a/b")["session_id"]
            assert s.exec(made, "pwd")["cwd"] == os.path.join(s.workspaces, "w/a/b")
            assert s.exec(s.create(workspace="w", cwd="inside")["session_id"], "pwd -P")["stdout"].endswith("/w/a/b\n")
            for cwd, status in (("no", 400), ("file", 400), ("", 400), ("..", 403), ("../..", 403), ("a/../../x", 403),
                                ("/etc", 403), ("out", 403)):
                got, answer = s.request("POST", "/v1/sessions", {"workspace": "w", "cwd": cwd})
                assert got == status and answer["error"]["field"] == "cwd", (cwd, got, answer)
            assert len(s.list()) == 3
            s.fails(400, "invalid", "POST", "/v1/sessions", {"workspace": "never", "cwd": "no"})
            assert not os.path.exists(os.path.join(s.workspaces, "never")), "a refused request makes no workspace"


@case("env adds variables to a session, whatever their values hold; a bad name is refused")
def _():
    for pool in (0, 2):
        with Server(warm_pool=pool) as s:
            odd = "a'b\"c $(exit 3) `x` \\ \n  tab\t end é"
            made = s.create(env={"PLAIN": "x", "ODD": odd, "_1": "", "PATH": "/usr/bin:/bin"})["session_id"]
            done = s.exec(made, r'printf "%s|" "$PLAIN" "$ODD" "${_1-unset}" "$PATH"; env | grep -c ^PLAIN=x')
            assert done["stdout"] == f"x|{odd}||/usr/bin:/bin|1\n", done
            for env in ({"1a": "x"}, {"a-b": "x"}, {"a=b": "x"}, {"": "x"}, {"A": 1}, {"A": None}, ["A=1"], "A=1"):
                got, answer = s.request("POST", "/v1/sessions", {"workspace": "never", "env": env})
                assert got == 400 and answer["error"]["code"] == "invalid", (env, got, answer)
                assert answer["error"]["field"].split(".")[0] == "env", answer
            assert not os.path.exists(os.path.join(s.workspaces, "never")), "a refused request makes no workspace"
            assert len(s.list()) == 1


@case("a session may have an idle_timeout and a max_age of its own, in seconds or as text")
def _():
    with Server() as s:
        made = s.create(idle_timeout=90.5, max_age="1h30m")
        assert made["idle_timeout"] == 90.5 and made["max_age"] == 5400
        assert 80 < made["idle_left"] <= 90.5 and 5300 < made["age_left"] <= 5400
        for name, value in (("idle_timeout", 0), ("idle_timeout", 0.9), ("max_age", -1), ("max_age", "soon"),
                            ("max_age", True)):
            assert s.fails(400, "invalid", "POST", "/v1/sessions", {name: value})["field"] == name


@case("a session ends by the idle_timeout of its own, not by that of the settings")
def _():
    with Server(cleanup_interval=1, session_timeout=3600, grace=0) as s:
        assert s.tombstone(s.create(idle_timeout=1)["session_id"])["reason"] == "idle"


# ---- list, show, end

@case("the list has every session that is here, as show shows it, and no ended one")
def _():
    with Server() as s:
        assert s.list() == []
        ids = {s.create(workspace=name)["session_id"] for name in ("a", "b", "b")}
        listed = s.list()
        assert {entry["session_id"] for entry in listed} == ids
        shown = s.show(listed[0]["session_id"])
        assert shown.keys() == listed[0].keys() and shown["pid"] == listed[0]["pid"]
        gone = ids.pop()
        s.end(gone)
        assert {entry["session_id"] for entry in s.list()} == ids


@case("an unknown session is 404, an ended one 410 with its tombstone, whatever is asked of it")
def _():
    asks = (("GET", "", None), ("DELETE", "", None), ("POST", "/exec", {"command": "true"}),
            ("POST", "/heartbeat", None))
    with Server(grace=0) as s:
        ended = s.create()["session_id"]
        tomb = s.end(ended)
        for method, rest, body in asks:
            s.fails(404, "not_found", method, "/v1/sessions/bash_default_nosuchsession" + rest, body)
            error = s.fails(410, "gone", method, f"/v1/sessions/{ended}{rest}", body)
            assert error["session"] == tomb and "requested" in error["message"]


@case("a tombstone says who, when, why, how, and what was printed last")
def _():
    with Server(grace=0) as s:
        made = s.create(workspace="grave")
        s.exec(made["session_id"], "echo one; echo two >&2")
        before = time.time()
        tomb = s.end(made["session_id"])
        assert tomb["session_id"] == made["session_id"] and tomb["kind"] == "bash" and tomb["workspace_name"] == "grave"
        assert tomb["state"] == "ended" and tomb["reason"] == "requested" and tomb["evidence"]
        assert tomb["created_at"] == made["created_at"] and before - 0.1 < tomb["ended_at"] < time.time() + 0.1
        assert tomb["message_count"] == 1 and tomb["inactive_time"] >= 0 and tomb["containment"] == made["containment"]
        # Its input was closed just before the kill, so that a quick shell may be gone by itself.
        assert tomb["rung"] == "killed" and tomb["killed"] in (0, 1) and tomb["took_ms"] >= 0
        assert (tomb["exit_code"] is None) != (tomb["signal"] is None) and tomb["signal"] in (None, 9)
        assert sorted(tomb["last_output"].splitlines()) == ["one", "two"]


@case("a tombstone keeps the end of a long output, of both streams")
def _():
    with Server(grace=0) as s:
        made = s.create()["session_id"]
        done = s.exec(made, "seq 20000; seq -f 'e%.0f' 20000 >&2")
        assert done["stdout_bytes"] == 108894 and not done["truncated"], done["stdout_bytes"]
        last = s.end(made)["last_output"].splitlines()
        assert "20000" in last and "e20000" in last and len("\n".join(last)) > 500, last


@case("no session can guess or list the folder that another one's pipes lie in")
def _():
    with Server(warm_pool=0) as s:
        made = [s.create(workspace=f"w{n}")["session_id"] for n in range(4)]
        folder = os.path.join(s.runtime, "sessions")
        names = os.listdir(folder)
        assert len(names) >= 4 and all(re.fullmatch("[0-9a-f]{16}", name) for name in names), names
        assert len({int(name, 16) >> 32 for name in names}) == len(names), "they do not count up"
        assert os.stat(folder).st_mode & 0o077 == 0o011, "who is not its owner passes through, and sees nothing"
        for one in made:
            s.end(one)


@case("a shell that exits ends its session as closed, with its status; one that is killed as failed, with the signal")
def _():
    with Server(grace=0) as s:
        made = s.create()["session_id"]
        done = s.exec(made, "sleep 600 & exit 7")
        assert done["exit_code"] == 7 and done["session_state"] == "closed"
        tomb = s.tombstone(made)
        assert (tomb["reason"], tomb["exit_code"], tomb["signal"]) == ("closed", 7, None) and "7" in tomb["evidence"]
        made = s.create()
        os.kill(made["pid"], signal.SIGKILL)
        tomb = s.tombstone(made["session_id"])
        assert (tomb["reason"], tomb["exit_code"], tomb["signal"]) == ("failed", None, 9) and "9" in tomb["evidence"]
        wait_for(lambda: "sleep 600" not in " ".join(s.processes().values()), "what the shell left is gone")


@case("only so many tombstones are kept in memory: of five ended sessions the last three, with tombstones = 3")
def _():
    with Server(tombstones=3, ledger_file="none", grace=0, max_sessions_per_workspace=9) as s:
        ids = [s.create()["session_id"] for _ in range(5)]
        for id in ids:
            s.end(id)
        assert [s.request("GET", f"/v1/sessions/{id}")[0] for id in ids] == [404, 404, 410, 410, 410]


@case("without a ledger a tombstone is forgotten after tombstone_retention")
def _():
    with Server(tombstone_retention=1, ledger_file="none", grace=0) as s:
        made = s.create()["session_id"]
        start = time.monotonic()
        s.end(made)
        assert s.request("GET", f"/v1/sessions/{made}")[0] == 410
        wait_for(lambda: s.request("GET", f"/v1/sessions/{made}")[0] == 404, "it is forgotten")
        assert time.monotonic() - start > 1


# ---- limits

@case("S0.3: a full workspace refuses with workspace_full and names the limit; a place that is free again is taken")
def _():
    with Server(max_sessions_per_workspace=3, grace=0) as s:
        ids = [s.create(workspace="w")["session_id"] for _ in range(3)]
        assert "3" in s.fails(429, "workspace_full", "POST", "/v1/sessions", {"workspace": "w"})["message"]
        assert s.create(workspace="v")
        s.end(ids[1])
        assert s.create(workspace="w")
        assert s.stats()["counters"]["sessions_active"] == 4


@case("creates that come all at once fill a workspace to its limit and not beyond")
def _():
    with Server(max_sessions_per_workspace=4, grace=0) as s:
        asked = [Later(s.request, "POST", "/v1/sessions", {"workspace": "w"}) for _ in range(12)]
        got = [later.result()[0] for later in asked]
        assert got.count(201) == 4 and got.count(429) == 8, got
        assert len(s.list()) == 4


@case("S3.5: at max_sessions an emergency cleanup ends who is idle beyond emergency_idle, and the create goes through")
def _():
    with Server(max_sessions=2, emergency_idle=1, warm_pool=0) as s:
        old = s.create(workspace="a")["session_id"]
        wait_for(lambda: s.show(old)["inactive_time"] > 1, "it is idle")
        young = s.create(workspace="b")["session_id"]
        new = s.create(workspace="c")["session_id"]
        tomb = s.tombstone(old)
        assert tomb["reason"] == "limit" and "emergency" in tomb["evidence"] and "2" in tomb["evidence"]
        assert {entry["session_id"] for entry in s.list()} == {young, new}
        assert s.stats()["counters"]["emergency_runs"] == 1
        s.wait_log("warning.*emergency cleanup")


@case("S3.5: when the emergency cleanup finds nobody, the create is refused with too_many_sessions and the limit")
def _():
    with Server(max_sessions=2, warm_pool=0) as s:
        kept = {s.create(workspace=name)["session_id"] for name in ("a", "b")}
        assert "2" in s.fails(429, "too_many_sessions", "POST", "/v1/sessions", {"workspace": "c"})["message"]
        assert {entry["session_id"] for entry in s.list()} == kept


@case("S3.5: the emergency cleanup never ends a busy session, whatever its age")
def _():
    with Server(max_sessions=2, emergency_idle=0, emergency_age=0, warm_pool=0, grace=0) as s:
        busy, idle = s.create(workspace="a"), s.create(workspace="b")
        running = s.exec_later(busy["session_id"], "echo here >started; read -t 600 <> <(sleep 600)")
        s.wait_started(busy)
        new = s.create(workspace="c")["session_id"]
        assert s.tombstone(idle["session_id"])["reason"] == "limit"
        assert {entry["session_id"] for entry in s.list()} == {busy["session_id"], new}
        s.end(busy["session_id"])
        assert running.result()[0] == 410


@case("S3.5: creates that wait for the same emergency cleanup get its places, and the others are refused")
def _():
    with Server(max_sessions=3, emergency_idle=0, warm_pool=0, max_sessions_per_workspace=9) as s:
        old = [s.create()["session_id"] for _ in range(3)]
        asked = [Later(s.request, "POST", "/v1/sessions", {"workspace": "new"}) for _ in range(6)]
        got = [later.result()[0] for later in asked]
        assert set(got) <= {201, 429} and got.count(201) >= 3, got
        assert len(s.list()) <= 3 and all(s.tombstone(id)["reason"] == "limit" for id in old)


@case("S3.3: a session over its max_age ends although it is busy, and its command's caller is told why")
def _():
    with Server(cleanup_interval=1, grace=0) as s:
        made = s.create(max_age=1)["session_id"]
        status, answer = s.request("POST", f"/v1/sessions/{made}/exec", {"command": "echo partly; sleep 600"})
        assert status == 410 and answer["error"]["code"] == "gone", answer
        tomb = answer["error"]["session"]
        assert tomb["reason"] == "age" and "busy" in tomb["evidence"] and "1.000" in tomb["evidence"]
        assert tomb["last_output"] == "partly\n" and s.tombstone(made) == tomb


# ---- the ladder

@case("end with grace 0 kills at once")
def _():
    with Server(grace=3600) as s:
        made = s.create()
        running = s.exec_later(made["session_id"], STUBBORN)
        s.wait_started(made)
        tomb = s.end(made["session_id"], grace=0)
        assert tomb["rung"] == "killed" and tomb["killed"] >= 2 and tomb["took_ms"] < 10000
        assert running.result()[1]["error"]["session"] == tomb
        assert not alive(made["pid"])


@case("end with a grace lets a process that heeds SIGINT take its leave, and is over as soon as nothing is left")
def _():
    with Server() as s:
        made = s.create(workspace="polite")
        running = s.exec_later(made["session_id"], f'bash -c "{POLITE}"')
        s.wait_started(made)
        start = time.monotonic()
        tomb = s.end(made["session_id"], grace=45)
        assert tomb["rung"] == "interrupted" and tomb["killed"] == 0, tomb
        assert time.monotonic() - start < 30 and tomb["took_ms"] < 30000
        with open(os.path.join(s.workspaces, "polite", "left"), encoding="utf-8") as left:
            assert left.read() == "bye\n"
        status, answer = running.result()
        assert status == 410 or answer["data"]["session_state"] != "active", "its caller learns that it was the last"


@case("end with a grace kills what ignores SIGINT when the grace is over, not before")
def _():
    with Server() as s:
        made = s.create()
        s.exec_later(made["session_id"], f'bash -c "{STUBBORN}"')
        s.wait_started(made)
        tomb = s.end(made["session_id"], grace="600ms")
        assert tomb["rung"] == "killed" and tomb["killed"] >= 1 and 600 <= tomb["took_ms"] < 20000, tomb


@case("end of a session with nothing but its shell needs no signal")
def _():
    with Server() as s:
        tomb = s.end(s.create()["session_id"], grace=45)
        assert tomb["rung"] in ("empty", "closed", "interrupted"), tomb
        assert tomb["killed"] == 0 and tomb["took_ms"] < 30000, tomb


@case("while a session is ending it is shown as ending, takes no command, and a second end may only hurry it")
def _():
    with Server(max_sessions_per_workspace=1) as s:
        made = s.create()
        id = made["session_id"]
        s.exec_later(id, f'bash -c "{STUBBORN}"')
        s.wait_started(made)
        first = Later(s.end, id, grace=600)
        wait_for(lambda: s.show(id)["state"] == "ending", "it is ending")
        s.fails(409, "not_ready", "POST", f"/v1/sessions/{id}/exec", {"command": "true"})
        counts = s.stats()["statistics"]
        assert counts["total_sessions"] == counts["workspaces_with_sessions"] == 0, "it is on its way out"
        s.fails(429, "workspace_full", "POST", "/v1/sessions", {})
        second = Later(s.end, id, grace=3600)
        assert s.ok("POST", "/bash/cleanup?grace=0")["cleaned_sessions"] == 0
        third = s.end(id, grace=0)
        assert first.result() == second.result() == third
        assert third["reason"] == "requested" and third["rung"] == "killed"


@case("a session that is ended while it starts is gone, and whoever created it is told")
def _():
    with Server(warm_pool=0, grace=0) as s:
        os.kill(s.pid, signal.SIGSTOP)                  # the keeper finds both wishes when it wakes
        try:
            asked = Later(s.request, "POST", "/v1/sessions", {})
            [starting] = wait_for(s.list, "it is listed")
            assert starting["state"] == "starting"
            s.fails(409, "not_ready", "POST", f"/v1/sessions/{starting['session_id']}/exec", {"command": "true"})
            ended = Later(s.request, "DELETE", f"/v1/sessions/{starting['session_id']}?grace=0", timeout=15)
            wait_for(lambda: s.show(starting["session_id"])["state"] == "ending", "it is ending")
        finally:
            os.kill(s.pid, signal.SIGCONT)
        assert ended.result()[0] == 200
        status, answer = asked.result()
        assert status == 410 and answer["error"]["code"] == "gone", answer
        assert s.list() == [] and s.create()["state"] == "active"


run()
