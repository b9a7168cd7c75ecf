"""soak_pipe.py: what the clients of soak.py do with sessions without a terminal."""
import base64
import contextlib
import time

from soak_terminal import Expected
from streamclient import PIECES, Cut, Stream, collect

BOUND_S = 30                            # anything that has to happen; less than what a command left alone takes

# command, stdout, stderr, exit code.  None: not compared.
COMMANDS = [
    ("true", "", "", 0),
    ("false", "", "", 1),
    ("echo out; echo err >&2", "out\n", "err\n", 0),
    ("printf 'no line end'", "no line end", "", 0),
    ("seq 1 2000 | tail -n 1", "2000\n", "", 0),
    ("x=5; echo $((x * 2))", "10\n", "", 0),
    ("cat", "", "", 0),
    ("read x; echo $?:$x", "1:\n", "", 0),
    ("cat <<'END'\na\tb\n\"$x\"\nEND", "a\tb\n\"$x\"\n", "", 0),
    ("for i in 1 2 3; do echo $i; done | wc -l", "3\n", "", 0),
    ("(exit 9)", "", "", 9),
    ("no-such-command-at-all", "", None, 127),
    ("echo 'unbalanced", "", None, None),
    ("f() { echo in f; return 4; }; f", "in f\n", "", 4),
    ("a=(x y z); echo ${#a[@]} ${a[-1]}", "3 z\n", "", 0),
    ("cd /; pwd; cd - >/dev/null", "/\n", "", 0),
    ("export SOAK=1; env | grep -c ^SOAK=", "1\n", "", 0),
    ("set -u; echo ok; set +u", "ok\n", "", 0),
    ("set -x; echo traced; set +x", "traced\n", None, 0),
    ("set -o pipefail; false | true; echo $?; set +o pipefail", "1\n", "", 0),
    ("trap 'echo trapped' USR1; kill -USR1 $$; trap - USR1", "trapped\n", "", 0),
    ("diff <(echo a) <(echo b) >/dev/null", "", "", 1),
    ("coproc cat; kill $COPROC_PID; wait $COPROC_PID 2>/dev/null; echo over", "over\n", None, 0),
    ("PS1=x; PROMPT_COMMAND=false; IFS=:; echo a b; IFS=$' \\t\\n'", "a b\n", "", 0),
    ("exec 3>&1; echo by 3 >&3; exec 3>&-", "by 3\n", "", 0),
    ("printf 'a\\0b\\377\\r\\033[0m' | wc -c", "9\n", "", 0),
    ("sleep 0.05; echo slept", "slept\n", "", 0),
    ("setsid sleep 0.3 & echo away", "away\n", "", 0),
    ("(sleep 2; echo late; echo late >&2) & echo now", "now\n", "", 0),
    ("nohup sleep 0.2 >/dev/null 2>&1 & disown; echo disowned", "disowned\n", "", 0),
    ("sleep 0.1 & wait; echo waited", "waited\n", "", 0),
    ("yes | head -c 200000 | wc -c", "200000\n", "", 0),
    ("readlink /proc/self/fd/0 >/dev/null; echo $?", "0\n", "", 0),
]
# What takes the shell away: exit code, session_state.
DEADLY = [
    ("exit 7", 7, "closed"),
    ("exec true", 0, "closed"),
    ("set -e; false", 1, "closed"),
    ("kill -9 $$", 137, "failed"),
]
SIGNALS = [("INT", 130), ("SIGTERM", 143), ("9", 137), ("hup", 129), ("USR1", 138)]


def matches(got, want):
    return want is None or got == want


def check(command, want, got):
    """An exec's data against a row of COMMANDS."""
    _, stdout, stderr, exit_code = want
    fine = matches(got["stdout"], stdout) and matches(got["stderr"], stderr) and matches(got["exit_code"], exit_code)
    assert fine and got["session_state"] == "active" and not got["timed_out"], f"{command!r}: {got}, not {want}"


