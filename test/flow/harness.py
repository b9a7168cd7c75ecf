"""harness.py: a curfew server of one's own, black-box, for flow and fault tests.

    with Server(session_timeout=1, containment="pidns") as s:      # keywords are settings, given as flags
        id = s.create(workspace="demo")["session_id"]
        assert s.exec(id, "echo hi")["stdout"] == "hi\n"

Each server has a folder of its own with state, runtime and workspace folders, a port that the kernel chose, and a
mark in its environment that its sessions inherit, so that whoever is left over can be found.  Leaving the block stops
it: SIGTERM, exit status 0, no process left, nothing said by a sanitizer.  Everything that waits has a bound.
"""
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import tap

ENV_PASS = "PATH,HOME,USER,LOGNAME,SHELL,LANG,LANGUAGE,LC_ALL,LC_CTYPE,TERM,TZ,TMPDIR"
MARK = "FLOW_TEST_MARK"
REQUEST_TIMEOUT = 60                    # one request, also one that waits for a session to end
START_TIMEOUT = 40                      # a busy machine, a sanitizer, an earlier keeper's leftovers
STOP_TIMEOUT = 60
OWN_VARIABLES = ("SESSION_TIMEOUT", "CLEANUP_INTERVAL", "PORT", "WORKSPACE_DIR", MARK)
SANITIZER = re.compile(r"(ERROR: (Address|Leak|Undefined)Sanitizer|runtime error: )")
BANNER = re.compile(r"serves on http://(\S+)")


def build_dir():
    """CURFEW_BUILD, else build-check or build, whichever is built."""
    if os.environ.get("CURFEW_BUILD"):
        return os.environ["CURFEW_BUILD"]
    root = os.path.dirname(tap.build())
    for name in ("build-check", "build"):
        if os.access(os.path.join(root, name, "curfew"), os.X_OK):
            return os.path.join(root, name)
    return tap.build()


