"""The command line against a real server, as people and scripts use it."""
import json
import os
import re
import signal
import subprocess
import tempfile
import time

from harness import Server, alive, clean_env, curfew, wait_for
from tap import case, run

# One server for the cases that do not mind each other's sessions.
SHARED = []


def shared():
    if not SHARED:
        SHARED.append(Server(max_sessions_per_workspace=999, grace=1, exec_kill_grace=1))
    return SHARED[0]


def good(done, status=0):
    assert done.returncode == status, done
    return done.stdout


def data(done):
    return json.loads(good(done))


def create(s, *args):
    id = good(s.cli("create", *args)).rstrip("\n")
    assert re.fullmatch(r"bash_[A-Za-z0-9._-]+_[a-z0-9]+", id), id
    return id


def shell(s, script, **more):
    """A line of shell in which `curfew` is the program, as one would type it."""
    folder = os.path.dirname(curfew())
    env = clean_env(CURFEW_SOCKET=s.sock, PATH=folder + ":" + os.environ.get("PATH", "/usr/bin:/bin"), **more)
    return subprocess.run(["bash", "-c", script], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=60, check=False)


# ---- create, ls, show, end

@case("create prints the id and nothing else, so that ID=$(curfew create) works")
def _():
    s = shared()
    done = shell(s, 'ID=$(curfew create --workspace one) && curfew exec "$ID" "echo in $ID; pwd" && '
                    'curfew end --grace 0 "$ID"')
    lines = good(done).splitlines()
    assert lines[0].startswith("in bash_one_") and lines[1] == os.path.join(s.workspaces, "one"), done
    assert "ended" in lines[2], done


@case("create takes workspace, cwd, env, idle timeout and age as flags")
def _():
    s = shared()
    id = create(s, "--workspace=two")
    good(s.cli("exec", id, "mkdir -p a/b"))
    id = create(s, "--workspace", "two", "--cwd", "a/b", "--env", "X=1 2", "--env=Y=z", "--idle-timeout", "10m",
                "--max-age=1h")
    assert good(s.cli("exec", id, 'echo "$PWD|$X|$Y"')) == os.path.join(s.workspaces, "two/a/b") + "|1 2|z\n"
    made = data(s.cli("show", "--json", id))
    assert made["idle_timeout"] == 600 and made["max_age"] == 3600 and made["workspace_name"] == "two"


@case("ls lists the sessions as a table and with --json; without any it says so")
def _():
    with Server(grace=0) as s:
        done = s.cli("ls")
        assert good(done) == "" and "no sessions" in done.stderr
        assert data(s.cli("ls", "--json"))["sessions"] == []
        ids = [create(s, "--workspace", name) for name in ("a", "b")]
        table = good(s.cli("ls")).splitlines()
        assert table[0].split() == ["ID", "KIND", "WORKSPACE", "STATE", "IDLE", "AGE", "LEFT", "CONTAINMENT"]
        assert [line.split()[0] for line in table[1:]] == ids and all("active" in line for line in table[1:])
        assert [one["session_id"] for one in data(s.cli("ls", "--json"))["sessions"]] == ids
        assert data(s.cli("--json", "ls")) .keys() == {"sessions"}, "--json may stand before"


