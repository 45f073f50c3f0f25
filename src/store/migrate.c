/* migrate.c: the schema. Each migration is one transaction that also takes the lock, looks again which is the next, and
 * records it: processes that migrate at once wait for each other and find nothing left to do. */
#include <stdio.h>

#include "core/mem.h"
#include "store/inside.h"
#include "store/migrations.h"
#include "store/rows.h"

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

/* The text, its record and the commit as one script: dollar quotes that no migration uses keep the text whole. */
static bool apply(struct db *db, const struct migration *m, int64_t deadline, struct err *e)
{
    struct buf sql CLEANUP(buf_release) = BUF_INIT(LIMIT_STATEMENT);
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

bool store_migrate(struct store *s, void (*note)(void *arg, const char *text), void *arg, struct err *e)
{
    struct db db;
    const struct migration *applied;
    int64_t deadline = clock_after_ms(MIGRATE_MS);
    bool ok;
    store_db_init(s, &db, false);
    while ((ok = migrate_one(&db, deadline, &applied, e)) && applied) {
        char text[128];
        snprintf(text, sizeof text, "applied %s", applied->name);
        note(arg, text);
    }
    db_close(&db); /* what was begun and failed is rolled back */
    if (ok)
        note(arg, "the schema is up to date");
    return ok;
}
