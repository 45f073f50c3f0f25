/* model/batch.c: rows that know each other by names, in every way to go wrong. */
#include "../lib/test.h"

#include <string.h>

#include "core/attr.h"
#include "core/buf.h"
#include "core/mem.h"
#include "model/batch.h"

static struct arena arena = ARENA_INIT;
static const struct handler plain = {.name = "plain"};

static const struct handler *lookup(struct span name)
{
    return span_is(name, "plain") ? &plain : NULL;
}

static int clean(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

/* Rows from a JSON list. */
static struct batch_row *link_rows(const char *text)
{
    const struct json *list;
    struct err e = ERR_INIT;
    assert_true(json_read(&arena, span_of(text), &list, &e));
    size_t n = json_len(list);
    struct batch_row *rows = arena_array(&arena, n, sizeof *rows);
    for (size_t i = 0; i < n; i++) {
        struct err *bad = arena_alloc(&arena, sizeof *bad);
        rows[i].s = arena_alloc(&arena, sizeof *rows[i].s);
        if (!submission_row(&arena, NULL, json_at(list, i), lookup, rows[i].s, bad))
            rows[i] = (struct batch_row){.refused = bad};
    }
    batch_link(&arena, rows, n);
    return rows;
}

static void refused_at(const struct batch_row *row, const char *pointer, const char *word)
{
    assert_non_null(row->refused);
    assert_string_equal(row->refused->pointer, pointer);
    if (!strstr(row->refused->text, word))
        fail_msg("%s", row->refused->text);
}

static void t01_names_become_ids(void **state)
{
    (void)state;
    struct batch_row *r = link_rows("[{\"handler\":\"plain\",\"depends_on\":[\"#b\",\"#c\"]},"
                                    "{\"handler\":\"plain\",\"name\":\"b\",\"depends_on\":[\"#c\"]},"
                                    "{\"handler\":\"plain\",\"name\":\"c\"}]");
    for (int i = 0; i < 3; i++) {
        assert_null(r[i].refused);
        assert_false(uuid_is_nil(r[i].s->id));
    }
    const struct need *needs = r[0].s->terms.follow.needs;
    assert_true(uuid_eq(needs[0].id, r[1].s->id) && uuid_eq(needs[1].id, r[2].s->id));
    assert_true(uuid_eq(r[1].s->terms.follow.needs[0].id, r[2].s->id));
}

static void t02_a_name_twice_and_none(void **state)
{
    (void)state;
    struct batch_row *r =
        link_rows("[{\"handler\":\"plain\",\"name\":\"a\"},{\"handler\":\"plain\",\"name\":\"a\"},"
                  "{\"handler\":\"plain\",\"depends_on\":[\"#a\"]},"
                  "{\"handler\":\"plain\",\"depends_on\":[\"#a\",\"#z\"]}]");
    assert_null(r[0].refused);
    refused_at(&r[1], "/name", "\"a\"");
    assert_null(r[2].refused);
    assert_true(uuid_eq(r[2].s->terms.follow.needs[0].id, r[0].s->id));
    refused_at(&r[3], "/depends_on/1", "\"z\"");
}

static void t20_a_name_is_shown_short(void **state)
{
    (void)state;
    struct buf text CLEANUP(buf_release) = BUF_INIT(KIB * 8);
    buf_puts(&text, "[{\"handler\":\"plain\",\"depends_on\":[\"#");
    for (int i = 0; i < 1000; i++)
        buf_puts(&text, "\\u0001");
    buf_puts(&text, "\"]}]");
    buf_char(&text, '\0');
    struct batch_row *r = link_rows(text.ptr);
    refused_at(&r[0], "/depends_on/0", "(1000 bytes)");
    assert_null(strchr(r[0].refused->text, '\1'));
}

static void t03_cycles(void **state)
{
    (void)state;
    struct batch_row *r =
        link_rows("[{\"handler\":\"plain\",\"name\":\"a\",\"depends_on\":[\"#b\"]},"
                  "{\"handler\":\"plain\",\"name\":\"b\",\"depends_on\":[\"#c\"]},"
                  "{\"handler\":\"plain\",\"name\":\"c\",\"depends_on\":[\"#free\",\"#a\"]},"
                  "{\"handler\":\"plain\",\"name\":\"behind\",\"depends_on\":[\"#a\"]},"
                  "{\"handler\":\"plain\",\"depends_on\":[\"#behind\"]},"
                  "{\"handler\":\"plain\",\"name\":\"free\"},"
                  "{\"handler\":\"plain\",\"name\":\"self\",\"depends_on\":[\"#self\"]}]");
    refused_at(&r[0], "/depends_on/0", "cycle");
    refused_at(&r[1], "/depends_on/0", "cycle");
    refused_at(&r[2], "/depends_on/1", "cycle");
    refused_at(&r[3], "/depends_on/0", "\"a\" was not accepted");
    refused_at(&r[4], "/depends_on/0", "\"behind\" was not accepted");
    assert_null(r[5].refused);
    refused_at(&r[6], "/depends_on/0", "cycle");
}

/* A row that cannot be read takes along what names it, and what names that. */
static void t04_refusals_go_on(void **state)
{
    (void)state;
    struct batch_row *r = link_rows("[{\"handler\":\"none\",\"name\":\"a\"},"
                                    "{\"handler\":\"plain\",\"name\":\"b\",\"depends_on\":[\"#a\"]},"
                                    "{\"handler\":\"plain\",\"name\":\"c\",\"depends_on\":[\"#b\"]},"
                                    "{\"handler\":\"plain\",\"depends_on\":[\"#c\"]}]");
    assert_int_equal(r[0].refused->code, ERR_NO_HANDLER);
    refused_at(&r[1], "/depends_on/0", "\"a\"");
    refused_at(&r[2], "/depends_on/0", "\"b\" was not accepted");
    refused_at(&r[3], "/depends_on/0", "\"c\" was not accepted");
}

static void t05_as_many_as_may_be(void **state)
{
    (void)state;
    struct buf b CLEANUP(buf_release) = BUF_INIT(LIMIT_BODY);
    buf_puts(&b, "[");
    for (unsigned i = 0; i < LIMIT_BATCH; i++)
        buf_printf(&b, "%s{\"handler\":\"plain\",\"name\":\"n%u\",\"depends_on\":[\"#n%u\"]}", i ? "," : "",
                   i, i + 1);
    buf_puts(&b, "]");
    buf_char(&b, '\0');
    struct batch_row *r = link_rows(b.ptr);
    refused_at(&r[LIMIT_BATCH - 1], "/depends_on/0", "is named");
    refused_at(&r[0], "/depends_on/0", "\"n1\" was not accepted");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(t01_names_become_ids, clean),
        cmocka_unit_test_teardown(t02_a_name_twice_and_none, clean),
        cmocka_unit_test_teardown(t03_cycles, clean),
        cmocka_unit_test_teardown(t20_a_name_is_shown_short, clean),
        cmocka_unit_test_teardown(t04_refusals_go_on, clean),
        cmocka_unit_test_teardown(t05_as_many_as_may_be, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
