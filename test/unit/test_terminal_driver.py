#!/usr/bin/env python3
"""terminal.bash in a real bash on a real terminal, without a server: this test is both its server and its user.

A case types keys, requests commands, and compares to the byte what the user sees.
"""
import contextlib
import fcntl
import os
import select
import shutil
import signal
import struct
import sys
import tempfile
import termios
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "test/flow"))
from tap import case, run                       # noqa: E402  (the path comes first)

# budget: 240 (30 s on quiet cores)
BOOT = os.path.join(ROOT, "src/server/terminal.bash")
RUN = os.path.join(ROOT, "src/server/terminal_run.bash")
WAIT_S = 20                                     # for anything that has to come
AGAIN_S = 0.05                                  # a signal may come when the shell cannot use it, so it is sent again
TOKEN = "aB3_.xyz"
TIOCSPTLCK, TIOCGPTPEER, TIOCSIG = 0x40045431, 0x5441, 0x40045436
NEW_PROMPT = b"\r\n\x1b[?2004h$ "


def open_terminal():
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    fcntl.ioctl(master, TIOCSPTLCK, struct.pack("i", 0))
    slave = fcntl.ioctl(master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    return master, slave


class Shell:
    """The shell of a session, and the server's part of it."""

    def __init__(self, late="", environment=None):
        self.folder = tempfile.mkdtemp(prefix="curfew-test-terminal-")
        for name in ("r", "a", "o1", "e1", "i1"):
            os.mkfifo(self.path(name))
        self.status_fd = os.open(self.path("r"), os.O_RDWR | os.O_NONBLOCK)
        self.answer_fd = os.open(self.path("a"), os.O_RDWR | os.O_NONBLOCK)
        # For writing as well, so that there is no end of file between two commands.
        self.fds = {"out": os.open(self.path("o1"), os.O_RDWR | os.O_NONBLOCK),
                    "err": os.open(self.path("e1"), os.O_RDWR | os.O_NONBLOCK)}
        self.data = {"tty": b"", "out": b"", "err": b"", "status": b""}
        self.statuses = []
        self.number = self.running = 0
        self.go = True
        self.modes = None
        self.start(late, environment or {})
        assert self.wait("R")[1] == 0
        self.see(b"$ ")

    def path(self, name):
        return os.path.join(self.folder, name)

    def start(self, late, environment):
        master, slave = open_terminal()
        boot_read, boot_write = os.pipe()
        os.write(boot_write, b"".join(part.encode() + b"\0" for part in
                                      (self.folder, TOKEN, RUN, "PS1='$ '\n" + late)))
        os.close(boot_write)
        env = {"PATH": os.environ["PATH"], "HOME": self.folder, "TERM": "xterm-256color", "HISTFILE": "/dev/null",
               "ENV": BOOT}
        env.update(environment)
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            for fd in (0, 1, 2):
                os.dup2(slave, fd)
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            os.dup2(boot_read, 19)
            os.set_inheritable(19, True)        # which dup2 leaves out when it was that already
            os.closerange(3, 19)
            os.closerange(20, 4096)
            os.chdir(self.folder)
            os.execve("/bin/bash", ["bash", "--norc", "--noprofile", "--posix", "-i"], env)
        self.session = self.pid
        self.slave_fd = slave                   # kept: a terminal that nobody holds is hung up
        os.close(boot_read)
        self.fds["tty"] = master
        self.fds["status"] = self.status_fd

    def stop(self):
        os.close(self.fds.pop("tty"))
        for fd in self.fds.values():
            os.close(fd)
        os.close(self.answer_fd)
        os.close(self.slave_fd)
        while self.kill_session():
            pass
        if self.pid:
            os.waitpid(self.pid, 0)
        shutil.rmtree(self.folder)

    def kill_session(self):
        """Kills what is in the shell's session, whose number is ours as long as the shell is not reaped; True when there was something."""
        found = False
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
                state, _, _, session = stat.read().rsplit(")", 1)[1].split()[:4]
                if int(session) == self.session and state != "Z":
                    os.kill(int(pid), signal.SIGKILL)
                    found = True
        return found

    # ---- what comes

    def turn(self, seconds):
        names = {fd: name for name, fd in self.fds.items()}
        for fd in select.select(list(names), [], [], seconds)[0]:
            self.data[names[fd]] += os.read(fd, 65536)
        while b"\0" in self.data["status"]:
            status, self.data["status"] = self.data["status"].split(b"\0", 1)
            self.take(status.decode())

    def take(self, status):
        token, word, number, cwd = (status + " ").split(" ", 3)
        assert token == TOKEN, status
        if word == "B" and int(number) > 0:
            assert int(number) == self.number, status
            self.running = self.number if self.go else 0
            self.modes = termios.tcgetattr(self.fds["tty"])
            os.write(self.answer_fd, b"%c %d\n" % (b"g" if self.go else b"n", self.number))
        elif word == "S":
            if not self.modes[3] & termios.ICANON:
                termios.tcsetattr(self.fds["tty"], termios.TCSANOW, self.modes)
            os.write(self.answer_fd, b"g %d\n" % self.running)
        if word in "SRP":
            self.running = 0
        self.statuses.append((word, int(number), cwd.strip()))

    def until(self, what, true, again=None):
        end, next_try = time.monotonic() + WAIT_S, time.monotonic() + AGAIN_S
        while not true():
            now = time.monotonic()
            assert now < end, f"waited for {what}; have {self.statuses} {self.data}"
            self.turn(AGAIN_S)
            if again and now > next_try:
                again()
                next_try = now + AGAIN_S

    def wait(self, words, again=None):
        """The next status of these words; others before it are dropped."""
        self.until(f"a status of {words}", lambda: any(s[0] in words for s in self.statuses), again)
        while self.statuses[0][0] not in words:
            self.statuses.pop(0)
        return self.statuses.pop(0)

    def see(self, text):
        """Waits for text on the screen; all that came until its end."""
        self.until(f"{text} on the terminal", lambda: text in self.data["tty"])
        seen, self.data["tty"] = self.data["tty"].split(text, 1)
        return seen + text

    # ---- what goes

    def type(self, keys):
        while keys:
            try:
                keys = keys[os.write(self.fds["tty"], keys):]
            except BlockingIOError:
                self.turn(AGAIN_S)

    def enter(self, line, prompt=b"$ "):
        """Types a line and waits for the next prompt; what it printed."""
        self.type(line.encode() + b"\r")
        self.see(b"\x1b[?2004l\r")
        return self.see(b"\x1b[?2004h" + prompt)[:-8 - len(prompt)]

    def knock(self):
        os.kill(self.pid, signal.SIGURG)        # our child, not reaped
        os.kill(self.pid, signal.SIGWINCH)

    def request(self, kind, text=b"", given="-"):
        self.number += 1
        with open(self.path("q.new"), "wb") as new:
            new.write(b"".join(part + b"\0" for part in (TOKEN.encode(), kind.encode(), b"%d" % self.number, b"1",
                                                         given.encode(), text)))
        os.rename(self.path("q.new"), self.path("q"))
        self.knock()

    def begin(self, text, given="-"):
        self.data["out"] = self.data["err"] = b""
        self.statuses.clear()
        self.request("x", text.encode() if isinstance(text, str) else text, given)
        self.wait("B", self.knock)

    def run(self, text, given="-"):
        """Runs a command; its exit code, stdout and stderr."""
        self.begin(text, given)
        code = self.wait("S")[1]
        self.turn(0)
        return code, self.data["out"], self.data["err"]

    def out(self, text, given="-"):
        code, out, err = self.run(text, given)
        assert (code, err) == (0, b""), (code, out, err)
        return out

    def probe(self):
        self.request("p")
        return self.wait("PBR", self.knock)

    def leave(self):
        """As a server cancels: leave, and SIGINT to a job in front, until the command is gone.  Its status; then it listens."""
        def again():
            self.request("k")
            if self.front() != self.pid:
                fcntl.ioctl(self.fds["tty"], TIOCSIG, signal.SIGINT)
        again()
        status = self.wait("SRP", again)
        assert self.probe()[0] == "P"
        self.data["tty"] = b""
        return status

    # ---- what is

    def front(self):
        return struct.unpack("i", fcntl.ioctl(self.fds["tty"], termios.TIOCGPGRP, struct.pack("i", 0)))[0]

    def raw(self):
        return not termios.tcgetattr(self.fds["tty"])[3] & termios.ICANON

    def interrupt(self):
        """Ctrl-C, when the shell waits for a key: any bash overlooks one that comes while it still draws the key before, until
        the next key comes."""
        def waits():
            with open(f"/proc/{self.pid}/stat", encoding="ascii") as stat:
                return stat.read().rsplit(")", 1)[1].split()[0] == "S"
        self.until("the shell to wait for a key", waits)
        self.type(b"\x03")

    def untouched(self):
        """Nothing was printed since the last look, and the line takes a key, and gives it back, at its end."""
        self.type(b"Z")
        seen = self.see(b"Z")
        assert seen == b"Z", seen
        self.type(b"\x7f")
        self.until("Z gone", lambda: self.data["tty"] in (b"\x08 \x08", b"\x08\x1b[K"))
        self.data["tty"] = b""
        assert self.raw()

    def healthy(self):
        """After a command was left: keys, Ctrl-C, commands and programs work as ever."""
        assert self.probe()[0] == "P"
        self.data["tty"] = b""
        self.type(b"half")
        self.see(b"half")
        self.interrupt()
        self.see(NEW_PROMPT)
        assert self.enter("echo $((6 * 7))") == b"42\r\n"
        self.type(b"cat\r")
        self.see(b"\x1b[?2004l\r")
        self.until("cat in front", lambda: self.front() != self.pid)
        assert not self.raw()
        self.type(b"line\r")
        self.see(b"line\r\nline\r\n")
        self.type(b"\x03")
        self.see(NEW_PROMPT)
        assert self.out("echo still here") == b"still here\n"
        self.untouched()


def shell(late="", environment=None):
    def add(function):
        def start():
            sh = Shell(late, environment)
            try:
                function(sh)
            finally:
                sh.stop()
        return start
    return add


# ---- what a command is

@case("a command prints to its own pipes and nothing shows on the terminal")
@shell()
def _(sh):
    assert sh.run("echo out; echo err >&2; exit_code() { return 3; }; exit_code") == (3, b"out\n", b"err\n")
    sh.untouched()


@case("a half-typed line stays as it is, and goes on to be edited")
@shell()
def _(sh):
    sh.type(b"echo on")
    sh.see(b"echo on")
    assert sh.out("ls /etc/hosts") == b"/etc/hosts\n"
    sh.untouched()
    assert sh.enter("e") == b"one\r\n"


@case("what a command sets stays: variables, functions, options, folder, declared names")
@shell()
def _(sh):
    sh.out("x=1; declare -A m=([k]=v); f() { echo f; }; set -f; cd /; alias hey='echo aliased'")
    assert sh.out("echo $x ${m[k]} $(f) $- $PWD; hey") == b"1 v f fhimBHs /\naliased\n"
    assert sh.enter("echo $x ${m[k]} $PWD; hey") == b"1 v /\r\naliased\r\n"


@case("the status says where the shell is")
@shell()
def _(sh):
    sh.begin("cd /usr")
    assert sh.wait("S") == ("S", 0, "/usr")


@case("a command has no descriptor of the driver's, no variable of it in its environment, and its own input is empty")
@shell()
def _(sh):
    assert sh.out("env | grep -c __cf; ls -m /proc/self/fd; cat; read x; echo $?").startswith(b"0\n0, 1, 2, 3\n1\n")


@case("input comes from a file or a FIFO that the request names")
@shell()
def _(sh):
    with open(sh.path("s4"), "w", encoding="ascii") as given:
        given.write("from a file\n")
    assert sh.out("cat", "s4") == b"from a file\n"
    writer = os.open(sh.path("i1"), os.O_RDWR | os.O_NONBLOCK)
    os.write(writer, b"from a FIFO\n")
    assert sh.out("read -r line; echo \"$line\"", "i1") == b"from a FIFO\n"
    os.close(writer)


@case("$? and $_ of what was typed last are there for the command, and typing does not see $? of the command")
@shell()
def _(sh):
    sh.enter("(exit 7)")
    assert sh.out("echo $?") == b"7\n"
    assert sh.enter("echo $?") == b"7\r\n"
    sh.enter(": typed")
    assert sh.out("echo $_") == b"typed\n"
    sh.run(": other; (exit 5)")
    got = sh.enter("echo $?")
    assert got == b"0\r\n", got


@case("$? of a command is there for the next one, when nothing was typed meanwhile")
@shell()
def _(sh):
    assert sh.run("false") == (1, b"", b"")
    assert sh.out("echo $?") == b"1\n"
    sh.run("(exit 9)")
    sh.enter("true")
    assert sh.out("echo $?") == b"0\n"


@case("PIPESTATUS of what was typed stays")
@shell()
def _(sh):
    sh.enter("false | true")
    sh.run("true | false")
    got = sh.enter("echo ${PIPESTATUS[*]}")
    assert got == b"1 0\r\n", got


@case("return ends a command with its status; break and continue are errors as at a prompt")
@shell()
def _(sh):
    assert sh.run("return 4; echo no") == (4, b"", b"")
    code, out, err = sh.run("break; continue; echo on")
    assert out == b"on\n" and b"break" in err, (code, out, err)
    sh.untouched()


@case("syntax errors, unset variables and failing redirections are told in the command's stderr alone")
@shell()
def _(sh):
    for text, word in (("echo 'open", b"unexpected EOF"), ("if then", b"syntax error"), ("set -u; echo $nope", b"unbound"),
                       ("set +u; : ${nope?missing}", b"missing"), ("echo >/no/such/file", b"No such file"),
                       ("nosuchcommand", b"not found")):
        code, out, err = sh.run(text)
        assert code != 0 and out == b"" and word in err, (text, code, out, err)
        sh.untouched()


@case("a text of a megabyte, in one line and in many, and bytes that are no text")
@shell(environment={"LANG": "C.UTF-8"})
def _(sh):
    assert sh.out("echo " + "x" * 1000000 + " | wc -c") == b"1000001\n"
    assert sh.out("n=0\n" + "n=$((n+1))\n" * 20000 + "echo $n") == b"20000\n"
    assert sh.out(b"printf %s '\xff\xfe caf\xc3\xa9 \xe2\x82' \\\n' end'") == b"\xff\xfe caf\xc3\xa9 \xe2\x82 end"
    sh.untouched()


@case("! means itself in a command, and no command is in the history")
@shell()
def _(sh):
    sh.enter("echo typed")
    assert sh.out("echo hi!; echo \"!!\"") == b"hi!\n!!\n"
    assert b"hi!" not in sh.enter("history")
    sh.type(b"\x1b[A\x1b[A")
    sh.see(b"echo typed")


@case("many commands, one right behind the other, each run once")
@shell()
def _(sh):
    for i in range(300):
        assert sh.out(f"echo $((n += 1))") == b"%d\n" % (i + 1)
    sh.untouched()


@case("a request that was refused at the last moment does not run")
@shell()
def _(sh):
    sh.go = False
    sh.begin("echo no >no")
    sh.go = True
    assert sh.out("ls no 2>&1 || true").startswith(b"ls:")
    sh.untouched()


@case("a new size of the window is no request")
@shell()
def _(sh):
    sh.run("echo once >>times")
    for rows in (30, 31, 24):
        fcntl.ioctl(sh.fds["tty"], termios.TIOCSWINSZ, struct.pack("HHHH", rows, 80, 0, 0))
    sh.knock()
    assert sh.probe()[0] == "P"
    assert sh.out("cat times") == b"once\n"


# ---- what the user is in the midst of

@case("a program in front is not disturbed: the command begins when it has ended")
@shell()
def _(sh):
    sh.type(b"cat\r")
    sh.see(b"\x1b[?2004l\r")
    sh.until("cat in front", lambda: sh.front() != sh.pid)
    sh.request("x", b"echo later")
    sh.type(b"one\r")
    sh.see(b"one\r\none\r\n")
    assert sh.statuses == []
    sh.type(b"\x04")
    assert sh.wait("S")[1] == 0
    sh.see(b"$ ")
    sh.turn(0)
    assert sh.data["out"] == b"later\n"
    sh.untouched()


@case("a line that continues, a search in the history, and vi's two modes go on where they were")
@shell()
def _(sh):
    sh.enter("echo needle")
    sh.type(b"for i in 1 2; do\r")
    sh.see(b"> ")
    assert sh.out("echo between") == b"between\n"
    sh.untouched()
    assert sh.enter("echo $i; done") == b"1\r\n2\r\n"
    sh.type(b"\x12need")
    sh.see(b"\x1b[7mneed\x1b[27m")
    sh.see(b"\x08\x08\x08\x08")
    sh.data["tty"] = b""
    assert sh.out("echo searching") == b"searching\n"
    assert sh.data["tty"] == b""
    assert b"needle\r\n" in sh.enter("")
    sh.enter("set -o vi")
    sh.type(b"echo wrong")
    sh.see(b"echo wrong")
    assert sh.out("echo insert mode") == b"insert mode\n"
    sh.type(b"\x1bbcw")
    assert sh.out("echo once more") == b"once more\n"
    assert sh.enter("right") == b"right\r\n"


@case("in `read`, `read -e` and `select` of the user's a command runs, and their input is theirs")
@shell()
def _(sh):
    for line in ("read -r x", "read -e -r x", "read -r -s x"):
        sh.type(line.encode() + b"\r")
        sh.see(b"\x1b[?2004l\r")
        sh.type(b"an")
        assert sh.out("echo inside") == b"inside\n"
        sh.type(b"swer\r")
        sh.see(b"\x1b[?2004h$ ")
        assert sh.enter("echo $x") == b"answer\r\n"


@case("without a line editor, in its place: a command runs at the prompt as well")
@shell()
def _(sh):
    sh.type(b"set +o emacs\r")
    sh.see(b"\x1b[?2004l\r$ ")
    assert sh.out("echo plain") == b"plain\n"
    sh.type(b"echo typed\r")
    assert sh.see(b"$ ") == b"echo typed\r\ntyped\r\n$ "


@case("keys that come while a command runs are there for the line afterwards")
@shell()
def _(sh):
    sh.begin("read -r x <\"$HOME/i1\"; echo $x")
    sh.type(b"echo typed ahead")
    with open(sh.path("i1"), "w", encoding="ascii") as fifo:
        fifo.write("go\n")
    sh.wait("S")
    sh.see(b"echo typed ahead")
    assert sh.enter("") == b"typed ahead\r\n"


@case("a command between the iterations of a loop of the user's")
@shell()
def _(sh):
    sh.type(b"n=0; while [ ! -e stop ]; do n=$((n+1)); done; echo ended\r")
    sh.see(b"\x1b[?2004l\r")
    assert sh.out("echo in a loop") == b"in a loop\n"
    sh.run("touch stop")
    assert sh.see(b"\x1b[?2004h$ ") == b"ended\r\n\x1b[?2004h$ "


# ---- what may have been changed

# What prints for each of the shell's own commands does so for those of its traps, too.
SHOWS = ("set -x", "a DEBUG trap", "an ERR trap")


def changed(title, change):
    @case(f"nothing breaks{'' if title in SHOWS else ' and nothing shows'}: {title}")
    @shell()
    def _(sh):
        sh.enter(change)
        if title in SHOWS:
            for command, code in (("echo fine", 0), ("echo fine; false", 1), ("echo fine", 0)):
                assert sh.run(command)[:2] == (code, b"fine\n"), sh.data
            return
        assert sh.run("echo fine")[:2] == (0, b"fine\n"), sh.data
        assert sh.run("echo fine; false")[:2] == (1, b"fine\n"), sh.data
        sh.untouched()
        assert b"typed\r\n" in sh.enter("echo typed")


CHANGES = {
    "set -x": "set -x", "set -u": "set -u", "set -f and failglob": "set -f; shopt -s failglob", "set -C": "set -C",
    "set -k": "set -k", "set -a": "set -a", "set -T and -E": "set -TE",
    "posix mode": "set -o posix", "IFS": "IFS='0123456789abcdefg/ '", "no prompt": "PS1='$ '; PS0=; PS2=",
    "a prompt with commands": "PS1='$(true)$ '; PROMPT_COMMAND='true; x=$?'",
    "a DEBUG trap": "trap 'echo debug' DEBUG", "an ERR trap": "trap 'echo err >&2' ERR", "a RETURN trap": "trap 'echo ret' RETURN",
    "an EXIT trap": "trap 'echo exit' EXIT", "a WINCH trap of the user's": "trap 'true' WINCH",
    "no INT": "trap '' INT", "functions for builtins": "eval() { :; }; printf() { :; }; read() { :; }; mapfile() { :; }; trap() { :; }; "
    "return() { :; }; source() { :; }; .() { :; }",
    "a function named builtin": "builtin() { echo caught; }",
    "builtins that are disabled": "enable -n printf mapfile kill",
    "aliases": "alias builtin=echo eval=echo printf=echo kill=echo __cf_enter=echo",
    "readonly names": "readonly IFS LC_ALL TMOUT REPLY",
    "a folder that is gone": "mkdir d; cd d; rmdir ../d", "no PWD": "unset PWD OLDPWD",
    "the locale": "LC_ALL=C; LANG=xx",
    "checkwinsize off, extglob on": "shopt -u checkwinsize; shopt -s extglob nullglob",
    "history and job control": "set +o history; set -b",
}
for changed_title, changed_text in CHANGES.items():
    changed(changed_title, changed_text)



# ---- leaving a command

def left(title, text):
    @case(f"a command is left: {title}")
    @shell()
    def _(sh):
        sh.type(b"half a line")
        sh.see(b"half a line")
        sh.begin(text)
        assert sh.leave()[0] in "SR"
        sh.enter("trap - INT")
        sh.healthy()


LEFT = {
    "one program": "sleep 1000", "a list": "sleep 1000; echo more", "a pipeline": "sleep 1000 | sleep 1000",
    "a loop of programs": "while :; do sleep 1000; done", "a loop of builtins": "while :; do :; done",
    "a loop in a function": "f() { while :; do sleep 0.01; done; }; f", "a subshell": "(sleep 1000; echo more)",
    "a command substitution": "x=$(sleep 1000)", "a loop that forks": "while :; do (:); done",
    "wait": "sleep 1000 & wait; echo more", "read from the terminal": "read x </dev/tty",
    "read from a FIFO": "mkfifo f; read x <>f", "opening a FIFO": "mkfifo g; cat <g",
    "a loop that ignores INT": "trap '' INT; while :; do :; done",
    "a loop with a trap of INT": "trap 'echo caught' INT; while :; do :; done; trap - INT",
    "nested functions and sourced files": "echo 'while :; do :; done' >s; f() { g; }; g() { . ./s; }; f",
    "select": "select x in a b; do :; done </dev/tty",
}
for left_title, left_text in LEFT.items():
    left(left_title, left_text)


@case("a program that ignores INT is left once it is killed, and the loop around it with it")
@shell()
def _(sh):
    sh.begin("while :; do bash -c 'trap \"\" INT; echo on; while :; do sleep 0.01; done'; done")
    sh.until("the program", lambda: b"on\n" in sh.data["out"])
    sh.request("k")
    os.killpg(sh.front(), signal.SIGKILL)       # as the keeper kills what is young
    assert sh.wait("SRP", lambda: sh.request("k"))[0] in "RP"
    sh.healthy()


@case("after a command that jobs of signals ended, the line editor has its terminal: no echo twice, no lost key")
@shell()
def _(sh):
    sh.type(b"echo ")
    sh.see(b"echo ")
    for text in ("sleep 1000 & kill -9 %1; wait %1", "bash -c 'kill -9 $$'", "yes | head -1", "bash -c 'kill -TERM $$'; true"):
        sh.run(text)
        sh.untouched()
    sh.type(b"once")
    sh.see(b"once")
    assert sh.enter("") == b"once\r\n"


@case("what interrupts itself is seen to be gone by asking, and the prompt is healthy again")
@shell()
def _(sh):
    sh.begin("kill -INT $$; :; bash -c 'kill -INT $$'; :")
    sh.see(b"$ ")
    assert sh.probe()[0] in "RP"
    sh.healthy()


@case("Ctrl-C of the user's while a command runs ends it")
@shell()
def _(sh):
    sh.begin("sleep 1000; echo more")
    # Not yet while its process is a copy of the shell: bash takes an interrupt there, and forgets it.
    sh.until("sleep in front", lambda: sh.front() != sh.pid and os.readlink(f"/proc/{sh.front()}/exe").endswith("/sleep"))
    sh.type(b"\x03")
    sh.see(b"$ ")
    assert sh.probe()[0] in "RP"
    sh.healthy()


@case("asking while a command runs says so and does not disturb it")
@shell()
def _(sh):
    sh.begin("for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.02; done; while [ ! -e go ]; do :; done; echo end")
    for _ in range(5):
        answer = sh.probe()
        assert answer[0] == "B", answer
        fcntl.ioctl(sh.fds["tty"], termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        fcntl.ioctl(sh.fds["tty"], termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    open(sh.path("go"), "w", encoding="ascii").close()
    assert sh.wait("S")[1] == 0
    sh.turn(0)
    assert sh.data["out"] == b"end\n"
    sh.healthy()


@case("background jobs live on when a command is left, and are jobs of the shell")
@shell()
def _(sh):
    sh.run("sleep 1000 & echo $! >pid")
    pid = int(open(sh.path("pid"), encoding="ascii").read())
    sh.begin("sleep 1001; :")
    sh.leave()
    os.kill(pid, 0)
    sh.healthy()
    assert sh.run("kill %1; wait %1")[0] == 143


# ---- jobs and the terminal

@case("a command has job control: its program is in front, a background job is not, fg and jobs know both")
@shell()
def _(sh):
    sh.begin("sleep 1000")
    sh.until("sleep in front", lambda: sh.front() not in (0, sh.pid))
    sh.leave()
    assert sh.run("sleep 1000 &")[0] == 0
    assert sh.front() == sh.pid
    assert b"Running" in sh.run("jobs")[1]
    got = sh.enter("jobs")
    assert b"Running" in got, got
    sh.run("kill %1")


@case("a command can talk with the user through /dev/tty")
@shell()
def _(sh):
    sh.begin("bash -c 'stty sane </dev/tty; echo question >/dev/tty; read -r x </dev/tty; echo answer $x'")
    sh.see(b"question\r\n")
    sh.type(b"yes\r")
    assert sh.wait("S")[1] == 0
    sh.turn(0)
    assert sh.data["out"] == b"answer yes\n"
    sh.see(b"yes\r\n")
    sh.untouched()


@case("exec in a command: its own redirections stay, the terminal's are not touched; and to close them")
@shell()
def _(sh):
    sh.run("exec 7>seven; echo to seven >&7")
    assert sh.out("echo more >&7; cat seven") == b"to seven\nmore\n"
    for text in ("exec >elsewhere", "exec 1>&-", "exec 2>&-", "exec <&-", "exec 0<&- 1>&- 2>&-"):
        sh.run(text)
        assert sh.run("echo fine")[:2] == (0, b"fine\n"), text
        sh.untouched()
        assert sh.enter("echo typed") == b"typed\r\n"


@case("closing every descriptor from 10 up, the shell's own too, harms no command")
@shell()
def _(sh):
    for last in (254, 255):
        sh.run("for i in {10..%d}; do eval \"exec $i>&-\"; done" % last)
        assert sh.out("echo fine") == b"fine\n"


@case("variables of the driver's that a command makes readonly do not run the command twice")
@shell()
def _(sh):
    for name in ("__cf_v", "__cf_n", "__cf_a"):
        assert sh.run(f"echo once >>once; readonly {name}")[0] == 0
        for _ in range(5):
            sh.knock()
            sh.turn(AGAIN_S)
        with open(sh.path("once"), encoding="ascii") as once:
            assert once.read() == "once\n"
        sh.stop()
        sh.__init__()


@case("ulimit -f 0 and a descriptor limit near the shell's own")
@shell()
def _(sh):
    sh.run("ulimit -S -f 0; ulimit -S -n 20")
    assert sh.out("echo fine") == b"fine\n"
    sh.untouched()


# ---- the end

def ended(title, text, status):
    @case(f"the shell's own end is no hang: {title}")
    @shell()
    def _(sh):
        sh.data["out"] = b""
        sh.request("x", text.encode())
        sh.wait("B", sh.knock)
        end = time.monotonic() + WAIT_S
        while True:
            pid, got = os.waitpid(sh.pid, os.WNOHANG)
            if pid:
                break
            assert time.monotonic() < end
            sh.turn(AGAIN_S)
        assert os.waitstatus_to_exitcode(got) == status, (got, sh.data)
        sh.turn(0)
        assert not any(s[0] == "S" for s in sh.statuses)
        sh.pid = None


for ended_title, ended_text, ended_status in (("exit", "exit 3", 3), ("exec", "exec bash -c 'exit 4'", 4),
                                              ("kill", "kill -9 $$", -9), ("set -e", "set -e; false", 1)):
    ended(ended_title, ended_text, ended_status)


@case("who removes the trap gets no command run, and loses nothing else; who sets it again has it back")
@shell()
def _(sh):
    saved = sh.enter("trap -p URG >saved; trap - URG")
    assert saved == b""
    sh.request("x", b"echo hidden")
    for _ in range(5):
        sh.knock()
        sh.turn(AGAIN_S)
    assert sh.statuses == []
    sh.untouched()
    assert sh.enter(". ./saved") == b""
    assert sh.wait("S", sh.knock)[1] == 0


@case("without the trap of WINCH a command begins with the next key")
@shell()
def _(sh):
    sh.enter("trap - WINCH")
    sh.request("x", b"echo at last")
    sh.type(b"\r")
    assert sh.wait("S", sh.knock)[1] == 0


@case("the locale and whatever else comes late is there before the first command")
@shell(late="export LC_ALL=C.UTF-8 LATE=yes")
def _(sh):
    assert sh.out("echo $LC_ALL $LATE; bash -c 'echo $LATE'") == b"C.UTF-8 yes\nyes\n"


@case("a new shell is as a plain interactive one: options, history off the disk, no posix mode")
@shell()
def _(sh):
    assert sh.out("echo $- ${HISTFILE-none} ${ENV-none} $MAILCHECK; shopt -q inherit_errexit || echo off; [[ -o posix ]] || echo no; "
                  "echo $0 $#") == b"himBHs none none 60\noff\nno\nbash 0\n"


if __name__ == "__main__":
    run()
