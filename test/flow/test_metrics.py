"""GET /metrics: it is what Prometheus reads, its numbers are what was done, and a real Prometheus gets them.

budget: 150
"""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request

from harness import Server, alive, clean_env, curfew, wait_for
from tap import case, run, skip

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
REASONS = ["idle", "age", "closed", "failed", "limit", "requested", "shutdown", "lost"]
STATES = ["starting", "active", "closed", "failed", "ending"]
NOBODY = 65534


class Metrics:
    """An answer taken apart: values {sample: number}, types and helps {name: text}, names in their order."""

    def __init__(self, text):
        self.text, self.values, self.types, self.helps, self.names = text, {}, {}, {}, []
        for line in text.splitlines():
            if line.startswith("# "):
                _, what, name, rest = line.split(" ", 3)
                {"HELP": self.helps, "TYPE": self.types}[what][name] = rest
                if what == "HELP":
                    self.names.append(name)
            else:
                sample, value = line.rsplit(" ", 1)
                assert sample not in self.values, f"twice: {line}"
                self.values[sample] = float(value)

    def __getitem__(self, sample):
        return self.values[sample]

    def ended(self):
        """{reason: how many}, without those that are 0."""
        found = {reason: self[f'curfew_sessions_ended_total{{reason="{reason}"}}'] for reason in REASONS}
        return {reason: count for reason, count in found.items() if count}

    def here(self, kind="bash"):
        """{state: how many} of one kind, without those that are 0."""
        found = {state: self[f'curfew_sessions{{kind="{kind}",state="{state}"}}'] for state in STATES}
        return {state: count for state, count in found.items() if count}

    def histogram(self, name):
        """(count, sum, [(bound, values up to it)])."""
        name = f"curfew_{name}_seconds"
        buckets = [(float(bound), self[f'{name}_bucket{{le="{bound}"}}']) for bound in
                   re.findall(rf'^{name}_bucket{{le="([^"]+)"}}', self.text, re.M)]
        return self[name + "_count"], self[name + "_sum"], buckets


def ask(server):
    status, headers, data = server.request("GET", "/metrics", raw=True)
    assert status == 200 and headers["Content-Type"] == CONTENT_TYPE, (status, headers)
    return Metrics(data.decode())


