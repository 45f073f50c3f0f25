/* How often the program of a command is started, and when it is ended: pauses that grow, and a cancel beside others. */
#include "programs.h"

#include <fcntl.h>

/* ---- how often it is started */

#define STARTS_MOST 32
#define AHEAD 5 /* items of the neighbour that are done before the cancel */

/* When it was started, each time, in ns. */
static int starts(const char *path, int64_t *ret)
{
    FILE *f = fopen(path, "re");
    char line[40];
    int n = 0;
    assert_non_null(f);
    while (n < STARTS_MOST && fgets(line, sizeof line, f))
        ret[n++] = strtoll(line, NULL, 10);
    fclose(f);
    return n;
}

static void make(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    close(fd);
}

/* An item that is not answered is tried twice. */
static void start_doomed(int64_t items, bool good)
{
    static struct seen s;
    struct span inputs[8];
    for (int64_t i = 0; i < items; i++)
        inputs[i] = SPAN("{\"show\":\"pid\"}");
    run_some(&s, "doomed", "{}", inputs, items, "sequential");
    assert_int_equal(good ? s.report.ok : s.report.failed, items);
    for (int64_t i = 0; i < items && !good; i++)
        assert_non_null(strstr(s.what[i], "exit code 1"));
    arena_release(&s.arena);
}

static void test_pauses_grow(void **unused)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    const char *log = arena_printf(&a, "%s/starts", folder), *good = arena_printf(&a, "%s/good", folder);
    int64_t at[STARTS_MOST];
    (void)unused;
    start_doomed(3, false);
    assert_int_equal(starts(log, at), 6);
    for (int i = 1; i < 6; i++)
        if (at[i] - at[i - 1] < (RESTART_MS << (i - 1)) * NS_PER_MS)
            fail_msg("pause %d was %d ms", i, (int)((at[i] - at[i - 1]) / NS_PER_MS));
    make(good);
    start_doomed(1, true); /* now all is well again */
    assert_int_equal(unlink(good), 0);
    start_doomed(1, false);
    assert_int_equal(starts(log, at), 9);
    assert_true(at[6] - at[5] >= (RESTART_MS << 5) * NS_PER_MS);
    assert_true(at[8] - at[7] >= RESTART_MS * NS_PER_MS);
    assert_true(at[8] - at[7] <
                (RESTART_MS << 6) * NS_PER_MS); /* what it would be if nothing had been well */
    assert_int_equal(unlink(log), 0);
}

/* Who needs a program that cannot be started is failed at once, and it is not tried before its pause is over. */
static void test_not_started(void **unused)
{
    static const char *const names[] = {"patient", "late"};
    static struct seen s;
    (void)unused;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        const char *path = arena_printf(&a, "%s/%s", folder, names[i]);
        run_one(&s, names[i], "{}", "1", "sequential");
        assert_int_equal(s.code[0], ERR_COMMAND);
        arena_release(&s.arena);
        assert_int_equal(symlink("/bin/cat", path), 0);
        bool ok = false; /* the line itself is a good answer: null */
        for (int64_t until = clock_after_ms(i == 0 ? 0 : 60000); !ok; poll(NULL, 0, 2)) {
            run_one(&s, names[i], "{}", "1", "sequential");
            ok = s.report.ok == 1;
            assert_true(ok || strstr(s.what[0], "could not be started"));
            arena_release(&s.arena);
            if (clock_now() >= until)
                break;
        }
        assert_int_equal(ok, i == 1);
        assert_int_equal(unlink(path), 0);
    }
}

/* ---- a cancel */

/* A run on a thread of its own, that is cancelled by somebody else. */
struct side {
    struct plan plan;
    struct cancel cancel;
    struct exec_report report;
    atomic_bool waits, fine;
};

/* A run that cancels it, and goes on. */
struct neighbour {
    struct seen seen; /* first: what it is told is told to this */
    struct side *side;
};

