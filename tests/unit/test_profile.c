/* Predictions against an engine on paper over a grid of workloads, shapes and machines; and the ranking. */
#include "../lib/test.h"

#include "core/limits.h"
#include "../lib/engine_model.h"
#include "model/profile.h"

#define MS 1e6

static bool near(double a, double b)
{
    return a - b < 1e-6 * b && b - a < 1e-6 * b;
}

static struct prediction predicted(struct shape s, int64_t items, double wait, double cpu, int64_t cores)
{
    const struct profile p = {.runs = 1, .items = 1, .cpu = cpu, .wait = wait};
    const struct host h = {.cores = cores};

    return predict(&p, &h, &s, items);
}

static const struct shape shapes[] = {
    {0, 1, 1, 1},  {0, 4, 1, 1},   {0, 16, 1, 1},  {0, 50, 1, 1}, {4, 1, 1, 1},   {4, 1, 1, 62},
    {3, 1, 1, 7},  {16, 1, 1, 15}, {16, 1, 1, 46}, {0, 1, 10, 1}, {0, 1, 100, 1}, {0, 1, 1000, 1},
    {0, 2, 50, 1}, {0, 4, 25, 1},  {0, 8, 13, 1},  {2, 2, 8, 1},  {2, 2, 8, 10},  {5, 1, 3, 7},
};
static const double waits[] = {0, 0.1 * MS, 1 * MS, 10 * MS, 100 * MS, 1000 * MS};
static const double cpus[] = {0.01 * MS, 0.1 * MS, 1 * MS, 10 * MS};
static const int64_t counts[] = {1, 7, 33, 100, 1000, 3000}, cores[] = {1, 2, 4, 8};

struct tally {
    int all, exact;
    double worst;
};

static void compare_one(struct shape shape, int64_t n, double w, double c, int64_t k, struct tally *t)
{
    struct shape s = shape_fit(shape, n, LIMIT_WORKERS);
    double real = model_run(s, n, w, c, k), said = predicted(s, n, w, c, k).wall;
    double off = said > real ? said / real - 1 : 1 - said / real;

    if (off > 0.08)
        fail_msg("%d items, wait %g, cpu %g, %d cores, %dx%dx%d by %d: %g ms said, %g ms played", (int)n,
                 w / MS, c / MS, (int)k, (int)s.processes, (int)s.threads, (int)s.width, (int)s.grain,
                 said / MS, real / MS);
    t->all++;
    t->exact += off < 1e-6;
    t->worst = off > t->worst ? off : t->worst;
}

/* Nearly all are exact; none is off by more than 8 %. */
static void test_against_the_model(void **unused)
{
    struct tally t = {0};

    (void)unused;
    for (size_t s = 0; s < COUNT_OF(shapes); s++)
        for (size_t n = 0; n < COUNT_OF(counts); n++)
            for (size_t i = 0; i < COUNT_OF(waits) * COUNT_OF(cpus) * COUNT_OF(cores); i++)
                compare_one(shapes[s], counts[n], waits[i % COUNT_OF(waits)],
                            cpus[i / COUNT_OF(waits) % COUNT_OF(cpus)],
                            cores[i / COUNT_OF(waits) / COUNT_OF(cpus)], &t);
    print_message("# %d runs, %d predicted exactly, worst off by %.1f %%\n", t.all, t.exact, 100 * t.worst);
    assert_true(t.exact > t.all * 9 / 10);
}

/* No promise that the machine cannot keep. */
static void test_never_less_than_possible(void **unused)
{
    (void)unused;
    for (size_t s = 0; s < COUNT_OF(shapes); s++)
        for (size_t i = 0; i < COUNT_OF(counts) * COUNT_OF(waits) * COUNT_OF(cpus) * COUNT_OF(cores); i++) {
            int64_t n = counts[i % COUNT_OF(counts)], k = cores[i / COUNT_OF(counts) % COUNT_OF(cores)];
            double w = waits[i / 24 % COUNT_OF(waits)], c = cpus[i / 24 / COUNT_OF(waits)];
            struct shape f = shape_fit(shapes[s], n, LIMIT_WORKERS);
            double wall = predicted(f, n, w, c, k).wall * (1 + 1e-9);

            assert_true(wall >= w + c);
            assert_true(wall >= (double)n * c / (double)k);
            assert_true(wall >= (double)n * (w + c) / (double)shape_in_flight(&f));
        }
}