@case("a session with a command running is shown as busy, with the command")
def _():
    s = shared()
    id = create(s, "--workspace", "busy")
    running = subprocess.Popen([curfew(), "exec", id, "echo here >started; sleep 600"],
                               env=clean_env(CURFEW_SOCKET=s.sock), stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        wait_for(lambda: os.path.exists(os.path.join(s.workspaces, "busy", "started")), "it runs")
        assert re.search(rf"^{id} .*\bbusy\b", good(s.cli("ls")), re.M)
        assert "sleep 600" in good(s.cli("show", id))
        done = s.cli("exec", id, "echo no")
        assert done.returncode == 125 and done.stdout == "" and "sleep 600" in done.stderr, done
        good(s.cli("end", "--grace", "0", id))
        assert running.wait(30) == 125 and b"ended" in running.stderr.read()
    finally:
        running.kill()
        running.stderr.close()
        running.wait(10)


@case("show tells everything of a session; of an ended one why and how it ended, with exit status 69")
def _():
    s = shared()
    id = create(s, "--workspace", "shown")
    text = good(s.cli("show", id))
    for word in (id, "shown", "active", "containment", "idle timeout", "max age"):
        assert word in text, text
    good(s.cli("exec", id, "echo last words"))
    good(s.cli("end", "--grace=0", id))
    done = s.cli("show", id)
    assert done.returncode == 69 and all(word in done.stdout for word in (id, "requested", "last words")), done
    done = s.cli("show", "--json", id)
    assert done.returncode == 69 and json.loads(done.stdout)["session"]["reason"] == "requested", done


@case("end ends several sessions side by side and tells of each; the exit status is the first failure's")
def _():
    s = shared()
    ids = [create(s, "--workspace", "many") for _ in range(4)]
    pids = [data(s.cli("show", "--json", id))["pid"] for id in ids]
    for id in ids:
        good(s.cli("exec", id, "(trap '' INT; exec sleep 600) &"))
    start = time.monotonic()
    done = s.cli("end", "--grace", "2", *ids)
    assert time.monotonic() - start < 6, "one grace for all, not one for each"
    assert [line.split()[0] for line in good(done).splitlines()] == ids and not any(alive(pid) for pid in pids)
    last = create(s)
    done = s.cli("end", "--grace", "0", ids[0], "bash_none_here", last)
    assert done.returncode == 69 and last in done.stdout and "bash_none_here" in done.stderr, done
    assert s.cli("end", "bash_none_here").returncode == 66
    assert data(s.cli("end", "--json", "--grace", "0", create(s)))["reason"] == "requested"


# ---- exec

@case("exec passes standard output, standard error and the exit status through")
def _():
    s = shared()
    id = create(s)
    done = s.cli("exec", id, "echo out; echo err >&2; (exit 7)")
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7), done
    done = s.cli("exec", id, "printf 'no newline'")
    assert (done.stdout, done.stderr, done.returncode) == ("no newline", "", 0), done
    for status in (0, 1, 42, 125, 127, 255):
        assert s.cli("exec", id, f"(exit {status})").returncode == status
    assert s.cli("exec", id, "no-such-command-here").returncode == 127
    assert s.cli("exec", id, "bash -c 'kill -9 $$'").returncode == 137


@case("one word is bash text, several are a command with its arguments as they are")
def _():
    s = shared()
    id = create(s)
    assert good(s.cli("exec", id, "x=5; echo $((x * 2)) | cat")) == "10\n"
    assert good(s.cli("exec", id, "--", "printf", "<%s>", "a b", "$x", "*", "", "it's", 'say "x"', "-n")) == \
        '<a b><$x><*><><it\'s><say "x"><-n>'
    assert good(s.cli("exec", id, "echo", "$x")) == "$x\n"
    assert good(s.cli("exec", id, "cat <<'END'\nline 1\n  line $2\nEND\n")) == "line 1\n  line $2\n"


@case("what a shell keeps is kept from one exec to the next")
def _():
    s = shared()
    id = create(s)
    good(s.cli("exec", id, "cd /tmp; export A=1; b=2; f() { echo f$1; }; shopt -s extglob"))
    assert good(s.cli("exec", id, "echo $PWD $A $b; f 3; echo @(no-x|no-y)")) == "/tmp 1 2\nf3\n@(no-x|no-y)\n"


@case("exec stands in a pipeline")
def _():
    s = shared()
    id = create(s)
    assert good(shell(s, f"curfew exec {id} 'seq 1 1000' | wc -l")).strip() == "1000"
    assert good(shell(s, f"curfew exec {id} 'cat; seq 3' | tail -n 1")) == "3\n", "its input is not ours"
    assert good(shell(s, f"curfew exec {id} 'seq 1 200000' | head -n 1; echo ${{PIPESTATUS[0]}}")) == "1\n141\n"
    assert good(shell(s, f"if curfew exec {id} false; then echo yes; else echo no; fi")) == "no\n"
    assert good(shell(s, f"for i in 1 2 3; do curfew exec {id} \"echo $i\"; done | paste -sd+")) == "1+2+3\n"
    done = shell(s, f"curfew exec {id} 'echo lost' >/dev/full")
    assert done.returncode == 125 and "curfew" in done.stderr, done


@case("large output arrives whole; the answer of --json is bounded and says that it was cut")
def _():
    s = shared()
    id = create(s)
    done = s.cli("exec", id, "head -c 700000 /dev/zero | tr '\\0' x; echo; echo end")
    assert good(done) == "x" * 700000 + "\nend\n" and done.stderr == ""
    done = s.cli("exec", id, "head -c 3000000 /dev/zero | tr '\\0' y; echo end")
    assert good(done) == "y" * 3000000 + "end\n" and done.stderr == ""
    answer = data(s.cli("exec", "--json", id, "head -c 3000000 /dev/zero | tr '\\0' y; echo end"))
    assert answer["truncated"] is True and answer["stdout_bytes"] == 3000004 and len(answer["stdout"]) < 1100000


