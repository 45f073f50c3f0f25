/* core/mem.h */
#include "unit/unit.h"

#include <sys/resource.h>

#include "core/clock.h"
#include "core/mem.h"
#include "exec/rss.h"

static void t01_is_zeroed(void **state)
{
    (void)state;
    unsigned char *p = mem_array(100, 7);
    for (size_t i = 0; i < 700; i++)
        assert_int_equal(p[i], 0);
    mem_free(p);
    p = mem_alloc(64);
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(p[i], 0);
    mem_free(p);
}

static void t02_nothing_is_something(void **state)
{
    (void)state;
    void *p = mem_alloc(0), *q = mem_array(0, 8);
    assert_non_null(p);
    assert_non_null(q);
    p = mem_grow(p, 0, 4);
    assert_non_null(p);
    mem_free(p);
    mem_free(q);
    mem_free(NULL);
}

static void t03_grow_keeps(void **state)
{
    (void)state;
    char *p = mem_copy_text("abc");
    p = mem_grow(p, 1000, 10);
    assert_string_equal(p, "abc");
    mem_free(p);
}

static void t04_room_doubles(void **state)
{
    (void)state;
    int *list = NULL;
    size_t room = 0;
    list = mem_room(list, &room, 0, sizeof *list);
    assert_null(list); /* nobody needs it yet */
    list = mem_room(list, &room, 1, sizeof *list);
    size_t first = room;
    assert_in_range(first, 1, 64);
    for (size_t i = 0; i < first; i++) {
        int *before = list;
        list = mem_room(list, &room, i + 1, sizeof *list);
        assert_ptr_equal(list, before);
        list[i] = (int)i;
    }
    assert_int_equal(room, first);
    list = mem_room(list, &room, first + 1, sizeof *list);
    assert_int_equal(room, 2 * first);
    list = mem_room(list, &room, 9 * first, sizeof *list);
    assert_int_equal(room, 16 * first);
    for (size_t i = 0; i < first; i++)
        assert_int_equal(list[i], i);
    mem_free(list);
}

static void t05_cleanup(void **state)
{
    (void)state;
    char *p CLEANUP(mem_free_at) = mem_copy_text("freed at the end of the scope; the leak check looks");
    assert_non_null(p);
}

static void ask_too_much(void *arg)
{
    volatile size_t count = SIZE_MAX / 2;
    mem_free(*(bool *)arg ? mem_array(count, 8) : mem_grow(NULL, count, 8));
}

static void t06_overflow_ends_the_process(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        char said[4096];
        bool array = way == 0;
        int status = in_child(ask_too_much, &array, said, sizeof said);
        /* a sanitizer's own allocator may end it before we do */
        assert_true(WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) != 0));
        assert_true(said[0] != '\0');
    }
}

static void leave(void)
{
    _exit(42);
}

static void exhaust(void *arg)
{
    (void)arg;
    mem_on_exhausted(leave);
    mem_exhausted(123);
}

static void t07_the_hook(void **state)
{
    (void)state;
    char said[4096];
    int status = in_child(exhaust, NULL, said, sizeof said);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
    assert_string_equal(said, "lathe: out of memory: no room for 1 x 123 bytes\n");
}

/* A request's memory, in pieces as an arena takes them. Returns the pages that had to be brought for it. */
static long faults_of_a_request(void)
{
    enum { PIECES = 60, PIECE = 256 * 1024 };
    struct rusage before, after;
    char *pieces[PIECES];
    getrusage(RUSAGE_SELF, &before);
    for (int i = 0; i < PIECES; i++) {
        pieces[i] = mem_alloc(PIECE);
        memset(pieces[i], 1, PIECE);
    }
    for (int i = 0; i < PIECES; i++)
        mem_free(pieces[i]);
    getrusage(RUSAGE_SELF, &after);
    return after.ru_minflt - before.ru_minflt;
}

static int64_t rss_now_kib(void)
{
    int mark = rss_open();
    rss_mark(mark);
    close(mark);
    return rss_peak_kib();
}

static void keep_and_rest(void *arg)
{
    (void)arg;
    mem_keep();
    long first = faults_of_a_request(), second = faults_of_a_request();
    int64_t kept = rss_now_kib();
    for (int64_t until = clock_process_cpu() + 200 * NS_PER_MS; clock_process_cpu() < until;)
        continue;
    mem_rest(); /* it worked */
    int64_t busy = rss_now_kib();
    mem_rest(); /* it came to rest */
    fprintf(stderr, "%d %d %d", second<first / 10, busy> kept / 2, rss_now_kib() < kept / 2);
}

static void t08_kept_until_rest(void **state)
{
    (void)state;
    char said[4096];
    in_child(keep_and_rest, NULL, said, sizeof said);
    if (!SANITIZED) /* whose allocators have rules of their own */
        assert_string_equal(said, "1 1 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_is_zeroed),  cmocka_unit_test(t02_nothing_is_something),
        cmocka_unit_test(t03_grow_keeps), cmocka_unit_test(t04_room_doubles),
        cmocka_unit_test(t05_cleanup),    cmocka_unit_test(t06_overflow_ends_the_process),
        cmocka_unit_test(t07_the_hook),   cmocka_unit_test(t08_kept_until_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
