#!/usr/bin/env python3
"""The fault suite's ledger finds what is wrong: tasks of each kind are run, then the database is tampered with."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import ledger  # noqa: E402
from load import MIX, Load  # noqa: E402
from pgwire import Pg, PgError  # noqa: E402
from proc import wait_until  # noqa: E402
from tap import main  # noqa: E402
from web import Web  # noqa: E402

ONE = "(select task from results where seq = 0 order by task limit 1)"  # of several units
SMALL = "(select id from tasks where result is not null order by id limit 1)"  # of one


class Ledger:
    """A stack on which some tasks were acknowledged and finished."""

    def __enter__(self):
        self.web = Web()
        self.web.__enter__()
        self.db = Pg(self.web.pg.sockets).open()
        self.load = Load(self.web, rate=100, senders=4).start()
        wait_until("tasks of every kind are acknowledged", lambda: {a.kind for a in list(self.load.acked.values())} >= set(MIX))
        self.load.stop()
        ledger.settled(self.db, 60)
        return self

    def __exit__(self, *error):
        self.db.close()
        return self.web.__exit__(*error)

    def tails(self):
        return self.web.tails()

    def finds(self, sql, what):
        """With the database as the statement leaves it."""
        self.db.query("create table was as table results; create table were as table tasks")
        try:
            self.db.query("alter table tasks disable trigger user; " + sql)
            found = ledger.check(self.db, self.web, self.load)
        finally:
            self.db.query("delete from results; insert into results table was; drop table was;"
                          "delete from tasks; insert into tasks table were; drop table were; delete from work; delete from leases")
        assert any(what in text for text in found.all()), f"{what!r} is not in {found.all()}"
        return found


def t01_nothing(l):
    "nothing is wrong: nothing is found"
    found = ledger.check(l.db, l.web, l.load)
    assert not found.all(), found.all()
    assert found.finished == len(l.load.acked) > 3 and not l.load.wrong and not found.unsure


def t02_lost(l):
    "a result, a task or some lines that are gone are lost"
    assert l.finds(f"delete from results where task = {ONE} and seq = 0", "lines of").lost
    assert l.finds(f"delete from tasks where id = {ONE}; delete from results where task not in (select id from tasks)", "is not in the database").lost
    assert l.finds(f"update results set bytes = convert_to(regexp_replace(convert_from(bytes, 'UTF8'), '^[^\\n]*\\n', ''), 'UTF8')"
                   f" where task = {ONE} and seq = 0", "lines of").lost
    assert l.finds(f"update tasks set result = null where id = {SMALL}", "lines of").lost


def t03_doubled(l):
    "a line that is there twice is doubled"
    assert l.finds(f"update results set bytes = bytes || bytes where task = {ONE} and seq = 0", "lines for").doubled
    assert l.finds(f"update tasks set result = result || result where id = {SMALL}", "lines for").doubled
    key = "(select tags from tasks where tags like '%once-%' limit 1)"
    assert l.finds(f"update tasks set tags = {key} where tags like '%once-%' or id = {ONE}", "of the unique key").doubled


def t04_states(l):
    "a task that did not succeed, counts that do not add up, a unit in two places, times that cannot be"
    l.finds(f"update tasks set state = 'failed' where id = {ONE}", "should have succeeded")
    l.finds(f"update tasks set items_failed = 1 where id = {ONE}", "1 failed, 0 lines")
    l.finds(f"insert into work (task, rank, seq, first, count, kib, attempt, queue) select {ONE}, now(), 0, 0, 1, 0, 1, 'none'", "in two places")
    last = max(l.load.after)
    l.finds(f"update tasks set started_at = created_at - interval '1 second' where id = '{last}'", "which it depends on")
    l.finds(f"update tasks set started_at = finished_at + interval '1 hour' where id = {ONE}", "started")


def t05_content(l):
    "a result that is not what its input was"
    id = min(id for id, ack in l.load.acked.items() if ack.kind == "units")
    l.finds(f"update results set bytes = convert_to(replace(convert_from(bytes, 'UTF8'), 'text', 'next'), 'UTF8') where task = '{id}'",
            "not its inputs")


def t06_own(l):
    "a task of a fault's own, of whose items more or fewer fail than are to, or that is gone"
    id, ack = next((id, ack) for id, ack in l.load.acked.items() if ack.kind == "single")
    del l.load.acked[id]
    l.load.own[id] = 0
    assert not ledger.check(l.db, l.web, l.load).all()
    l.finds(f"delete from tasks where id = '{id}'", "which a fault sent")
    l.load.own[id] = 1
    assert any("0 failed, 0 lines of failures" in text for text in ledger.check(l.db, l.web, l.load).all())
    del l.load.own[id]
    l.load.acked[id] = ack


def t07_connection(l):
    "the suite's own client of PostgreSQL: nulls, errors, a connection that is ended"
    assert l.db.query("select null, 'ü', 7; select 'x'") == [("x",)]
    assert l.db.query("select null, 'ü', 7") == [(None, "ü", "7")]
    try:
        l.db.query("select * from nothing_of_this_name")
        raise AssertionError("no error")
    except PgError as e:
        assert e.code == "42P01", e
    l.web.allow("nothing_of_this_name|terminating connection")
    other = Pg(l.web.pg.sockets).open()
    l.db.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'fault-suite' and pid <> pg_backend_pid()")
    try:
        other.query("select 1")
        raise AssertionError("no error")
    except OSError:
        assert other.one("select 2") == "2"
    other.close()


if __name__ == "__main__":
    main(globals(), Ledger)
