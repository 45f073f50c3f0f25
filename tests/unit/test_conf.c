/* core/conf.h; and that conf/lathe.conf and docs/settings.md are what the table says. `make settings` writes the two. */
#include "unit/unit.h"

#include "core/conf_sections.h"
#include "core/file.h"
#include "core/limits.h"
#include "core/mem.h"

static char dir[64], path[100];

static int set_up(void **state)
{
    (void)state;
    make_dir(dir);
    snprintf(path, sizeof path, "%s/lathe.conf", dir);
    write_file(path, ""); /* so that no test reads the machine's own */
    unsetenv("LATHE_CONF");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

static bool load(struct conf *c, struct err *e)
{
    int argc = 0;
    char *argv[] = {NULL};
    return conf_load(c, path, &argc, argv, e);
}

static void t01_defaults(void **state)
{
    (void)state;
    struct conf c CLEANUP(conf_release);
    write_file(path, "");
    assert_true(load(&c, NULL));
    assert_string_equal(c.store_url, "dbname=lathe");
    assert_int_equal(c.store_timeout, 10000);
    assert_int_equal(c.worker_child_memory, 536870912);
    assert_string_equal(c.cache_password, "");
    assert_string_equal(c.path, path);
    for (size_t i = 0; i < conf_row_count; i++) { /* a default is allowed where it stands */
        const struct conf_row *row = &conf_rows[i];
        struct buf text CLEANUP(buf_release) = BUF_INIT(2000);
        struct err e = ERR_INIT;
        if (row->type == CONF_text)
            buf_puts(&text, row->word);
        else
            conf_put_number(&text, row->type, row->number);
        if (!conf_set(&c, row, buf_view(&text), "default", &e))
            fail_msg("%s", e.text);
        assert_true(conf_find(span_of(row->section), span_of(row->name)) == row);
    }
}

static void t02_the_order(void **state)
{
    (void)state;
    struct conf c CLEANUP(conf_release);
    struct err e = ERR_INIT;
    write_file(
        path, "; a comment\n[worker]\nslots = 2\nlease = 5s\nattempts=7\n\n[store]\nurl = host=/run ; why\n");
    setenv("LATHE_WORKER_SLOTS", "3", 1);
    setenv("LATHE_WORKER_LEASE", "6s", 1);
    char *argv[] = {(char[]){"lathe"},
                    (char[]){"--worker.slots=4"},
                    (char[]){"sub"},
                    (char[]){"-x"},
                    (char[]){"--items=a.b"},
                    (char[]){"--"},
                    (char[]){"--worker.slots=5"},
                    NULL};
    int argc = 7;
    bool good = conf_load(&c, path, &argc, argv, &e);
    unsetenv("LATHE_WORKER_SLOTS");
    unsetenv("LATHE_WORKER_LEASE");
    assert_true(good);
    assert_int_equal(c.worker_slots, 4);
    assert_int_equal(c.worker_lease, 6000);
    assert_int_equal(c.worker_attempts, 7);
    assert_string_equal(c.store_url, "host=/run");
    assert_int_equal(argc, 6);
    static const char *const left[] = {"lathe", "sub", "-x", "--items=a.b", "--", "--worker.slots=5"};
    for (int i = 0; i < argc; i++)
        assert_string_equal(argv[i], left[i]);
    assert_null(argv[argc]);
}

static void t03_which_file(void **state)
{
    (void)state;
    struct conf c;
    struct err e = ERR_INIT;
    char option[200];
    write_file(path, "[worker]\nslots = 2\n");
    snprintf(option, sizeof option, "--conf=%s", path);
    char *argv[] = {(char[]){"lathe"}, option, NULL};
    int argc = 2;
    assert_true(conf_load(&c, NULL, &argc, argv, &e));
    assert_int_equal(c.worker_slots, 2);
    assert_int_equal(argc, 1);
    conf_release(&c);
    setenv("LATHE_CONF", path, 1);
    argc = 0;
    assert_true(conf_load(&c, NULL, &argc, argv, &e));
    assert_int_equal(c.worker_slots, 2);
    conf_release(&c);
    setenv("LATHE_CONF", "/no/such/file", 1);
    assert_false(conf_load(&c, NULL, &argc, argv, &e)); /* named, so it must be there */
    assert_int_equal(e.code, ERR_CONFIG);
    assert_holds(e.text, "/no/such/file");
    unsetenv("LATHE_CONF");
}

static void t04_what_is_wrong_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } rows[] = {
        {"[a]\nx=1\n", "line 2: there is no setting x in section [a]"},
        {"slots = 1\n", "line 1: there is no setting slots in section []"},
        {"[worker]\n\nslot = 1\n", "line 3: there is no setting slot in section [worker]"},
        {"[worker]\nslots = 0\n", "line 2: worker.slots must be a whole number from 1 to 1024, not \"0\""},
        {"[worker]\nslots = 1025\n",
         "line 2: worker.slots must be a whole number from 1 to 1024, not \"1025\""},
        {"[worker]\nslots = 8s\n", "line 2: worker.slots must be a whole number from 1 to 1024, not \"8s\""},
        {"[worker]\nslots =\n", "line 2: worker.slots must be a whole number from 1 to 1024, not \"\""},
        {"[store]\ntimeout = 10x\n", "line 2: store.timeout must be from 100ms to 10m, not \"10x\""},
        {"[store]\ntimeout = 1h\n", "line 2: store.timeout must be from 100ms to 10m, not \"1h\""},
        {"[store]\ntimeout = s\n", "line 2: store.timeout must be from 100ms to 10m, not \"s\""},
        {"[store]\ntimeout = 99999999999999999d\n",
         "line 2: store.timeout must be from 100ms to 10m, not \"99999999999999999d\""},
        {"[worker]\nchild_memory = 1X\n", "line 2: worker.child_memory must be from 16M to 1T, not \"1X\""},
        {"[log]\nlevel = loud\n", "line 2: log.level must be debug, info, warn or error, not \"loud\""},
        {"[log]\nformat = xml\n", "line 2: log.format must be auto, logfmt or json, not \"xml\""},
        {"[store]\nurl =\n", "line 2: store.url must be a text of 1 to 1024 characters"},
        {"[cache]\nprefix = a\x01\n", "line 2: cache.prefix must be a text of 1 to 32 characters"},
        {"[worker\n", "line 1: expected [section], name = value or a comment"},
        {"[worker]\nnonsense\n", "line 2: expected [section], name = value or a comment"},
        {"[worker]\nslots = 1\nslots = 2\n", "line 3: worker.slots was set already in line 2"},
        {"[worker]\nslots = 1\n  2\n", "line 3: worker.slots was set already in line 2"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct conf c;
        struct err e = ERR_INIT;
        write_file(path, rows[i].text);
        assert_false(load(&c, &e));
        assert_int_equal(e.code, ERR_CONFIG);
        assert_holds(e.text, path);
        assert_holds(e.text, rows[i].error);
        assert_false(load(&c, NULL));
    }
}

