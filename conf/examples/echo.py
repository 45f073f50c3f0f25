#!/usr/bin/env python3
"""A command for Lathe in plain Python: gives back what it is given. docs/commands.md tells how lines look.

Lines are taken as they come and answered in blocks: what was asked together is answered together, and nothing is held back
while there is nothing more to read.

    [command py.echo]
    program = /usr/bin/python3 /usr/share/lathe/examples/echo.py
"""
import json
import os


def work(item):
    """What is done to one item. An exception fails it, and is its error."""
    return item["input"] if "input" in item else item["index"]


def answer(line):
    item = json.loads(line)
    try:
        said = {"id": item["id"], "result": work(item)}
    except Exception as error:  # noqa: BLE001 - whatever it is, the item is to know it
        said = {"id": item["id"], "error": f"{type(error).__name__}: {error}"}
    return json.dumps(said, separators=(",", ":"))


def main():
    rest = b""
    while block := os.read(0, 1 << 18):
        *lines, rest = (rest + block).split(b"\n")
        answers = "".join(answer(line) + "\n" for line in lines).encode()
        while answers:
            answers = answers[os.write(1, answers):]


main()
