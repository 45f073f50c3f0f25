/* core/json.h: what is refused and with which words, what is read, what is written. */
#include "unit/unit.h"

#include <math.h>

#include "core/clock.h"
#include "core/json.h"
#include "core/limits.h"
#include "core/mem.h"

/* The text read and written again, or its error. */
static void assert_reads(const char *text, const char *want)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct buf out CLEANUP(buf_release) = BUF_INIT(100000);
    struct err e = ERR_INIT;
    const struct json *v = NULL;
    if (json_read(&a, span_of(text), &v, &e)) {
        assert_true(json_check(span_of(text), NULL));
        json_emit(&out, v);
        assert_span(buf_view(&out), want);
    } else {
        assert_int_equal(e.code, ERR_BAD_JSON);
        assert_null(v);
        assert_false(json_check(span_of(text), NULL));
        assert_string_equal(e.text, want);
    }
}

static void t01_good(void **state)
{
    (void)state;
    assert_reads("null", "null");
    assert_reads(" true\r\n\t", "true");
    assert_reads("0", "0");
    assert_reads("-0", "0");
    assert_reads("-0.0", "-0.0");
    assert_reads("9223372036854775807", "9223372036854775807");
    assert_reads("-9223372036854775808", "-9223372036854775808");
    assert_reads("1.0", "1.0"); /* a decimal stays one */
    assert_reads("1E2", "1E2");
    assert_reads("[]", "[]");
    assert_reads(" [ 1 , [ ] , { } ] ", "[1,[],{}]");
    assert_reads("{\"b\":1,\"a\":{\"b\":null}}", "{\"b\":1,\"a\":{\"b\":null}}");
    assert_reads("\"\"", "\"\"");
    assert_reads("\"\\u00e9\\ud83d\\ude00\\/\\u0001\\n\\\"\\\\\"",
                 "\"\xc3\xa9\xf0\x9f\x98\x80/\\u0001\\n\\\"\\\\\"");
    assert_reads("{\"\":1,\"\\n\":2}", "{\"\":1,\"\\n\":2}");
}

