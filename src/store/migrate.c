/* migrate.c: the schema. Each migration is one transaction that also takes the lock, looks again which is the next, and
 * records it: processes that migrate at once wait for each other and find nothing left to do. For a lock on a table it waits only
 * shortly, since everybody else waits behind it; then it lets the others go on, and tries again. */
#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "store/inside.h"
#include "store/migrations.h"
#include "store/rows.h"
#include "store/sqlstate.h"

#define TRIES 6
#define PAUSE_MS 500 /* before the second; each is twice as long as the one before */
#define MIGRATE_MS (10 * 60 * 1000)
#define MIGRATE_LOCK "7523458000"

static const struct stmt version_stmt = {"version",
                                         "SELECT coalesce(max(version), 0)::bigint FROM schema_migrations"};

static const struct stmt applied_stmt = {
    "applied", "SELECT version::bigint, name, checksum = encode(sha256(convert_to($2, 'UTF8')), 'hex') "
               "FROM schema_migrations WHERE version = $1::bigint"};

static const char begin_sql[] =
    "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; SET LOCAL client_min_messages = warning; "
    "SELECT pg_advisory_xact_lock(" MIGRATE_LOCK "); "
    "CREATE TABLE IF NOT EXISTS schema_migrations (version integer PRIMARY KEY, name text NOT NULL, "
    "checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())";

/* The two who have had a lock on one of our tables for longest, and for as long as we waited. Of sessions of others some of it is seen
 * only by superusers and pg_monitor. */
static const struct stmt holders_stmt = {
    "holders",
    "SELECT coalesce(string_agg(h.text, '; '), '') FROM (SELECT format('%s by %s', string_agg(DISTINCT c.relname, ', '), "
    "coalesce('process ' || l.pid, 'a prepared transaction')) || CASE WHEN a.xact_start IS NOT NULL THEN format(' (%s, \"%s\", %s, "
    "begun %s s ago)', a.usename, a.application_name, a.state, extract(epoch FROM now() - a.xact_start)::bigint) ELSE '' END AS text "
    "FROM pg_locks l JOIN pg_class c ON c.oid = l.relation LEFT JOIN pg_stat_activity a ON a.pid = l.pid "
    "WHERE l.granted AND l.locktype = 'relation' AND c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace "
    "AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) "
    "AND l.pid IS DISTINCT FROM pg_backend_pid() AND (a.xact_start > now() - $1::bigint * interval '1 millisecond') IS NOT TRUE "
    "GROUP BY l.pid, a.usename, a.application_name, a.state, a.xact_start ORDER BY a.xact_start NULLS LAST LIMIT 2) h"};

static bool newer(int64_t found, struct err *e)
{
    return err_set(e, ERR_SCHEMA,
                   "the database is at version %lld and this program at %zu: install the newer program",
                   (long long)found, migrations_count);
}

bool store_ready(struct store *s, struct err *e)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    if (!store_read(s, &version_stmt, NULL, &r, e))
        return false;
    struct row row = row_at(r, 0);
    int64_t version = row_int(&row);
    if (version > (int64_t)migrations_count)
        return newer(version, e);
    if (version < (int64_t)migrations_count)
        return err_set(e, ERR_SCHEMA, "the database is at version %lld of %zu: run `lathe migrate`",
                       (long long)version, migrations_count);
    return true;
}

/* In the transaction that begin_sql began. */
static bool current(struct db *db, int64_t deadline, int64_t *ret, struct err *e)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    if (!db_one(db, &version_stmt, NULL, deadline, &r, e))
        return false;
    struct row row = row_at(r, 0);
    *ret = row_int(&row);
    return *ret <= (int64_t)migrations_count || newer(*ret, e);
}

/* That what was applied is what this program carries under the same number. */
static bool check_applied(struct db *db, int64_t version, int64_t deadline, struct err *e)
{
    const struct migration *m = &migrations[version - 1];
    PGresult *r CLEANUP(db_result_clear) = NULL;
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    params_int(&p, version);
    params_text(&p, span_of(m->sql));
    if (!db_one(db, &applied_stmt, &p, deadline, &r, e))
        return false;
    if (PQntuples(r) == 0)
        return err_set(e, ERR_SCHEMA, "migration %s is missing between others", m->name);
    struct row row = row_at(r, 0);
    row_int(&row);
    struct span name = row_span(&row);
    if (!row_bool(&row))
        return err_set(e, ERR_SCHEMA, "migration %s was applied with another text, as " SPAN_FMT, m->name,
                       SPAN_ARG(name));
    return true;
}

