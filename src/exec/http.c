/* http.c: calls: whether they may begin, what they wait for, and what becomes of them. */
#include "exec/http_call.h"

#include <assert.h>
#include <curl/curl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "core/limits.h"
#include "core/mem.h"
#include "model/redis.h"
#include "model/rows.h"

#define EVENTS 64 /* looked at together */
#define MANY 64   /* calls at once: with fewer it costs nothing to look for a connection */
#define SPARE 64  /* connections that are kept beyond as many as were ever in use at once */
#define IDLE 128  /* connections that are kept for whoever comes next: two looks full */

/* ---- the limits of hosts */

static void set_later(void *arg)
{
    struct http *h = arg;
    int64_t due = CLOCK_NEVER;
    struct itimerspec t = {{0}, {0}}; /* off */
    for (size_t i = 0; i < h->gates_n; i++)
        due = gate_due(h->gates[i]) < due ? gate_due(h->gates[i]) : due;
    if (due != CLOCK_NEVER)
        t.it_value = (struct timespec){.tv_sec = due / NS_PER_S, .tv_nsec = due % NS_PER_S};
    timerfd_settime(h->later, TFD_TIMER_ABSTIME, &t, NULL);
}

static void look_at_gates(struct http *h)
{
    int64_t now = clock_now();
    for (size_t i = 0; i < h->gates_n; i++)
        gate_look(h->gates[i], now);
    set_later(h);
}

static void close_gates(struct http *h)
{
    for (size_t i = 0; i < h->gates_n; i++)
        gate_free(h->gates[i]);
    mem_free(h->gates);
    h->gates = NULL;
    h->gates_n = 0;
}

static void set_out(struct call *c);

static void go(void *arg, struct pass *p)
{
    (void)arg;
    set_out((void *)((char *)p - offsetof(struct call, pass)));
}

/* NULL: the host has none. */
static struct gate *gate_of(struct http *h, struct item *it, const char *host)
{
    const struct conf_destination *d = places_limits(host);
    if (!d || (d->concurrency == 0 && d->rate == 0))
        return NULL;
    for (size_t i = 0; i < h->gates_n; i++)
        if (gate_limits(h->gates[i]) == d)
            return h->gates[i];
    struct err before = it->err;
    void *redis = item_client(it, &redis_own_port); /* NULL: it has to do without */
    it->err = before;
    h->gates = mem_grow(h->gates, h->gates_n + 1, sizeof(struct gate *));
    h->gates[h->gates_n] = gate_new(d, redis, go, set_later, h);
    return h->gates[h->gates_n++];
}

/* ---- what comes back */

static void set_error(struct call *c, CURLcode code)
{
    struct err *e = &c->shown.err;
    const char *why = c->error[0] ? c->error : curl_easy_strerror(code);
    if (c->too_large || code == CURLE_FILESIZE_EXCEEDED)
        err_set(e, ERR_ITEM_TOO_LARGE, "the answer is larger than %zu bytes, or its headers than %u",
                c->body.max, LIMIT_HTTP_HEAD);
    else if (c->refusal.code != ERR_NONE &&
             (code == CURLE_COULDNT_CONNECT || code == CURLE_ABORTED_BY_CALLBACK))
        *e = c->refusal;
    else if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL ||
             code == CURLE_TOO_MANY_REDIRECTS)
        err_set(e, ERR_REJECTED, "%s",
                why); /* what the server said: a redirect to nowhere, or no HTTP at all */
    else if (code == CURLE_OPERATION_TIMEDOUT)
        err_set(e, ERR_TIMEOUT, "%s", why);
    else
        err_set(e, ERR_UNREACHABLE, "%s", why);
}

static void set_answer(struct call *c)
{
    struct http_call *shown = &c->shown;
    long status = 0, version = 0, redirects = 0;
    curl_off_t bytes = 0, later = 0;
    curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(c->easy, CURLINFO_HTTP_VERSION, &version);
    curl_easy_getinfo(c->easy, CURLINFO_REDIRECT_COUNT, &redirects);
    curl_easy_getinfo(c->easy, CURLINFO_SIZE_DOWNLOAD_T, &bytes);
    curl_easy_getinfo(c->easy, CURLINFO_EFFECTIVE_URL, &shown->url);
    curl_easy_getinfo(c->easy, CURLINFO_RETRY_AFTER, &later);
    shown->status = (int)status;
    shown->retry_after = later;
    shown->redirects = redirects;
    shown->bytes = bytes;
    shown->version = version == CURL_HTTP_VERSION_1_0 ? 10 : version == CURL_HTTP_VERSION_2_0 ? 20 : 11;
    shown->head = buf_view(&c->head);
    shown->body = buf_view(&c->body);
}

/* ---- places */

static bool has_room(const struct http *h, bool name)
{
    if (h->calls >= LIMIT_HTTP_CALLS || (name && h->resolving >= LIMIT_HTTP_RESOLVING))
        return false;
    /* One may always go on: nobody tells this thread when another has given descriptors back. */
    return h->calls == 0 || http_process_room();
}

