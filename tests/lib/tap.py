"""A test file in Python: functions t01_…, t02_… run in the order of their names, reported as TAP.

    from tap import main, skip
    def t01_answers():
        "the api answers"
        assert …
    if __name__ == "__main__":
        main(globals())

The docstring's first line is the test's name. An exception is a failure. What is missing on this machine is a skip
(stack.Missing, or skip("why")), and a failure where CHECK_STRICT=1: a green run must have tested something.
"""
import os
import sys
import traceback


class Skip(Exception):
    pass


def skip(why):
    raise Skip(why)


def strict():
    return os.environ.get("CHECK_STRICT", "0") not in ("", "0")


def say(text):
    print(text, flush=True)


def comment(text):
    for line in str(text).rstrip("\n").split("\n"):
        say("# " + line)


def main(names, setup=None):
    """Runs the tests of a module. `setup`, if given, is a context manager around all of them; its value is passed
    to each test, and what it raises on leaving is a test of its own."""
    tests = [names[n] for n in sorted(names) if n[0] == "t" and n[1:3].isdigit() and callable(names[n])]
    wanted = sys.argv[1:]
    if wanted:
        tests = [t for t in tests if any(w in t.__name__ for w in wanted)]
    total = len(tests) + (1 if setup else 0)
    failed = 0
    done = 0

    def report(name, run):
        nonlocal failed, done
        done += 1
        try:
            run()
            say(f"ok {done} - {name}")
        except Skip as e:
            failed += strict()
            say(f"not ok {done} - {name}: {e}, and CHECK_STRICT=1" if strict() else f"ok {done} - {name} # SKIP {e}")
        except Exception:
            failed += 1
            say(f"not ok {done} - {name}")
            comment(traceback.format_exc())

    if not setup:
        say(f"1..{total}")
        for t in tests:
            report((t.__doc__ or t.__name__).split("\n")[0], t)
        sys.exit(1 if failed else 0)

    manager = setup()
    try:
        value = manager.__enter__()
    except Skip as e:
        say(f"1..0 # SKIP {e}" if not strict() else f"Bail out! {e}, and CHECK_STRICT=1")
        sys.exit(1 if strict() else 0)
    say(f"1..{total}")
    try:
        for t in tests:
            report((t.__doc__ or t.__name__).split("\n")[0], lambda: t(value))
    finally:
        if failed:
            comment(value.tails())
        report("nothing in the logs and nothing left behind", lambda: manager.__exit__(None, None, None))
    sys.exit(1 if failed else 0)
