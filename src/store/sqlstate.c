#include "store/sqlstate.h"

#include <string.h>

/* The first line that fits, by prefix. */
static const struct meaning {
    const char *prefix;
    enum err_code code;
    bool over; /* the session is of no use any more */
    const char *text;
} meanings[] = {
    {"08", ERR_STORE, true, "the connection to PostgreSQL was lost"},
    {"57P", ERR_STORE, true, "PostgreSQL is stopping or starting"},
    {"25006", ERR_STORE, true, "PostgreSQL became read-only"},
    {"57014", ERR_STORE, false, "PostgreSQL did not end a statement in time"},
    {"53", ERR_STORE, false, "PostgreSQL is out of disk, memory or connections"},
    {"58", ERR_STORE, false, "PostgreSQL had a fault of its system"},
    {"40", ERR_STORE, false, "another transaction was in the way"},
    {"55", ERR_STORE, false, "another transaction was in the way"},
    {"0A000", ERR_STORE, true, "the schema changed under a prepared statement"},
    {"26", ERR_STORE, true, "a prepared statement is gone"},
    {"42", ERR_SCHEMA, false, "the schema does not fit: run `lathe migrate`"},
    {"3F", ERR_SCHEMA, false, "the schema does not fit: run `lathe migrate`"},
    {"LT", ERR_DATA, false, "a task was asked to make a move that is not allowed"},
    {"21", ERR_DATA, false, "PostgreSQL refused a row"},
    {"22", ERR_DATA, false, "PostgreSQL refused a row"},
    {"23", ERR_DATA, false, "PostgreSQL refused a row"},
    {"54", ERR_DATA, false, "PostgreSQL refused a row"},
    {"", ERR_INTERNAL, false, "PostgreSQL refused a statement"},
};

bool sqlstate_err(const PGresult *r, struct err *e)
{
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    const struct meaning *m = meanings;
    if (!state) { /* libpq's own: it lost the server */
        err_set(e, ERR_STORE, "the connection to PostgreSQL was lost");
        return true;
    }
    while (!span_starts(span_of(state), m->prefix))
        m++;
    err_set(e, m->code, "%s (%s: %s)", m->text, state, message ? message : "no message");
    return m->over;
}

struct span sqlstate_reason(const PGconn *c)
{
    struct span all = span_of(PQerrorMessage(c)), last = {NULL, 0};
    while (all.len > 0) {
        struct span line = span_trim(span_cut(&all, '\n'));
        if (line.len > 0 && !span_starts(line, "Is the server running"))
            last = line;
    }
    const char *failed = last.len > 0 ? memmem(last.ptr, last.len, " failed: ", 9) : NULL;
    if (failed)
        last = (struct span){failed + 9, last.len - (size_t)(failed + 9 - last.ptr)};
    return last;
}

bool sqlstate_was_slow(const struct err *e)
{
    return e->code == ERR_STORE && (strstr(e->text, " (55P03: ") || strstr(e->text, " (57014: "));
}

bool sqlstate_was_locked(const struct err *e)
{
    return e->code == ERR_STORE && (strstr(e->text, " (55P03: ") || strstr(e->text, " (40P01: "));
}
