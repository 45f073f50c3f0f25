#!/usr/bin/env python3
"""Plug-ins as their authors have them: built against the installed header, put into a folder, run under every strategy; a faulty one
harms nobody but its own items; what does not fit is refused before anything of it is called."""
import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
sys.dont_write_bytecode = True
from proc import BUILD, ROOT  # noqa: E402
from stack import Stack  # noqa: E402
from tap import comment, main  # noqa: E402
from web import Web  # noqa: E402

CC = shlex.split(os.environ.get("CC", "cc"))
STRATEGIES = ["sequential", "threading", "multiprocessing", "async-batch", "concurrent-futures", "hybrid", "auto"]
TEMPLATE = """
#include <lathe/handler.h>
static enum lathe_step step(struct lathe_item *it) { lathe_print(it, "1"); return LATHE_DONE; }
static const struct lathe_handler handlers[] = {{"%s", "answers", NULL, NULL, 0, 0, 0, 0, 0, step, NULL}};
%s
"""


def run(*args, **more):
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "CPPFLAGS")}
    env.update(more.pop("env", {}))
    p = subprocess.run(args, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, timeout=300, **more)
    assert p.returncode == 0, f"{args}: {p.returncode}\n{p.stdout}"
    return p.stdout.strip()


class Installed:
    """What `make install` leaves of all that a plug-in needs, and what pkg-config says of it."""

    def __init__(self, base):
        self.base, self.dest = base, os.path.join(base, "dest")
        run("make", "-C", BUILD, "-s", "install", f"DESTDIR={self.dest}")
        found = [f for d, _, names in os.walk(self.dest) for f in (os.path.join(d, n) for n in names) if f.endswith("lathe.pc")]
        assert len(found) == 1, found
        self.env = {"PKG_CONFIG_SYSROOT_DIR": self.dest, "PKG_CONFIG_LIBDIR": os.path.dirname(found[0])}
        self.cflags = shlex.split(self.config("--cflags"))

    def tails(self):
        return ""

    def config(self, *args):
        return run("pkg-config", *args, "lathe", env=self.env)

    def folder(self, name):
        path = os.path.join(self.base, name)
        os.makedirs(path, exist_ok=True)
        return path

    def compile(self, to, source, *flags, compiler=CC):
        run(*compiler, "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", *self.cflags, *flags, "-o", to, source)
        os.chmod(to, 0o755)

    def one(self, folder, name, text="LATHE_PLUGIN(handlers);", handler="mine.one"):
        source = os.path.join(self.base, name + ".c")
        with open(source, "w", encoding="utf-8") as f:
            f.write(TEMPLATE % (handler, text))
        self.compile(os.path.join(folder, name + ".so"), source, "-Wno-unused-const-variable", "-Wno-unused-function")

    def example(self):
        """Built by its own Makefile in a copy, as its author would."""
        copy = os.path.join(self.base, "example")
        if not os.path.isdir(copy):
            places = [d for d, _, names in os.walk(self.dest) if "example.c" in names]
            assert len(places) == 1, places
            shutil.copytree(places[0], copy)
            for d, _, names in os.walk(copy):
                for path in [d] + [os.path.join(d, n) for n in names]:
                    os.chmod(path, 0o755)
            run("make", "-C", copy, f"CC={' '.join(CC)}", "CFLAGS=-O2 -Wall -Wextra -Werror", env=self.env)
        folder = self.folder("good")
        shutil.copy(os.path.join(copy, "example.so"), folder)
        return folder


@contextlib.contextmanager
def installed():
    with tempfile.TemporaryDirectory(prefix="lathe-plugin-") as base:
        yield Installed(base)


def listed(s, folder):
    return json.loads(s.lathe_run("handlers", "--json", f"--handlers.dir={folder}").stdout)


def submit(w, strategy, handler, **work):
    """The task's document when it is over."""
    status, _, task = w.call("POST", f"/api/v1/tasks/{strategy}", {"handler": handler, **work})
    assert status == 200, (strategy, handler, status, task)
    return task


def t01_header(i):
    "the header is C99 and C++, and says its version with pkg-config"
    text = os.path.join(i.base, "both.c")
    with open(text, "w", encoding="utf-8") as f:
        f.write(TEMPLATE % ("mine.one", "LATHE_PLUGIN(handlers);"))
    i.compile(os.path.join(i.base, "c.so"), text, "-std=c99", "-pedantic", "-Wconversion", "-Wundef", "-Wmissing-declarations")
    header = run("grep", "-E", "^#define LATHE_ABI ", os.path.join(ROOT, "include", "lathe", "handler.h"))
    assert header == f"#define LATHE_ABI {i.config('--variable=abi')}u", header
    assert i.config("--variable=handlersdir").endswith("/handlers.d"), i.config("--variable=handlersdir")
    assert i.config("--libs") == "", "nothing is linked"
    if not shutil.which("c++"):
        comment("no C++ compiler: not looked at from C++")
        return
    i.compile(os.path.join(i.base, "cc.so"), text, "-x", "c++", "-std=c++11", "-pedantic", compiler=["c++"])


