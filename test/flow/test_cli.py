#!/usr/bin/env python3
"""The command line against a stand-in server: arguments, finding the server, tables, exit statuses."""
import json
import os
import re
import shutil
import subprocess
import threading
import time

from clistand import CURFEW, ENV, FOLDER, PROJECT, SERVER, SESSION, TOMBSTONE, curfew, expect, lines, main
from standin import StandIn, error, success
from tap import case, skip


# create

@case("create prints the id and nothing else")
def _():
    SERVER.set((201, success(SESSION)))
    result = expect(curfew("create"), 0, b"bash_default_k3v9\n")
    assert result.stderr == b""
    asked = SERVER.requests[0]
    assert (asked.method, asked.path, asked.json) == ("POST", "/v1/sessions", {})
    assert asked.headers["Content-Type"] == "application/json" and "Transfer-Encoding" not in asked.headers


@case("the flags of create become the fields of its request, durations as seconds")
def _():
    SERVER.set((201, success(SESSION)))
    expect(curfew("create", "--workspace", "w1", "--idle-timeout=10m", "--max_age", "1.5", "--cwd", "a b",
                  "--env", "A=1", "--env", "B=x=y", "--env", "A=2", "--kind", "agent", "--kind", "bash"), 0)
    assert SERVER.requests[0].json == {"workspace": "w1", "idle_timeout": 600, "max_age": 1.5, "cwd": "a b",
                                       "env": {"A": "2", "B": "x=y"}, "kind": "bash"}, SERVER.requests[0].json


@case("a flag out of its range is a usage error that names the range, and nothing is sent")
def _():
    SERVER.set((201, success(SESSION)))
    for args, words in ((["create", "--idle-timeout", "0"], "--idle-timeout .* from 1 to 315360000"),
                        (["create", "--idle-timeout", "soon"], 'not "soon"'),
                        (["create", "--max-age", "nan"], "--max-age"),
                        (["create", "--max-age", "-1"], "--max-age"), (["create", "--workspace", ""], "from 1 to 64"),
                        (["create", "--workspace", "x" * 65], "from 1 to 64"),
                        (["create", "--env", "=x"], "NAME=VALUE"),
                        (["create", "--workspace"], "needs a value"), (["create", "--json=1"], "takes no value"),
                        (["create", "--workspace", b"\xff"], "UTF-8"), (["create", "more"], "one argument too many"),
                        (["configure", "--auto-cleanup-enabled=maybe"], "true or false")):
        expect(curfew(*args), 64, b"", words)
    assert SERVER.requests == []


# usage

@case("an unknown subcommand or option is a usage error and suggests the nearest")
def _():
    expect(curfew("exce", "x"), 64, b"", 'did you mean "exec"')
    expect(curfew("lst"), 64, b"", 'did you mean "l?s')
    expect(curfew("frobnicate"), 64, b"", 'unknown subcommand "frobnicate"\nTry')
    expect(curfew("create", "--idle-timout", "5"), 64, b"", "did you mean --idle-timeout")
    expect(curfew("ls", "-l"), 64, b"", "unknown option -l")
    expect(curfew(), 64, b"", "subcommand is missing")
    expect(curfew("show"), 64, b"", "session id is missing")
    expect(curfew("exec", "x"), 64, b"", "command is missing")
    expect(curfew("exec", "", "true"), 64, b"", "session id has")
    expect(curfew("configure"), 64, b"", "setting to change is missing")
    expect(curfew("ls", "--url", "http://x", "--socket", "y"), 64, b"", "exclude")
    expect(curfew("--socket", "y", "serve"), 64, b"", "options of serve stand after it")


def operations():
    """(verb, its flags) of each row of operations.def that has a verb."""
    text = open(os.path.join(PROJECT, "tables", "operations.def"), encoding="utf-8").read()
    rows = re.findall(r'^OPERATION\((\w+), *\w+, *"[^"]*", *"[^"]*", *"([^"]*)", *"([^"]*)"\)', text, re.M)
    flags = re.findall(r'^PARAM\((\w+), *(\w+), .*?"([^"]*)"\)', text, re.M)
    assert len(rows) > 5 and len(flags) > 5
    return [(op, verb, help, [f for f in flags if f[0] == op]) for op, verb, help in rows if verb]


