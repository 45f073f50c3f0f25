/* What handlers put: GET /api/v1/users; and of a task its records and its outgoing calls. A page at a time, by keyset. */
#include <inttypes.h>

#include "api/cursor.h"
#include "api/inside.h"
#include "core/clock.h"
#include "store/records.h"

struct page {
    int64_t limit;
    char cursor[CURSOR_TEXT + 1], email[256];
};

#define LIMIT_FIELD                                                                           \
    {                                                                                         \
        .name = "limit", .type = FIELD_INT, .offset = offsetof(struct page, limit), .min = 1, \
        .max = LIMIT_LIST, .def = 100, .summary = "how many at most"                          \
    }
#define CURSOR_FIELD                                                                                       \
    {                                                                                                      \
        .name = "cursor", .type = FIELD_TEXT, .offset = offsetof(struct page, cursor), .max = CURSOR_TEXT, \
        .def_text = "", .summary = "next_cursor of the page before"                                        \
    }

static const struct field page_list[] = {LIMIT_FIELD, CURSOR_FIELD};
static const struct fields page_fields = FIELDS(page_list, struct page);

static const struct field users_list_fields[] = {
    LIMIT_FIELD,
    CURSOR_FIELD,
    {.name = "email",
     .type = FIELD_TEXT,
     .offset = offsetof(struct page, email),
     .max = 254,
     .def_text = "",
     .summary = "only the user with this address"},
};
static const struct fields users_fields = FIELDS(users_list_fields, struct page);

/* Where a page ended, as two numbers in the place of an id. */
struct place {
    int64_t major, minor;
};

static void put_place(struct place p, struct span filters, char text[CURSOR_TEXT])
{
    struct uuid id;
    memcpy(id.b, &p.major, 8);
    memcpy(id.b + 8, &p.minor, 8);
    cursor_write(id, filters, text);
}

static bool read_page(struct call *c, const struct fields *f, struct span what, struct page *ret,
                      struct place *ret_from, struct err *e)
{
    struct query q;
    struct uuid id;
    fields_defaults(f, ret);
    if (!query_read(c, &q, e) || !query_fields(&q, f, ret, e))
        return false;
    if (ret->cursor[0] == '\0')
        return true;
    if (!cursor_read(span_of(ret->cursor), what, &id))
        return err_at(e, ERR_BAD_FIELD, "cursor",
                      "the cursor is not one that this list gave: begin again without it");
    memcpy(&ret_from->major, id.b, 8);
    memcpy(&ret_from->minor, id.b + 8, 8);
    return true;
}

static void put_time(struct json_out *o, const char *key, int64_t us)
{
    char text[CLOCK_TEXT];
    clock_format(us, text);
    json_key(o, key);
    json_put_str(o, text);
}

static void put_number(struct json_out *o, const char *key, int64_t v)
{
    json_key(o, key);
    json_put_int(o, v);
}

static void put_text(struct json_out *o, const char *key, struct span v)
{
    json_key(o, key);
    if (v.len > 0)
        json_put_text(o, v);
    else
        json_put_null(o);
}

static void put_id(struct json_out *o, const char *key, struct uuid id)
{
    char text[UUID_TEXT];
    uuid_format(id, text);
    json_key(o, key);
    json_put_str(o, uuid_is_nil(id) ? NULL : text);
}

/* The end of a document: where the next page begins, if there is one. Sends. */
static void end_page(struct call *c, struct json_out *o, bool more, struct place last, struct span what)
{
    char next[CURSOR_TEXT];
    json_close(o, ']');
    if (more)
        put_place(last, what, next);
    json_key(o, "next_cursor");
    json_put_str(o, more ? next : NULL);
    json_close(o, '}');
    call_header(c, "Cache-Control", "no-cache");
    c->res.status = 200;
    call_send(c);
}

static struct json_out begin_page(struct call *c, const char *key)
{
    struct json_out o = json_out(&c->res.body);
    json_open(&o, '{');
    json_key(&o, key);
    json_open(&o, '[');
    return o;
}

static void put_user(struct json_out *o, const struct user_info *u)
{
    json_open(o, '{');
    put_number(o, "id", u->id);
    put_text(o, "email", u->email);
    json_key(o, "name");
    json_put_text(o, u->name);
    json_key(o, "age");
    if (u->age >= 0)
        json_put_int(o, u->age);
    else
        json_put_null(o);
    json_key(o, "meta");
    json_put_raw(o, u->meta);
    put_id(o, "task", u->task);
    json_key(o, "item");
    if (uuid_is_nil(u->task))
        json_put_null(o);
    else
        json_put_int(o, u->item);
    put_time(o, "created_at", u->created_us);
    json_close(o, '}');
}

