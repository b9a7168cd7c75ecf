"""Settings as an operator gives them: file, environment, flags, at run time; and starts that have to be refused."""
import contextlib
import os
import pwd
import re
import shutil
import socket
import stat
import subprocess

from harness import Server, alive, clean_env, curfew, folder, program_of, serve, wait_for
from tap import case, run, skip

# The configuration example of seed document 003, as printed.
SAMPLE = """[session]
cleanup_interval_secs = 60
max_idle_time_secs = 3600
max_session_age_secs = 86400
max_sessions = 1000
cleanup_on_shutdown = true
"""


@contextlib.contextmanager
def config(text):
    """A file with the text: its path."""
    with folder() as path:
        path = os.path.join(path, "curfew.toml")
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        yield path


def another(name="nobody"):
    """What to write before a command for it to run as that user, or a skipped test."""
    if os.geteuid() != 0:
        skip("only root can become another user")
    if not shutil.which("setpriv"):
        skip("setpriv is not installed")
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        skip(f"there is no user {name}")
    prefix = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    if subprocess.run([*prefix, "test", "-x", curfew()], timeout=20, check=False).returncode != 0:
        skip(f"the user {name} cannot run {curfew()}")
    return prefix


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def configuration(s):
    return s.stats()["configuration"]


# ---- file

@case("S3.4: the configuration example of document 003 loads as printed")
def _():
    with config(SAMPLE) as path:
        done = serve("--check-config", config=path)
        assert done.returncode == 0 and "fine" in done.stdout and done.stderr == "", done
        with Server(config=path) as s:
            now = configuration(s)
            assert now["cleanup_interval"] == 60 and now["session_timeout"] == 3600
            made = s.create()
            assert made["idle_timeout"] == 3600 and made["max_age"] == 86400


@case("S3.4: each key of that example is obeyed")
def _():
    changed = SAMPLE
    for old, new in ((" 60\n", " 61\n"), ("3600", "3601"), ("86400", "86401"), ("1000", "1"), ("true", "false")):
        changed = changed.replace(old, new)
    with config(changed) as path, Server(config=path, grace=3600) as s:
        now = configuration(s)
        assert now["cleanup_interval"] == 61 and now["session_timeout"] == 3601
        made = s.create()
        assert made["idle_timeout"] == 3601 and made["max_age"] == 86401
        s.fails(429, "too_many_sessions", "POST", "/v1/sessions", {"workspace": "other"})
        # cleanup_on_shutdown = false: an hour of grace is not given, or this would take an hour.


@case("a file with sections, comments, lists and durations as text is read")
def _():
    text = """# what an operator writes
[server]
host = "localhost"              # a comment
port = 0
allowed_origins = "https://a.example, https://b.example"

[session]
session_timeout = "1h30m"
cleanup_interval = 2.5
[exec]
warm_pool = 0
"""
    with config(text) as path, Server(config=path, port=None) as s:
        assert configuration(s)["session_timeout"] == 5400 and configuration(s)["cleanup_interval"] == 2.5
        assert s.request("GET", "/healthz", headers={"Origin": "https://b.example"})[0] == 200
        assert s.request("GET", "/healthz", headers={"Origin": "https://c.example"})[0] == 403


@case("every mistake is told at once, each with its place, by --check-config and at the start alike")
def _():
    text = """[session]
session_timeout = 0
cleanup_interval = "soon"
max_sesions = 3
auto_cleanup_enabled = maybe
max_sessions = 5
max_sessions = 6
[nosuch]
x = 1
[server]
port = 70000
host = "127.0.0.1
"""
    places = {2: "session_timeout", 3: "cleanup_interval", 4: "max_sesions.*max_sessions", 5: "auto_cleanup_enabled",
              7: "max_sessions.*line 6", 8: "nosuch", 11: "port.*65535", 12: "host"}
    with config(text) as path:
        told = None
        for more in (["--check-config"], []):
            done = serve(*more, "--lease=no", config=path, env=clean_env(CURFEW_WARM_POOL="many", CURFEW_TYPO="1"))
            assert done.returncode == 64 and done.stdout == "", done
            for line, what in places.items():
                assert re.search(rf"^{re.escape(path)}:{line}: .*{what}", done.stderr, re.M), (line, done.stderr)
            for what in ("CURFEW_WARM_POOL", "CURFEW_TYPO", "--lease"):
                assert what in done.stderr, done.stderr
            assert len(done.stderr.splitlines()) == len(places) + 3, done.stderr
            assert told in (None, done.stderr)
            told = done.stderr


