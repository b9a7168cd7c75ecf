#!/usr/bin/env python3
"""Bad input and bad callers: each gets a clear error, changes nothing and loses nothing.

One server for most of it; a session that was made before all of it must still know its variable after each case.
budget: 150
"""
import contextlib
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import time

import harness
from tap import case, run, skip

NOBODY = 65534
BODY_CAP = 4 << 20                      # max_body_bytes, as it is by default
CODES = {400: ("invalid", "malformed", "unknown_field"), 413: ("too_large",), 431: ("too_large",)}
shared = {}


def server():
    if "server" not in shared:
        shared["server"] = harness.Server(header_timeout=1, body_timeout="1500ms", keepalive_timeout=60, max_sessions=50,
                                          max_sessions_per_workspace=20, warm_pool=1,
                                          allowed_origins="https://tools.example,https://other.example")
        shared["session"] = server().create(workspace="before")["session_id"]
        server().exec(shared["session"], "kept=precious; cd /tmp")
    return shared["server"]


def intact():
    """The session from before knows what it knew, and nothing was made."""
    got = server().exec(shared["session"], "echo $kept $PWD")
    assert got["stdout"] == "precious /tmp\n", got
    sessions = server().list()
    assert [s["session_id"] for s in sessions] == [shared["session"]], sessions


def hostile(title):
    def add(function):
        def checked():
            server()
            try:
                function()
                intact()
            finally:                    # what one case made is not counted against the next
                for session in server().list():
                    if session["session_id"] != shared["session"]:
                        server().end(session["session_id"])
        case(title)(checked)
        return function
    return add


def port():
    return int(server().address.rsplit(":", 1)[1])


def connect(over="tcp", to=None):
    to = to or server()
    if over == "unix":
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(20)
        sock.connect(to.sock)
        return sock
    return socket.create_connection(("127.0.0.1", int(to.address.rsplit(":", 1)[1])), timeout=20)


def raw(text, over="tcp", to=None, shut=False):
    """Bytes as they are, and the answer: (status, error code or data, whole text).  The server must close, or answer whole."""
    text = text.encode() if isinstance(text, str) else text
    with contextlib.closing(connect(over, to)) as sock:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            sock.sendall(text)
            if shut:
                sock.shutdown(socket.SHUT_WR)
        data = b""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while part := sock.recv(65536):
                data += part
                head, found, body = data.partition(b"\r\n\r\n")
                if found and b"content-length: " in head.lower():
                    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                    if len(body) >= length:
                        break
    return parse(data)


def parse(data):
    if not data:
        return 0, None, b""
    status = int(data.split(None, 2)[1])
    try:
        body = json.loads(data.partition(b"\r\n\r\n")[2])
        return status, body.get("error", {}).get("code") or body.get("data"), data
    except ValueError:
        return status, None, data


def request(method="GET", path="/v1/sessions", headers=(), body=b"", host="localhost"):
    body = body.encode() if isinstance(body, str) else body
    lines = [f"{method} {path} HTTP/1.1"] + ([f"Host: {host}"] if host is not None else []) + list(headers)
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def post(body, path="/v1/sessions"):
    body = body.encode() if isinstance(body, str) else body
    return request("POST", path, ["Content-Type: application/json", f"Content-Length: {len(body)}"], body)


# ---- JSON

