/*
 * memo.c: a key of Redis for each result. It holds either "V" and the result, or "L" and the name of who computes it just now:
 *
 *     SET key L<name> NX PX <hold>      the first one gets the key, and with it the work
 *     GET key                           what is there now: ours, another's lock, or a result
 *
 * go out together, so that a hit and a miss cost one trip, and all items of a thread share it. Whoever finds another's lock
 * asks again after 2, 4, 8 … 100 ms. A lock that nobody gives back, because its process died, ends by itself; and it is named
 * by run and item, so that who runs the item of a dead process again finds its own.
 */
#include "exec/memo.h"

#include <stdio.h>
#include <string.h>

#include "core/hmac.h"
#include "core/json.h"
#include "core/limits.h"
#include "core/mem.h"
#include "core/uuid.h"
#include "model/redis.h"

#define FORMAT "1" /* of keys and values: another one finds nothing of this */
#define HOLD_MS \
    15000 /* of a lock, and what somebody waits for it; no longer than a worker's lease is by default */
#define PAUSE_FIRST_MS 2
#define PAUSE_LAST_MS 100
#define DIGEST 32
#define NUMBER 24

static const char free_lock[] =
    "if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('del',KEYS[1]) end return 0";

struct memo {
    char key[128], lock[1 + UUID_TEXT + NUMBER];
    struct redis_call *set, *get;
    int64_t give_up, until; /* until: nothing is asked before */
    int64_t pause_ms;
    bool holds; /* the lock is ours, or may be: it was asked for, and nobody has said otherwise */
    bool over, hit;
};

/* ---- keys */

void memo_rules(struct memo_rules *m, const struct handler *h, const void *args, int64_t ttl_ms,
                int64_t item_timeout_ms)
{
    struct buf text CLEANUP(buf_release) = BUF_INIT(2 * LIMIT_PARAMS);
    struct json_out o = json_out(&text);
    *m = (struct memo_rules){.ttl_ms = h->unremembered ? 0 : ttl_ms};
    if (m->ttl_ms <= 0)
        return;
    m->run = uuid_v7();
    m->hold_ms = item_timeout_ms > 0 && item_timeout_ms < HOLD_MS ? item_timeout_ms : HOLD_MS;
    m->indexed = h->item == NULL || h->indexed;
    buf_printf(&text, FORMAT "\n%s\n%lld\n", h->name, (long long)h->version);
    fields_write(&h->params, args, &o);
    if (h->salt)
        h->salt(args, &text);
    if (text.failed)
        m->ttl_ms = 0;
    else
        sha256(buf_view(&text), m->base);
}

static void put_hex(char *to, const unsigned char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        snprintf(to + 2 * i, 3, "%02x", bytes[i]);
}

static void make_key(const struct memo_rules *rules, struct memo *m, const struct item *it)
{
    struct buf text CLEANUP(buf_release) = BUF_INIT(LIMIT_ITEM_INPUT + 256);
    unsigned char sum[DIGEST];
    buf_put(&text, rules->base, sizeof rules->base);
    if (rules->indexed || it->input.len == 0)
        buf_int(&text, it->index);
    buf_char(&text, '\n');
    buf_span(&text, it->input);
    sha256(buf_view(&text), sum);
    int n = snprintf(m->key, sizeof m->key, "%s:memo:", redis_own_prefix());
    put_hex(m->key + n, sum, sizeof sum);
}

static struct memo *begin(const struct memo_rules *rules, const struct item *it)
{
    struct memo *m = mem_alloc(sizeof *m);
    char run[UUID_TEXT];
    make_key(rules, m, it);
    uuid_format(rules->run, run);
    snprintf(m->lock, sizeof m->lock, "L%s.%lld", run, (long long)it->index);
    m->give_up = clock_after_ms(rules->hold_ms);
    m->pause_ms = PAUSE_FIRST_MS;
    return m;
}

/* ---- asking */

static void hang_up(struct memo *m)
{
    redis_drop(m->set);
    redis_drop(m->get);
    m->set = m->get = NULL;
}

