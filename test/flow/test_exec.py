#!/usr/bin/env python3
"""Commands in a session's shell: what a bash user expects, and what makes other tools hang, alter or mix up output.

Every case runs twice: in a shell that was started for it (cold) and in one from the pool (warm), which must not differ.
budget: 240
"""
import functools
import hashlib
import json
import contextlib
import os
import signal
import threading
import time

import harness
from tap import case, run

MAX_OUTPUT = 1 << 20                    # max_output_bytes, as it is by default
MAX_COMMAND = 2 << 20                   # max_command_bytes, as it is by default
PROMPTLY = 10                           # seconds: far less than what a command that hangs takes, also on a busy machine
KILL_GRACE = 0.5

servers = {}


def server(warm):
    if warm not in servers:
        servers[warm] = harness.Server(
            warm_pool=2 if warm else 0, exec_kill_grace=f"{int(KILL_GRACE * 1000)}ms", max_sessions=500, exec_timeout=60,
            max_sessions_per_workspace=500, env={"SECRET_OF_THE_SERVER": "hush", "CURFEW_LOG_LEVEL": "debug"})
    return servers[warm]


class Shell:
    """A session, and what is said in it."""

    def __init__(self, warm):
        self.server = server(warm)
        self.warm = warm
        self.id = self.server.create(workspace="w")["session_id"]

    def run(self, command, **fields):
        return self.server.exec(self.id, command, **fields)

    def says(self, command, stdout="", stderr="", exit_code=0, **fields):
        """Exactly this, on each stream."""
        got = self.run(command, **fields)
        want = {"stdout": stdout, "stderr": stderr, "exit_code": exit_code, "timed_out": False, "truncated": False,
                "session_state": "active"}
        have = {key: got[key] for key in want}
        assert have == want, f"{command[:200]!r}:\n got {have}\nwant {want}"
        return got

    def alive(self):
        self.says("echo alive", "alive\n")

    def times_out(self, command, timeout=0.3, within=PROMPTLY):
        since = time.monotonic()
        got = self.run(command, timeout=timeout)
        took = time.monotonic() - since
        assert got["timed_out"] is True and got["session_state"] == "active", (command, got["session_state"], got["timed_out"])
        assert timeout * 0.98 <= took < within, (command, took)
        return got

    def closes(self, command, exit_code, state="closed", reason="closed", **fields):
        """A command that ends the shell: told as such, and the session answers 410 from then on."""
        got = self.run(command, **fields)
        assert got["exit_code"] == exit_code and got["session_state"] == state, (command, got)
        tomb = self.server.tombstone(self.id)
        assert tomb["reason"] == reason, tomb
        error = self.server.fails(410, "gone", "POST", f"/v1/sessions/{self.id}/exec", {"command": "echo elsewhere"})
        assert error["session"]["reason"] == reason, error
        return got


def both(title):
    """The case twice, each with a session of its own."""
    def add(function):
        for warm in (False, True):
            def once(warm=warm):
                shell = Shell(warm)
                function(shell)
                if shell.server.request("GET", f"/v1/sessions/{shell.id}")[0] == 200:
                    shell.server.end(shell.id)
            case(f"{title} ({'warm' if warm else 'cold'} shell)")(functools.wraps(function)(once))
        return function
    return add


# ---- what stays from one command to the next

@both("cwd, exports, variables, functions, aliases, arrays and arguments stay from one command to the next")
def _(shell):
    shell.says("cd /tmp; X='a  b'; export Y=2; f() { echo f$1; }; alias g='echo galias'; arr=(a 'b c' d); set -- 1 'two 2'; "
               "declare -A map=([k]=v); declare -i n=4; umask 027")
    got = shell.says("pwd; echo \"$X\" $Y; f 3; g; echo ${#arr[@]} \"${arr[1]}\" ${map[k]}; echo $# \"$2\"; n+=3; echo $n; umask",
                     "/tmp\na  b 2\nf3\ngalias\n3 b c v\n2 two 2\n7\n0027\n")
    assert got["cwd"] == "/tmp", got["cwd"]
    shell.says("bash -c 'echo [$X] [$Y]'", "[] [2]\n")
    shell.says("cd - >/dev/null; echo $OLDPWD", "/tmp\n")


