/* core/metrics.h. Every case that opens a file is a child, because a process opens once. */
#include "unit/unit.h"

#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

#include "core/mem.h"
#include "core/metrics.h"
#include "core/metrics_table.h"

static char dir[64], path[100];

static int set_up(void **state)
{
    (void)state;
    make_dir(dir);
    snprintf(path, sizeof path, "%s/metrics", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

static void open_or_die(const char *where)
{
    struct err e = ERR_INIT;
    if (!metrics_open(where, &e)) {
        dprintf(STDERR_FILENO, "open: %s\n", e.text);
        _exit(9);
    }
}

static void write_all(void)
{
    struct buf b CLEANUP(buf_release) = BUF_INIT(1u << 20);
    metrics_write(&b);
    (void)!write(STDERR_FILENO, b.ptr, b.len);
}

static char said[200000];

static void count_alone(void *arg)
{
    metric_add(M_commits, NULL, 5); /* before it is open: counted nowhere that is shown */
    open_or_die(arg);
    metric_add(M_commits, NULL, 2);
    metric_add(M_commits, "", 1);
    metric_add(M_items, "ok", 3.5);
    metric_add(M_items, "something new", 1);
    metric_add(M_items, NULL, 1);
    metric_set(M_slots_busy, NULL, 7);
    metric_add(M_slots_busy, NULL, -2);
    metric_observe(M_http_seconds, "/metrics", 0.0005); /* on the edge: in the bucket */
    metric_observe(M_http_seconds, "/metrics", 0.03);
    metric_observe(M_http_seconds, "/metrics", 1000);
    metric_observe(M_commit_seconds, NULL, 0);
    write_all();
}

static void assert_counted_alone(void)
{
    assert_holds(
        said,
        "# HELP lathe_commits_total Group commits\n# TYPE lathe_commits_total counter\nlathe_commits_total 3\n");
    assert_holds(said, "lathe_items_total{outcome=\"ok\"} 3.5\n");
    assert_holds(said,
                 "lathe_items_total{outcome=\"failed\"} 0\n"); /* there from the beginning, for rate() */
    assert_holds(said, "lathe_items_total{outcome=\"other\"} 2\n");
    assert_holds(said, "# TYPE lathe_slots_busy gauge\nlathe_slots_busy 5\n");
    assert_holds(said, "# TYPE lathe_http_seconds histogram\n");
    assert_holds(said, "lathe_http_seconds_bucket{route=\"/metrics\",le=\"0.0005\"} 1\n");
    assert_holds(said, "lathe_http_seconds_bucket{route=\"/metrics\",le=\"0.025\"} 1\n");
    assert_holds(said, "lathe_http_seconds_bucket{route=\"/metrics\",le=\"0.05\"} 2\n");
    assert_holds(said, "lathe_http_seconds_bucket{route=\"/metrics\",le=\"60\"} 2\n");
    assert_holds(said, "lathe_http_seconds_bucket{route=\"/metrics\",le=\"+Inf\"} 3\n");
    assert_holds(said, "lathe_http_seconds_sum{route=\"/metrics\"} 1000.0305\n");
    assert_holds(said, "lathe_http_seconds_count{route=\"/metrics\"} 3\n");
    assert_holds(said, "lathe_commit_seconds_bucket{le=\"0.0005\"} 1\n");
    assert_null(strstr(said, "route=\"/healthz\""));
    assert_null(strstr(said, "something new"));
}

static void t01_in_memory(void **state)
{
    (void)state;
    assert_int_equal(in_child(count_alone, NULL, said, sizeof said), 0);
    assert_counted_alone();
}

static void t02_in_a_file(void **state)
{
    (void)state;
    assert_int_equal(in_child(count_alone, path, said, sizeof said), 0);
    assert_counted_alone();
    unlink(path);
}

static void only_read(void *arg)
{
    open_or_die(arg);
    write_all();
}

static void t03_the_dead_keep_their_counters(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        assert_int_equal(in_child(count_alone, path, said, sizeof said), 0);
    assert_int_equal(in_child(only_read, path, said, sizeof said), 0);
    assert_holds(said, "lathe_commits_total 15\n");
    assert_holds(said, "lathe_items_total{outcome=\"ok\"} 17.5\n");
    assert_holds(said, "lathe_http_seconds_count{route=\"/metrics\"} 15\n");
    assert_holds(said, "lathe_slots_busy 0\n"); /* gauges die with their process */
    unlink(path);
}

static void read_beside_a_living_one(void *arg)
{
    int ready[2];
    open_or_die(arg);
    metric_set(M_slots_busy, NULL, 1);
    if (pipe2(ready, O_CLOEXEC) != 0)
        _exit(8);
    pid_t other = fork();
    if (other == 0) {
        open_or_die(arg); /* a row of its own, although the parent's was open */
        metric_set(M_slots_busy, NULL, 10);
        metric_add(M_commits, NULL, 1);
        (void)!write(ready[1], "x", 1);
        pause();
    }
    char c;
    (void)!read(ready[0], &c, 1);
    write_all();
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    (void)!write(STDERR_FILENO, "----", 4);
    write_all();
}

static void t04_the_living_add_up(void **state)
{
    (void)state;
    assert_int_equal(in_child(read_beside_a_living_one, path, said, sizeof said), 0);
    char *after = strstr(said, "----");
    assert_non_null(after);
    assert_holds(after, "lathe_slots_busy 1\n");
    assert_holds(after, "lathe_commits_total 1\n");
    *after = '\0';
    assert_holds(said, "lathe_slots_busy 11\n");
    assert_holds(said, "lathe_commits_total 1\n");
    unlink(path);
}

static void t05_another_file_is_replaced(void **state)
{
    (void)state;
    struct stat st;
    write_file(path, "this is something else");
    assert_int_equal(in_child(count_alone, path, said, sizeof said), 0);
    assert_counted_alone();
    assert_int_equal(stat(path, &st), 0);
    off_t size = st.st_size;
    assert_int_equal(truncate(path, 0), 0); /* of the right size, but empty of a header */
    assert_int_equal(truncate(path, size), 0);
    assert_int_equal(in_child(count_alone, path, said, sizeof said), 0);
    assert_counted_alone();
    int fd = open(path, O_WRONLY | O_CLOEXEC); /* another version's signature */
    assert_int_equal(pwrite(fd, "xxxxxxxx", 8, 8), 8);
    close(fd);
    assert_int_equal(in_child(count_alone, path, said, sizeof said), 0);
    assert_counted_alone();
    unlink(path);
}

static void *count_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20000; i++) {
        metric_add(M_claims, NULL, 1);
        metric_observe(M_task_seconds, "hybrid", 0.25);
    }
    return NULL;
}

