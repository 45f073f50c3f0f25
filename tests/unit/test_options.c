/* cmd/options.h, compiled in: cmd/ is in no archive. */
#include "unit/unit.h"

#include "cmd/options.c"

struct job {
    int64_t count;
    bool loud, quiet;
    char name[9];
    int mode;
    const struct json *strange;
};

static const char *const modes[] = {"slow", "fast", NULL};
static const struct field job_fields[] = {
    {.name = "items_count",
     .type = FIELD_INT,
     .offset = offsetof(struct job, count),
     .min = 1,
     .max = 1000,
     .def = 10,
     .summary = "how many"},
    {.name = "loud", .type = FIELD_BOOL, .offset = offsetof(struct job, loud), .summary = "be loud"},
    {.name = "quiet",
     .type = FIELD_BOOL,
     .offset = offsetof(struct job, quiet),
     .def = 1,
     .summary = "be quiet"},
    {.name = "name",
     .type = FIELD_TEXT,
     .offset = offsetof(struct job, name),
     .min = 1,
     .max = 8,
     .def_text = "joe",
     .summary = "whose"},
    {.name = "mode",
     .type = FIELD_ENUM,
     .offset = offsetof(struct job, mode),
     .words = modes,
     .summary = "how"},
    {.name = "strange_thing", .type = FIELD_JSON, .offset = offsetof(struct job, strange), .summary = "any"},
};
static const struct fields job_table = FIELDS(job_fields, struct job);
static const char shorts[] = "n=items_count l=loud N=name";

/* A command line, as main has it. */
struct line {
    char text[200];
    char *argv[20];
    int argc;
};

static struct line line_of(const char *words)
{
    struct line l = {.argc = 0};
    snprintf(l.text, sizeof l.text, "%s", words);
    return l;
}

/* The words into argv; the line stays where it is from here on. */
static void split(struct line *l)
{
    for (char *rest = l->text, *word; (word = strsep(&rest, " "));)
        l->argv[l->argc++] = word;
    l->argv[l->argc] = NULL;
}

static void assert_left(const struct line *l, const char *want)
{
    char got[200] = "";
    for (int i = 0; i < l->argc; i++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", i ? " " : "", l->argv[i]);
    assert_string_equal(got, want);
    assert_null(l->argv[l->argc]);
}

static bool take(struct line *l, struct job *j, struct err *e)
{
    split(l);
    fields_defaults(&job_table, j);
    return options_take(&job_table, shorts, &l->argc, l->argv, j, e);
}

static void t01_takes(void **state)
{
    (void)state;
    static const struct {
        const char *words, *left;
        struct job job;
    } rows[] = {
        {"run", "run", {10, false, true, "joe", 0, NULL}},
        {"run --items-count=5", "run", {5, false, true, "joe", 0, NULL}},
        {"run --items_count 5 here", "run here", {5, false, true, "joe", 0, NULL}},
        {"run a -n 5 b -n=6 c", "run a b c", {6, false, true, "joe", 0, NULL}}, /* the last one counts */
        {"run -l --quiet=false x", "run x", {10, true, false, "joe", 0, NULL}},
        {"run --loud --name -x --mode=fast", "run", {10, true, true, "-x", 1, NULL}},
        {"run --name=a=b -N=c", "run", {10, false, true, "c", 0, NULL}},
        {"run -n 5 -- -n 6 --loud", "run -- -n 6 --loud", {5, false, true, "joe", 0, NULL}},
        {"run --other --items-count2=1 -x -",
         "run --other --items-count2=1 -x -",
         {10, false, true, "joe", 0, NULL}},
        {"--loud -n 7", "--loud", {7, false, true, "joe", 0, NULL}}, /* argv[0] is no option */
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct line l = line_of(rows[i].words);
        struct job j;
        struct err e = ERR_INIT;
        if (!take(&l, &j, &e))
            fail_msg("%s: %s", rows[i].words, e.text);
        assert_left(&l, rows[i].left);
        assert_int_equal(j.count, rows[i].job.count);
        assert_int_equal(j.loud, rows[i].job.loud);
        assert_int_equal(j.quiet, rows[i].job.quiet);
        assert_string_equal(j.name, rows[i].job.name);
        assert_int_equal(j.mode, rows[i].job.mode);
    }
}

static void t02_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *words, *error;
        enum err_code code;
    } rows[] = {
        {"run -n", "-n needs a value: how many", ERR_USAGE},
        {"run --name", "--name needs a value: whose", ERR_USAGE},
        {"run --items-count=0", "from 1 to 1000", ERR_BAD_FIELD},
        {"run --items-count=", "from 1 to 1000", ERR_BAD_FIELD},
        {"run --items-count -n 5", "from 1 to 1000", ERR_BAD_FIELD},
        {"run --loud=maybe", "true or false", ERR_BAD_FIELD},
        {"run --mode=quick", "\"slow\", \"fast\"", ERR_BAD_FIELD},
        {"run --name=123456789", "1 to 8 bytes", ERR_BAD_FIELD},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct line l = line_of(rows[i].words);
        struct job j;
        struct err e = ERR_INIT;
        if (take(&l, &j, &e))
            fail_msg("%s was taken", rows[i].words);
        assert_holds(e.text, rows[i].error);
        assert_int_equal(e.code, rows[i].code);
    }
}