static void t02_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } rows[] = {
        {"", "line 1, column 1: expected a value, but the text ends here"},
        {"  \n ", "line 2, column 2: expected a value, but the text ends here"},
        {"1 2", "line 1, column 3: expected nothing more after the value, found '2'"},
        {"{} x", "line 1, column 4: expected nothing more after the value, found 'x'"},
        {"NaN", "line 1, column 1: expected a value, found 'N'"},
        {"Infinity", "line 1, column 1: expected a value, found 'I'"},
        {"-Infinity", "line 1, column 2: expected a digit, found 'I'"},
        {"[1,]", "line 1, column 4: expected a value, found ']'"},
        {"[,1]", "line 1, column 2: expected a value, found ','"},
        {"[1 2]", "line 1, column 4: expected ',' or ']', found '2'"},
        {"[", "line 1, column 2: expected a value, but the text ends here"},
        {"{\"a\":1,}", "line 1, column 8: expected a key in double quotes, found '}'"},
        {"{a:1}", "line 1, column 2: expected a key in double quotes, found 'a'"},
        {"{'a':1}", "line 1, column 2: expected a key in double quotes, found '''"},
        {"{\"a\" 1}", "line 1, column 6: expected ':', found '1'"},
        {"{\"a\":1", "line 1, column 7: expected ',' or '}', but the text ends here"},
        {"'a'", "line 1, column 1: expected a value, found '''"},
        {"// x\n1", "line 1, column 1: expected a value, found '/'"},
        {"tru", "line 1, column 1: expected a value, found 't'"},
        {"nulL", "line 1, column 1: expected a value, found 'n'"},
        {"True", "line 1, column 1: expected a value, found 'T'"},
        {"truex", "line 1, column 5: expected nothing more after the value, found 'x'"},
        {"01", "line 1, column 1: a number must not begin with 0"},
        {"-01", "line 1, column 1: a number must not begin with 0"},
        {"1.", "line 1, column 3: expected a digit, but the text ends here"},
        {".5", "line 1, column 1: expected a value, found '.'"},
        {"+1", "line 1, column 1: expected a value, found '+'"},
        {"1e", "line 1, column 3: expected a digit, but the text ends here"},
        {"-", "line 1, column 2: expected a digit, but the text ends here"},
        {"0x10", "line 1, column 2: expected nothing more after the value, found 'x'"},
        {"9223372036854775808", "line 1, column 1: this integer does not fit 64 bits"},
        {"[-9223372036854775809]", "line 1, column 2: this integer does not fit 64 bits"},
        {"18446744073709551615", "line 1, column 1: this integer does not fit 64 bits"},
        {"1e400", "line 1, column 1: this number is too large or has too many digits"},
        {"\"abc", "line 1, column 1: this string has no closing quote"},
        {"\"abc\\\"", "line 1, column 1: this string has no closing quote"},
        {"\"a\nb\"", "line 1, column 3: the control character 0x0a must be escaped in a string"},
        {"{\"a\tb\":1}", "line 1, column 4: the control character 0x09 must be escaped in a string"},
        {"\"\\x\"", "line 1, column 3: expected one of \" \\ / b f n r t u after a backslash, found 'x'"},
        {"\"\\u12g4\"", "line 1, column 2: expected four hexadecimal digits after \\u"},
        {"\"\\u12", "line 1, column 2: expected four hexadecimal digits after \\u"},
        {"\"\\u0000\"", "line 1, column 2: the character NUL (\\u0000) is not allowed"},
        {"{\"a\\u0000b\":1}", "line 1, column 4: the character NUL (\\u0000) is not allowed"},
        {"\"\\ud800\"", "line 1, column 2: a high surrogate without a low one after it"},
        {"\"\\ud800\\u0041\"", "line 1, column 2: a high surrogate without a low one after it"},
        {"\"\\udc00\"", "line 1, column 2: a low surrogate without a high one before it"},
        {"\"\xff\"", "line 1, column 2: the byte 0xff is not UTF-8"},
        {"\"\xed\xa0\x80\"", "line 1, column 2: the byte 0xed is not UTF-8"},
        {"\"\xc3\xa9\xc0\x80\"", "line 1, column 3: the byte 0xc0 is not UTF-8"}, /* é is one column */
        {"\xef\xbb\xbf{}", "line 1, column 1: expected a value, found '\xef\xbb\xbf'"},
        {"\x01", "line 1, column 1: expected a value, found the byte 0x01"},
        {"{\"a\":1,\"a\":2}", "line 1, column 8: the key \"a\" is in this object twice"},
        {"{\"a\":1,\n \"\\u0061\":2}", "line 2, column 2: the key \"a\" is in this object twice"},
        {"[{\"x\":{\"\":1,\"\":2}}]", "line 1, column 13: the key \"\" is in this object twice"},
        {"{\"\\/\":1,\"/\":2}", "line 1, column 9: the key \"/\" is in this object twice"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_reads(rows[i].text, rows[i].error);
}

static void t03_a_nul_byte_ends_nothing(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    assert_false(json_check(SPAN("1\0"), &e));
    assert_string_equal(e.text,
                        "line 1, column 2: expected nothing more after the value, found the byte 0x00");
    assert_false(json_check(SPAN("\"a\0b\""), &e));
    assert_string_equal(e.text, "line 1, column 3: the control character 0x00 must be escaped in a string");
    assert_false(json_check(SPAN("\"\\\0\""), &e));
    assert_false(json_check((struct span){NULL, 0}, &e));
    /* no byte behind the end is looked at: what follows would make each of these good */
    static const char *const cut[] = {"true",      "12.5",  "\"\\u0041\"", "\"\\ud83d\\ude00\"",
                                      "{\"a\":1}", "[1,2]", "\"\xc3\xa9\""};
    for (size_t i = 0; i < COUNT_OF(cut); i++)
        for (size_t n = 0; n < strlen(cut[i]); n++) {
            char *exact CLEANUP(mem_free_at) = mem_alloc(n + !n); /* the sanitizer sees a read past it */
            memcpy(exact, cut[i], n);
            bool whole = (i == 1 && (n == 1 || n == 2 || n == 4)); /* 1, 12 and 12.5 are numbers */
            assert_int_equal(json_check((struct span){exact, n}, NULL), whole);
        }
}

static void t04_depth(void **state)
{
    (void)state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct err e = ERR_INIT;
    const struct json *v;
    for (unsigned depth = LIMIT_JSON_DEPTH - 1; depth <= LIMIT_JSON_DEPTH + 1; depth++) {
        struct buf b CLEANUP(buf_release) = BUF_INIT(1000);
        for (unsigned i = 0; i < depth; i++)
            buf_puts(&b, i % 2 ? "{\"a\":" : "[");
        buf_char(&b, '1');
        for (unsigned i = depth; i-- > 0;)
            buf_char(&b, i % 2 ? '}' : ']');
        assert_int_equal(json_read(&a, buf_view(&b), &v, &e), depth <= LIMIT_JSON_DEPTH);
    }
    assert_holds(e.text, "deeper than 32");
    char *many CLEANUP(mem_free_at) = mem_alloc(LIMIT_BODY);
    memset(many, '[', LIMIT_BODY);
    assert_false(json_check((struct span){many, LIMIT_BODY}, &e));
    assert_int_equal(e.code, ERR_BAD_JSON);
    assert_false(json_check((struct span){many, LIMIT_BODY + 1}, &e)); /* not even looked at */
    assert_int_equal(e.code, ERR_TOO_LARGE);
}

/* One object of n keys, all different but maybe the last. */
static void make_object(struct buf *b, int n, bool twice)
{
    buf_char(b, '{');
    for (int i = 0; i < n; i++)
        buf_printf(b, "%s\"key%d\":%d", i ? "," : "", i, i);
    if (twice)
        buf_puts(b, ",\"key7\":0");
    buf_char(b, '}');
}

static void t05_many_keys(void **state)
{
    (void)state;
    static const int counts[] = {8, 9, 100, 100000};
    int64_t cpu = clock_thread_cpu();
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        struct buf b CLEANUP(buf_release) = BUF_INIT(LIMIT_BODY);
        struct err e = ERR_INIT;
        make_object(&b, counts[i], false);
        assert_true(json_check(buf_view(&b), &e));
        buf_clear(&b);
        make_object(&b, counts[i], true);
        assert_false(json_check(buf_view(&b), &e));
        assert_holds(e.text, "the key \"key7\" is in this object twice");
        char column[32];
        snprintf(column, sizeof column, "column %zu:", b.len - strlen(",\"key7\":0}") + 2);
        assert_holds(e.text, column); /* the second one is named */
    }
    /* comparing each with each would be 5e9 comparisons: minutes, where this is a fraction of a second */
    assert_true(clock_thread_cpu() - cpu < 60 * NS_PER_S);
}