@case("a file that is not there, and a flag that does not exist, are told")
def _():
    done = serve("--check-config", config="/nonexistent/curfew.toml")
    assert done.returncode == 64 and "/nonexistent/curfew.toml" in done.stderr, done
    done = serve("--check-config", "--sesion-timeout=5")
    assert done.returncode == 64 and "--sesion-timeout" in done.stderr and "--session-timeout" in done.stderr, done
    done = serve("--check-config", "--session-timeout")
    assert done.returncode == 64 and "--session-timeout" in done.stderr, done


@case("--check-config starts nothing and makes nothing")
def _():
    with folder() as path:
        done = serve("--check-config", state_dir=path + "/state", runtime_dir=path + "/run", port=0)
        assert done.returncode == 0 and os.listdir(path) == [], (done, os.listdir(path))


@case("serve --help lists every setting with its default")
def _():
    done = serve("--help")
    assert done.returncode == 0
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with open(os.path.join(root, "tables", "settings.def"), encoding="utf-8") as table:
        names = re.findall(r"^SETTING\((\w+),", table.read(), re.M)
    assert len(names) > 30
    for name in names:
        assert "--" + name.replace("_", "-") in done.stdout, name


# ---- rank

@case("the rank is default, file, environment, flag, run time")
def _():
    with config("[session]\nsession_timeout = 10\ncleanup_interval = 11\nmax_sessions_per_workspace = 12\n") as path:
        env = {"CURFEW_CLEANUP_INTERVAL": "21", "CURFEW_SESSION_TIMEOUT": "20"}
        with Server(config=path, cleanup_interval=31, env=env) as s:
            assert configuration(s) == {"session_timeout": 20, "cleanup_interval": 31, "auto_cleanup_enabled": True,
                                        "max_sessions_per_workspace": 12}
            s.ok("PUT", "/v1/cleanup/configure", {"cleanup_interval": 41})
            assert configuration(s)["cleanup_interval"] == 41
        with Server(env={"CURFEW_CONFIG": path}) as s:
            assert configuration(s)["session_timeout"] == 10, "the environment may name the file"


@case("of two variables for one setting the one with the prefix wins, and an empty one counts as not set")
def _():
    with Server(env={"CURFEW_SESSION_TIMEOUT": "20", "SESSION_TIMEOUT": "30", "CURFEW_CLEANUP_INTERVAL": "",
                     "CLEANUP_INTERVAL": "40"}) as s:
        assert configuration(s)["session_timeout"] == 20 and configuration(s)["cleanup_interval"] == 40


@case("S1.6: PORT, WORKSPACE_DIR, SESSION_TIMEOUT=10m and CLEANUP_INTERVAL=1m work, and show in the stats")
def _():
    with folder() as path:
        for _ in range(5):              # somebody else may take the port in between
            port = free_port()
            try:
                s = Server(port=None, env={"PORT": port, "WORKSPACE_DIR": path, "SESSION_TIMEOUT": "10m",
                                           "CLEANUP_INTERVAL": "1m"})
                break
            except AssertionError as error:
                assert "in use" in str(error), error
        with s:
            assert s.address == f"127.0.0.1:{port}"
            assert configuration(s)["session_timeout"] == 600 and configuration(s)["cleanup_interval"] == 60
            made = s.create(workspace="w")
            assert made["idle_timeout"] == 600
            assert s.exec(made["session_id"], "pwd -P")["stdout"] == os.path.realpath(path) + "/w\n"


