"""bench/run: see there. Each part is a module with `run(service, quick)` that yields rows."""
import importlib
import os
import platform
import sys
import time

import service

PARTS = ["shapes", "cpu", "predict", "http", "cost", "store", "drain", "limits", "idle"]


def machine():
    with open("/proc/cpuinfo") as f:
        model = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), "unknown processor")
    return f"{os.cpu_count()} cores ({model}), Linux {platform.release()}"


def main(program, parts):
    args = sys.argv[1:]
    quick = "--quick" in args
    wanted = [a for a in args if not a.startswith("-")] or parts
    for a in wanted:
        if a not in parts:
            raise SystemExit(f"{program} has no part {a}; it has: {' '.join(parts)}")
    print(f"{time.strftime('%Y-%m-%d')}, {machine()}{', quick' if quick else ''}\n", flush=True)
    print(f"{'what':<58} {'measured':>16} {'limit or peer':>16} {'ratio':>7} {'spread':>16}           to reach")
    missed = 0
    for part in wanted:
        module = importlib.import_module(f"part_{part}")
        with service.Service(getattr(module, "WORKER_ENV", None), getattr(module, "CONF", "")) as s:
            for row in module.run(s, quick):
                print(row, flush=True)
                missed += row.good is False
    print(f"\n{missed} missed" if missed else "\nall reached")


if __name__ == "__main__":
    main("bench/run", PARTS)
