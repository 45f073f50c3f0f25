#include "queue_bench.h"

#include <poll.h>
#include <stdatomic.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/net.h"
#include "core/sig.h"
#include "handlers/registry.h"

/* ---- set up ---- */

static struct queue *open_queue(struct bench *b, enum queue_side side)
{
    struct queue *q = NULL;
    struct err e = ERR_INIT;
    if (!queue_open(&b->conf, side, &q, &e))
        fail_msg("%s", e.text);
    return q;
}

struct queue_worker *open_worker(struct bench *b, const char *queues, int *ret_bell)
{
    struct queue_worker *w = NULL;
    struct err e = ERR_INIT;
    struct worker_info info = {.id = uuid_v7(),
                               .name = SPAN("w"),
                               .host = SPAN("h"),
                               .queues = span_of(queues),
                               .slots = 8,
                               .cores = 2};
    info.started_us = clock_wall_us();
    b->info = info;
    assert_true(net_bell(ret_bell, &e));
    if (!queue_worker_new(b->far, &b->info, *ret_bell, &w, &e))
        fail_msg("%s", e.text);
    return w;
}

static void start(struct bench *b)
{
    b->api = open_queue(b, QUEUE_API);
    b->far = open_queue(b, QUEUE_WORKER);
    b->worker = open_worker(b, "default", &b->bell);
}

static void not_told(void *arg, const char *text)
{
    (void)arg;
    (void)text;
}

void migrate(void)
{
    sig_block();
    log_setup(LOG_ERROR, LOG_LOGFMT, "test");
    struct conf c = {.store_url = test_pg(), .store_pool = 1, .store_timeout = PATIENCE_MS};
    struct store *s = NULL;
    struct err e = ERR_INIT;
    if (!store_open(&c, "migrate", &s, &e) || !store_migrate(s, not_told, NULL, &e))
        fail_msg("%s", e.text);
    store_close(s);
}

static void prepare(void **state)
{
    struct bench *b = mem_alloc(sizeof *b);
    char *argv[] = {NULL, NULL};
    int argc = 0;
    struct err e = ERR_INIT;
    if (!conf_load(&b->conf, NULL, &argc, argv, &e))
        fail_msg("%s", e.text);
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->news, NULL);
    b->callers = mem_array(MANY, sizeof *b->callers);
    redis_server_init(&b->redis);
    b->conf.store_url = test_pg();
    b->conf.cache_url = b->redis.address;
    b->conf.api_poll = POLL_NEVER_MS;
    *state = b;
}

void await_prompt(struct bench *b)
{
    for (int64_t deadline = clock_after_ms(PATIENCE_MS); !queue_prompt(b->api); poll(NULL, 0, 2))
        assert_true(clock_now() < deadline);
}

void await_bell(struct bench *b)
{
    struct pollfd p = {.fd = b->bell, .events = POLLIN};
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    net_bell_clear(b->bell);
}

int bench_setup(void **state)
{
    prepare(state);
    struct bench *b = *state;
    redis_server_start(&b->redis);
    start(b);
    await_prompt(b);
    await_bell(b);
    return 0;
}

int bench_setup_dead(void **state)
{
    prepare(state);
    start(*state);
    return 0;
}

int bench_setup_none(void **state)
{
    prepare(state);
    struct bench *b = *state;
    b->conf.cache_url = "";
    start(b);
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    arena_release(&b->claim.arena);
    queue_worker_free(b->worker);
    queue_close(b->far);
    queue_close(b->api);
    for (int i = 0; i < MANY; i++) {
        assert_in_range(b->callers[i].told, 0, 1);
        arena_release(&b->callers[i].arena);
    }
    redis_server_release(&b->redis);
    net_close(b->bell);
    mem_free(b->callers);
    conf_release(&b->conf);
    mem_free(b);
    return 0;
}

/* ---- the api's side ---- */

static void on_put(void *arg, struct uuid id, bool existing, const struct err *e)
{
    assert_false(existing);
    struct put *p = arg;
    pthread_mutex_lock(&p->bench->lock);
    p->id = id;
    p->code = e != NULL ? e->code : ERR_NONE;
    p->done = true;
    pthread_cond_broadcast(&p->bench->news);
    pthread_mutex_unlock(&p->bench->lock);
}

void put_begin(struct bench *b, struct put *p, const char *strategy, const char *body)
{
    const struct json *json;
    struct submission *s = arena_alloc(&p->arena, sizeof *s);
    struct err e = ERR_INIT;
    p->bench = b;
    if (!json_read(&p->arena, span_of(body), &json, &e) ||
        !submission_read(&p->arena, strategy != NULL ? strategy_find(span_of(strategy)) : NULL, json,
                         SPAN(""), handler_find, s, &e) ||
        !queue_put(b->api, &p->arena, s, on_put, p, &e))
        fail_msg("%s", e.text);
}

