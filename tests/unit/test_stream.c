/* queue/stream.c: items that come in pieces become chunks, and units of the right size. The store is the test's own. */
#include "../lib/test.h"

#include <stdio.h>

#include "core/limits.h"
#include "core/mem.h"
#include "queue/inside.h"
#include "queue/stream.c" /* whose deadline is set back */

#undef LIMIT_UPLOAD_S
#define LIMIT_UPLOAD_S 1 /* for what reads a file: the least that there can be */
#include "cmd/upload.c"

static struct {
    bool refuse, fail_add, fail_end;
    int open; /* uploads */
    int64_t items, bytes;
    int64_t *firsts; /* of the chunks */
    size_t chunks;
    size_t largest; /* chunk, in bytes */
    struct new_task task;
    struct put_verdict verdict;
    char text[1024]; /* the beginning of all */
} store;

bool store_upload_new(struct store *s, struct uuid task, struct store_upload **ret, struct err *e)
{
    (void)s;
    if (store.refuse)
        return err_set(e, ERR_STORE, "down");
    store.open++;
    store.task.id = task;
    *ret = (struct store_upload *)&store;
    return true;
}

bool store_upload_add(struct store_upload *u, const struct input_chunk *list, size_t n, struct err *e)
{
    (void)u;
    size_t all = 0;
    if (store.fail_add)
        return err_set(e, ERR_STORE, "gone");
    assert_in_range(n, 1, LIMIT_INPUT_CHUNKS);
    store.firsts = mem_grow(store.firsts, store.chunks + n, sizeof *store.firsts);
    for (size_t i = 0; i < n; i++) {
        const struct input_chunk *c = &list[i];
        int64_t lines = 0;
        assert_int_equal(c->first, store.items);
        for (size_t k = 0; k < c->bytes.len; k++) {
            if ((size_t)store.bytes + k < sizeof store.text)
                store.text[(size_t)store.bytes + k] = c->bytes.ptr[k];
            lines += c->bytes.ptr[k] == '\n';
        }
        assert_int_equal(lines, c->count);
        assert_true(c->count > 0 && c->bytes.ptr[c->bytes.len - 1] == '\n');
        store.firsts[store.chunks++] = c->first;
        store.items += c->count;
        store.bytes += (int64_t)c->bytes.len;
        all += c->bytes.len;
        if (c->bytes.len > store.largest)
            store.largest = c->bytes.len;
    }
    assert_true(all <= LIMIT_INPUT_CHUNK + LIMIT_ITEM_INPUT + 1); /* what is held at most */
    return true;
}

bool store_upload_end(struct store_upload *u, struct new_tasks *t, struct err *e)
{
    (void)u;
    if (store.fail_end)
        return err_set(e, ERR_STORE, "gone");
    assert_int_equal(t->count, 1);
    assert_true(uuid_eq(t->list[0].id, store.task.id) && uuid_eq(t->list[0].inputs_of, store.task.id));
    store.task = t->list[0];
    t->verdicts[0] = store.verdict;
    return true;
}

void store_upload_free(struct store_upload *u)
{
    assert_non_null(u);
    store.open--;
}

static enum step no_step(struct item *it)
{
    (void)it;
    return STEP_DONE;
}

static const struct handler handler = {.name = "echo", .summary = "", .step = no_step};

static const struct handler *lookup(struct span name)
{
    return span_is(name, "echo") ? &handler : NULL;
}

static struct {
    int calls;
    struct uuid id;
    bool existing;
    enum err_code code;
} answer;

static void on_done(void *arg, struct uuid id, bool existing, const struct err *e)
{
    (void)arg;
    assert_int_equal(store.open, 0); /* a caller that waits for its task has no connection */
    answer.calls++;
    answer.id = id;
    answer.existing = existing;
    answer.code = e ? e->code : ERR_NONE;
}

static int setup(void **state)
{
    (void)state;
    mem_free(store.firsts);
    memset(&store, 0, sizeof store);
    memset(&answer, 0, sizeof answer);
    return 0;
}

static bool begin(struct arena *a, const char *strategy, const char *query, struct queue_stream **ret,
                  struct err *e)
{
    static struct queue q;
    struct submission *s = arena_alloc(a, sizeof *s);
    if (!submission_read(a, strategy_find(span_of(strategy)), NULL, span_of(query), lookup, s, e))
        fail_msg("%s", e->text);
    return queue_stream_new(&q, a, s, ret, e);
}

