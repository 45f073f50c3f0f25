/* Putting and waiting from the command line. */
#include <inttypes.h>
#include <pthread.h>
#include <unistd.h>

#include "cmd/client.h"

void client_close(struct queue **q)
{
    if (*q)
        queue_close(*q);
    *q = NULL;
}

bool client_id(const char *text, struct uuid *ret, struct err *e)
{
    if (uuid_parse(span_of(text), ret))
        return true;
    return err_set(e, ERR_USAGE, "\"%s\" is not the id of a task; lathe submit prints them, as in %s", text,
                   "0199b7c2-0000-7000-8000-000000000000");
}

/* One call that another thread makes, and one thread that waits for it. */
struct bell {
    pthread_mutex_t lock;
    pthread_cond_t rung;
    bool done;
    struct uuid id;
    bool has_task, failed;
    struct task task;
    struct err err;
};

#define BELL_INIT                                                                            \
    {                                                                                        \
        .lock = PTHREAD_MUTEX_INITIALIZER, .rung = PTHREAD_COND_INITIALIZER, .err = ERR_INIT \
    }

static void ring(struct bell *b, const struct err *e)
{
    pthread_mutex_lock(&b->lock);
    b->failed = e != NULL;
    if (e)
        b->err = *e;
    b->done = true;
    pthread_cond_signal(&b->rung);
    pthread_mutex_unlock(&b->lock);
}

static bool await(struct bell *b, struct err *e)
{
    pthread_mutex_lock(&b->lock);
    while (!b->done)
        pthread_cond_wait(&b->rung, &b->lock);
    pthread_mutex_unlock(&b->lock);
    if (b->failed && e)
        *e = b->err;
    return !b->failed;
}

static void on_put(void *arg, struct uuid id, bool existing, const struct err *e)
{
    (void)existing;
    struct bell *b = arg;
    b->id = id;
    ring(b, e);
}

bool client_put(struct queue *q, struct arena *a, const struct submission *s, struct uuid *ret, struct err *e)
{
    struct bell b = BELL_INIT;
    if (!queue_put(q, a, s, on_put, &b, e) || !await(&b, e))
        return false;
    *ret = b.id;
    return true;
}

static void on_ready(void *arg, const struct task *t, const struct err *e)
{
    struct bell *b = arg;
    if (t)
        b->task = *t;
    ring(b, e);
}

bool client_wait(struct queue *q, struct arena *a, struct uuid id, int64_t ms, struct task *ret,
                 struct err *e)
{
    struct bell b = BELL_INIT;
    struct queue_wait w = {.id = id, .a = a, .deadline = clock_after_ms(ms), .ready = on_ready, .arg = &b};
    if (!queue_wait(q, &w, e) || !await(&b, e))
        return false;
    *ret = b.task;
    return true;
}

/* Nobody will run it: worth a word before waiting. */
void client_warn_idle(struct queue *q, struct arena *a)
{
    struct worker_info *list;
    size_t n;
    if (store_workers(queue_store(q), a, &list, &n, NULL) && n == 0)
        fputs("no worker is alive: the task waits until one is. Start lathe serve, or lathe worker.\n",
              stderr);
}

static void show_bar(const struct task *t, int64_t since)
{
    enum { WIDTH = 30 };
    char bar[WIDTH + 1], took[DURATION_TEXT];
    int full = (int)(t->progress * WIDTH);
    for (int i = 0; i < WIDTH; i++)
        bar[i] = i < full ? '#' : '.';
    bar[WIDTH] = '\0';
    format_duration((double)(clock_now() - since) / 1e6, took);
    fprintf(stderr, "\r%-9s [%s] %3d %%  %" PRId64 " of %" PRId64 " items  %s\x1b[K", state_name(t->state),
            bar, (int)(t->progress * 100), t->items_done, t->items_total, took);
}

bool client_watch(struct queue *q, struct arena *a, struct uuid id, int64_t seconds, struct task *ret,
                  struct err *e)
{
    enum { LOOK_MS = 200 };
    bool terminal = isatty(STDERR_FILENO);
    int64_t begun = clock_now(), deadline = seconds ? clock_after_ms(seconds * 1000) : CLOCK_NEVER;
    client_warn_idle(q, a);
    for (;;) {
        struct arena look CLEANUP(arena_release) = ARENA_INIT;
        struct task t;
        if (!client_wait(q, &look, id, terminal ? LOOK_MS : 5 * LOOK_MS, &t, e) ||
            (!state_final(t.state) && !queue_get(q, &look, id, &t, e))) /* with its live progress */
            return false;
        if (terminal)
            show_bar(&t, begun);
        if (state_final(t.state) || clock_now() >= deadline)
            break;
    }
    if (terminal)
        fputs("\r\x1b[K", stderr);
    return queue_get(q, a, id, ret, e);
}

int client_exit(const struct task *t)
{
    if (!state_final(t->state))
        return err_exit(ERR_TIMEOUT);
    return t->state == TASK_succeeded ? 0 : 1;
}