def t02_example(i):
    "the example, built by its own Makefile, is listed with its params and runs under every strategy"
    folder = i.example()
    with Web(handlers_dir=folder) as w:
        names = {h["name"]: h for h in w.call("GET", "/api/v1/handlers")[2]["handlers"]}
        assert names["example.greet"]["params"]["properties"]["language"]["enum"] == ["english", "french", "german"]
        assert not names["example.greet"]["process_only"]
        for strategy in STRATEGIES:
            task = submit(w, strategy, "example.primes", items=[10, 100, 1000, "many"])
            assert [r["result"]["primes"] for r in task["results"][:3]] == [4, 25, 168], (strategy, task)
            assert "an integer from 0 to" in json.dumps(task["results"][3]["error"]), (strategy, task)
            params = {"pause_ms": 1, "language": "german", "who": "J\u00fcrgen"}
            task = submit(w, strategy, "example.greet", items_count=3, params=params)
            assert [r["result"] for r in task["results"]] == [{"hello": "Guten Tag", "who": "J\u00fcrgen"}] * 3, (strategy, task)
        status, _, problem = w.call("POST", "/api/v1/tasks/hybrid", {"handler": "example.greet", "params": {"pause_ms": -1}})
        assert status == 422 and "/params/pause_ms" in json.dumps(problem), (status, problem)
        lines = w.call("GET", f"/api/v1/tasks/{task['id']}/log")[2]
        assert "said hello after 4 pauses" in json.dumps(lines), lines


def write(i, name, value):
    path = os.path.join(i.base, name)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f)
    return path


def pids(task):
    return {r["result"]["pid"] for r in task["results"] if "result" in r and r["result"]}


def t03_faulty(i):
    "a faulty plug-in fails its item and no other, under every strategy; the worker lives"
    folder = i.folder("faulty")
    i.compile(os.path.join(folder, "faulty.so"), os.path.join(ROOT, "tests", "plugins", "faulty.c"))
    ends = {"segfault": "item-crashed", "wild": "item-crashed", "leave": "item-crashed", "leak": "item-crashed", "hang": "item-timeout"}
    with Web(handlers_dir=folder, worker_child_memory="128M") as w:
        # A sanitizer sees the segfault and the wild write, in the children that are to die of them, and the end of their memory.
        w.allow(r"ERROR: Failed to mmap|AddressSanitizer: (SEGV|BUS|DEADLYSIGNAL|heap-buffer-overflow) (on|/|faulty)|AddressSanitizer: .*(faulty\.c|__interceptor_memset)")
        worker = w.worker.popen.pid
        assert {h["name"]: h["process_only"] for h in w.call("GET", "/api/v1/handlers")[2]["handlers"]}["faulty.tell"]
        for strategy in STRATEGIES:
            task = submit(w, strategy, "faulty.tell", items_count=4)
            assert task["shape"]["processes"] >= 1 and worker not in pids(task), (strategy, task)
        task = submit(w, "threading", "faulty.tell", items_count=4, shape={"threads": 2})
        assert task["shape"]["processes"] == 1 and task["shape"]["threads"] == 2 and worker not in pids(task), task
        for fault, code in ends.items():
            for strategy in STRATEGIES if fault == "segfault" else ("sequential", "multiprocessing"):
                task = submit(w, strategy, f"faulty.{fault}", items_count=5, item_timeout_ms=1000 if fault == "hang" else 60000)
                assert [r["index"] for r in task["results"]] == list(range(5)), (strategy, fault, task)
                failed = [r for r in task["results"] if r.get("error")]
                assert [r["index"] for r in failed] == [1] and code in json.dumps(failed[0]), (strategy, fault, task)
                assert worker not in pids(task), (strategy, fault, task)
        # One that may be run in the worker is safe where the caller asks for children.
        task = submit(w, "multiprocessing", "free.segfault", items_count=5)
        assert task["items"]["failed"] == 1 and worker not in pids(task), task
        assert w.worker.running() and w.worker.popen.pid == worker
        assert submit(w, "sequential", "echo", items_count=3)["state"] == "succeeded"