# Given by words, or by the subcommand itself.
NO_FLAGS = {"exec": {"command", "stream", "stdin_base64"}, "exec_show": {"since", "wait", "limit", "encoding"},
            "input": {"text", "base64"}, "signal": {"signal"}, "resize": {"cols", "rows"},
            "attach": {"cols", "rows"}}


@case("--help tells each subcommand and each flag of the operations table")
def _():
    program = " ".join(expect(curfew("--help"), 0, err="^$").stdout.decode().split())
    for op, verb, text, flags in operations():
        assert f"{verb} {text}" in program, verb
        own = " ".join(expect(curfew(verb, "--help"), 0, err="^$").stdout.decode().split())
        for _, name, help in flags:
            if name not in NO_FLAGS.get(op, ()):
                assert f"{'--' + name.replace('_', '-')}" in own.replace("[no-]", "") and help in own, (verb, name)
    assert curfew("help", "exec").stdout == curfew("exec", "--help").stdout == curfew("exec", "x", "-h").stdout


@case("--help documents every exit status of the errors table")
def _():
    text = open(os.path.join(PROJECT, "tables", "errors.def"), encoding="utf-8").read()
    program = " ".join(curfew("--help").stdout.decode().split())
    rows = re.findall(r'^ERROR\(\w+, *"\w+", *\d+, *(\d+), *"([^"]*)"\)', text, re.M)
    assert len(rows) > 10
    for status, words in rows:
        assert re.search(rf" {status} [^0-9]*{re.escape(words)}", program), (status, words)


@case("the manual page has the tables' part as the program renders it")
def _():
    page = open(os.path.join(PROJECT, "man", "curfew.1"), encoding="utf-8").read()
    part = page.split('.\\" tables begin\n')[1].split('.\\" tables end\n')[0]
    assert part == curfew("help", "--man").stdout.decode(), "write it anew: curfew help --man"


# which server

@case("without a server the message tells how to start one, and the exit status is 69")
def _():
    for args in (["ls"], ["create"], ["show", "x"], ["end", "x"], ["stats"], ["cleanup"], ["version"],
                 ["configure", "--session-timeout", "5"]):
        expect(curfew(*args, "--socket", FOLDER + "/none.sock"), 69,
               err=r"no server answers at unix:.*none\.sock \(.*\); start one with: curfew serve")
    expect(curfew("ls", "--url", "http://127.0.0.1:1"), 69, b"", "no server answers at http://127.0.0.1:1")
    for args in (["exec", "x", "true"], ["run", "true"]):
        expect(curfew("--socket", FOLDER + "/none.sock", *args), 125, b"", "no server answers")


@case("a socket that nobody listens on, a server that breaks off and one that is no curfew are told apart")
def _():
    import socket
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(FOLDER + "/dead.sock")
    dead.close()
    expect(curfew("ls", "--socket", FOLDER + "/dead.sock"), 69, b"", "no server answers")
    SERVER.set(lambda request: None)
    expect(curfew("ls"), 69, b"", "broke off")
    assert len(SERVER.requests) == 1
    for reply in (b"hello", b"{}", b"", b'{"status":"success","status":"success","data":{}}', b"[" * 10000):
        SERVER.set((200, reply))
        expect(curfew("ls"), 69, b"", "is no curfew server")


@case("the socket is found as the server's settings say")
def _():
    home = os.path.join(FOLDER, "run")
    os.makedirs(home + "/curfew", exist_ok=True)
    other = StandIn(home + "/curfew/curfew.sock")
    other.set((200, success({"sessions": []})))
    env = {"XDG_RUNTIME_DIR": home, "CURFEW_SOCKET": ""}
    try:
        expect(curfew("ls", env=env), 0)
        assert len(other.requests) == 1
        with open(FOLDER + "/curfew.conf", "w", encoding="utf-8") as file:
            file.write('[server]\nsocket = "%s"\n' % SERVER.path)
        SERVER.set((200, success({"sessions": []})))
        expect(curfew("ls", env={**env, "CURFEW_CONFIG": FOLDER + "/curfew.conf", "CURFEW_SOCKET": ""}), 0)
    finally:
        other.close()


