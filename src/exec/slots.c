#include "exec/slots.h"

#include <stdalign.h>
#include <string.h>

#include "core/limits.h"
#include "core/mem.h"

#define BLOCK 64        /* slots, where so many may be in flight */
#define KEEP_BYTES 4096 /* of a result buffer that the next item may use again */

static size_t aligned(size_t size)
{
    size_t unit = alignof(max_align_t);
    return (size + unit - 1) / unit * unit;
}

void slots_init(struct slots *s, size_t state_size, int64_t most)
{
    *s = (struct slots){.state_size = aligned(state_size),
                        .per_block = most < 1       ? 1
                                     : most < BLOCK ? (size_t)most
                                                    : BLOCK};
}

void slots_release(struct slots *s)
{
    for (size_t b = 0; b < s->count; b++) {
        for (size_t i = 0; i < s->per_block; i++)
            buf_release(&s->blocks[b][i].item.out);
        mem_free(s->blocks[b]);
    }
    mem_free(s->blocks);
    s->blocks = NULL;
    s->free = NULL;
    s->count = s->room = 0;
}

/* One allocation: the slots, then their states. */
static void grow(struct slots *s)
{
    s->blocks = mem_room(s->blocks, &s->room, s->count + 1, sizeof(struct slot *));
    size_t slots = aligned(s->per_block * sizeof(struct slot));
    struct slot *block = mem_alloc(slots + s->per_block * s->state_size);
    char *states = (char *)block + slots;
    for (size_t i = s->per_block; i-- > 0;) {
        struct slot *slot = &block[i];
        slot->item.state = states + i * s->state_size;
        slot->item.out = (struct buf)BUF_INIT(LIMIT_ITEM_RESULT);
        slot->next = s->free;
        s->free = slot;
    }
    s->blocks[s->count++] = block;
}

struct slot *slots_get(struct slots *s)
{
    if (!s->free)
        grow(s);
    struct slot *slot = s->free;
    s->free = slot->next;
    slot->next = NULL;
    slot->used = true;
    slot->again = false;
    slot->cpu = slot->wait = slot->partial = slot->tries = 0;
    slots_clear(s, slot);
    return slot;
}

void slots_clear(struct slots *s, struct slot *slot)
{
    slot->stepped = slot->calling = slot->cached = false;
    slot->item.progress = 0;
    slot->item.err.code = ERR_NONE;
    slot->item.err.pointer[0] = slot->item.err.text[0] = '\0';
    buf_clear(&slot->item.out);
    memset(slot->item.state, 0, s->state_size);
}

void slots_put(struct slots *s, struct slot *slot)
{
    if (slot->item.out.cap > KEEP_BYTES)
        buf_release(&slot->item.out);
    else
        buf_clear(&slot->item.out);
    slot->used = false;
    slot->next = s->free;
    s->free = slot;
}

void slots_each(struct slots *s, void (*f)(struct slot *slot))
{
    for (size_t b = 0; b < s->count; b++)
        for (size_t i = 0; i < s->per_block; i++)
            if (s->blocks[b][i].used)
                f(&s->blocks[b][i]);
}