@case("S1.6: WORKSPACE_DIR=. is the folder that the server was started in")
def _():
    with Server(env={"WORKSPACE_DIR": "."}) as s:
        made = s.create(workspace="w")["session_id"]
        assert s.exec(made, "pwd")["stdout"] == s.folder + "/w\n"


@case("S1.6: a duration that is none is told with its variable")
def _():
    for value in ("10 m", "ten", "-1m", "10x"):
        done = serve("--check-config", env=clean_env(SESSION_TIMEOUT=value))
        assert done.returncode == 64 and "SESSION_TIMEOUT" in done.stderr and value in done.stderr, done
    for value in ("1h30m", "90s", "1.5h", "1500ms", "600"):
        done = serve("--check-config", env=clean_env(SESSION_TIMEOUT=value))
        assert done.returncode == 0, done


# ---- starts that are refused

@case("listening elsewhere than on loopback without a token is refused at the start")
def _():
    with folder() as path:
        for host in ("0.0.0.0", "::", "192.0.2.7", "host.example"):
            done = serve(host=host, port=0, state_dir=path + "/state", runtime_dir=path + "/run")
            assert done.returncode == 64 and host in done.stderr and "token_required" in done.stderr, done
        assert os.listdir(path) == []


@case("with token_required it listens elsewhere, and nobody gets in without the token")
def _():
    with Server(host="0.0.0.0", token_required=True) as s:
        s.address = "127.0.0.1:" + s.address.rsplit(":", 1)[1]
        s.fails(401, "unauthorized", "GET", "/v1/sessions")
        s.fails(401, "unauthorized", "GET", "/v1/sessions", over="unix")
        with open(os.path.join(s.state, "token"), encoding="utf-8") as file:
            token = file.read().strip()
        assert s.ok("GET", "/v1/sessions", headers={"Authorization": "Bearer " + token}) == {"sessions": []}
        s.fails(401, "unauthorized", "GET", "/v1/sessions", headers={"Authorization": "Bearer x" + token[1:]})


@case("a port in use is told, with the setting that chooses another, and nothing is left behind")
def _():
    with Server() as s, folder() as path:
        port = s.address.rsplit(":", 1)[1]
        done = serve(port=port, state_dir=path + "/state", runtime_dir=path + "/run")
        assert done.returncode == 71, done
        assert re.search(rf"error .*port {port}: the port is in use.*port", done.stderr), done.stderr
        assert not os.path.exists(path + "/run/curfew.sock")
        assert s.ok("GET", "/healthz")["healthy"] is True


@case("a Unix socket on which somebody answers is not taken away; one that is left over is")
def _():
    with Server() as s, folder() as path:
        done = serve(port=0, state_dir=path + "/state", runtime_dir=path + "/run", socket=s.sock)
        assert done.returncode > 0 and s.sock in done.stderr, done
        assert s.ok("GET", "/healthz", over="unix")["healthy"] is True
        s.kill()
        wait_for(lambda: not s.processes(), "all of it is gone")
        with socket.socket(socket.AF_UNIX) as stale:    # a file that nobody listens on
            with contextlib.suppress(FileNotFoundError):
                os.unlink(s.sock)
            stale.bind(s.sock)
        s.start()
        assert s.ok("GET", "/healthz", over="unix")["healthy"] is True


@case("socket = none serves no Unix socket; the socket is for its owner alone otherwise")
def _():
    with Server(socket="none") as s:
        assert s.ok("GET", "/healthz")["healthy"] is True and not os.path.exists(os.path.join(s.runtime, "curfew.sock"))
    with Server() as s:
        mode = os.lstat(s.sock).st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(os.lstat(os.path.join(s.state, "token")).st_mode) == 0o600
        assert stat.S_IMODE(os.lstat(s.state).st_mode) == 0o700
    if os.geteuid() == 0:
        with Server(user="nobody") as s:
            assert stat.S_IMODE(os.lstat(s.state).st_mode) == 0o711, "its sessions pass through to their workspaces"