@contextlib.contextmanager
def folder():
    """A folder that servers share, one after another."""
    path = tempfile.mkdtemp(prefix="cf.")
    os.chmod(path, 0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def tiny_disk(path, size="128k"):
    """A disk of that size at `path`, which is made."""
    if os.geteuid() != 0:
        tap.skip("only root can mount a tiny tmpfs")
    os.makedirs(path, exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", path], capture_output=True, check=False).returncode != 0:
        tap.skip("mounting a tmpfs is not allowed here")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=False)


def fill(path):
    """Takes what a disk has left, with a file `filler`."""
    with contextlib.suppress(OSError), open(os.path.join(path, "filler"), "wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


def curfew():
    """The path of the program."""
    path = os.path.join(build_dir(), "curfew")
    if not os.access(path, os.X_OK):
        raise AssertionError(f"{path} is not built")
    return path


def clean_env(**more):
    """The environment without any setting of curfew's; more=None takes a variable out."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("CURFEW_") and k not in OWN_VARIABLES}
    env.update({k: str(v) for k, v in more.items() if v is not None})
    return {k: v for k, v in env.items() if more.get(k, v) is not None}


def wait_for(predicate, what, seconds=20):
    """Asks until the answer is true, and returns it; fails with `what` after `seconds`."""
    until = time.monotonic() + seconds
    while True:
        found = predicate()
        if found:
            return found
        if time.monotonic() > until:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.01)


def alive(pid):
    """Whether the process is there and no zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def children(pid):
    """Pids of the process's children that are no zombies."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as listed:
            return [int(word) for word in listed.read().split() if alive(word)]
    except OSError:
        return []


def program_of(pid):
    """The base name of what the process runs, "" when that cannot be told."""
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)"))
    except OSError:
        return ""


def processes(mark="", cgroup=""):
    """{pid: command line} of live processes with MARK=mark in their environment or in a cgroup of that name."""
    wanted = f"{MARK}={mark}".encode()
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/environ", "rb") as environ:
                ours = mark and wanted in environ.read().split(b"\0")
            with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as groups:
                ours = ours or (cgroup and f"/{cgroup}" in groups.read())
            if ours and int(pid) != os.getpid() and alive(pid):
                with open(f"/proc/{pid}/cmdline", "rb") as line:
                    found[int(pid)] = line.read().replace(b"\0", b" ").decode("utf-8", "replace")[:200]
    return found


class Later:
    """Runs a function in a thread; result() waits for what it returned, or raises what it raised."""

    def __init__(self, function, *args, **more):
        self.value = self.error = None

        def work():
            try:
                self.value = function(*args, **more)
            except BaseException as error:
                self.error = error
        self.thread = threading.Thread(target=work, daemon=True)
        self.thread.start()

    def result(self, seconds=60):
        self.thread.join(seconds)
        assert not self.thread.is_alive(), "no answer in time"
        if self.error:
            raise self.error
        return self.value


def flags(settings):
    """{"session_timeout": 1, "auto_cleanup_enabled": False} as flags; None leaves one out."""
    words = []
    for name, value in settings.items():
        if value is not None:
            value = str(value).lower() if isinstance(value, bool) else value
            words.append(f"--{name.replace('_', '-')}={value}")
    return words


def serve(*args, env=None, prefix=(), seconds=START_TIMEOUT, **settings):
    """`curfew serve` that is expected to end by itself (a mistake in its settings): a CompletedProcess."""
    command = [*prefix, curfew(), "serve", *args, *flags(settings)]
    try:
        return subprocess.run(command, env=env or clean_env(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=seconds, text=True, errors="replace", check=False)
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"it should have ended by itself: {command}: {error.stderr}") from None


class UnixConnection(http.client.HTTPConnection):
    """HTTP over the Unix socket."""

    def __init__(self, path, timeout=REQUEST_TIMEOUT):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Server:
    """See the top of the file.  Keywords that are no settings:
    args     further words of the command line          env     variables to set (None: to take out)
    folder   use this folder and leave it there         status  exit status that leaving the block expects
    prefix   words before the command, such as ["setpriv", …]
    wait     False: do not wait until it serves         port    0 unless told otherwise"""

    def __init__(self, args=(), env=None, folder=None, prefix=(), status=0, wait=True, **settings):
        self.own_folder = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="cf.")
        if self.own_folder:
            os.chmod(self.folder, 0o755)
        self.state = os.path.join(self.folder, "state")
        self.runtime = os.path.join(self.folder, "run")
        self.log_path = os.path.join(self.folder, "log")
        self.settings = {"port": 0, "state_dir": self.state, "runtime_dir": self.runtime}
        self.mark = f"{os.getpid()}-{os.path.basename(self.folder)}-{time.monotonic_ns()}"
        self.env = clean_env(**{MARK: self.mark, **(env or {})})
        if "CURFEW_ENV_PASS" not in self.env:
            self.settings["env_pass"] = f"{ENV_PASS},{MARK}"
        self.settings.update(settings)
        self.sock = settings.get("socket") or os.path.join(self.runtime, "curfew.sock")
        self.workspaces = settings.get("workspace_dir") or os.path.join(self.state, "workspaces")
        self.command = [*prefix, curfew(), "serve", *flags(self.settings), *args]
        self.status = status
        self.process = None
        self.clean = False              # it has gone, and nobody of it was left
        self.address = self.url = None
        try:
            self.start(wait)
        except BaseException:
            self.discard()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self.stop(self.status)
        except BaseException:
            self.tell_log()
            raise
        finally:
            if kind is not None:
                self.tell_log()
            self.discard()

    # ---- up and down

    def start(self, wait=True):
        """Starts it; also again after it has gone."""
        self.address = self.url = None
        self.clean = False
        self.log_start = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command, env=self.env, cwd=self.folder, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        if wait:
            self.wait_serving()

    def wait_serving(self):
        try:
            self.address = self.wait_log(BANNER, START_TIMEOUT).group(1)
        except AssertionError:
            self.tell_log()
            raise
        self.url = "http://" + self.address

    @property
    def pid(self):
        """The keeper: what `curfew serve` became."""
        return self.process.pid

    @property
    def server_pid(self):
        """curfew-server, the keeper's first child."""
        return wait_for(lambda: next((p for p in children(self.pid) if program_of(p) == "curfew-server"), None),
                        "the keeper has a curfew-server")

    def wait_exit(self, seconds=STOP_TIMEOUT):
        """Its exit status (negative: the signal) once it has gone by itself."""
        try:
            return self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.tell_log()
            raise AssertionError(f"still running after {seconds} s") from None

    def stop(self, status=0, signo=signal.SIGTERM):
        """Ends it, and checks that it leaves nobody.  status=None: any exit status will do."""
        if self.process.poll() is None:
            self.process.send_signal(signo)
        got = self.wait_exit()
        if status is not None and got != status:
            raise AssertionError(f"exit status {got}, not {status}")
        self.assert_nobody_left()
        said = SANITIZER.search(self.log())
        if said:
            raise AssertionError("a sanitizer reported: " + self.log()[said.start():][:4000])

    def kill(self):
        """kill -9 of the keeper; returns once it is gone.  What it leaves is the caller's to look at."""
        self.process.kill()
        return self.wait_exit()

    @property
    def cgroup(self):
        """The name of the folder that the keeper makes for its cgroups."""
        value = 2166136261
        for byte in os.path.normpath(self.settings["state_dir"]).encode():
            value = (value ^ byte) * 16777619 & 0xffffffff
        return f"curfew-{value:08x}"

    def processes(self):
        """{pid: command line} of everything that is this server's, sessions included."""
        return processes(self.mark, self.cgroup)

    def assert_nobody_left(self, seconds=10):
        """What was killed just now may still be on its way out."""
        left = {}

        def nobody():
            left.clear()
            left.update(self.processes())
            return not left
        try:
            wait_for(nobody, "", seconds)
        except AssertionError:
            raise AssertionError(f"left over: {left}") from None
        self.clean = self.process.poll() is not None

    def discard(self):
        """Kills whatever is left and removes the folder; never fails."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=10)
        until = time.monotonic() + 10
        while not self.clean and (left := self.processes()) and time.monotonic() < until:
            for pid in left:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    # ---- its log

    def log(self):
        """What it has written since it was started last."""
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as log:
                log.seek(self.log_start)
                return log.read()
        except OSError:
            return ""

    def wait_log(self, regex, seconds=20):
        """The match, once its log has one; fails early when it has gone without one."""
        pattern = re.compile(regex) if isinstance(regex, str) else regex

        def look():
            gone = self.process.poll() is not None
            return pattern.search(self.log()) or gone
        found = wait_for(look, f"{pattern.pattern!r} in the log", seconds)
        if found is True:
            raise AssertionError(f"it exited with {self.process.returncode} before its log had {pattern.pattern!r}: "
                                 + self.log()[-2000:])
        return found

    def tell_log(self):
        print("# log of the server:")
        for line in self.log()[-6000:].splitlines():
            print("# | " + line, flush=True)

    wait_for = staticmethod(wait_for)

    # ---- asking it

    def connection(self, over="tcp", timeout=REQUEST_TIMEOUT):
        """A connection of its own, to be closed by the caller."""
        if over == "unix":
            return UnixConnection(self.sock, timeout)
        host, port = self.address.rsplit(":", 1)
        return http.client.HTTPConnection(host.strip("[]"), int(port), timeout=timeout)

    def request(self, method, path, body=None, headers=None, raw=False, over="tcp", timeout=REQUEST_TIMEOUT):
        """(status, answer): body a dict (sent as JSON), text or bytes; raw: (status, headers, bytes)."""
        headers = dict(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        if body is not None and not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = "application/json"
        with contextlib.closing(self.connection(over, timeout)) as connection:
            connection.request(method, path, body.encode() if isinstance(body, str) else body, headers)
            answer = connection.getresponse()
            data = answer.read()
        if raw:
            return answer.status, dict(answer.getheaders()), data
        try:
            return answer.status, json.loads(data)
        except ValueError:
            raise AssertionError(f"{method} {path}: {answer.status}, and no JSON: {data[:400]!r}") from None

    def ok(self, method, path, body=None, **more):
        """The data of an answer that has to be a success."""
        status, answer = self.request(method, path, body, **more)
        assert status in (200, 201) and answer.get("status") == "success", (method, path, body, status, answer)
        return answer["data"]

    def fails(self, status, code, method, path, body=None, **more):
        """The error of an answer that has to be this failure."""
        got, answer = self.request(method, path, body, **more)
        assert got == status and answer.get("status") == "error", (method, path, body, got, answer)
        error = answer["error"]
        assert error["code"] == code and error["message"], (method, path, body, answer)
        return error

    def create(self, **fields):
        """A session, as the server describes it."""
        return self.ok("POST", "/v1/sessions", fields)

    def exec(self, session_id, command, **fields):
        return self.ok("POST", f"/v1/sessions/{session_id}/exec", {"command": command, **fields})

    def show(self, session_id):
        return self.ok("GET", f"/v1/sessions/{session_id}")

    def list(self):
        return self.ok("GET", "/v1/sessions")["sessions"]

    def stats(self):
        return self.ok("GET", "/bash/auto-cleanup/stats")

    def exec_later(self, session_id, command, **fields):
        """A command that may be cut short: a Later with its (status, answer)."""
        return Later(self.request, "POST", f"/v1/sessions/{session_id}/exec", {"command": command, **fields})

    def wait_started(self, made):
        """Waits until a command has made the file `started` in the workspace of the session."""
        path = os.path.join(self.workspaces, made["workspace_name"], "started")
        wait_for(lambda: os.path.exists(path), f"{path} is there")

    def wait_idle(self, session_id, seconds):
        """Waits until the server itself says that the session has been idle for longer."""
        wait_for(lambda: self.show(session_id)["inactive_time"] > seconds, f"{session_id} is idle for over {seconds} s")

    def cleanup_runs(self):
        return self.stats()["counters"]["cleanup_runs"]

    def end(self, session_id, grace=0):
        """Its tombstone.  grace=None: the server's setting."""
        return self.ok("DELETE", f"/v1/sessions/{session_id}" + ("" if grace is None else f"?grace={grace}"))

    def tombstone(self, session_id, seconds=20):
        """Waits until the session has ended by itself."""
        def ended():
            status, answer = self.request("GET", f"/v1/sessions/{session_id}")
            return status == 410 and answer["error"]["session"]
        return wait_for(ended, f"session {session_id} has ended", seconds)

    def cli(self, *args, input=None, env=None, timeout=REQUEST_TIMEOUT, text=True):
        """The command line against this server: a CompletedProcess."""
        env = clean_env(**{"CURFEW_SOCKET": self.sock, **(env or {})})
        feed = {"stdin": subprocess.DEVNULL} if input is None else {"input": input}
        return subprocess.run([curfew(), *args], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=text,
                              errors="replace" if text else None, timeout=timeout, check=False, **feed)