static void t05_odd_files(void **state)
{
    (void)state;
    struct conf c CLEANUP(conf_release) = {0};
    struct err e = ERR_INIT;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    assert_true(conf_read_text(&c, SPAN("\xef\xbb\xbf[worker]\r\nslots = 2\r\n"), "f", &e));
    assert_int_equal(c.worker_slots, 2);
    assert_true(conf_read_text(&c, SPAN("[worker]\nslots=3"), "f", &e)); /* no line end at the end */
    assert_int_equal(c.worker_slots, 3);
    assert_false(conf_read_text(&c, SPAN("[worker]\nslots=3\0004\n"), "f", &e));
    assert_string_equal(e.text, "f line 2: the line has a NUL byte");
    char *longer = arena_printf(&a, "[store]\nurl = %0*d\n", 500, 7); /* never cut in silence */
    if (conf_read_text(&c, span_of(longer), "f", &e))
        assert_int_equal(strlen(c.store_url), 500);
    else
        assert_holds(e.text, "f line 2: the line is too long");
    write_file(path, "");
    FILE *f = fopen(path, "we");
    for (int i = 0; i < 50000; i++)
        fprintf(f, "; padding\n");
    fclose(f);
    assert_false(load(&c, &e));
    assert_int_equal(e.code, ERR_CONFIG);
}

