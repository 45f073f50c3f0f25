/* core/uuid.h */
#include "unit/unit.h"

#include <pthread.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/uuid.h"

#define EACH 20000
#define THREADS 4

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct uuid));
}

static void t01_rises(void **state)
{
    (void)state;
    struct uuid last = uuid_v7();
    for (int i = 0; i < EACH; i++) { /* more than a millisecond has numbers for */
        struct uuid next = uuid_v7();
        assert_true(compare(&last, &next) < 0);
        last = next;
    }
}

static void *make_many(void *arg)
{
    struct uuid *ids = arg;
    for (int i = 0; i < EACH; i++)
        ids[i] = uuid_v7();
    return NULL;
}

static void t02_no_two_alike(void **state)
{
    (void)state;
    struct uuid *ids CLEANUP(mem_free_at) = mem_array(EACH * THREADS, sizeof *ids);
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_many, ids + i * EACH), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    qsort(ids, EACH * THREADS, sizeof *ids, compare);
    for (size_t i = 1; i < EACH * THREADS; i++)
        assert_false(uuid_eq(ids[i - 1], ids[i]));
}

static void t03_version_and_time(void **state)
{
    (void)state;
    int64_t before = clock_wall_us() / 1000;
    struct uuid id = uuid_v7();
    assert_int_equal(id.b[6] >> 4, 7);
    assert_int_equal(id.b[8] >> 6, 2);
    /* ids of the tests above may have borrowed from the near future */
    assert_true(uuid_wall_ms(id) >= before && uuid_wall_ms(id) <= before + 3600000);
    struct uuid floor = uuid_floor(uuid_wall_ms(id) * 1000), next = uuid_floor((uuid_wall_ms(id) + 1) * 1000);
    assert_true(compare(&floor, &id) <= 0);
    assert_true(compare(&id, &next) < 0);
    assert_int_equal(uuid_wall_ms(uuid_floor(-5)), 0);
    assert_false(uuid_is_nil(id));
    assert_true(uuid_is_nil((struct uuid){{0}}));
}

static void t04_text(void **state)
{
    (void)state;
    char text[UUID_TEXT];
    struct uuid id, back;
    assert_true(uuid_parse(SPAN("0199AbCd-ef01-7234-89ab-cdef01234567"), &id));
    uuid_format(id, text);
    assert_string_equal(text, "0199abcd-ef01-7234-89ab-cdef01234567");
    for (int i = 0; i < 1000; i++) {
        id = uuid_v7();
        uuid_format(id, text);
        assert_true(uuid_parse(span_of(text), &back));
        assert_true(uuid_eq(id, back));
        assert_true(uuid_hash(id) == uuid_hash(back));
    }
    static const char *const bad[] = {"",
                                      "0199abcd-ef01-7234-89ab-cdef0123456",
                                      "0199abcd-ef01-7234-89ab-cdef012345678",
                                      "0199abcdef01723489abcdef01234567",
                                      "0199abcd-ef01-7234-89ab_cdef01234567",
                                      "0199abcd-ef01-7234-89ab-cdef0123456g",
                                      "0199abc--ef01-7234-89ab-cdef01234567",
                                      "{199abcd-ef01-7234-89ab-cdef0123456}"};
    struct uuid kept = id;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(uuid_parse(span_of(bad[i]), &id));
    assert_true(uuid_eq(id, kept));
}

static void t05_a_child_has_other_ids(void **state)
{
    (void)state;
    struct uuid *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        shared[0] = uuid_v7();
        _exit(0);
    }
    shared[1] = uuid_v7();
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_not_equal(memcmp(shared[0].b + 8, shared[1].b + 8, 8), 0);
    munmap(shared, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_rises),
        cmocka_unit_test(t02_no_two_alike),
        cmocka_unit_test(t03_version_and_time),
        cmocka_unit_test(t04_text),
        cmocka_unit_test(t05_a_child_has_other_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
