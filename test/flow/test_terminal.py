#!/usr/bin/env python3
"""Sessions with a terminal: what a person types, and commands that run beside it.
budget: 120
"""
import contextlib
import os
import pwd
import tempfile
import threading
import time

import harness
from sessions import run_cases
from streamclient import collect
from tap import case, skip
from terminals import PROMPT, Terminal, visible

CONTAINMENTS = ("cgroup+pidns", "cgroup", "pidns", "subreaper")
UNTIL_GO = "until [ -e go ]; do sleep 0.02; done"
SHORT = "200ms"                         # exec_kill_grace where a command has to be killed


def sleeping(t):
    """What sleeps in the session's folder."""
    found = {}
    for pid, line in t.server.processes().items():
        with contextlib.suppress(OSError):
            if line.split()[:1] == ["sleep"] and os.readlink(f"/proc/{pid}/cwd") == t.folder:
                found[pid] = line.strip()
    return found


def wait_sleeping(t, count):
    found = {}

    def look():
        found.clear()
        found.update(sleeping(t))
        return len(found) == count
    try:
        harness.wait_for(look, "")
    except AssertionError:
        raise AssertionError(f"{count} processes sleep: {found}, {t.get('execs')['execs'][-1:]}") from None


def wait_older(pid):
    """Waits until a command that begins now is certainly younger than this process: times of start are in ticks of 10 ms."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
        started = int(stat.read().rsplit(")", 1)[1].split()[19])
    tick = 1 / os.sysconf("SC_CLK_TCK")
    harness.wait_for(lambda: time.clock_gettime(time.CLOCK_BOOTTIME) > (started + 1) * tick, "a tick has passed")


# ---- what a person has

@case("a terminal has the size that was asked for, from 1x1 to 1000x1000, and the session shows it")
def _():
    for cols, rows in ((80, 24), (1, 1), (1000, 1000), (132, 1)):
        t = Terminal(cols=cols, rows=rows)
        assert {"cols": cols, "rows": rows}.items() <= t.made["terminal"].items(), t.made
        with t.attach() as v:
            assert (v.hello["cols"], v.hello["rows"]) == (cols, rows), v.hello
        assert t.run("stty size </dev/tty")["stdout"] == f"{rows} {cols}\n"
        t.end()
    s = Terminal()
    assert s.server.create(workspace="pipes")["terminal"] is None
    s.end()


@case("a size that cannot be is refused by the name of its field and its range, and so is half of one")
def _():
    t = Terminal()
    for terminal in ({"cols": 0, "rows": 24}, {"cols": 1001, "rows": 24}, {"cols": 80, "rows": 0}, {"cols": 80, "rows": 1001},
                     {"cols": -1, "rows": 24}, {"cols": 80}, {"rows": 24}, {}, {"cols": "80", "rows": "24"}, {"cols": 80.5, "rows": 24},
                     {"cols": 80, "rows": 24, "depth": 8}, [80, 24], "80x24", 80, True):
        error = t.server.fails(400, "invalid", "POST", "/v1/sessions", {"workspace": "bad", "terminal": terminal})
        assert "terminal" in error["field"] and "1000" in error["message"], (terminal, error)
    for body in ({"cols": 0, "rows": 24}, {"cols": 80, "rows": 1001}, {"cols": 80}, {}):
        error = t.fails(400, "invalid", "POST", "resize", body)
        assert error["field"] in ("cols", "rows"), error
    assert "bad" not in [one["workspace_name"] for one in t.server.list()]
    t.end()


@case("it stands in its folder, with the variables that were asked for, TERM, and a terminal as 0, 1 and 2")
def _():
    t = Terminal(env={"GREETING": "it's \"é\" $HOME", "EMPTY": ""}, cwd="sub/folder")
    with t.attach() as v:
        v.at_prompt()
        v.ask('echo "$GREETING|${EMPTY-unset}|$TERM"', "it's \"é\" $HOME||xterm-256color")
        v.ask("[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && tty", os.readlink(f"/proc/{t.made['pid']}/fd/0"))
        v.ask("echo ${PWD#${PWD%/*/*}}", "/sub/folder")
        v.ask("echo ${LINES}x$COLUMNS; [[ $- == *i*m* ]]; echo $?", "24x80")
        v.ask("echo [${PROMPT_COMMAND-}][${HISTFILE-}]", "[][]")
    t.end()


@case("the prompt is that of a login unless told otherwise, and start-up files are not read")
def _():
    with tempfile.TemporaryDirectory(prefix="cf.") as home, harness.Server(env={"HOME": home}) as server:
        for name in (".bashrc", ".bash_profile", ".profile", ".inputrc"):
            with open(f"{home}/{name}", "w", encoding="utf-8") as file:
                file.write("echo was read\n")
        made = server.create(workspace="a", terminal={"cols": 80, "rows": 24})
        path = f"/v1/sessions/{made['session_id']}/output"
        text = harness.wait_for(lambda: "@" in (shown := "".join(p["text"] for p in server.ok("GET", path)["output"])) and shown, "a prompt")
        assert "@" in text and ":" in text and "was read" not in text, text
        assert server.exec(made["session_id"], "set -o | grep -c 'emacs.*on'")["stdout"] == "1\n"


@case("job control: a job goes to the background, comes back, is stopped and goes on")
def _():
    t = Terminal()
    with t.attach() as v:
        v.at_prompt()
        assert "[1]" in v.ask("sleep 1000 &")
        v.ask("jobs -r | grep -c sleep", "1")
        mark = len(v.seen)
        v.type("fg\r")
        v.wait("sleep 1000", mark)
        t.wait_at_work()
        v.type("\x1a")
        v.wait("Stopped", mark)
        v.ask("jobs -s | grep -c sleep", "1")
        v.ask("bg; jobs -r | grep -c sleep", "1")
        v.ask("kill %1; wait %1; echo $?", "143")
    assert t.show()["terminal"]["at_work"] is False
    t.end()


@case("Ctrl-C ends the program in front, and the half of a line; Ctrl-\\ ends with a core's signal")
def _():
    t = Terminal()
    with t.attach() as v:
        v.at_prompt()
        for key, code in (("\x03", "130"), ("\x1c", "131")):
            v.type("ulimit -c 0; sleep 1000\r")
            wait_sleeping(t, 1)
            mark = len(v.seen)
            v.type(key)
            v.until(lambda m=mark: v.answered(m, ""), "a prompt after the key")
            v.ask("echo $?", code)
        mark = len(v.seen)
        v.type("echo never")
        v.wait("echo never", mark)
        v.type("\x03")
        v.until(lambda: v.answered(mark, ""), "a fresh prompt")
        v.ask("echo fine", "fine")
        assert "\nnever" not in visible(v.seen)
    t.end()


@case("Ctrl-D and `exit` end the session as closed, with the status, and with what was shown last")
def _():
    for text, status in (("\x04", 0), ("exit 7\r", 7)):
        t = Terminal()
        with t.attach() as v:
            v.at_prompt()
            v.ask("echo the last words", "the last words")
            v.type(text)
            tomb = t.server.tombstone(t.id)
        assert tomb["reason"] == "closed" and tomb["exit_code"] == status, tomb
        assert "the last words" in tomb["last_output"] and tomb["last_output"].endswith("exit\r\n"), tomb


FULL_SCREEN = r'''
import os, signal, termios, tty
old = termios.tcgetattr(0)
def draw(*_):
    cols, rows = os.get_terminal_size()
    os.write(1, b"\x1b[H\x1b[2J\x1b[%d;%dH<%dx%d>" % (rows // 2, cols // 2 - 4, cols, rows))
signal.signal(signal.SIGWINCH, draw)
tty.setraw(0)
os.write(1, b"\x1b[?1049h\x1b[?1h")
draw()
while (key := os.read(0, 100)) != b"q":
    os.write(1, b"\x1b[1;1Hkey " + key.hex().encode() + b" ")
termios.tcsetattr(0, termios.TCSADRAIN, old)
os.write(1, b"\x1b[?1l\x1b[?1049l")
'''


@case("a program that uses the whole screen gets each key, every new size, and gives the terminal back")
def _():
    t = Terminal()
    t.write("full.py", FULL_SCREEN.encode())
    with t.attach() as v:
        v.at_prompt()
        v.type("python3 full.py\r")
        v.wait("<80x24>")
        for key, code in (("\x03", "03"), ("\x1b[A", "1b5b41"), ("é", "c3a9"), ("\x04", "04"), ("\x1a", "1a"), ("\0", "00")):
            v.type(key)
            v.wait(f"key {code} ")
        assert t.post("resize", {"cols": 100, "rows": 30}) == {"session_id": t.id, "cols": 100, "rows": 30}
        v.wait("<100x30>")
        with t.attach() as other:
            assert "<100x30>" in visible(other.drawing) and b"\x1b[?1049h" in other.drawing, "who joins sees it"
        mark = len(v.seen)
        v.type("q")
        v.until(lambda: v.answered(mark, "") or visible(v.seen[mark:]) == PROMPT, "the prompt again")
        v.ask("stty -a | grep -c -e '-icanon'; stty size", "30 100")
    t.end()


def offered(containment):
    with tempfile.TemporaryDirectory(prefix="cf.") as folder:      # it refuses to serve there, if it gets so far
        done = harness.serve("--host=192.0.2.1", "--token-required", containment=containment, state_dir=folder + "/state", runtime_dir=folder + "/run")
    return f"sessions are held by {containment}" in done.stderr


HOLDERS = ("(trap '' HUP INT TERM; : >up.1; while :; do sleep 1000; done) &", "nohup sh -c ': >up.2; sleep 1000' >/dev/null 2>&1 &",
           "setsid -f sh -c 'trap \"\" HUP INT TERM; : >up.3; sleep 1000; sleep 1000'", "sh -c ': >up.4; sleep 1000' & disown",
           "sh -c 'trap \"\" HUP; : >up.5; kill -STOP $$' &")


@case("it works in each containment, and when it has ended nothing is left: what ignores hang-ups, setsid, nohup, a stopped job")
def _():
    seen = 0
    for containment in CONTAINMENTS:
        if not offered(containment):
            continue
        seen += 1
        t = Terminal(containment=containment)
        assert t.made["containment"] == containment, t.made
        with t.attach() as v:
            v.at_prompt()
            for line in HOLDERS:
                v.ask(line)
            for number in range(1, len(HOLDERS) + 1):
                t.wait_file(f"up.{number}")
            v.type("sleep 777\r")
            t.wait_at_work()
            t.fails(409, "busy", "POST", "exec", {"command": "true"})
            v.type("\x03\r")
            got = t.run_soon("echo $$; jobs | wc -l; exit_code=5")
            assert int(got["stdout"].split()[1]) >= 2, got
            v.ask("echo $exit_code", "5")
        tomb = t.server.end(t.id)
        assert tomb["containment"] == containment, tomb
        t.server.server_pid             # it lives
        left = {pid: line for pid, line in t.server.processes().items() if "sleep" in line or "up." in line}
        assert not left, (containment, left)
    assert seen > 0


@case("sessions of another user: the terminal is theirs, and commands run beside it")
def _():
    if os.getuid() != 0:
        skip("not root")
    nobody = pwd.getpwnam("nobody")
    t = Terminal(user="nobody")
    with t.attach() as v:
        v.at_prompt()
        v.ask("id -un", "nobody")
        v.ask("echo x >$(tty) && test -O $(tty) && stat -c %a $(tty)", "620")
        assert t.run("id -u; kill -0 $PPID || echo no")["stdout"].split() == [str(nobody.pw_uid), "no"]
        v.ask("fg; jobs; echo fine", "fine")
        got = t.run("cat", stdin="read by nobody")
        assert got["stdout"] == "read by nobody", got
    t.end()


# ---- commands beside it

@case("a command beside the terminal: its stdout and stderr exactly, its exit status, and nothing of it on the terminal")
def _():
    t = Terminal()
    with t.attach() as v:
        v.at_prompt()
        before = t.printed()
        got = t.run("printf 'one\\r\\n\\ttwo'; printf three >&2; (exit 9)")
        assert (got["stdout"], got["stderr"], got["exit_code"]) == ("one\r\n\ttwo", "three", 9), got
        assert t.run("cat; read x; echo $?")["stdout"] == "1\n", "its stdin is empty"
        assert t.run("[ -t 0 ] || [ -t 1 ] || [ -t 2 ] || echo none")["stdout"] == "none\n"
        big = t.run("seq 100000; seq 100000 >&2")
        assert big["stdout_bytes"] == big["stderr_bytes"] == 588895, big
        assert t.run("printf '\\0\\377\\033[2J'; false")["exit_code"] == 1
        assert t.run("nonsense_is_no_command")["exit_code"] == 127
        assert t.run("if")["exit_code"] == 2
        assert t.printed() == before, t.printed()[len(before):]
        v.ask("echo still the shell", "still the shell")
    t.end()


@case("what is typed and commands share folder, variables, functions and jobs, both ways")
def _():
    t = Terminal()
    with t.attach() as v:
        v.at_prompt()
        v.ask("mkdir -p d/e; cd d; x=typed; f() { echo from f $1; }; export Y=1")
        got = t.run_soon("echo $x; f 1; env | grep ^Y=; cd e; y=told; shopt -s extglob; pwd; false")
        assert got["stdout"].split() == ["typed", "from", "f", "1", "Y=1", t.folder + "/d/e"] and got["cwd"] == t.folder + "/d/e", got
        v.ask("echo $? $y ${PWD##*/}", "0 told e")
        v.ask("(exit 42)")
        assert t.run_soon("echo $?")["stdout"] == "42\n"
        v.ask("sleep 1000 &")
        assert t.run_soon("jobs -p | wc -l; kill %1; wait")["stdout"] == "1\n"
    t.end()


def beside(t, v, before, rest, answer, shown=None):
    """Types the beginning of something, runs commands, types the rest: the answer is there, and the commands left no byte.
    shown: what the terminal shows last when the beginning was taken."""
    mark = len(v.seen)
    v.type(before)
    v.until(lambda: (v.seen if isinstance(shown, bytes) else visible(v.seen[mark:])).endswith(shown or before), f"{before!r} is shown")
    for number in range(3):
        got = t.run_soon(f"echo beside {number}; if true; then echo err >&2; fi; [[ a == a ]] && case x in x) f=() ;; esac")
        assert (got["stdout"], got["stderr"]) == (f"beside {number}\n", "err\n"), (before, got)
    printed = t.printed()
    v.until(lambda: printed.endswith(v.seen[mark:]), f"no more than {printed[-200:]!r}")
    v.type(rest)
    v.until(lambda: v.answered(mark, answer), f"{answer!r} after {before + rest!r}")


@case("a line that is half typed is unharmed by commands, and they write nothing to the viewer's terminal")
def _():
    t = Terminal()
    with t.attach() as v:
        v.at_prompt()
        beside(t, v, "echo half a", " line\r", "half a line")
        beside(t, v, "echo 'two", " lines'\r", "two lines")
        beside(t, v, "echo ac\x1b[D", "b\r", "abc", "echo ac")          # the cursor is within the line
        beside(t, v, "\x12half a", "\r", "half a line", "half a")        # searching the history
        v.ask("set -o vi")
        beside(t, v, "echo vi\x1b", "A mode\r", "vi mode", b"echo vi\x08")
        v.ask("set -o emacs")
    t.end()


@case("so is what goes over several lines: a string, a here document, a loop, a function")
def _():
    t = Terminal()
    with t.attach() as v:
        v.at_prompt()
        for before, rest, answer in (("echo 'one\rtwo", " three'\r", "two three"), ("cat <<x\rone\r", "two\rx\r", "two"),
                                     ("while read -r l; do echo \"<$l>\"\r", "done <<<in\r", "<in>"), ("f() {\r", "echo f; }; f\r", "f"),
                                     ("echo $(cat <<x\rsub\r", "x\r)\r", "sub"), ("a=(1\r", "2); echo ${a[1]} of a\r", "2 of a"),
                                     ("[[ a == a &&\r", "b == b ]] && echo same\r", "same"), ("echo $((1 +\r", "2)) sum\r", "3 sum"),
                                     ("case x in\r", "x) echo case;; esac\r", "case"), ("case x in y) echo y;;\r", "x) echo x;; esac\r", "x"),
                                     ("if true\r", "then echo then; fi\r", "then"), ("for i\r", "in 1; do echo for; done\r", "for"),
                                     ("{ echo one\r", "}\r", "one"), ("true &&\r", "echo and\r", "and"), ("((1 +\r", "2)) && echo $?\r", "0"),
                                     ("g()\r", "{ echo g; }; g\r", "g"), ("echo back\\\r", "slash\r", "backslash")):
            beside(t, v, before, rest, answer, before.replace("\r", "\r\n\r> "))
    t.end()


@case("a command runs while the shell reads a line for `read`, or loops, and neither notices")
def _():
    t = Terminal()
    with t.attach() as v:
        v.at_prompt()
        v.type("read -p 'say: ' x; echo \"<$x>\"\r")
        v.wait("\rsay: ")
        beside(t, v, "some", " words\r", "<some words>")
        v.type("echo loops; until [[ -e go ]]; do :; done; echo out\r")
        v.wait("loops\r\n")
        assert t.run_soon("echo in between")["stdout"] == "in between\n"
        t.touch("go")
        v.until(lambda: visible(v.seen).endswith("out\r\n" + PROMPT), "the loop's end")
    t.end()


@case("stdin: a text, and what is posted while the command runs; else what is posted is typed")
def _():
    t = Terminal()
    with t.attach() as v:
        v.at_prompt()
        before = t.printed()
        assert t.run("cat", stdin="line 1\nno newline")["stdout"] == "line 1\nno newline"
        number = t.detach("while read -r l; do echo \"<$l>\"; done; echo end", input=True, stdin="first\n")
        got = t.type("to the command\n")
        assert got["exec"] == number and got["accepted"] == 15 and got["open"] is True, got
        assert t.type("again", seq=1)["duplicate"] is False and t.type("again", seq=1)["duplicate"] is True
        t.wait_printed(number, len("<first>\n<to the command>\n"))
        assert t.type("\n", eof=True)["open"] is False
        record = t.wait_ended(number)
        assert record["exit_code"] == 0, record
        assert "".join(p["text"] for p in t.get(f"execs/{number}")["output"]) == "<first>\n<to the command>\n<again>\nend\n"
        closed = t.detach(f"cat; {UNTIL_GO}", input=True)
        t.type("x", eof=True)
        assert "closed" in t.fails(409, "not_reading", "POST", "input", {"text": "late"})["message"], "and it is not typed"
        t.touch("go")
        t.wait_ended(closed)
        assert t.printed() == before, "none of it was typed"
        got = t.type("echo typed by post\r", seq=1)
        assert got["exec"] is None and got["open"] is True and got["duplicate"] is False, got
        v.wait("\rtyped by post")
        assert t.type("echo typed by post\r", seq=1)["duplicate"] is True
        t.fails(409, "not_reading", "POST", "input", {"text": "x", "exec": number})
    t.end()


@case("what is posted while a command without input runs is typed, and read when it has ended; never what names the command")
def _():
    t = Terminal()
    with t.attach() as v:
        v.at_prompt()
        number = t.detach(UNTIL_GO)
        t.fails(409, "not_reading", "POST", "input", {"text": "x", "exec": number})
        t.type("echo $((40 + 2)) ahead\r")
        t.touch("go")
        assert t.wait_ended(number)["exit_code"] == 0
        v.wait("42 ahead")
    t.end()


@case("detach and stream beside a terminal: as it comes, to its end, nothing of the terminal among it")
def _():
    t = Terminal()
    with t.attach() as v:
        v.at_prompt()
        with t.stream(f"echo begun; {UNTIL_GO}; echo err >&2; exit_code=3; (exit 3)") as stream:
            assert stream.until("stdout")[-1].data == b"begun\n"
            t.fails(409, "busy", "POST", "exec", {"command": "true"})
            t.touch("go")
            result = stream.until("result")[-1].value
            assert result["exit_code"] == 3 and result["stderr_bytes"] == 4, result
        got = collect(t.stream("seq 50000", form="frames"))
        assert got.text("stdout") == "".join(f"{i}\n" for i in range(1, 50001)) and set(got.streams) == {"stdout"}
        number = t.detach("seq 3; sleep 0.01; seq 3")
        t.wait_ended(number)
        assert "".join(p["text"] for p in t.get(f"output?exec={number}")["output"]) == "1\n2\n3\n1\n2\n3\n"
        v.ask("echo $exit_code", "3")
    t.end()


@case("a command over its time is ended: a program, a loop of the shell's own, one that ignores interrupts")
def _():
    t = Terminal(exec_kill_grace=SHORT)
    with t.attach() as v:
        v.at_prompt()
        before = t.printed()
        for command in ("sleep 1000", "while :; do :; done", "cat /dev/zero >/dev/null", "sleep 1000 | cat", "(while :; do sleep 1000; done)",
                        "bash -c 'trap \"\" INT; sleep 1000; sleep 1000'", "while :; do sleep 1000; done"):
            got = t.run(command, timeout="150ms")
            assert got["timed_out"] and got["exit_code"] in (130, 137) and got["session_state"] == "active", (command, got)
            assert t.run_soon("echo next")["stdout"] == "next\n", command
        v.ask("echo kept", "kept")
        assert "kept" not in visible(before)
        wait_sleeping(t, 0)
    t.end()


@case("cancel and signals reach the running command alone; background jobs of before live on")
def _():
    t = Terminal(exec_kill_grace=SHORT)
    with t.attach() as v:
        v.at_prompt()
        v.ask("sleep 2000 &")
        wait_sleeping(t, 1)
        wait_older(*sleeping(t))
        for command in ("sleep 1000", "while :; do :; done", "trap '' INT; sleep 1000"):
            number = t.detach(f"(: >begun); {command}")
            t.wait_file("begun")
            record = t.cancel(number)
            assert record["cancelled"] and record["state"] == "ended" and record["exit_code"] in (130, 137), (command, record)
            os.unlink(f"{t.folder}/begun")
            t.run_soon("trap - INT")
        for name, code in (("INT", 130), ("TERM", 143), ("KILL", 137)):
            number = t.detach("(: >begun); sleep 1000")
            t.wait_file("begun")
            wait_sleeping(t, 2)
            assert t.post("signal", {"signal": name}) == {"exec": number, "signal": "SIG" + name}
            assert t.wait_ended(number)["exit_code"] == code, t.get(f"execs/{number}")
            os.unlink(f"{t.folder}/begun")
        # While no command runs, only what a terminal can send goes anywhere.
        assert t.fails(409, "not_ready", "POST", "signal", {"signal": "TERM"})["field"] == "signal"
        v.ask("jobs -r | grep -c 'sleep 2000'", "1")
    t.end()


@case("when no command runs, INT, QUIT and TSTP reach what was started in the terminal, also past input that it does not read")
def _():
    t = Terminal()
    with t.attach() as v:
        v.at_prompt()
        for name, code in (("INT", 130), ("QUIT", 131), ("TSTP", 148)):
            v.type("ulimit -c 0; stty -isig; sleep 1000\r")
            wait_sleeping(t, 1)
            t.wait_at_work()
            t.fails(409, "not_ready", "POST", "signal", {"signal": "TERM"})
            mark = len(v.seen)
            assert t.post("signal", {"signal": name}) == {"exec": None, "signal": "SIG" + name}
            v.until(lambda m=mark: v.answered(m, ""), "a prompt")
            v.ask(f"[ $? = {code} ] && echo as it should", "as it should")
        v.ask("kill -9 %1; stty isig")
    t.end()


@case("a background job of a command: no reply waits for it, and what it prints later is not the next command's")
def _():
    t = Terminal()
    got = t.run(f"({UNTIL_GO}; echo late) & echo now")
    assert got["stdout"] == "now\n", got
    assert t.run("echo other")["stdout"] == "other\n"
    t.touch("go")
    harness.wait_for(lambda: t.get("execs/1")["late_bytes"] == 5, "its late output is counted")
    late = [p for p in t.get("output?limit=100000")["output"] if p.get("late")]
    assert [(p["exec"], p["text"]) for p in late] == [(1, "late\n")], late
    assert "late" not in visible(t.printed())
    t.end()


@case("a command that ends the shell: the reply says so, and the session ends as closed or failed")
def _():
    for command, code, state in (("exit 3", 3, "closed"), ("kill -9 $$", 137, "failed"), ("exec true", 0, "closed"), ("set -e; false", 1, "closed")):
        t = Terminal()
        got = t.run(f"echo said; {command}")
        assert (got["stdout"], got["exit_code"], got["session_state"]) == ("said\n", code, state), (command, got)
        tomb = t.server.tombstone(t.id)
        assert tomb["reason"] == state and tomb["exit_code"] == (code if code != 137 else None), tomb


@case("while a program is in front a command is refused as busy, changes nothing, and leaves no record")
def _():
    t = Terminal()
    with t.attach() as v:
        v.at_prompt()
        for line in ("sleep 1000", "sleep 1000 | cat", "bash -c 'sleep 1000; :'"):
            mark = len(v.seen)
            v.type(line + "\r")
            t.wait_at_work()
            assert "in the terminal" in t.fails(409, "busy", "POST", "exec", {"command": "echo never >f"})["message"]
            t.fails(409, "busy", "POST", "exec", {"command": "echo never >f", "stream": True})
            t.fails(409, "busy", "POST", "exec", {"command": "echo never >f", "detach": True})
            v.type("\x03")
            v.until(lambda m=mark: visible(v.seen[m:]).endswith("\n" + PROMPT), "the prompt")
        assert t.run_soon("ls f; echo fine")["stdout"] == "fine\n"
        assert [e["command"] for e in t.get("execs")["execs"]] == ["ls f; echo fine"]
    t.end()


@case("200 commands in a row, with lines typed in between: each gets its own, none is lost")
def _():
    t = Terminal()
    with t.attach() as v:
        v.at_prompt()
        for number in range(200):
            got = t.run_soon(f"n={number}; echo {number}; echo e{number} >&2; (exit {number % 100})")
            assert (got["stdout"], got["stderr"], got["exit_code"]) == (f"{number}\n", f"e{number}\n", number % 100), got
            if number % 10 == 0:
                v.ask("echo $n", str(number))
    t.end()


@case("many commands while somebody types: every key arrives, in order, and each command gets its own output")
def _():
    t = Terminal()
    wrong = []
    with t.attach() as v:
        v.at_prompt()
        done = threading.Event()

        def run():
            number = 0
            while not done.is_set():
                number += 1
                status, answer = t.server.request("POST", f"{t.path}/exec", {"command": f"echo {number}"})
                if status == 200 and answer["data"]["stdout"] != f"{number}\n" or status not in (200, 409):
                    wrong.append((number, status, answer))
        runner = harness.Later(run)
        try:
            for number in range(40):
                line = f"echo line-{number}-{'x' * (number % 30)}"
                mark = len(v.seen)
                for key in line:
                    v.type(key)
                v.wait(line, mark)
                v.type("\r")
                v.until(lambda m=mark, text=line[5:]: v.answered(m, text), f"the answer to {line}")
        finally:
            done.set()
        runner.result()
        assert not wrong, wrong[:3]
    t.end()


# ---- its life

@case("a program in front is not idle, nor is who types; a prompt that is only watched and resized ends as idle")
def _():
    with harness.Server(session_timeout=1, cleanup_interval=1, max_sessions_per_workspace=10) as server:
        made = {}
        for name in ("front", "typed", "watched"):
            t = Terminal.__new__(Terminal)
            t.server = server
            t.made = server.create(workspace="a", terminal={"cols": 80, "rows": 24}, env={"PS1": PROMPT})
            t.id = t.made["session_id"]
            t.path = f"/v1/sessions/{t.id}"
            made[name] = t
        with made["front"].attach() as front, made["typed"].attach() as typed, made["watched"].attach() as watched:
            front.type("sleep 1000\r")
            made["front"].wait_at_work()
            ended, rows = None, 24
            while not ended:
                typed.type("x")
                rows = rows % 50 + 1
                watched.order(type="resize", cols=80, rows=rows)
                with contextlib.suppress(TimeoutError):
                    watched.take(0.05)
                ended = "ended" in [m["type"] for m in watched.texts]
                assert len(typed.seen) < 4096, "it never ends as idle"
            assert server.tombstone(made["watched"].id)["reason"] == "idle"
            runs = server.cleanup_runs()
            while server.cleanup_runs() < runs + 2:
                typed.type("y")
                with contextlib.suppress(TimeoutError):
                    typed.take(0.05)
            assert made["front"].show()["state"] == made["typed"].show()["state"] == "active"
            front.type("\x03")
            assert server.tombstone(made["front"].id)["reason"] == "idle"
            assert server.tombstone(made["typed"].id)["reason"] == "idle", "nobody has typed for long"


@case("shell_restarts: another shell takes the place of one that left, on the same terminal's page, for the same viewers")
def _():
    t = Terminal(shell_restarts=2)
    with t.attach() as v:
        v.at_prompt()
        v.ask("x=old; cd /; echo $x", "old")
        mark = len(v.seen)
        v.type("exit 5\r")
        v.wait(PROMPT, mark)
        v.ask("echo [${x-}] ${PWD##*/}", "[] " + os.path.basename(t.folder))
        assert t.post("resize", {"cols": 90, "rows": 20})["cols"] == 90
        v.ask("stty size", "20 90")
        mark = len(v.seen)
        got = t.run_soon("exit 6")
        assert got["exit_code"] == 6, got
        v.wait(PROMPT, mark)
        v.ask("stty size", "20 90")
        assert t.run_soon("echo $$")["exit_code"] == 0
        assert t.show()["terminal"]["viewers"] == 1
        v.type("exit 7\r")
        tomb = t.server.tombstone(t.id)
        assert tomb["reason"] == "closed" and tomb["exit_code"] == 7, tomb
        v.told("ended")


@case("what the terminal showed is read again by offset, followed, and among what commands printed")
def _():
    t = Terminal()
    with t.attach() as v:
        v.at_prompt()
        v.ask("echo one", "one")
        t.run_soon("echo of a command")
        whole = t.printed()
        assert whole == b"".join(p["text"].encode() for p in t.get("output?stream=terminal")["output"])
        for since in (0, 1, len(whole) - 3, len(whole)):
            got = t.get(f"output?stream=terminal&since={since}")
            assert "".join(p["text"] for p in got["output"]).encode() == whole[since:] and got["next"] == len(whole), (since, got)
        assert {p["stream"] for p in t.get("output")["output"]} == {"terminal", "stdout"}
        with t.output(form="raw", stream="terminal", follow="true", since=len(whole)) as stream:
            v.type("echo $((6 * 7)); exit\r")
            followed = b"".join(record.data for record in stream)
        tomb = t.server.tombstone(t.id)
    assert "42\r\n" in followed.decode() and followed.endswith(b"exit\r\n"), followed
    after = t.server.request("GET", f"{t.path}/output?stream=terminal", headers={"Accept": "application/octet-stream"}, raw=True)
    assert after[0] == 200 and after[2] == whole + followed, after
    assert tomb["last_output"].endswith("42\r\nexit\r\n"), tomb


run_cases()
