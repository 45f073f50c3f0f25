/* A connection of sql.query before it is one: its hosts one after the other, as libpq would try them, but that their names are looked up
 * here and each has its share of the time. */
#include "store/sql_inside.h"

#include "core/mem.h"
#include "store/hosts.h"
#include "store/lookup.h"

#define USUAL_PORT "5432"
#define LIST_MOST \
    16384 /* bytes of a list of hosts: HOSTS_MOST names, each LOOKUP_MOST times, are more than anybody has */

struct sql_opening {
    struct sql_pool *pool;
    struct hosts hosts;
    int64_t end; /* when all of it is too late; each host has its share */
    size_t at;   /* the host whose turn it is */
    bool named;  /* some host is a name: libpq is told of them by the lists below, and not by the url */
    bool asked;  /* for the address of this one: */
    struct lookup *lookup;
    /* Of the next attempt, for libpq: one for each address, with commas between them. */
    struct buf names, addresses, ports;
    bool ports_differ; /* hosts have ports of their own */
    size_t count;
    struct err why; /* the last name that was not found */
};

struct sql_opening *sql_opening_new(struct sql_pool *pool, int64_t end)
{
    struct sql_opening *o = mem_alloc(sizeof *o);
    o->pool = pool;
    o->end = end;
    o->names = o->addresses = o->ports = (struct buf)BUF_INIT(LIST_MOST);
    hosts_read(&o->hosts, pool->database->url);
    for (size_t i = 0; i < o->hosts.count; i++)
        o->named |= o->hosts.list[i].unknown != NULL;
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

int64_t sql_opening_until(const struct sql_opening *o)
{
    if (!o->named) /* libpq has all of them */
        return o->end;
    size_t now =
        o->asked || o->at == 0 ? o->at : o->at - 1; /* else it is what was begun that is waited for */
    return hosts_deadline(&o->hosts, now, o->end);
}

bool sql_opening_skip(struct sql_opening *o)
{
    if (o->asked) {
        sql_pool_keep_lookup(o->pool, o->lookup);
        o->lookup = NULL;
        o->asked = false;
        o->at++;
    }
    return o->named && o->at < o->hosts.count;
}

static void append(struct buf *list, size_t before, const char *text)
{
    if (before > 0)
        buf_char(list, ',');
    buf_puts(list, text ? text : "");
}

/* libpq takes a list of nothing for none that was given. */
static const char *some(const char *text, const char *otherwise)
{
    return text && text[0] ? text : otherwise;
}

static void add(struct sql_opening *o, const struct pg_host *h, const char *address)
{
    append(&o->names, o->count, some(h->name, some(h->unknown, address)));
    append(&o->addresses, o->count, address);
    append(&o->ports, o->count, h->port ? some(h->port, USUAL_PORT) : NULL);
    o->ports_differ |= h->port != NULL;
    o->count++;
}

/* True: it is over with this host, found or not. */
static bool look_up(struct sql_opening *o, const struct pg_host *h)
{
    struct lookup_found found;
    if (!o->asked) {
        o->lookup = sql_pool_take_lookup(o->pool, h->unknown);
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
                            o->named ? o->names.ptr : NULL,
                            o->named ? o->addresses.ptr : NULL,
                            o->named && o->ports_differ ? o->ports.ptr : NULL,
                            NULL};
    PGconn *pg = PQconnectStartParams(keys, values, 1);
    if (!pg)
        mem_exhausted(1);
    PQsetNoticeReceiver(pg, ignore_notice, NULL);
    return pg;
}

/* What is tried next: hosts that need no looking up, as many as come in a row, or the addresses of one name. False: the name server is
 * waited for. */
static bool gather(struct sql_opening *o)
{
    buf_clear(&o->names);
    buf_clear(&o->addresses);
    buf_clear(&o->ports);
    o->count = 0;
    o->ports_differ = false;
    for (; o->at < o->hosts.count; o->at++) {
        const struct pg_host *h = &o->hosts.list[o->at];
        if (h->unknown && o->count > 0)
            return true;
        if (!h->unknown)
            add(o, h, h->address);
        else if (!look_up(o, h))
            return false;
    }
    return true;
}

bool sql_opening_turn(struct sql_opening *o, PGconn **ret, struct err *e)
{
    *ret = NULL;
    if (!gather(o))
        return true;
    if (o->count == 0)
        return err_set(e, ERR_UNREACHABLE, "%s", o->why.text);
    if (o->named && !end_lists(o))
        return err_set(e, ERR_UNREACHABLE, "its hosts have too many addresses");
    *ret = begin(o);
    return true;
}
