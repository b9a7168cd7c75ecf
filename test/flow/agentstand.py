"""agentstand.py: a server with agents that stand in for real ones, for the flow tests of kind agent.

    with Agents(agent_timeout=2) as s:
        id = s.agent("echoer")
        s.input(id, "hello\\n")
        s.wait_output(id, "hello\\n")
"""
import contextlib
import os
import shutil
import tempfile

from harness import Server, wait_for

# Stand-ins: what each does is its name.  They run in their session's workspace.
STAND_INS = {
    "cursor-agent": 'echo "ready $$"; while read -r line; do echo "got $line"; done',
    "echoer": 'echo ready; echo err >&2; cat',
    "counter": 'touch starts; echo "start $(wc -l < starts)"; date +%s.%N >> starts; exit "${STATUS:-3}"',
    "stubborn": "trap 'echo int >> trace' INT\nread -r x || echo eof >> trace\necho waiting >> trace\nwhile :; do sleep 0.05; done",
    "heeds": "trap 'echo int >> trace; exit 7' INT\nread -r x || echo eof >> trace\nwhile :; do sleep 0.05; done",
    "forker": "setsid sh -c 'trap \"\" INT TERM HUP; (trap \"\" INT TERM HUP; echo in > forked; exec sleep 1000) & exec sleep 1000' &\n"
              "(nohup sleep 1000 > /dev/null 2>&1 &)\necho ready\nread -r x",
    "flood": "echo begin; exec yes 0123456789abcde",
    "deaf": "echo ready; exec 0< /dev/null; echo closed; sleep 1000",
    "sleeper": "echo ready; exec sleep 1000",
    "quits": 'exit "${STATUS:-0}"',
    "dies": "kill -9 $$",
    "chatty": "while :; do echo tick; sleep 0.1; done",
    "environment": 'echo "$1|$2|$A|$B|$C|$PWD"; cat',
    "trapper": "trap 'echo usr1' USR1\necho ready\nwhile :; do sleep 0.05; done",
    "leaver": 'if [ -e was ]; then echo again; cat; else touch was; setsid sleep 1000 & (nohup sleep 1000 > /dev/null 2>&1 &); echo first; exit 9; fi',
    "once": 'if [ -e was ]; then echo again; cat; else touch was; echo first; exit 9; fi',
}


class Agents(Server):
    """A server with all stand-ins configured; `extra` is further text of the file, `more` keys of one agent."""

    def __init__(self, extra="", more=None, **settings):
        self.place = tempfile.mkdtemp(prefix="ag.")
        os.chmod(self.place, 0o755)
        lines = []
        for name, text in STAND_INS.items():
            self.stand_in(name, text)
            lines += [f"[agents.{name}]", f"command = [\"{self.place}/{name}\"]", *(more or {}).get(name, [])]
        path = os.path.join(self.place, "curfew.conf")
        with open(path, "w", encoding="utf-8") as config:
            config.write("\n".join([extra, *lines, ""]))
        settings = {"max_sessions_per_workspace": 100, **settings}
        super().__init__(args=["--config", path, *settings.pop("args", [])], **settings)

    def stand_in(self, name, text):
        path = os.path.join(self.place, name)
        with open(path, "w", encoding="utf-8") as script:
            script.write(f"#!/bin/sh\n{text}\n")
        os.chmod(path, 0o755)

    def discard(self):
        super().discard()
        shutil.rmtree(self.place, ignore_errors=True)

    def agent(self, name, **fields):
        return self.create(kind="agent", agent=name, **fields)["session_id"]

    def output(self, session_id, **query):
        """(text, next) of what it has printed."""
        words = "&".join(f"{name}={value}" for name, value in {"since": 0, **query}.items())
        got = self.ok("GET", f"/v1/sessions/{session_id}/output?{words}")
        return "".join(piece.get("text", "") for piece in got["output"]), got["next"]

    def wait_output(self, session_id, text, **query):
        wait_for(lambda: text in self.output(session_id, **query)[0], f"{session_id} has printed {text!r}")

    def input(self, session_id, text, **fields):
        return self.ok("POST", f"/v1/sessions/{session_id}/input", {"text": text, **fields})

    def end(self, session_id, query=""):
        return self.ok("DELETE", f"/v1/sessions/{session_id}{query}")

    def tombstone(self, session_id):
        return self.fails(410, "gone", "GET", f"/v1/sessions/{session_id}")["session"]

    def wait_ended(self, session_id):
        return wait_for(lambda: self.request("GET", f"/v1/sessions/{session_id}")[0] == 410 and self.tombstone(session_id),
                        f"{session_id} has ended")

    def read(self, name, workspace="default"):
        with contextlib.suppress(OSError), open(os.path.join(self.workspaces, workspace, name), encoding="utf-8") as file:
            return file.read()
        return ""


def steps(tomb):
    return [step["step"] for step in tomb["ladder"]]
