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
    world = kills.World()
    seed = 0
    try:
        for seed in range(1, ROUNDS + 1):
            world.round(seed)
        world.finish()
        assert world.called >= ROUNDS // 2, f"only {world.called} of {ROUNDS} met their system call"
        print(f"# {world.kills} kills, {world.called} of them at their system call, {world.never} commands never began")
    except BaseException:
        print(f"# failed at seed {seed}")
        world.server.tell_log()
        raise
    finally:
        world.server.discard()


if __name__ == "__main__":
    run()