@case("a folder that may not be written is told with its path, and the exit status says so")
def _():
    prefix = another()
    with folder() as path:
        os.mkdir(path + "/closed", 0o700)
        os.mkdir(path + "/open")
        os.chmod(path + "/open", 0o777)
        for which in ("state_dir", "runtime_dir"):
            folders = {"state_dir": path + "/open/state", "runtime_dir": path + "/open/run", which: path + "/closed/x"}
            done = serve(prefix=prefix, port=0, **folders)
            assert done.returncode == 71 and re.search(path + "/closed/x.*ermission denied", done.stderr), done
        done = serve(prefix=prefix, port=0, state_dir=path + "/open/state", runtime_dir=path + "/open/run",
                     workspace_dir=path + "/closed/w")
        assert done.returncode > 0 and path + "/closed/w" in done.stderr and "ermission denied" in done.stderr, done


@case("a token file that others may read is refused at the start")
def _():
    with folder() as path:
        os.mkdir(path + "/state", 0o700)
        with open(path + "/state/token", "w", encoding="utf-8") as token:
            token.write("0123456789abcdef0123456789abcdef\n")
        os.chmod(path + "/state/token", 0o644)
        done = serve(port=0, state_dir=path + "/state", runtime_dir=path + "/run")
        assert done.returncode > 0 and path + "/state/token" in done.stderr and "0600" in done.stderr, done


# ---- who sessions are

@case("started as root without user, it says loudly that sessions run as root")
def _():
    if os.geteuid() != 0:
        skip("not root")
    with Server() as s:
        assert re.search("warning .*as root", s.log(), re.I)


@case("started as root with user = nobody, sessions are nobody's, and so are their workspaces")
def _():
    another()
    user = pwd.getpwnam("nobody")
    for pool in (0, 2):
        with Server(user="nobody", warm_pool=pool) as s:
            wait_for(lambda: len([p for p in s.processes() if program_of(p) == "bash"]) == pool, "the pool is full")
            made = s.create(workspace="w")
            done = s.exec(made["session_id"], 'id -u; id -g; id -G; echo "$USER $HOME"; touch file && echo made')
            assert done["stdout"] == f"{user.pw_uid}\n{user.pw_gid}\n{user.pw_gid}\nnobody {user.pw_dir}\nmade\n", done
            for path in ("w", "w/file"):
                found = os.lstat(os.path.join(s.workspaces, path))
                assert (found.st_uid, found.st_gid) == (user.pw_uid, user.pw_gid), path
            with open(f"/proc/{made['pid']}/status", encoding="utf-8") as status:
                text = status.read()
            assert re.search(rf"^Uid:(\s{user.pw_uid}){{4}}$", text, re.M), text
            assert re.search(r"^CapEff:\s0+$", text, re.M), text
            assert "as root" not in s.log().lower()


@case("a session of user = nobody knows the path of its folder, whichever containment holds it, warm or not")
def _():
    another()
    for containment in ("auto", "cgroup", "pidns", "subreaper"):
        for pool in (0, 1):
            try:
                s = Server(user="nobody", containment=containment, warm_pool=pool)
            except AssertionError as error:
                assert containment != "auto" and "sessions are held by" not in str(error) and re.search("does not work here|cgroup|namespace", str(error)), error
                continue                                # not on this machine
            with s:
                wait_for(lambda: len([p for p in s.processes() if program_of(p) == "bash"]) == pool, "the pool is full")
                made = s.create(workspace="w")["session_id"]
                done = s.exec(made, 'mkdir in && cd in && cd .. && pwd && touch "$PWD/file" && (cd in; pwd)')
                here = os.path.join(s.workspaces, "w")
                assert done["stderr"] == "" and done["stdout"] == f"{here}\n{here}/in\n", (containment, pool, done)


@case("a folder that stops user = nobody on the way to the workspaces is told at the start")
def _():
    another()
    with folder() as path:
        os.mkdir(path + "/closed", 0o700)
        with Server(user="nobody", workspace_dir=path + "/closed/w") as s:
            s.wait_log(f"warning .*nobody.* {path}/closed ")
            assert stat.S_IMODE(os.lstat(path + "/closed").st_mode) == 0o700, "what is not its own stays as it is"


