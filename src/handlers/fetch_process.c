/* fetch_process.c: makes an HTTP request and works on the body of the answer, which is not kept. */
#include "handlers/fetch.h"
#include "handlers/process.h"
#include "handlers/registry.h"

enum work { WORK_WORDS, WORK_HASH, WORK_COMPRESS };

struct args {
    struct fetch_args fetch;
    struct pack_args pack;
    int work, hash;
};

static bool work(struct item *it, const struct args *args, struct source *s, struct json_out *o)
{
    if (args->work == WORK_HASH)
        return process_hash(it, s, (enum digest_kind)args->hash, o);
    if (args->work == WORK_COMPRESS)
        return process_pack(it, s, &args->pack, o);
    return process_words(it, s, o);
}

static enum step step(struct item *it)
{
    const struct args *args = it->args;
    struct fetch *f = it->state;
    struct source body;
    enum step got = fetch_step(it, &args->fetch, f);
    if (got != STEP_DONE)
        return got;
    struct json_out o = json_out(&it->out);
    json_open(&o, '{');
    fetch_write(&o, f);
    json_key(&o, "work");
    json_open(&o, '{');
    source_of(&body, f->call->body);
    if (!work(it, args, &body, &o))
        return STEP_FAIL;
    json_close(&o, '}');
    json_close(&o, '}');
    return STEP_DONE;
}

static void drop(struct item *it)
{
    fetch_drop(it->state);
}

static const char *const works[] = {"words", "hash", "compress", NULL};

static const struct field fields[] = {
    FETCH_FIELDS(struct args, fetch),
    {.name = "work",
     .type = FIELD_ENUM,
     .offset = offsetof(struct args, work),
     .words = works,
     .summary = "what is done to the body: words (lines and words are counted), hash or compress"},
    DIGEST_FIELD(struct args, hash, "hash", DIGEST_SHA256, "by what the body is hashed"),
    PACK_FIELDS(struct args, pack),
    KEEP_FIELD(struct args, pack),
};

const struct handler handler_fetch_process = {
    .name = "fetch.process",
    .summary = "makes an HTTP request and counts, hashes or compresses what it answers",
    .item = FETCH_ITEM,
    .params = FIELDS(fields, struct args),
    .state_size = sizeof(struct fetch),
    .step = step,
    .drop = drop,
    .remembers = fetch_remembers,
};