/* Less than those who have to wait behind us are patient. */
static int64_t lock_wait_ms(const struct db *db)
{
    return conf_now(&db->conf->store_timeout) / 5;
}

/* The text, its record and the commit as one script: dollar quotes that no migration uses keep the text whole. */
static bool apply(struct db *db, const struct migration *m, int64_t deadline, struct err *e)
{
    struct buf sql CLEANUP(buf_release) = BUF_INIT(LIMIT_STATEMENT);
    buf_printf(&sql, "SET LOCAL lock_timeout = %lld;\n", (long long)lock_wait_ms(db));
    buf_puts(&sql, m->sql);
    buf_printf(&sql,
               "\n; INSERT INTO schema_migrations (version, name, checksum) VALUES (%d, '%s', "
               "encode(sha256(convert_to($lathe_migration$",
               m->version, m->name);
    buf_puts(&sql, m->sql);
    buf_puts(&sql, "$lathe_migration$, 'UTF8')), 'hex')); COMMIT");
    buf_char(&sql, '\0');
    return db_script(db, sql.ptr, deadline, e) || err_prefix(e, "migration %s", m->name);
}

/* One step: *ret_version is where the database is afterwards, *ret_applied what was done. */
static bool migrate_one(struct db *db, int64_t deadline, const struct migration **ret_applied, struct err *e)
{
    int64_t version = 0;
    if (!db_script(db, begin_sql, deadline, e) || !current(db, deadline, &version, e))
        return false;
    for (int64_t v = 1; v <= version; v++)
        if (!check_applied(db, v, deadline, e))
            return false;
    if (version == (int64_t)migrations_count) {
        *ret_applied = NULL;
        return db_script(db, "COMMIT", deadline, e);
    }
    *ret_applied = &migrations[version];
    return apply(db, *ret_applied, deadline, e);
}

/* In words, "" when nobody can be seen. */
static void find_holders(struct db *db, int64_t deadline, char *text, size_t room)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    params_int(&p, lock_wait_ms(db));
    text[0] = '\0';
    if (!db_script(db, "ROLLBACK", deadline, NULL) || !db_one(db, &holders_stmt, &p, deadline, &r, NULL))
        return;
    struct row row = row_at(r, 0);
    struct span s = row_span(&row);
    snprintf(text, room, SPAN_FMT, SPAN_ARG(s));
}

static bool migrate_next(struct db *db, int64_t deadline, const struct migration **ret_applied,
                         void (*note)(void *arg, const char *text), void *arg, struct err *e)
{
    char holders[200];
    int64_t pause_ms = PAUSE_MS;
    for (int tries = 1;; tries++, pause_ms *= 2) {
        struct err why = ERR_INIT;
        if (migrate_one(db, deadline, ret_applied, &why))
            return true;
        if (!sqlstate_was_locked(&why)) {
            if (e)
                *e = why;
            return false;
        }
        assert(*ret_applied); /* locks are waited for without limit until there is one to apply */
        const char *name = (*ret_applied)->name;
        find_holders(db, deadline, holders, sizeof holders);
        if (tries == TRIES)
            return err_set(
                e, ERR_STORE,
                "%s did not get a lock in %d tries; held: %s. End that, and run `lathe migrate` again", name,
                TRIES, holders[0] ? holders : "nothing that can be seen now");
        char text[300];
        snprintf(text, sizeof text, "%s waits for a lock (held: %s), try %d of %d failed", name, holders,
                 tries, TRIES);
        note(arg, text);
        poll(NULL, 0, (int)clock_jitter(pause_ms));
    }
}

bool store_migrate(struct store *s, void (*note)(void *arg, const char *text), void *arg, struct err *e)
{
    struct db db;
    const struct migration *applied = NULL;
    int64_t deadline = clock_after_ms(MIGRATE_MS);
    bool ok;
    store_db_init(s, &db, false);
    while ((ok = migrate_next(&db, deadline, &applied, note, arg, e)) && applied) {
        char text[128];
        snprintf(text, sizeof text, "applied %s", applied->name);
        note(arg, text);
    }
    db_close(&db); /* what was begun and failed is rolled back */
    if (ok)
        note(arg, "the schema is up to date");
    return ok;
}
