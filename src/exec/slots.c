#include "exec/slots.h"

#include <stdalign.h>
#include <string.h>

#include "core/limits.h"
#include "core/mem.h"

#define BLOCK 64        /* slots */
#define KEEP_BYTES 4096 /* of a result buffer that the next item may use again */

void slots_init(struct slots *s, size_t state_size)
{
    size_t unit = alignof(max_align_t);
    *s = (struct slots){.state_size = (state_size + unit - 1) / unit * unit};
}

void slots_release(struct slots *s)
{
    for (size_t b = 0; b < s->count; b++) {
        for (size_t i = 0; i < BLOCK; i++)
            buf_release(&s->blocks[b][i].item.out);
        mem_free(s->blocks[b]);
    }
    mem_free(s->blocks);
    slots_init(s, s->state_size);
}

/* One allocation: the slots, then their states. */
static void grow(struct slots *s)
{
    if (s->count == s->room) {
        s->room = s->room ? s->room * 2 : 4;
        s->blocks = mem_grow(s->blocks, s->room, sizeof(struct slot *));
    }
    size_t slots = (BLOCK * sizeof(struct slot) + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    struct slot *block = mem_alloc(slots + BLOCK * s->state_size);
    char *states = (char *)block + slots;
    for (size_t i = BLOCK; i-- > 0;) {
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
        for (size_t i = 0; i < BLOCK; i++)
            if (s->blocks[b][i].used)
                f(&s->blocks[b][i]);
}
