#include "queue/waits.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>

#include "core/clock.h"
#include "core/cond.h"
#include "core/limits.h"
#include "core/log.h"
#include "core/mem.h"
#include "queue/heap.h"
#include "queue/inside.h"

#define BUCKETS LIMIT_CALLS /* a power of two */

/* What one look at the store asks about: ids whose tasks may have ended, and ids whose deadline has come. */
struct look {
    struct uuid ids[WAITS_BATCH], late[WAITS_BATCH];
    size_t ids_count, late_count;
    struct arena arena;
    struct task *ended, *found; /* the answers */
    size_t ended_count, found_count;
    struct err err;
};

struct waits {
    const struct conf *conf;
    struct store *store;
    struct cache_listener *listener;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t news;
    struct queue_wait *buckets[BUCKETS];
    struct heap heap;
    bool stop, prompt;
    bool failing; /* the latest look failed */
    bool gave_up; /* and it was to be one of the last: the others are not tried */
    int64_t sway; /* of this round of polls, thousandths: the same for all, so that they stay together */
    int64_t queries;
    struct look look; /* the thread's */
};

/* ---- when; with the lock held ---- */

static struct queue_wait **bucket_of(struct waits *w, struct uuid id)
{
    return &w->buckets[uuid_hash(id) & (BUCKETS - 1)];
}

static int64_t period(const struct waits *w, const struct queue_wait *x, int64_t now)
{
    if (w->prompt)
        return conf_now(&w->conf->api_poll) * NS_PER_MS;
    int64_t quarter = (now - x->since) / 4;
    if (quarter > WAITS_LONGEST_MS * NS_PER_MS || w->failing)
        return WAITS_LONGEST_MS * NS_PER_MS;
    return quarter < WAITS_SHORTEST_MS * NS_PER_MS ? WAITS_SHORTEST_MS * NS_PER_MS : quarter;
}

static void set_at(struct waits *w, struct queue_wait *x, int64_t at)
{
    x->at = at < x->deadline ? at : x->deadline;
    heap_moved(&w->heap, x);
}

/* A wait whose poll is near goes with those whose time has come: that is how they come to be asked together. */
static bool due(const struct waits *w, const struct queue_wait *x, int64_t now)
{
    int64_t early = x->at == x->deadline ? 0 : period(w, x, now) / 2;
    return w->stop || x->at - early <= now;
}

static void make_due(struct waits *w, struct uuid id)
{
    int64_t now = clock_now();
    for (struct queue_wait *x = *bucket_of(w, id); x != NULL; x = x->next)
        if (uuid_eq(x->id, id) && x->at > now)
            set_at(w, x, now);
}

static void make_all_due(struct waits *w)
{
    int64_t now = clock_now();
    for (size_t i = 0; i < w->heap.count; i++)
        if (w->heap.list[i]->at > now)
            w->heap.list[i]->at = now; /* those above it are no later: the heap stays one */
}

/* ---- in and out; with the lock held ---- */

static void link_wait(struct waits *w, struct queue_wait *x)
{
    struct queue_wait **bucket = bucket_of(w, x->id);
    x->next = *bucket;
    x->link = bucket;
    if (x->next != NULL)
        x->next->link = &x->next;
    *bucket = x;
    x->linked = true;
    heap_put(&w->heap, x);
}

static void unlink_wait(struct waits *w, struct queue_wait *x)
{
    *x->link = x->next;
    if (x->next != NULL)
        x->next->link = x->link;
    x->linked = false;
    heap_take(&w->heap, x);
}

