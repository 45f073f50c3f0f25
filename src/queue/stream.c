/*
 * stream.c: a submission whose items come in pieces. Lines are checked, gathered to chunks and handed to the store a MiB at a time.
 *
 * How many items there will be is not known, so neither is how large a unit has to be for LIMIT_UNITS to do. A block is what will
 * be a unit as far as is known: batch_size items, and when LIMIT_UNITS of them are full two become one. Chunks never lie across
 * the end of a block, so that they never will across the end of a unit.
 */
#include <assert.h>
#include <inttypes.h>

#include "core/mem.h"
#include "model/ndjson.h"
#include "queue/inside.h"

struct queue_stream {
    struct queue *queue;
    struct arena *arena;
    struct submission *submission;
    struct store_upload *upload;
    struct ndjson lines;
    int64_t until; /* clock_now(): it is one transaction, and must not be open for ever */
    int64_t items, bytes;
    /* what the store has not got yet: the last chunk is open */
    struct buf text;
    struct input_chunk chunks[LIMIT_INPUT_CHUNKS]; /* bytes.ptr is set when they go */
    size_t chunks_n;
    /* blocks; one for all where a task is one unit */
    int64_t block_size; /* items; 0: all */
    int64_t *blocks;    /* bytes of each */
};

static bool is_cut(const struct submission *s)
{
    return s->strategy->kind == STRATEGY_QUEUED;
}

static void stream_free(struct queue_stream *st)
{
    store_upload_free(st->upload);
    ndjson_release(&st->lines);
    buf_release(&st->text);
    mem_free(st->blocks);
    mem_free(st);
}

/* ---- to the store ---- */

static bool hand_over(struct queue_stream *st, struct err *e)
{
    const char *at = st->text.ptr;
    for (size_t i = 0; i < st->chunks_n; i++) {
        st->chunks[i].bytes.ptr = at;
        at += st->chunks[i].bytes.len;
    }
    if (st->chunks_n > 0 && !store_upload_add(st->upload, st->chunks, st->chunks_n, e))
        return false;
    st->chunks_n = 0;
    buf_clear(&st->text);
    return true;
}

/* ---- items ---- */

static bool unit_too_large(const struct queue_stream *st, struct err *e)
{
    if (is_cut(st->submission))
        return err_set(e, ERR_TOO_LARGE,
                       "line %" PRId64 ": the items of a unit, %" PRId64
                       " of them, have more than %u MiB: make batch_size smaller, or the items",
                       st->lines.line, st->block_size, LIMIT_UNIT_INPUT / MIB);
    return err_set(
        e, ERR_TOO_LARGE,
        "line %" PRId64
        ": %s runs all items as one unit, which may have %u MiB: under background they are cut into units",
        st->lines.line, st->submission->strategy->name, LIMIT_UNIT_INPUT / MIB);
}

/* Every two blocks become one. */
static bool fold(struct queue_stream *st, struct err *e)
{
    st->block_size *= 2;
    for (size_t i = 0; i < LIMIT_UNITS / 2; i++) {
        st->blocks[i] = st->blocks[2 * i] + st->blocks[2 * i + 1];
        if (st->blocks[i] > LIMIT_UNIT_INPUT)
            return unit_too_large(st, e);
    }
    memset(st->blocks + LIMIT_UNITS / 2, 0, LIMIT_UNITS / 2 * sizeof *st->blocks);
    return true;
}

/* The block of the next item. */
static bool find_block(struct queue_stream *st, size_t *ret, struct err *e)
{
    if (st->block_size > 0 && st->items / st->block_size == LIMIT_UNITS && !fold(st, e))
        return false;
    *ret = st->block_size > 0 ? (size_t)(st->items / st->block_size) : 0;
    return true;
}

static bool begins_chunk(const struct queue_stream *st, size_t len)
{
    if (st->chunks_n == 0 || (st->block_size > 0 && st->items % st->block_size == 0))
        return true;
    return st->chunks[st->chunks_n - 1].bytes.len + len > LIMIT_INPUT_CHUNK;
}

/* A CR in it can only be a blank: in strings it is not allowed. Some readers of lines would end one there. */
static void put_line(struct buf *text, struct span value)
{
    size_t at = text->len;
    buf_span(text, value);
    buf_char(text, '\n');
    assert(!text->failed);
    for (char *cr; (cr = memchr(text->ptr + at, '\r', value.len));)
        *cr = ' ';
}

