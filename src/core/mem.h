/*
 * mem.h: allocation that cannot fail. Every size that a stranger controls is capped beforehand (limits.h), so that
 * running out of memory is the machine's state and not an input: these say so in one line and abort.
 * mem_on_exhausted() names a function to be called between the two, before there are threads: a child process ends there
 * with a status that tells its parent why. mem_exhausted() is for the few who allocate in another way.
 */
#ifndef LATHE_CORE_MEM_H
#define LATHE_CORE_MEM_H

#include <stddef.h>

#include "core/attr.h"

void *mem_alloc(size_t size) LATHE_MALLOC;               /* zeroed */
void *mem_array(size_t count, size_t size) LATHE_MALLOC; /* zeroed; overflow aborts */
void *mem_grow(void *old, size_t count,
               size_t size) LATHE_NONNULL_RESULT; /* realloc; new bytes are not zeroed */
/* A list with room for so many: where there is too little it is twice as much, or more. *room: before and after. */
void *mem_room(void *list, size_t *room, size_t count, size_t size) LATHE_CHECK;
char *mem_copy_text(const char *text) LATHE_MALLOC;
void mem_free(void *p); /* NULL is fine */

void mem_exhausted(size_t size) LATHE_NORETURN;
void mem_on_exhausted(void (*hook)(void)); /* NULL: none */

/*
 * For processes that serve: what is freed is kept for the next request instead of being given back to the system and asked for
 * again, page by page. mem_rest, called every few seconds by one thread, gives it back when the process has come to rest.
 */
void mem_keep(void); /* once, early */
void mem_rest(void);

/* For CLEANUP(): frees what a pointer variable points at. */
void mem_free_at(void *pointer_to_pointer);

#endif