@hostile("malformed, oversized, deeply nested and duplicate-key JSON is refused with 400, with where it went wrong")
def _():
    for body in ('{', '{"workspace":', '{"workspace":"x"', '{"workspace":"x"}}', '{"workspace":"x",}', "{'workspace':'x'}", '[]', '"x"', '7', 'null',
                 'true', '[{"workspace":"x"}]', '{"workspace":"x"} trailing', '{workspace:"x"}', '{"workspace":"\\x"}', '{"workspace":"\n"}',
                 '{"workspace":"\\ud800"}', '{"workspace":"x" "kind":"bash"}', '{"workspace":"x","workspace":"y"}',
                 '{"env":{"A":"1","A":"2"}}', '[' * 100000, '{"a":' * 100000, '{"env":' + '{"a":' * 5000 + '1' + '}' * 5001, '\ufeff{}',
                 b'{"workspace":"\xff\xfe"}', b'{"workspace":"\xed\xa0\x80"}', b'\x00', b'{}\x00', b'{"workspace"\x00:"x"}',
                 '{"idle_timeout":NaN}', '{"idle_timeout":Infinity}', '{"idle_timeout":-Infinity}', '{"idle_timeout":01}', '{"idle_timeout":1.}',
                 '{"idle_timeout":+1}', '{"idle_timeout":0x10}', '{"idle_timeout":1e999}', '{"idle_timeout":1' + '0' * 400 + '}'):
        status, code, text = raw(post(body))
        assert status == 400 and code in CODES[400], (body[:60], status, code, text[-300:])
        assert b'"message":"' in text, text


@hostile("unknown fields and wrong types are refused by name, in every operation")
def _():
    for path, body, code, field in (
            ("/v1/sessions", {"workspace": "x", "colour": "red"}, "unknown_field", "colour"),
            ("/v1/sessions", {"Workspace": "x"}, "unknown_field", "Workspace"),
            ("/v1/sessions", {"workspace": 7}, "invalid", "workspace"), ("/v1/sessions", {"workspace": None}, "invalid", "workspace"),
            ("/v1/sessions", {"workspace": ["x"]}, "invalid", "workspace"), ("/v1/sessions", {"kind": "cow"}, "invalid", "kind"),
            ("/v1/sessions", {"kind": True}, "invalid", "kind"), ("/v1/sessions", {"cwd": 3}, "invalid", "cwd"),
            ("/v1/sessions", {"env": []}, "invalid", "env"), ("/v1/sessions", {"env": {"A": 1}}, "invalid", "env"),
            ("/v1/sessions", {"env": {"": "x"}}, "invalid", "env"), ("/v1/sessions", {"env": {"A=B": "x"}}, "invalid", "env"),
            ("/v1/sessions", {"env": {"A B": "x"}}, "invalid", "env"), ("/v1/sessions", {"env": {"a;touch /tmp/x": "x"}}, "invalid", "env"),
            ("/v1/sessions", {"env": {"A": "x\0y"}}, "invalid", "env"), ("/v1/sessions", {"env": {f"V{i}": "" for i in range(257)}}, "invalid", "env"),
            ("/v1/sessions", {"idle_timeout": True}, "invalid", "idle_timeout"), ("/v1/sessions", {"idle_timeout": "soon"}, "invalid", "idle_timeout"),
            (f"/v1/sessions/{shared['session']}/exec", {"command": "touch /tmp/no", "stdout": "x"}, "unknown_field", "stdout"),
            (f"/v1/sessions/{shared['session']}/exec", {"command": 7}, "invalid", "command"),
            (f"/v1/sessions/{shared['session']}/exec", {"command": "true", "timeout": []}, "invalid", "timeout"),
            (f"/v1/sessions/{shared['session']}/heartbeat", {"x": 1}, "unknown_field", "x")):
        error = server().fails(400, code, "POST", path, body)
        assert error["field"] == field, (body, error)
    assert server().fails(400, "unknown_field", "DELETE", f"/v1/sessions/{shared['session']}?force=1")["field"] == "force"
    assert server().fails(400, "unknown_field", "GET", "/v1/sessions?x=1")["field"] == "x"