static void t06_options_and_variables(void **state)
{
    (void)state;
    static const struct {
        const char *option, *error;
    } rows[] = {
        {"--worker.slot=1", "there is no option --worker.slot; lathe settings lists them"},
        {"--api.socket_mode=432",
         "the command line: api.socket_mode must be octal, from 0000 to 0777, not \"432\""},
        {"--api.socket_mode=0680",
         "the command line: api.socket_mode must be octal, from 0000 to 0777, not \"0680\""},
        {"--api.socket_mode=01000",
         "the command line: api.socket_mode must be octal, from 0000 to 0777, not \"01000\""},
        {"--worker.slots", "the option --worker.slots needs a value: write --worker.slots=VALUE"},
        {"--worker.slots=", "the command line: worker.slots must be a whole number from 1 to 1024, not \"\""},
        {"--conf", "the option --conf needs a value: write --conf=FILE"},
    };
    write_file(path, "");
    struct conf c;
    struct err e = ERR_INIT;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char option[100];
        snprintf(option, sizeof option, "%s", rows[i].option);
        char *argv[] = {(char[]){"lathe"}, option, NULL};
        int argc = 2;
        assert_false(conf_load(&c, path, &argc, argv, &e));
        assert_int_equal(e.code, ERR_CONFIG);
        assert_string_equal(e.text, rows[i].error);
    }
    setenv("LATHE_WORKER_SLOTS", "many", 1);
    bool good = load(&c, &e);
    unsetenv("LATHE_WORKER_SLOTS");
    assert_false(good);
    assert_string_equal(
        e.text,
        "the variable LATHE_WORKER_SLOTS: worker.slots must be a whole number from 1 to 1024, not \"many\"");
}

static void t07_secrets(void **state)
{
    (void)state;
    static const char *const urls[][2] = {
        {"postgresql://bob:geheim@h:1/db?x=1", "postgresql://bob:***@h:1/db?x=1"},
        {"postgres://bob@h/db?password=geheim&x=1", "postgres://bob@h/db?password=***&x=1"},
        {"postgres://bob:geh@eim@h/db", "postgres://bob:***@h/db"},
        {"host=/run password=geheim user=bob", "host=/run password=*** user=bob"},
        {"host=/run password = geheim user=bob", "host=/run password=*** user=bob"},
        {"password  =  'geheim geheim' user=bob", "password=*** user=bob"},
        {"password user=bob", "password user=bob"},
        {"password='geheim \\' geheim' user=bob", "password=*** user=bob"},
        {"dbname=lathe", "dbname=lathe"},
        {"postgres://h/db", "postgres://h/db"},
    };
    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        struct conf c CLEANUP(conf_release);
        struct buf b CLEANUP(buf_release) = BUF_INIT(100000);
        struct err e = ERR_INIT;
        char want[200];
        setenv("LATHE_CACHE_PASSWORD", "geheim", 1);
        setenv("LATHE_STORE_URL", urls[i][0], 1);
        write_file(path, "");
        bool good = load(&c, &e);
        unsetenv("LATHE_CACHE_PASSWORD");
        unsetenv("LATHE_STORE_URL");
        assert_true(good);
        assert_string_equal(c.cache_password, "geheim");
        conf_show(&c, &b);
        buf_char(&b, '\0');
        assert_null(strstr(b.ptr, "geheim"));
        assert_holds(b.ptr, "cache.password = ***\n");
        snprintf(want, sizeof want, "store.url = %s\n", urls[i][1]);
        assert_holds(b.ptr, want);
    }
    struct conf c;
    struct err e = ERR_INIT;
    char *argv[] = {(char[]){"lathe"}, (char[]){"--cache.password=geheim\n"}, NULL};
    int argc = 2;
    assert_false(conf_load(&c, path, &argc, argv, &e));
    assert_null(strstr(e.text, "geheim"));
}

