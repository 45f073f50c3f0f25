#!/usr/bin/env python3
"""The fault suite: `make fault`. A row a fault, as it happens; ends with 1 if a row breaks its promise.

    tests/fault/suite.py [--minutes N] [--rate N] [--markdown] [--list] [WORD…]     only faults whose names hold a word

`--rate`: tasks a second that are offered, of a mix of which two cores can do some 160. docs/testing.md says how to read it.
"""
import argparse
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
import faults  # noqa: E402
import servers  # noqa: E402
from faultrun import HEAD, Row, Run  # noqa: E402
from tap import Skip  # noqa: E402

WIDTHS = (30, 6, 8, 5, 7, 7, 6, 9, 9, 6, 12, 7)


def line(cells, markdown, note):
    if markdown:
        cells = [*cells, note]
        return "| " + " | ".join(cells) + " |"
    return "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, WIDTHS)))


def run(fault, rate):
    row = Row(fault.name)
    try:
        with Run(fault, rate) as r:
            row = r.row
            r.strike()
    except Skip as e:
        row.note.append(f"skipped: {e}")
    except Exception as e:  # the next ones go on
        row.problems.append(f"{type(e).__name__}: {e}")
    return row


def chosen(words):
    found = faults.ALL + [faults.at_point(p) for p in faults.points()]
    return [f for f in found if not words or any(w in f.name for w in words)]


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("--minutes", type=float, default=20)
    p.add_argument("--rate", type=float, default=100)
    p.add_argument("--markdown", action="store_true")
    p.add_argument("--list", action="store_true")
    p.add_argument("words", nargs="*")
    a = p.parse_args()
    todo = chosen(a.words)
    if a.list:
        print("\n".join(f"{f.name:32}{f.what}" for f in todo))
        return 0
    if not faults.has_points(servers.lathe_program()):
        print("This program has no fault points, so nothing is killed at one: configure --enable-fault-points, or make fault")
        todo = [f for f in todo if not f.point]
    begin, bad = time.monotonic(), 0
    print(line(HEAD, a.markdown, "what was done"))
    if a.markdown:
        print("|---" + "|---:" * (len(HEAD) - 1) + "|---|")
    for fault in todo:
        if time.monotonic() - begin > a.minutes * 60:
            print(f"{fault.name}: not run, {a.minutes:.0f} minutes are over")
            bad += 1
            continue
        row = run(fault, a.rate)
        bad += bool(row.problems)
        notes = [fault.what, *row.note]
        print(line(row.cells(), a.markdown, ". ".join(notes)), flush=True)
        for text in notes * (not a.markdown):
            print("    " + text)
        for text in row.problems:
            print("    BROKEN: " + text.replace("\n", "\n      "), flush=True)
    print(f"{len(todo)} faults, {bad} broke a promise, {time.monotonic() - begin:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
