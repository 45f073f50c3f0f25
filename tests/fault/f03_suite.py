#!/usr/bin/env python3
"""The short form of the fault suite (`make fault` is the long one): some of its faults, one after another on one stack under
load. Each has to be recovered from; at the end everything that was acknowledged is checked by id."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
import faults  # noqa: E402
from faultrun import short  # noqa: E402
from tap import main  # noqa: E402

if __name__ == "__main__":
    main(*short([f for f in faults.ALL if f.short]))
