#include "exec/graves.h"

#include <string.h>

#include "core/mem.h"

static struct grave *find(const struct graves *g, pid_t pid)
{
    for (size_t i = 0; i < g->count; i++)
        if (g->list[i].pid == pid)
            return &g->list[i];
    return NULL;
}

static void remove_one(struct graves *g, struct grave *old)
{
    size_t after = g->count - (size_t)(old - g->list) - 1;
    memmove(old, old + 1, after * sizeof *old);
    g->count--;
}

void graves_dig(struct graves *g, pid_t pid, const struct child_end *end)
{
    struct grave *old = find(g, pid);
    if (!old && g->count == GRAVES_MOST)
        old = g->list;
    if (old)
        remove_one(g, old);
    g->list = mem_room(g->list, &g->room, g->count + 1, sizeof *g->list);
    g->list[g->count++] = (struct grave){pid, *end};
}

bool graves_open(struct graves *g, pid_t pid, struct child_end *ret)
{
    struct grave *at = find(g, pid);
    if (!at)
        return false;
    *ret = at->end;
    remove_one(g, at);
    return true;
}

void graves_release(struct graves *g)
{
    mem_free(g->list);
    *g = (struct graves){0};
}
