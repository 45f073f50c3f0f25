/*
 * A worker's session that was begun before anybody needs it: it is the one that is used, and whatever becomes of it meanwhile, the
 * worker's first call is as it would be without.
 *
 * log may say: terminating connection|connection to client lost|database "nosuch" does not exist
 */
#include "../lib/test.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "store/hosts.h"
#include "store_bench.h"

#define BEGUN "FROM pg_stat_activity WHERE application_name = 'lathe-begun'"

/* A store of its own, whose sessions are told from those of the bench. */
struct begun {
    struct store_bench *bench;
    struct conf conf;
    struct store *store;
    struct store_worker *worker; /* NULL until `join` */
};

static void begin(struct begun *s, struct store_bench *b, const char *url)
{
    struct err e = ERR_INIT;
    *s = (struct begun){.bench = b, .conf = b->conf};
    s->conf.store_url = url;
    s->conf.store_timeout = 2000;
    assert_true(store_open(&s->conf, "begun", &s->store, &e));
    store_begin(s->store);
}

static void join(struct begun *s)
{
    struct worker_info info = s->bench->info;
    struct err e = ERR_INIT;
    info.id = (struct uuid){{0}};
    assert_true(store_worker_new(s->store, &info, &s->worker, &e));
}

static bool turn(struct begun *s, struct err *e)
{
    struct claim none = {.count = 0};
    bool ok = store_turn(s->worker, NULL, 0, 1, &none, e);
    assert_int_equal(none.count, 0);
    return ok;
}

static void end(struct begun *s)
{
    store_worker_free(s->worker);
    store_close(s->store);
}

static void wait_sessions(struct store_bench *b, int64_t n)
{
    int64_t deadline = clock_after_ms(60000);
    while (bench_number(b, "SELECT count(*) " BEGUN) != n)
        if (clock_now() > deadline)
            fail_msg("there are not %lld sessions", (long long)n);
}

static void t01_it_is_the_one_that_is_used(void **state)
{
    struct store_bench *b = *state;
    struct begun s;
    begin(&s, b, test_pg());
    struct err e = ERR_INIT;
    wait_sessions(b, 1);
    int64_t pid = bench_number(b, "SELECT pid " BEGUN);
    join(&s);
    if (!turn(&s, &e))
        fail_msg("%s", e.text);
    assert_int_equal(bench_number(b, "SELECT count(*) " BEGUN), 1);
    assert_int_equal(bench_number(b, "SELECT pid " BEGUN), pid);
    end(&s);
    wait_sessions(b, 0);
}

static void t02_lost_meanwhile(void **state)
{
    struct store_bench *b = *state;
    struct begun s;
    begin(&s, b, test_pg());
    struct err e = ERR_INIT;
    wait_sessions(b, 1);
    pid_t pid = (pid_t)bench_number(b, "SELECT pid " BEGUN);
    int64_t deadline = clock_after_ms(60000);
    bench_sql(b, "SELECT pg_terminate_backend(pid) " BEGUN);
    while (kill(pid, 0) == 0 && clock_now() < deadline)
        poll(NULL, 0, 1); /* it is not listed any more before it closes */
    join(&s);
    if (!turn(&s, &e))
        fail_msg("%s", e.text);
    assert_int_equal(bench_number(b, "SELECT count(*) " BEGUN), 1);
    end(&s);
}

static void t03_for_nobody(void **state)
{
    struct store_bench *b = *state;
    struct begun s;
    begin(&s, b, test_pg());
    wait_sessions(b, 1);
    end(&s);
    wait_sessions(b, 0);
    begin(&s, b, test_pg());
    join(&s);
    end(&s);
    wait_sessions(b, 0);
    bench_count(b, "workers", 0);
}

static void t04_nobody_there(void **state)
{
    struct store_bench *b = *state;
    struct begun s;
    begin(&s, b, "host=/nonexistent user=lathe dbname=lathe");
    struct err e = ERR_INIT;
    join(&s);
    assert_false(turn(&s, &e));
    assert_int_equal(e.code, ERR_STORE);
    end(&s);
}

static int callers(int listener)
{
    struct pollfd p = {.fd = listener, .events = POLLIN};
    int n = 0;
    for (int fd; poll(&p, 1, 0) == 1 && (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0; n++)
        close(fd);
    return n;
}

/* To begin waits for nothing. The call waits as long as it may, and does not try once more who did not answer. */
static void t05_mute(void **state)
{
    struct store_bench *b = *state;
    char url[512];
    int fd = bench_mute_host(url, sizeof url, false);
    struct begun s;
    begin(&s, b, url);
    struct err e = ERR_INIT;
    join(&s);
    int64_t at = clock_now();
    assert_false(turn(&s, &e));
    assert_int_equal(e.code, ERR_STORE);
    assert_true(clock_now() - at >= NS_PER_S);
    assert_int_equal(callers(fd), 1);
    end(&s);
    close(fd);
}

static void t06_mute_before_one_that_answers(void **state)
{
    struct store_bench *b = *state;
    char url[512];
    int fd = bench_mute_host(url, sizeof url, true);
    struct begun s;
    begin(&s, b, url);
    struct err e = ERR_INIT;
    join(&s);
    if (!turn(&s, &e))
        fail_msg("%s", e.text);
    end(&s);
    close(fd);
}

static void t07_refused(void **state)
{
    struct store_bench *b = *state;
    struct err e = ERR_INIT;
    char url[512];
    snprintf(url, sizeof url, "%s dbname=nosuch", test_pg());
    struct begun s;
    begin(&s, b, url);
    join(&s);
    assert_false(turn(&s, &e));
    assert_int_equal(e.code, ERR_STORE);
    end(&s);
}

/* To begin must not wait for somebody who knows a name. */
static void t08_names_are_not_looked_up(void **state)
{
    static const struct {
        const char *url;
        bool at_hand;
    } cases[] = {
        {"host=/run/postgresql", true},
        {"host=127.0.0.1 port=5433", true},
        {"postgresql://[::1]/lathe", true},
        {"host=db.example hostaddr=10.0.0.1", true},
        {"host=db.example", false},
        {"postgresql://db.example/lathe", false},
        {"host=127.0.0.1,db.example", true},
        {"host=db.example,127.0.0.1", false},
        {"host=db.example,other hostaddr=10.0.0.1,10.0.0.2", true},
        {"service=lathe", false},
        {"host=db.example,other hostaddr=,10.0.0.2", false},
        {"host=/a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", false}, /* more than are told apart */
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct hosts h CLEANUP(hosts_release);
        hosts_read(&h, cases[i].url);
        if (h.at_hand != cases[i].at_hand)
            fail_msg("%s", cases[i].url);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(t01_it_is_the_one_that_is_used),
        STORE_TEST(t02_lost_meanwhile),
        STORE_TEST(t03_for_nobody),
        STORE_TEST(t04_nobody_there),
        STORE_TEST(t05_mute),
        STORE_TEST(t06_mute_before_one_that_answers),
        STORE_TEST(t07_refused),
        STORE_TEST(t08_names_are_not_looked_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