static void t08_reload(void **state)
{
    (void)state;
    struct conf c CLEANUP(conf_release);
    struct err e = ERR_INIT;
    struct buf ignored CLEANUP(buf_release) = BUF_INIT(1000);
    write_file(path, "[worker]\nslots = 2\nlease = 5s\n[log]\nlevel = warn\n");
    char *argv[] = {(char[]){"lathe"}, (char[]){"--worker.poll=1s"}, NULL};
    int argc = 2;
    assert_true(conf_load(&c, path, &argc, argv, &e));
    const char *old_level = conf_now(&c.log_level);
    write_file(path,
               "[worker]\nslots = 3\nlease = 6s\npoll = 2s\n[log]\nlevel = debug\n[api]\nthreads = 9\n");
    assert_true(conf_reload(&c, &ignored, &e));
    assert_int_equal(conf_now(&c.worker_lease), 6000);
    assert_string_equal(conf_now(&c.log_level), "debug");
    assert_string_equal(old_level, "warn"); /* whoever still holds it may */
    assert_int_equal(c.worker_slots, 2);
    assert_int_equal(c.worker_poll, 1000); /* the command line still goes first */
    assert_span(buf_view(&ignored), "api.threads,worker.slots");
    buf_clear(&ignored);
    write_file(path, "[worker]\nlease = 7s\nslots = x\n");
    assert_false(conf_reload(&c, &ignored, &e));
    assert_int_equal(conf_now(&c.worker_lease), 6000); /* nothing of a bad file */
    assert_int_equal(ignored.len, 0);
    write_file(path, "[worker]\nslots = 2\nlease = 6s\n[log]\nlevel = debug\n");
    assert_true(conf_reload(&c, &ignored, &e));
    assert_int_equal(ignored.len, 0);
}

static void read_good(struct conf *c, const char *text)
{
    struct err e = ERR_INIT;
    conf_set_defaults(c);
    if (!conf_read_text(c, span_of(text), "f", &e))
        fail_msg("%s", e.text);
}

static void t12_sections(void **state)
{
    (void)state;
    struct conf c CLEANUP(conf_release) = {0};
    read_good(
        &c,
        "[command a]\nprogram = /bin/cat\n[destination eu-central-1.0123456789.0123456789.0123456789.example.com]\n"
        "rate = 7\n[database crm]\nurl = host=/run\n  user=bob ; who\n[worker]\nslots = 3\n"
        "[query  cities ]\nsql =\n  select 1\n\n  ; a comment\n  [2]\n\tfrom x\nrows = 5\nwrite = yes\n"
        "database = crm\n[command b]\nwidth = 2\nprogram = /bin/sh -c 'x'\nidle = 5s\n");
    assert_int_equal(c.command_count, 2);
    assert_string_equal(c.commands[0].name, "a");
    assert_int_equal(c.commands[0].width, 64);
    assert_string_equal(c.commands[0].summary, "");
    assert_int_equal(c.commands[1].idle, 5000);
    assert_int_equal(c.commands[1].line, 20);
    assert_string_equal(conf_command(&c, SPAN("b"))->program, "/bin/sh -c 'x'");
    assert_null(conf_command(&c, SPAN("crm")));
    assert_int_equal(c.destination_count, 1); /* longer than inih keeps */
    assert_int_equal(
        conf_destination(&c, SPAN("eu-central-1.0123456789.0123456789.0123456789.example.com"))->rate, 7);
    assert_holds(conf_database(&c, SPAN("crm"))->url, "host=/run\nuser=bob");
    const struct conf_query *q = conf_query(&c, SPAN("cities"));
    assert_string_equal(q->sql, "select 1\n[2]\nfrom x");
    assert_true(q->write && q->rows == 5);
    assert_int_equal(c.worker_slots, 3);
}