static void count_in_threads_and_children(void *arg)
{
    open_or_die(arg);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, count_often, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    pid_t child = fork(); /* one that does not open counts for its parent */
    if (child == 0) {
        count_often(NULL);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    write_all();
}

static void t06_nothing_is_lost(void **state)
{
    (void)state;
    for (int file = 0; file < 2; file++) {
        assert_int_equal(in_child(count_in_threads_and_children, file ? path : NULL, said, sizeof said), 0);
        assert_holds(said, "lathe_claims_total 100000\n");
        assert_holds(said, "lathe_task_seconds_count{strategy=\"hybrid\"} 100000\n");
        assert_holds(said, "lathe_task_seconds_sum{strategy=\"hybrid\"} 25000\n");
    }
    unlink(path);
}

static bool given(uint64_t cell, int64_t value, size_t less)
{
    struct {
        uint64_t cell;
        int64_t value;
    } one[2] = {{1, 1}, {cell, value}};
    return metrics_give((struct span){(const char *)one, sizeof one - less});
}

static void hand_over(void *arg)
{
    struct buf b CLEANUP(buf_release) = BUF_INIT(1u << 20);
    metrics_take(&b); /* nothing was counted yet */
    bool ok = b.len == 0;
    metric_add(M_commits, NULL, 2);
    metric_add(M_items, "ok", 3.5);
    metric_set(M_slots_busy, NULL, 7);
    metric_observe(M_http_seconds, "/metrics", 0.03);
    metrics_take(&b);
    open_or_die(arg);
    ok = ok && b.len > 0 && metrics_give(buf_view(&b)) && metrics_give(buf_view(&b));
    ok = ok && !given(metric_cells(), 1, 0) && !given(metric_table()[M_slots_busy].first, 1, 0);
    size_t commits = metric_table()[M_commits].first;
    ok = ok && !given(commits, 0, 0) && !given(commits, -1, 0) && !given(commits, INT64_MAX, 0);
    ok = ok && !given(commits, 1, 1) && !given(1, 1, 0) && !given(0, 1, 0);
    if (!ok)
        _exit(8);
    write_all();
}

/* Twice; what makes no sense leaves nothing behind, gauges stay where they are. */
static void t08_counted_elsewhere(void **state)
{
    (void)state;
    assert_int_equal(in_child(hand_over, NULL, said, sizeof said), 0);
    assert_holds(said, "lathe_commits_total 4\n");
    assert_holds(said, "lathe_items_total{outcome=\"ok\"} 7\n");
    assert_holds(said, "lathe_slots_busy 0\n");
    assert_holds(said, "lathe_http_requests_total{status=\"2xx\"} 0\n");
    assert_holds(said, "lathe_http_seconds_count{route=\"/metrics\"} 2\n");
}

static void t07_the_table(void **state)
{
    (void)state;
    const struct metric_row *m = metric_table();
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        assert_true(m[i].help[0] != '\0' && !strpbrk(m[i].help, "\\\n"));
        assert_int_equal(m[i].label[0] != '\0', m[i].word_count > 1); /* every label has words */
        if (m[i].label[0])
            assert_string_equal(m[i].words[m[i].word_count - 1], "other");
        assert_int_equal(m[i].first, i ? m[i - 1].first + m[i - 1].width * m[i - 1].word_count : 0);
    }
    for (size_t i = 1; i < metric_bucket_count; i++)
        assert_true(metric_buckets[i - 1] < metric_buckets[i]);
    struct err e = ERR_INIT;
    assert_false(metrics_open("/no/such/directory/metrics", &e));
    assert_int_equal(e.code, ERR_SYSTEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_in_memory),
        cmocka_unit_test(t02_in_a_file),
        cmocka_unit_test(t03_the_dead_keep_their_counters),
        cmocka_unit_test(t04_the_living_add_up),
        cmocka_unit_test(t05_another_file_is_replaced),
        cmocka_unit_test(t06_nothing_is_lost),
        cmocka_unit_test(t07_the_table),
        cmocka_unit_test(t08_counted_elsewhere),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