@both("options of set and shopt stay, and the prompt's own variables do no harm")
def _(shell):
    shell.says("shopt -s nullglob extglob; set -f -o pipefail")
    shell.says("shopt nullglob; echo /etc/host*; false | true", "nullglob       \ton\n/etc/host*\n", exit_code=1)
    shell.says("set +f; echo /nowhere/*", "\n")
    shell.says("PS1='$(echo pwned)'; PS2=; PS0='$(echo zero)'; PROMPT_COMMAND='echo prompt; false'; IFS=0123456789; TMOUT=1")
    shell.says("echo a1b; x=a1b; echo $x; sleep 1.2", "a1b\na b\n")
    shell.says("unset IFS; echo after", "after\n")
    shell.says("set -o posix; set -C; set -k")
    shell.says("echo $POSIXLY_CORRECT; type -t type", "y\nbuiltin\n")
    shell.alive()


@both("$? is the last command's, $! and the last background job can be waited for")
def _(shell):
    shell.says("(exit 7)", exit_code=7)
    shell.says("echo $?", "7\n")
    shell.says("echo $?", "0\n")
    shell.says("(sleep 0.2; exit 5) &")
    shell.says("wait $!", exit_code=5)
    shell.says("sleep 30 & echo on", "on\n")
    got = shell.run("jobs")
    assert "Running" in got["stdout"] and "sleep 30" in got["stdout"], got
    shell.says("kill %1; wait %1 2>/dev/null; jobs >/dev/null; echo $(jobs | wc -l)", "0\n")


@both("a trap stays, and runs when its signal comes, also between two commands")
def _(shell):
    shell.says("trap 'echo usr1' USR1; trap -p", "trap -- 'echo usr1' SIGUSR1\n")
    shell.says("kill -USR1 $$", "usr1\n")
    shell.says("n=0; trap 'n=$((n+1))' USR2; (sleep 0.2; kill -USR2 $$) & ")
    harness.wait_for(lambda: shell.run("echo $n")["stdout"] == "1\n", "the trap ran")


@both("DEBUG and ERR traps see the user's commands and print where these print")
def _(shell):
    shell.says("trap 'echo d:$BASH_COMMAND' DEBUG; :", "d::\n")
    shell.says("echo x", "d:echo x\nx\n")
    shell.says("trap - DEBUG; trap 'echo err $?' ERR", "d:trap - DEBUG\n")
    shell.says("(exit 4)", "err 4\n", exit_code=4)
    shell.says("trap - ERR")


@both("an EXIT trap runs at exit")
def _(shell):
    file = os.path.join(shell.server.folder, f"trapped-{shell.warm}")
    shell.says(f"trap 'touch {file}' EXIT")
    shell.closes("exit 4", 4)
    assert os.path.exists(file)


@both("a session starts in its workspace, with PWD, without OLDPWD, as an interactive bash with aliases and no history")
def _(shell):
    folder = os.path.join(shell.server.workspaces, "w")
    shell.says("pwd; echo $PWD; echo ${OLDPWD-none}; /bin/pwd", f"{folder}\n{folder}\nnone\n{folder}\n")
    shell.says("shopt -q expand_aliases && echo aliases; [[ $- == *[ieux]* ]] && echo $-; set -o | grep history; history",
               f"aliases\n{shell.run('echo $-')['stdout']}history        \toff\n")
    shell.says("echo ${HISTFILE-none} ${SHLVL}", "none 1\n")
    shell.says("compgen -v CURFEW; compgen -e | grep -c CURFEW", "0\n", exit_code=1)


# ---- the streams

@both("stdout and stderr come apart, with the exit code")
def _(shell):
    got = shell.says("echo out; echo err >&2; (exit 9)", "out\n", "err\n", 9)
    assert got["stdout_bytes"] == 4 and got["stderr_bytes"] == 4, got
    got = shell.says("true")
    assert got["stdout_bytes"] == 0 and isinstance(got["duration_ms"], (int, float)) and got["duration_ms"] >= 0


@both("exit codes: 126, 127, a signal's, a pipeline's")
def _(shell):
    assert shell.run("/nowhere")["exit_code"] == 127
    assert shell.run("nosuchcommand")["exit_code"] == 127
    assert shell.run("/etc/passwd")["exit_code"] == 126
    assert shell.run("bash -c 'kill -SEGV $$'")["exit_code"] == 139
    assert shell.run("false | true")["exit_code"] == 0
    shell.says("return 5", exit_code=5)
    shell.says("echo $?", "5\n")