static void add_item(struct queue_stream *st, struct span value)
{
    size_t len = value.len + 1;
    if (begins_chunk(st, len))
        st->chunks[st->chunks_n++] = (struct input_chunk){.first = st->items};
    struct input_chunk *chunk = &st->chunks[st->chunks_n - 1];
    put_line(&st->text, value);
    chunk->bytes.len += len;
    chunk->count++;
    st->items++;
    st->bytes += (int64_t)len;
}

static bool on_value(void *arg, struct span value, struct err *e)
{
    struct queue_stream *st = arg;
    size_t block;
    if (st->items == LIMIT_ITEMS)
        return err_set(e, ERR_TOO_LARGE, "line %" PRId64 ": a task may have %u items", st->lines.line,
                       LIMIT_ITEMS);
    if (!find_block(st, &block, e))
        return false;
    st->blocks[block] += (int64_t)value.len + 1;
    if (st->blocks[block] > LIMIT_UNIT_INPUT)
        return unit_too_large(st, e);
    bool full = st->text.len + value.len + 1 > LIMIT_INPUT_CHUNK || st->chunks_n == LIMIT_INPUT_CHUNKS;
    if (full && !hand_over(st, e))
        return false;
    add_item(st, value);
    return true;
}

/* ---- the calls ---- */

bool queue_stream_new(struct queue *q, struct arena *a, struct submission *s, struct queue_stream **ret,
                      struct err *e)
{
    assert(s->strategy && !s->items_json);
    if (s->items_count_given)
        return err_at(e, ERR_BAD_FIELD, "/items_count",
                      "the items are in the body: how many there are is seen there");
    struct store_upload *u;
    if (uuid_is_nil(s->id))
        s->id = uuid_v7();
    if (!store_upload_new(q->store, s->id, &u, e))
        return false;
    struct queue_stream *st = mem_alloc(sizeof *st);
    *st = (struct queue_stream){.queue = q, .arena = a, .submission = s, .upload = u};
    st->until = clock_after_ms(LIMIT_UPLOAD_S * 1000);
    st->block_size = is_cut(s) ? s->batch_size : 0;
    st->blocks = mem_array(LIMIT_UNITS, sizeof *st->blocks);
    buf_init(&st->text, LIMIT_INPUT_CHUNK + LIMIT_ITEM_INPUT + 1);
    ndjson_init(&st->lines, on_value, st);
    *ret = st;
    return true;
}

bool queue_stream_feed(struct queue_stream *st, struct span piece, struct err *e)
{
    if (clock_now() >= st->until)
        return err_set(e, ERR_TIMEOUT, "the items did not come within %d s", LIMIT_UPLOAD_S);
    return ndjson_feed(&st->lines, piece, e);
}

int64_t queue_stream_items(const struct queue_stream *st)
{
    return st->items;
}

static int64_t largest_block(const struct queue_stream *st)
{
    int64_t most = 0;
    for (size_t i = 0; i < LIMIT_UNITS; i++)
        most = st->blocks[i] > most ? st->blocks[i] : most;
    return most;
}

static bool commit(struct queue_stream *st, struct put **ret, struct err *e)
{
    struct submission *s = st->submission;
    if (!ndjson_end(&st->lines, e) || !hand_over(st, e))
        return false;
    if (st->items == 0)
        return err_at(e, ERR_BAD_FIELD, "/items", "the body has no items: each is a line of it");
    s->items = st->items;
    s->uploaded = st->bytes;
    s->uploaded_unit = largest_block(st);
    s->unit_size = st->block_size > 0 && st->block_size < st->items ? st->block_size : st->items;
    return put_upload(st->queue, st->arena, s, st->upload, ret, e);
}

bool queue_stream_end(struct queue_stream *st,
                      void (*done)(void *arg, struct uuid id, bool existing, const struct err *e), void *arg,
                      struct err *e)
{
    struct put *put;
    bool ok = commit(st, &put, e);
    stream_free(st);
    if (ok)
        put_uploaded(put, done, arg);
    return ok;
}

void queue_stream_drop(struct queue_stream *st)
{
    stream_free(st);
}