static void t13_bad_sections(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } rows[] = {
        {"[command]\nprogram = /x\n", "f line 1: [command ]: a name has 1 to 64"},
        {"[commando x]\n",
         "f line 1: there is no kind of section called \"commando\"; there are command, database, "
         "query, destination"},
        {"[command ]\n", "f line 1: [command ]: a name has 1 to 64 letters, digits, points, - and _"},
        {"\n[command a/b]\n", "f line 2: [command a/b]: a name has 1 to 64 letters, digits, points, - and _"},
        {"[command 0123456789012345678901234567890123456789012345678901234567890123.]\n",
         "a name has 1 to 64"},
        {"[command a]\nprogram = /x\n\n[command a]\n", "f line 4: [command a] is there already, in line 1"},
        {"[command a]\nprogram = /x\nprogramm = 2\n", "f line 3: [command a]: there is no field programm"},
        {"[command a]\nwidth = 2\n", "f line 1: [command a] needs a line program"},
        {"[command a]\n[worker]\nslots = 1\n", "f line 1: [command a] needs a line program"},
        {"[command a]\nprogram =\nwidth = 1\n",
         "f line 2: [command a] program must be a text of 1 to 4096 characters, in any number of lines, not \"\""},
        {"[command a]\nwidth = 0\nprogram = /x\n",
         "f line 2: [command a] width must be a whole number from 1 to 4096, not \"0\""},
        {"[command a]\nidle = 2d\nprogram = /x\n",
         "f line 2: [command a] idle must be from 0 to 1d, not \"2d\""},
        {"[command a]\nprogram = /x\nprogram = /y\n",
         "f line 3: [command a] program was set already in line 2"},
        {"[command a]\nwidth = 1\n  2\n", "f line 3: [command a] width was set already in line 2"},
        {"[query q]\ndatabase = no\nsql = select 1\n", "f line 1: [query q]: there is no [database no]"},
        {"[database d]\nurl = password=geheim\x01\n",
         "f line 2: [database d] url must be a text of 1 to 1024 characters, in any number of lines"},
        {"[command a\n", "f line 1: expected [section], name = value or a comment"},
        {"[command a]\nprogram = /x\nnonsense\n", "f line 3: expected [section], name = value or a comment"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct conf c CLEANUP(conf_release) = {0};
        struct err e = ERR_INIT;
        if (conf_read_text(&c, span_of(rows[i].text), "f", &e))
            fail_msg("read: %s", rows[i].text);
        assert_int_equal(e.code, ERR_CONFIG);
        if (!strstr(e.text, rows[i].error))
            fail_msg("%s", e.text);
        assert_null(strstr(e.text, "geheim"));
        struct conf d CLEANUP(conf_release) = {0};
        assert_false(conf_read_text(&d, span_of(rows[i].text), "f", NULL));
    }
}

static void t14_many_sections(void **state)
{
    (void)state;
    struct conf c CLEANUP(conf_release) = {0};
    struct err e = ERR_INIT;
    struct buf text CLEANUP(buf_release) = BUF_INIT(1u << 20);
    for (unsigned i = 0; i < LIMIT_SECTIONS; i++)
        buf_printf(&text, "[destination d%u]\nrate = %u\n", i, i);
    assert_true(conf_read_text(&c, buf_view(&text), "f", &e));
    assert_int_equal(c.destination_count, LIMIT_SECTIONS);
    for (unsigned i = 0; i < LIMIT_SECTIONS; i++)
        assert_int_equal(c.destinations[i].rate, i);
    buf_puts(&text, "[destination one.more]\n");
    struct conf d CLEANUP(conf_release) = {0};
    assert_false(conf_read_text(&d, buf_view(&text), "f", &e));
    assert_string_equal(e.text, "f line 2001: there are more than 1000 sections [destination]");
}

