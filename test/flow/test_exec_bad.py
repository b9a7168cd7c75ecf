#!/usr/bin/env python3
"""Bad input to what runs commands: a status, a code, the field and what it may be; and nothing has changed.
budget: 60
"""
import urllib.parse

import harness
from sessions import Session, run_cases
from tap import case

MAX_COMMAND, MAX_OUTPUT, MAX_BODY = 1000, 1 << 20, 1 << 20
WHOLE, POSITIVE, NUMBER = "from 0 to 9007199254740991", "from 1 to 9007199254740991", "from 1 to 4294967295"
TRUTH, WAIT, TIMEOUT, SIZE = "true or false", "from 0 to 300 seconds", "from 0 to 31536000 seconds", "from 1 to 1000"
NO_NUL, BASE64, EXCLUDE = "must not hold a NUL", "is not base64", "exclude each other"
ENCODINGS, STREAMS = ("text or base64", "text of 1 to 16"), ("stdout or stderr", "text of 1 to 16")

# What a field may not be, and one of the things that the message has to say.
BAD = {
    ("POST", "exec", "command"): [("", "of 1 to"), (5, "text"), (None, "text"), (["x"], "text"), ({}, "text"), ("a\0b", NO_NUL)],
    ("POST", "exec", "timeout"): [(v, TIMEOUT) for v in (-1, -0.001, "x", 31536001, None, True, "1 fortnight", "", [1], 1e300)],
    ("POST", "exec", "stdin"): [(5, "text"), (None, "text"), (["x"], "text"), ("a\0b", NO_NUL)],
    ("POST", "exec", "stdin_base64"): [(5, "text"), (None, "text"), ("x", BASE64), ("YQ", BASE64), ("YQ==YQ==", BASE64), ("é", BASE64), ("Y\0Q==", NO_NUL)],
    ("POST", "exec", "input"): [(v, TRUTH) for v in ("yes", "true", 1, 0, None, [], {})],
    ("POST", "exec", "detach"): [(v, TRUTH) for v in ("yes", "true", 1, 0, None, [], {})],
    ("POST", "exec", "stream"): [(v, TRUTH) for v in ("yes", "true", 1, 0, None, [], {})],
    ("GET", "execs/1", "since"): [(v, WHOLE) for v in ("-1", "x", "9007199254740992", "1.5", "", "+1", "1e3", " 1", "0x1", "99999999999999999999")],
    ("GET", "execs/1", "wait"): [(v, WAIT) for v in ("-1", "301", "x", "", "1 fortnight", "6m")],
    ("GET", "execs/1", "limit"): [(v, "from 1 to") for v in ("0", "-1", "268435457", "x", "1.5", "")] + [(str(MAX_OUTPUT + 1), f"1 to {MAX_OUTPUT}, which is max_output_bytes")],
    ("GET", "execs/1", "encoding"): [(v, ENCODINGS) for v in ("hex", "TEXT", "", "base-64", "x" * 17)],
    ("GET", "output", "since"): [(v, WHOLE) for v in ("-1", "x", "9007199254740992", "1.5", "", "+1", "1e3")],
    ("GET", "output", "wait"): [(v, WAIT) for v in ("-1", "301", "x", "")],
    ("GET", "output", "limit"): [(v, "from 1 to") for v in ("0", "-1", "268435457", "x", "")] + [(str(MAX_OUTPUT + 1), f"1 to {MAX_OUTPUT}, which is max_output_bytes")],
    ("GET", "output", "encoding"): [(v, ENCODINGS) for v in ("hex", "TEXT", "", "base-64", "x" * 17)],
    ("GET", "output", "exec"): [(v, NUMBER) for v in ("0", "-1", "x", "4294967296", "1.5", "")],
    ("GET", "output", "stream"): [(v, STREAMS) for v in ("stdin", "STDOUT", "", "stdout", "x" * 17)],
    ("GET", "output?exec=1", "stream"): [(v, STREAMS) for v in ("stdin", "STDOUT", "", "terminal", "both", "1")],
    ("GET", "output", "follow"): [(v, TRUTH) for v in ("maybe", "2", "", "yes please")],
    ("GET", "execs", "since"): [(v, NUMBER) for v in ("0", "-1", "x", "4294967296", "")],
    ("GET", "execs", "limit"): [(v, SIZE) for v in ("0", "-1", "x", "1001", "")],
    ("POST", "input", "text"): [(5, "text"), (None, "text"), (["x"], "text"), ("a\0b", NO_NUL)],
    ("POST", "input", "base64"): [(5, "text"), (None, "text"), ("*", BASE64), ("YQ", BASE64), ("YQ==x", BASE64), ("Y\0Q==", NO_NUL)],
    ("POST", "input", "eof"): [(v, TRUTH) for v in ("yes", "true", 1, 0, None, [])],
    ("POST", "input", "seq"): [(v, POSITIVE) for v in (0, -1, 1.5, "1", None, True, 9007199254740992, [1])],
    ("POST", "input", "exec"): [(v, NUMBER) for v in (0, -1, 1.5, "1", None, True, 4294967296)],
    ("RAW", "input", "eof"): [(v, TRUTH) for v in ("maybe", "", "2")],
    ("RAW", "input", "seq"): [(v, POSITIVE) for v in ("0", "-1", "x", "1.5", "", "9007199254740992")],
    ("RAW", "input", "exec"): [(v, NUMBER) for v in ("0", "-1", "x", "4294967296", "")],
    ("POST", "signal", "signal"): [(5, "of 1 to 16"), (None, "of 1 to 16"), ("", "of 1 to 16"), ("x" * 17, "of 1 to 16"), ("NOPE", "1 to 31"), ("0", "1 to 31"), ("IN\0T", NO_NUL)],
    ("POST", "resize", "cols"): [(v, SIZE) for v in (0, -1, 1001, "80", None, 1.5, True, [80])],
    ("POST", "resize", "rows"): [(v, SIZE) for v in (0, -1, 1001, "24", None, 1.5, True, [24])],
    ("GET", "attach", "cols"): [(v, SIZE) for v in ("0", "-1", "1001", "x", "")],
    ("GET", "attach", "rows"): [(v, SIZE) for v in ("0", "-1", "1001", "x", "")],
    ("CREATE", "", "terminal"): [(v, "whole numbers from 1 to 1000") for v in (
        {}, {"cols": 80}, {"rows": 24}, {"cols": 0, "rows": 24}, {"cols": 80, "rows": 1001}, {"cols": 80, "rows": 24, "x": 1}, "80x24", None, [80, 24],
        {"cols": "80", "rows": 24}, {"cols": 80.5, "rows": 24}, {"cols": 80, "rows": None}, {"cols": True, "rows": 24}, True, 80)],
}

