#!/usr/bin/env python3
"""SIGKILL at every named fault point of the source in turn, on one stack under load; at the end everything that was
acknowledged is checked by id. Needs configure --enable-fault-points."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
import faults  # noqa: E402
from faultrun import short  # noqa: E402
from tap import main  # noqa: E402

if __name__ == "__main__":
    main(*short([faults.at_point(p) for p in faults.points()]))