/* As many connections are kept as were in use at once: curl would keep four times as many. */
static void note_most(struct http *h)
{
    h->most_calls = h->calls;
    curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)h->most_calls + SPARE);
}

/* Before it connects libcurl looks through all connections to the host for one that is free, which is a quarter of the time of 10,000
 * calls at once. Where none can be free, because no call has ended since, it is told not to. (Of https one may be shared; and what waits for
 * one of few connections shall have it.) */
static void look_for_free(struct call *c)
{
    struct http *h = c->client;
    bool none = h->calls >= MANY && h->ended == 0 && h->per_host == 0 && strncmp(c->where, "http:", 5) == 0;
    h->ended -= h->ended > 0;
    curl_easy_setopt(c->easy, CURLOPT_FRESH_CONNECT, (long)none);
}

/* libcurl finds a connection that it keeps by looking through all of them, once more when its call is taken out: with thousands that end
 * together a third of the time. One that is closed needs no looking for. (Where there are few by the caller's wish, others wait for them inside
 * libcurl.) Thousands of answers may begin, and end, in one look of libcurl's: those of this look count as if they had
 * ended, and no others: an answer may last. */
void http_answers(struct call *c)
{
    struct http *h = c->client;
    c->keeps = h->per_host != 0 || h->ended + h->answers < IDLE;
    h->answers += c->keeps;
    curl_easy_setopt(c->easy, CURLOPT_FORBID_REUSE, (long)!c->keeps);
}

static bool start(struct call *c)
{
    struct http *h = c->client;
    look_for_free(c);
    if (curl_multi_add_handle(h->multi, c->easy) != CURLM_OK)
        return false;
    http_process_count(1);
    c->resolving = c->name;
    h->resolving += c->name;
    c->moving = true;
    if (++h->calls > h->most_calls)
        note_most(h);
    return true;
}

static void line_up(struct call *c)
{
    struct line *l = &c->client->lines[c->name];
    c->waits = true;
    c->prev = l->last;
    *(l->last ? &l->last->next : &l->first) = c;
    l->last = c;
}

static void step_out(struct call *c)
{
    struct line *l = &c->client->lines[c->name];
    c->waits = false;
    *(c->prev ? &c->prev->next : &l->first) = c->next;
    *(c->next ? &c->next->prev : &l->last) = c->prev;
}

/* Whoever waits longest goes first. */
static void fill(struct http *h)
{
    for (int name = 0; name < 2; name++)
        while (h->lines[name].first && has_room(h, name)) {
            struct call *next = h->lines[name].first;
            step_out(next);
            bool ok = start(next);
            assert(ok); /* it fails for want of memory only */
            (void)ok;
        }
}

void http_resolved(struct call *c)
{
    c->client->resolving -= c->resolving;
    c->resolving = false;
}

bool http_resolves(struct call *c)
{
    if (c->resolving)
        return true;
    if (c->client->resolving >= 2 * LIMIT_HTTP_RESOLVING)
        return false;
    c->resolving = true;
    c->client->resolving++;
    return true;
}

static void leave(struct call *c)
{
    struct http *h = c->client;
    curl_multi_remove_handle(h->multi, c->easy);
    http_resolved(c);
    c->moving = false;
    h->calls--;
    h->ended += c->keeps;
    http_process_count(-1);
    fill(h);
}

/* For the log, if it is wanted. Where redirects ended is whose answer it is. */
static void note(struct call *c)
{
    struct outgoing o = c->noted;
    if (uuid_is_nil(o.task))
        return;
    o.method = span_of(c->method);
    o.url = span_of(c->shown.url);
    o.status = c->shown.status;
    o.error = c->shown.err.code;
    o.us = (clock_now() - c->began) / 1000;
    outgoing_note(&o);
}

/* What the breaker is told. An answer that is too large is one. */
static enum visit_end judge(const struct http_call *shown)
{
    enum err_code code = shown->err.code;
    if (code == ERR_UNREACHABLE || code == ERR_TIMEOUT || (code == ERR_NONE && shown->status >= 500))
        return VISIT_FAILED;
    return code == ERR_NONE || code == ERR_ITEM_TOO_LARGE ? VISIT_OK : VISIT_UNKNOWN;
}

static void end(struct call *c)
{
    c->shown.done = true;
    gate_leave(&c->pass);
    if (!c->beginning)
        c->over(c->arg);
}

static void finish(struct call *c, CURLcode code)
{
    set_answer(c); /* what there is of it */
    if (code != CURLE_OK)
        set_error(c, code);
    places_leave(&c->visit, judge(&c->shown));
    leave(c);
    note(c);
    end(c);
}

/* It was let through. */
static void set_out(struct call *c)
{
    struct http *h = c->client;
    if (!places_visit(c->where, c->host, &c->visit, &c->shown.err)) {
        end(c);
    } else if (!has_room(h, c->name)) {
        line_up(c);
    } else if (!start(c)) {
        err_set(&c->shown.err, ERR_SYSTEM, "libcurl did not take the request");
        places_leave(&c->visit, VISIT_UNKNOWN);
        end(c);
    }
}