# What else a request needs to be well-formed but for that field.
REST = {"exec": {"command": "touch ran"}, "input": {"text": "eaten"}, "resize": {"cols": 80, "rows": 24}}

# Whole requests: method, path, body, status, code, field, words.
REQUESTS = [
    ("POST", "exec", {}, 400, "invalid", "command", "required"),
    ("POST", "exec", {"command": "touch ran # " + "x" * MAX_COMMAND}, 413, "too_large", "command", f"1 to {MAX_COMMAND} bytes, which is max_command_bytes"),
    ("POST", "exec", {"command": "touch ran", "stdin": "a", "stdin_base64": "YQ=="}, 400, "invalid", "stdin_base64", EXCLUDE),
    ("POST", "exec", {"command": "touch ran", "detach": True, "stream": True}, 400, "invalid", "detach", EXCLUDE),
    ("POST", "exec", {"command": "touch ran", "comand": 1}, 400, "unknown_field", "comand", "it knows command, timeout"),
    ("POST", "exec?timeout=1", {"command": "touch ran"}, 400, "unknown_field", "timeout", "no query parameter"),
    ("POST", "exec", [], 400, "malformed", None, "object"),
    ("POST", "exec", "{", 400, "malformed", None, ""),
    ("POST", "exec", '{"command":"touch ran","command":"touch ran"}', 400, "malformed", None, ""),
    ("POST", "exec", {"command": "touch ran", "stdin": "x" * MAX_BODY}, 413, "too_large", None, "max_body_bytes"),
    ("RAW", "exec", b"touch ran", 415, "unsupported_media_type", "Content-Type", "application/json"),
    ("RAW", "signal", b"INT", 415, "unsupported_media_type", "Content-Type", "application/json"),
    ("GET", "execs/1?follow=true", None, 400, "unknown_field", "follow", "it knows since, wait, limit, encoding"),
    ("GET", "execs/1?since=1&since=2", None, 400, "invalid", "since", "more than once"),
    ("GET", "execs/1?since", None, 400, "invalid", "since", WHOLE),
    ("GET", "output?until=3", None, 400, "unknown_field", "until", "it knows since"),
    ("GET", "output?exec=99", None, 404, "not_found", "exec", "no command 99"),
    ("GET", "output?exec=99&stream=stdout", None, 404, "not_found", "exec", "no command 99"),
    ("GET", "execs/99", None, 404, "not_found", "exec", "no command 99"),
    ("GET", "execs/99?wait=10", None, 404, "not_found", "exec", "no command 99"),
    ("GET", "execs?wait=1", None, 400, "unknown_field", "wait", "it knows since, limit"),
    ("GET", "execs/0", None, 404, "not_found", None, ""),
    ("GET", "execs/x", None, 404, "not_found", None, ""),
    ("GET", "execs/1/output", None, 404, "not_found", None, ""),
    ("GET", "execs/", None, 404, "not_found", None, ""),
    ("DELETE", "execs/1?force=true", None, 400, "unknown_field", "force", "it knows none"),
    ("DELETE", "execs/99", None, 404, "not_found", "exec", "no command 99"),
    ("DELETE", "execs/0", None, 404, "not_found", None, ""),
    ("POST", "input", {}, 400, "invalid", "text", "is needed"),
    ("POST", "input", {"eof": False}, 400, "invalid", "text", "is needed"),
    ("POST", "input", {"text": "eaten", "base64": "YQ=="}, 400, "invalid", "text", EXCLUDE),
    ("POST", "input", {"text": "eaten", "sequence": 1}, 400, "unknown_field", "sequence", "it knows text"),
    ("POST", "input?seq=1", {"text": "eaten"}, 400, "unknown_field", "seq", "no query parameter"),
    ("POST", "input", {"text": "x" * MAX_BODY}, 413, "too_large", None, "max_body_bytes"),
    ("RAW", "input", b"x" * (MAX_BODY + 1), 413, "too_large", None, "max_body_bytes"),
    ("RAW", "input?text=a", b"eaten", 400, "invalid", "text", EXCLUDE),
    ("RAW", "input?base64=YQ==", b"eaten", 400, "invalid", "base64", EXCLUDE),
    ("RAW", "input?nix=1", b"eaten", 400, "unknown_field", "nix", "no query parameter"),
    ("RAW", "input?seq=1&seq=2", b"eaten", 400, "invalid", "seq", "more than once"),
    ("POST", "signal", {}, 400, "invalid", "signal", "required"),
    ("POST", "signal", {"signal": "INT", "to": "all"}, 400, "unknown_field", "to", "it knows signal"),
    ("POST", "resize", {}, 400, "invalid", "cols", "required"),
    ("POST", "resize", {"cols": 80}, 400, "invalid", "rows", "required"),
    ("POST", "resize", {"cols": 80, "rows": 24}, 409, "not_ready", None, "no terminal"),
    ("GET", "attach", None, 409, "not_ready", None, "no terminal"),
    ("GET", "attach?size=80x24", None, 400, "unknown_field", "size", "it knows cols, rows"),
    ("GET", "exec", None, 405, "method_not_allowed", None, "POST"),
    ("PUT", "execs", None, 405, "method_not_allowed", None, "GET"),
    ("POST", "execs/1", {}, 405, "method_not_allowed", None, "DELETE"),
    ("DELETE", "output", None, 405, "method_not_allowed", None, "GET"),
    ("GET", "input", None, 405, "method_not_allowed", None, "POST"),
    ("GET", "signal", None, 405, "method_not_allowed", None, "POST"),
    ("GET", "resize", None, 405, "method_not_allowed", None, "POST"),
    ("POST", "attach", {}, 405, "method_not_allowed", None, "GET"),
]