@case("a command that runs over its timeout is interrupted, exec exits with 124, and the session goes on")
def _():
    s = shared()
    id = create(s)
    done = s.cli("exec", "--timeout", "500ms", id, "x=kept; echo before; sleep 600; echo after")
    assert done.returncode == 124 and done.stdout == "before\n" and done.stderr, done
    assert good(s.cli("exec", id, "echo $x")) == "kept\n"


@case("exec --json gives the answer as it came; exit status as without")
def _():
    s = shared()
    id = create(s)
    done = s.cli("exec", "--json", id, "echo out; echo err >&2; (exit 3)")
    answer = json.loads(done.stdout)
    assert done.returncode == 3 and answer["exit_code"] == 3, done
    assert (answer["stdout"], answer["stderr"]) == ("out\n", "err\n"), done
    assert answer["timed_out"] is False and answer["truncated"] is False and answer["duration_ms"] >= 0


@case("exec in a session that is unknown or has ended exits with 125 and says so")
def _():
    s = shared()
    done = s.cli("exec", "bash_none_here", "true")
    assert done.returncode == 125 and done.stdout == "" and "bash_none_here" in done.stderr, done
    id = create(s)
    assert s.cli("exec", id, "exit 9").returncode == 9
    s.tombstone(id)
    done = s.cli("exec", id, "true")
    assert done.returncode == 125 and "ended" in done.stderr and "9" in done.stderr, done


# ---- run

@case("run runs one command in a session of its own that is gone afterwards")
def _():
    s = shared()
    before = good(s.cli("ls", "--json"))
    done = s.cli("run", "--workspace", "runner", "--", "bash", "-c", "echo out; echo err >&2; exit 5")
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 5), done
    done = s.cli("run", "sleep 600 & setsid sleep 600 & echo started")
    assert good(done) == "started\n"
    ids = {one["session_id"] for one in json.loads(before)["sessions"]}
    assert {one["session_id"] for one in data(s.cli("ls", "--json"))["sessions"]} == ids
    assert "sleep 600" not in " ".join(line for line in s.processes().values() if not line.startswith("curfew"))


@case("run --keep leaves the session and names it")
def _():
    s = shared()
    done = s.cli("run", "--keep", "x=7")
    [id] = re.findall(r"bash_default_\w+", done.stderr)
    assert done.returncode == 0 and good(s.cli("exec", id, "echo $x")) == "7\n"


@case("run that is interrupted ends its session with everything in it before it goes, by the signal")
def _():
    s = shared()
    command = "echo here >started; setsid sleep 601 & sleep 602"
    running = subprocess.Popen([curfew(), "run", "--workspace", "interrupted", command],
                               env=clean_env(CURFEW_SOCKET=s.sock), stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: os.path.exists(os.path.join(s.workspaces, "interrupted", "started")), "it runs")
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == -signal.SIGTERM
        assert not [line for line in s.processes().values() if re.match("sleep 60[12]", line)]
        assert not [one for one in s.list() if one["workspace_name"] == "interrupted"]
    finally:
        running.kill()
        running.wait(10)


# ---- the server's own

@case("stats shows settings, counts and who is pending; --json the server's data")
def _():
    with Server(warm_pool=0, grace=0) as s:
        id = create(s, "--idle-timeout", "1")
        wait_for(lambda: s.stats()["statistics"]["sessions_to_cleanup"] == 1, "it is over its timeout")
        text = good(s.cli("stats"))
        for word in ("session timeout", "1h", "5m", "total sessions", "running", id):
            assert word in text, text
        stats = data(s.cli("stats", "--json"))
        assert stats["statistics"]["total_sessions"] == 1 and stats["sessions_pending_cleanup"][0]["session_id"] == id
        text = good(s.cli("cleanup"))
        assert id in text and "inactive" in text, text
        assert data(s.cli("cleanup", "--json"))["cleaned_sessions"] == 0


@case("configure changes the settings that its flags name and prints old -> new")
def _():
    with Server() as s:
        text = good(s.cli("configure", "--session-timeout", "30m", "--no-auto-cleanup-enabled"))
        assert re.search(r"session.timeout.*1h.*->.*30m", text) and re.search(r"auto.cleanup.enabled.*->", text), text
        now = s.stats()
        assert now["configuration"]["session_timeout"] == 1800 and now["configuration"]["cleanup_interval"] == 300
        assert now["auto_cleanup_task"]["running"] is False
        answer = data(s.cli("configure", "--json", "--cleanup-interval=90s", "--auto-cleanup-enabled"))
        assert answer["new_settings"] == {"session_timeout": 1800, "cleanup_interval": 90, "auto_cleanup_enabled": True}
        done = s.cli("configure", "--session-timeout", "0")
        assert done.returncode == 64 and "session-timeout" in done.stderr, done
        assert s.stats()["configuration"]["session_timeout"] == 1800