@case("a session of user = nobody cannot read the token, signal keeper or server, or write beside its workspace")
def _():
    another()
    with Server(user="nobody") as s:
        made = s.create(workspace="w")["session_id"]
        done = s.exec(made, f"cat {s.state}/token; kill -9 {s.pid} {s.server_pid}; "
                            f"touch {s.workspaces}/x {s.runtime}/x; true")
        assert done["stdout"] == "" and done["exit_code"] == 0, done
        assert alive(s.pid) and s.ok("GET", "/healthz")["healthy"] is True
        assert not os.path.exists(s.workspaces + "/x") and not os.path.exists(s.runtime + "/x")


@case("with user = nobody commands, time limits, long commands and ends work as for anybody")
def _():
    another()
    with Server(user="nobody", exec_kill_grace=1, grace=1) as s:
        made = s.create()["session_id"]
        assert s.exec(made, "x=1; cd /tmp; echo out")["stdout"] == "out\n"
        assert s.exec(made, "echo err >&2")["stderr"] == "err\n"
        assert s.exec(made, "echo $x $PWD; sleep 600", timeout=0.5)["timed_out"] is True
        assert s.exec(made, ": " + "y" * 200000 + "; echo $x")["stdout"] == "1\n"
        s.exec(made, "setsid sleep 600 & (trap '' INT TERM HUP; sleep 600) & disown -a")
        assert s.end(made, grace=None)["reason"] == "requested"
        assert "sleep 600" not in " ".join(s.processes().values())


@case("a user that does not exist, and another one than root may choose, are refused at the start")
def _():
    with folder() as path:
        os.chmod(path, 0o777)
        folders = {"state_dir": path + "/state", "runtime_dir": path + "/run", "port": 0}
        done = serve(user="no-such-user-here", **folders)
        assert done.returncode == 64 and "no-such-user-here" in done.stderr, done
        done = serve(user="root", prefix=another(), **folders)
        assert done.returncode == 64 and "root" in done.stderr, done


@case("without root it serves its own user: everything but other users' tokenless calls works")
def _():
    # Not nobody: its uid is also what the kernel shows for a user that it cannot name, which is never the same user.
    prefix = another("daemon")
    user = pwd.getpwnam("daemon")
    with folder() as path:
        os.chown(path, user.pw_uid, user.pw_gid)
        with Server(folder=path, prefix=prefix) as s:
            # This test is root, thus another user.
            s.fails(401, "unauthorized", "GET", "/v1/sessions")
            with open(os.path.join(s.state, "token"), encoding="utf-8") as file:
                auth = {"headers": {"Authorization": "Bearer " + file.read().strip()}}
            made = s.ok("POST", "/v1/sessions", {"workspace": "w"}, **auth)["session_id"]
            done = s.ok("POST", f"/v1/sessions/{made}/exec", {"command": "id -un; setsid sleep 600 & echo on"}, **auth)
            assert done["stdout"] == "daemon\non\n", done
            done = subprocess.run([*prefix, curfew(), "--socket", s.sock, "ls", "--json"], env=clean_env(), timeout=60,
                                  capture_output=True, text=True, check=False)
            assert done.returncode == 0 and made in done.stdout, done
            assert s.ok("DELETE", f"/v1/sessions/{made}?grace=0", **auth)["reason"] == "requested"


# ---- what sessions inherit

@case("sessions inherit the variables that env_pass names, who they are, and nothing else of the server's")
def _():
    with Server(env={"SECRET_OF_MINE": "x", "LANG": "C.UTF-8", "WANTED": "w"}, env_pass="PATH,LANG,WANTED") as s:
        made = s.create(env={"OWN": "o"})["session_id"]
        names = set(re.findall(r"^(\w+)=", s.exec(made, "env")["stdout"], re.M))
        assert {"PATH", "LANG", "WANTED", "OWN"} <= names, names
        assert not names & {"SECRET_OF_MINE", "LC_ALL", "TMPDIR", "FLOW_TEST_MARK", "ASAN_OPTIONS"}, names
        assert not [name for name in names if name.startswith("CURFEW")], names


run()
