/* handlers/command.h: words, and what the settings make of handlers; params that are any object. */
#include "unit/unit.h"

#include "core/conf_table.h"
#include "core/limits.h"
#include "handlers/command.h"
#include "handlers/registry.h"
#include "model/command.h"

static void t01_words(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *words[6];
    } rows[] = {
        {"/bin/cat", {"/bin/cat"}},
        {"  /bin/cat  -n\t-v\n  x ", {"/bin/cat", "-n", "-v", "x"}},
        {"/bin/sh -c 'a b \"c\"'", {"/bin/sh", "-c", "a b \"c\""}},
        {"/bin/x \"it's\" '' a'b c'\"d\"", {"/bin/x", "it's", "", "ab cd"}},
        {"/bin/x $HOME `y` \\ *", {"/bin/x", "$HOME", "`y`", "\\", "*"}},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        char **words = command_words(&a, span_of(rows[i].line), NULL);
        size_t n = 0;
        for (; rows[i].words[n]; n++)
            assert_string_equal(words[n], rows[i].words[n]);
        assert_null(words[n]);
    }
}

static void t02_lines_that_are_none(void **state)
{
    (void)state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct buf many CLEANUP(buf_release) = BUF_INIT(1000);
    struct err e;
    buf_puts(&many, "/x");
    for (unsigned i = 0; i < LIMIT_COMMAND_WORDS; i++)
        buf_puts(&many, " y");
    assert_null(command_words(&a, SPAN("/bin/x 'a"), &e));
    assert_string_equal(e.text, "a quote (') is not closed");
    assert_null(command_words(&a, SPAN("cat"), &e));
    assert_null(command_words(&a, SPAN("''"), &e));
    assert_string_equal(e.text, "a program begins with its whole path, and so with a slash");
    assert_null(command_words(&a, buf_view(&many), &e));
    assert_string_equal(e.text, "a program has at most 64 words");
}

static void read_conf(struct conf *c, const char *text)
{
    struct err e = ERR_INIT;
    conf_set_defaults(c);
    if (!conf_read_text(c, span_of(text), "f", &e))
        fail_msg("%s", e.text);
    snprintf(c->path, sizeof c->path, "f");
}

static void t03_handlers(void **state)
{
    (void)state;
    struct conf c CLEANUP(conf_release) = {0}, d CLEANUP(conf_release) = {0}, f CLEANUP(conf_release) = {0};
    struct err e = ERR_INIT;
    read_conf(&c, "[command my.own]\nprogram = /bin/cat -u\nsummary = does it\nitem = anything\nwidth = 7\n"
                  "[command other]\nprogram = /bin/cat\n");
    assert_true(commands_open(&c, &e));
    const struct handler *h = handler_find(SPAN("my.own"));
    const struct command *own = h->own;
    assert_string_equal(h->summary, "does it");
    assert_string_equal(own->words[1], "-u");
    assert_int_equal(own->width, 7);
    assert_non_null(handler_find(SPAN("other"))->summary);
    read_conf(&d, "\n[command echo]\nprogram = /bin/cat\n");
    assert_false(commands_open(&d, &e));
    assert_string_equal(e.text, "f line 2: [command echo]: there is a handler \"echo\" already");
    read_conf(&f, "[command third]\nprogram = cat\n");
    assert_false(commands_open(&f, &e));
    assert_string_equal(
        e.text, "f line 1: [command third]: a program begins with its whole path, and so with a slash");
}

static bool take(const char *json, struct fields_free *to, struct err *e)
{
    static const struct fields any = FIELDS_FREE;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    const struct json *v;
    return json_read(&a, span_of(json), &v, e) && fields_read(&any, v, "/params", to, e);
}

static void t04_any_object(void **state)
{
    (void)state;
    static const struct fields any = FIELDS_FREE;
    static struct fields_free to;
    struct buf b CLEANUP(buf_release) = BUF_INIT(200000);
    struct json_out o = json_out(&b), p = json_out(&b);
    struct err e = ERR_INIT;
    assert_true(take("{\"b\" : [1,\n2], \"a\":{}}", &to, &e));
    fields_write(&any, &to, &o);
    assert_span(buf_view(&b), "{\"b\":[1,2],\"a\":{}}");
    assert_true(take("null", &to, &e));
    assert_span(((struct span){to.text, (size_t)to.len}), "{}");
    assert_false(take("[1]", &to, &e));
    assert_string_equal(e.text, "\"/params\" must be an object, not a list");
    assert_false(fields_set(&any, SPAN("a"), SPAN("1"), &to, &e));
    buf_clear(&b);
    fields_schema(&any, &p);
    assert_span(buf_view(&b), "{\"type\":\"object\",\"additionalProperties\":true,\"properties\":{}}");
    buf_clear(&b);
    buf_printf(&b, "{\"a\":\"%*s\"}", (int)LIMIT_PARAMS, "");
    buf_char(&b, '\0');
    assert_false(take(b.ptr, &to, &e));
    assert_string_equal(e.text, "\"/params\" must be an object of at most 65536 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_words),
        cmocka_unit_test(t02_lines_that_are_none),
        cmocka_unit_test(t03_handlers),
        cmocka_unit_test(t04_any_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
