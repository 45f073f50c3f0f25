/* core/field.h */
#include "unit/unit.h"

#include <stddef.h>

#include "core/field.h"

struct job {
    int64_t count;
    double ratio;
    bool loud, count_given;
    char name[9];
    int mode;
    const struct json *extra;
};

static const char *const modes[] = {"slow", "fast", NULL};
static const struct field job_fields[] = {
    {.name = "batch_size",
     .type = FIELD_INT,
     .offset = offsetof(struct job, count),
     .min = 1,
     .max = 1000000,
     .def = 3,
     .given = offsetof(struct job, count_given),
     .summary = "items at once"},
    {.name = "ratio",
     .type = FIELD_NUM,
     .offset = offsetof(struct job, ratio),
     .min = -1,
     .max = 9,
     .def = 2},
    {.name = "loud", .type = FIELD_BOOL, .offset = offsetof(struct job, loud), .def = 1},
    {.name = "name",
     .type = FIELD_TEXT,
     .offset = offsetof(struct job, name),
     .min = 1,
     .max = 8,
     .def_text = "joe"},
    {.name = "mode", .type = FIELD_ENUM, .offset = offsetof(struct job, mode), .words = modes, .def = 1},
    {.name = "extra", .type = FIELD_JSON, .offset = offsetof(struct job, extra)},
};
static const struct fields fields = FIELDS(job_fields, struct job);

static bool read_job(struct arena *a, const char *text, struct job *j, struct err *e)
{
    const struct json *v;
    assert_true(json_read(a, span_of(text), &v, NULL));
    return fields_read(&fields, v, "", j, e);
}

static void assert_defaults(const struct job *j)
{
    assert_int_equal(j->count, 3);
    assert_false(j->count_given);
    assert_true(j->ratio == 2.0);
    assert_true(j->loud);
    assert_string_equal(j->name, "joe");
    assert_int_equal(j->mode, 1);
    assert_null(j->extra);
}

static void t01_defaults(void **state)
{
    (void)state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct job j;
    memset(&j, 0xee, sizeof j);
    fields_defaults(&fields, &j);
    assert_defaults(&j);
    memset(&j, 0xee, sizeof j);
    assert_true(fields_read(&fields, NULL, "", &j, NULL));
    assert_defaults(&j);
    assert_true(read_job(&a, "null", &j, NULL));
    assert_defaults(&j);
    assert_true(read_job(&a, "{}", &j, NULL));
    assert_defaults(&j);
}

static void t02_reads(void **state)
{
    (void)state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct job j;
    struct err e = ERR_INIT;
    assert_true(read_job(&a,
                         "{\"batch_size\":1000000,\"ratio\":-0.5,\"loud\":false,\"name\":\"abcd\xc3\xa9gh\","
                         "\"mode\":\"slow\",\"extra\":[1]}",
                         &j, &e));
    assert_int_equal(j.count, 1000000);
    assert_true(j.count_given);
    assert_true(j.ratio == -0.5);
    assert_false(j.loud);
    assert_string_equal(j.name, "abcd\xc3\xa9gh");
    assert_int_equal(j.mode, 0);
    assert_int_equal(json_len(j.extra), 1);
    assert_true(read_job(&a, "{\"ratio\":9,\"extra\":null}", &j, &e)); /* a whole number is a number */
    assert_true(j.ratio == 9.0);
    assert_non_null(j.extra);
    assert_int_equal(json_type(j.extra), JSON_NULL);
}

