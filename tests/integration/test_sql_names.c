/*
 * sql.query of a database whose host is a name: a name server that does not answer holds no thread longer than the query's time.
 *
 * log may say: sql.unreachable|connection to client lost|could not send data|unexpected EOF
 */
#include "../lib/test.h"

#include <fcntl.h>
#include <signal.h>

#include "core/mem.h"
#include "core/net.h"
#include "core/sig.h"
#include "dns_bench.h"
#include "exec/exec.h"
#include "handlers/registry.h"
#include "handlers/sql_query.h"
#include "model/strategy.h"
#include "store_bench.h"

#define ITEMS 40

static char by_name_url[512], second_url[512], mute_first_url[512], mute_last_url[512];

static struct conf_database databases[] = {
    {.name = "mute", .url = "host=mute.test dbname=lathe", .connections = 4, .timeout = 300},
    {.name = "none", .url = "host=none.test dbname=lathe", .connections = 4, .timeout = 300},
    {.name = "named", .url = by_name_url, .connections = 1, .timeout = 300},
    {.name = "second", .url = second_url, .connections = 2, .timeout = 60000},
    {.name = "mute first", .url = mute_first_url, .connections = 2, .timeout = 2000},
    {.name = "mute last", .url = mute_last_url, .connections = 2, .timeout = 60000},
};

static struct conf_query queries[] = {
    {.name = "mute", .database = "mute", .sql = "SELECT 1 AS one", .rows = 1},
    {.name = "none", .database = "none", .sql = "SELECT 1 AS one", .rows = 1},
    {.name = "named", .database = "named", .sql = "SELECT 1 AS one", .rows = 1},
    {.name = "second", .database = "second", .sql = "SELECT 1 AS one", .rows = 1},
    {.name = "mute first", .database = "mute first", .sql = "SELECT 1 AS one", .rows = 1},
    {.name = "mute last", .database = "mute last", .sql = "SELECT 1 AS one", .rows = 1},
};

static int succeeded;
static struct err last;

static void on_item(void *arg, const struct outcome *o)
{
    (void)arg;
    succeeded += o->kind == OUTCOME_OK;
    if (o->kind != OUTCOME_OK)
        last = *o->err;
}

/* So many items on one thread; how many succeeded. */
static int ask(const char *query, int64_t count, int64_t retries)
{
    struct err e = ERR_INIT;
    struct exec_report report;
    struct cancel cancel = {0};
    char args[LIMIT_NAME + 1];
    snprintf(args, sizeof args, "%s", query);
    succeeded = 0;
    struct plan p = {.handler = &handler_sql_query,
                     .args = args,
                     .count = count,
                     .shape = shape_fit((struct shape){0, 1, count, 1}, count, LIMIT_WORKERS),
                     .deadline = CLOCK_NEVER,
                     .item_retries = retries,
                     .backoff = {.base_ms = 100, .factor = 1, .max_ms = 100},
                     .cancel = &cancel,
                     .done = on_item};
    if (!exec_run(&p, &report, &e))
        fail_msg("%s", e.text);
    return succeeded;
}

/* It ends although the name server says nothing until the test is over; and each try takes up the question of the one before. */
static void t01_mute(void **state)
{
    (void)state;
    assert_int_equal(ask("mute", ITEMS, 3), 0);
    assert_int_equal(last.code, ERR_UNREACHABLE);
    assert_null(strstr(last.text, "mute.test")); /* strangers may read it */
    assert_in_range(dns_asked(), 1, databases[0].connections);
}

static void t02_no_such_name(void **state)
{
    (void)state;
    assert_int_equal(ask("none", ITEMS, 0), 0);
    assert_int_equal(last.code, ERR_UNREACHABLE);
}

/* Of a server that takes connections and says nothing; that it was asked shows that the address was found, and the port kept. */
static void t03_its_address_is_tried(void **state)
{
    (void)state;
    char url[512];
    int fd CLEANUP(net_close_at) = bench_mute_host(url, sizeof url, false);
    struct span rest = span_of(url);
    assert_true(span_starts(rest, "host=127.0.0.1"));
    span_take(&rest, strlen("host=127.0.0.1"));
    snprintf(by_name_url, sizeof by_name_url, "host=here.test" SPAN_FMT, SPAN_ARG(rest));
    assert_int_equal(ask("named", 1, 0), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    int client CLEANUP(net_close_at) = accept(fd, NULL, NULL);
    assert_true(client >= 0);
}

static void all_succeed(const char *query)
{
    if (ask(query, ITEMS, 0) != ITEMS)
        fail_msg("%s", last.text);
}

/* The first host has no address, and the second is a socket. */
static void t04_the_next_host(void **state)
{
    (void)state;
    all_succeed("second");
}

/* It has a share of the time. */
static void t05_a_mute_one_leaves_time_for_the_next(void **state)
{
    (void)state;
    all_succeed("mute first");
    assert_in_range(dns_asked(), 1, 2);
}

static void t06_a_later_one_is_not_waited_for(void **state)
{
    (void)state;
    all_succeed("mute last");
    assert_int_equal(dns_asked(), 0);
}

static int begin(void **state)
{
    (void)state;
    dns_begin();
    return 0;
}

static int end(void **state)
{
    (void)state;
    dns_answers();
    return 0;
}

#define DNS_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DNS_TEST(t01_mute),
        DNS_TEST(t02_no_such_name),
        DNS_TEST(t03_its_address_is_tried),
        DNS_TEST(t04_the_next_host),
        DNS_TEST(t05_a_mute_one_leaves_time_for_the_next),
        DNS_TEST(t06_a_later_one_is_not_waited_for),
    };
    struct err e = ERR_INIT;
    struct conf conf = {.databases = databases,
                        .database_count = COUNT_OF(databases),
                        .queries = queries,
                        .query_count = COUNT_OF(queries)};
    struct span rest = span_of(test_pg());
    span_take(&rest, strlen("host="));
    struct span dir = span_cut(&rest, ' ');
    snprintf(second_url, sizeof second_url, "host=none.test," SPAN_FMT " " SPAN_FMT, SPAN_ARG(dir),
             SPAN_ARG(rest));
    snprintf(mute_first_url, sizeof mute_first_url, "host=mute.test," SPAN_FMT " port=1,5432 " SPAN_FMT,
             SPAN_ARG(dir), SPAN_ARG(rest));
    snprintf(mute_last_url, sizeof mute_last_url, "host=" SPAN_FMT ",mute.test port=,1 " SPAN_FMT,
             SPAN_ARG(dir), SPAN_ARG(rest));
    snprintf(by_name_url, sizeof by_name_url, "host=here.test port=1 dbname=lathe");
    sig_block();
    if (!sql_query_open(&conf, &e) || !exec_start(&e)) {
        printf("Bail out! %s\n", e.text);
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    exec_stop();
    return failed;
}
