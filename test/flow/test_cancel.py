#!/usr/bin/env python3
"""Commands that are cancelled just when they begin: the interrupt may come before the shell has read what to run, or
while it does.
budget: 120
"""
import harness
from sessions import Session, run_cases
from tap import case

SESSIONS, ROUNDS = 6, 60
# What is unmistakable when it runs although it was cancelled, or when the next command gets a piece of it.
COMMANDS = ["while :; do :; done", "sleep 50", "yes late", "(trap '' INT; sleep 50)", "true",
            "sleep 50; : " + "x y " * 900]
CHANNELS = "1\n"                        # of its output, the other one is grep's


def cancel_each(session):
    for number in range(1, ROUNDS):
        command = COMMANDS[number % len(COMMANDS)]
        record = session.cancel(session.detach(command))
        assert record["state"] == "ended" and (record["cancelled"] or command == "true"), (command, record)
        # Its input is empty, and nothing of the driver is open to what it starts.
        got = session.run(f"cat; ls -l /proc/self/fd | grep -c sessions/; echo ok{number}", timeout=20)
        clean = (got["stdout"], got["stderr"], got["exit_code"]) == (CHANNELS + f"ok{number}\n", "", 0)
        assert clean, (command[:100], record, str(got)[:500])


@case("what is cancelled at once does not run later, and the next command is itself")
def _():
    sessions = [Session() for _ in range(SESSIONS)]
    for asked in [harness.Later(cancel_each, session) for session in sessions]:
        asked.result(100)
    for session in sessions:
        session.end()


run_cases()