@hostile("zero, negative, fractional, huge numbers and bad durations are refused where they make no sense, and change nothing")
def _():
    before = server().stats()["configuration"]
    exec_path = f"/v1/sessions/{shared['session']}/exec"
    for value in (0, -1, -0.5, 0.999, 1e300, 315360001, 2**63, -2**63, 10**30, "", "-1", "0", "1 h", "1h-", "9" * 40, "1e9y", "\0"):
        for field in ("idle_timeout", "max_age"):
            error = server().request("POST", "/v1/sessions", {field: value})
            assert error[0] == 400, (field, value, error)
        for field in ("session_timeout", "cleanup_interval"):
            assert server().request("PUT", "/bash/auto-cleanup/configure", {field: value})[0] == 400, (field, value)
    for value in (-1, -0.001, 1e300, 31536001, "x", "-3s", 10**25):
        assert server().request("POST", exec_path, {"command": "touch /tmp/no", "timeout": value})[0] == 400, value
    for value in ("-1", "x", "1e400", "nan", "inf", "3601", "", "%00", "1%", "%zz", "1&grace=2"):
        status, answer = server().request("DELETE", f"/v1/sessions/{shared['session']}?grace={value}")
        assert status == 400, (value, status, answer)
    assert server().stats()["configuration"] == before


# ---- names and paths

@hostile("workspace names that are no plain name are refused, and make no folder")
def _():
    root = server().workspaces
    above = sorted(os.listdir(os.path.dirname(root)))
    before = sorted(os.listdir(root))
    for name in ("../x", "..", ".", "/tmp/x", "/", "a/b", "a/", "", "x" * 65, ".hidden", "a b", "a\0b", "a\nb", "é", "\U0001f600", "a\\b", "~", "$HOME",
                 "%2e%2e", "*", "-\t"):
        error = server().fails(400, "invalid", "POST", "/v1/sessions", {"workspace": name})
        assert error["field"] == "workspace", (name, error)
    for name in (b"\xff\xfe", b"a\xc0\x80", b"\xf5\x80\x80\x80"):
        status, code, _ = raw(post(b'{"workspace":"' + name + b'"}'))
        assert (status, code) == (400, "malformed"), (name, status, code)
    assert sorted(os.listdir(root)) == before and sorted(os.listdir(os.path.dirname(root))) == above
    for name in ("x" * 64, "-", "A.b_c-9", "a..b"):
        server().end(server().create(workspace=name)["session_id"])


@hostile("a link out of the workspace folder is followed neither as a workspace nor as a cwd")
def _():
    root = server().workspaces
    out = os.path.join(server().folder, "outside")
    os.makedirs(out, exist_ok=True)
    os.makedirs(os.path.join(root, "links", "in"), exist_ok=True)
    for link, to in (("linked", out), ("dangling", "/nowhere"), ("twin", "before"), ("up", ".."), ("links/out", out), ("links/etc", "/etc"),
                     ("links/up", "../.."), ("links/proc", "/proc/self/cwd"), ("links/inner", "in"), ("links/loop", "loop")):
        with contextlib.suppress(FileExistsError):
            os.symlink(to, os.path.join(root, link))
    open(os.path.join(root, "afile"), "w", encoding="utf-8").close()
    for name in ("linked", "dangling", "twin", "up", "afile"):
        server().fails(403, "workspace_unusable", "POST", "/v1/sessions", {"workspace": name})
    for cwd in ("out", "etc", "up", "proc", "../before", "..", "/etc", "/", "in/../..", "loop", "nothere", "in/nothere", "out/.."):
        status, answer = server().request("POST", "/v1/sessions", {"workspace": "links", "cwd": cwd})
        assert status in (400, 403) and answer["error"]["field"] == "cwd", (cwd, status, answer)
    for cwd in ("in", "inner", ".", "in/.."):
        session = server().create(workspace="links", cwd=cwd)["session_id"]
        got = server().exec(session, "/bin/pwd")["stdout"].strip()
        assert got in (os.path.join(root, "links"), os.path.join(root, "links", "in")), got
        server().end(session)
    assert os.listdir(out) == []