static void t06_the_tree(void **state)
{
    (void)state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    const struct json *v;
    assert_true(json_read(
        &a, SPAN("{\"n\":null,\"b\":true,\"i\":-3,\"d\":2.5,\"t\":\"x\\u0001\",\"l\":[1,null],\"o\":{}}"), &v,
        NULL));
    assert_int_equal(json_type(v), JSON_OBJECT);
    assert_int_equal(json_len(v), 7);
    assert_null(json_member(v, "none"));
    assert_non_null(json_member(v, "n")); /* null is a value, absent is not */
    assert_int_equal(json_type(json_member(v, "n")), JSON_NULL);
    assert_int_equal(json_type(NULL), JSON_NULL);
    assert_true(json_as_bool(json_member(v, "b")));
    assert_int_equal(json_type(json_member(v, "i")), JSON_INT);
    assert_int_equal(json_as_int(json_member(v, "i")), -3);
    assert_true(json_as_num(json_member(v, "i")) == -3.0);
    assert_int_equal(json_type(json_member(v, "d")), JSON_NUM);
    assert_true(json_as_num(json_member(v, "d")) == 2.5);
    assert_span(json_as_text(json_member(v, "t")), "x\x01");
    const struct json *l = json_member(v, "l");
    assert_int_equal(json_len(l), 2);
    assert_int_equal(json_as_int(json_at(l, 0)), 1);
    assert_int_equal(json_type(json_at(l, 1)), JSON_NULL);
    assert_int_equal(json_len(json_member(v, "o")), 0);
    assert_string_equal(json_type_name(JSON_INT), "an integer");
    assert_string_equal(json_type_name(JSON_OBJECT), "an object");
    assert_string_equal(json_type_name(JSON_LINES), "a list");
}

static bool gather(struct span key, const struct json *value, void *arg)
{
    (void)value;
    buf_span(arg, key);
    return key.ptr[0] != 'y';
}

static void t07_each_in_order(void **state)
{
    (void)state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct buf b CLEANUP(buf_release) = BUF_INIT(100);
    const struct json *v;
    assert_true(json_read(&a, SPAN("{\"c\":1,\"a\":2,\"b\":3}"), &v, NULL));
    assert_true(json_each(v, gather, &b));
    assert_span(buf_view(&b), "cab");
    buf_clear(&b);
    assert_true(json_read(&a, SPAN("{\"x\":1,\"y\":2,\"z\":3}"), &v, NULL));
    assert_false(json_each(v, gather, &b));
    assert_span(buf_view(&b), "xy");
}