static void t03_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *pointer, *error;
    } rows[] = {
        {"{\"batch_size\":-5}", "/batch_size",
         "\"/batch_size\" must be an integer from 1 to 1000000, not -5"},
        {"{\"batch_size\":1000001}", "/batch_size",
         "\"/batch_size\" must be an integer from 1 to 1000000, not 1000001"},
        {"{\"batch_size\":5.0}", "/batch_size",
         "\"/batch_size\" must be an integer from 1 to 1000000, not the decimal number 5.0"},
        {"{\"batch_size\":\"5\"}", "/batch_size",
         "\"/batch_size\" must be an integer from 1 to 1000000, not the string \"5\""},
        {"{\"batch_size\":null}", "/batch_size",
         "\"/batch_size\" must be an integer from 1 to 1000000, not null"},
        {"{\"batch_size\":true}", "/batch_size",
         "\"/batch_size\" must be an integer from 1 to 1000000, not true"},
        {"{\"batch_size\":[1]}", "/batch_size",
         "\"/batch_size\" must be an integer from 1 to 1000000, not a list"},
        {"{\"ratio\":9.1}", "/ratio", "\"/ratio\" must be a number from -1 to 9, not 9.1"},
        {"{\"ratio\":\"1\"}", "/ratio", "\"/ratio\" must be a number from -1 to 9, not the string \"1\""},
        {"{\"loud\":1}", "/loud", "\"/loud\" must be true or false, not 1"},
        {"{\"loud\":\"true\"}", "/loud", "\"/loud\" must be true or false, not the string \"true\""},
        {"{\"name\":\"\"}", "/name",
         "\"/name\" must be a string of 1 to 8 bytes without control characters, not the string \"\""},
        {"{\"name\":\"123456789\"}", "/name",
         "\"/name\" must be a string of 1 to 8 bytes without control characters, not the string \"123456789\""},
        {"{\"name\":\"a\\nb\"}", "/name",
         "\"/name\" must be a string of 1 to 8 bytes without control characters, not the string \"a\\nb\""},
        {"{\"name\":{}}", "/name",
         "\"/name\" must be a string of 1 to 8 bytes without control characters, not an object"},
        {"{\"mode\":\"Slow\"}", "/mode",
         "\"/mode\" must be one of \"slow\", \"fast\", not the string \"Slow\""},
        {"{\"mode\":0}", "/mode", "\"/mode\" must be one of \"slow\", \"fast\", not 0"},
        {"[]", "", "the body must be an object, not a list"},
        {"5", "", "the body must be an object, not an integer"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        struct job j;
        struct err e = ERR_INIT;
        assert_false(read_job(&a, rows[i].text, &j, &e));
        assert_int_equal(e.code, ERR_BAD_FIELD);
        assert_string_equal(e.text, rows[i].error);
        assert_string_equal(e.pointer, rows[i].pointer);
        assert_false(read_job(&a, rows[i].text, &j, NULL));
    }
}

static void t04_long_values_are_shown_short(void **state)
{
    (void)state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct job j;
    struct err e = ERR_INIT;
    char *text = arena_printf(&a, "{\"name\":\"%0*d\"}", 100000, 7);
    assert_false(read_job(&a, text, &j, &e));
    assert_holds(e.text, "(100000 bytes)");
    assert_true(strlen(e.text) < 200);
    text = arena_printf(&a, "{\"batch_size\":0.%0*d}", 900, 7);
    assert_false(read_job(&a, text, &j, &e));
    assert_true(strlen(e.text) < 200);
    text = arena_printf(&a, "{\"%0*d\":1}", 100000, 7);
    assert_false(read_job(&a, text, &j, &e));
    assert_int_equal(e.code, ERR_UNKNOWN_FIELD);
    assert_int_equal(strlen(e.pointer), sizeof e.pointer - 1);
}

