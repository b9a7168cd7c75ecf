"""soak_terminal.py: what the clients of soak.py do with terminal sessions: keys, viewers, sizes, commands beside."""
import contextlib
import json
import time

from wsclient import BINARY, TEXT, WebSocket

CTRL_C = b"\x03"
PROMPT = b"\x1b[?2004h"                   # readline is ready for a line
PROMPT_S = 10
ANSWER_S = 30                           # less than a sleep whose interrupt was lost


class Expected(Exception):
    """A failure that the operation had allowed for: its API code."""


def attach(client, **more):
    """A viewer who has been greeted."""
    ws = WebSocket(client.server, client.path("/attach"), **more)
    try:
        opcode, hello = ws.recv()
        assert opcode == TEXT, hello
        ws.hello = json.loads(hello)
        assert ws.hello["type"] == "hello" and ws.hello["session_id"] == client.id, hello
        opcode, _ = ws.recv()
        assert opcode == BINARY, "after the greeting comes the screen"
    except BaseException:
        ws.drop()
        raise
    return ws


def leave(client, ws):
    """As people do: in order, by closing the window, by a cut cable."""
    how = client.random.randrange(3)
    if how == 0:
        assert ws.close().code == 1000
    else:
        ws.drop(reset=how == 2)


def answer_of(client, ws):
    """Types a question into the shell and waits for its answer, which the line that is echoed does not hold."""
    a, b = client.random.randrange(1000), client.random.randrange(1000)
    ws.send_binary(f"echo [$(({a} + {b}))]\r".encode())
    ws.recv_binary(lambda seen: f"[{a + b}]".encode() in seen, ANSWER_S)


def type_and_leave(client):
    with attach(client) as ws:
        answer_of(client, ws)
        leave(client, ws)


def several_viewers(client):
    with contextlib.ExitStack() as stack:
        viewers = [stack.enter_context(attach(client)) for _ in range(client.random.randrange(2, 5))]
        viewers[0].send_binary(b"echo [$((41 + 1))]\r")
        for ws in viewers:
            ws.recv_binary(lambda seen: b"[42]" in seen, ANSWER_S)


def interrupt(client):
    with attach(client) as ws:
        # One process that says itself that it is there: an interrupt that meets a shell, bash or sh, between starting a
        # job and waiting for it is lost on the job, in any terminal.
        ws.send_binary(b"cat /proc/version -\r")
        ws.recv_binary(lambda seen: b"Linux version" in seen, ANSWER_S)
        ws.send_binary(CTRL_C)
        ws.recv_binary(lambda seen: PROMPT in seen, ANSWER_S)           # before it what is typed is still the program's
        answer_of(client, ws)


def leave_a_flood(client):
    ws = attach(client, receive_buffer=client.random.choice([None, 4096]))
    ws.send_binary(f"seq 1 {client.random.choice([100, 100000])}\r".encode())
    with contextlib.suppress(TimeoutError):
        ws.recv(5)
    ws.drop(reset=client.random.random() < 0.5)
    with attach(client) as ws:          # the shell has gone on without its viewer
        answer_of(client, ws)


def resize(client):
    size = {"cols": client.random.randrange(1, 300), "rows": client.random.randrange(1, 100)}
    client.call("POST", client.path("/resize"), size)
    got = client.call("GET", client.path())
    assert {name: got["terminal"][name] for name in size} == size, (got, size)
    client.call("POST", client.path("/resize"), {"cols": 80, "rows": 24})


def beside(client, command, **fields):
    """A command, without anything typed into the viewers' screens.  It is refused while the shell is not back at its
    prompt, which may take a moment after what was typed has printed its last."""
    until = time.monotonic() + PROMPT_S
    while True:
        with contextlib.suppress(Expected):
            return client.exec(command, allowed=("busy",), **fields)
        assert time.monotonic() < until, f"the shell is not back at its prompt after {PROMPT_S} s"
        time.sleep(0.01)


def command_beside(client):
    word = f"ok{client.random.randrange(10 ** 6)}"
    got = beside(client, f"echo {word}")
    assert (got["stdout"], got["exit_code"]) == (word + "\n", 0), got


def time_out(client):
    got = beside(client, "sleep 50", timeout=0.2)
    assert got["timed_out"] and got["session_state"] == "active", got
    command_beside(client)


def end_session(client):
    client.end_session()


def end_under_a_viewer(client):
    with attach(client) as ws:
        if client.random.random() < 0.5:
            ws.send_binary(b"sleep 50\r")
        client.end_session()
        assert ws.wait_closed(ANSWER_S).code == 1000


def leave_the_shell(client):
    with attach(client) as ws:
        ws.send_binary(b"exit\r")
        assert ws.wait_closed(ANSWER_S).code == 1000
    client.gone()


OPERATIONS = [(10, type_and_leave), (5, several_viewers), (5, interrupt), (4, leave_a_flood), (5, resize),
              (10, command_beside), (3, time_out), (2, end_session), (2, end_under_a_viewer), (2, leave_the_shell)]
