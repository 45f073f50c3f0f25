/* Exchanges are used again, with the memory that an answer of usual size needs: making one was a dozen allocations, most of
 * them freed on another thread than the one that asked for them. */
#include "core/mem.h"
#include "fcgi/front_in.h"

/* None are kept where a sanitizer looks for bytes that are used after their time. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SPARE_MOST 0
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SPARE_MOST 0
#endif
#ifndef SPARE_MOST
#define SPARE_MOST 128
#endif
#define SPARE_BYTES (8u * KIB) /* of each of its buffers */

static struct exchange *make(void)
{
    struct exchange *x = mem_alloc(sizeof *x);
    arena_init(&x->call.arena);
    buf_init(&x->call.res.headers, LIMIT_RESPONSE_HEADERS);
    buf_init(&x->call.res.body, LIMIT_RESPONSE);
    buf_init(&x->head, 2 * LIMIT_RESPONSE_HEADERS);
    return x;
}

static void unmake(struct exchange *x)
{
    buf_release(&x->call.res.headers);
    buf_release(&x->call.res.body);
    buf_release(&x->head);
    arena_release(&x->call.arena);
    mem_free(x);
}

static void buf_keep(struct buf *b)
{
    if (b->cap > SPARE_BYTES)
        buf_release(b);
    else
        buf_clear(b);
}

/* As it was when it was made, but for the memory. */
static void clear(struct exchange *x)
{
    struct call *c = &x->call;
    arena_clear(&c->arena);
    buf_keep(&c->res.headers);
    buf_keep(&c->res.body);
    buf_keep(&x->head);
    *x = (struct exchange){
        .call = {.arena = c->arena, .res = {.headers = c->res.headers, .body = c->res.body}},
        .head = x->head,
    };
}

static struct exchange *spare_take(struct front *f)
{
    pthread_mutex_lock(&f->spare_lock);
    struct exchange *x = f->spare;
    if (x) {
        f->spare = x->next;
        f->spare_count--;
        x->next = NULL;
    }
    pthread_mutex_unlock(&f->spare_lock);
    return x;
}

static bool spare_put(struct front *f, struct exchange *x)
{
    pthread_mutex_lock(&f->spare_lock);
    bool room = f->spare_count < SPARE_MOST;
    if (room) {
        x->next = f->spare;
        f->spare = x;
        f->spare_count++;
    }
    pthread_mutex_unlock(&f->spare_lock);
    return room;
}

void exchanges_free(struct front *f)
{
    for (struct exchange *x; (x = spare_take(f)) != NULL;)
        unmake(x);
}

struct exchange *exchange_take(struct front *f)
{
    struct exchange *x = spare_take(f);
    if (!x)
        x = make();
    x->front = f;
    return x;
}

void exchange_give(struct front *f, struct exchange *x)
{
    clear(x);
    if (!spare_put(f, x))
        unmake(x);
}