REFUSED = {  # name: what stands for LATHE_PLUGIN(handlers), and what is said of it
    "magic": ("const struct lathe_plugin lathe_plugin = {1, LATHE_ABI, 0, 0, 0, 0, 0, 1, handlers};", "LATHE_MAGIC"),
    "abi": ("const struct lathe_plugin lathe_plugin = {LATHE_MAGIC, LATHE_ABI + 1, 0, 0, 0, 0, 0, 1, handlers};", "for ABI 2"),
    "size": ("const struct lathe_plugin lathe_plugin = {LATHE_MAGIC, LATHE_ABI, 4000, 80, 80, 56, 112, 1, handlers};", "newer lathe/handler.h"),
    "symbol": ("", "does not export lathe_plugin"),
    "undefined": ("extern int nobody(void); int use(void); int use(void) { return nobody(); } LATHE_PLUGIN(handlers);", "nobody"),
}


def refused(s, folder, *words):
    for command in (["handlers"], ["worker"], ["api"], ["serve"]):
        p = s.lathe_run(*command, f"--handlers.dir={folder}", check=False)
        assert p.returncode == 78, (command, p)
        for word in words:
            assert word in p.stderr, (command, word, p.stderr)


def t04_refused(i):
    "what does not fit is refused by name and reason, and nothing starts"
    with Stack() as s:
        for name, (text, why) in REFUSED.items():
            folder = i.folder("bad-" + name)
            i.one(folder, name, text)
            refused(s, folder, name + ".so", why)
        folder = i.folder("bad-text")
        with open(os.path.join(folder, "text.so"), "w", encoding="utf-8") as f:
            f.write("no object\n")
        refused(s, folder, "text.so")
        folder = i.folder("bad-small")
        source = write(i, "small.c", 0)
        with open(source, "w", encoding="utf-8") as f:
            f.write("const int lathe_plugin = 0x4854414c;\n")
        run(*CC, "-shared", "-fPIC", "-o", os.path.join(folder, "small.so"), source)
        refused(s, folder, "small.so", "too small")
        folder = i.folder("bad-code")
        with open(source, "w", encoding="utf-8") as f:
            f.write("#include <stdlib.h>\nvoid lathe_plugin(void); void lathe_plugin(void) { abort(); }\n")
        run(*CC, "-shared", "-fPIC", "-o", os.path.join(folder, "code.so"), source)
        refused(s, folder, "code.so", "no constant")


def t05_clash(i):
    "a name is had once: not that of a built-in, not that of another plug-in; the first of them in the order of names has it"
    with Stack() as s:
        folder = i.folder("clash-built-in")
        i.one(folder, "clash", handler="sleep")
        refused(s, folder, "clash.so", 'a handler "sleep" already')
        folder = i.folder("clash-other")
        i.one(folder, "a")
        assert "mine.one" in {h["name"] for h in listed(s, folder)}
        i.one(folder, "b")
        refused(s, folder, "b.so", 'a handler "mine.one" already')


def t06_trust(i):
    "code of others is not loaded: files and folders that everybody may write, or that belong to somebody else"
    folder = i.folder("open")
    i.one(folder, "open")
    path = os.path.join(folder, "open.so")
    with Stack() as s:
        os.chmod(path, 0o757)
        refused(s, folder, "open.so", "written by everybody")
        os.chmod(path, 0o775)
        if os.geteuid() == 0:
            os.chown(path, -1, 12345)
        if os.stat(path).st_gid != 0:
            refused(s, folder, "open.so", "written by group")
        os.chmod(path, 0o755)
        assert "mine.one" in {h["name"] for h in listed(s, folder)}
        os.chmod(folder, 0o777)
        refused(s, folder, folder, "written by everybody")
        os.chmod(folder, 0o755)
        os.mkdir(os.path.join(folder, "dir.so"))
        refused(s, folder, "dir.so", "is no file")
        os.rmdir(os.path.join(folder, "dir.so"))
        shutil.copy(path, os.path.join(folder, ".hidden.so"))  # as a package manager leaves them half-way
        shutil.copy(path, os.path.join(folder, "open.so.bak"))
        assert "mine.one" in {h["name"] for h in listed(s, folder)}
        if os.geteuid() != 0:
            return
        os.chown(path, 65534, 65534)
        refused(s, folder, "open.so", "belongs to user 65534")
        os.chown(path, 0, 0)
        os.chown(folder, 65534, 65534)
        refused(s, folder, "belongs to user 65534")
        os.chown(folder, 0, 0)


def t07_folder(i):
    "a folder that is named has to be there; that of the installation need not; what needs no handlers starts without"
    with Stack() as s:
        gone = os.path.join(i.base, "gone")
        refused(s, gone, gone)
        s.lathe_run("handlers", "--handlers.dir=")
        s.lathe_run("settings", f"--handlers.dir={gone}")
        s.lathe_run("strategies", f"--handlers.dir={gone}")
        assert re.search(r"example\.greet: .*\n", s.lathe_run("handlers", f"--handlers.dir={i.example()}").stdout)


if __name__ == "__main__":
    main(globals(), setup=installed)
