#!/usr/bin/env python3
"""The server killed at a chosen system call, two hundred times; kills.py says how, and runs more of them.
budget: 240
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "flow"))

import kills  # noqa: E402  (it lies in this folder)
from tap import case, run, skip  # noqa: E402  (in the folder of the others)

ROUNDS = 200


@case(f"{ROUNDS} kills of the server, during creates, commands, streams of output, input, cancels, ends and changes of settings: nothing is lost, done twice or left over")
def _():
    if not kills.may_trace():
        skip("strace cannot trace here")
    world = kills.rounds(1, ROUNDS)
    print(f"# {world}")
    assert world.called >= ROUNDS // 2, f"only {world.called} of {ROUNDS} met their system call"


if __name__ == "__main__":
    run()
