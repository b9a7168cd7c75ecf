#!/usr/bin/env python3
"""What a bash expert expects: the rows of behaviours.py, in sessions without a terminal and with one.
budget: 240
"""
import re
import threading

import behaviours
import behaviours_hard  # noqa: F401 (adds its rows)
import harness
from behaviours import USABLE
from tap import case, run

THREADS = 4
server = {}


def the_server():
    if not server:
        server["one"] = harness.Server(exec_kill_grace="500ms", max_sessions=500, max_sessions_per_workspace=500, exec_timeout=60,
                                       env={"SECRET_OF_SERVER": "x"})
    return server["one"]


class Place:
    """Sessions of one kind, one after the other: the next case gets the same unless the last one spoiled it."""

    def __init__(self, where):
        self.where, self.id = where, None

    def take(self, fresh=False):
        if fresh:
            self.drop()
        if self.id is None:
            more = {"terminal": {"cols": 80, "rows": 24}} if self.where == "terminal" else {}
            self.id = the_server().create(workspace=f"b{threading.get_ident() % 1000003}", **more)["session_id"]
        return self.id

    def drop(self):
        if self.id is not None:
            the_server().request("DELETE", f"/v1/sessions/{self.id}?grace=0")
        self.id = None


def fits(want, got):
    if want is None:
        return True
    return bool(want.fullmatch(got)) if isinstance(want, re.Pattern) else want == got


def check_one(place, row):
    id = place.take(fresh=row.own)
    fields = dict(row.more)
    got = the_server().exec(id, row.command, **fields)
    shown = {k: got[k] if not isinstance(got[k], str) else got[k][:300] for k in ("stdout", "stderr", "exit_code", "timed_out", "session_state")}
    assert fits(row.out, got["stdout"]), ("stdout", shown)
    assert fits(row.err, got["stderr"]), ("stderr", shown)
    assert row.code is None or got["exit_code"] == row.code, ("exit_code", shown)
    assert got["timed_out"] == ("timeout" in row.more), shown
    if row.after != USABLE:
        assert got["session_state"] == row.after and got["shell_left"], shown
        harness.wait_for(lambda: the_server().request("GET", f"/v1/sessions/{id}")[0] == 410, "the session ends")
        place.id = None
        return
    assert got["session_state"] == "active" and not got["shell_left"], shown
    for step in row.then:
        command, out = step[:2]
        more = {"timeout": step[2]} if len(step) > 2 else {}
        then = the_server().exec(id, command, **more)
        assert fits(out, then["stdout"]), ("then", command, then)
    last = the_server().exec(id, "\\builtin echo usable; \\builtin echo err >&2")
    if row.own:
        place.drop()
    else:
        assert (last["stdout"], last["stderr"], last["exit_code"]) == ("usable\n", "err\n", 0), ("the next command", last)


def check_all(where):
    """{index: what is wrong} of the rows for such sessions, by some threads side by side."""
    rows = [(i, row) for i, row in enumerate(behaviours.CASES) if where in row.where]
    failures, lock = {}, threading.Lock()

    def work():
        place = Place(where)
        while True:
            with lock:
                if not rows:
                    break
                index, row = rows.pop(0)
            try:
                check_one(place, row)
            except Exception as error:      # the next row gets a session of its own
                failures[index] = f"{type(error).__name__}: {str(error)[:900]}"
                place.drop()
        place.drop()
    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


results = {}


def add(where, index, row):
    @case(f"{where}: {row.section}: {row.name}")
    def _():
        if where not in results:
            the_server()
            results[where] = check_all(where)
        assert index not in results[where], (row.command[:200], results[where][index])


for kind in ("pipe", "terminal"):
    for number, each in enumerate(behaviours.CASES):
        if kind in each.where:
            add(kind, number, each)


def cleanup():
    if server:
        server.pop("one").discard()


if __name__ == "__main__":
    run(cleanup)