bool waits_add(struct waits *w, struct queue_wait *x, struct err *e)
{
    pthread_mutex_lock(&w->lock);
    bool stopping = w->stop, full = w->heap.count == LIMIT_CALLS;
    if (!stopping && !full) {
        int64_t now = clock_now(), first = now + WAITS_FIRST_MS * NS_PER_MS;
        x->since = now;
        x->at = first < x->deadline ? first : x->deadline;
        x->late = false;
        link_wait(w, x);
        if (x->place == 0)
            pthread_cond_signal(&w->news);
    }
    pthread_mutex_unlock(&w->lock);
    if (stopping)
        return err_set(e, ERR_STOPPING, "the service is stopping; ask for the task again later");
    if (full)
        return err_set(e, ERR_BUSY, "%u callers wait for their tasks already; ask again later", LIMIT_CALLS);
    return true;
}

bool waits_remove(struct waits *w, struct queue_wait *x)
{
    pthread_mutex_lock(&w->lock);
    bool ours = x->linked;
    if (ours)
        unlink_wait(w, x);
    pthread_mutex_unlock(&w->lock);
    return ours;
}

/* ---- a look at the store ---- */

/* With the lock held: what to ask. Each is given its next time now, so that a message which comes while the store is
 * asked makes it due again. */
static void look_gather(struct waits *w, struct look *l)
{
    int64_t now = clock_now();
    w->sway = clock_jitter(1000);
    l->ids_count = l->late_count = 0;
    while (w->heap.count > 0 && l->ids_count < WAITS_BATCH && l->late_count < WAITS_BATCH) {
        struct queue_wait *x = w->heap.list[0];
        if (!due(w, x, now))
            break;
        if (w->stop || x->deadline <= now) {
            x->late = true;
            l->late[l->late_count++] = x->id;
            x->at = CLOCK_NEVER; /* it is told in this look, whatever comes */
            heap_moved(&w->heap, x);
        } else {
            l->ids[l->ids_count++] = x->id;
            set_at(w, x, now + period(w, x, now) * w->sway / 1000);
        }
        if (w->stop && l->late_count == w->heap.count)
            break;
    }
}

static void look_ask(struct waits *w, struct look *l)
{
    arena_init(&l->arena);
    l->ended = l->found = NULL;
    l->ended_count = l->found_count = 0;
    if (w->gave_up) /* l->err says why */
        return;
    l->err = (struct err)ERR_INIT;
    bool ok = true;
    if (l->ids_count > 0)
        ok = store_get_many(w->store, &l->arena, l->ids, l->ids_count, true, &l->ended, &l->ended_count,
                            &l->err);
    if (ok && l->late_count > 0)
        ok = store_get_many(w->store, &l->arena, l->late, l->late_count, false, &l->found, &l->found_count,
                            &l->err);
    if (ok && l->late_count > 0)
        (void)err_set(&l->err, ERR_NO_TASK,
                      "there is no task with this id"); /* for those that were not found */
    pthread_mutex_lock(&w->lock);
    w->queries += (l->ids_count > 0) + (l->late_count > 0);
    if (!ok && !w->failing)
        log_warn_err("queue.waits", &l->err, "waiting=%zu", w->heap.count);
    w->failing = !ok;
    w->gave_up = !ok && w->stop;
    pthread_mutex_unlock(&w->lock);
}

/* With the lock held: moves the waits for `id` to the list of those to be told; only late ones unless all. */
static void tell_later(struct waits *w, struct uuid id, const struct task *found, bool all,
                       struct queue_wait **list)
{
    for (struct queue_wait *x = *bucket_of(w, id), *next; x != NULL; x = next) {
        next = x->next;
        if (!uuid_eq(x->id, id) || (!all && !x->late))
            continue;
        unlink_wait(w, x);
        x->found = found;
        x->next = *list;
        *list = x;
    }
}

/* Without the lock, since `ready` may wait again. */
static void look_tell(struct waits *w, struct look *l)
{
    struct queue_wait *list = NULL;
    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i < l->ended_count; i++)
        tell_later(w, l->ended[i].id, &l->ended[i], true, &list);
    for (size_t i = 0; i < l->found_count; i++)
        tell_later(w, l->found[i].id, &l->found[i], state_final(l->found[i].state), &list);
    for (size_t i = 0; i < l->late_count; i++)
        tell_later(w, l->late[i], NULL, false, &list);
    pthread_mutex_unlock(&w->lock);
    for (struct queue_wait *x = list, *next; x != NULL; x = next) {
        next = x->next;
        if (x->found != NULL)
            x->ready(x->arg, task_copy(x->a, x->found), NULL);
        else
            x->ready(x->arg, NULL, &l->err);
    }
    arena_release(&l->arena);
}

