#include "store/sql_rows.h"

#include "core/limits.h"

/* Of pg_type: these have stood in the protocol for ever. */
enum { OID_BOOL = 16, OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23, OID_OID = 26 };
enum { OID_JSON = 114, OID_FLOAT4 = 700, OID_FLOAT8 = 701, OID_JSONB = 3802 };

bool sql_columns_check(const PGresult *r, struct err *e)
{
    int n = PQnfields(r);
    for (int i = 1; i < n; i++)
        for (int k = 0; k < i; k++)
            if (strcmp(PQfname(r, i), PQfname(r, k)) == 0)
                return err_set(e, ERR_REJECTED,
                               "the query has two columns that are called \"%.60s\": name them with AS",
                               PQfname(r, i));
    return true;
}

/* json as it was stored may have line ends between its tokens; inside of strings they are escaped. */
static void put_flat(struct json_out *o, struct span text)
{
    struct buf flat CLEANUP(buf_release) = BUF_INIT(LIMIT_ITEM_RESULT);
    buf_span(&flat, text);
    for (size_t i = 0; i < flat.len; i++)
        if (flat.ptr[i] == '\n' || flat.ptr[i] == '\r')
            flat.ptr[i] = ' ';
    json_put_raw(o, buf_view(&flat));
    o->buf->failed |= flat.failed;
}

/* PostgreSQL lets through what our own reader does not, as one key twice: that is text here. */
static void put_json(struct json_out *o, struct span text)
{
    if (!json_check(text, NULL))
        json_put_text(o, text);
    else if (memchr(text.ptr, '\n', text.len) || memchr(text.ptr, '\r', text.len))
        put_flat(o, text);
    else
        json_put_raw(o, text);
}

static bool is_number(struct span text)
{
    double v;
    return text.len > 0 && (text.ptr[0] == '-' || (text.ptr[0] >= '0' && text.ptr[0] <= '9')) &&
           span_to_num(text, &v);
}

static void put_value(struct json_out *o, unsigned type, struct span text)
{
    switch (type) {
    case OID_BOOL:
        json_put_bool(o, span_is(text, "t"));
        return;
    case OID_INT2:
    case OID_INT4:
    case OID_INT8:
    case OID_OID:
    case OID_FLOAT4:
    case OID_FLOAT8:
        if (is_number(text))
            json_put_raw(o, text);
        else
            json_put_text(o, text);
        return;
    case OID_JSON:
    case OID_JSONB:
        put_json(o, text);
        return;
    default:
        json_put_text(o, text);
    }
}

void sql_row_write(struct json_out *o, const PGresult *r, int row)
{
    json_open(o, '{');
    for (int i = 0; i < PQnfields(r); i++) {
        json_key_span(o, span_of(PQfname(r, i)));
        if (PQgetisnull(r, row, i))
            json_put_null(o);
        else
            put_value(o, PQftype(r, i), (struct span){PQgetvalue(r, row, i), (size_t)PQgetlength(r, row, i)});
    }
    json_close(o, '}');
}

/* The first line that fits, by prefix. */
static const struct meaning {
    const char *state;
    enum sql_fate fate;
    enum err_code code;
} meanings[] = {
    {"08P01", SQL_REFUSED, ERR_REJECTED}, /* a statement and its parameters do not fit */
    {"08", SQL_LOST, ERR_UNREACHABLE},    {"57P", SQL_LOST, ERR_UNREACHABLE},
    {"57014", SQL_STOPPED, ERR_TIMEOUT},  {"26000", SQL_STALE, ERR_REJECTED},
    {"0A000", SQL_STALE, ERR_REJECTED}, /* a cached plan whose result changed, or really a feature */
    {"40003", SQL_REFUSED, ERR_UPSTREAM}, {"40002", SQL_REFUSED, ERR_REJECTED}, /* a constraint */
    {"40", SQL_REFUSED, ERR_UPSTREAM},                                          /* serialization, deadlock */
    {"53", SQL_REFUSED, ERR_UPSTREAM},  /* no memory, disk, connections */
    {"55", SQL_REFUSED, ERR_UPSTREAM},  /* locked, in use */
    {"58", SQL_REFUSED, ERR_UPSTREAM},  /* a fault of its system */
    {"25P", SQL_LOST, ERR_UNREACHABLE}, /* its own time limit of a session */
    {"", SQL_REFUSED, ERR_REJECTED},
};

enum sql_fate sql_fate_of(const PGresult *r, struct err *e)
{
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    const struct meaning *m = meanings;
    if (!state) { /* libpq's own */
        err_set(e, ERR_UNREACHABLE, "the connection to the database was lost");
        return SQL_LOST;
    }
    while (!span_starts(span_of(state), m->state))
        m++;
    err_set(e, m->code, "%s: %s", state, message ? message : "no message");
    return m->fate;
}
