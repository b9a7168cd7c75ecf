#!/usr/bin/env python3
"""What is on record, black-box: history and audit, over restarts, kills and bad disks.

budget: 240
"""
import contextlib
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time

import harness
from harness import Server, wait_for
from tap import case, run, skip


@contextlib.contextmanager
def folder():
    """A folder that servers share, one after another."""
    path = tempfile.mkdtemp(prefix="cf.")
    os.chmod(path, 0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def database(s):
    return s.settings.get("ledger_file") or os.path.join(s.state, "ledger.db")


def history(s, **query):
    return s.ok("GET", "/v1/history" + words(query))["sessions"]


def audit(s, **query):
    return s.ok("GET", "/v1/audit" + words(query))["entries"]


def words(query):
    return "?" + "&".join(f"{k}={v}" for k, v in query.items()) if query else ""


def ledger(s):
    return s.stats()["ledger"]


def counter(s, name):
    return s.stats()["counters"]["ledger_" + name]


def written(s, seconds=20):
    """Waits until all that was recorded so far is in the database."""
    wait_for(lambda: ledger(s)["queued"] == 0, "nothing waits for the ledger", seconds)


def ended(s, workspace="w", **fields):
    """Makes a session and ends it; its tombstone."""
    made = s.create(workspace=workspace, **fields)["session_id"]
    return s.end(made)


@case("an ended session is in history with all that its tombstone says, but for the last output")
def _():
    with Server(grace=0) as s:
        made = s.create(workspace="demo")["session_id"]
        s.exec(made, "echo last words; exit_code=3")
        tomb = s.end(made)
        written(s)
        got = history(s)
        assert len(got) == 1 and got[0].pop("number") > 0, got
        assert tomb.pop("last_output").endswith("last words\n")
        assert got[0] == tomb, (got, tomb)


if __name__ == "__main__":
    run()