@case("version tells the command line's and the server's")
def _():
    s = shared()
    text = good(s.cli("version"))
    assert re.search(r"\d+\.\d+\.\d+", text), text
    assert re.fullmatch(r"curfew \d+\.\d+\.\d+\n", good(s.cli("--version")))
    assert data(s.cli("version", "--json"))["version"] in text


# ---- where the server is, and mistakes

@case("the server is found by --url, CURFEW_URL, --socket and CURFEW_SOCKET")
def _():
    s = shared()
    for args, env in ((["--url", s.url], {}), ([], {"CURFEW_URL": s.url}), (["--socket", s.sock], {}),
                      ([], {"CURFEW_SOCKET": s.sock})):
        done = s.cli("ls", "--json", *args, env={"CURFEW_SOCKET": None, **env})
        assert done.returncode == 0 and "sessions" in json.loads(done.stdout), (args, env, done)


@case("a server that wants a token gets it from CURFEW_TOKEN or --token-file, and refuses without")
def _():
    with Server(token_required=True) as s:
        done = s.cli("ls")
        assert done.returncode == 77 and "token" in done.stderr, done
        path = os.path.join(s.state, "token")
        assert s.cli("ls", "--token-file", path).returncode == 0
        with open(path, encoding="utf-8") as token:
            assert s.cli("ls", env={"CURFEW_TOKEN": token.read().strip()}).returncode == 0
        assert s.cli("ls", env={"CURFEW_TOKEN": "0" * 64}).returncode == 77


@case("without a server it says where it looked, with exit status 69, or 125 where it stands in for a command")
def _():
    with tempfile.TemporaryDirectory() as folder:
        missing = os.path.join(folder, "none.sock")
        for args, status in ((["ls"], 69), (["stats", "--json"], 69), (["exec", "bash_a_b", "true"], 125),
                             (["run", "true"], 125)):
            done = subprocess.run([curfew(), *args], env=clean_env(CURFEW_SOCKET=missing), stdin=subprocess.DEVNULL,
                                  timeout=60, capture_output=True, text=True, check=False)
            assert done.returncode == status and missing in done.stderr + done.stdout, done


@case("mistakes are told with the exit status of their kind, and change nothing")
def _():
    s = shared()
    before = len(s.list())
    for args, status, what in (
            (["create", "--workspace", "../up"], 64, "workspace"), (["create", "--no-such-flag"], 64, "no-such-flag"),
            (["create", "--idle-timeout", "soon"], 64, "idle-timeout"), (["create", "--kind", "zsh"], 64, "kind"),
            (["create", "surplus"], 64, "surplus"), (["show"], 64, "show"), (["nosuch"], 64, "nosuch"),
            (["end"], 64, "end"), (["exec"], 64, "exec"),
            (["show", "bash_none_here"], 66, "bash_none_here"), (["show", "../x"], None, "")):
        done = s.cli(*args)
        assert done.returncode == status if status else done.returncode > 0, (args, done)
        assert done.stdout == "" and what in done.stderr, (args, done)
    done = s.cli("show", "--json", "bash_none_here")
    assert done.returncode == 66 and json.loads(done.stdout)["code"] == "not_found", done
    assert len(s.list()) == before


@case("a full workspace and a full server exit with 75")
def _():
    with Server(max_sessions=2, max_sessions_per_workspace=1, warm_pool=0) as s:
        create(s, "--workspace", "a")
        done = s.cli("create", "--workspace", "a")
        assert done.returncode == 75 and "1" in done.stderr, done
        create(s, "--workspace", "b")
        done = s.cli("create", "--workspace", "c")
        assert done.returncode == 75 and "2" in done.stderr, done


@case("what a command prints cannot steer the terminal of whoever reads a table")
def _():
    s = shared()
    id = create(s)
    good(s.cli("exec", id, "printf '\\033[31mred\\007\\n'"))
    good(s.cli("end", "--grace", "0", id))
    text = s.cli("show", id).stdout
    assert "red" in text and "\033" not in text and "\007" not in text, repr(text)


@case("the server that all of this used stops in order and leaves nobody")
def _():
    shared().stop()
    assert alive(os.getpid())


def cleanup():
    for s in SHARED:
        s.discard()


run(cleanup)