/* `n` times the line. False as soon as one of the calls says so. */
static bool stream(const char *strategy, const char *query, const char *line, int64_t n, struct err *e)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct queue_stream *st;
    *e = (struct err)ERR_INIT;
    if (!begin(&a, strategy, query, &st, e))
        return false;
    for (int64_t i = 0; i < n; i++)
        if (!queue_stream_feed(st, span_of(line), e)) {
            queue_stream_drop(st);
            return false;
        }
    return queue_stream_end(st, on_done, NULL, e);
}

static void check_units(int64_t items, int64_t unit_size, int64_t batch_size)
{
    const struct new_task *t = &store.task;
    assert_int_equal(answer.calls, 1);
    assert_int_equal(answer.code, ERR_NONE);
    assert_int_equal(store.items, items);
    assert_int_equal(t->items_total, items);
    assert_int_equal(t->unit_size, unit_size);
    assert_int_equal(t->batch_size, batch_size);
    assert_int_equal(t->units, (items + unit_size - 1) / unit_size);
    assert_true(t->units <= LIMIT_UNITS);
    assert_int_equal(t->uploaded, store.bytes);
    assert_true(t->uploaded_unit <= t->uploaded && t->uploaded_unit * t->units >= t->uploaded);
    assert_null(t->inputs);
    size_t chunk = 0;
    for (int64_t first = 0; first < items; first += unit_size) { /* a chunk begins with each unit */
        while (chunk < store.chunks && store.firsts[chunk] < first)
            chunk++;
        assert_int_equal(store.firsts[chunk], first);
    }
}

static void t01_units(void **state)
{
    struct err e;
    static const struct {
        const char *query;
        int64_t items, unit_size, batch_size;
    } rows[] = {
        {"handler=echo", 1, 1, 100},
        {"handler=echo", 100, 100, 100},
        {"handler=echo", 101, 100, 100},
        {"handler=echo&batch_size=1", 10000, 1, 1},
        {"handler=echo&batch_size=1", 10001, 2, 2},
        {"handler=echo&batch_size=1", 45678, 8, 8},
        {"handler=echo&batch_size=3", 60001, 12, 12},
        {"handler=echo&batch_size=7", LIMIT_ITEMS, 112, 112},
        {"handler=echo&batch_size=1000000", LIMIT_ITEMS, LIMIT_ITEMS, 1000000},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        setup(state);
        if (!stream("background", rows[i].query, "1\n", rows[i].items, &e))
            fail_msg("%s: %s", rows[i].query, e.text);
        check_units(rows[i].items, rows[i].unit_size, rows[i].batch_size);
    }
}

static void t02_one_unit(void **state)
{
    (void)state;
    struct err e;
    assert_true(stream("sequential", "handler=echo&batch_size=10", "\"0123456789\"\r\n", 300000, &e));
    check_units(300000, 300000, 10);
    assert_in_range(store.chunks, 3, 5);
    assert_in_range(store.largest, LIMIT_INPUT_CHUNK - 20, LIMIT_INPUT_CHUNK);
}

static void t03_as_it_is_kept(void **state)
{
    (void)state;
    struct err e;
    static const char kept[] = "{\"a\": 1}\n[1, 2 ]\n\"x\"\n";
    assert_true(stream("background", "handler=echo", "\n{\"a\":\r1} \r\n[1, 2\r]\n \"x\"", 1, &e));
    assert_int_equal(store.bytes, sizeof kept - 1);
    assert_memory_equal(store.text, kept, sizeof kept - 1);
}

/* A string of `len` bytes with its end of line. */
static const char *string_of(size_t len)
{
    static char text[LIMIT_ITEM_INPUT + 2];
    memset(text, 'x', len);
    text[0] = text[len - 1] = '"';
    memcpy(text + len, "\n", 2);
    return text;
}

static void t04_a_unit_is_bounded(void **state)
{
    struct err e;
    const char *mib = string_of(LIMIT_ITEM_INPUT - 1);
    assert_true(stream("sequential", "handler=echo", mib, 64, &e));
    setup(state);
    assert_false(stream("sequential", "handler=echo", mib, 65, &e));
    assert_int_equal(e.code, ERR_TOO_LARGE);
    assert_non_null(strstr(e.text, "line 65: sequential runs all items as one unit"));
    setup(state);
    assert_false(stream("background", "handler=echo", mib, 65, &e));
    assert_non_null(strstr(e.text, "line 65: the items of a unit, 100 of them, "));
    setup(state);
    assert_true(stream("background", "handler=echo&batch_size=64", mib, 130, &e));
    check_units(130, 64, 64);
    assert_int_equal(store.open, 0);
}