static void count_nothing(void *arg, const struct outcome *o)
{
    (void)arg, (void)o;
}

static void on_waiting(void *arg, int64_t index, struct span text)
{
    struct side *side = arg;
    (void)index;
    if (span_is(text, "waits"))
        atomic_store(&side->waits, true);
}

static void *run_side(void *arg)
{
    struct side *side = arg;
    struct err e = ERR_INIT;
    atomic_store(&side->fine, exec_run(&side->plan, &side->report, &e));
    return NULL;
}

static void on_neighbour(void *arg, const struct outcome *o)
{
    struct neighbour *n = arg;
    on_item(&n->seen, o);
    if (n->seen.total == AHEAD)
        cancel_raise(&n->side->cancel);
}

/* Ten items; five are answered, and the sixth waits for ever in the hand of the program, with those behind it where it has them. */
static struct side *begin_side(struct arena *a, const char *path, const char *shape)
{
    struct side *side = arena_alloc(a, sizeof *side);
    struct span *inputs = arena_array(a, 10, sizeof *inputs);
    for (int i = 0; i < 10; i++)
        inputs[i] = i == 5 ? span_of(arena_printf(a, "{\"wait\":\"%s\"}", path)) : SPAN("{\"show\":\"pid\"}");
    *side = (struct side){.plan = {.handler = find("plain"),
                                   .args = args_of(a, "plain", "{}"),
                                   .inputs = inputs,
                                   .count = 10,
                                   .shape = shape_fit(shapes[shape_named(shape)], 10, LIMIT_WORKERS),
                                   .deadline = CLOCK_NEVER,
                                   .done = count_nothing,
                                   .log = on_waiting,
                                   .arg = side,
                                   .cancel = &side->cancel}};
    return side;
}

static void cancel_beside(const char *shape)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    static struct neighbour n;
    const char *path = arena_printf(&a, "%s/told", folder);
    struct side *side = begin_side(&a, path, shape);
    struct span inputs[4 * AHEAD];
    struct err e = ERR_INIT;
    pthread_t thread;
    for (size_t i = 0; i < COUNT_OF(inputs); i++)
        inputs[i] = SPAN("{\"nap\":0.02}");
    assert_int_equal(pthread_create(&thread, NULL, run_side, side), 0);
    for (int64_t until = clock_after_ms(60000); !atomic_load(&side->waits); poll(NULL, 0, 1))
        assert_true(clock_now() < until);
    struct plan p =
        plan_of(&n.seen, find("plain"), side->plan.args, COUNT_OF(inputs), shapes[shape_named(shape)]);
    n.side = side;
    p.inputs = inputs;
    p.done = on_neighbour;
    bool ok = exec_run(&p, &n.seen.report, &e);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(ok && atomic_load(&side->fine));
    check_run(&p, &n.seen, shape);
    await_file(path); /* it was told, and had the time to hear it */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(side->report.ok, 5);
    assert_int_equal(side->report.cancelled, 5);
    for (size_t i = 0; i < COUNT_OF(inputs); i++) {
        assert_string_equal(n.seen.what[i], n.seen.what[0]); /* one program from the first to the last */
        assert_int_equal(n.seen.tries[i], 0);
    }
    assert_int_equal(strncmp(n.seen.what[0], "ok ", 3), 0);
    arena_release(&n.seen.arena);
}

/* Two tasks of one command at the same time: a cancel of one ends its program, and the other's hears nothing of it. */
static void test_cancel_of_a_neighbour(void **unused)
{
    (void)unused;
    cancel_beside("sequential");
    cancel_beside("async-batch");
}

static int tests(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test(test_pauses_grow),
        cmocka_unit_test(test_not_started),
        cmocka_unit_test(test_cancel_of_a_neighbour),
    };
    return cmocka_run_group_tests(list, NULL, NULL);
}

int main(void)
{
    return run_programs(tests);
}