@hostile("unknown sessions are 404, ended ones 410 with how they ended, in every operation; odd ids are 404")
def _():
    ended = server().create(workspace="x")["session_id"]
    server().end(ended)
    for method, tail, body in (("GET", "", None), ("DELETE", "", None), ("POST", "/exec", {"command": "touch /tmp/no"}), ("POST", "/heartbeat", None)):
        server().fails(404, "not_found", method, f"/v1/sessions/bash_x_nosuchsession{tail}", body)
        error = server().fails(410, "gone", method, f"/v1/sessions/{ended}{tail}", body)
        assert error["session"]["reason"] == "requested", error
    for odd in ("..", "%2e%2e", "a%00b", "%ff", "a" * 300, "a" * 3000, ended.upper() + "x", "%2Fetc%2Fpasswd", "x/../" + shared["session"]):
        assert server().request("GET", f"/v1/sessions/{odd}")[0] in (400, 404), odd
    for path in ("/", "//", "/v1", "/v1/sessions/", "/v1/sessions//exec", "/V1/sessions", "/v1/sessions/%zz", "/etc/passwd", "/../../etc/passwd"):
        assert raw(request(path=path))[0] in (400, 404, 405), path
    assert raw(request("PATCH"))[0] == 405 and raw(request("FOO"))[0] == 405


# ---- framing

@hostile("requests whose end is not clear are refused, and what follows is not taken for a request")
def _():
    smuggled = request("POST", f"/v1/sessions/{shared['session']}/exec", ["Content-Type: application/json", "Content-Length: 27"],
                       '{"command":"kept=smuggled"}')
    for headers in (["Content-Length: 5", "Transfer-Encoding: chunked"], ["Transfer-Encoding: chunked"], ["Transfer-Encoding: identity"],
                    ["Content-Length: 2", "Content-Length: 2"], ["Content-Length: 0", "Content-Length: 5"], ["Content-Length: 5x"],
                    ["Content-Length: -1"], ["Content-Length: +5"], ["Content-Length: 0x5"], ["Content-Length: 5, 5"], ["Content-Length: "],
                    ["Content-Length: 5 5"], ["Content-Length: 99999999999999999999999"], ["Content-Length: 1e3"], ["Content-Length : 2"],
                    [" Content-Length: 2"], ["Host: localhost", "Content-Length: 0"]):
        status, code, text = raw(request("POST", "/v1/sessions", headers + ["Content-Type: application/json"], b"0\r\n\r\n" + smuggled))
        assert status in (400, 413), (headers, status, code, text[:300])
        assert b"200 OK" not in text and b"201 Created" not in text, text
    for text in (b"GARBAGE\r\n\r\n", b"GET\r\n\r\n", b"GET /v1/sessions\r\n\r\n", b"GET /v1/sessions HTTP/9.9\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\x02\x00\x01",
                 b"GET /v1/sessions HTTP/1.1\r\n\r\n", b"GET /v1/sessions HTTP/1.1\r\nHost: a b\r\n\r\n", b"GET /v1/\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
                 b"\r\n" * 100, b"GET /v1/sessions HTTP/1.1\r\nHost: localhost\r\nX\x00Y: 1\r\n\r\n"):
        status, code, answer = raw(text, shut=True)
        assert status == 0 or status >= 400, (text, status, answer[:200])


@hostile("a header that is folded over two lines does not hide where a request ends")
def _():
    body = b'{"workspace":"aaaaaaaaaaa"}'
    for headers in (["Content-Length: 27", " folded"], ["Content-Length:", " 27"], ["Content-Length:", "\t27"]):
        text = request("POST", "/v1/sessions", headers + ["Content-Type: application/json"], body + request(path="/healthz"))
        with contextlib.closing(connect()) as sock:
            sock.sendall(text)
            sock.settimeout(2)          # the refusal closes; two answers and an open connection are the failure
            answer = b""
            with contextlib.suppress(socket.timeout, ConnectionResetError):
                while part := sock.recv(65536):
                    answer += part
        made = [s["session_id"] for s in server().list() if s["session_id"] != shared["session"]]
        for one in made:
            server().end(one)
        assert answer.count(b"HTTP/1.1 ") == 1 and b" 400 " in answer[:16], f"{headers}: taken as two requests or more: {answer!r}"


