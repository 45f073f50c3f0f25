"""What the parts of bench/handlers share: figures taken in turns, peers in Python, and the rows that come of them."""
import os
import subprocess

from service import BUILD, Row

CORES = len(os.sched_getaffinity(0))
HERE = os.path.dirname(os.path.realpath(__file__))
PYTHON = "/usr/bin/python3"  # the one that has Debian's modules
DIGITS = {"s": 2, "ms": 1}


def runs(quick):
    return 1 if quick else 3


def in_turns(count, *makes):
    """The figures of each of `makes`, `count` of them: one after the other and again, for the machine's speed drifts."""
    got = [[] for _ in makes]
    for _ in range(count):
        for figures, make in zip(got, makes):
            figures.append(make())
    return got


def median(figures):
    return sorted(figures)[len(figures) // 2]


def spread(figures, digits=2):
    """From the least to the most; nothing where there is one alone."""
    return f"{min(figures):.{digits}f} to {max(figures):.{digits}f}" if len(figures) > 1 else ""


def shown(figure, unit):
    return f"{figure:,.{DIGITS.get(unit, 0)}f} {unit}"


def row(what, figures, unit, limits=None, most=None, least=None, of=""):
    """The turn whose ratio is the median, and how far the ratios lie apart. `limits`: a figure for each turn, or one for all; None, or
    None in it: a peer that is not there, and nothing is asked. `most`, `least`: what the ratio may be; `of`: of what."""
    if limits is None or isinstance(limits, list) and None in limits:
        return Row(what, shown(median(figures), unit), "not installed" if limits else "", spread=spread(figures, DIGITS.get(unit, 0)))
    limits = limits if isinstance(limits, list) else [limits] * len(figures)
    ratio, figure, limit = median([(f / m, f, m) for f, m in zip(figures, limits)])
    reach = " ".join(word for word in (f"<= {most:.2f}" if most else f">= {least:.2f}" if least else "", of) if word)
    good = ratio <= most if most else ratio >= least if least else None
    return Row(what, shown(figure, unit), shown(limit, unit), ratio, reach, good, spread([f / m for f, m in zip(figures, limits)]))


def program(name, *args):
    """The words that a program of bench/ prints."""
    p = subprocess.run([os.path.join(BUILD, "bench", name), *map(str, args)], capture_output=True, text=True, timeout=600, cwd=os.path.dirname(HERE))
    if p.returncode:
        raise AssertionError(p.stderr)
    return p.stdout.split()


def peer(script, *args, stdin=None):
    """The figure that a peer (peers/SCRIPT.py) prints; None: what it needs is not installed."""
    p = subprocess.run([PYTHON, os.path.join(HERE, "peers", script + ".py"), *map(str, args)], stdin=stdin, capture_output=True,
                       text=True, timeout=600)
    if p.returncode and "ModuleNotFoundError" in p.stderr:
        return None
    if p.returncode:
        raise AssertionError(p.stderr)
    return float(p.stdout)
