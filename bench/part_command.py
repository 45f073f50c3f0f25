"""A program in Python that echoes (conf/examples/echo.py): items a second through one process of it, beside the same lines on bare pipes."""
import os

from service import ROOT
from turns import PYTHON, in_turns, program, row, runs

ECHO = os.path.join(ROOT, "conf", "examples", "echo.py")
CONF = f"[command py.echo]\nprogram = {PYTHON} '{ECHO}'\n"
ENOUGH = 20000
WIDTH = 64


def run(s, quick):
    count = 20000 if quick else 100000

    def ours():
        task = s.run("async-batch", handler="py.echo", items_count=count, batch_size=WIDTH)
        return count / (task["measured"]["wall_ms"] / 1e3)
    ours()  # it is kept warm
    rates, pipes = in_turns(runs(quick), ours, lambda: float(program("command", os.path.dirname(ECHO), "pipes", WIDTH, count)[0]))
    yield row(f"items of a command (Python, echo), one process, {WIDTH} in hand", rates, "/s", ENOUGH, least=1, of=f"of {ENOUGH:,}/s")
    yield row("  the same", rates, "/s", pipes, of="of the same lines on bare pipes")
