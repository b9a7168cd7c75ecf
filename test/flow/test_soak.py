#!/usr/bin/env python3
"""A short soak; see soak.py for the long one.
budget: 240
"""
import harness
import soak
import soak_pipe
import soak_terminal
from tap import case, run

SECONDS, SESSIONS, SEED = 20, 30, 20261120
once = []


def result():
    if not once:
        once.append(soak.Soak(SECONDS, SESSIONS, SEED, say=lambda text: print("# " + text, flush=True)).go())
        print("# " + once[0].summary(), flush=True)
    return once[0]


def soak_tables():
    return soak_pipe.OPERATIONS + soak_terminal.OPERATIONS


def same(part):
    def check():
        done = result()
        assert not done.errors, "what should have been left is not known"
        assert not done.after.difference(done.before, part), done.after.difference(done.before, part)
    return check


@case(f"{SESSIONS} clients do what clients do for {SECONDS} s, and every answer is as it should be")
def _():
    done = result()
    assert not done.errors, "\n".join(done.errors)
    assert not done.left, done.left
    missing = [row[1].__name__ for row in soak_tables() if not done.counts[row[1].__name__]]
    assert not missing, f"never done: {missing}"


for named in ("processes", "descriptors of the server", "descriptors of the keeper", "files", "cgroups"):
    case(f"afterwards there are the same {named} as before")(same(named))


@case("afterwards the server's memory is about what it was")
def _():
    done = result()
    assert not done.errors
    with open(f"{harness.build_dir()}/meson-info/intro-buildoptions.json", encoding="utf-8") as options:
        sanitized = '"name": "b_sanitize", "value": "none"' not in options.read()
    grown = done.after.memory_kb - done.before.memory_kb
    print(f"# {done.before.memory_kb} kB before, {done.after.memory_kb} kB after", flush=True)
    # A sanitizer keeps what is freed; it looks for leaks itself when the server stops.
    assert sanitized or grown < soak.MEMORY_GROWTH_KB, f"{grown} kB more"


run()