static void t03_several(void **state)
{
    (void)state;
    struct line l = line_of("run -p a=1 x --param=b=2 --params=c --param d -- -p e");
    static const char *const want[] = {"a=1", "b=2", "d"};
    const char *got;
    struct err e = ERR_INIT;
    split(&l);
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        assert_true(options_next("--param", "-p", &l.argc, l.argv, &got, &e));
        assert_string_equal(got, want[i]);
    }
    assert_true(options_next("--param", "-p", &l.argc, l.argv, &got, &e));
    assert_null(got);
    assert_left(&l, "run x --params=c -- -p e");
    l = line_of("run x -p");
    split(&l);
    assert_false(options_next("--param", "-p", &l.argc, l.argv, &got, &e));
    assert_string_equal(e.text, "-p needs a value");
    assert_int_equal(e.code, ERR_USAGE);
}

static void t04_words(void **state)
{
    (void)state;
    static const struct {
        const char *words;
        int least, most;
        const char *error; /* NULL: they are fine */
    } rows[] = {
        {"run", 0, 0, NULL},
        {"run a", 1, 1, NULL},
        {"run a b", 1, 2, NULL},
        {"run -", 1, 1, NULL}, /* standard input */
        {"run a", 0, 0, "there is no use for \"a\"; see lathe run --help"},
        {"run", 1, 1, "something is missing; see lathe run --help"},
        {"run --jsn", 0, 0, "there is no option --jsn; lathe run --help lists them"},
        {"run a -x", 1, 1, "there is no option -x; lathe run --help lists them"},
        {"run -- -x", 1, 1, NULL},
        {"run a --", 1, 1, NULL},
        {"run -- -x -y", 1, 1, "there is no use for \"-y\"; see lathe run --help"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct line l = line_of(rows[i].words);
        struct err e = ERR_INIT;
        split(&l);
        bool good = options_words(l.argc, l.argv, rows[i].least, rows[i].most, &e);
        if (good != !rows[i].error)
            fail_msg("%s: %s", rows[i].words, good ? "taken" : e.text);
        if (!good) {
            assert_string_equal(e.text, rows[i].error);
            assert_int_equal(e.code, ERR_USAGE);
        }
    }
}

static void t05_help(void **state)
{
    (void)state;
    struct buf b CLEANUP(buf_release) = BUF_INIT(4000);
    options_help(&job_table, shorts, &b);
    buf_char(&b, '\0');
    assert_holds(b.ptr, "  -n, --items-count=N              how many (10)\n");
    assert_holds(b.ptr, "  -l, --loud                       be loud\n");
    assert_holds(b.ptr, "      --quiet                      be quiet (true)\n");
    assert_holds(b.ptr, "      --mode=WORD                  how (slow)\n");
    assert_holds(b.ptr, "      --strange-thing=JSON         any\n");
    assert_holds(b.ptr, "--name=TEXT                  whose (joe)\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_takes), cmocka_unit_test(t02_refuses), cmocka_unit_test(t03_several),
        cmocka_unit_test(t04_words), cmocka_unit_test(t05_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