static void t05_unknown(void **state)
{
    (void)state;
    static const struct {
        const char *text, *pointer, *error;
    } rows[] = {
        {"{\"batchsize\":1}", "/batchsize", "there is no field \"batchsize\"; did you mean \"batch_size\"?"},
        {"{\"nmae\":1}", "/nmae", "there is no field \"nmae\"; did you mean \"name\"?"},
        {"{\"color\":1}", "/color",
         "there is no field \"color\"; the fields are: batch_size, ratio, loud, name, mode, extra"},
        {"{\"\":1}", "/",
         "there is no field \"\"; the fields are: batch_size, ratio, loud, name, mode, extra"},
        {"{\"a/b~c\\n\":1}", "/a~1b~0c\n",
         "there is no field \"a/b~c\\n\"; the fields are: batch_size, ratio, loud, name, mode, extra"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        struct job j;
        struct err e = ERR_INIT;
        assert_false(read_job(&a, rows[i].text, &j, &e));
        assert_int_equal(e.code, ERR_UNKNOWN_FIELD);
        assert_string_equal(e.text, rows[i].error);
        assert_string_equal(e.pointer, rows[i].pointer);
    }
    static const struct fields none = {NULL, 0, sizeof(int)};
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct err e = ERR_INIT;
    const struct json *v;
    int nothing;
    assert_true(json_read(&a, SPAN("{\"x\":1}"), &v, NULL));
    assert_false(fields_read(&none, v, "/params", &nothing, &e));
    assert_string_equal(e.text, "there is no field \"x\"; the fields are: none");
    assert_string_equal(e.pointer, "/params/x");
}

static void t06_from_text(void **state)
{
    (void)state;
    struct job j;
    struct err e = ERR_INIT;
    fields_defaults(&fields, &j);
    assert_true(fields_set(&fields, SPAN("batch_size"), SPAN("12"), &j, &e));
    assert_true(j.count == 12 && j.count_given);
    assert_true(fields_set(&fields, SPAN("ratio"), SPAN("0.25"), &j, &e));
    assert_true(j.ratio == 0.25);
    assert_true(fields_set(&fields, SPAN("loud"), SPAN("false"), &j, &e));
    assert_false(j.loud);
    assert_true(fields_set(&fields, SPAN("loud"), SPAN("1"), &j, &e));
    assert_true(j.loud);
    assert_true(fields_set(&fields, SPAN("name"), SPAN("x"), &j, &e));
    assert_string_equal(j.name, "x");
    assert_true(fields_set(&fields, SPAN("mode"), SPAN("slow"), &j, &e));
    assert_int_equal(j.mode, 0);

    assert_false(fields_set(&fields, SPAN("batch_size"), SPAN("12x"), &j, &e));
    assert_string_equal(e.text, "\"batch_size\" must be an integer from 1 to 1000000, not \"12x\"");
    assert_string_equal(e.pointer, "batch_size");
    assert_int_equal(j.count, 12);
    static const char *const bad[][2] = {{"batch_size", ""}, {"batch_size", "0"}, {"batch_size", "1.0"},
                                         {"ratio", "nan"},   {"ratio", "10"},     {"loud", "yes"},
                                         {"name", "a\x01"},  {"name", "\xff"},    {"name", "\x7f"},
                                         {"mode", ""},       {"extra", "1"},      {"name", ""}};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_false(fields_set(&fields, span_of(bad[i][0]), span_of(bad[i][1]), &j, &e));
        assert_int_equal(e.code, ERR_BAD_FIELD);
        assert_false(fields_set(&fields, span_of(bad[i][0]), span_of(bad[i][1]), &j, NULL));
    }
    assert_false(fields_set(&fields, SPAN("nam"), SPAN("x"), &j, &e));
    assert_int_equal(e.code, ERR_UNKNOWN_FIELD);
    assert_string_equal(e.text, "there is no field \"nam\"; did you mean \"name\"?");
}

static void t07_writes_what_it_reads(void **state)
{
    (void)state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct buf b CLEANUP(buf_release) = BUF_INIT(10000);
    struct job j;
    const char *text =
        "{\"batch_size\":9,\"ratio\":0.1,\"loud\":false,\"name\":\"x\",\"mode\":\"slow\",\"extra\":{\"a\":[1.0]}}";
    assert_true(read_job(&a, text, &j, NULL));
    struct json_out o = json_out(&b);
    fields_write(&fields, &j, &o);
    assert_span(buf_view(&b), text);
}

static void t08_schema(void **state)
{
    (void)state;
    struct buf b CLEANUP(buf_release) = BUF_INIT(10000);
    struct json_out o = json_out(&b);
    fields_schema(&fields, &o);
    assert_span(buf_view(&b),
                "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
                "\"batch_size\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000000,\"default\":3,"
                "\"description\":\"items at once\"},"
                "\"ratio\":{\"type\":\"number\",\"minimum\":-1,\"maximum\":9,\"default\":2},"
                "\"loud\":{\"type\":\"boolean\",\"default\":true},"
                "\"name\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":8,\"default\":\"joe\"},"
                "\"mode\":{\"type\":\"string\",\"enum\":[\"slow\",\"fast\"],\"default\":\"fast\"},"
                "\"extra\":{}}}");
}