static void test_costs(void **unused)
{
    const struct profile p = {.runs = 1, .items = 10, .cpu = 1 * MS, .wait = 2 * MS, .result_bytes = 1024};
    const struct host free_host = {.cores = 4};
    const struct host h = {.cores = 4,
                           .thread_start = 0.1 * MS,
                           .process_start = 1 * MS,
                           .item_cost = 0.01 * MS,
                           .process_item = 0.02 * MS,
                           .timer_slack = 0.05 * MS};
    const struct shape one = {0, 1, 1, 1}, four = {0, 4, 1, 1}, children = {4, 1, 1, 1};

    (void)unused;
    assert_true(near(predict(&p, &free_host, &one, 100).wall / MS, 300));
    assert_true(near(predict(&p, &h, &one, 100).wall / MS, 100 * 3.06));
    assert_true(near(predict(&p, &h, &four, 100).wall / MS, 0.3 + 25 * 3.06));
    assert_true(near(predict(&p, &h, &children, 100).wall / MS, 4 + 25 * 3.07));
    assert_true(near(predict(&p, &h, &one, 100).items_per_s, 1000 / 3.06));
    assert_true(predict(&p, &h, &one, 100).cpu >= 101 * MS);
    assert_true(predict(&p, &h, &children, 100).memory_kib > predict(&p, &h, &four, 100).memory_kib);
    assert_true(predict(&p, &h, &four, 100).memory_kib > predict(&p, &h, &one, 100).memory_kib);
    assert_true(predict(&p, &h, &four, 100).memory_kib == predict(&p, &h, &four, 1000).memory_kib);
}

static void test_bound(void **unused)
{
    const struct shape one = {0, 1, 1, 1}, wide = {0, 1, 1000, 1}, children = {8, 1, 1, 1};
    const struct profile quick = {.runs = 1, .items = 1, .cpu = 1};
    const struct host slow_start = {.cores = 2, .process_start = 5 * MS};
    const struct profile nothing = {0};

    (void)unused;
    assert_string_equal(predicted(one, 100, 0, MS, 2).bound, "cpu");
    assert_string_equal(predicted(one, 100, 10 * MS, MS, 2).bound, "waits");
    assert_string_equal(predicted(wide, 100, 10 * MS, MS, 2).bound, "cpu");
    assert_string_equal(predicted(wide, 100, 1000 * MS, MS, 2).bound, "one item");
    assert_string_equal(predicted(wide, 5000, 1000 * MS, 0.01 * MS, 2).bound, "waits");
    assert_string_equal(predicted(one, 1, 0, MS, 2).bound, "one item");
    assert_string_equal(predict(&quick, &slow_start, &children, 100).bound, "start-up");
    assert_string_equal(predict(&nothing, &slow_start, &children, 100).bound, "unknown");
    assert_true(predict(&nothing, &slow_start, &children, 100).wall == 0);
}

static const struct host host = {.cores = 2,
                                 .thread_start = 0.03 * MS,
                                 .process_start = 0.5 * MS,
                                 .item_cost = 2000,
                                 .process_item = 6000,
                                 .timer_slack = 60000};
static struct candidate list[16];

static int ranked(double wait, double cpu, struct ask a, const struct correction *corrections)
{
    const struct profile p = {.runs = 3, .items = 300, .cpu = cpu, .wait = wait};

    memset(list, 0, sizeof list);
    return recommend(&p, &host, &a, corrections, list, COUNT_OF(list));
}

static int place_of(const char *name, int n)
{
    for (int i = 0; i < n; i++)
        if (list[i].strategy && strcmp(list[i].strategy->name, name) == 0)
            return i;
    fail_msg("%s is not in the list", name);
    return -1;
}

/* Each shaped strategy once, shapes that can run, no free shape twice, and nothing behind what is clearly slower. */
static void check_list(int n, struct ask a)
{
    int shaped = 0, named = 0;

    for (int i = 0; strategies[i]; i++)
        shaped += strategies[i]->kind == STRATEGY_SHAPED;
    for (int i = 0; i < n; i++) {
        struct shape fit = shape_fit(list[i].shape, a.items, LIMIT_WORKERS);

        named += list[i].strategy != NULL;
        assert_memory_equal(&fit, &list[i].shape, sizeof fit);
        for (int j = 0; j < i; j++) {
            assert_true(!list[i].strategy || list[i].strategy != list[j].strategy);
            assert_true(list[j].prediction.wall <= list[i].prediction.wall * 1.0201);
            if (!list[i].strategy || !list[j].strategy)
                assert_memory_not_equal(&list[i].shape, &list[j].shape, sizeof fit);
        }
    }
    assert_int_equal(named, shaped);
}

