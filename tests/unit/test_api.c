/*
 * The api without a queue, a store or a front: those here are fakes that a test drives by hand. What matters is who
 * answers when, exactly once, and on which thread.
 */
#include "api_fakes.h"

static struct conf conf = {.api_wait = 25000, .api_upload_max = 1 << 20};
static struct api *api;

static int set_up(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof fake);
    id_of_put = uuid_v7();
    fake.task =
        (struct task){.id = uuid_v7(), .state = TASK_running, .strategy = SPAN("hybrid"), .items_total = 9};
    return api_new(&conf, (struct queue *)&fake, &api, NULL) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    api_drain(api);
    api_stop(api);
    api_free(api);
    return 0;
}

static struct sent *submit(const char *strategy, const char *prefer)
{
    struct sent *s = call_new(METHOD_POST, strategy, "", "{\"items_count\":3}");
    s->call.req.prefer = span_of(prefer);
    api_handle(api, &s->call);
    return s;
}

static struct task *ended(enum task_state state, const char *strategy)
{
    static struct task t;
    t = (struct task){.id = id_of_put, .state = state, .strategy = span_of(strategy)};
    return &t;
}

static void t01_waits_until_the_end(void **state)
{
    (void)state;
    struct sent *s = submit("/api/v1/tasks/async", "");
    assert_int_equal(s->times, 0);
    fake.put_done(fake.put_arg, id_of_put, false, NULL);
    assert_int_equal(s->times, 0);
    assert_true(fake.wait->deadline > clock_after_ms(20000) && fake.wait->deadline <= clock_after_ms(25000));
    fake.wait->ready(fake.wait->arg, ended(TASK_failed, "async-batch"), NULL);
    assert_int_equal(s->call.res.status, 200);
    assert_string_equal(text_of(s, "state"), "failed");
    assert_true(has_header(s, "Vary: Prefer\r\n"));
    assert_false(has_header(s, "Location"));
    call_free(s);
}

static void check_accepted(struct sent *s)
{
    char line[96], id[UUID_TEXT];
    uuid_format(id_of_put, id);
    snprintf(line, sizeof line, "Location: /api/v1/tasks/%s\r\n", id);
    assert_int_equal(s->call.res.status, 202);
    assert_true(has_header(s, line));
    assert_true(has_header(s, "Retry-After: 1\r\n"));
    assert_string_equal(text_of(s, "id"), id);
}

static void t02_outlasts_the_wait(void **state)
{
    (void)state;
    struct sent *s = submit("/api/v1/tasks/hybrid", "wait=3");
    fake.put_done(fake.put_arg, id_of_put, false, NULL);
    assert_true(fake.wait->deadline <= clock_after_ms(3000));
    fake.wait->ready(fake.wait->arg, ended(TASK_running, "hybrid"), NULL);
    check_accepted(s);
    assert_true(has_header(s, "Preference-Applied: wait=3\r\n"));
    assert_string_equal(text_of(s, "state"), "running");
    call_free(s);
}

