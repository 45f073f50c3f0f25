/* A connection of sql.query before it is one: its hosts' names become addresses, all of which libpq then tries in their order. */
#include "store/sql_inside.h"

#include <assert.h>

#include "core/mem.h"
#include "store/hosts.h"
#include "store/lookup.h"

#define LIST_MOST \
    16384 /* bytes of a list of hosts: HOSTS_MOST names, each LOOKUP_MOST times, are more than anybody has */

struct sql_opening {
    struct sql_pool *pool;
    struct hosts hosts;
    size_t at;  /* the host whose turn it is */
    bool asked; /* for its address: */
    struct lookup *lookup;
    bool looked;                        /* some name was looked up: the lists go before the url's */
    bool ports_differ;                  /* hosts have ports of their own */
    struct buf names, addresses, ports; /* for libpq: one for each address, with commas between them */
    size_t count;
    struct err why; /* the last name that was not found */
};

struct sql_opening *sql_opening_new(struct sql_pool *pool)
{
    struct sql_opening *o = mem_alloc(sizeof *o);
    o->pool = pool;
    o->names = o->addresses = o->ports = (struct buf)BUF_INIT(LIST_MOST);
    hosts_read(&o->hosts, pool->database->url);
    return o;
}

void sql_opening_free(struct sql_opening *o)
{
    if (!o)
        return;
    if (o->asked)
        sql_pool_keep_lookup(o->pool, o->lookup);
    hosts_release(&o->hosts);
    buf_release(&o->names);
    buf_release(&o->addresses);
    buf_release(&o->ports);
    mem_free(o);
}

int sql_opening_fd(const struct sql_opening *o)
{
    return o->asked ? lookup_fd(o->lookup) : -1;
}

static void append(struct buf *list, size_t before, const char *text)
{
    if (before > 0)
        buf_char(list, ',');
    buf_puts(list, text ? text : "");
}

static void add(struct sql_opening *o, const struct pg_host *h, const char *address)
{
    append(&o->names, o->count, h->name ? h->name : h->unknown);
    append(&o->addresses, o->count, address);
    append(&o->ports, o->count, h->port);
    o->ports_differ |= h->port != NULL;
    o->count++;
}

/* True: it is over with this host, found or not. */
static bool look_up(struct sql_opening *o, const struct pg_host *h)
{
    struct lookup_found found;
    if (!o->asked) {
        o->lookup = sql_pool_take_lookup(o->pool);
        o->asked = lookup_begin(&o->lookup, h->unknown, &o->why);
        return !o->asked;
    }
    if (!lookup_over(o->lookup))
        return false;
    o->asked = false;
    if (lookup_end(&o->lookup, &found, &o->why))
        for (size_t i = 0; i < found.count; i++)
            add(o, h, found.list[i]);
    return true;
}

/* Of whom a statement is has no ear for them, and standard error is no place. */
static void ignore_notice(void *arg, const PGresult *r)
{
    (void)arg, (void)r;
}

/* False: there are more than libpq is told of. */
static bool end_lists(struct sql_opening *o)
{
    buf_char(&o->names, '\0');
    buf_char(&o->addresses, '\0');
    buf_char(&o->ports, '\0');
    return !o->names.failed && !o->addresses.failed && !o->ports.failed;
}

static PGconn *begin(const struct sql_opening *o)
{
    /* Later ones go before earlier ones: the url may say otherwise, but for the encoding and what was looked up. */
    static const char *const keys[] = {"fallback_application_name",
                                       "tcp_user_timeout",
                                       "keepalives_idle",
                                       "keepalives_interval",
                                       "keepalives_count",
                                       "dbname",
                                       "client_encoding",
                                       "host",
                                       "hostaddr",
                                       "port",
                                       NULL};
    const char *values[] = {"lathe-sql",
                            "10000",
                            "30",
                            "10",
                            "3",
                            o->pool->database->url,
                            "UTF8",
                            o->looked ? o->names.ptr : NULL,
                            o->looked ? o->addresses.ptr : NULL,
                            o->looked && o->ports_differ ? o->ports.ptr : NULL,
                            NULL};
    PGconn *pg = PQconnectStartParams(keys, values, 1);
    if (!pg)
        mem_exhausted(1);
    PQsetNoticeReceiver(pg, ignore_notice, NULL);
    return pg;
}

bool sql_opening_turn(struct sql_opening *o, PGconn **ret, struct err *e)
{
    *ret = NULL;
    for (; o->at < o->hosts.count; o->at++) {
        const struct pg_host *h = &o->hosts.list[o->at];
        if (!h->unknown) {
            add(o, h, h->address);
            continue;
        }
        o->looked = true;
        if (!look_up(o, h))
            return true;
    }
    if (o->looked && o->count == 0)
        return err_set(e, ERR_UNREACHABLE, "%s", o->why.text);
    if (o->looked && !end_lists(o))
        return err_set(e, ERR_UNREACHABLE, "its hosts have too many addresses");
    *ret = begin(o);
    return true;
}