static void *waits_thread(void *arg)
{
    struct waits *w = arg;
    pthread_mutex_lock(&w->lock);
    while (!w->stop || w->heap.count > 0) {
        int64_t next = w->heap.count > 0 ? w->heap.list[0]->at : CLOCK_NEVER;
        if (!w->stop && next > clock_now()) {
            cond_wait(&w->news, &w->lock, next);
            continue;
        }
        look_gather(w, &w->look);
        pthread_mutex_unlock(&w->lock);
        look_ask(w, &w->look);
        look_tell(w, &w->look);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* ---- messages; on the listener's thread ---- */

static void on_id(void *arg, struct uuid id)
{
    make_due(arg, id);
}

static void on_all(void *arg)
{
    make_all_due(arg);
}

static void on_message(void *arg, struct span channel, struct span message)
{
    (void)channel;
    struct waits *w = arg;
    pthread_mutex_lock(&w->lock);
    if (w->heap.count > 0) /* else thousands of ids are read for nobody */
        notify_read_ids(message, on_id, on_all, w);
    bool wake = w->heap.count > 0 && w->heap.list[0]->at <= clock_now();
    pthread_mutex_unlock(&w->lock);
    if (wake) /* most messages are about tasks that others wait for, or nobody */
        pthread_cond_signal(&w->news);
}

static void on_state(void *arg, bool connected)
{
    struct waits *w = arg;
    pthread_mutex_lock(&w->lock);
    w->prompt = connected;
    make_all_due(w);
    pthread_mutex_unlock(&w->lock);
    pthread_cond_signal(&w->news);
}

bool waits_prompt(struct waits *w)
{
    pthread_mutex_lock(&w->lock);
    bool prompt = w->prompt;
    pthread_mutex_unlock(&w->lock);
    return prompt;
}

int64_t waits_queries(struct waits *w)
{
    pthread_mutex_lock(&w->lock);
    int64_t n = w->queries;
    pthread_mutex_unlock(&w->lock);
    return n;
}

/* ---- life ---- */

static void release(struct waits *w)
{
    assert(w->heap.count == 0);
    pthread_cond_destroy(&w->news);
    pthread_mutex_destroy(&w->lock);
    mem_free(w->heap.list);
    mem_free(w);
}

static void end_thread(struct waits *w)
{
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_mutex_unlock(&w->lock);
    pthread_cond_signal(&w->news);
    pthread_join(w->thread, NULL);
}

bool waits_new(const struct conf *conf, struct store *s, struct cache *c, struct waits **ret, struct err *e)
{
    static const char *const channels[] = {CHANNEL_DONE, NULL};
    struct waits *w = mem_alloc(sizeof *w);
    w->conf = conf;
    w->store = s;
    w->heap.list = mem_array(LIMIT_CALLS, sizeof(struct queue_wait *));
    cond_init(&w->news);
    pthread_mutex_init(&w->lock, NULL);
    errno = pthread_create(&w->thread, NULL, waits_thread, w);
    if (errno != 0) {
        (void)err_errno(e, "the thread of those who wait cannot be started");
        release(w);
        return false;
    }
    struct cache_listener_calls calls = {.on_message = on_message, .on_state = on_state, .arg = w};
    if (c != NULL && !cache_listen(c, channels, calls, &w->listener, e)) {
        end_thread(w);
        release(w);
        return false;
    }
    *ret = w;
    return true;
}

void waits_free(struct waits *w)
{
    if (w == NULL)
        return;
    cache_listener_free(w->listener);
    end_thread(w);
    release(w);
}