struct uuid put_end(struct bench *b, struct put *p)
{
    pthread_mutex_lock(&b->lock);
    while (!p->done)
        pthread_cond_wait(&b->news, &b->lock);
    pthread_mutex_unlock(&b->lock);
    assert_int_equal(p->code, ERR_NONE);
    arena_release(&p->arena);
    return p->id;
}

struct uuid put(struct bench *b, const char *strategy, const char *body)
{
    struct put p = {0};
    put_begin(b, &p, strategy, body);
    return put_end(b, &p);
}

static void on_ready(void *arg, const struct task *t, const struct err *e)
{
    struct caller *c = arg;
    pthread_mutex_lock(&c->bench->lock);
    if (t != NULL)
        c->task = *t;
    c->code = e != NULL ? e->code : ERR_NONE;
    c->told++;
    c->bench->told++;
    pthread_cond_broadcast(&c->bench->news);
    pthread_mutex_unlock(&c->bench->lock);
}

struct caller *await_task(struct bench *b, int k, struct uuid id, int64_t ms)
{
    struct caller *c = &b->callers[k];
    struct err e = ERR_INIT;
    c->bench = b;
    c->wait = (struct queue_wait){
        .id = id, .a = &c->arena, .deadline = clock_after_ms(ms), .ready = on_ready, .arg = c};
    assert_true(queue_wait(b->api, &c->wait, &e));
    return c;
}

void await_told(struct bench *b, int n)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_MS / 1000;
    pthread_mutex_lock(&b->lock);
    for (int late = 0; b->told < n && late == 0;)
        late = pthread_cond_timedwait(&b->news, &b->lock, &until);
    int told = b->told;
    pthread_mutex_unlock(&b->lock);
    assert_int_equal(told, n);
}

void await_first_look(struct bench *b)
{
    int64_t before = waits_queries(b->api->waits);
    for (int64_t deadline = clock_after_ms(PATIENCE_MS); waits_queries(b->api->waits) == before;
         poll(NULL, 0, 2))
        assert_true(clock_now() < deadline);
}

/* ---- the worker's side ---- */

void claim(struct bench *b, int want)
{
    struct err e = ERR_INIT;
    arena_release(&b->claim.arena);
    if (!queue_turn(b->worker, NULL, 0, want, &b->claim, &e))
        fail_msg("%s", e.text);
}

static struct finish finish_of(const struct unit *u, enum task_state state)
{
    return (struct finish){
        .unit = u,
        .state = state,
        .results =
            state == TASK_succeeded ? SPAN("{\"index\":0,\"state\":\"succeeded\",\"result\":1}\n") : SPAN(""),
        .items_done = state == TASK_succeeded ? u->count : 0,
        .shape = {.threads = 1, .width = 1, .grain = 1},
        .started_us = clock_wall_us(),
        .finished_us = clock_wall_us(),
        .err = {.code = state == TASK_succeeded ? ERR_NONE : ERR_CANCELLED},
    };
}

void finish(struct bench *b, enum task_state state)
{
    size_t n = b->claim.count;
    struct finish *list CLEANUP(mem_free_at) = mem_array(n + 1, sizeof *list);
    struct claim none = {.arena = ARENA_INIT};
    struct err e = ERR_INIT;
    for (size_t i = 0; i < n; i++)
        list[i] = finish_of(&b->claim.units[i], state);
    if (!queue_turn(b->worker, list, n, 0, &none, &e))
        fail_msg("%s", e.text);
    for (size_t i = 0; i < n; i++)
        assert_true(list[i].applied);
    arena_release(&none.arena);
}

struct task get(struct bench *b, struct arena *a, struct uuid id)
{
    struct task t;
    struct err e = ERR_INIT;
    if (!queue_get(b->api, a, id, &t, &e))
        fail_msg("%s", e.text);
    return t;
}

#define ONE_ITEM "{\"handler\":\"echo\",\"items\":[1]}"

int bench_teardown(void **state)
{
    struct bench *b = *state;
    struct err e = ERR_INIT;
    if (b->redis.pid != 0)
        redis_server_thaw(&b->redis);
    for (bool more = true; more; more = b->claim.count > 0) {
        struct finish *list CLEANUP(mem_free_at) = mem_array(b->claim.count + 1, sizeof *list);
        struct claim next = {.arena = ARENA_INIT};
        for (size_t i = 0; i < b->claim.count; i++)
            list[i] = finish_of(&b->claim.units[i], TASK_succeeded);
        assert_true(queue_turn(b->worker, list, b->claim.count, (int)LIMIT_CLAIM, &next, &e));
        arena_release(&b->claim.arena);
        b->claim = next;
    }
    return teardown(state);
}