UNKNOWN = "/v1/sessions/bash_w_aaaaaaaaaaaa"
# With all that they need, to a session that is not there.
WELL_FORMED = [("POST", "exec", {"command": "true"}), ("GET", "execs", None), ("GET", "execs/1", None), ("DELETE", "execs/1", None), ("GET", "output", None),
               ("GET", "output?exec=1&wait=10", None), ("POST", "input", {"text": "x"}), ("RAW", "input", b"x"), ("POST", "signal", {"signal": "INT"}),
               ("POST", "resize", {"cols": 80, "rows": 24})]


class Watched:
    """Two sessions, one idle and one whose command reads, of which nothing may have changed."""

    def __init__(self):
        self.idle, self.busy = (Session(max_command_bytes=MAX_COMMAND, max_output_bytes=MAX_OUTPUT, max_body_bytes=MAX_BODY) for _ in range(2))
        self.idle.run("true")
        self.busy.run("true")
        self.number = self.busy.detach("trap 'echo signal' INT TERM; cat", input=True)
        self.sessions = len(self.idle.server.list())

    def ask(self, s, method, path, body):
        url = f"{s.path}/{path}" if method != "CREATE" else "/v1/sessions"
        if method == "RAW":
            return s.server.request("POST", url, body, {"Content-Type": "application/octet-stream"})
        return s.server.request(method if method != "CREATE" else "POST", url, body)

    def refused(self, method, path, body, status, code, field, words):
        for s in (self.idle, self.busy):
            got, answer = self.ask(s, method, path, body)
            what = (method, path[:60], str(body)[:80], got, answer)
            assert got == status and answer["status"] == "error", what
            error = answer["error"]
            assert error["code"] == code and error.get("field") == field, what
            assert any(w in error["message"] for w in ([words] if isinstance(words, str) else words)), what
            assert field is None or status == 404 or f'"{field}"' in error["message"] or field == "Content-Type" or "one of" in error["message"], what

    def unchanged(self):
        for s in (self.idle, self.busy):
            files = s.run("ls")["stdout"] if s is self.idle else ""
            assert files == "", files
        assert [e["exec"] for e in self.busy.get("execs")["execs"]] == [1, self.number]
        record = self.busy.get(f"execs/{self.number}")
        assert record["state"] == "running" and record["output"] == [], record
        assert len(self.idle.server.list()) == self.sessions

    def end(self):
        """What reads has had nothing but this."""
        self.busy.post("input", {"text": "at last", "eof": True, "seq": 1})
        self.busy.wait_ended(self.number)
        assert self.busy.get(f"execs/{self.number}")["output"][0]["text"] == "at last"
        self.idle.end()
        self.busy.end()


