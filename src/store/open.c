/* open.c: how a connection comes about: the hosts one after the other, its settings, the gate; or begun ahead of time. */
#include "store/db.h"

#include <assert.h>
#include <poll.h>
#include <stdio.h>

#include "core/log.h"
#include "store/hosts.h"
#include "store/lookup.h"
#include "store/rows.h"
#include "store/sqlstate.h"

#define OLDEST_SERVER 140000
#define DETAIL_MOST 4096 /* bytes of the log's line that says why it cannot be reached */

/* Both kinds of session. enable_seqscan: a plan is made once, perhaps when the tables are empty, and stays; the index is
 * right however large they become. jit: these statements are short, and a switched-off plan node (below) looks expensive enough to
 * compile. synchronous_commit: what was answered with 201 must be on disk, whatever the server's default says. search_path: a
 * role that is called as the schema of the SQL functions is would have that in front of its tables. */
#define SETTINGS                                                                                                            \
    "set_config('statement_timeout', $1, false), set_config('lock_timeout', $2, false), "                                   \
    "set_config('jit', 'off', false), set_config('plan_cache_mode', 'force_generic_plan', false), "                         \
    "set_config('enable_seqscan', 'off', false), "                                                                          \
    "(SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'), "          \
    "(SELECT set_config('search_path', 'public', false) WHERE current_user = 'lathe' AND current_setting('search_path') = " \
    "'\"$user\", public')"

#define NOW_US "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint, "

static const struct stmt settings = {NULL, "SELECT " NOW_US SETTINGS};

/* Where arrays meet tables: always by the index, since the planner cannot know how long an array is. Nor does it know that an array names a row
 * once: Memoize, which remembers what was found for those who ask again, was a tenth of a claim and never asked. */
static const struct stmt settings_arrays = {
    NULL, "SELECT " NOW_US SETTINGS
          ", set_config('enable_hashjoin', 'off', false), set_config('enable_mergejoin', 'off', false), "
          "set_config('enable_memoize', 'off', false)"};

static bool connect_poll(struct db *db, PostgresPollingStatusType want, int64_t deadline, struct err *e)
{
    PGconn *c = db->conn;
    while (want != PGRES_POLLING_OK) {
        short got;
        if (want == PGRES_POLLING_FAILED)
            return err_set(e, ERR_STORE, "PostgreSQL cannot be reached: see the log");
        if (!db_wait(db, want == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline, &got, e))
            return false;
        want = PQconnectPoll(c);
    }
    if (PQserverVersion(c) < OLDEST_SERVER)
        return err_set(e, ERR_SCHEMA, "PostgreSQL is too old: 14 or newer is needed");
    if (PQsetnonblocking(c, 1) != 0 || !PQenterPipelineMode(c))
        return err_set(e, ERR_STORE, "the connection to PostgreSQL was lost");
    return true;
}

/* What libpq would print between the lines of our log. */
static void on_notice(void *arg, const PGresult *r)
{
    const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    (void)arg;
    log_debug("store.notice", "text=%s", text ? text : "");
}

static void close_open(struct db *db)
{
    PQfinish(db->conn);
    db->conn = NULL;
    db->prepared_n = 0;
}

static void close_coming(struct db *db)
{
    PQfinish(db->coming);
    db->coming = NULL;
}

void db_close(struct db *db)
{
    close_open(db);
    close_coming(db);
    for (size_t i = 0; i < COUNT_OF(db->lookups); i++)
        lookup_leave(&db->lookups[i]);
}

/* NULL: there is no memory. */
static PGconn *connect_start(const struct db *db, const struct pg_host *h)
{
    char name[64];
    snprintf(name, sizeof name, "lathe-%s", db->role);
    /* Later ones go before earlier ones: store.url may say otherwise. */
    const char *keys[] = {"fallback_application_name",
                          "client_encoding",
                          "target_session_attrs",
                          "tcp_user_timeout",
                          "keepalives_idle",
                          "keepalives_interval",
                          "keepalives_count",
                          "dbname",
                          "host",
                          "hostaddr",
                          "port",
                          NULL};
    const char *values[] = {name,    "UTF8",     "read-write", "10000", "30", "10", "3", db->conf->store_url,
                            h->name, h->address, h->port,      NULL};
    PGconn *c = PQconnectStartParams(keys, values, 1);
    if (c)
        PQsetNoticeReceiver(c, on_notice, NULL);
    return c;
}

static bool writable(const PGconn *c)
{
    struct pollfd p = {.fd = PQsocket(c), .events = POLLOUT};
    return poll(&p, 1, 0) == 1;
}

void db_begin(struct db *db)
{
    struct hosts h CLEANUP(hosts_release);
    assert(!db->conn && !db->coming);
    hosts_read(&h, db->conf->store_url);
    if (!h.at_hand)
        return; /* libpq waits for whoever knows the name */
    db->coming = connect_start(db, &h.list[0]);
    db->coming_wants = PGRES_POLLING_WRITING;
    while (PQstatus(db->coming) != CONNECTION_BAD && db->coming_wants == PGRES_POLLING_WRITING &&
           writable(db->coming))
        db->coming_wants = PQconnectPoll(db->coming);
    if (PQstatus(db->coming) == CONNECTION_BAD)
        close_coming(db);
}

void db_take_over(struct db *db, struct db *begun)
{
    db->coming = begun->coming;
    db->coming_wants = begun->coming_wants;
    begun->coming = NULL;
}

/* Twice: what a server says before it closes is one thing, that it has closed another. */
static bool alive(PGconn *c)
{
    return PQconsumeInput(c) && PQconsumeInput(c) && PQstatus(c) == CONNECTION_OK;
}