static void t15_sections_are_shown_and_need_a_restart(void **state)
{
    (void)state;
    struct conf c CLEANUP(conf_release);
    struct err e = ERR_INIT;
    struct buf b CLEANUP(buf_release) = BUF_INIT(100000), ignored CLEANUP(buf_release) = BUF_INIT(1000);
    write_file(path,
               "[database crm]\nurl = host=/run\n  password=geheim\n  user=bob\n[command a]\nprogram = /x\n"
               "[command b]\nprogram = /x\n[worker]\nslots = 2\n");
    assert_true(load(&c, &e));
    conf_show(&c, &b);
    buf_char(&b, '\0');
    assert_null(strstr(b.ptr, "geheim"));
    assert_holds(b.ptr,
                 "\n[database crm]\nurl = host=/run\n    password=***\n    user=bob\nconnections = 4\n");
    assert_holds(b.ptr, "\n[command a]\nprogram = /x\n");
    assert_true(conf_reload(&c, &ignored, &e));
    assert_int_equal(ignored.len, 0);
    write_file(path,
               "[command a]\nprogram = /x\n[command b]\nprogram = /y\n[command c]\nprogram = /x\n[worker]\n"
               "slots = 3\n");
    assert_true(conf_reload(&c, &ignored, &e));
    assert_span(buf_view(&ignored), "worker.slots,[command b],[command c],[database crm]");
    assert_int_equal(c.command_count, 2);
    assert_string_equal(conf_command(&c, SPAN("b"))->program, "/x");
}

static void t09_numbers(void **state)
{
    (void)state;
    static const struct {
        enum conf_type type;
        int64_t number;
        const char *text;
    } rows[] = {{CONF_ms, 500, "500ms"},    {CONF_ms, 1500, "1500ms"}, {CONF_ms, 10000, "10s"},
                {CONF_ms, 90000, "90s"},    {CONF_ms, 3600000, "1h"},  {CONF_ms, 604800000, "7d"},
                {CONF_ms, 0, "0"},          {CONF_size, 1024, "1K"},   {CONF_size, 1025, "1025"},
                {CONF_size, 1 << 30, "1G"}, {CONF_int, 1000, "1000"},  {CONF_mode, 0660, "0660"},
                {CONF_mode, 7, "0007"},     {CONF_bool, 1, "true"},    {CONF_size, INT64_C(3) << 40, "3T"}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buf b CLEANUP(buf_release) = BUF_INIT(100);
        conf_put_number(&b, rows[i].type, rows[i].number);
        assert_span(buf_view(&b), rows[i].text);
    }
    struct conf c CLEANUP(conf_release) = {0};
    const struct conf_row *lease = conf_find(SPAN("worker"), SPAN("lease"));
    static const struct {
        const char *text;
        int64_t ms;
    } times[] = {{"500ms", 500}, {"500", 500}, {"10s", 10000}, {"5m", 300000}, {"1h", 3600000}};
    assert_true(conf_set(&c, conf_find(SPAN("api"), SPAN("socket_mode")), SPAN("0640"), "x", NULL));
    assert_int_equal(c.api_socket_mode, 0640);
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        assert_true(conf_set(&c, lease, span_of(times[i].text), "x", NULL));
        assert_int_equal(c.worker_lease, times[i].ms);
    }
}