static bool ask(const struct memo_rules *rules, struct memo *m, struct item *it)
{
    char hold[NUMBER];
    struct span key = span_of(m->key);
    struct err before = it->err;
    snprintf(hold, sizeof hold, "%lld", (long long)rules->hold_ms);
    m->set = redis_start(
        it, &redis_own_port,
        (struct span[]){SPAN("SET"), key, span_of(m->lock), SPAN("NX"), SPAN("PX"), span_of(hold)}, 6);
    m->holds = m->set != NULL;
    if (m->set)
        m->get = redis_start(it, &redis_own_port, (struct span[]){SPAN("GET"), key}, 2);
    it->err = before; /* it is not the item's */
    return m->get != NULL;
}

/* What a stranger may have put there is not passed on as a result. */
static bool is_result(struct span text)
{
    return text.len > 1 && text.ptr[0] == 'V' && !memchr(text.ptr, '\n', text.len) &&
           json_check((struct span){text.ptr + 1, text.len - 1}, NULL);
}

static enum memo_said compute(struct memo *m)
{
    hang_up(m);
    m->over = true;
    return MEMO_COMPUTE;
}

static enum memo_said wait_for_other(struct memo *m, struct item *it)
{
    hang_up(m);
    if (clock_now() >= m->give_up)
        return compute(m);
    m->until = clock_after_ms(m->pause_ms);
    m->pause_ms = 2 * m->pause_ms < PAUSE_LAST_MS ? 2 * m->pause_ms : PAUSE_LAST_MS;
    item_wait_until(it, m->until);
    return MEMO_WAIT;
}

static enum memo_said read_answer(struct memo *m, struct item *it)
{
    if (m->set->err.code != ERR_NONE || m->get->err.code != ERR_NONE)
        return compute(m);
    struct span text = m->get->type == REDIS_BYTES ? m->get->text : SPAN("");
    m->holds = m->set->type == REDIS_BYTES || span_is(text, m->lock);
    if (m->holds) /* OK: there was nothing, and now it is our turn */
        return compute(m);
    if (is_result(text)) {
        buf_put(&it->out, text.ptr + 1, text.len - 1);
        hang_up(m);
        m->over = m->hit = true;
        return MEMO_HIT;
    }
    return text.len == 0 || text.ptr[0] == 'L' ? wait_for_other(m, it) : compute(m);
}

enum memo_said memo_step(const struct memo_rules *rules, struct memo **at, struct item *it)
{
    if (!*at && it->handler->remembers && !it->handler->remembers(it))
        return MEMO_COMPUTE;
    if (!*at)
        *at = begin(rules, it);
    struct memo *m = *at;
    if (m->over)
        return MEMO_COMPUTE;
    if (!m->set && clock_now() < m->until) {
        item_wait_until(it, m->until);
        return MEMO_WAIT;
    }
    if (!m->set && !ask(rules, m, it))
        return compute(m);
    if (m->set->done && m->get->done)
        return read_answer(m, it);
    item_wait_call(it);
    return MEMO_WAIT;
}

/* ---- the end */

static void keep(const struct memo_rules *rules, const struct memo *m, struct item *it)
{
    struct buf value CLEANUP(buf_release) = BUF_INIT(LIMIT_MEMO_RESULT + 1);
    char ttl[NUMBER];
    snprintf(ttl, sizeof ttl, "%lld", (long long)rules->ttl_ms);
    buf_char(&value, 'V');
    buf_span(&value, it->out.len ? buf_view(&it->out) : SPAN("null"));
    redis_tell(it, &redis_own_port,
               (struct span[]){SPAN("SET"), span_of(m->key), buf_view(&value), SPAN("PX"), span_of(ttl)}, 5);
}

static void free_it(const struct memo *m, struct item *it)
{
    redis_tell(
        it, &redis_own_port,
        (struct span[]){SPAN("EVAL"), span_of(free_lock), SPAN("1"), span_of(m->key), span_of(m->lock)}, 5);
}

void memo_end(const struct memo_rules *rules, struct memo **at, struct item *it, bool ok)
{
    struct memo *m = *at;
    if (!m)
        return;
    hang_up(m);
    if (!m->hit && ok && it->out.len <= LIMIT_MEMO_RESULT)
        keep(rules, m, it);
    else if (m->holds)
        free_it(m, it);
    mem_free(m);
    *at = NULL;
}