def promtool(metrics):
    """What promtool says, lint included: nothing."""
    if not shutil.which("promtool"):
        skip("promtool (package prometheus) is not installed")
    done = subprocess.run(["promtool", "check", "metrics"], input=metrics.text, capture_output=True, text=True,
                          timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done


def rows(table, macro):
    """The arguments of each row of a table, as one text each."""
    with open(os.path.join(ROOT, "tables", table + ".def"), encoding="utf-8") as source:
        text = re.sub(r"/\*.*?\*/", "", source.read(), flags=re.S)
    found = re.findall(rf"^{macro}\((.*?)\)$", text, re.M | re.S)
    assert len(found) > 2, table
    return found


def declared():
    """{metric: (type, help)} of each row of the tables of counters and histograms."""
    metrics = {}
    for row in rows("counters", "COUNTER"):
        name, kind, _, text = re.match(r'(\w+), *(\w+), *(\w+), *"(.*)"$', row).groups()
        metrics[f"curfew_{name}" + ("_total" if kind == "counter" else "")] = (kind, text)
    for row in rows("histograms", "HISTOGRAM"):
        name, unit, text = re.match(r'(\w+), *(\w+), *"([^"]*)"', row).groups()
        metrics[f"curfew_{name}_{unit}"] = ("histogram", text)
    return metrics


def check_sums(m):
    """What has to hold at any moment."""
    assert sum(m.ended().values()) == m["curfew_sessions_cleaned_total"], m.text
    assert sum(m.here().values()) == m["curfew_sessions_active"], m.text
    most = m["curfew_sessions_cleaned_total"] + m["curfew_sessions_active"]
    least = most - m.here().get("starting", 0) - m.here().get("ending", 0)
    assert least <= m["curfew_sessions_created_total"] <= most, m.text
    assert m.histogram("create_duration")[0] == m["curfew_sessions_created_total"]
    assert m.histogram("end_duration")[0] == m["curfew_sessions_cleaned_total"]
    assert m.histogram("sweep_duration")[0] == m["curfew_cleanup_runs_total"]
    assert m.histogram("exec_duration")[0] + m["curfew_execs_running"] == m["curfew_execs_started_total"]
    for name in ("create_duration", "exec_duration", "end_duration", "sweep_duration"):
        count, total, buckets = m.histogram(name)
        counts = [so_far for _, so_far in buckets]
        assert counts == sorted(counts) and buckets[-1] == (float("inf"), count), (name, buckets)
        assert (total > 0) == (count > 0), (name, total, count)


@case("S3.7: before anything happened every number is there, as 0, and promtool has nothing to say")
def _():
    with Server(warm_pool=0, cleanup_interval=3600, ledger_file="none") as s:
        m = ask(s)
        promtool(m)
        for name, (kind, text) in declared().items():
            assert m.types[name] == kind and m.helps[name] == text, (name, m.types.get(name), m.helps.get(name))
        assert m.ended() == {} and m.here() == {} and m.here("record") == {}
        zero = {k: v for k, v in m.values.items() if not k.startswith("process_") and v != 0}
        assert set(zero) == {next(k for k in zero if k.startswith("curfew_build_info{")), "curfew_sessions_limit",
                             "curfew_auto_cleanup_running", "curfew_connections"}, zero
        assert 'curfew_build_info{version="' in m.text and zero["curfew_sessions_limit"] == 1000
        assert ask(s)["curfew_requests_total"] == 1     # the first; a request is counted when it was answered
        check_sums(m)


@case("docs/metrics.md lists each number with its type and meaning as the server tells them, and no other")
def _():
    with open(os.path.join(ROOT, "docs", "metrics.md"), encoding="utf-8") as source:
        listed = re.findall(r"^\| `(\w+)`.*? \| (\w+) \| (.*?) \|$", source.read(), re.M)
    with Server(warm_pool=0) as s:
        m = ask(s)
    assert listed == [(name, m.types[name], m.helps[name]) for name in m.names], "\n".join(
        f"| `{name}` | {m.types[name]} | {m.helps[name]} |" for name in m.names)


@case("the examples of docs/metrics.md are what Prometheus takes")
def _():
    if not shutil.which("promtool"):
        skip("promtool (package prometheus) is not installed")
    with open(os.path.join(ROOT, "docs", "metrics.md"), encoding="utf-8") as source:
        examples = re.findall(r"^```yaml\n(.*?)^```$", source.read(), re.M | re.S)
    for text, check in zip(examples, (["config", "--syntax-only"], ["rules"]), strict=True):
        with tempfile.NamedTemporaryFile("w", suffix=".yml", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            done = subprocess.run(["promtool", "check", *check, file.name], capture_output=True, text=True, timeout=60,
                                  check=False)
        assert done.returncode == 0 and "SUCCESS" in done.stdout, done
    with Server(warm_pool=0) as s:
        known = set(ask(s).values) | {name + part for name in declared() for part in ("", "_bucket", "_count")}
    known = {sample.split("{")[0] for sample in known}
    named = set(re.findall(r"\bcurfew_\w+", "".join(examples)))
    assert len(named) > 5 and named <= known, named - known


@case("S3.7: creates, commands, ends and sweeps are counted as they were made, by kind, state and reason")
def _():
    with Server(cleanup_interval=3600, grace=2, max_sessions_per_workspace=20) as s:
        asked = s.create(workspace="one")["session_id"]
        ended_busy = s.create(workspace="one")
        left = s.create(workspace="two")["session_id"]
        idle = s.create(workspace="two", idle_timeout=1)["session_id"]
        stays = s.create(workspace="three")["session_id"]
        s.fails(400, "invalid", "POST", "/v1/sessions", {"workspace": "four", "cwd": "missing"})
        s.exec(asked, "true")
        s.exec(asked, "sleep 0.3")
        assert s.exec(stays, "sleep 60", timeout=1)["timed_out"]
        busy = s.exec_later(ended_busy["session_id"], "touch started; sleep 600")
        s.wait_started(ended_busy)
        m = ask(s)
        assert m.here() == {"active": 5} and m["curfew_execs_running"] == 1, m.text
        assert m["curfew_execs_timed_out_total"] == 1 and m["curfew_workspaces"] == 3 and m["curfew_tombstones"] == 0
        check_sums(m)
        s.ok("DELETE", f"/v1/sessions/{ended_busy['session_id']}?grace=0")
        assert busy.result()[0] == 410
        s.ok("DELETE", f"/v1/sessions/{asked}")
        s.exec(left, "exit 3")
        wait_for(lambda: s.request("GET", f"/v1/sessions/{left}")[0] == 410, "the session whose shell exited is gone")
        s.wait_idle(idle, 1)
        assert s.ok("POST", "/bash/cleanup")["cleaned_sessions"] == 1
        m = ask(s)
        promtool(m)
        check_sums(m)
        assert m.ended() == {"requested": 2, "closed": 1, "idle": 1}, m.text
        assert m.here() == {"active": 1} and m["curfew_workspaces"] == 1 and m["curfew_tombstones"] == 4
        assert m["curfew_sessions_created_total"] == 5 and m["curfew_sessions_failed_total"] == 1
        assert m["curfew_execs_started_total"] == 5 and m["curfew_execs_running"] == 0
        assert m["curfew_cleanup_runs_total"] == 1 and m["curfew_warm_shells"] >= 1
        count, total, buckets = m.histogram("exec_duration")
        assert count == 5 and total >= 1.3, m.text
        # Up to 0.1 s at most the two short ones and the one that was cut short; not the other two.
        assert dict(buckets)[0.1] <= 3 and dict(buckets)[3600] == 5, buckets
        wait_for(lambda: s.stats()["ledger"]["queued"] == 0, "the ledger has written all of it")
        counters = s.stats()["counters"]
        m = ask(s)
        for name, value in counters.items():
            sample = f"curfew_{name}" if f"curfew_{name}" in m.values else f"curfew_{name}_total"
            assert m[sample] == value + (name == "requests"), (name, value, m[sample])


@case("a session whose shell is killed is counted under failed")
def _():
    with Server(cleanup_interval=3600) as s:
        made = s.create()
        os.kill(made["pid"], 9)
        wait_for(lambda: s.request("GET", f"/v1/sessions/{made['session_id']}")[0] == 410, "the killed session is gone")
        m = ask(s)
        assert m.ended() == {"failed": 1}, m.text
        check_sums(m)


@case("a session that the keeper ended of its own accord is counted under lost, with the time that its end took")
def _():
    with Server(cleanup_interval=3600, lease=1, warm_pool=0, server_restarts=0) as s:       # else it starts another server
        made, pid = s.create(), s.server_pid
        os.kill(pid, signal.SIGSTOP)
        try:
            wait_for(lambda: not alive(made["pid"]), "the keeper has ended the session", 60)
        finally:
            os.kill(pid, signal.SIGCONT)
        wait_for(lambda: s.request("GET", f"/v1/sessions/{made['session_id']}")[0] == 410, "the server knows")
        m = ask(s)
        assert m.ended() == {"lost": 1}, m.text
        assert m.histogram("end_duration")[0] == 1 == m["curfew_sessions_cleaned_total"], m.text


@case("S3.5: a create that waits for an emergency cleanup is counted with its wait, and who made room under limit")
def _():
    with Server(cleanup_interval=3600, max_sessions=1, emergency_idle=1, warm_pool=1) as s:
        first = s.create()["session_id"]
        s.exec(first, "for i in {1..200}; do sleep 600 & done")     # so that its end takes longer than a create
        s.fails(429, "too_many_sessions", "POST", "/v1/sessions", {})
        s.wait_idle(first, 1)
        wait_for(lambda: ask(s)["curfew_warm_shells"] == 1, "there is a warm shell")
        before = ask(s).histogram("create_duration")[1]
        s.create()
        m = ask(s)
        assert m.ended() == {"limit": 1} and m["curfew_emergency_runs_total"] == 2, m.text
        assert m["curfew_creates_waiting"] == 0 and m["curfew_sessions_limit"] == 1
        check_sums(m)
        assert m.histogram("create_duration")[1] - before > m.histogram("end_duration")[1], m.text


@case("sessions that cannot start are counted as failed, and as requests that failed")
def _():
    with Server(shell="/bin/false", warm_pool=0, cleanup_interval=3600) as s:
        s.fails(500, "spawn_failed", "POST", "/v1/sessions", {})
        m = ask(s)
        assert m["curfew_sessions_failed_total"] == 1 and m["curfew_requests_failed_total"] == 1, m.text
        assert m["curfew_sessions_created_total"] == 0 and m.ended() == {} and m.here() == {}
        check_sums(m)


@case("stopping the automatic cleanup shows, and so do refused requests")
def _():
    with Server(warm_pool=0) as s:
        assert ask(s)["curfew_auto_cleanup_running"] == 1
        s.ok("POST", "/bash/auto-cleanup/stop")
        assert s.request("GET", "/metrics", headers={"Origin": "http://elsewhere.example"})[0] == 403
        m = ask(s)
        assert m["curfew_auto_cleanup_running"] == 0 and m["curfew_requests_refused_total"] == 1
        assert m["curfew_requests_failed_total"] == 0


@case("what is told of the process is what the system tells of curfew-server")
def _():
    before = time.time()
    with Server(warm_pool=0) as s:
        m = ask(s)
        with open(f"/proc/{s.server_pid}/statm", encoding="utf-8") as statm:
            resident = int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")
        # Between the question and this look it may take or give a little.
        assert 0.5 < m["process_resident_memory_bytes"] / resident < 2, (m["process_resident_memory_bytes"], resident)
        assert m["process_virtual_memory_bytes"] > m["process_resident_memory_bytes"]
        assert abs(m["process_open_fds"] - len(os.listdir(f"/proc/{s.server_pid}/fd"))) <= 4
        assert m["process_max_fds"] > m["process_open_fds"] > 3
        assert before - 1 < m["process_start_time_seconds"] < time.time() and m["process_cpu_seconds_total"] > 0
        assert ask(s)["process_start_time_seconds"] == m["process_start_time_seconds"]


@case("HEAD works, other methods and parameters are refused, and errors are JSON as everywhere")
def _():
    with Server(warm_pool=0) as s:
        status, headers, data = s.request("HEAD", "/metrics", raw=True)
        assert status == 200 and headers["Content-Type"] == CONTENT_TYPE and not data
        assert int(headers["Content-Length"]) > 1000
        s.fails(405, "method_not_allowed", "POST", "/metrics")
        s.fails(400, "unknown_field", "GET", "/metrics?name=x")


@case("curfew metrics prints the text as it came; failures are told as everywhere")
def _():
    with Server(warm_pool=0, cleanup_interval=3600) as s:
        def cli(*words, **env):
            return subprocess.run([curfew(), "metrics", *words], env=clean_env(**env), capture_output=True, text=True,
                                  timeout=60, check=False)
        s.create()
        for words in ([], ["--json"]):
            done = cli("--socket", s.sock, *words)
            assert done.returncode == 0 and done.stderr == "", done
            m = Metrics(done.stdout)
            assert done.stdout.endswith("\n") and m["curfew_sessions_created_total"] == 1 and m.names == ask(s).names
            promtool(m)
        done = cli("--url", s.url, CURFEW_TOKEN="wrong")
        assert done.returncode == 77 and done.stdout == "" and "token" in done.stderr, done
        done = cli("--url", s.url, "--json", CURFEW_TOKEN="wrong")
        assert done.returncode == 77 and json.loads(done.stdout)["code"] == "unauthorized" and done.stderr == "", done


# ---- a real Prometheus

CONFIG = """\
global:
  scrape_interval: 1s
  scrape_timeout: 1s
scrape_configs:
  - job_name: curfew
    authorization:
      credentials_file: {token}
    static_configs:
      - targets: ["{address}"]
"""
WITHOUT_TOKEN = """\
  - job_name: without-token
    static_configs:
      - targets: ["{address}"]
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Prometheus:
    """A Prometheus of its own on a free port, as a user who is not the server's when that can be chosen."""

    def __init__(self, folder, address, token):
        self.log_path = os.path.join(folder, "prometheus.log")
        config = os.path.join(folder, "prometheus.yml")
        with open(config, "w", encoding="utf-8") as out:
            # Whoever is not root is the server's own user, who needs no token.
            text = CONFIG + (WITHOUT_TOKEN if os.geteuid() == 0 else "")
            out.write(text.format(token=token, address=address))
        self.url = f"http://127.0.0.1:{free_port()}"
        self.process = None
        who = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/data",
                 f"--web.listen-address={self.url.removeprefix('http://')}"],
                cwd=folder, env=clean_env(GOMAXPROCS=2), stdin=subprocess.DEVNULL, stdout=log, stderr=log, **who)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None:
            with open(self.log_path, encoding="utf-8", errors="replace") as log:
                for line in log.read()[-3000:].splitlines():
                    print("# prometheus: " + line)
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=20)

    def get(self, path):
        """The text, or "" while it does not answer."""
        assert self.process.poll() is None, "Prometheus has gone"
        try:
            with urllib.request.urlopen(self.url + path, timeout=20) as answer:
                return answer.read().decode()
        except OSError:
            return ""

    def query(self, expression):
        """[(labels, value)], empty while there is nothing."""
        answer = self.get("/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        found = json.loads(answer)["data"]["result"] if answer else []
        return [(one["metric"], float(one["value"][1])) for one in found]

    def wait_value(self, expression, value):
        wait_for(lambda: [v for _, v in self.query(expression)] == [value], f"Prometheus: {expression} == {value}", 60)


@contextlib.contextmanager
def folder_of(uid):
    folder = tempfile.mkdtemp(prefix="cf.")
    if os.geteuid() == 0:
        os.chown(folder, uid, uid)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@case("S3.7: a Prometheus of another user scrapes with the token, is refused without it, and answers what was done")
def _():
    if not shutil.which("prometheus"):
        skip("prometheus is not installed")
    with Server(cleanup_interval=3600) as s, folder_of(NOBODY) as folder:
        token = os.path.join(folder, "token")
        shutil.copy(os.path.join(s.state, "token"), token)
        os.chmod(token, 0o400)
        if os.geteuid() == 0:
            os.chown(token, NOBODY, NOBODY)
        with Prometheus(folder, s.address, token) as p:
            wait_for(lambda: p.get("/-/ready"), "Prometheus is ready", 60)
            p.wait_value('up{job="curfew"}', 1)
            p.wait_value('curfew_sessions{kind="bash",state="active"}', 0)
            ids = [s.create(workspace="scraped")["session_id"] for _ in range(3)]
            p.wait_value('curfew_sessions{kind="bash",state="active"}', 3)
            s.exec(ids[0], "sleep 0.2")
            s.ok("DELETE", f"/v1/sessions/{ids[0]}")
            p.wait_value('curfew_sessions_ended_total{reason="requested"}', 1)
            p.wait_value("sum(curfew_sessions)", 2)
            p.wait_value("curfew_sessions_created_total - curfew_sessions_cleaned_total", 2)
            p.wait_value("curfew_exec_duration_seconds_count", 1)
            p.wait_value('curfew_exec_duration_seconds_bucket{le="0.1"}', 0)
            (_, median), = p.query("histogram_quantile(0.5, curfew_exec_duration_seconds_bucket)")
            assert median > 0.1, median
            types = json.loads(p.get("/api/v1/metadata"))["data"]
            for name, (kind, text) in declared().items():
                assert [(t["type"], t["help"]) for t in types[name]] == [(kind, text)], (name, types.get(name))
            if os.geteuid() == 0:
                p.wait_value('up{job="without-token"}', 0)
                targets = json.loads(p.get("/api/v1/targets"))["data"]["activeTargets"]
                errors = {t["labels"]["job"]: t["lastError"] for t in targets}
                assert errors["curfew"] == "" and "401" in errors["without-token"], errors


if __name__ == "__main__":
    run()