@hostile("a 70 KB header is refused with 431, a body over the cap with 413, and the connection is closed")
def _():
    status, code, text = raw(request(headers=["X-Long: " + "x" * 70000]))
    assert status in (400, 413, 431) or status == 0, (status, text[:200])
    status, code, text = raw(request(headers=["X-Long: " + "x" * 9000]))
    assert status == 431, (status, text[:300])
    assert raw(request(headers=[f"X-{i}: {i}" for i in range(2000)]))[0] in (413, 431)
    assert raw(request(path="/v1/sessions?" + "x" * 70000))[0] in (0, 400, 413, 414, 431)
    status, code, text = raw(post('{"command":"' + "x" * BODY_CAP + '"}', f"/v1/sessions/{shared['session']}/exec"))
    assert (status, code) == (413, "too_large") and b"connection: close" in text.lower(), (status, code, text[:300])
    status, code, text = raw(request("POST", "/v1/sessions", ["Content-Type: application/json", "Content-Length: 99999999999"]))
    assert (status, code) == (413, "too_large"), (status, text[:300])


@hostile("half a request, headers and a body of one byte at a time are cut at the deadline, not before and not never")
def _():
    head = request("POST", "/v1/sessions", ["Content-Type: application/json", "Content-Length: 1000"])
    cases = {"nothing": (b"", 1.0), "half a line": (b"POST /v1/se", 1.0), "half a head": (head[:60], 1.0), "half a body": (head + b'{"works', 1.5)}
    drips = {"a dripping head": (b"", b"GET /v1/sessions HTTP/1.1\r\nX: " + b"x" * 1000, 1.0), "a dripping body": (head, b'{"workspace":"' + b"x" * 1000, 1.5)}
    socks = {}
    since = time.monotonic()
    for name, (text, deadline) in cases.items():
        socks[name] = [connect(), deadline, b"", None]
        socks[name][0].sendall(text)
    for name, (text, drip, deadline) in drips.items():
        socks[name] = [connect(), deadline, drip, None]
        socks[name][0].sendall(text)
    for entry in socks.values():
        entry[0].setblocking(False)
    while time.monotonic() - since < 8 and any(entry[3] is None for entry in socks.values()):
        for entry in socks.values():
            if entry[3] is not None:
                continue
            with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                if entry[2]:
                    entry[0].send(entry[2][:1])
                    entry[2] = entry[2][1:]
            try:
                if entry[0].recv(4096) == b"":
                    entry[3] = time.monotonic() - since
            except BlockingIOError:
                pass
            except ConnectionResetError:
                entry[3] = time.monotonic() - since
        time.sleep(0.02)                # the drip
    for name, (sock, deadline, _, cut) in socks.items():
        sock.close()
        assert cut is not None and deadline * 0.9 <= cut < deadline + 4, f"{name}: cut after {cut}, deadline {deadline}"


@hostile("a client that hangs up in the middle of a request or of an answer harms nobody")
def _():
    for text in (b"POST", post('{"workspace":"x"}')[:-3], request("POST", "/v1/sessions", ["Content-Length: 50"]), request()):
        for _ in range(20):
            sock = connect()
            sock.sendall(text)
            sock.close()
    session = server().create(workspace="x")["session_id"]
    sock = connect()
    sock.sendall(post('{"command":"sleep 0.5; head -c 500000 /dev/zero"}', f"/v1/sessions/{session}/exec"))
    harness.wait_for(lambda: server().show(session)["busy"], "the command runs")
    sock.close()
    harness.wait_for(lambda: not server().show(session)["busy"] and server().show(session)["message_count"] == 1, "the command came to its end")
    assert server().exec(session, "echo next")["stdout"] == "next\n"
    server().end(session)


# ---- many connections

def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


