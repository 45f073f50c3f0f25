#include "cache/calls.h"

#include <assert.h>
#include <string.h>

#include "core/mem.h"

/* ---- lists */

struct words *words_keep(const struct span *words, size_t n)
{
    size_t bytes = 0;
    assert(n <= REDIS_WORDS);
    for (size_t i = 0; i < n; i++)
        bytes += words[i].len;
    struct words *kept = mem_alloc(sizeof *kept + bytes);
    char *at = kept->text;
    for (kept->n = 0; kept->n < n; kept->n++) {
        struct span w = words[kept->n];
        if (w.len > 0)
            memcpy(at, w.ptr, w.len);
        kept->words[kept->n] = (struct span){at, w.len};
        at += w.len;
    }
    return kept;
}

void calls_add(struct calls *to, struct call *k)
{
    *(to->first ? &to->last->next : &to->first) = k;
    to->last = k;
}

struct call *calls_take(struct calls *from)
{
    struct call *k = from->first;
    from->first = k->next;
    k->next = NULL;
    return k;
}

void call_free(struct call *k)
{
    if (k->reply)
        freeReplyObject(k->reply);
    mem_free(k->kept);
    mem_free(k);
}

/* ---- answers */

/* Does this error mean that Redis cannot serve anybody just now? */
static bool unable(struct span text)
{
    static const char *const words[] = {"LOADING", "BUSY ",   "MASTERDOWN", "CLUSTERDOWN",
                                        "OOM",     "MISCONF", "READONLY",   "TRYAGAIN"};
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (span_starts(text, words[i]))
            return true;
    return false;
}

void call_answer(struct call *k, redisReply *r)
{
    struct redis_call *s = &k->shown;
    k->reply = r;
    s->text = (struct span){r->str, r->len};
    switch (r->type) {
    case REDIS_REPLY_NIL:
        s->type = REDIS_NOTHING;
        break;
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
        s->type = REDIS_BYTES;
        break;
    case REDIS_REPLY_INTEGER:
        s->type = REDIS_NUMBER;
        s->number = r->integer;
        break;
    case REDIS_REPLY_ERROR:
        err_set(&s->err, unable(s->text) ? ERR_CACHE : ERR_REJECTED, "Redis: %.*s", (int)r->len, r->str);
        break;
    default:
        err_set(&s->err, ERR_REJECTED, "Redis answered with a list, and nobody here asks for one");
    }
}
