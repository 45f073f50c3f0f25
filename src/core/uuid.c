#include "core/uuid.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/clock.h"

#define SEQUENCE_BITS 12

/* The 60 bits of milliseconds and sequence given out last. One number, so that one compare-and-swap keeps ids rising
 * when the clock stands still, when it steps back, and when a millisecond has more than 4096 ids (they borrow the next). */
static _Atomic int64_t last;

static int64_t next_stamp(void)
{
    int64_t now = (clock_wall_us() / 1000) << SEQUENCE_BITS;
    int64_t seen = atomic_load_explicit(&last, memory_order_relaxed), mine;
    do
        mine = now > seen ? now : seen + 1;
    while (!atomic_compare_exchange_weak_explicit(&last, &seen, mine, memory_order_relaxed,
                                                  memory_order_relaxed));
    return mine;
}

/* Random bytes of this thread; a process that was forked forgets them, or parent and child would give out the same. */
static _Thread_local struct {
    uint8_t bytes[256];
    size_t left;
    unsigned generation;
} pool;

static atomic_uint generation = 1;

static void forget_pools(void)
{
    atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed);
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, forget_pools);
}

static void ask_kernel(uint8_t *bytes, size_t n)
{
    ssize_t got;
    do
        got = getrandom(bytes, n, 0);
    while (got < 0 && errno == EINTR);
    if (got != (ssize_t)n) {
        fprintf(stderr, "lathe: getrandom gave no random bytes: %s\n", strerrordesc_np(errno));
        abort();
    }
}

static void fill_random(uint8_t *bytes, size_t n)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    unsigned now = atomic_load_explicit(&generation, memory_order_relaxed);
    if (pool.left < n || pool.generation != now) {
        ask_kernel(pool.bytes, sizeof pool.bytes);
        pool.left = sizeof pool.bytes;
        pool.generation = now;
    }
    pool.left -= n;
    memcpy(bytes, pool.bytes + pool.left, n);
}

static void set_ms(struct uuid *id, int64_t ms)
{
    for (int i = 5; i >= 0; i--, ms >>= 8)
        id->b[i] = (uint8_t)(ms & 0xff);
}

static void set_version(struct uuid *id)
{
    id->b[6] = (uint8_t)(0x70 | (id->b[6] & 0x0f));
    id->b[8] = (uint8_t)(0x80 | (id->b[8] & 0x3f));
}

struct uuid uuid_v7(void)
{
    struct uuid id;
    int64_t stamp = next_stamp();
    fill_random(id.b + 8, 8);
    set_ms(&id, stamp >> SEQUENCE_BITS);
    id.b[6] = (uint8_t)((stamp >> 8) & 0x0f);
    id.b[7] = (uint8_t)(stamp & 0xff);
    set_version(&id);
    return id;
}

struct uuid uuid_floor(int64_t wall_us)
{
    struct uuid id = {{0}};
    set_ms(&id, wall_us > 0 ? wall_us / 1000 : 0);
    set_version(&id);
    return id;
}

int64_t uuid_wall_ms(struct uuid id)
{
    int64_t ms = 0;
    for (int i = 0; i < 6; i++)
        ms = ms << 8 | id.b[i];
    return ms;
}

void uuid_format(struct uuid id, char text[UUID_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    char *to = text;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *to++ = '-';
        *to++ = digits[id.b[i] >> 4];
        *to++ = digits[id.b[i] & 15];
    }
    *to = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool uuid_parse(struct span text, struct uuid *ret)
{
    if (text.len != UUID_TEXT - 1)
        return false;
    struct uuid id;
    const char *from = text.ptr;
    for (int i = 0; i < 16; i++) {
        if ((i == 4 || i == 6 || i == 8 || i == 10) && *from++ != '-')
            return false;
        int high = hex_value(from[0]), low = hex_value(from[1]);
        if (high < 0 || low < 0)
            return false;
        id.b[i] = (uint8_t)(high << 4 | low);
        from += 2;
    }
    *ret = id;
    return true;
}

uint64_t uuid_hash(struct uuid a)
{
    uint64_t front, back;
    memcpy(&front, a.b, sizeof front);
    memcpy(&back, a.b + 8, sizeof back);
    uint64_t h = (front ^ back) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 32;
}
