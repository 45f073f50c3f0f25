#include "queue/notify.h"

#include <errno.h>
#include <pthread.h>

#include "core/clock.h"
#include "core/cond.h"
#include "core/mem.h"
#include "queue/inside.h"
#include "queue/round.h"

#define PACE \
    NS_PER_MS /* rounds begin at least this far apart: under load one round tells what would have been many */

struct notify {
    struct cache *cache;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t news;
    bool stop;
    int64_t next;           /* no round begins before */
    bool under_way;         /* a round is being told: `telling` is the thread's */
    bool begun;             /* with under_way: its messages are sent already, as `sent` */
    struct cache_sent sent; /* with begun */
    struct round *gathering, *telling;
    struct round rounds[2];
};

/* ---- gathering ---- */

/* With the lock held. */
static void take_round(struct notify *n)
{
    struct round *r = n->gathering;
    n->gathering = n->telling;
    n->telling = r;
    n->under_way = true;
    n->next = clock_now() + PACE;
}

/* With the lock held: the messages of what has gathered go out by whoever gathers, if that means no waiting. To wake our thread
 * so that it may send them takes longer than to send them, and a task waits for it twice in its life. */
static void begin_round(struct notify *n)
{
    struct letter l CLEANUP(letter_release);
    take_round(n);
    letter_write(&l, n->telling);
    n->begun = cache_publish_begin(n->cache, l.list, l.n, &n->sent);
}

/* The round to add to, with the lock taken; given back by `gathered`. */
static struct round *gather(struct notify *n)
{
    pthread_mutex_lock(&n->lock);
    return n->gathering;
}

/* message: something waits for it. */
static void gathered(struct notify *n, bool message)
{
    bool first = n->gathering->empty;
    n->gathering->empty = false;
    if (first && message && !n->under_way && clock_now() >= n->next)
        begin_round(n);
    pthread_mutex_unlock(&n->lock);
    if (first)
        pthread_cond_signal(&n->news);
}

void notify_work(struct notify *n, struct span queue)
{
    if (n == NULL)
        return;
    round_add_queue(gather(n), queue);
    gathered(n, true);
}

void notify_later(struct notify *n, int64_t wall_us)
{
    if (n == NULL)
        return;
    round_add_later(gather(n), wall_us);
    gathered(n, true);
}

void notify_done(struct notify *n, const struct uuid *tasks, size_t count)
{
    if (n == NULL || count == 0)
        return;
    round_add_ids(&gather(n)->done, tasks, count);
    gathered(n, true);
}

void notify_cancel(struct notify *n, const struct uuid *tasks, size_t count)
{
    if (n == NULL || count == 0)
        return;
    round_add_ids(&gather(n)->cancel, tasks, count);
    gathered(n, true);
}

void notify_views(struct notify *n, const struct cache_view *views, size_t count)
{
    if (n == NULL || count == 0)
        return;
    round_set_views(gather(n), views, count);
    gathered(n, false);
}

void notify_drop(struct notify *n, struct uuid task, int64_t seq)
{
    if (n == NULL)
        return;
    round_add_drop(gather(n), task, seq);
    gathered(n, false);
}

/* ---- telling; on the thread ---- */

/* What is not told is found by a poll, and the cache keeps count of failures. */
static void told(bool ok)
{
    (void)ok;
}

static bool publish(struct notify *n, const struct round *r)
{
    struct letter l CLEANUP(letter_release);
    letter_write(&l, r);
    return cache_publish(n->cache, l.list, l.n, NULL);
}

/* Messages first, because somebody waits for them; drops after views, because a unit that ended tells no more. */
static void tell(struct notify *n)
{
    const struct round *r = n->telling;
    told(n->begun ? cache_publish_end(n->cache, &n->sent, NULL) : publish(n, r));
    told(cache_put_views(n->cache, r->views.list, r->views.count, NULL));
    told(cache_drop_views(n->cache, r->drops.list, r->drops.count, NULL));
}

/* Until a round is under way, or there is something to tell and its round may begin; with the lock held. The first after a pause
 * goes at once. */
static void await_news(struct notify *n)
{
    while (n->gathering->empty && !n->under_way && !n->stop)
        pthread_cond_wait(&n->news, &n->lock);
    while (!n->under_way && clock_now() < n->next && !n->stop)
        cond_wait(&n->news, &n->lock, n->next);
}

static void *notify_thread(void *arg)
{
    struct notify *n = arg;
    pthread_setname_np(pthread_self(), "notify");
    pthread_mutex_lock(&n->lock);
    for (;;) {
        await_news(n);
        if (!n->under_way && n->gathering->empty)
            break;
        if (!n->under_way)
            take_round(n);
        pthread_mutex_unlock(&n->lock);
        tell(n);
        round_clear(n->telling);
        pthread_mutex_lock(&n->lock);
        n->under_way = n->begun = false;
    }
    pthread_mutex_unlock(&n->lock);
    return NULL;
}

/* ---- life ---- */

static void release(struct notify *n)
{
    pthread_cond_destroy(&n->news);
    pthread_mutex_destroy(&n->lock);
    round_release(&n->rounds[0]);
    round_release(&n->rounds[1]);
    mem_free(n);
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
        release(n);
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
    release(n);
}

/* ---- reading ---- */

int64_t notify_read_later(struct span message)
{
    int64_t us;
    if (!span_starts(message, ROUND_LATER))
        return 0;
    span_take(&message, sizeof ROUND_LATER - 1);
    return span_to_int(message, &us) && us > 0 ? us : 0;
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