@both("NUL bytes, invalid UTF-8, CR LF, tabs and escape sequences arrive; what JSON cannot hold is U+FFFD, counted as bytes")
def _(shell):
    got = shell.says(r"printf 'a\0b\xff\xfec\r\n\t\x1b[31mred\x1b[0m\b\f\x7f'",
                     "a\0b\ufffd\ufffdc\r\n\t\x1b[31mred\x1b[0m\b\f\x7f")
    assert got["stdout_bytes"] == 24, got["stdout_bytes"]
    shell.says("echo 'grüße \U0001f600' >&2", stderr="grüße \U0001f600\n")


@both("output that looks like the driver's own statuses is output, and the driver's descriptors are closed")
def _(shell):
    shell.says(r"printf 'S 0 /\0R 0 /\0P 1\0'; printf 'S 1 /\0' >&2; exit() { :; }", "S 0 /\0R 0 /\0P 1\0", "S 1 /\0")
    shell.says("unset -f exit")
    # What bash itself keeps is its own standard input, from which the loop comes back: also when a command has read all of it.
    got = shell.run(r"for fd in {3..99}; do while read -t 0 -u $fd && read -r -t 5 -u $fd x; do echo $x; done; done 2>/dev/null; set | grep ^__cf_t")
    lines = got["stdout"].splitlines()
    assert all("/driver.bash'" in line for line in lines[:-1]) and lines[-1].startswith("__cf_t=") and \
        lines[-1][7:] not in "".join(lines[:-1]), got
    shell.times_out("sleep 100")
    shell.alive()


@both("whatever is written into any descriptor of the shell, it does not end a command or pass for its status")
def _(shell):
    got = shell.run(r"for fd in {3..255}; do printf 'S 7 /nowhere\0R 7 /nowhere\0P 1\0' >&$fd; printf 'S 7 /x' >&$fd; done 2>/dev/null;"
                    " sleep 0.1; echo end")
    assert got["stdout"] == "end\n" and got["exit_code"] == 0 and got["cwd"] != "/nowhere", got
    shell.says("echo next", "next\n")


@both("a lot on both streams at once arrives whole, in order and apart")
def _(shell):
    got = shell.says("for ((i = 0; i < 20000; i++)); do echo out$i; echo err$i >&2; done",
                     "".join(f"out{i}\n" for i in range(20000)), "".join(f"err{i}\n" for i in range(20000)))
    assert got["stdout_bytes"] == got["stderr_bytes"] == len(got["stdout"]), got["stdout_bytes"]


@both("output of exactly max_output_bytes is whole, one byte more is cut")
def _(shell):
    got = shell.run(f"head -c {MAX_OUTPUT} /dev/zero | tr '\\0' x")
    assert got["stdout"] == "x" * MAX_OUTPUT and got["truncated"] is False
    got = shell.run(f"head -c {MAX_OUTPUT + 1} /dev/zero | tr '\\0' x")
    assert got["truncated"] is True and got["stdout_bytes"] == MAX_OUTPUT + 1
    assert "[curfew: 1 bytes left out]" in got["stdout"], len(got["stdout"])