/* From text it is the same, to the last byte of what is told of a fault, whether or not a tree is built. */
static void t09_from_text(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        " \n{ \"batch_size\" : 7 , \"ratio\" : 1.5 , \"loud\" : false , \"name\" : \"ann\" , \"mode\" : \"slow\" }\t",
        "{\"ratio\":3}",
        "{\"ratio\":-1}",
        "{\"ratio\":9.5}",
        "{\"ratio\":1e0}",
        "{\"ratio\":1e999}",
        "{\"ratio\":\"1\"}",
        "{\"batch_size\":1.0}",
        "{\"batch_size\":0}",
        "{\"batch_size\":9223372036854775808}",
        "{\"batch_size\":01}",
        "{\"batch_size\":null}",
        "{\"batch_size\":true}",
        "{\"batch_size\":[1]}",
        "{\"loud\":true,\"loud\":true}",
        "{\"loud\":1}",
        "{\"loud\":tru}",
        "{\"name\":\"\\u00e4\\n\"}",
        "{\"name\":\"\\u00e4\\\"\\\\\"}",
        "{\"name\":\"\\ud83d\\ude00\"}",
        "{\"name\":\"\\ud83d\"}",
        "{\"name\":\"\"}",
        "{\"name\":\"ninebytes\"}",
        "{\"name\":\"\x7f\"}",
        "{\"name\":\"\xff\"}",
        "{\"name\":\"\x01\"}",
        "{\"n\\u0061me\":\"ann\"}",
        "{\"mode\":\"quick\"}",
        "{\"extra\":1}",
        "{\"extra\":null}",
        "{\"extra\":{\"a\":[1,2]},\"batch_size\":4}",
        "{\"batch_siz\":4}",
        "{\"\":4}",
        "{\"a/b~\":4}",
        "{\"batch_siz\":4,}",
        "{\"batch_size\":4",
        "{\"batch_size\":4}}",
        "{\"batch_size\" 4}",
        "{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"j\":1,\"k\":1,\"l\":1,\"m\":1,\"n\":1,\"o\":1,\"p\":1,\"q\":1}",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT, b CLEANUP(arena_release) = ARENA_INIT;
        struct job one, other;
        struct err e = ERR_INIT, f = ERR_INIT;
        const struct json *v;
        memset(&one, 0xee, sizeof one);
        memset(&other, 0x11, sizeof other);
        bool tree = json_read(&a, span_of(texts[i]), &v, &e) && fields_read(&fields, v, "", &one, &e);
        bool text = fields_read_text(&fields, &b, span_of(texts[i]), &other, &f);
        if (tree != text || e.code != f.code || strcmp(e.text, f.text) != 0 ||
            strcmp(e.pointer, f.pointer) != 0)
            fail_msg("%s: %d %s %s; from text %d %s %s", texts[i], tree, e.pointer, e.text, text, f.pointer,
                     f.text);
        if (!tree)
            continue;
        if (one.count != other.count || one.ratio != other.ratio || one.loud != other.loud ||
            one.count_given != other.count_given || strcmp(one.name, other.name) != 0 ||
            one.mode != other.mode || json_type(one.extra) != json_type(other.extra) ||
            !one.extra != !other.extra)
            fail_msg("%s is read in two ways", texts[i]);
    }
}

/* No tree is built where none is needed, or nothing is gained. */
static void t10_plain_text_needs_no_memory(void **state)
{
    (void)state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct job j;
    assert_true(fields_read_text(
        &fields, &a, SPAN("{\"batch_size\":7,\"name\":\"\\u00e4\",\"mode\":\"slow\"}"), &j, NULL));
    assert_int_equal(a.used, 0);
    assert_null(a.cleanups);
    assert_true(fields_read_text(&fields, &a, SPAN("{\"extra\":7}"), &j, NULL));
    assert_non_null(a.cleanups);
}

static void t11_only_objects_from_text(void **state)
{
    (void)state;
    static const char *const texts[] = {"null", "[{}]", "\"{}\"", "1", " true "};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        struct job j;
        struct err e = ERR_INIT;
        assert_false(fields_read_text(&fields, &a, span_of(texts[i]), &j, &e));
        assert_int_equal(e.code, ERR_BAD_FIELD);
        assert_non_null(strstr(e.text, "an item must be an object, not "));
    }
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct job j;
    struct err e = ERR_INIT;
    assert_false(fields_read_text(&fields, &a, SPAN(""), &j, &e));
    assert_int_equal(e.code, ERR_BAD_JSON);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_defaults),
        cmocka_unit_test(t02_reads),
        cmocka_unit_test(t03_refuses),
        cmocka_unit_test(t04_long_values_are_shown_short),
        cmocka_unit_test(t05_unknown),
        cmocka_unit_test(t06_from_text),
        cmocka_unit_test(t07_writes_what_it_reads),
        cmocka_unit_test(t08_schema),
        cmocka_unit_test(t09_from_text),
        cmocka_unit_test(t10_plain_text_needs_no_memory),
        cmocka_unit_test(t11_only_objects_from_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