/* Units that were small enough may not be when two of them have to be one. */
static void t05_also_of_two(void **state)
{
    (void)state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct queue_stream *st;
    struct err e = ERR_INIT;
    assert_true(begin(&a, "background", "handler=echo&batch_size=40", &st, &e));
    for (int i = 0; i < 80; i++)
        assert_true(queue_stream_feed(st, span_of(string_of(LIMIT_ITEM_INPUT - 1)), &e));
    for (int i = 80; i < 40 * (int)LIMIT_UNITS; i++)
        assert_true(queue_stream_feed(st, SPAN("1\n"), &e));
    assert_false(queue_stream_feed(st, SPAN("1\n"), &e));
    assert_int_equal(e.code, ERR_TOO_LARGE);
    assert_non_null(strstr(e.text, "line 400001: the items of a unit, 80 of them, "));
    queue_stream_drop(st);
}

/* A claim is bounded by the largest of the units, wherever that is and whatever was made of two. */
static void t06_the_largest(void **state)
{
    (void)state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct queue_stream *st;
    struct err e = ERR_INIT;
    assert_true(begin(&a, "background", "handler=echo&batch_size=1", &st, &e));
    for (int64_t i = 0; i <= LIMIT_UNITS; i++)
        assert_true(queue_stream_feed(st, span_of(i == 4 || i == 9 ? string_of(MIB / 2) : "1\n"), &e));
    assert_true(queue_stream_end(st, on_done, NULL, &e));
    assert_int_equal(store.task.unit_size, 2);
    assert_int_equal(store.task.uploaded_unit, MIB / 2 + 1 + 2);
}

static void t07_refused(void **state)
{
    struct err e;
    assert_false(stream("background", "handler=echo", "", 1, &e));
    assert_string_equal(e.pointer, "/items");
    assert_false(stream("background", "handler=echo", "\n \r\n", 1, &e));
    assert_string_equal(e.pointer, "/items");
    assert_false(stream("background", "handler=echo&items_count=4", "1\n", 1, &e));
    assert_string_equal(e.pointer, "/items_count");
    assert_false(stream("background", "handler=echo", "1\n", LIMIT_ITEMS + 1, &e));
    assert_int_equal(e.code, ERR_TOO_LARGE);
    assert_non_null(strstr(e.text, "line 1000001: "));
    assert_false(stream("background", "handler=echo", "1\n{", 1, &e));
    assert_int_equal(e.code, ERR_BAD_JSON);
    setup(state);
    store.refuse = true;
    assert_false(stream("background", "handler=echo", "1\n", 1, &e));
    setup(state);
    store.fail_add = true;
    assert_false(stream("background", "handler=echo", "1\n", 1, &e));
    setup(state);
    store.fail_end = true;
    assert_false(stream("background", "handler=echo", "1\n", 1, &e));
    assert_int_equal(e.code, ERR_STORE);
    assert_int_equal(answer.calls, 0);
    assert_int_equal(store.open, 0);
}

static void t08_verdicts(void **state)
{
    struct err e;
    struct uuid other = uuid_v7();
    store.verdict = (struct put_verdict){.existing = other, .state = TASK_running};
    assert_true(stream("background", "handler=echo", "1\n", 1, &e));
    assert_true(answer.existing && uuid_eq(answer.id, other));
    setup(state);
    store.verdict = (struct put_verdict){.bad_need = 2};
    assert_true(stream("background", "handler=echo", "1\n", 1, &e));
    assert_int_equal(answer.code, ERR_BAD_FIELD);
    assert_int_equal(store.open, 0);
}

/* An upload is a transaction: it ends in time, whether pieces come too slowly or none comes at all. */
static void t09_deadlines(void **state)
{
    (void)state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct queue_stream *st;
    struct err e = ERR_INIT;
    int silent[2];
    assert_true(begin(&a, "background", "handler=echo", &st, &e));
    assert_true(queue_stream_feed(st, SPAN("1\n"), &e));
    st->until = clock_now();
    assert_false(queue_stream_feed(st, SPAN("2\n"), &e));
    assert_int_equal(e.code, ERR_TIMEOUT);
    queue_stream_drop(st);

    e = (struct err)ERR_INIT;
    assert_true(begin(&a, "background", "handler=echo", &st, &e));
    assert_int_equal(pipe2(silent, O_CLOEXEC), 0);
    assert_false(pour_all(&(struct pour){.fd = silent[0]}, st, &e));
    assert_int_equal(e.code, ERR_TIMEOUT);
    queue_stream_drop(st);
    close(silent[0]);
    close(silent[1]);
    assert_int_equal(store.open, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
    const struct CMUnitTest tests[] = {
        TEST(t01_units),       TEST(t02_one_unit),    TEST(t03_as_it_is_kept), TEST(t04_a_unit_is_bounded),
        TEST(t05_also_of_two), TEST(t06_the_largest), TEST(t07_refused),       TEST(t08_verdicts),
        TEST(t09_deadlines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