@case("proxies of the environment are not used")
def _():
    SERVER.set((200, success({"sessions": []})))
    expect(curfew("ls", env={"http_proxy": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1"}), 0)


@case("the token comes from CURFEW_TOKEN or a file, and is sent as a bearer token")
def _():
    SERVER.set((200, success({"sessions": []})))
    path = FOLDER + "/token"
    with open(path, "w", encoding="utf-8") as file:
        file.write("s3cret\n")
    expect(curfew("ls"), 0)
    expect(curfew("ls", env={"CURFEW_TOKEN": "abc"}), 0)
    expect(curfew("ls", "--token-file", path, env={"CURFEW_TOKEN": "abc"}), 0)
    expect(curfew("ls", env={"CURFEW_TOKEN_FILE": path}), 0)
    assert [r.headers["Authorization"] for r in SERVER.requests] == [None, "Bearer abc", "Bearer s3cret",
                                                                     "Bearer s3cret"]
    expect(curfew("ls", "--token-file", FOLDER + "/missing"), 77, b"", "missing cannot be read")
    expect(curfew("ls", env={"CURFEW_TOKEN": "a\nX-Evil: 1"}), 64, b"", "one line")
    expect(curfew("ls", env={"CURFEW_TOKEN": "a b"}), 64, b"", "no token may have")
    SERVER.set((401, error("unauthorized", "a bearer token is required")))
    expect(curfew("ls"), 77, b"", "CURFEW_TOKEN or --token-file")


@case("a session id cannot reach another path")
def _():
    SERVER.set((404, error("not_found", "no")))
    for id in ("../cleanup", "..", "a/b", "a?b=c", "a%2e", "a#b", "é", "a b"):
        expect(curfew("show", id), 66)
        path = SERVER.requests[-1].path
        assert path.startswith("/v1/sessions/") and path.count("/") == 3 and SERVER.requests[-1].query == {}, path


# tables

@case("ls prints an aligned table with people's durations")
def _():
    busy = {**SESSION, "session_id": "bash_a-much-longer-workspace_x", "workspace_name": "a-much-longer-workspace",
            "busy": True,
            "inactive_time": 0.2, "idle_left": None, "max_age": None, "age_left": None,
            "created_at": time.time() - 7505}
    failed = {**SESSION, "session_id": "b", "state": "failed", "inactive_time": 90061, "idle_left": 12.9}
    SERVER.set((200, success({"sessions": [SESSION, busy, failed]})))
    head, one, two, three = lines(expect(curfew("ls"), 0).stdout)
    assert head.split() == ["ID", "KIND", "WORKSPACE", "STATE", "IDLE", "AGE", "LEFT", "CONTAINMENT"]
    assert one.split() == ["bash_default_k3v9", "bash", "default", "active", "3m12s", "6m40s", "56m47s",
                           "cgroup+pidns"], one
    assert two.split()[3:] == ["busy", "200ms", "2h5m", "-", "cgroup+pidns"], two
    assert three.split()[3:7] == ["failed", "1d1h", "6m40s", "12s"], three
    for word in ("KIND", "WORKSPACE", "STATE", "IDLE", "AGE", "LEFT", "CONTAINMENT"):
        at = head.index(word)
        assert all(line[at - 1] == " " and line[at] != " " for line in (one, two, three)), word
    assert all(line == line.rstrip() for line in (head, one, two, three))


@case("ls without sessions prints nothing on stdout")
def _():
    SERVER.set((200, success({"sessions": []})))
    expect(curfew("ls"), 0, b"", "^no sessions\n$")
    expect(curfew("ls", "--json"), 0, b'{"sessions": []}\n', "^$")


@case("colours are for terminals without NO_COLOR")
def _():
    import pty
    SERVER.set((200, success({"sessions": [SESSION]})))
    for env, coloured in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
        master, slave = pty.openpty()
        full = {k: v for k, v in ENV.items() if k != "NO_COLOR"}
        subprocess.run([CURFEW, "ls"], env={**full, "TERM": "xterm", **env}, stdout=slave, stderr=subprocess.PIPE,
                       timeout=20, check=True)
        os.close(slave)
        out = os.read(master, 65536)
        os.close(master)
        assert (b"\x1b[" in out) == coloured, out


@case("what a session wrote cannot drive the terminal of show and ls")
def _():
    SERVER.set((200, success({"sessions": [{**SESSION, "workspace_name": "a\x1b]0;x\x07\u009b1mé\n"}]})))
    row = lines(expect(curfew("ls"), 0).stdout)[1]
    assert "a\\x1b]0;x\\x07\\xc2\\x9b1mé\\x0a" in row, row


@case("show prints a live session as key and value")
def _():
    SERVER.set((200, success(SESSION)))
    text = expect(curfew("show", "bash_default_k3v9"), 0, err="^$").stdout.decode()
    fields = dict(re.split(r": +", line, maxsplit=1) for line in text.splitlines())
    for name, value in (("session id", "bash_default_k3v9"), ("inactive time", "3m12s"), ("busy", "no"),
                        ("pid", "4242"),
                        ("created at", "2026-11-20 04:30:00"), ("max age", "1d")):
        assert fields[name] == value, (name, fields)
    assert SERVER.requests[0].path == "/v1/sessions/bash_default_k3v9" and SERVER.requests[0].method == "GET"


@case("show prints an ended session's tombstone, and exits 69")
def _():
    SERVER.set((410, error("gone", "the session has ended", session=TOMBSTONE)))
    text = expect(curfew("show", "bash_default_k3v9"), 69, err="^$").stdout.decode()
    for words in ("reason: +idle", "evidence: +no command for 3601 s", "rung: +interrupted", "exit code: +-",
                  "signal: +2",
                  "ended at: +2026-11-20 05:33:20", "took: +14ms", r"last output:\n    one\n    two \\x1b\[31mred\n"):
        assert re.search(words, text), (words, text)
    out = json.loads(expect(curfew("show", "--json", "x"), 69).stdout)
    assert out["code"] == "gone" and out["session"]["reason"] == "idle"


@case("errors of the server exit as the errors table says")
def _():
    for http, code, status in ((404, "not_found", 66), (410, "gone", 69), (429, "too_many_sessions", 75),
                               (403, "forbidden", 77),
                               (400, "invalid", 64), (500, "spawn_failed", 71), (503, "shutting_down", 75),
                               (500, "from_the_future", 70)):
        SERVER.set((http, error(code, "words")))
        expect(curfew("show", "x"), status, b"", "^curfew: words\n$")


@case("end ends several sessions side by side and goes on after a failure")
def _():
    barrier = threading.Barrier(3)

    def answer(request):
        id = request.path.rsplit("/", 1)[1]
        barrier.wait(10)
        if id == "b":
            return 404, error("not_found", "there is no session b")
        return 200, success({**TOMBSTONE, "session_id": id, "killed": 2})
    SERVER.set(answer)
    result = expect(curfew("end", "a", "b", "c", "--grace", "500ms"), 66, err="^curfew: there is no session b\n$")
    assert lines(result.stdout) == ["a ended in 14ms, 2 killed", "c ended in 14ms, 2 killed"], result.stdout
    assert all(r.query == {"grace": "0.5"} and r.method == "DELETE" for r in SERVER.requests)


@case("end of 200 sessions holds no more than 32 connections at a time")
def _():
    lock, now, most = threading.Lock(), [0], [0]

    def answer(request):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.01)
        with lock:
            now[0] -= 1
        return 200, success(TOMBSTONE)
    SERVER.set(answer)
    result = expect(curfew("end", *[f"s{i}" for i in range(200)]), 0)
    assert len(lines(result.stdout)) == 200 and 1 < most[0] <= 32, most


STATS = {
    "configuration": {"session_timeout": 3600, "cleanup_interval": 300, "auto_cleanup_enabled": True,
                      "max_sessions_per_workspace": 5},
    "statistics": {"total_sessions": 3, "active_sessions": 2, "inactive_sessions": 1, "sessions_to_cleanup": 1,
                   "workspaces_with_sessions": 2},
    "auto_cleanup_task": {"running": True, "task_status": "running"},
    "sessions_pending_cleanup": [{"session_id": "bash_w_a", "workspace_name": "w", "inactive_time": 3650.5,
                                  "will_cleanup": True}]}


@case("S0.7: stats shows settings, counts, the task and who is due, in sections")
def _():
    SERVER.set((200, success(STATS)))
    text = expect(curfew("stats"), 0).stdout.decode()
    for words in (r"^configuration\n  session timeout: +1h\n", r"auto cleanup enabled: +yes",
                  r"\n\nstatistics\n  total sessions: +3\n",
                  r"\n\nauto cleanup task\n  running: +yes\n", r"\n\nsessions pending cleanup\n",
                  r"bash_w_a +w +1h +yes\n"):
        assert re.search(words, text), (words, text)
    SERVER.set((200, success({**STATS, "sessions_pending_cleanup": []})))
    assert curfew("stats").stdout.decode().endswith("sessions pending cleanup\n  none\n")


@case("S0.11: cleanup tells who went and why")
def _():
    SERVER.set((200, success({"cleaned_sessions": 1, "cleanup_time": 1795149000.5, "session_timeout": 3600,
                              "sessions": [
        {"session_id": "bash_w_a", "workspace_name": "w", "inactive_time": 3650.5, "reason": "inactive"}]})))
    head, row = lines(expect(curfew("cleanup", "--grace", "0"), 0).stdout)
    assert head.split() == ["ID", "WORKSPACE", "IDLE", "REASON"] and row.split() == ["bash_w_a", "w", "1h", "inactive"]
    asked = SERVER.requests[0]
    assert (asked.method, asked.path, asked.query, asked.body) == ("POST", "/v1/cleanup", {"grace": "0"}, b"")
    assert asked.headers["Content-Length"] == "0" and asked.headers["Content-Type"] is None, asked.headers
    SERVER.set((200, success({"cleaned_sessions": 0, "sessions": [], "cleanup_time": 1.5, "session_timeout": 3600})))
    expect(curfew("cleanup"), 0, b"", "no session was over its limits")


@case("S0.4: configure sends what is given and prints old and new of what changed")
def _():
    new = {**STATS["configuration"], "session_timeout": 600, "auto_cleanup_enabled": False}
    SERVER.set((200, success({"status": "updated", "old_settings": STATS["configuration"], "new_settings": new,
                              "message": "m"})))
    expect(curfew("configure", "--session-timeout", "10m", "--no-auto-cleanup-enabled"), 0,
           b"session_timeout: 1h -> 10m\nauto_cleanup_enabled: yes -> no\n")
    asked = SERVER.requests[0]
    assert (asked.method, asked.path) == ("PUT", "/v1/cleanup/configure")
    assert asked.json == {"session_timeout": 600, "auto_cleanup_enabled": False}
    SERVER.set((200, success({"old_settings": new, "new_settings": new})))
    expect(curfew("configure", "--auto-cleanup-enabled"), 0, b"", "nothing changed")
    assert SERVER.requests[0].json == {"auto_cleanup_enabled": True}


@case("version tells client and server")
def _():
    SERVER.set((200, success({"version": "9.9"})))
    client, server = lines(expect(curfew("version"), 0).stdout)
    assert server.split() == ["server", "9.9", "unix:" + SERVER.path] and client.split()[0] == "client"
    assert curfew("--version").stdout.decode() == f"curfew {client.split()[1]}\n"
    expect(curfew("version", "--json"), 0, b'{"version": "9.9"}\n')
    assert client in expect(curfew("version", "--socket", "/none"), 69).stdout.decode()


# serve

@case("serve becomes the keeper beside it, with its arguments")
def _():
    folder = os.path.join(FOLDER, "bin dir")
    os.makedirs(folder, exist_ok=True)
    shutil.copy(CURFEW, folder + "/curfew")
    with open(folder + "/curfew-keeper", "w", encoding="utf-8") as file:
        file.write('#!/bin/sh\nprintf "%s|" "$@"\nexit 9\n')
    os.chmod(folder + "/curfew-keeper", 0o755)
    result = subprocess.run([folder + "/curfew", "serve", "--port", "0", "--help", "--check-config", "a b"],
                            stdout=subprocess.PIPE, env=ENV)
    assert result.returncode == 9 and result.stdout == b"--port|0|--help|--check-config|a b|", result


@case("serve without a keeper tells where it looked")
def _():
    folder = os.path.join(FOLDER, "alone")
    os.makedirs(folder, exist_ok=True)
    shutil.copy(CURFEW, folder + "/curfew")
    result = subprocess.run([folder + "/curfew", "serve"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env={**ENV, "CURFEW_PORT": "x"})
    if result.returncode == 0 or b"cannot be started" not in result.stderr:
        skip("curfew is installed on this machine")
    assert result.returncode == 71 and b"curfew-keeper cannot be started" in result.stderr


if __name__ == "__main__":
    main()