@both("10 MB of output: the head, a marker that says how much is left out, the tail, and exact counts")
def _(shell):
    lines = [f"{i:09d}\n" for i in range(1, 1_000_001)]
    whole = "".join(lines)
    got = shell.run("seq -f %09.0f 1000000 | tee /dev/stderr")
    for stream in ("stdout", "stderr"):
        text = got[stream]
        assert got[stream + "_bytes"] == len(whole) and got["truncated"] is True, got[stream + "_bytes"]
        marker = f"\n[curfew: {len(whole) - MAX_OUTPUT} bytes left out]\n"
        head, found, tail = text.partition(marker)
        assert found, text[MAX_OUTPUT // 2 - 50:MAX_OUTPUT // 2 + 100]
        assert whole.startswith(head) and whole.endswith(tail) and len(head) + len(tail) == MAX_OUTPUT, (len(head), len(tail))
    shell.alive()


# ---- commands that are hard to hand over

@both("commands of many lines: loops, heredocs with tabs and nested quotes, continuation lines, comments")
def _(shell):
    shell.says("for i in 1 2\ndo\n  echo $i\ndone\necho a &&\necho b\necho c \\\nd\n# comment", "1\n2\na\nb\nc d\n")
    shell.says("cat <<EOT\n\ttab \"double\" 'single' $(echo \"nested 'q' `echo deep`\")\nEOT",
               "\ttab \"double\" 'single' nested 'q' deep\n")
    shell.says("cat <<-'EOT'\n\t\tno $tabs `here`\n\tEOT\ncat <<<\"string  here\"", "no $tabs `here`\nstring  here\n")
    shell.says("python3 - <<'PY'\nfor i in range(2):\n\tprint(i, '''it's''', \"\\t\")\nPY", "0 it's \t\n1 it's \t\n")
    shell.says("   \n\t\n")
    shell.says("# nothing but a comment")
    shell.says("echo \r", "\r\n")


@both("a heredoc without its end takes the rest, as bash has it, and warns")
def _(shell):
    got = shell.run("cat <<EOT\nunterminated")
    assert got["stdout"] == "unterminated\n" and got["exit_code"] == 0 and "here-document" in got["stderr"], got
    shell.alive()


@both("a syntax error gives exit code 2 and a message, runs nothing, and the session lives")
def _(shell):
    for command in ('echo "unbalanced', "echo 'x", "if then", "if true; then", ")", "echo $(", "for", "case x in", "echo `x", "{ echo a",
                    "a &&", "f() {", "echo a; }", "(((", "[[ a"):
        got = shell.run("touch ran; " + command if command == ")" else command)
        assert got["exit_code"] == 2 and got["stderr"] and not got["stdout"], (command, got)
        shell.says("echo $?; echo fine", "2\nfine\n")
    shell.says("ls ran 2>/dev/null", exit_code=2)


@both("! in double quotes is itself")
def _(shell):
    shell.says('echo "a!b" a!b !! !1; echo "!"', "a!b a!b !! !1\n!\n")


@both("100 KB and 1 MB of command run, in one line and in many lines")
def _(shell):
    for size in (16_000, 17_000, 100_000, 1_000_000):
        text = "x" * size
        shell.says(f"v='{text}'; echo ${{#v}}", f"{size}\n")
        count = size // 10
        shell.says("n=0\n" + "((++n))  \n" * count + "echo $n", f"{count}\n")
    data = "".join(hashlib.sha256(str(i).encode()).hexdigest() + ["\n", "\t\"'$`\\ \n", "é\n"][i % 3] for i in range(1500))
    shell.says(f"cat <<'END OF IT'\n{data}END OF IT", data)


@both("a command of max_command_bytes runs, a longer one is refused with 413 and nothing happens")
def _(shell):
    tail = "\necho ran"
    shell.says("#" * (MAX_COMMAND - len(tail)) + tail, "ran\n")
    path = f"/v1/sessions/{shell.id}/exec"
    error = shell.server.fails(413, "too_large", "POST", path, {"command": "#" * (MAX_COMMAND + 1 - len(tail)) + tail})
    assert error["field"] == "command", error
    shell.alive()
    assert shell.server.show(shell.id)["message_count"] == 2


@both("a NUL in a command, an empty one and none at all are refused and change nothing")
def _(shell):
    path = f"/v1/sessions/{shell.id}/exec"
    for body in ({"command": "touch a\0b"}, {"command": ""}, {"command": None}, {"command": ["ls"]}, {}):
        error = shell.server.fails(400, "invalid", "POST", path, body)
        assert error["field"] == "command", (body, error)
    assert shell.server.show(shell.id)["message_count"] == 0
    shell.says("ls a*", stderr="ls: cannot access 'a*': No such file or directory\n", exit_code=2)


# ---- commands that turn on the shell

@both("standard input is empty: cat, read and a pager get end of file")
def _(shell):
    shell.says("cat; read x; echo \"$? [$x]\"; head -1; bash -c 'read y || echo eof'", "1 []\neof\n")
    shell.says("select x in a b; do echo $x; done >/dev/null 2>&1; echo after", "after\n")
    shell.says("python3 -c 'import sys; print(repr(sys.stdin.read()))'", "''\n")
    shell.says("{ read -t 5 a </dev/tty; } 2>/dev/null", exit_code=1)
    shell.alive()


@both("exec >/dev/null and exec 2>&1 hold for that command, not for the answers of the next")
def _(shell):
    shell.says("exec >/dev/null; echo hidden")
    shell.says("echo shown; echo err >&2", "shown\n", "err\n")
    shell.says("exec 2>&1; echo to-out >&2", "to-out\n")
    shell.says("echo to-err >&2", stderr="to-err\n")
    shell.says("exec <&- >&- 2>&-")
    shell.says("exec 5>kept; echo x >&5")
    shell.says("echo y >&5; exec 5>&-; cat kept", "x\ny\n")


@both("set -x and set -v show the user's commands on stderr and nothing of the driver")
def _(shell):
    shell.says("set -x")
    got = shell.run("echo traced")
    assert got["stdout"] == "traced\n" and got["stderr"].strip("+") == " echo traced\n", got
    got = shell.run("set +x; set -v")
    assert got["stderr"].strip("+") == " set +x\n", got
    shell.says("echo verbose", "verbose\n", "echo verbose\n")
    shell.says("set +v", stderr="set +v\n")
    shell.alive()


@both("set -u with an unset name, ${x:?}, a division by zero: the command ends, the session lives")
def _(shell):
    shell.says("cd /tmp")
    for command, said in (("set -u; echo $nope; echo on", "nope: unbound variable"), (": ${x:?missing}; echo on", "x: missing"),
                          ("echo $((1/0)); echo on", "division by 0"), ("readonly RO=1; RO=2; echo on", "readonly variable"),
                          ("f() { local y=$((1/0)); }; f; echo on", "division by 0")):
        got = shell.run(command)
        assert got["exit_code"] == 1 and got["stdout"] == "" and said in got["stderr"] and got["session_state"] == "active", got
        shell.says("echo $? $PWD", "1 /tmp\n")


@both("with set -u and PWD unset the session goes on")
def _(shell):
    shell.says("set -u; unset PWD")
    shell.says("echo here", "here\n")
    shell.says("cd /; echo $PWD", "/\n")


@both("break, continue and return at top level do nothing worse than in bash")
def _(shell):
    for command in ("break", "continue", "break 3", "continue 9", "for i in 1 2; do continue 2; done", "for i in 1; do break 7; done",
                    "eval continue", "f() { break; }; f"):
        since = time.monotonic()
        got = shell.run(command)
        assert got["exit_code"] == 0 and not got["timed_out"] and time.monotonic() - since < PROMPTLY, (command, got)
        shell.says("echo next", "next\n")
    shell.says("return 6", exit_code=6)
    shell.says("for i in 1 2 3; do [ $i = 2 ] && continue; echo $i; done; while :; do break; done; echo end", "1\n3\nend\n")


@both("exit 3: exit code 3, the session is closed, and afterwards it answers 410")
def _(shell):
    got = shell.closes("echo last; echo words >&2; exit 3; echo never", 3)
    assert got["stdout"] == "last\n" and got["stderr"] == "words\n", got
    tomb = shell.server.tombstone(shell.id)
    assert tomb["exit_code"] == 3 and tomb["signal"] is None and "last" in tomb["last_output"], tomb


@both("exec of another program: its output and its exit code, then the session is closed")
def _(shell):
    got = shell.closes("exec bash -c 'sleep 0.2; echo replaced; exit 8'", 8)
    assert got["stdout"] == "replaced\n", got


@both("a shell that is killed: 128 and the signal, the session has failed")
def _(shell):
    shell.closes("kill -9 $$", 137, state="failed", reason="failed")
    tomb = shell.server.tombstone(shell.id)
    assert tomb["signal"] == 9 and tomb["exit_code"] is None, tomb


@both("set -e; false ends the shell with 1, as in an interactive bash")
def _(shell):
    got = shell.closes("set -e; echo before; false; echo after", 1)
    assert got["stdout"] == "before\n", got


@both("signals that an interactive bash ignores do not hurt, and an interrupt ends just the command")
def _(shell):
    shell.says("kill -TERM $$; kill -QUIT $$; echo still", "still\n")
    got = shell.run("kill -INT $$; sleep 0.1; echo not here")
    assert got["exit_code"] == 130 and got["stdout"] == "" and not got["timed_out"], got
    shell.alive()


@both("few descriptors, a deep folder, a removed folder, no PATH: the next command works")
def _(shell):
    shell.says("ulimit -n 40")
    shell.says("ulimit -n; cat <<<here", "40\nhere\n")
    shell.says("d=$(printf 'x%.0s' {1..200}); for i in {1..25}; do mkdir -p $d && cd $d || break; done; echo ${#d}", "200\n")
    got = shell.says("echo deep", "deep\n")
    assert got["cwd"].endswith("x") and len(got["cwd"]) > 3000, len(got["cwd"])
    shell.says("cd; mkdir -p gone && cd gone && rmdir ../gone; echo in", "in\n")
    shell.says("echo nowhere", "nowhere\n")
    shell.says("cd /; unset PATH; echo pathless", "pathless\n")
    shell.says("PATH=/usr/bin:/bin")
    shell.says("readonly IFS TMOUT LC_ALL=C; set -o nounset; shopt -s nocasematch failglob")
    shell.says("echo locked; read -r -d '' x; mapfile -t l < <(seq 3); echo ${l[2]}", "locked\n3\n")


@both("functions that are named like builtins are the user's, not the driver's")
def _(shell):
    shell.says("printf() { command echo mine; }; read() { :; }; eval() { :; }; exec() { :; }; history() { :; }")
    shell.says("printf x; builtin printf '%s\\n' theirs", "mine\ntheirs\n")


@both("coproc, process substitution, time, mapfile and subshells work")
def _(shell):
    shell.says("diff <(seq 3) <(seq 3) && echo same; seq 3 > >(cat >&2; : >said); until [ -e said ]; do sleep 0.01; done; rm said; paste -sd+ <(seq 3)", "same\n1+2+3\n", "1\n2\n3\n")
    shell.says("coproc cat; echo hi >&${COPROC[1]}; read -r -u ${COPROC[0]} x; echo got $x", "got hi\n")
    shell.says("kill %1; wait 2>/dev/null; true")
    got = shell.run("time (sleep 0.05)")
    assert "real" in got["stderr"] and got["exit_code"] == 0, got
    shell.says("(cd /; exit 3); echo $?; x=$(echo sub; exit 4); echo $? $x", "3\n4 sub\n")


# ---- time

@both("a command over its time is interrupted, told as timed_out, and the next command is clean")
def _(shell):
    for command in ("sleep 100", "while :; do :; done", "yes | cat | cat >/dev/null", "(sleep 50; sleep 50)", "sleep 100; echo not here",
                    "x=$(sleep 100)", "cat <(sleep 100)", "read x < <(sleep 100)",
                    "for i in 1 2 3; do sleep 100; done", "sleep 100 | sleep 100", "time sleep 100", "wait_for() { until false; do :; done; }; wait_for"):
        got = shell.times_out(command)
        assert got["exit_code"] == 130 and "not here" not in got["stdout"], (command, got["exit_code"], got["stdout"][:200])
        shell.says("echo next", "next\n")


@both("a pipeline that is interrupted ends so, each time: none of it meets its end of file before its interrupt")
def _(shell):
    for _ in range(20):
        got = shell.run("yes | cat | cat >/dev/null", timeout=0.05)
        assert got["exit_code"] == 130 and got["timed_out"], got


@both("what ignores the interrupt is killed, and the session stays")
def _(shell):
    for command in ("trap '' INT; sleep 100", "python3 -c 'import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(100)'",
                    "setsid -w sleep 100", "bash -c 'trap \"\" INT TERM HUP; while :; do :; done'"):
        got = shell.times_out(command, within=PROMPTLY + KILL_GRACE)
        assert got["exit_code"] == 137, (command, got["exit_code"])
        shell.says("trap - INT; echo next", "next\n")
    assert not [line for line in shell.server.processes().values() if "sleep 100" in line], shell.server.processes()


@both("loops of short commands, which lose an interrupt now and then, come to an end too, and the session stays")
def _(shell):
    for command in ("while :; do sleep 0.01; done", "f() { while :; do true | /bin/true; done; }; f", "while sleep 0.001; do :; done",
                    "until bash -c 'exit 1'; do :; done; echo not here"):
        got = shell.times_out(command, within=PROMPTLY + KILL_GRACE)
        assert got["exit_code"] in (0, 130, 137), (command, got["exit_code"])     # 0: a loop whose condition was interrupted
        shell.says("echo next", "next\n")


@both("a shell that no interrupt reaches is given up: timed_out, and the session has failed")
def _(shell):
    got = shell.run("trap '' INT; while :; do :; done", timeout=0.3)
    assert got["timed_out"] is True and got["session_state"] == "failed", got
    assert shell.server.tombstone(shell.id)["reason"] == "failed"


@both("yes over its time: cut, counted, and not a byte of it in the next answer")
def _(shell):
    got = shell.times_out("yes")
    assert got["truncated"] is True and got["stdout_bytes"] > MAX_OUTPUT and got["stdout"].startswith("y\ny\n"), got["stdout_bytes"]
    for _ in range(5):
        shell.says("echo clean", "clean\n")


@both("an INT trap of the user runs at the timeout")
def _(shell):
    shell.says("trap 'echo interrupted' INT")
    got = shell.times_out("sleep 100; echo went on")
    assert got["stdout"] == "interrupted\nwent on\n", got
    shell.says("echo next", "next\n")


@both("background jobs from earlier live through a timeout, and cwd and variables stay")
def _(shell):
    shell.says("cd /tmp; kept=yes; sleep 77 & sleep 78 & bash -c 'trap \"\" INT; sleep 79' &")
    shell.times_out("sleep 100")
    shell.times_out("trap '' INT; sleep 100", within=PROMPTLY + KILL_GRACE)
    got = shell.says("trap - INT; echo $kept $PWD $(jobs -r | wc -l)", "yes /tmp 3\n")
    assert got["cwd"] == "/tmp"


@both("a timeout given by the caller beats exec_timeout, as number and as text")
def _(shell):
    for timeout in (0.2, "200ms"):
        since = time.monotonic()
        assert shell.run("sleep 100", timeout=timeout)["timed_out"] is True
        assert time.monotonic() - since < PROMPTLY
    assert shell.run("sleep 0.3", timeout=30)["timed_out"] is False


@both("an interrupt that is late, since its command has ended by itself meanwhile, does not meet the next command")
def _(shell):
    keeper = shell.server.pid
    os.kill(keeper, signal.SIGSTOP)                     # who would send the signal does not get to it
    try:
        got = shell.run("sleep 0.4; echo by itself", timeout=0.1)
        assert got["timed_out"] is True and got["stdout"] == "by itself\n" and got["exit_code"] == 0, got
        after = harness.Later(shell.run, "sleep 1; echo clean")
        harness.wait_for(lambda: shell.server.show(shell.id)["busy"], "the next command is taken")
    finally:
        os.kill(keeper, signal.SIGCONT)
    got = after.result()
    assert got["stdout"] == "clean\n" and got["exit_code"] == 0 and got["timed_out"] is False, got


@both("many commands that just meet their timeout: each answer belongs to its command")
def _(shell):
    timed_out = 0
    for i in range(40):
        got = shell.run(f"echo {i}; sleep 0.0{i % 4 + 3}", timeout=0.045)
        timed_out += got["timed_out"]
        assert got["stdout"] == f"{i}\n" and got["session_state"] == "active", (i, got)
    shell.says("echo end", "end\n")


# ---- background jobs

@both("a background job that holds the output holds neither its answer nor the next")
def _(shell):
    for command in ("sleep 30 &", "nohup sleep 30 &", "setsid sleep 30 &", "(sleep 30; echo late) &", "yes >/dev/stderr &",
                    "(while :; do echo noise; echo noise >&2; done) &", "cat /dev/zero &", "sleep 30 & disown"):
        since = time.monotonic()
        got = shell.run(command + "\necho said")
        assert "said\n" in got["stdout"] and got["exit_code"] == 0, (command, got["stdout"][:200])
        for _ in range(3):
            shell.says("echo next; echo err >&2", "next\n", "err\n")
        assert time.monotonic() - since < PROMPTLY, command
    shell.run("kill -9 $(jobs -p)")
    shell.alive()


@both("40 background jobs that hold the pipes of as many commands")
def _(shell):
    for i in range(40):
        shell.says(f"sleep 40 & echo {i}", f"{i}\n")
    shell.says("jobs -r | wc -l", "40\n")
    shell.says("for i in {1..40}; do sleep 41 & done; jobs -r | wc -l", "80\n")
    shell.alive()


@both("what a background job prints later is in no answer, and the job is not disturbed by it")
def _(shell):
    shell.run("rm -f finished; (for i in {1..200}; do echo late$i; echo late$i >&2; sleep 0.005; done; echo done >finished) &")
    for i in range(20):
        shell.says(f"sleep 0.05; echo {i}", f"{i}\n")
    harness.wait_for(lambda: shell.run("cat finished 2>/dev/null")["stdout"] == "done\n", "the job came to its end")


# ---- two at a time

@both("a second command while one runs is refused with 409, which tells what is running; neither is harmed")
def _(shell):
    box = {}
    thread = threading.Thread(target=lambda: box.update(shell.run("until [ -e go ]; do sleep 0.02; done; echo first")))
    thread.start()
    harness.wait_for(lambda: shell.server.show(shell.id)["busy"], "the first runs")
    error = shell.server.fails(409, "busy", "POST", f"/v1/sessions/{shell.id}/exec", {"command": "echo second"})
    assert "until [ -e go ]" in error["message"], error
    assert "until [ -e go ]" in shell.server.show(shell.id)["command"]
    open(os.path.join(shell.server.workspaces, "w", "go"), "w", encoding="utf-8").close()
    thread.join(PROMPTLY)
    os.unlink(os.path.join(shell.server.workspaces, "w", "go"))
    assert box["stdout"] == "first\n", box
    shell.says("echo third", "third\n")


@both("a slow session does not delay another")
def _(shell):
    other = Shell(shell.warm)
    thread = threading.Thread(target=lambda: shell.run("sleep 100", timeout=1.5))
    since = time.monotonic()
    thread.start()
    harness.wait_for(lambda: shell.server.show(shell.id)["busy"], "the slow one runs")
    for _ in range(50):
        other.says("true")
    took = time.monotonic() - since
    assert thread.is_alive(), "50 commands in one session took longer than the slow one in the other"
    thread.join(PROMPTLY)
    assert took < 1.5, took
    shell.server.end(other.id)


# ---- what a session cannot see

@both("a session has descriptors 0, 1 and 2 only, and what it starts has no others")
def _(shell):
    shell.says("ls /proc/self/fd | wc -l; python3 -c 'import os; print(sorted(os.listdir(\"/proc/self/fd\"))[:3])'",
               "4\n['0', '1', '2']\n")   # and the one by which the folder is read
    shell.says("(readlink /proc/self/fd/0)", "/dev/null\n")
    shell.says("python3 -c 'import fcntl; [print(fd, fcntl.fcntl(fd, 1)) for fd in range(3, 1024)]' 2>&1 | tail -1",
               "OSError: [Errno 9] Bad file descriptor\n")


@both("a session's environment holds what env_pass lists, and nothing of the server")
def _(shell):
    names = set(shell.run("env | cut -d= -f1")["stdout"].split())
    assert not [n for n in names if n.startswith("CURFEW")] and "SECRET_OF_THE_SERVER" not in names, names
    assert names <= set(harness.ENV_PASS.split(",")) | {harness.MARK, "PWD", "SHLVL", "_", "OLDPWD"}, names
    got = shell.run("tr '\\0' '\\n' </proc/$$/environ | cut -d= -f1")
    assert "SECRET_OF_THE_SERVER" not in got["stdout"] and "CURFEW" not in got["stdout"], got


@both("variables that create gives are set, whatever they hold, and exported")
def _(shell):
    value = "it's \"$HOME\" `x` \\ \n\t!é"
    session = shell.server.create(workspace="w", env={"MINE": value, "_x1": "", "PATH": "/usr/bin:/bin"})["session_id"]
    got = shell.server.exec(session, "python3 -c 'import os; print(repr(os.environ[\"MINE\"]), repr(os.environ[\"_x1\"]))'")
    assert got["stdout"] == f"{value!r} ''\n", got
    assert json.dumps(got["cwd"]) == json.dumps(os.path.join(shell.server.workspaces, "w"))
    shell.server.end(session)


@case("every shell says which containment holds it, from its first answer on")
def _():
    for warm in (False, True):
        for _ in range(20):
            session = server(warm).create(workspace="w")
            assert session["containment"] in ("cgroup+pidns", "cgroup", "pidns", "subreaper") and session["pid"] > 0, session
            server(warm).end(session["session_id"])


def descriptors(pid):
    """What the open descriptors are, but for kept output, which has a bound of its own."""
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return [link for link in found if "curfew-output" not in link]


@case("after all of this the servers hold no descriptor of a session that has ended, and stop clean")
def _():
    for one in servers.values():
        for session in one.list():
            one.end(session["session_id"])
        harness.wait_for(lambda: len(descriptors(one.server_pid)) < 60, f"descriptors are few again: {descriptors(one.server_pid)}")
    while servers:
        _, one = servers.popitem()
        try:
            one.stop()
        finally:
            one.discard()


def cleanup():
    for one in servers.values():
        one.discard()


if __name__ == "__main__":
    run(cleanup)
