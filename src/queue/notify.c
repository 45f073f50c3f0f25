#include "queue/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#include "core/clock.h"
#include "core/cond.h"
#include "core/limits.h"
#include "core/mem.h"
#include "queue/inside.h"

#define MOST_QUEUES 32u /* names in one round; more is told as "any" */
#define MOST_IDS 4096u  /* likewise */
#define MOST_VIEWS 4096u
#define MOST_DROPS 8192u
#define IDS_A_MESSAGE 256u
#define LATER "@" /* before a time; not the beginning of a queue's name */
#define PACE \
    NS_PER_MS /* rounds begin at least this far apart: under load one round tells what would have been many */

struct ids {
    struct uuid *list; /* MOST_IDS */
    size_t count;
    bool all;
};

/* What one round tells. */
struct round {
    char queues[MOST_QUEUES][LIMIT_NAME + 1];
    size_t queues_count;
    bool any_queue;
    int64_t later_us; /* the earliest; 0: none */
    struct ids done, cancel;
    struct cache_view *views, *drops; /* MOST_VIEWS, MOST_DROPS */
    size_t views_count, drops_count;
    bool empty;
};

struct notify {
    struct cache *cache;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t news;
    bool stop;
    struct round *gathering, *telling; /* the second is the thread's */
    struct round rounds[2];
};

/* ---- gathering; with the lock held ---- */

static void round_init(struct round *r)
{
    r->done.list = mem_array(MOST_IDS, sizeof *r->done.list);
    r->cancel.list = mem_array(MOST_IDS, sizeof *r->cancel.list);
    r->views = mem_array(MOST_VIEWS, sizeof *r->views);
    r->drops = mem_array(MOST_DROPS, sizeof *r->drops);
    r->empty = true;
}

static void round_clear(struct round *r)
{
    r->queues_count = r->views_count = r->drops_count = r->done.count = r->cancel.count = 0;
    r->any_queue = r->done.all = r->cancel.all = false;
    r->later_us = 0;
    r->empty = true;
}

static void round_release(struct round *r)
{
    mem_free(r->done.list);
    mem_free(r->cancel.list);
    mem_free(r->views);
    mem_free(r->drops);
}

static void add_queue(struct round *r, struct span queue)
{
    for (size_t i = 0; i < r->queues_count; i++)
        if (span_is(queue, r->queues[i]))
            return;
    if (r->queues_count == MOST_QUEUES || queue.len > LIMIT_NAME || span_is(queue, "*")) {
        r->any_queue = true;
        return;
    }
    char *name = r->queues[r->queues_count++];
    memcpy(name, queue.ptr, queue.len);
    name[queue.len] = '\0';
}

static void add_ids(struct ids *ids, const struct uuid *list, size_t count)
{
    if (count > MOST_IDS - ids->count) {
        ids->all = true;
        return;
    }
    memcpy(ids->list + ids->count, list, count * sizeof *list);
    ids->count += count;
}

/* The round to add to, with the lock taken; given back by `gathered`. */
static struct round *gather(struct notify *n)
{
    pthread_mutex_lock(&n->lock);
    return n->gathering;
}

static void gathered(struct notify *n)
{
    bool first = n->gathering->empty;
    n->gathering->empty = false;
    pthread_mutex_unlock(&n->lock);
    if (first)
        pthread_cond_signal(&n->news);
}

void notify_work(struct notify *n, struct span queue)
{
    if (n == NULL)
        return;
    add_queue(gather(n), queue);
    gathered(n);
}

void notify_later(struct notify *n, int64_t wall_us)
{
    if (n == NULL)
        return;
    struct round *r = gather(n);
    if (r->later_us == 0 || wall_us < r->later_us)
        r->later_us = wall_us;
    gathered(n);
}

int64_t notify_read_later(struct span message)
{
    int64_t us;
    if (!span_starts(message, LATER))
        return 0;
    span_take(&message, sizeof LATER - 1);
    return span_to_int(message, &us) && us > 0 ? us : 0;
}

void notify_done(struct notify *n, const struct uuid *tasks, size_t count)
{
    if (n == NULL || count == 0)
        return;
    add_ids(&gather(n)->done, tasks, count);
    gathered(n);
}

void notify_cancel(struct notify *n, const struct uuid *tasks, size_t count)
{
    if (n == NULL || count == 0)
        return;
    add_ids(&gather(n)->cancel, tasks, count);
    gathered(n);
}

void notify_views(struct notify *n, const struct cache_view *views, size_t count)
{
    if (n == NULL || count == 0)
        return;
    struct round *r = gather(n);
    r->views_count = count < MOST_VIEWS ? count : MOST_VIEWS;
    memcpy(r->views, views, r->views_count * sizeof *views);
    gathered(n);
}

void notify_drop(struct notify *n, struct uuid task, int64_t seq)
{
    if (n == NULL)
        return;
    struct round *r = gather(n);
    if (r->drops_count < MOST_DROPS)
        r->drops[r->drops_count++] = (struct cache_view){.task = task, .seq = seq};
    gathered(n);
}

