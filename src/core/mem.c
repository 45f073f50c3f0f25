#include "core/mem.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/cores.h"

#define KEEP_FREE (64 * 1024 * 1024)  /* at the end of a heap */
#define KEEP_LARGE (16 * 1024 * 1024) /* blocks up to this size come from a heap, not each from the system */
#define KEEP_AHEAD (1024 * 1024)      /* by so much a heap grows */
#define ROOM_FIRST 16
#define REST_CPU (100 * NS_PER_MS) /* less between two looks is rest */

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LATHE_ASAN
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define LATHE_ASAN
#endif
#ifdef LATHE_ASAN
/* Otherwise AddressSanitizer writes a report for which there is no memory either, and a process at its limit hangs. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}
#endif

static void (*exhausted_hook)(void);

void mem_on_exhausted(void (*hook)(void))
{
    exhausted_hook = hook;
}

static LATHE_NORETURN void give_up(size_t count, size_t size)
{
    fprintf(stderr, "lathe: out of memory: no room for %zu x %zu bytes\n", count, size);
    if (exhausted_hook)
        exhausted_hook();
    abort();
}

void mem_exhausted(size_t size)
{
    give_up(1, size);
}

static void *or_die(void *p, size_t count, size_t size)
{
    if (!p)
        give_up(count, size);
    return p;
}

void *mem_alloc(size_t size)
{
    return mem_array(1, size);
}

void *mem_array(size_t count, size_t size)
{
    /* calloc may answer NULL for nothing at all, and nobody here wants to tell that from a failure */
    return or_die(count && size ? calloc(count, size) : calloc(1, 1), count, size);
}

void *mem_grow(void *old, size_t count, size_t size)
{
    return or_die(count && size ? reallocarray(old, count, size) : reallocarray(old, 1, 1), count, size);
}

void *mem_room(void *list, size_t *room, size_t count, size_t size)
{
    size_t more = *room > 0 ? *room : ROOM_FIRST;
    if (count <= *room)
        return list;
    while (more < count)
        more = more <= SIZE_MAX / 2 ? 2 * more : count;
    *room = more;
    return mem_grow(list, more, size);
}

char *mem_copy_text(const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(mem_alloc(size), text, size);
}

void mem_free(void *p)
{
    free(p);
}

void mem_free_at(void *pointer_to_pointer)
{
    void *p;
    memcpy(&p, pointer_to_pointer, sizeof p); /* the variable's type is any pointer type */
    free(p);
}

/* As many as threads can run at once: each keeps what it has. The C library would make eight times as many. */
static int heaps(void)
{
    int cores = cores_usable();
    return cores > 2 ? cores : 2;
}

void mem_keep(void)
{
    mallopt(M_TRIM_THRESHOLD, KEEP_FREE);
    mallopt(M_MMAP_THRESHOLD, KEEP_LARGE);
    mallopt(M_TOP_PAD, KEEP_AHEAD);
    mallopt(M_ARENA_MAX, heaps());
}

void mem_rest(void)
{
    static int64_t before;
    static bool worked;
    int64_t cpu = clock_process_cpu();
    bool busy = cpu - before > REST_CPU;
    before = cpu;
    if (worked && !busy)
        malloc_trim(0);
    worked = busy;
}
