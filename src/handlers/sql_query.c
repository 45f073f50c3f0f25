/*
 * sql_query.c: a statement that the configuration names; an item is its parameters. No SQL ever comes from a request.
 */
#include "handlers/sql_query.h"

#include "core/json.h"
#include "core/limits.h"
#include "core/mem.h"
#include "handlers/registry.h"
#include "model/sql.h"

/* Process-lifetime: children have the same, since they are forked later. */
static struct {
    struct sql_database *databases;
    struct sql_query *queries;
    size_t databases_n, queries_n;
} known;

struct args {
    char query[LIMIT_NAME + 1];
};

struct asking {
    struct sql_call *call;
};

/* ---- what there is */

static const struct sql_database *find_database(const char *name)
{
    for (size_t i = 0; i < known.databases_n; i++)
        if (strcmp(known.databases[i].name, name) == 0)
            return &known.databases[i];
    return NULL;
}

static const struct sql_query *find_query(const char *name)
{
    for (size_t i = 0; i < known.queries_n; i++)
        if (strcmp(known.queries[i].name, name) == 0)
            return &known.queries[i];
    return NULL;
}

bool sql_query_open(const struct conf *c, struct err *e)
{
    mem_free(known.databases);
    mem_free(known.queries);
    known.databases_n = c->database_count;
    known.queries_n = c->query_count;
    known.databases = mem_array(c->database_count + 1, sizeof *known.databases);
    known.queries = mem_array(c->query_count + 1, sizeof *known.queries);
    for (size_t i = 0; i < c->database_count; i++) {
        const struct conf_database *d = &c->databases[i];
        known.databases[i] = (struct sql_database){
            .name = d->name, .url = d->url, .connections = d->connections, .timeout_ms = d->timeout};
        if (!sql_database_check(&known.databases[i], e))
            return false;
    }
    for (size_t i = 0; i < c->query_count; i++) {
        const struct conf_query *q = &c->queries[i];
        known.queries[i] = (struct sql_query){.name = q->name,
                                              .sql = q->sql,
                                              .database = find_database(q->database),
                                              .rows = q->rows,
                                              .write = q->write};
        if (!known.queries[i].database)
            return err_set(e, ERR_CONFIG, "[query %s]: there is no [database %s]", q->name, q->database);
    }
    return true;
}

/* At submission: the api has the same configuration. */
static bool check(const void *args, struct err *e)
{
    const struct args *a = args;
    if (find_query(a->query))
        return true;
    if (a->query[0] == '\0')
        return err_at(e, ERR_BAD_FIELD, "/params/query",
                      "\"/params/query\" must name a [query] of the configuration");
    return err_at(e, ERR_BAD_FIELD, "/params/query", "there is no [query %s] in the configuration", a->query);
}

/* ---- what is remembered: what it reads, as long as the name means the same */

static bool remembers(const struct item *it)
{
    const struct sql_query *q = find_query(((const struct args *)it->args)->query);
    return q && !q->write;
}

static void salt(const void *args, struct buf *to)
{
    const struct sql_query *q = find_query(((const struct args *)args)->query);
    if (q)
        buf_printf(to, "\n%s\n%lld\n%s", q->database->url, (long long)q->rows, q->sql);
}

/* ---- what is asked */

/* As PostgreSQL reads it from text; a list or an object is JSON to it. */
static struct span value_of(struct arena *a, const struct json *v)
{
    if (json_type(v) == JSON_NULL)
        return (struct span){NULL, 0};
    if (json_type(v) == JSON_TEXT) {
        struct span text = json_as_text(v);
        return text.len ? text : SPAN("");
    }
    struct buf b CLEANUP(buf_release) = BUF_INIT(LIMIT_ITEM_INPUT);
    json_emit(&b, v);
    return arena_copy(a, buf_view(&b));
}

static bool ask(struct item *it, struct asking *s)
{
    const struct args *args = it->args;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    const struct sql_query *q = find_query(args->query);
    const struct json *input = NULL;
    if (!q) /* the worker's configuration is another than the api's */
        return err_set(&it->err, ERR_BAD_FIELD, "this worker has no [query %s] in its configuration",
                       args->query);
    if (it->input.len > 0 && !json_read(&a, it->input, &input, &it->err))
        return false;
    bool list = json_type(input) == JSON_LIST;
    size_t n = list ? json_len(input) : it->input.len > 0;
    if (n > LIMIT_SQL_VALUES)
        return err_set(&it->err, ERR_BAD_FIELD, "an item has at most %u parameters, not %zu",
                       LIMIT_SQL_VALUES, n);
    struct span *values = arena_array(&a, n + 1, sizeof *values);
    for (size_t i = 0; i < n; i++)
        values[i] = value_of(&a, list ? json_at(input, i) : input);
    s->call = sql_start(it, q, values, n);
    return s->call != NULL;
}

static enum step step(struct item *it)
{
    struct asking *s = it->state;
    if (!s->call && !ask(it, s))
        return STEP_FAIL;
    if (!s->call->done)
        return item_wait_call(it);
    if (s->call->err.code != ERR_NONE) {
        it->err = s->call->err;
        return STEP_FAIL;
    }
    struct json_out o = json_out(&it->out);
    json_open(&o, '{');
    json_key(&o, "rows");
    json_put_raw(&o, s->call->rows);
    json_key(&o, "count");
    json_put_int(&o, s->call->count);
    json_close(&o, '}');
    return STEP_DONE;
}

static void drop(struct item *it)
{
    struct asking *s = it->state;
    sql_drop(s->call);
    s->call = NULL;
}

static const struct field fields[] = {
    {.name = "query",
     .type = FIELD_TEXT,
     .offset = offsetof(struct args, query),
     .max = LIMIT_NAME,
     .def_text = "",
     .summary = "name of a [query] of the configuration"},
};

const struct handler handler_sql_query = {
    .name = "sql.query",
    .summary = "runs a query that the configuration names; returns its rows",
    .item = "a list: the parameters $1, $2, …; any other value: the only one; without an input there is none",
    .params = FIELDS(fields, struct args),
    .check = check,
    .state_size = sizeof(struct asking),
    .step = step,
    .drop = drop,
    .remembers = remembers,
    .salt = salt,
};