def request_of(method, path, field, value):
    """A request in which this field has this value."""
    if method in ("GET", "RAW"):
        query = f"{path}{'&' if '?' in path else '?'}{field}={urllib.parse.quote(value)}"
        return query, b"eaten" if method == "RAW" else None
    rest = dict(REST.get(path, {}))
    if (path, field) == ("input", "base64"):
        rest = {}
    return path, {**rest, field: value}


@case("each field of each operation, out of its range or of another kind: 400 names the field and what it may be")
def _():
    w = Watched()
    count = 0
    for (method, path, field), values in BAD.items():
        for value, words in values:
            where, body = request_of(method, path, field, value)
            w.refused(method, where, body, 400, "invalid", field, words)
            count += 1
    assert count > 200, count
    w.unchanged()
    w.end()


@case("whole requests that are refused: unknown and missing fields, what excludes each other, too large, methods, types, numbers")
def _():
    w = Watched()
    for row in REQUESTS:
        w.refused(*row)
    w.unchanged()
    w.end()


@case("each operation on a session that does not exist: not_found, whatever else is right")
def _():
    w = Watched()
    for method, path, body in WELL_FORMED:
        headers = {"Content-Type": "application/octet-stream"} if method == "RAW" else None
        status, answer = w.idle.server.request("POST" if method == "RAW" else method, f"{UNKNOWN}/{path}", body, headers)
        assert status == 404 and answer["error"]["code"] == "not_found" and answer["error"]["field"] == "session_id", (method, path, status, answer)
    w.unchanged()
    w.end()


@case("a bad value in any form of answer is an error in JSON, not a stream")
def _():
    w = Watched()
    for accept in ("application/x-ndjson", "text/event-stream", "application/vnd.curfew.frames", "application/octet-stream"):
        for method, path, body in (("GET", "output?since=x", None), ("GET", "output?exec=99", None), ("POST", "exec", {"command": "", "stream": True}),
                                   ("GET", "execs/99", None)):
            status, headers, data = w.idle.server.request(method, f"{w.idle.path}/{path}", body, {"Accept": accept}, raw=True)
            assert status in (400, 404) and headers["Content-Type"] == "application/json" and b'"status":"error"' in data, (accept, path, status, data)
    w.unchanged()
    w.end()


@case("many bad requests at once, beside a good one that is not disturbed")
def _():
    w = Watched()
    asked = [harness.Later(w.refused, *row) for row in REQUESTS]
    for i in range(20):
        assert w.idle.run(f"echo {i}")["stdout"] == f"{i}\n"
    for one in asked:
        one.result()
    w.unchanged()
    w.end()


if __name__ == "__main__":
    run_cases()