def brief(got):
    """An exec's data without its output."""
    return {name: value if name not in ("stdout", "stderr") else str(value)[-80:] for name, value in got.items()}


def numbers(count):
    """What `seq 1 COUNT` prints."""
    return "".join(f"{i}\n" for i in range(1, count + 1)).encode()


def run_command(client):
    row = client.random.choice(COMMANDS)
    check(row[0], row, client.exec(row[0]))


def run_with_stdin(client):
    data = client.random.randbytes(client.random.choice([0, 1, 5000, 300000]))
    got = client.exec("cksum", stdin_base64=base64.b64encode(data).decode())
    assert got["stdout"].split()[1] == str(len(data)), got


def run_much(client):
    size = client.random.choice([10 ** 5, 3 * 10 ** 6])
    got = client.exec(f"head -c {size} /dev/zero | tr '\\0' x; echo end >&2")
    assert got["stdout_bytes"] == size and got["stderr"] == "end\n" and got["exit_code"] == 0, brief(got)


def stream_to_the_end(client):
    form, count = client.random.choice(["ndjson", "sse", "frames"]), client.random.choice([1, 1000, 100000])
    got = collect(Stream.exec(client.server, client.id, f"seq 1 {count}; echo e >&2; (exit 3)", form))
    assert bytes(got.streams["stdout"]) == numbers(count) and got.streams["stderr"] == b"e\n" and not got.gaps, form
    assert got.result["exit_code"] == 3 and got.result["session_state"] == "active", got.result


def leave_a_stream(client):
    """A reader that goes away neither ends the command nor holds it up."""
    count = client.random.choice([10, 1000, 300000])
    rcvbuf = client.random.choice([None, 4096])
    stream = Stream.exec(client.server, client.id, f"seq 1 {count}", client.random.choice(["ndjson", "sse", "frames"]),
                         rcvbuf=rcvbuf)
    number = stream.next().value["exec"]
    for _ in range(client.random.choice([0, 1, 20])):
        if stream.next() is None:
            break
    client.random.choice([stream.close, stream.reset])()
    got = client.ended(number)
    assert got["exit_code"] == 0 and got["stdout_bytes"] == len(numbers(count)), got


def detach_and_poll(client):
    count = client.random.choice([0, 10, 20000])
    number = client.detach(f"sleep 0.0{client.random.randrange(9)}; seq 1 {count}; echo e >&2")
    got, output = client.poll(number)
    assert bytes(output.streams.get("stdout", b"")) == numbers(count) and output.streams["stderr"] == b"e\n", number
    assert got["exit_code"] == 0 and not output.gaps, got


def busy(client):
    """One command at a time; the second one is told so."""
    number = client.detach("echo up; sleep 0.3")
    client.until_output(number)
    with contextlib.suppress(Expected):
        client.exec("echo second", allowed=("busy",))
    assert client.ended(number)["exit_code"] == 0


def put(client, body):
    """Input, as often as it takes: while the shell still gets over an interrupt, it is told to come again."""
    until = time.monotonic() + BOUND_S
    while True:
        with contextlib.suppress(Expected):
            return client.call("POST", client.path("/input"), body, allowed=("too_many",))
        assert time.monotonic() < until, "the command never takes input"
        time.sleep(0.005)


def write_input(client):
    number = client.detach("cat; echo end >&2", input=True)
    sent = b""
    for seq in range(1, client.random.randrange(2, 8)):
        piece = client.random.randbytes(client.random.choice([1, 100, 20000]))
        body = {"base64": base64.b64encode(piece).decode(), "seq": seq, "exec": number}
        for again in range(client.random.choice([1, 1, 2])):
            got = put(client, body)
            assert got["duplicate"] is bool(again) and got["exec"] == number, got
        sent += piece
    put(client, {"eof": True, "exec": number})
    got, output = client.poll(number)
    assert bytes(output.streams["stdout"]) == sent and output.streams["stderr"] == b"end\n", got
    assert got["exit_code"] == 0, got
    with contextlib.suppress(Expected):
        client.call("POST", client.path("/input"), {"text": "x"}, allowed=("not_reading",))
        raise AssertionError("input was taken though no command runs")


