/*
 * db_users.c: an item is a user to be created. What all items in flight ask for is one statement (model/rows.h), and every
 * duplicate is told by its item. Run again, an item finds the user that it made and is no duplicate of itself.
 */
#include <inttypes.h>

#include "core/limits.h"
#include "core/utf8.h"
#include "handlers/registry.h"
#include "model/rows.h"

#define MOST_NAME 255
#define MOST_EMAIL 254 /* RFC 5321, 4.5.3.1.3, less the angle brackets */
#define MOST_META 16384

struct args {
    char prefix[65], domain[129];
    int on_duplicate;
};

enum on_duplicate { DUPLICATE_FAILS, DUPLICATE_IS_TOLD };

struct creation {
    struct row_call *call;
    size_t length;
    char email[MOST_EMAIL + 1];
};

/* An item as an object. */
struct input {
    char name[MOST_NAME + 1], email[MOST_EMAIL + 1];
    int64_t age;
    const struct json *meta;
};

static const struct field input_list[] = {
    {.name = "email",
     .type = FIELD_TEXT,
     .offset = offsetof(struct input, email),
     .min = 3,
     .max = MOST_EMAIL,
     .def_text = "",
     .summary = "unique; upper case (ASCII) counts as lower case"},
    {.name = "name",
     .type = FIELD_TEXT,
     .offset = offsetof(struct input, name),
     .max = MOST_NAME,
     .def_text = "",
     .summary = "any text"},
    {.name = "age",
     .type = FIELD_INT,
     .offset = offsetof(struct input, age),
     .min = 0,
     .max = 200,
     .def = -1,
     .summary = "years"},
    {.name = "meta",
     .type = FIELD_JSON,
     .offset = offsetof(struct input, meta),
     .summary = "an object: whatever else is known of the user"},
};
static const struct fields input_fields = FIELDS(input_list, struct input);

/* One @ with something on both sides, nothing blank; lower case from here on. What lies behind it only mail can tell. */
static bool read_email(const char *text, struct creation *c, struct err *e)
{
    size_t n = 0, at = 0, ats = 0;
    for (; text[n]; n++) {
        unsigned char ch = (unsigned char)text[n];
        if (ch <= ' ' || ch == 0x7f || n == MOST_EMAIL)
            return err_at(e, ERR_BAD_FIELD, "/email",
                          "\"/email\" must not hold blanks, and have %d bytes at most", MOST_EMAIL);
        if (ch == '@') {
            at = n;
            ats++;
        }
        c->email[n] = ch >= 'A' && ch <= 'Z' ? (char)(ch + 32) : (char)ch;
    }
    c->length = n;
    if (ats != 1 || at == 0 || at == n - 1)
        return err_at(e, ERR_BAD_FIELD, "/email",
                      "\"/email\" must be an address: one @ and something on both sides");
    return true;
}

static bool put(struct item *it, struct creation *c, const struct user_row *u)
{
    struct user_row row = *u;
    row.email = (struct span){c->email, c->length};
    c->call = rows_put_user(it, &row);
    return c->call != NULL;
}

/* Of an item that was only counted. */
static bool invent(struct item *it, struct creation *c)
{
    const struct args *args = it->args;
    struct buf email CLEANUP(buf_release) = BUF_INIT(MOST_EMAIL),
                     name CLEANUP(buf_release) = BUF_INIT(MOST_NAME);
    buf_printf(&email, "%s-%" PRId64 "@%s%c", args->prefix, it->index, args->domain, '\0');
    buf_printf(&name, "%s %" PRId64, args->prefix, it->index);
    return read_email(email.ptr, c, &it->err) &&
           put(it, c, &(struct user_row){.name = buf_view(&name), .age = -1});
}

static bool begin(struct item *it, struct creation *c)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct buf meta CLEANUP(buf_release) = BUF_INIT(MOST_META);
    struct input in;
    if (it->input.len == 0)
        return invent(it, c);
    if (!fields_read_text(&input_fields, &a, it->input, &in, &it->err) || !read_email(in.email, c, &it->err))
        return false;
    if (json_type(in.meta) == JSON_OBJECT)
        json_emit(&meta, in.meta);
    else if (json_type(in.meta) != JSON_NULL)
        return err_at(&it->err, ERR_BAD_FIELD, "/meta", "\"/meta\" must be an object");
    if (meta.failed)
        return err_at(&it->err, ERR_BAD_FIELD, "/meta", "\"/meta\" must be %d bytes at most", MOST_META);
    return put(it, c, &(struct user_row){.name = span_of(in.name), .age = in.age, .meta = buf_view(&meta)});
}

static enum step end(struct item *it, const struct creation *c)
{
    const struct args *args = it->args;
    const struct row_call *call = c->call;
    if (call->err.code != ERR_NONE) {
        it->err = call->err;
        return STEP_FAIL;
    }
    if (!call->created && args->on_duplicate == DUPLICATE_FAILS) {
        err_at(&it->err, ERR_DUPLICATE, "/email",
               "there is a user with the address %s already: number %" PRId64, c->email, call->id);
        return STEP_FAIL;
    }
    struct json_out o = json_out(&it->out);
    json_open(&o, '{');
    json_key(&o, "id");
    json_put_int(&o, call->id);
    json_key(&o, "email");
    json_put_text(&o, (struct span){c->email, c->length});
    json_key(&o, "created");
    json_put_bool(&o, call->created);
    if (!call->created) {
        json_key(&o, "duplicate");
        json_put_bool(&o, true);
    }
    json_close(&o, '}');
    return STEP_DONE;
}

static enum step step(struct item *it)
{
    struct creation *c = it->state;
    if (!c->call && !begin(it, c))
        return STEP_FAIL;
    return c->call->done ? end(it, c) : item_wait_call(it);
}

static void drop(struct item *it)
{
    struct creation *c = it->state;
    rows_drop(c->call);
}

static const char *const on_duplicate_words[] = {"fail", "report", NULL};

static const struct field fields[] = {
    {.name = "on_duplicate",
     .type = FIELD_ENUM,
     .offset = offsetof(struct args, on_duplicate),
     .words = on_duplicate_words,
     .def = DUPLICATE_FAILS,
     .summary = "an address that is there already: fail the item, or report it in the result"},
    {.name = "prefix",
     .type = FIELD_TEXT,
     .offset = offsetof(struct args, prefix),
     .min = 1,
     .max = 64,
     .def_text = "user",
     .summary = "items that are only counted become PREFIX-INDEX@DOMAIN"},
    {.name = "domain",
     .type = FIELD_TEXT,
     .offset = offsetof(struct args, domain),
     .min = 1,
     .max = 128,
     .def_text = "example.com",
     .summary = "see prefix"},
};

const struct handler handler_db_users = {
    .name = "db.users",
    .summary = "creates users in bulk; e-mail addresses are unique, and each duplicate is told by its item",
    .item = "object {email, name, age, meta}",
    .params = FIELDS(fields, struct args),
    .state_size = sizeof(struct creation),
    .step = step,
    .drop = drop,
    .unremembered = true,
};
