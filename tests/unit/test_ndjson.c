/* model/ndjson.h: lines out of pieces, and what is said of those that are none. */
#include "../lib/test.h"

#include <string.h>

#include "core/limits.h"
#include "core/mem.h"
#include "model/ndjson.h"

struct seen {
    struct buf text; /* values, each with '|' behind it */
    int64_t last;    /* line */
    int refuse;      /* this value, from 1; 0: none */
    int count;
};

static bool on_value(void *arg, struct span value, struct err *e)
{
    struct seen *s = arg;
    buf_span(&s->text, value);
    buf_char(&s->text, '|');
    s->count++;
    return s->count != s->refuse || err_set(e, ERR_BUSY, "enough");
}

static bool read_in(struct seen *s, struct span all, size_t piece, struct err *e)
{
    struct ndjson n;
    bool good = true;
    *s = (struct seen){.text = BUF_INIT(LIMIT_BODY), .refuse = s->refuse};
    ndjson_init(&n, on_value, s);
    while (good && all.len > 0)
        good = ndjson_feed(&n, span_take(&all, piece < all.len ? piece : all.len), e);
    good = good && ndjson_end(&n, e);
    s->last = n.line;
    ndjson_release(&n);
    return good;
}

static void expect(struct span all, const char *values, int64_t lines)
{
    for (size_t piece = 1; piece <= all.len + 1; piece++) {
        struct seen s = {.refuse = 0};
        struct err e = ERR_INIT;
        if (!read_in(&s, all, piece, &e))
            fail_msg("pieces of %zu: %s", piece, e.text);
        assert_true(span_is(buf_view(&s.text), values));
        assert_int_equal(s.last, lines);
        buf_release(&s.text);
    }
}

static void refuse(struct span all, enum err_code code, const char *text)
{
    for (size_t piece = 1; piece <= all.len + 1; piece++) {
        struct seen s = {.refuse = 0};
        struct err e = ERR_INIT;
        assert_false(read_in(&s, all, piece, &e));
        assert_int_equal(e.code, code);
        if (!strstr(e.text, text))
            fail_msg("pieces of %zu: %s", piece, e.text);
        buf_release(&s.text);
    }
}

static void test_lines(void **state)
{
    (void)state;
    expect(SPAN(""), "", 0);
    expect(SPAN("\n\r\n \t\n"), "", 3);
    expect(SPAN("1\n2\n"), "1|2|", 2);
    expect(SPAN("1\n2"), "1|2|", 2);
    expect(SPAN("1\r\n\r\n  {\"a\": 1} \r\n\"\\n\""), "1|{\"a\": 1}|\"\\n\"|", 4);
}

static void test_bad_lines(void **state)
{
    (void)state;
    refuse(SPAN("1\n\n{\"a\":}\n2"), ERR_BAD_JSON, "line 3, column 6: ");
    refuse(SPAN("1\n{\"a\":"), ERR_BAD_JSON, "line 2, column 6: ");
    refuse(SPAN("1 2\n"), ERR_BAD_JSON, "line 1, column 3: ");
    refuse(SPAN("\"\xff\"\n"), ERR_BAD_JSON, "line 1, ");
    refuse(SPAN("1\n\"a\0b\"\n"), ERR_BAD_JSON, "line 2, ");
    refuse(SPAN("\0\n"), ERR_BAD_JSON, "line 1, ");
    refuse(SPAN("\r\r\n"), ERR_BAD_JSON, "line 1, ");
    refuse(SPAN("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n"), ERR_BAD_JSON,
           "line 1, ");
}

/* A string with the quotes, `len` bytes long, behind a line, and with `end` behind it. */
static struct span long_line(size_t len, const char *end, char **ret)
{
    size_t more = strlen(end);
    char *text = *ret = mem_array(2 + len + more, 1);
    memset(text, 'x', 2 + len);
    memcpy(text, "1\n\"", 3);
    text[1 + len] = '"';
    memcpy(text + 2 + len, end, more);
    return (struct span){text, 2 + len + more};
}

static void test_longest_line(void **state)
{
    (void)state;
    static const char *const ends[] = {"\n", "\r\n", ""};
    static const size_t pieces[] = {1000, 65536, 1048577, 8u << 20};
    for (size_t i = 0; i < COUNT_OF(ends); i++)
        for (size_t k = 0; k < COUNT_OF(pieces); k++)
            for (size_t more = 0; more < 3; more++) {
                struct seen s = {.refuse = 0};
                struct err e = ERR_INIT;
                char *text;
                struct span all = long_line(LIMIT_ITEM_INPUT + more, ends[i], &text);
                assert_int_equal(read_in(&s, all, pieces[k], &e), more == 0);
                if (more > 0)
                    assert_int_equal(e.code, ERR_TOO_LARGE);
                if (more > 0)
                    assert_non_null(strstr(e.text, "line 2 "));
                buf_release(&s.text);
                mem_free(text);
            }
}

static void test_enough(void **state)
{
    (void)state;
    struct seen s = {.refuse = 2};
    struct err e = ERR_INIT;
    assert_false(read_in(&s, SPAN("1\n2\n3\n"), 100, &e));
    assert_int_equal(e.code, ERR_BUSY);
    assert_int_equal(s.count, 2);
    buf_release(&s.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_bad_lines),
        cmocka_unit_test(test_longest_line),
        cmocka_unit_test(test_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