def signal(client):
    """Sent again until it meets what it is for, which may not have been started yet."""
    name, exit_code = client.random.choice(SIGNALS)
    number = client.detach("echo up; sleep 50")
    client.until_output(number)
    until = time.monotonic() + BOUND_S
    state = None
    while state != "ended":
        with contextlib.suppress(Expected):
            client.call("POST", client.path("/signal"), {"signal": name}, allowed=("not_ready",))
        state = client.call("GET", client.path(f"/execs/{number}?since=1000000&wait=0.3s"))["state"]
        assert time.monotonic() < until, f"{name} does not end a sleep"
    got = client.ended(number)
    assert got["exit_code"] == exit_code and not got["timed_out"] and not got["cancelled"], got
    client.usable()


def cancel(client):
    command = client.random.choice(["sleep 50", "while :; do :; done", "(trap '' INT; sleep 50)",
                                    "cat /dev/zero >/dev/null", "seq 1 100000000", "true"])
    number = client.detach(command)
    got = client.call("DELETE", client.path(f"/execs/{number}"))
    assert got["exec"] == number and got["state"] == "ended" and (got["cancelled"] or command == "true"), got
    client.usable()


def time_out(client):
    command = client.random.choice(["sleep 50", "while :; do :; done", "(trap '' INT; sleep 50)", "yes >/dev/null",
                                    "yes"])
    got = client.exec(command, timeout=client.random.choice([0.05, 0.2, 0.4]))
    assert got["timed_out"] and got["session_state"] == "active", (command, brief(got))
    client.usable()


def follow(client):
    """Somebody reads what the whole session prints, and goes away."""
    form = client.random.choice(["ndjson", "sse", "frames"])
    with contextlib.closing(Stream.output(client.server, client.id, form, follow="true", since=10 ** 15)) as stream:
        assert stream.next().kind == "start"
        if client.random.random() < 0.5:
            client.usable()


def look(client):
    show = client.call("GET", client.path())
    assert show["session_id"] == client.id and show["state"] == "active", show
    assert all(e["state"] == "ended" for e in client.call("GET", client.path("/execs"))["execs"])
    client.call("GET", client.path(f"/output?limit={client.random.choice([1, 1000])}&encoding=base64"))
    client.call("GET", "/v1/sessions")


def end_session(client):
    client.end_session()


def end_under_a_command(client):
    number = client.detach(client.random.choice(["sleep 50", "seq 1 100000000", "setsid sleep 50 & sleep 50", "cat"]),
                           input=client.random.random() < 0.3)
    stream = None
    if client.random.random() < 0.5:
        form = client.random.choice(["ndjson", "frames"])
        stream = Stream.output(client.server, client.id, form, exec=number, follow="true")
        stream.next()
    client.end_session()
    if stream:
        with contextlib.suppress(Cut):
            kinds = {record.kind for record in stream}
            assert kinds <= {*PIECES, "gap", "error", "result"}, kinds
        stream.close()


def take_the_shell(client):
    command, exit_code, state = client.random.choice(DEADLY)
    got = client.exec(command)
    assert got["exit_code"] == exit_code and got["session_state"] == state, f"{command}: {got}"
    client.gone()


OPERATIONS = [(30, run_command), (5, run_with_stdin), (3, run_much), (6, stream_to_the_end), (8, leave_a_stream),
              (8, detach_and_poll), (3, busy), (6, write_input), (6, signal), (6, cancel), (5, time_out), (4, follow),
              (4, look), (3, end_session), (3, end_under_a_command), (3, take_the_shell)]