@case("2,000 idle connections: others are answered meanwhile, and all descriptors are free afterwards")
def _():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2200:
        skip(f"only {hard} descriptors are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2200), hard))
    with harness.Server(warm_pool=0, header_timeout=60) as own:
        session = own.create(workspace="before")["session_id"]
        before = descriptors(own.server_pid)
        idle = [connect(to=own) for _ in range(1000)]
        for sock in idle[::2]:
            sock.sendall(b"GET /v1/sess")
        for _ in range(1000):           # and as many that were served once and stay
            sock = connect(to=own)
            sock.sendall(request(path="/healthz"))
            idle.append(sock)
        for sock in idle[1000:]:
            assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        since = time.monotonic()
        for _ in range(20):
            assert own.exec(session, "echo still")["stdout"] == "still\n"
        assert time.monotonic() - since < 10
        # A few either way: the last request's connection may still have been open, the next shell not made yet.
        harness.wait_for(lambda: descriptors(own.server_pid) >= before + 1990, "all are accepted")
        for sock in idle:
            sock.close()
        harness.wait_for(lambda: descriptors(own.server_pid) <= before + 10, "the descriptors are free again")


@case("connections over max_connections are closed at once; those that are open go on, and room is used again")
def _():
    with harness.Server(warm_pool=0, max_connections=20, header_timeout=60) as own:
        first = own.connection()
        first.request("GET", "/healthz")
        first.getresponse().read()
        idle = [connect(to=own) for _ in range(19)]
        harness.wait_for(lambda: raw(request(path="/healthz"), to=own)[0] == 0, "the 21st is closed unserved")
        first.request("GET", "/healthz")
        assert first.getresponse().read()
        for sock in idle:
            sock.close()
        harness.wait_for(lambda: raw(request(path="/healthz"), to=own)[0] == 200, "there is room again")
        first.close()


@case("descriptors exhausted: sessions that live go on, new ones get a clear error, and afterwards all is well")
def _():
    limit = 160
    prefix = [sys.executable, "-c", "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (%d, %d)); "
              "os.execv(sys.argv[1], sys.argv[1:])" % (limit, limit)]
    with harness.Server(warm_pool=0, prefix=prefix, max_connections=400, max_sessions_per_workspace=500, header_timeout=60) as own:
        session = own.create(workspace="before")["session_id"]
        assert own.exec(session, "kept=precious")["exit_code"] == 0
        made, refusal = [], None
        for _ in range(200):
            status, answer = own.request("POST", "/v1/sessions", {"workspace": "x"})
            if status != 201:
                refusal = (status, answer)
                break
            made.append(answer["data"]["session_id"])
        assert refusal and refusal[0] in (429, 500, 503) and "open files" in refusal[1]["error"]["message"].lower(), refusal
        got = own.exec(session, "echo $kept; echo $kept | cat >&2")
        assert got["stdout"] == "precious\n" and got["stderr"] == "precious\n", got
        for one in made[:10]:
            own.end(one)
        idle = []
        for _ in range(limit):
            with contextlib.suppress(OSError):
                idle.append(connect(to=own))
        for sock in idle:
            sock.close()
        harness.wait_for(lambda: own.request("GET", "/healthz")[0] == 200, "it answers again")
        assert own.exec(session, "echo $kept")["stdout"] == "precious\n"
        again = own.create(workspace="x")["session_id"]
        assert own.exec(again, "echo again")["stdout"] == "again\n"


# ---- who may

AS_NOBODY = r'''
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
kind, where, text = sys.argv[1], sys.argv[2], sys.stdin.buffer.read()
if kind == "unix":
    s = socket.socket(socket.AF_UNIX); s.connect(where)
else:
    s = socket.socket(); s.connect(("127.0.0.1", int(where)))
s.settimeout(20)
s.sendall(text)
data = b""
try:
    while part := s.recv(65536):
        data += part
except OSError:
    pass
sys.stdout.buffer.write(data)
'''


def as_nobody(text, over):
    if os.geteuid() != 0:
        skip("only root can call as another user")
    where = server().sock if over == "unix" else str(port())
    done = subprocess.run([sys.executable, "-c", AS_NOBODY, over, where], input=text, capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return parse(done.stdout)


def token():
    with open(os.path.join(server().state, "token"), encoding="utf-8") as file:
        return file.read().strip()


@hostile("a caller of another uid needs the token, over TCP and over the Unix socket, and the token file is its owner's alone")
def _():
    path = os.path.join(server().state, "token")
    assert os.stat(path).st_mode & 0o777 == 0o600 and len(token()) >= 32
    close = "Connection: close"
    for over in ("tcp", "unix"):
        for headers in ([], ["Authorization: Bearer wrong"], ["Authorization: Basic " + token()], [f"Authorization: Bearer {token()}x"],
                        ["Authorization: Bearer "], ["X-Forwarded-For: 127.0.0.1"]):
            status, code, text = as_nobody(request(headers=headers + [close]), over)
            assert (status, code) == (401, "unauthorized") and b"www-authenticate: bearer" in text.lower(), (over, headers, status, code)
        body = b'{"command":"kept=stolen"}'
        text = request("POST", f"/v1/sessions/{shared['session']}/exec", ["Content-Type: application/json", f"Content-Length: {len(body)}", close], body)
        assert as_nobody(text, over)[:2] == (401, "unauthorized")
        assert as_nobody(request(headers=[f"Authorization: Bearer {token()}", close]), over)[0] == 200
        assert as_nobody(request(path="/healthz", headers=[close]), over)[0] == 200


@hostile("a wrong token is refused, also from the same uid; two Authorization headers are refused")
def _():
    assert raw(request(headers=["Authorization: Bearer wrong"]))[:2] == (401, "unauthorized")
    assert raw(request(headers=[f"Authorization: Bearer {token()[:-1]}"]))[:2] == (401, "unauthorized")
    assert raw(request(headers=[f"Authorization: Bearer {token()}"]))[0] == 200
    assert raw(request(headers=[f"Authorization: Bearer {token()}", "Authorization: Bearer x"]))[0] == 400


@hostile("a client that is gone when it is looked at is not taken for root")
def _():
    text = post('{"command":"kept=ghost"}', f"/v1/sessions/{shared['session']}/exec")
    if os.geteuid() != 0:
        skip("only root can call as another user")
    ghost = AS_NOBODY.split("s.settimeout")[0] + "s.sendall(text); os._exit(0)\n"
    for _ in range(20):
        subprocess.run([sys.executable, "-S", "-c", ghost, "tcp", str(port())], input=text, timeout=30, check=True)


@hostile("a foreign Host is refused with 421, a foreign Origin with 403; a listed Origin and every name of loopback may")
def _():
    for host in ("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "192.0.2.1", "[2001:db8::1]", "0.0.0.0", "2130706433"):
        assert raw(request(host=host))[:2] == (421, "misdirected"), host
    for host in ("localhost", f"localhost:{port()}", "127.0.0.1", "127.8.9.10:1", "[::1]", "LOCALHOST"):
        assert raw(request(host=host))[0] == 200, host
    for host in ("", "a b", "localhost:80:80", "[::1", "local host", "localhost@evil.example", "evil.example/localhost"):
        assert raw(request(host=host))[0] in (400, 421), host
    for origin in ("https://evil.example", "null", "http://localhost.evil.example", "https://tools.example.evil.example", "http://tools.example",
                   "https://tools.example:444", "http://127.0.0.1:1", "file://", "https://tools.example,https://other.example", ""):
        assert raw(request(headers=[f"Origin: {origin}"]))[:2] == (403, "forbidden"), origin
    for origin in ("https://tools.example", "https://other.example"):
        assert raw(request(headers=[f"Origin: {origin}"]))[0] == 200, origin
    assert raw(request(headers=["Origin: https://tools.example", "Origin: https://evil.example"]))[0] == 400
    body = b'{"command":"kept=csrf"}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx", "text/json", ""):
        status, code, _ = raw(request("POST", f"/v1/sessions/{shared['session']}/exec", [f"Content-Type: {kind}", f"Content-Length: {len(body)}"], body))
        assert (status, code) == (415, "unsupported_media_type"), (kind, status, code)
    assert raw(request("POST", f"/v1/sessions/{shared['session']}/exec", [f"Content-Length: {len(body)}"], body))[0] == 415
    assert raw(request("GET", "/v1/sessions", ["Content-Type: application/json", "Content-Length: 2"], b"{}"))[0] == 400


@case("with token_required the same uid needs the token too, over both sockets")
def _():
    with harness.Server(token_required=True, warm_pool=0) as own:
        with open(os.path.join(own.state, "token"), encoding="utf-8") as file:
            secret = file.read().strip()
        for over in ("tcp", "unix"):
            own.fails(401, "unauthorized", "GET", "/v1/sessions", over=over)
            assert own.request("GET", "/v1/sessions", headers={"Authorization": f"Bearer {secret}"}, over=over)[0] == 200


# ---- a full disk

@case("a full disk under the workspaces: commands run and say so, sessions start and live, nothing is lost")
def _():
    with harness.Server(warm_pool=0, wait=False, status=None) as first:
        folder = first.folder + "-disk"
    with harness.tiny_disk(folder) as disk:
        with harness.Server(warm_pool=0, workspace_dir=os.path.join(disk, "w")) as own:
            session = own.create(workspace="a")["session_id"]
            own.exec(session, "kept=precious; echo data >file")
            harness.fill(disk)
            got = own.exec(session, "echo more >more; echo $?; echo $kept; cat file")
            assert got["stdout"].endswith("precious\ndata\n") and "No space left" in got["stderr"], got
            status, answer = own.request("POST", "/v1/sessions", {"workspace": "a"})
            assert status == 201, answer
            status, answer = own.request("POST", "/v1/sessions", {"workspace": "new"})
            assert status in (201, 403), answer
            os.unlink(os.path.join(disk, "filler"))
            assert own.exec(session, "echo more >more; cat more")["stdout"] == "more\n"
    os.rmdir(folder)


@case("a full disk under state and runtime folders: the session goes on, short and long commands alike get an answer, and it recovers")
def _():
    with harness.Server(warm_pool=0, wait=False, status=None) as first:
        folder = first.folder + "-disk"
    with harness.tiny_disk(folder, "256k") as disk:
        with harness.Server(warm_pool=0, state_dir=os.path.join(disk, "s"), runtime_dir=os.path.join(disk, "r"),
                            workspace_dir=folder + "-w") as own:
            session = own.create(workspace="a")["session_id"]
            own.exec(session, "kept=precious")
            harness.fill(disk)
            assert own.exec(session, "echo $kept")["stdout"] == "precious\n"
            status, answer = own.request("POST", f"/v1/sessions/{session}/exec", {"command": "#" + "x" * 100000 + "\necho long"})
            assert status == 200 and answer["data"]["stdout"] == "long\n" or status >= 500 and answer["error"]["message"], answer
            assert own.exec(session, "echo $kept")["stdout"] == "precious\n"
            for _ in range(4):              # one that has to wait for its turn, since a job was just left, fails alike
                own.exec(session, "sleep 0.1 &")
                status, answer = own.request("POST", f"/v1/sessions/{session}/exec", {"command": "#" + "x" * 100000 + "\necho long"})
                assert status == 200 or status >= 500 and "No space left" in answer["error"]["message"], answer
            status, answer = own.request("POST", f"/v1/sessions/{session}/exec", {"command": "#" + "x" * 100000, "detach": True})
            if status == 202:
                record = own.ok("GET", f"/v1/sessions/{session}/execs/{answer['data']['exec']}?wait=10000")
                assert record["lost"] is None or "No space left" in record["lost"], record
            assert own.exec(session, "echo $kept")["stdout"] == "precious\n"
            status, answer = own.request("POST", "/v1/sessions", {"workspace": "a"})
            assert status == 201 or answer["error"]["message"], answer
            os.unlink(os.path.join(disk, "filler"))
            assert own.exec(session, "#" + "x" * 100000 + "\necho long $kept")["stdout"] == "long precious\n"
            assert own.exec(own.create(workspace="a")["session_id"], "echo anew")["stdout"] == "anew\n"
    os.rmdir(folder)
    shutil.rmtree(folder + "-w")


@case("after all of this the server stops clean")
def _():
    if "server" in shared:
        intact()
        shared["server"].stop()
        shared.pop("server").discard()


def cleanup():
    if "server" in shared:
        shared["server"].tell_log()
        shared["server"].discard()


if __name__ == "__main__":
    run(cleanup)