/* ---- telling; on the thread ---- */

/* What is not told is found by a poll, and the cache keeps count of failures. */
static void told(bool ok)
{
    (void)ok;
}

static void tell_queues(struct notify *n, const struct round *r)
{
    struct span names[MOST_QUEUES + 2];
    char later[32];
    size_t count = 0;
    for (size_t i = 0; i < r->queues_count; i++)
        names[count++] = span_of(r->queues[i]);
    if (r->any_queue)
        names[count++] = SPAN("*");
    if (r->later_us > 0) {
        snprintf(later, sizeof later, LATER "%" PRId64, r->later_us);
        names[count++] = span_of(later);
    }
    told(cache_publish(n->cache, CHANNEL_WORK, names, count, NULL));
}

/* Ids separated by blanks, IDS_A_MESSAGE at most in each message. */
static void tell_ids(struct notify *n, const char *channel, const struct ids *ids)
{
    struct span messages[MOST_IDS / IDS_A_MESSAGE + 1];
    size_t count = 0;
    char *text CLEANUP(mem_free_at) = mem_array(ids->count + 1, UUID_TEXT);
    for (size_t i = 0; i < ids->count; i++) {
        uuid_format(ids->list[i], text + i * UUID_TEXT);
        text[(i + 1) * UUID_TEXT - 1] = ' ';
    }
    for (size_t i = 0; i < ids->count; i += IDS_A_MESSAGE) {
        size_t some = ids->count - i < IDS_A_MESSAGE ? ids->count - i : IDS_A_MESSAGE;
        messages[count++] = (struct span){text + i * UUID_TEXT, some * UUID_TEXT - 1};
    }
    if (ids->all)
        messages[count++] = SPAN("*");
    told(cache_publish(n->cache, channel, messages, count, NULL));
}

/* Messages first, because somebody waits for them; drops after views, because a unit that ended tells no more. */
static void tell(struct notify *n, const struct round *r)
{
    tell_queues(n, r);
    tell_ids(n, CHANNEL_DONE, &r->done);
    tell_ids(n, CHANNEL_CANCEL, &r->cancel);
    told(cache_put_views(n->cache, r->views, r->views_count, NULL));
    told(cache_drop_views(n->cache, r->drops, r->drops_count, NULL));
}

/* Until there is something to tell and a round may begin; with the lock held. The first after a pause goes at once. */
static void await_news(struct notify *n, int64_t next)
{
    while (n->gathering->empty && !n->stop)
        pthread_cond_wait(&n->news, &n->lock);
    while (clock_now() < next && !n->stop)
        cond_wait(&n->news, &n->lock, next);
}

static void *notify_thread(void *arg)
{
    struct notify *n = arg;
    int64_t next = 0;
    pthread_setname_np(pthread_self(), "notify");
    pthread_mutex_lock(&n->lock);
    for (;;) {
        await_news(n, next);
        if (n->gathering->empty)
            break;
        next = clock_now() + PACE;
        struct round *r = n->gathering;
        n->gathering = n->telling;
        n->telling = r;
        pthread_mutex_unlock(&n->lock);
        tell(n, r);
        round_clear(r);
        pthread_mutex_lock(&n->lock);
    }
    pthread_mutex_unlock(&n->lock);
    return NULL;
}

bool notify_new(struct cache *c, struct notify **ret, struct err *e)
{
    if (c == NULL) {
        *ret = NULL;
        return true;
    }
    struct notify *n = mem_alloc(sizeof *n);
    n->cache = c;
    pthread_mutex_init(&n->lock, NULL);
    cond_init(&n->news);
    round_init(&n->rounds[0]);
    round_init(&n->rounds[1]);
    n->gathering = &n->rounds[0];
    n->telling = &n->rounds[1];
    errno = pthread_create(&n->thread, NULL, notify_thread, n);
    if (errno != 0) {
        (void)err_errno(e, "the thread that notifies others cannot be started");
        round_release(&n->rounds[0]);
        round_release(&n->rounds[1]);
        mem_free(n);
        return false;
    }
    *ret = n;
    return true;
}

void notify_free(struct notify *n)
{
    if (n == NULL)
        return;
    pthread_mutex_lock(&n->lock);
    n->stop = true;
    pthread_mutex_unlock(&n->lock);
    pthread_cond_signal(&n->news);
    pthread_join(n->thread, NULL);
    pthread_cond_destroy(&n->news);
    pthread_mutex_destroy(&n->lock);
    round_release(&n->rounds[0]);
    round_release(&n->rounds[1]);
    mem_free(n);
}

void notify_read_ids(struct span message, void (*each)(void *arg, struct uuid id), void (*all)(void *arg),
                     void *arg)
{
    if (span_is(message, "*")) {
        all(arg);
        return;
    }
    while (message.len > 0) {
        struct uuid id;
        if (uuid_parse(span_cut(&message, ' '), &id))
            each(arg, id);
    }
}
