#include "core/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"

#define BLOCK_FIRST 2048u
#define BLOCK_MOST (256u * 1024u)

struct arena_block {
    struct arena_block *next;
    size_t used, room;
    alignas(max_align_t) unsigned char bytes[];
};

struct arena_cleanup {
    struct arena_cleanup *next;
    void (*release)(void *);
    void *arg;
};

void arena_init(struct arena *a)
{
    *a = (struct arena)ARENA_INIT;
}

static void run_cleanups(struct arena *a)
{
    while (a->cleanups) { /* taken off first: a release may look at the arena, or add one more */
        struct arena_cleanup *c = a->cleanups;
        a->cleanups = c->next;
        c->release(c->arg);
    }
}

void arena_clear(struct arena *a)
{
    run_cleanups(a);
    struct arena_block *b = a->blocks;
    for (struct arena_block *next; b && b->next; b = next) {
        next = b->next;
        mem_free(b);
    }
    arena_init(a);
    if (!b)
        return;
    memset(b->bytes, 0, b->used);
    b->used = 0;
    if (b->room > BLOCK_FIRST)
        mem_free(b);
    else
        a->blocks = b;
}

void arena_release(struct arena *a)
{
    run_cleanups(a);
    for (struct arena_block *b = a->blocks, *next; b; b = next) {
        next = b->next;
        mem_free(b);
    }
    arena_init(a);
}

/* Makes a block with room for `size` the first one. Blocks double, so that a large request costs few of them. */
static void add_block(struct arena *a, size_t size)
{
    size_t room = a->blocks ? a->blocks->room * 2 : BLOCK_FIRST;
    if (room > BLOCK_MOST)
        room = BLOCK_MOST;
    if (room < size)
        room = size;
    struct arena_block *b = mem_alloc(sizeof *b + room);
    b->room = room;
    b->next = a->blocks;
    a->blocks = b;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > SIZE_MAX / 2)
        mem_exhausted(size);
    size_t whole = (size + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
    if (whole == 0)
        whole = alignof(max_align_t);
    if (!a->blocks || a->blocks->room - a->blocks->used < whole)
        add_block(a, whole);
    void *p = a->blocks->bytes + a->blocks->used; /* zero: a block is made zeroed and handed out once */
    a->blocks->used += whole;
    a->used += whole;
    return p;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
    size_t whole;
    if (__builtin_mul_overflow(count, size, &whole))
        whole = SIZE_MAX;
    return arena_alloc(a, whole);
}

struct span arena_copy(struct arena *a, struct span s)
{
    return (struct span){arena_text(a, s), s.len};
}

char *arena_text(struct arena *a, struct span s)
{
    char *copy = arena_alloc(a, s.len + 1);
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    return copy;
}

char *arena_printf(struct arena *a, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    int length = vsnprintf(NULL, 0, format, values);
    va_end(values);
    if (length < 0)
        length = 0;
    char *text = arena_alloc(a, (size_t)length + 1);
    va_start(values, format);
    vsnprintf(text, (size_t)length + 1, format, values);
    va_end(values);
    return text;
}

void arena_defer(struct arena *a, void (*release)(void *), void *arg)
{
    struct arena_cleanup *c = arena_alloc(a, sizeof *c);
    *c = (struct arena_cleanup){a->cleanups, release, arg};
    a->cleanups = c;
}
