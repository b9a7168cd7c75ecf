"""tap.py: the few lines of TAP (testanything.org) that the Python tests need.

    from tap import case, run, skip

    @case("S0.14: a session idle for exactly its timeout stays")
    def _():
        assert ...

    run()

A case passes when it returns, is skipped when it calls skip("what is missing"), and fails on any
exception, whose traceback becomes diagnostics.  run() prints the plan and exits 1 when a case failed.
Words on the command line choose cases: those whose title contains one of them.
"""
import os
import sys
import traceback

_cases = []


class Skip(Exception):
    """Raised by skip()."""


def skip(reason):
    raise Skip(reason)


def case(title):
    def add(function):
        _cases.append((title, function))
        return function
    return add


def build():
    """The folder of the built programs."""
    here = os.path.dirname(os.path.abspath(__file__))
    return os.environ.get("CURFEW_BUILD") or os.path.join(os.path.dirname(os.path.dirname(here)), "build")


def _one_line(text):
    return " ".join(str(text).split()).replace("#", r"\#")


def _attempt(number, title, function):
    try:
        function()
    except Skip as reason:
        print(f"ok {number} - {_one_line(title)} # SKIP {_one_line(reason)}", flush=True)
        return True
    except KeyboardInterrupt:
        raise
    except BaseException:                       # a SystemExit in a case is a failure as well
        print(f"not ok {number} - {_one_line(title)}")
        for line in traceback.format_exc().splitlines():
            print(f"# {line}")
        sys.stdout.flush()
        return False
    print(f"ok {number} - {_one_line(title)}", flush=True)
    return True


def run(cleanup=None):
    """Runs the cases in order, then `cleanup`, and exits."""
    chosen = [c for c in _cases if not sys.argv[1:] or any(word in c[0] for word in sys.argv[1:])]
    print(f"1..{len(chosen)}", flush=True)
    failed = 0
    try:
        for number, (title, function) in enumerate(chosen, 1):
            failed += not _attempt(number, title, function)
    finally:
        if cleanup:
            cleanup()
    sys.exit(1 if failed else 0)
