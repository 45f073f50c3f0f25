/*
 * arena.h: memory that dies together: that of one request, one claimed batch, one command. Foreign handles are tied to
 * it with arena_defer and released last in, first out, before the memory goes. One thread at a time.
 *
 *     struct arena a CLEANUP(arena_release) = ARENA_INIT;
 *     char *path = arena_printf(&a, "%s/api.sock", dir);
 */
#ifndef LATHE_CORE_ARENA_H
#define LATHE_CORE_ARENA_H

#include <stddef.h>

#include "core/attr.h"
#include "core/span.h"

struct arena_block;
struct arena_cleanup;

struct arena {
    struct arena_block *blocks;
    struct arena_cleanup *cleanups;
    size_t used; /* bytes handed out, for budgets and tests */
};

/* clang-format off */
#define ARENA_INIT {0}
/* clang-format on */

void arena_init(struct arena *a);
void arena_release(struct arena *a); /* runs the cleanups, frees all; the arena is empty and usable again */

void arena_clear(struct arena *a); /* the same, but keeps a small block for those who come next */

void *arena_alloc(struct arena *a, size_t size) LATHE_MALLOC;               /* zeroed, aligned for any type */
void *arena_array(struct arena *a, size_t count, size_t size) LATHE_MALLOC; /* overflow aborts */
struct span arena_copy(struct arena *a, struct span s);
char *arena_text(struct arena *a, struct span s) LATHE_NONNULL_RESULT; /* a copy with NUL behind it */
char *arena_printf(struct arena *a, const char *format, ...) LATHE_PRINTF(2, 3) LATHE_NONNULL_RESULT;
void arena_defer(struct arena *a, void (*release)(void *), void *arg);

#endif