void users_list(struct api *a, struct call *c, struct span parameter)
{
    (void)parameter;
    struct err e = ERR_INIT;
    struct page page;
    struct place from = {0, 0};
    struct user_info *users;
    size_t n;
    if (!read_page(c, &users_fields, SPAN("users"), &page, &from, &e)) {
        answer_problem(c, &e);
        return;
    }
    for (char *at = page.email; *at; at++) /* as handlers/db_users.c keeps them */
        *at = *at >= 'A' && *at <= 'Z' ? (char)(*at + 32) : *at;
    if (!store_users(a->store, &c->arena, span_of(page.email), from.major, (int)page.limit + 1, &users, &n,
                     &e)) {
        answer_problem(c, &e);
        return;
    }
    size_t shown = n < (size_t)page.limit ? n : (size_t)page.limit;
    struct json_out o = begin_page(c, "users");
    for (size_t i = 0; i < shown; i++)
        put_user(&o, &users[i]);
    end_page(c, &o, shown < n, (struct place){shown ? users[shown - 1].id : 0, 0}, SPAN("users"));
}

static void put_record(struct json_out *o, const struct record_info *r)
{
    json_open(o, '{');
    put_number(o, "id", r->id);
    put_number(o, "item", r->item);
    put_text(o, "url", r->url);
    put_number(o, "status", r->status);
    put_text(o, "type", r->type);
    put_number(o, "bytes", r->bytes);
    put_text(o, "digest", r->digest);
    put_time(o, "fetched_at", r->fetched_us);
    json_close(o, '}');
}

/* Of a task that is there. */
static bool read_task_page(struct api *a, struct call *c, struct span parameter, struct span what,
                           struct page *ret, struct place *ret_from, struct uuid *ret_id, struct err *e)
{
    struct task task;
    return id_of(parameter, ret_id, e) && read_page(c, &page_fields, what, ret, ret_from, e) &&
           store_get(a->store, &c->arena, *ret_id, &task, e);
}

void records_list(struct api *a, struct call *c, struct span parameter)
{
    struct err e = ERR_INIT;
    struct page page;
    struct place from = {-1, 0};
    struct record_info *records;
    struct uuid id;
    size_t n;
    if (!read_task_page(a, c, parameter, SPAN("records"), &page, &from, &id, &e) ||
        !store_records(a->store, &c->arena, id, from.major, (int)page.limit + 1, &records, &n, &e)) {
        answer_problem(c, &e);
        return;
    }
    size_t shown = n < (size_t)page.limit ? n : (size_t)page.limit;
    struct json_out o = begin_page(c, "records");
    for (size_t i = 0; i < shown; i++)
        put_record(&o, &records[i]);
    end_page(c, &o, shown < n, (struct place){shown ? records[shown - 1].item : 0, 0}, SPAN("records"));
}

static void put_call(struct json_out *o, const struct call_info *i)
{
    json_open(o, '{');
    put_time(o, "at", i->at_us);
    put_number(o, "item", i->item);
    put_text(o, "method", i->method);
    put_text(o, "url", i->url);
    json_key(o, "status");
    if (i->status > 0)
        json_put_int(o, i->status);
    else
        json_put_null(o);
    put_text(o, "error", i->error);
    json_key(o, "ms");
    json_put_num(o, (double)i->us / 1e3);
    json_close(o, '}');
}

void calls_list(struct api *a, struct call *c, struct span parameter)
{
    struct err e = ERR_INIT;
    struct page page;
    struct place from = {0, 0};
    struct call_info *calls;
    struct uuid id;
    size_t n;
    if (!read_task_page(a, c, parameter, SPAN("calls"), &page, &from, &id, &e) ||
        !store_calls(a->store, &c->arena, id, from.major, from.minor, (int)page.limit + 1, &calls, &n, &e)) {
        answer_problem(c, &e);
        return;
    }
    size_t shown = n < (size_t)page.limit ? n : (size_t)page.limit;
    struct json_out o = begin_page(c, "calls");
    for (size_t i = 0; i < shown; i++)
        put_call(&o, &calls[i]);
    struct place last = {shown ? calls[shown - 1].at_us : 0, shown ? calls[shown - 1].item : 0};
    end_page(c, &o, shown < n, last, SPAN("calls"));
}
