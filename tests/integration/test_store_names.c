/* store/lookup.h: a name server that does not answer holds nobody longer than his deadline. */
#include "../lib/test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>

#include "core/net.h"
#include "store/db.h"
#include "store/lookup.h"
#include "dns_bench.h"
#include "store_bench.h"

static int dns_setup(void **state)
{
    dns_begin();
    return store_bench_setup(state);
}

static int dns_teardown(void **state)
{
    dns_answers();
    return store_bench_teardown(state);
}

#define DNS_TEST(f) cmocka_unit_test_setup_teardown(f, dns_setup, dns_teardown)

static struct db db_of(struct conf *c, const char *url)
{
    c->store_url = url;
    c->store_timeout = 20000;
    return (struct db){.conf = c, .role = "test", .hurry = -1};
}

static void fails(struct db *db, int64_t ms, const char *text)
{
    struct err e = ERR_INIT;
    assert_false(db_open(db, clock_after_ms(ms), &e));
    assert_int_equal(e.code, ERR_STORE);
    if (!strstr(e.text, text))
        fail_msg("%s", e.text);
}

static void t01_held_no_longer_than_the_deadline(void **state)
{
    struct store_bench *b = *state;
    struct conf c = b->conf;
    struct db db = db_of(&c, "host=mute.test dbname=lathe");
    fails(&db, 100,
          "PostgreSQL cannot be reached: see the log"); /* which has the name: strangers may read this */
    db_close(&db);
}

static void t02_one_thread_however_often_it_is_tried(void **state)
{
    struct store_bench *b = *state;
    struct conf c = b->conf;
    struct db db = db_of(&c, "host=mute.test dbname=lathe");
    fails(&db, 50, "see the log");
    dns_wait_asked(1);
    for (int i = 0; i < 3; i++)
        fails(&db, 50, "see the log");
    dns_wait_asked(1);
    dns_answers();
    db_close(&db);
}

/* It is over when nobody waits for it: whoever comes next may come an hour later. */
static void t07_what_is_past_is_asked_anew(void **state)
{
    struct lookup *l = NULL;
    struct lookup_found found;
    struct err e = ERR_INIT;
    (void)state;
    assert_true(lookup_begin(&l, "mute.test", &e));
    dns_wait_asked(1);
    dns_answers();
    struct pollfd p = {.fd = lookup_fd(l), .events = POLLIN};
    assert_int_equal(poll(&p, 1, 20000), 1);
    assert_true(lookup_begin(&l, "mute.test", &e));
    dns_wait_asked(2);
    p.fd = lookup_fd(l);
    assert_int_equal(poll(&p, 1, 20000), 1);
    assert_false(lookup_end(&l, &found, &e));
    assert_null(l);
    assert_int_equal(e.code, ERR_STORE);
    assert_non_null(strstr(e.text, "mute.test"));
    assert_non_null(strstr(e.text, gai_strerror(EAI_AGAIN)));
}

static void t03_it_leaves_time_for_the_others(void **state)
{
    struct store_bench *b = *state;
    struct conf c = b->conf;
    struct err e = ERR_INIT;
    char url[512];
    struct span rest = span_of(test_pg());
    assert_true(span_starts(rest, "host="));
    span_take(&rest, 5);
    struct span dir = span_cut(&rest, ' ');
    snprintf(url, sizeof url, "host=mute.test," SPAN_FMT " " SPAN_FMT, SPAN_ARG(dir), SPAN_ARG(rest));
    struct db db = db_of(&c, url);
    if (!db_open(&db, clock_after_ms(4000), &e))
        fail_msg("%s", e.text);
    db_close(&db);
}

static void t04_no_such_name(void **state)
{
    struct store_bench *b = *state;
    struct conf c = b->conf;
    struct db db = db_of(&c, "host=none.test dbname=lathe");
    fails(&db, 20000, "see the log");
    db_close(&db);
}

/* Of a server that takes connections and says nothing; that it was asked shows that the address was found. */
static void t05_its_address_is_tried(void **state)
{
    struct store_bench *b = *state;
    struct conf c = b->conf;
    char url[512], named[512];
    int fd CLEANUP(net_close_at) = bench_mute_host(url, sizeof url, false);
    struct span rest = span_of(url);
    assert_true(span_starts(rest, "host=127.0.0.1"));
    span_take(&rest, strlen("host=127.0.0.1"));
    snprintf(named, sizeof named, "host=here.test" SPAN_FMT, SPAN_ARG(rest));
    struct db db = db_of(&c, named);
    fails(&db, 300, "did not answer in time");
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    int client CLEANUP(net_close_at) = accept(fd, NULL, NULL);
    assert_true(client >= 0);
    db_close(&db);
}

static void t06_for_nobody(void **state)
{
    struct lookup *l = NULL;
    struct err e = ERR_INIT;
    (void)state;
    assert_true(lookup_begin(&l, "mute.test", &e));
    assert_true(lookup_begin(&l, "none.test", &e)); /* another name: the first is left to itself */
    lookup_leave(&l);
    assert_null(l);
    lookup_leave(&l);
    char name[300];
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_false(lookup_begin(&l, name, &e));
    assert_null(l);
    dns_wait_asked(1); /* or the end of the test would not wait for it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DNS_TEST(t01_held_no_longer_than_the_deadline),
        DNS_TEST(t02_one_thread_however_often_it_is_tried),
        DNS_TEST(t03_it_leaves_time_for_the_others),
        DNS_TEST(t04_no_such_name),
        DNS_TEST(t05_its_address_is_tried),
        DNS_TEST(t06_for_nobody),
        DNS_TEST(t07_what_is_past_is_asked_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