static void t08_writing(void **state)
{
    (void)state;
    struct buf b CLEANUP(buf_release) = BUF_INIT(1000);
    struct json_out o = json_out(&b);
    json_open(&o, '{');
    json_key(&o, "a");
    json_open(&o, '[');
    json_close(&o, ']');
    json_key(&o, "b");
    json_open(&o, '[');
    json_put_int(&o, INT64_MIN);
    json_put_bool(&o, true);
    json_put_bool(&o, false);
    json_put_null(&o);
    json_put_str(&o, NULL);
    json_put_str(&o, "x");
    json_put_raw(&o, SPAN("{\"r\":1}"));
    json_put_raw(&o, SPAN(""));
    json_put_value(&o, NULL);
    json_open(&o, '{');
    json_close(&o, '}');
    json_close(&o, ']');
    json_key_span(&o, SPAN("k\"\n"));
    json_put_text(&o, SPAN("\b\f\n\r\t\v\x1f\x7f\"\\/<\0"));
    json_close(&o, '}');
    assert_int_equal(o.depth, 0);
    assert_span(buf_view(&b),
                "{\"a\":[],\"b\":[-9223372036854775808,true,false,null,null,\"x\",{\"r\":1},null,null,{}],"
                "\"k\\\"\\n\":\"\\b\\f\\n\\r\\t\\u000b\\u001f\\u007f\\\"\\\\/<\\u0000\"}");
}

static void t09_bad_utf8_is_replaced(void **state)
{
    (void)state;
    struct buf b CLEANUP(buf_release) = BUF_INIT(1000);
    struct json_out o = json_out(&b);
    json_put_text(&o, SPAN("a\xff\xc3\xa9\xc3z\xed\xa0\x80\xf0\x9f"));
    assert_span(
        buf_view(&b),
        "\"a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    assert_true(json_check(buf_view(&b), NULL));
}

static void assert_number(double v, const char *want)
{
    struct buf b CLEANUP(buf_release) = BUF_INIT(100);
    struct json_out o = json_out(&b);
    json_put_num(&o, v);
    assert_span(buf_view(&b), want);
}

static void t10_numbers(void **state)
{
    (void)state;
    assert_number(0, "0");
    assert_number(5, "5");
    assert_number(0.1, "0.1");
    assert_number(0.1 + 0.2, "0.30000000000000004");
    assert_number(1.0 / 3, "0.3333333333333333");
    assert_number(1e300, "1e+300");
    assert_number(5e-324, "4.94065645841247e-324");
    assert_number(-2.5, "-2.5");
    assert_number((double)NAN, "null");
    assert_number((double)INFINITY, "null");
    assert_number(-(double)INFINITY, "null");
    uint64_t seed = 1;
    for (int i = 0; i < 20000; i++) { /* any bits at all */
        double v, back = 0;
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        uint64_t bits = seed ^ seed >> 29;
        memcpy(&v, &bits, sizeof v);
        if (!isfinite(v))
            continue;
        struct buf b CLEANUP(buf_release) = BUF_INIT(100);
        struct json_out o = json_out(&b);
        json_put_num(&o, v);
        assert_true(json_check(buf_view(&b), NULL));
        assert_true(span_to_num(buf_view(&b), &back));
        assert_true(back == v);
    }
}

static void t11_a_full_buffer_is_remembered(void **state)
{
    (void)state;
    struct buf b CLEANUP(buf_release) = BUF_INIT(8);
    struct json_out o = json_out(&b);
    json_open(&o, '[');
    for (int i = 0; i < 100; i++)
        json_put_str(&o, "text");
    json_close(&o, ']');
    assert_true(b.failed);
    assert_true(b.len <= 8);
}

static void assert_lines(const char *text, const char *lines, const char *emitted)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct buf b CLEANUP(buf_release) = BUF_INIT(4096);
    const struct json *v;
    assert_true(json_read_lines(&a, span_of(text), "items", &v, NULL));
    const struct json *items = json_type(v) == JSON_OBJECT ? json_member(v, "items") : NULL;
    assert_int_equal(json_type(items) == JSON_LINES, lines != NULL);
    if (lines)
        assert_span(json_as_lines(items), lines);
    json_emit(&b, v);
    assert_span(buf_view(&b), emitted);
}