void http_drive(void *client)
{
    struct http *h = client;
    struct epoll_event events[EVENTS];
    int left, n = epoll_wait(h->sockets, events, EVENTS, 0);
    h->answers = 0;
    for (int i = 0; i < n; i++) {
        uint64_t ticks;
        unsigned e = events[i].events;
        int what = (e & EPOLLIN ? CURL_CSELECT_IN : 0) | (e & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                   (e & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
        bool alarm = events[i].data.fd == h->alarm;
        if (events[i].data.fd == h->later) {
            if (read(h->later, &ticks, sizeof ticks) > 0)
                look_at_gates(h);
            continue;
        }
        if (alarm && !http_alarm_due(h))
            continue;
        curl_multi_socket_action(h->multi, alarm ? CURL_SOCKET_TIMEOUT : events[i].data.fd, alarm ? 0 : what,
                                 &left);
    }
    CURLMsg *m;
    while ((m = curl_multi_info_read(h->multi, &left))) {
        struct call *c = NULL;
        CURLcode code = m->data.result;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &c);
        finish(c, code);
    }
    fill(h); /* names that are known by now have left their places */
}

static void begin(struct call *c, struct item *it)
{
    c->beginning = true;
    struct gate *g = it ? gate_of(c->client, it, c->host) : NULL;
    if (g && places_refuse(c->where, &c->shown.err))
        end(c); /* no need to wait in line for that */
    else if (g)
        gate_enter(g, &c->pass);
    else
        set_out(c);
    c->beginning = false;
}

static bool begin_call(struct http *h, struct item *it, const struct http_request *r, void (*over)(void *arg),
                       void *arg, struct http_call **ret, struct err *e)
{
    struct call *c = mem_alloc(sizeof *c);
    *c = (struct call){.client = h, .over = over, .arg = arg, .easy = curl_easy_init()};
    buf_init(&c->origin, LIMIT_HTTP_HEAD);
    buf_init(&c->head, LIMIT_HTTP_HEAD);
    buf_init(&c->body, (size_t)(r->most > 0 ? r->most : 0));
    bool ok = c->easy ? call_set(c, r, e) : err_set(e, ERR_SYSTEM, "libcurl has no memory for a request");
    if (!ok) {
        http_drop(&c->shown);
        return false;
    }
    if (h->per_host != r->per_host) {
        h->per_host = r->per_host;
        curl_multi_setopt(h->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)r->per_host);
    }
    begin(c, it);
    *ret = &c->shown;
    return true;
}

bool http_begin(struct http *h, const struct http_request *r, void (*over)(void *arg), void *arg,
                struct http_call **ret, struct err *e)
{
    return begin_call(h, NULL, r, over, arg, ret, e);
}

static void item_over(void *arg)
{
    item_call_over(arg);
}

/* The client of the rows is for the end of the process, or of a child's order: what its kind has is waited for then. */
static void prepare_note(struct http_call *shown, struct item *it, const struct http_request *r)
{
    struct call *c = (void *)((char *)shown - offsetof(struct call, shown));
    struct err before = it->err;
    (void)item_client(it, &rows_port);
    it->err = before;
    c->noted = (struct outgoing){.task = it->task, .item = it->index};
    c->began = clock_now();
    struct span method = r->method.len ? r->method : SPAN("GET");
    memcpy(c->method, method.ptr, method.len); /* call_set looked at its length */
}

struct http_call *http_start(struct item *it, const struct http_request *r)
{
    struct http *h = item_client(it, &http_port);
    struct http_call *c;
    if (!h || !begin_call(h, it, r, item_over, it, &c, &it->err))
        return NULL;
    if (outgoing_wanted())
        prepare_note(c, it, r);
    return c;
}

void http_drop(struct http_call *shown)
{
    if (!shown)
        return;
    struct call *c = (void *)((char *)shown - offsetof(struct call, shown));
    if (c->waits)
        step_out(c);
    else if (c->moving)
        leave(c);
    places_leave(&c->visit, VISIT_UNKNOWN);
    gate_leave(&c->pass);
    if (c->easy)
        curl_easy_cleanup(c->easy);
    curl_slist_free_all(c->headers);
    curl_slist_free_all(c->plain);
    buf_release(&c->origin);
    buf_release(&c->head);
    buf_release(&c->body);
    mem_free(c);
}

void http_close(void *client)
{
    struct http *h = client;
    if (!h)
        return;
    assert(h->calls == 0 && !h->lines[0].first && !h->lines[1].first);
    close_gates(h);
    http_put_away(h);
}

const struct port_kind http_port = {
    .name = "outgoing HTTP",
    .open = http_open,
    .close = http_close,
    .descriptor = http_descriptor,
    .drive = http_drive,
    .release = http_release,
};
