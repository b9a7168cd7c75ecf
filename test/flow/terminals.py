"""terminals.py: sessions with a terminal, and viewers of them, for the flow tests.

    t = Terminal(cols=80, rows=24)      # a session of sessions.py
    with t.attach() as v:
        v.ask("echo $((6 * 7))", "42")  # types the line, and waits until the terminal has shown that, and the prompt again
    t.end()

The prompt is PROMPT, so that it can be told from all else.  Everything that waits has a bound.
"""
import contextlib
import json
import os
import re
import time

import harness
from sessions import PROMPTLY, Session, server
from wsclient import TEXT, Closed, WebSocket

PROMPT = "<prompt>"
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\x1b[()*+]B|\x1b[=>]|[\x00-\x08\x0e-\x1f]")


def visible(data):
    """The text of what a terminal was sent, without what moves and colours it."""
    return CONTROL.sub("", data.decode("utf-8", "replace"))


class Viewer(WebSocket):
    """A WebSocket of …/attach.  `seen`: the bytes behind the drawing; `drawing`; `texts`: the messages in JSON."""

    def __init__(self, server_, path, **more):
        super().__init__(server_, path, **more)
        self.seen = b""
        self.drawing = None
        self.texts = []
        self.closed = None

    def take(self, timeout=PROMPTLY):
        """The next message: bytes, or the JSON of a text.  Raises Closed at the end."""
        try:
            opcode, data = self.recv(timeout)
        except Closed as closed:
            self.closed = closed
            raise
        if opcode == TEXT:
            self.texts.append(json.loads(data))
            return self.texts[-1]
        if self.drawing is None:
            self.drawing = data
        else:
            self.seen += data
        return data

    def greet(self):
        """Takes hello and drawing, which come first and in this order; the hello."""
        hello = self.take()
        assert isinstance(hello, dict) and hello["type"] == "hello", hello
        assert isinstance(self.take(), bytes)
        return hello

    def until(self, enough, what, seconds=PROMPTLY):
        """Takes messages until enough() is true, and returns what that is."""
        limit = time.monotonic() + seconds
        while not (found := enough()):
            try:
                self.take(max(0.001, limit - time.monotonic()))
            except (TimeoutError, Closed) as error:
                raise AssertionError(f"{what}: {error!r}; seen {self.seen[-1500:]!r}, told {self.texts[-5:]}") from None
        return found

    def wait(self, text, since=0, seconds=PROMPTLY):
        """Waits until the terminal was sent this text, after the first `since` bytes."""
        self.until(lambda: text in visible(self.seen[since:]), f"no {text!r}", seconds)

    def told(self, kind, since=0, seconds=PROMPTLY):
        """Waits for a message of this type, after the first `since` of them."""
        return self.until(lambda: next((t for t in self.texts[since:] if t["type"] == kind), None), f"no {kind}", seconds)

    def type(self, text):
        self.send_binary(text if isinstance(text, bytes) else text.encode())

    def at_prompt(self):
        """Waits for the prompt that comes first."""
        self.until(lambda: visible(self.drawing + self.seen).endswith(PROMPT), "no prompt")

    def ask(self, line, answer="", seconds=PROMPTLY):
        """Types a line, and waits for a line that is `answer` and a prompt behind that; what was shown."""
        since = len(self.seen)
        self.type(line + "\r")
        self.until(lambda: self.answered(since, answer), f"no {answer!r} and prompt after {line!r}", seconds)
        return visible(self.seen[since:])

    def answered(self, since, answer):
        lines = visible(self.seen[since:]).replace("\r", "\n").split("\n")
        return lines[-1] == PROMPT and len(lines) > 1 and (not answer or answer in lines[1:])

    def order(self, **message):
        self.send_text(json.dumps(message))

    def wait_end(self, seconds=PROMPTLY):
        """Takes all that is left: the Closed."""
        limit = time.monotonic() + seconds
        while True:
            try:
                self.take(max(0.001, limit - time.monotonic()))
            except Closed as closed:
                return closed


class Terminal(Session):
    """A session with a terminal."""

    def __init__(self, cols=80, rows=24, env=None, cwd=None, prompt=True, **settings):
        Session.count += 1
        self.server = server(**settings)
        workspace = f"t{Session.count}"
        self.folder = f"{self.server.workspaces}/{workspace}"
        fields = {"terminal": {"cols": cols, "rows": rows}, "env": {**({"PS1": PROMPT} if prompt else {}), **(env or {})}}
        if cwd is not None:
            os.makedirs(f"{self.folder}/{cwd}")
            fields["cwd"] = cwd
        self.made = self.server.create(workspace=workspace, **fields)
        self.id = self.made["session_id"]
        self.path = f"/v1/sessions/{self.id}"

    def attach(self, query="", greet=True, **more):
        viewer = Viewer(self.server, f"{self.path}/attach{query}", **more)
        if greet:
            try:
                viewer.hello = viewer.greet()
            except BaseException:
                viewer.drop()
                raise
        return viewer

    def type(self, text, **more):
        """By POST …/input."""
        return self.post("input", {"text": text, **more})

    def show(self):
        return self.server.show(self.id)

    def wait_at_work(self, program="sleep"):
        """Waits until this program has the terminal, and not the shell at its prompt, nor a child of it that is not yet what it
        will be: bash gives that one the terminal while its own handler takes an interrupt, so a Ctrl-C of just then is lost (in
        any terminal: it was 10 of 16 that were typed as soon as the terminal had changed hands)."""
        def works():
            with open(f"/proc/{self.made['pid']}/stat", encoding="utf-8", errors="replace") as stat:
                front = stat.read().rsplit(")", 1)[1].split()[5]
            with contextlib.suppress(ProcessLookupError):
                return self.show()["terminal"]["at_work"] and any(
                    harness.program_of(pid) == program and os.getpgid(pid) == int(front) for pid in self.server.processes())
            return False
        harness.wait_for(works, f"{program} is in front")

    def printed(self):
        """All that the terminal was sent until now, as far as it is kept."""
        status, _, data = self.server.request("GET", f"{self.path}/output?stream=terminal", headers={"Accept": "application/octet-stream"}, raw=True)
        assert status == 200, (status, data)
        return data

    def wait_shown(self, text, seconds=PROMPTLY):
        """Waits until the terminal was sent this text."""
        harness.wait_for(lambda: text in visible(self.printed()), f"{text!r} is shown: {self.printed()[-1000:]!r}", seconds)

    def run_soon(self, command, **fields):
        """A command, tried again while what was typed is still running."""
        def tried():
            status, answer = self.server.request("POST", f"{self.path}/exec", {"command": command, **fields})
            assert status in (200, 409), (status, answer)
            return status == 200 and answer["data"]
        return harness.wait_for(tried, f"{command} could be run", PROMPTLY)

    def check_usable(self):
        got = self.run_soon("echo alive; echo err >&2")
        assert (got["stdout"], got["stderr"], got["exit_code"], got["session_state"]) == ("alive\n", "err\n", 0, "active"), got