static void t12_lists_without_a_tree(void **state)
{
    (void)state;
    assert_lines("{\"items\":[1,2]}", "1\n2\n", "{\"items\":[1,2]}");
    assert_lines(
        " { \"a\" : [ ] , \"items\" : [ { \"b\" : [ 1 , 2 ] } ,\n\t\"c , ] d\" , -1.50e3 ] , \"z\" : true } ",
        "{\"b\":[1,2]}\n\"c , ] d\"\n-1.50e3\n",
        "{\"a\":[],\"items\":[{\"b\":[1,2]},\"c , ] d\",-1.50e3],\"z\":true}");
    assert_lines("{\"items\":[\"\\\"\\\\\",null]}", "\"\\\"\\\\\"\nnull\n",
                 "{\"items\":[\"\\\"\\\\\",null]}");
    assert_lines("{\"items\":[ ]}", "", "{\"items\":[]}");
    /* Not the outermost object's, no list, or a name with escapes: as ever. */
    assert_lines("{\"a\":{\"items\":[1]},\"b\":[\"items\",[1]]}", NULL,
                 "{\"a\":{\"items\":[1]},\"b\":[\"items\",[1]]}");
    assert_lines("{\"items\":\"text\"}", NULL, "{\"items\":\"text\"}");
    assert_lines("{\"items\":7,\"b\":-2}", NULL, "{\"items\":7,\"b\":-2}");
    assert_lines("{\"it\\u0065ms\":[1]}", NULL, "{\"items\":[1]}");
    assert_lines("[1]", NULL, "[1]");
    assert_lines("null", NULL, "null");
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct err e = ERR_INIT;
    const struct json *v;
    assert_false(json_read_lines(&a, SPAN("{\"items\":[1,]}"), "items", &v, &e));
    assert_int_equal(e.code, ERR_BAD_JSON);
    assert_false(json_read_lines(&a, SPAN("{\"items\":[1],\"items\":[2]}"), "items", &v, NULL));
}

static bool note_member(struct span key, enum json_type type, struct span value, void *arg)
{
    struct buf *b = arg;
    buf_printf(b, SPAN_FMT "=%d:" SPAN_FMT ";", SPAN_ARG(key), (int)type, SPAN_ARG(value));
    return !span_is(key, "stop");
}

static void t13_plain_objects(void **state)
{
    (void)state;
    static const struct {
        const char *text, *members; /* NULL: it is not plain */
    } rows[] = {
        {"{}", ""},
        {" { \"a\" : 1 , \"b\" : \"x\\ty\" } ", "a=2:1;b=4:x\ty;"},
        {"{\"\\u0061\":-1.5e3,\"t\":true,\"n\":null,\"e\":\"\"}", "a=3:-1.5e3;t=1:true;n=0:null;e=4:;"},
        {"{\"a\":[]}", NULL},
        {"{\"a\":{}}", NULL},
        {"{\"a\":1,\"a\":2}", NULL},
        {"{\"a\":1}x", NULL},
        {"{\"a\":1", NULL},
        {"{\"a\":nul}", NULL},
        {"{\"a\":}", NULL},
        {"{\"stop\":1}", NULL},
        {"[1]", NULL},
        {"1", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buf b CLEANUP(buf_release) = BUF_INIT(4096);
        bool plain = json_plain(span_of(rows[i].text), note_member, &b);
        if (plain != (rows[i].members != NULL) || (plain && !span_is(buf_view(&b), rows[i].members)))
            fail_msg("%s: %d, " SPAN_FMT, rows[i].text, plain, SPAN_ARG(buf_view(&b)));
    }
    for (int members = JSON_PLAIN; members <= JSON_PLAIN + 1; members++) {
        struct buf text CLEANUP(buf_release) = BUF_INIT(4096), b CLEANUP(buf_release) = BUF_INIT(4096);
        for (int i = 0; i < members; i++)
            buf_printf(&text, "%s\"k%d\":%d", i ? "," : "{", i, i);
        buf_char(&text, '}');
        assert_int_equal(json_plain(buf_view(&text), note_member, &b), members == JSON_PLAIN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_good),
        cmocka_unit_test(t02_refused),
        cmocka_unit_test(t03_a_nul_byte_ends_nothing),
        cmocka_unit_test(t04_depth),
        cmocka_unit_test(t05_many_keys),
        cmocka_unit_test(t06_the_tree),
        cmocka_unit_test(t07_each_in_order),
        cmocka_unit_test(t08_writing),
        cmocka_unit_test(t09_bad_utf8_is_replaced),
        cmocka_unit_test(t10_numbers),
        cmocka_unit_test(t11_a_full_buffer_is_remembered),
        cmocka_unit_test(t12_lists_without_a_tree),
        cmocka_unit_test(t13_plain_objects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