static void t03_at_once(void **state)
{
    (void)state;
    const char *const cases[][2] = {{"/api/v1/tasks/background", ""},
                                    {"/api/v1/tasks/background", "wait=9"},
                                    {"/api/v1/tasks/hybrid", "respond-async"},
                                    {"/api/v1/tasks/compare", "wait=0"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sent *s = submit(cases[i][0], cases[i][1]);
        fake.put_done(fake.put_arg, id_of_put, false, NULL);
        assert_null(fake.wait);
        check_accepted(s);
        assert_int_equal(fake.asked_for_children, 0); /* the writer's thread must not wait for the store */
        call_free(s);
    }
}

static void t04_not_written(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    fake.refuse_put = true;
    struct sent *s = submit("/api/v1/tasks/hybrid", "");
    assert_int_equal(s->call.res.status, 503);
    assert_true(has_header(s, "Retry-After"));
    call_free(s);
    fake.refuse_put = false;
    s = submit("/api/v1/tasks/hybrid", "");
    err_set(&e, ERR_STORE, "gone");
    fake.put_done(fake.put_arg, id_of_put, false, &e);
    assert_int_equal(s->call.res.status, 503);
    assert_string_equal(text_of(s, "type"), "/problems/store-unavailable");
    assert_string_equal(text_of(s, "request_id"), "r1");
    call_free(s);
}

/* Once it is committed nothing makes an error of it. */
static void t05_accepted_is_accepted(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct sent *s = submit("/api/v1/tasks/hybrid", "");
    fake.refuse_wait = true;
    fake.put_done(fake.put_arg, id_of_put, false, NULL);
    check_accepted(s);
    call_free(s);
    fake.refuse_wait = false;
    s = submit("/api/v1/tasks/hybrid", "");
    fake.put_done(fake.put_arg, id_of_put, false, NULL);
    err_set(&e, ERR_STORE, "gone");
    fake.wait->ready(fake.wait->arg, NULL, &e);
    check_accepted(s);
    assert_string_equal(text_of(s, "state"), "queued");
    call_free(s);
}

static void t06_drain(void **state)
{
    (void)state;
    struct sent *waiting = submit("/api/v1/tasks/hybrid", "");
    fake.put_done(fake.put_arg, id_of_put, false, NULL);
    struct sent *put = submit("/api/v1/tasks/hybrid", "");
    api_drain(api);
    check_accepted(waiting);
    assert_true(fake.unwaited);
    fake.put_done(fake.put_arg, id_of_put, false, NULL); /* its commit comes later: nobody waits any more */
    check_accepted(put);
    call_free(waiting);
    call_free(put);
}

/* The queue had taken the wait out already: its ready is on the way, and answers. */
static void t07_drain_against_ready(void **state)
{
    (void)state;
    struct sent *s = submit("/api/v1/tasks/hybrid", "");
    fake.put_done(fake.put_arg, id_of_put, false, NULL);
    struct queue_wait *w = fake.wait;
    fake.wait = NULL;
    api_drain(api);
    assert_int_equal(s->times, 0);
    w->ready(w->arg, ended(TASK_succeeded, "hybrid"), NULL);
    assert_int_equal(s->call.res.status, 200);
    call_free(s);
}

static void t08_a_comparison_is_not_told_on_the_waiters_thread(void **state)
{
    (void)state;
    fake.children[0] =
        (struct task){.id = uuid_v7(), .strategy = SPAN("sequential"), .state = TASK_succeeded};
    fake.children[1] = (struct task){.id = uuid_v7(), .strategy = SPAN("hybrid"), .state = TASK_succeeded};
    struct sent *s = submit("/compare", "");
    fake.put_done(fake.put_arg, id_of_put, false, NULL);
    fake.wait->ready(fake.wait->arg, ended(TASK_succeeded, "compare"), NULL);
    await_answer(s);
    assert_int_equal(fake.asked_for_children, 1);
    assert_false(pthread_equal(fake.children_asked_on, pthread_self()));
    assert_int_equal(json_len(json_member(json_member(document(s), "comparison"), "strategies")), 2);
    call_free(s);
}

static void t09_after_stop_the_store_is_not_asked(void **state)
{
    (void)state;
    struct sent *s = submit("/compare", "");
    fake.put_done(fake.put_arg, id_of_put, false, NULL);
    struct queue_wait *w = fake.wait;
    fake.wait = NULL;
    api_drain(api);
    api_stop(api);
    w->ready(w->arg, ended(TASK_succeeded, "compare"), NULL);
    check_accepted(s);
    assert_int_equal(json_type(json_member(document(s), "comparison")), JSON_NULL);
    assert_int_equal(fake.asked_for_children, 0);
    call_free(s);
}

/* `before` the id and `after` it. */
static struct sent *get(const char *before, const char *after, const char *query)
{
    static char path[128];
    char id[UUID_TEXT];
    uuid_format(fake.task.id, id);
    snprintf(path, sizeof path, "%s%s%s", before, id, after);
    return call_new(METHOD_GET, path, query, "");
}

static void t10_get(void **state)
{
    (void)state;
    struct sent *s = get("/api/v1/tasks/", "", "");
    api_handle(api, &s->call);
    assert_int_equal(s->call.res.status, 200);
    char *etag = strstr(arena_text(&s->call.arena, buf_view(&s->call.res.headers)), "ETag: ") + 6;
    *strchr(etag, '\r') = '\0';
    struct sent *again = get("/api/v1/tasks/status/", "", "");
    again->call.req.if_none_match = span_of(etag);
    api_handle(api, &again->call);
    assert_int_equal(again->call.res.status, 304);
    fake.task.items_done++;
    struct sent *changed = get("/api/v1/tasks/", "", "");
    changed->call.req.if_none_match = span_of(etag);
    api_handle(api, &changed->call);
    assert_int_equal(changed->call.res.status, 200);
    call_free(s);
    call_free(again);
    call_free(changed);
}

static void t11_long_poll(void **state)
{
    (void)state;
    struct sent *s = get("/api/v1/tasks/", "", "wait=7");
    api_handle(api, &s->call);
    assert_int_equal(s->times, 0);
    assert_true(fake.wait->deadline <= clock_after_ms(7000));
    struct task seen = fake.task;
    fake.task.items_done = 4; /* what is live, and not stored */
    fake.wait->ready(fake.wait->arg, &seen, NULL);
    await_answer(s);
    assert_int_equal(json_as_int(json_member(json_member(document(s), "items"), "done")), 4);
    call_free(s);
    fake.wait = NULL;
    fake.task.state = TASK_succeeded;
    s = get("/api/v1/tasks/", "", "wait=7");
    api_handle(api, &s->call);
    assert_null(fake.wait); /* over already */
    call_free(s);
}

/* The table cannot be read: POST says where it will be, GET that it failed, DELETE that it was done. */
static void t17_no_table(void **state)
{
    (void)state;
    fake.no_children = true;
    struct sent *s = submit("/compare", "");
    fake.put_done(fake.put_arg, id_of_put, false, NULL);
    fake.wait->ready(fake.wait->arg, ended(TASK_succeeded, "compare"), NULL);
    await_answer(s);
    check_accepted(s);
    assert_int_equal(json_type(json_member(document(s), "comparison")), JSON_NULL);
    call_free(s);
    fake.task.strategy = SPAN("compare");
    fake.task.state = TASK_cancelled;
    s = get("/api/v1/tasks/", "", "");
    api_handle(api, &s->call);
    assert_int_equal(s->call.res.status, 503);
    assert_string_equal(text_of(s, "type"), "/problems/store-unavailable");
    call_free(s);
    s = get("/api/v1/tasks/", "", "");
    s->call.req.method = METHOD_DELETE;
    api_handle(api, &s->call);
    assert_int_equal(s->call.res.status, 200);
    assert_int_equal(json_type(json_member(document(s), "comparison")), JSON_NULL);
    call_free(s);
}

static void t18_get_prefers(void **state)
{
    (void)state;
    struct sent *s = get("/api/v1/tasks/", "", "");
    s->call.req.prefer = SPAN("wait=7");
    api_handle(api, &s->call);
    assert_true(fake.wait->deadline > clock_after_ms(5000) && fake.wait->deadline <= clock_after_ms(7000));
    fake.wait->ready(fake.wait->arg, &fake.task, NULL);
    await_answer(s);
    assert_true(has_header(s, "Vary: Prefer\r\n"));
    assert_true(has_header(s, "Preference-Applied: wait=7\r\n"));
    call_free(s);
    fake.wait = NULL;
    s = get("/api/v1/tasks/", "", "");
    s->call.req.prefer = SPAN("respond-async");
    api_handle(api, &s->call);
    assert_null(fake.wait);
    call_free(s);
}

static struct buf streamed(struct sent *s)
{
    struct buf all = BUF_INIT(LIMIT_RESPONSE), piece CLEANUP(buf_release) = BUF_INIT(LIMIT_STREAM_CHUNK);
    for (bool end = false; !end;) {
        buf_clear(&piece);
        assert_true(s->call.res.stream.more(s->call.res.stream.arg, &piece, &end, NULL));
        buf_span(&all, buf_view(&piece));
    }
    return all;
}

static void check_stream(const char *accept, enum task_state state, const char *want)
{
    struct sent *s = get("/api/v1/tasks/", "/results", "");
    char head[128], id[UUID_TEXT];
    s->call.req.accept = span_of(accept);
    fake.task.state = state;
    fake.piece = 0;
    api_handle(api, &s->call);
    assert_int_equal(s->call.res.status, 200);
    snprintf(head, sizeof head, "Lathe-Task-State: %s\r\nLathe-Items-Total: 9\r\n", state_name(state));
    assert_true(has_header(s, head));
    struct buf all CLEANUP(buf_release) = streamed(s);
    uuid_format(fake.task.id, id);
    snprintf(head, sizeof head, "{\"task\":\"%s\",\"state\":\"%s\",\"items\":", id, state_name(state));
    struct span got = buf_view(&all);
    if (*want == '[') {
        assert_true(span_starts(got, head));
        span_take(&got, strlen(head));
    }
    if (!span_is(got, want))
        fail_msg("got " SPAN_FMT ", not %s", SPAN_ARG(got), want);
    call_free(s);
}

static void t12_results(void **state)
{
    (void)state;
    fake.next_after = 3;
    fake.pieces[0] = "{\"a\":1}\n{\"b";
    fake.pieces[1] = "\":2}\n";
    fake.pieces[2] = "";
    fake.pieces[3] = "{\"c\":3}\n";
    check_stream("application/json", TASK_running, "[{\"a\":1},{\"b\":2},{\"c\":3}],\"next\":3}");
    check_stream("", TASK_cancelled, "[{\"a\":1},{\"b\":2},{\"c\":3}],\"next\":null}");
    check_stream("application/x-ndjson", TASK_running, "{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n");
    fake.pieces[0] = NULL;
    fake.next_after = 0;
    check_stream("*/*", TASK_succeeded, "[],\"next\":null}");
    fake.next_after = 9;
    check_stream("*/*", TASK_running, "[],\"next\":null}");
}

static void check_refused(struct sent *s, int status, const char *slug)
{
    char type[64];
    snprintf(type, sizeof type, "/problems/%s", slug);
    api_handle(api, &s->call);
    assert_int_equal(s->times, 1);
    assert_int_equal(s->call.res.status, status);
    assert_string_equal(s->call.res.content_type, "application/problem+json");
    assert_string_equal(text_of(s, "type"), type);
    call_free(s);
}

static void t13_refusals(void **state)
{
    (void)state;
    check_refused(call_new(METHOD_GET, "/no/where", "", ""), 404, "no-route");
    check_refused(call_new(METHOD_PUT, "/api/v1/tasks", "", ""), 405, "method");
    check_refused(call_new(METHOD_GET, "/api/v1/tasks/hybrid", "", ""), 405, "method");
    check_refused(call_new(METHOD_GET, "/api/v1/tasks/xyz", "", ""), 404, "no-task");
    check_refused(call_new(METHOD_POST, "/api/v1/tasks/xyz", "", "{}"), 404, "no-strategy");
    check_refused(call_new(METHOD_POST, "/api/v1/tasks/hybrid", "", "{"), 400, "bad-json");
    check_refused(call_new(METHOD_POST, "/api/v1/tasks/hybrid", "", "{\"x\":1}"), 422, "unknown-field");
    check_refused(call_new(METHOD_POST, "/api/v1/tasks/hybrid", "a=%0", ""), 400, "bad-request");
    check_refused(call_new(METHOD_GET, "/api/v1/tasks", "limit=1&limit=1", ""), 422, "bad-field");
    struct sent *s = call_new(METHOD_POST, "/api/v1/tasks/hybrid", "", "{}");
    s->call.req.content_type = SPAN("text/plain");
    check_refused(s, 415, "media-type");
    char *longest = calloc(1, LIMIT_QUERY + 2);
    memset(longest, 'a', LIMIT_QUERY + 1);
    check_refused(call_new(METHOD_GET, "/api/v1/tasks", longest, ""), 413, "too-large");
    free(longest);
    assert_null(fake.put_done);
    fake.store_down = true;
    check_refused(call_new(METHOD_GET, "/readyz", "", ""), 503, "store-unavailable");
    check_refused(call_new(METHOD_GET, "/recommendations", "", ""), 503, "store-unavailable");
    fake.store_down = false;
    api_drain(api);
    check_refused(call_new(METHOD_GET, "/readyz", "", ""), 503, "stopping");
}

static void t14_list(void **state)
{
    (void)state;
    struct sent *s = call_new(METHOD_GET, "/api/v1/tasks", "state=queued&limit=2", "");
    api_handle(api, &s->call);
    assert_int_equal(s->call.res.status, 200);
    assert_int_equal(json_len(json_member(document(s), "tasks")), 2);
    const char *cursor = text_of(s, "next_cursor");
    char link[160];
    snprintf(link, sizeof link, "Link: </api/v1/tasks?state=queued&limit=2&cursor=%s>; rel=\"next\"\r\n",
             cursor);
    assert_true(has_header(s, link));
    call_free(s);
}

static void t19_a_list_ends_before_it_is_too_large(void **state)
{
    (void)state;
    struct buf meta CLEANUP(buf_release) = BUF_INIT(LIMIT_PARAMS);
    buf_puts(&meta, "{\"a\":\"");
    while (meta.len < LIMIT_PARAMS - 2)
        buf_char(&meta, 'x');
    buf_puts(&meta, "\"}");
    fake.task.meta = buf_view(&meta);
    struct sent *s = call_new(METHOD_GET, "/api/v1/tasks", "limit=500", "");
    api_handle(api, &s->call);
    assert_int_equal(s->call.res.status, 200);
    size_t n = json_len(json_member(document(s), "tasks"));
    assert_true(n > 100 && n < 200);
    assert_true(strlen(text_of(s, "next_cursor")) > 0);
    call_free(s);
    fake.task.meta = SPAN("");
}

static void t15_metrics_without_the_store(void **state)
{
    (void)state;
    fake.store_down = true;
    struct sent *s = call_new(METHOD_GET, "/metrics", "", "");
    api_handle(api, &s->call);
    assert_int_equal(s->call.res.status, 200);
    char *text = arena_text(&s->call.arena, buf_view(&s->call.res.body));
    assert_non_null(strstr(text, "lathe_store_up 0\n"));
    assert_null(strstr(text, "lathe_store_queued"));
    call_free(s);
}

/* Every row of the real table can be reached by a path made from its own template. */
static void t16_every_route_is_reached(void **state)
{
    (void)state;
    for (size_t i = 0; i < routes_count; i++) {
        char path[128];
        size_t n = 0;
        for (const char *c = routes[i].path; *c; c++) {
            if (*c == '{')
                c = strchr(c, '}');
            path[n++] = *c == '}' ? 'x' : *c;
        }
        struct route_match r = route_match(routes, routes_count, routes[i].method, (struct span){path, n});
        assert_ptr_equal(r.route, &routes[i]);
        assert_true(routes[i].summary[0] != '\0');
    }
}

/* A body in pieces, as the front gives it; "!" is where it breaks off. */
static bool give_piece(void *arg, char *to, size_t room, size_t *ret_n, struct err *e)
{
    const char ***next = arg;
    assert_true(room >= 1024);
    const char *piece = **next;
    *ret_n = piece ? strlen(piece) : 0;
    if (!piece)
        return true;
    (*next)++;
    if (strcmp(piece, "BREAK") == 0)
        return err_set(e, ERR_GONE, "it broke off");
    memcpy(to, piece, *ret_n);
    return true;
}

static struct sent *submit_pieces(const char *query, const char *const *pieces)
{
    const char *const *next = pieces;
    struct sent *s = call_new(METHOD_POST, "/api/v1/tasks/background", query, "");
    s->call.req.content_type = SPAN("application/x-ndjson; charset=utf-8");
    assert_true(api_pieces(api, &s->call) > 0);
    s->call.req.pieces = (struct pieces){give_piece, &next};
    api_handle(api, &s->call);
    assert_int_equal(s->times, 1);
    return s;
}

static void t20_pieces(void **state)
{
    (void)state;
    struct sent *s = submit_pieces("handler=echo&batch_size=2", (const char *const[]){"1\n2", "\n3\n", NULL});
    check_accepted(s);
    assert_memory_equal(fake.text, "1\n2\n3\n", fake.streamed_n);
    assert_int_equal(fake.streamed_n, 6);
    assert_int_equal(fake.streamed->batch_size, 2);
    assert_int_equal(fake.dropped, 0);
    call_free(s);
}

static void t21_pieces_that_come_to_nothing(void **state)
{
    (void)state;
    static const char *const good[] = {"1\n", NULL}, *const broken[] = {"1\n", "BREAK", NULL},
                             *const bad[] = {"1\n", "!", "BREAK", NULL};
    struct sent *s = submit_pieces("", broken);
    assert_string_equal(text_of(s, "type"), "/problems/gone");
    assert_int_equal(fake.dropped, 1);
    call_free(s);
    s = submit_pieces("", bad);
    assert_int_equal(s->call.res.status, 400);
    assert_string_equal(text_of(s, "detail"), "line 7, column 1: no");
    assert_int_equal(fake.dropped, 2);
    call_free(s);
    s = submit_pieces("no_such=1", good);
    assert_int_equal(s->call.res.status, 422);
    call_free(s);
    fake.refuse_put = true;
    s = submit_pieces("", good);
    assert_int_equal(s->call.res.status, 503);
    assert_int_equal(fake.dropped, 2);
    call_free(s);
    fake.refuse_put = false;
    fake.fail_put = true;
    s = submit_pieces("", good);
    assert_int_equal(s->call.res.status, 503);
    assert_int_equal(fake.dropped, 2);
    call_free(s);
}

static void t22_only_there(void **state)
{
    (void)state;
    static const char *const others[][2] = {{"/api/v1/tasks/compare", "application/x-ndjson"},
                                            {"/api/v1/tasks:batch", "application/x-ndjson"},
                                            {"/api/v1/tasks/hybrid", "application/json"},
                                            {"/api/v1/tasks/hybrid", "application/x-ndjsonx"},
                                            {"/api/v1/tasks/hybrid", ""}};
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        struct sent *s = call_new(METHOD_POST, others[i][0], "", "");
        s->call.req.content_type = span_of(others[i][1]);
        assert_int_equal(api_pieces(api, &s->call), 0);
        call_send(&s->call);
        call_free(s);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(t01_waits_until_the_end),
        TEST(t02_outlasts_the_wait),
        TEST(t03_at_once),
        TEST(t04_not_written),
        TEST(t05_accepted_is_accepted),
        TEST(t06_drain),
        TEST(t07_drain_against_ready),
        TEST(t08_a_comparison_is_not_told_on_the_waiters_thread),
        TEST(t09_after_stop_the_store_is_not_asked),
        TEST(t10_get),
        TEST(t11_long_poll),
        TEST(t12_results),
        TEST(t13_refusals),
        TEST(t14_list),
        TEST(t19_a_list_ends_before_it_is_too_large),
        TEST(t15_metrics_without_the_store),
        TEST(t16_every_route_is_reached),
        TEST(t17_no_table),
        TEST(t18_get_prefers),
        TEST(t20_pieces),
        TEST(t21_pieces_that_come_to_nothing),
        TEST(t22_only_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
