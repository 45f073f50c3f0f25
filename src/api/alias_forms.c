/* The bodies that clients of other systems send. */
#include <math.h>

#include "api/alias.h"

/* A row of a form: its field is called as the member is. What follows the text is as in struct field. */
/* clang-format off */
#define ROW(of, member, kind, ...) \
    {.name = #member, .type = FIELD_##kind, .offset = offsetof(struct of, member), .summary = __VA_ARGS__}
#define TEXT(of, member, most, text) ROW(of, member, TEXT, text, .max = most, .def_text = "")
#define INT(of, member, least, most, usual, text) ROW(of, member, INT, text, .min = least, .max = most, .def = usual)
#define GIVEN(of, member) .given = offsetof(struct of, member##_given)
/* clang-format on */

static bool missing(struct err *e, const char *pointer, const char *what)
{
    return err_at(e, ERR_BAD_FIELD, pointer, "\"%s\" must be %s", pointer, what);
}

static void put_one(struct json_out *o, const struct json *item)
{
    json_key(o, "items");
    json_open(o, '[');
    if (item)
        json_put_value(o, item);
    else
        json_put_null(o);
    json_close(o, ']');
}

/* ---- {"data": …}: a job is whatever its data is; of which handler may be said, too */

struct job {
    const struct json *data;
    char handler[LIMIT_NAME + 1];
    int64_t priority;
    bool data_given;
};

static const struct field job_list[] = {
    ROW(job, data, JSON, "the item", GIVEN(job, data)),
    TEXT(job, handler, LIMIT_NAME, "what is done to it"),
    INT(job, priority, 0, 9, 5, "higher first"),
};
static const struct fields job_fields = FIELDS(job_list, struct job);

static bool write_job(const void *values, struct json_out *o, struct err *e)
{
    const struct job *j = values;
    (void)e;
    if (j->data_given) {
        put_one(o, j->data);
    } else {
        json_key(o, "items_count");
        json_put_int(o, 1);
    }
    json_key(o, "priority");
    json_put_int(o, j->priority);
    return true;
}

static const char *job_handler(const void *values)
{
    return ((const struct job *)values)->handler;
}

const struct alias_form form_job = {.fields = &job_fields,
                                    .items = "/data",
                                    .write = write_job,
                                    .handler = job_handler,
                                    .single = true};

/* ---- {"url": …} and {"urls": […]} */

struct fetching {
    char url[LIMIT_URL + 1];
    const struct json *urls;
    double timeout;
    int64_t concurrency;
};

#define URL TEXT(fetching, url, LIMIT_URL, "http or https")
#define TIMEOUT ROW(fetching, timeout, NUM, "seconds that a request may take", .max = 3600, .def = 30)

static const struct field url_list[] = {
    URL,
    TIMEOUT,
};
static const struct fields url_fields = FIELDS(url_list, struct fetching);

static const struct field urls_list[] = {
    ROW(fetching, urls, JSON, "list of URLs"),
    INT(fetching, concurrency, 1, LIMIT_WIDTH, 100, "requests under way at once"),
    TIMEOUT,
};
static const struct fields urls_fields = FIELDS(urls_list, struct fetching);

static void put_timeout(struct json_out *o, double seconds)
{
    int64_t ms = (int64_t)ceil(seconds * 1000);
    json_key(o, "params");
    json_open(o, '{');
    json_key(o, "timeout_ms");
    json_put_int(o, ms > 0 ? ms : 1);
    json_close(o, '}');
}

static bool write_url(const void *values, struct json_out *o, struct err *e)
{
    const struct fetching *f = values;
    if (f->url[0] == '\0')
        return missing(e, "/url", "a URL");
    json_key(o, "items");
    json_open(o, '[');
    json_put_str(o, f->url);
    json_close(o, ']');
    put_timeout(o, f->timeout);
    return true;
}

static bool write_urls(const void *values, struct json_out *o, struct err *e)
{
    const struct fetching *f = values;
    if (json_type(f->urls) != JSON_LIST || json_len(f->urls) == 0)
        return missing(e, "/urls", "a list of URLs");
    json_key(o, "items");
    json_put_value(o, f->urls);
    json_key(o, "batch_size");
    json_put_int(o, f->concurrency);
    put_timeout(o, f->timeout);
    return true;
}

const struct alias_form form_url = {.fields = &url_fields,
                                    .items = "/url",
                                    .write = write_url,
                                    .single = true};
const struct alias_form form_urls = {.fields = &urls_fields, .items = "/urls", .write = write_urls};

/* One or many. */
static const struct field either_list[] = {
    URL,
    ROW(fetching, urls, JSON, "or a list of them"),
    TIMEOUT,
};
static const struct fields either_fields = FIELDS(either_list, struct fetching);

static bool write_either(const void *values, struct json_out *o, struct err *e)
{
    struct fetching f = *(const struct fetching *)values;
    if (json_type(f.urls) == JSON_NULL) {
        json_key(o, "on_item_error");
        json_put_str(o, "fail");
        return write_url(&f, o, e);
    }
    if (f.url[0])
        return missing(e, "/url", "left out where there is \"/urls\"");
    f.concurrency = 100;
    return write_urls(&f, o, e);
}

const struct alias_form form_either = {.fields = &either_fields, .items = "/urls", .write = write_either};

/* ---- {"seconds": 2} or {"duration": 2} */

struct pause {
    double seconds, duration;
    bool seconds_given, duration_given;
};

static const struct field seconds_list[] = {
    ROW(pause, seconds, NUM, "how long to wait", .max = 3600, .def = 1, GIVEN(pause, seconds)),
    ROW(pause, duration, NUM, "the same", .max = 3600, .def = 1, GIVEN(pause, duration)),
};
static const struct fields seconds_fields = FIELDS(seconds_list, struct pause);

static bool write_seconds(const void *values, struct json_out *o, struct err *e)
{
    const struct pause *p = values;
    if (p->seconds_given && p->duration_given)
        return missing(e, "/duration", "left out where there is \"/seconds\"");
    json_key(o, "items");
    json_open(o, '[');
    json_put_int(o, (int64_t)ceil((p->duration_given ? p->duration : p->seconds) * 1000));
    json_close(o, ']');
    return true;
}

const struct alias_form form_seconds = {.fields = &seconds_fields,
                                        .items = "/seconds",
                                        .write = write_seconds,
                                        .single = true};

/* ---- {"n": 1000000} */

struct number {
    int64_t n;
};

static const struct field number_list[] = {
    INT(number, n, 0, INT64_C(1000000000000), 1000000, "how many"),
};
static const struct fields number_fields = FIELDS(number_list, struct number);

static bool write_number(const void *values, struct json_out *o, struct err *e)
{
    (void)e;
    json_key(o, "items");
    json_open(o, '[');
    json_put_int(o, ((const struct number *)values)->n);
    json_close(o, ']');
    return true;
}

const struct alias_form form_number = {.fields = &number_fields,
                                       .items = "/n",
                                       .write = write_number,
                                       .single = true};

/* ---- {"data": "text", "level": 6} */

struct text {
    const struct json *data;
    int64_t level;
};

static const struct field text_list[] = {
    ROW(text, data, JSON, "what is compressed: a string"),
    INT(text, level, 1, 9, 6, "1 is quick, 9 is small"),
};
static const struct fields text_fields = FIELDS(text_list, struct text);

static bool write_text(const void *values, struct json_out *o, struct err *e)
{
    const struct text *t = values;
    if (json_type(t->data) != JSON_TEXT)
        return missing(e, "/data", "a string");
    put_one(o, t->data);
    json_key(o, "params");
    json_open(o, '{');
    json_key(o, "method");
    json_put_str(o, "zlib");
    json_key(o, "level");
    json_put_int(o, t->level);
    json_close(o, '}');
    return true;
}

const struct alias_form form_text = {.fields = &text_fields,
                                     .items = "/data",
                                     .write = write_text,
                                     .single = true};