/* The file in the source tree against what the table makes. */
static void assert_file_is(const char *name, void (*make)(struct buf *out))
{
    const char *top = getenv("top_srcdir");
    char file[4096];
    struct err e = ERR_INIT;
    struct buf made CLEANUP(buf_release) = BUF_INIT(1u << 20),
                    there CLEANUP(buf_release) = BUF_INIT(1u << 20);
    make(&made);
    buf_char(&made, '\0');
    snprintf(file, sizeof file, "%s/%s", top ? top : ".", name);
    if (!file_read(file, &there, &e))
        fail_msg("%s", e.text);
    buf_char(&there, '\0');
    if (strcmp(made.ptr, there.ptr) != 0)
        fail_msg("%s is not what src/core/settings.def says; make settings writes it", name);
}

static void t10_the_sample(void **state)
{
    (void)state;
    assert_file_is("conf/lathe.conf", conf_sample);
    struct buf sample CLEANUP(buf_release) = BUF_INIT(1u << 20),
                      live CLEANUP(buf_release) = BUF_INIT(1u << 20);
    struct conf c CLEANUP(conf_release) = {0}, d CLEANUP(conf_release) = {0};
    struct err e = ERR_INIT;
    conf_sample(&sample);
    conf_set_defaults(&d);
    conf_set_defaults(&c);
    if (!conf_read_text(&c, buf_view(&sample), "sample", &e))
        fail_msg("%s", e.text);
    for (struct span rest = buf_view(&sample); rest.len;) { /* with every mark taken away it says the same */
        struct span line = span_cut(&rest, '\n');
        if (line.len > 1 && line.ptr[0] == ';' && line.ptr[1] != ' ')
            span_take(&line, 1);
        buf_span(&live, line);
        buf_char(&live, '\n');
    }
    if (!conf_read_text(&c, buf_view(&live), "sample", &e))
        fail_msg("%s", e.text);
    for (size_t i = 0; i < conf_row_count; i++)
        assert_true(conf_same(&conf_rows[i], &c, &d));
    for (size_t k = 0; k < conf_kind_count; k++) { /* and of each kind there is the example */
        const struct conf_kind *kind = &conf_kinds[k];
        const struct section_head *s = section_find(&c, kind, span_of(kind->example));
        assert_true(s && section_count(&c, kind) == 1);
        struct buf value CLEANUP(buf_release) = BUF_INIT(20000), want CLEANUP(buf_release) = BUF_INIT(20000);
        for (size_t i = 0; i < kind->row_count; i++) {
            conf_put_value(&value, &kind->rows[i], s);
            conf_put_word(&want, &kind->rows[i]);
        }
        assert_true(span_eq(buf_view(&value), buf_view(&want)));
    }
}

static void t11_the_manual(void **state)
{
    (void)state;
    assert_file_is("docs/settings.md", conf_manual);
    struct buf help CLEANUP(buf_release) = BUF_INIT(1u << 20);
    conf_help(&help);
    buf_char(&help, '\0');
    for (size_t i = 0; i < conf_row_count; i++) {
        char option[100];
        snprintf(option, sizeof option, "  --%s.%s=", conf_rows[i].section, conf_rows[i].name);
        assert_holds(help.ptr, option);
        assert_holds(help.ptr, conf_rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_defaults),
        cmocka_unit_test(t02_the_order),
        cmocka_unit_test(t03_which_file),
        cmocka_unit_test(t04_what_is_wrong_is_named),
        cmocka_unit_test(t05_odd_files),
        cmocka_unit_test(t06_options_and_variables),
        cmocka_unit_test(t07_secrets),
        cmocka_unit_test(t08_reload),
        cmocka_unit_test(t09_numbers),
        cmocka_unit_test(t10_the_sample),
        cmocka_unit_test(t11_the_manual),
        cmocka_unit_test(t12_sections),
        cmocka_unit_test(t13_bad_sections),
        cmocka_unit_test(t14_many_sections),
        cmocka_unit_test(t15_sections_are_shown_and_need_a_restart),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