static void test_ranking(void **unused)
{
    const struct ask a = {.items = 1000, .batch_size = 1000, .workers = 4, .cores = 2};
    int n;

    (void)unused;
    n = ranked(100 * MS, 0.05 * MS, a, NULL); /* waits: loops first, crews far behind, one by one last */
    check_list(n, a);
    assert_in_range(place_of("async-batch", n), 0, 3);
    assert_in_range(place_of("hybrid", n), 0, 3);
    assert_int_equal(place_of("sequential", n), n - 1);

    n = ranked(0, 10 * MS, a, NULL); /* CPU: two cores are twice one */
    check_list(n, a);
    assert_true(place_of("threading", n) < place_of("sequential", n));
    assert_true(place_of("multiprocessing", n) < place_of("sequential", n));
    assert_true(place_of("sequential", n) < place_of("async-batch", n));
    assert_true(list[place_of("sequential", n)].prediction.wall > 1.9 * list[0].prediction.wall);

    n = ranked(0, 0.001 * MS, (struct ask){.items = 1, .batch_size = 100, .workers = 64, .cores = 2}, NULL);
    assert_string_equal(list[0].strategy->name, "sequential"); /* nothing to gain: the least memory */
}

/* A small batch_size or W holds a strategy back, but not the free shape beside it. */
static void test_free_shape(void **unused)
{
    const struct ask a = {.items = 1000, .batch_size = 10, .workers = 4, .cores = 2};
    int n = ranked(100 * MS, 0.05 * MS, a, NULL);

    (void)unused;
    check_list(n, a);
    assert_null(list[0].strategy);
    assert_true(list[0].shape.width > 100);
    assert_true(list[0].prediction.wall * 10 < list[place_of("async-batch", n)].prediction.wall);
}

static void test_corrections(void **unused)
{
    const struct ask a = {.items = 1000, .batch_size = 1000, .workers = 4, .cores = 2};
    struct correction corrections[16] = {{0}};
    double before;
    int n = ranked(0, 10 * MS, a, NULL);

    (void)unused;
    before = list[place_of("threading", n)].prediction.wall;
    for (int i = 0; strategies[i]; i++)
        if (strategies[i] == &strategy_threading)
            corrections[i] = (struct correction){.runs = 5, .factor = 3};
        else if (strategies[i] == &strategy_hybrid)
            corrections[i] = (struct correction){.runs = 0, .factor = 100}; /* no run: no evidence */
    n = ranked(0, 10 * MS, a, corrections);
    check_list(n, a);
    assert_true(near(list[place_of("threading", n)].prediction.wall / before, 3));
    assert_int_equal(list[place_of("threading", n)].correction.runs, 5);
    assert_true(place_of("threading", n) > place_of("sequential", n));
    assert_true(place_of("hybrid", n) < place_of("sequential", n));
    assert_true(list[place_of("hybrid", n)].correction.factor == 1);
}

/* Measured on a busy machine a child seems to cost nothing. However much slower it then is, a correction is ten at most. */
static void test_costs_that_came_to_nothing(void **unused)
{
    const struct profile p = {.runs = 100, .items = 100, .cpu = 2e3};
    const struct ask a = {.items = 1, .batch_size = 1, .workers = 4, .cores = 2};
    struct correction corrections[16];
    struct host h = {.cores = 2, .thread_start = 200e3, .item_cost = 100};

    (void)unused;
    for (size_t i = 0; i < COUNT_OF(corrections); i++)
        corrections[i] = (struct correction){.runs = 100, .factor = 2};
    host_bound(&h);
    assert_true(recommend(&p, &h, &a, corrections, list, COUNT_OF(list)) > 0);
    assert_int_equal(list[0].shape.processes, 0);
}

/* Nothing is known: an order there is, but no figures. */
static void test_without_evidence(void **unused)
{
    const struct ask a = {.items = 1000, .batch_size = 1000, .workers = 4, .cores = 2};
    const struct profile nothing = {0};
    int n = recommend(&nothing, &host, &a, NULL, list, COUNT_OF(list));

    (void)unused;
    assert_true(n >= 6);
    assert_in_range(place_of("hybrid", n), 0, 2);
    for (int i = 0; i < n; i++) {
        assert_string_equal(list[i].prediction.bound, "unknown");
        assert_true(list[i].prediction.wall == 0 && list[i].prediction.items_per_s == 0);
    }
}

static void test_room(void **unused)
{
    const struct ask a = {.items = 10, .batch_size = 1, .workers = 1, .cores = 1};
    const struct profile p = {.runs = 1, .items = 1, .cpu = MS};
    const struct candidate canary = {.prediction.wall = 42};

    (void)unused;
    list[3] = canary;
    assert_int_equal(recommend(&p, &host, &a, NULL, list, 3), 3);
    assert_memory_equal(&list[3], &canary, sizeof canary);
    assert_int_equal(recommend(&p, &host, &a, NULL, list, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_the_model),
        cmocka_unit_test(test_never_less_than_possible),
        cmocka_unit_test(test_costs),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_ranking),
        cmocka_unit_test(test_free_shape),
        cmocka_unit_test(test_corrections),
        cmocka_unit_test(test_costs_that_came_to_nothing),
        cmocka_unit_test(test_without_evidence),
        cmocka_unit_test(test_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