/* One that was begun may have been refused, or lost since then: another is tried. Not where nobody answers. */
static bool connect_to(struct db *db, const struct pg_host *h, int64_t deadline, struct err *e)
{
    db->prepared_n = 0;
    if (db->coming) {
        struct err why = ERR_INIT;
        db->conn = db->coming;
        db->coming = NULL;
        if (connect_poll(db, db->coming_wants, deadline, &why) && alive(db->conn))
            return true;
        if (PQstatus(db->conn) != CONNECTION_BAD) {
            *e = why;
            return false;
        }
        PQfinish(db->conn);
    }
    db->conn = connect_start(db, h);
    if (!db->conn)
        return err_set(e, ERR_STORE, "out of memory");
    if (PQstatus(db->conn) == CONNECTION_BAD)
        return err_set(e, ERR_STORE, "PostgreSQL cannot be reached: see the log");
    return connect_poll(db, PGRES_POLLING_WRITING, deadline, e);
}

static void give_up(struct db *db)
{
    PQfinish(db->conn);
    db->conn = NULL;
}

/* Why it did not come about, for the log; it may name what strangers need not know. Each address has its own reason. */
static void add_reason(const struct db *db, struct buf *detail)
{
    if (db->conn && PQstatus(db->conn) == CONNECTION_BAD) {
        struct span reason = sqlstate_reason(db->conn);
        buf_printf(detail, "%s" SPAN_FMT, detail->len > 0 ? "; " : "", SPAN_ARG(reason));
    }
}

/* One after the other, each with its share of the time. */
static bool connect_to_any(struct db *db, const struct pg_host *h, const struct lookup_found *found,
                           int64_t deadline, struct buf *detail, struct err *e)
{
    struct pg_host at = *h;
    for (size_t i = 0; i < found->count; i++) {
        int64_t now = clock_now(), share = deadline;
        if (deadline != CLOCK_NEVER)
            share = now + (deadline - now) / (int64_t)(found->count - i);
        give_up(db);
        at.address = found->list[i];
        if (connect_to(db, &at, share, e))
            return true;
        add_reason(db, detail);
    }
    return false;
}

static bool look_up(struct db *db, const struct pg_host *h, struct lookup **lookup, int64_t deadline,
                    struct lookup_found *ret, struct err *e)
{
    short got;
    if (!lookup_begin(lookup, h->unknown, e))
        return false;
    if (!db_wait_for(db, lookup_fd(*lookup), POLLIN, deadline, &got, e))
        return err_set(e, ERR_STORE, "the name %s was not looked up in time", h->unknown);
    return lookup_end(lookup, ret, e);
}

static bool connect_by_name(struct db *db, const struct pg_host *h, struct lookup **lookup, int64_t deadline,
                            struct buf *detail, struct err *e)
{
    struct lookup_found found;
    struct err why = ERR_INIT;
    if (look_up(db, h, lookup, deadline, &found, &why))
        return connect_to_any(db, h, &found, deadline, detail, e);
    buf_printf(detail, "%s%s", detail->len > 0 ? "; " : "", why.text);
    return err_set(e, ERR_STORE, "PostgreSQL cannot be reached: see the log");
}

/* Whichever host of the string answers first, and takes writes. */
static bool db_connect(struct db *db, int64_t deadline, struct buf *detail, struct err *e)
{
    struct hosts h CLEANUP(hosts_release);
    hosts_read(&h, db->conf->store_url);
    for (size_t i = 0; i < h.count; i++) {
        const struct pg_host *host = &h.list[i];
        int64_t until = hosts_deadline(&h, i, deadline);
        give_up(db);
        if (host->unknown ? connect_by_name(db, host, &db->lookups[i], until, detail, e)
                          : connect_to(db, host, until, e))
            return true;
        if (!host->unknown)
            add_reason(db, detail);
    }
    return false;
}

bool db_open(struct db *db, int64_t deadline, struct err *e)
{
    struct err why = ERR_INIT;
    struct buf detail CLEANUP(buf_release) = BUF_INIT(DETAIL_MOST);
    if (db->conn && PQstatus(db->conn) == CONNECTION_OK)
        return true;
    close_open(db);
    if (db->gate && !db_gate_pass(db->gate, e))
        return false;

    struct params p = PARAMS_INIT;
    char timeout[24];
    int64_t most = conf_now(&db->conf->store_timeout);
    snprintf(timeout, sizeof timeout, "%lld", (long long)most);
    params_text(&p, db->unlimited ? SPAN("0") : span_of(timeout));
    snprintf(timeout, sizeof timeout, "%lld", (long long)(db->impatient ? most / 20 : most));
    params_text(&p, span_of(timeout));
    struct step hello = {.stmt = db->arrays ? &settings_arrays : &settings, .params = &p, .sync = true};
    bool ok = db_connect(db, deadline, &detail, &why);
    if (ok) {
        detail.len = 0; /* of those that were tried before */
        ok = db_run(db, &hello, 1, deadline, &why);
    }
    if (detail.len == 0) /* it did not come so far as to say no, or said it to this */
        buf_puts(&detail, ok ? hello.err.text : why.text);
    buf_char(&detail, '\0');
    ok = ok && hello.err.code == ERR_NONE;
    if (ok) {
        struct row row = row_at(hello.result, 0);
        clock_told(row_int(&row));
    }
    db_steps_clear(&hello, 1);
    params_release(&p);
    if (ok && db->gate)
        db_gate_opened(db->gate);
    if (ok)
        return true;
    if (why.code == ERR_NONE)
        why = hello.err;
    close_open(db);
    close_coming(db); /* names that are being looked up are for the next try */
    if (db->gate)
        db_gate_shut(db->gate, &why, detail.failed ? why.text : detail.ptr);
    if (e)
        *e = why;
    return false;
}
