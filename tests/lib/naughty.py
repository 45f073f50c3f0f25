"""A command for the tests: does what the input says, and answers what was asked together in reverse order."""
import json
import os
import signal
import sys
import time


def write(text):
    data = text.encode()
    while data:
        data = data[os.write(1, data):]


def crash_once(item):
    try:
        os.close(os.open(item["path"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGSEGV)


def hang():
    """And so does a child of it; both are deaf to a polite word."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.fork()
    print("hangs", file=sys.stderr, flush=True)
    while True:
        time.sleep(1000)


def mute():
    """No more answers, and no end."""
    os.close(1)
    while True:
        time.sleep(1000)


def late(said, item):
    write(json.dumps(said) + "\n")
    print("late", file=sys.stderr, flush=True)
    os.close(os.open(item["path"], os.O_CREAT))


def last_words():
    os.write(2, b"farewell\nwithout an end")
    os.kill(os.getpid(), signal.SIGSEGV)


def flood(mine):
    while True:
        write('{"id":%d,"result":0}\n' % (mine + 1000000))


def answer(line):
    asked = json.loads(line)
    item, mine = asked.get("input"), asked["id"]
    do = item.get("do") if isinstance(item, dict) else None
    said = {"id": mine, "result": item if "input" in asked else asked["index"]}
    if do == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif do == "exit":
        sys.exit(3)
    elif do == "last_words":
        last_words()
    elif do == "crash_once":
        crash_once(item)
    elif do == "hang":
        hang()
    elif do == "mute":
        mute()
    elif do == "late":
        return late(said, item)
    elif do == "flood":
        flood(mine)
    elif do == "junk":
        return "this is no JSON"
    elif do == "list":
        return "[1]"
    elif do == "long":
        write("x" * (3 << 20))
    elif do == "large":
        said["result"] = "x" * (1 << 20)
    elif do == "error":
        said = {"id": mine, "error": "it did not work"}
    elif do == "final":
        said = {"id": mine, "error": "it never will", "retry": False}
    elif do == "type":
        said = {"id": mine, "error": 7}
    elif do == "say":
        print("aloud", file=sys.stderr, flush=True)
        write(json.dumps({"id": mine, "log": "by the line"}) + "\n" + json.dumps({"id": mine, "progress": 0.5}) + "\n")
    elif do == "id":
        said["result"] = mine
    elif do == "turn":
        said["result"] = {"n": item["n"], "turn": "@turn"}
    elif do == "pid":
        said["result"] = os.getpid()
    elif do == "params":
        said["result"] = asked["params"]
    elif do == "secret":
        said["result"] = sorted(v for v in os.environ if v.startswith(("LATHE", "PG")))
    return json.dumps(said, separators=(",", ":"))


def backwards(answers):
    """Last first; whoever wants to know is told when its turn was."""
    global turn
    text = ""
    for a in reversed(answers):
        turn += 1
        text += a.replace('"@turn"', str(turn)) + "\n" if a else ""
    write(text)


rest, turn = b"", 0
while block := os.read(0, 1 << 18):
    *lines, rest = (rest + block).split(b"\n")
    answers = []
    for line in lines:
        if b'"hang"' in line:  # whoever came before is not to wait with it
            write("".join(a + "\n" for a in answers))
            answers = []
        answers.append(answer(line))
    backwards(answers)
