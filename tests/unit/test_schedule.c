/* When a schedule fires, what becomes of missed times, and that a time has one id. */
#include <string.h>

#include "core/attr.h"
#include "core/when.h"
#include "model/schedule.h"
#include "../lib/test.h"

static int64_t at(const char *text)
{
    int64_t us;
    if (!when_read(span_of(text), &us))
        fail_msg("bad time in the test: %s", text);
    return us;
}

static struct schedule by_cron(const char *cron, enum missed missed, const char *next)
{
    return (struct schedule){.name = SPAN("s"),
                             .cron = span_of(cron),
                             .timezone = SPAN("UTC"),
                             .missed = (int)missed,
                             .next_us = at(next)};
}

static struct schedule_fires due(const struct schedule *s, const char *now)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct schedule_clock clock;
    struct schedule_fires f;
    struct err e = ERR_INIT;
    if (!schedule_clock(&a, s, &clock, &e))
        fail_msg("%s", e.text);
    schedule_fires(s, &clock, at(now), &f);
    return f;
}

static void t01_in_time(void **state)
{
    (void)state;
    for (enum missed m = MISSED_SKIP; m <= MISSED_ALL; m++) {
        struct schedule s = by_cron("0 * * * *", m, "2026-11-21T03:00:00Z");
        struct schedule_fires f = due(&s, "2026-11-21T03:00:00.25Z");
        assert_int_equal(f.count, 1);
        assert_int_equal(f.at_us[0], s.next_us);
        assert_int_equal(f.next_us, at("2026-11-21T04:00:00Z"));
    }
}

static void t02_missed(void **state)
{
    (void)state;
    struct schedule s = by_cron("0 * * * *", MISSED_SKIP, "2026-11-21T03:00:00Z");
    struct schedule_fires f = due(&s, "2026-11-21T06:30:00Z");
    assert_int_equal(f.count, 0);
    assert_int_equal(f.next_us, at("2026-11-21T07:00:00Z"));
    f = due(&s, "2026-11-21T06:00:59Z"); /* what is a minute late is not missed */
    assert_int_equal(f.count, 1);
    assert_int_equal(f.at_us[0], at("2026-11-21T06:00:00Z"));

    s.missed = MISSED_ONCE;
    f = due(&s, "2026-11-21T06:30:00Z");
    assert_int_equal(f.count, 1);
    assert_int_equal(f.at_us[0], at("2026-11-21T06:00:00Z"));
    assert_int_equal(f.next_us, at("2026-11-21T07:00:00Z"));

    s.missed = MISSED_ALL;
    f = due(&s, "2026-11-21T06:30:00Z");
    assert_int_equal(f.count, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(f.at_us[i], s.next_us + i * INT64_C(3600000000));
    assert_int_equal(f.next_us, at("2026-11-21T07:00:00Z"));
}

static void t03_all_is_bounded(void **state)
{
    (void)state;
    struct schedule s = by_cron("* * * * *", MISSED_ALL, "2020-01-01T00:00:00Z");
    size_t fired = 0;
    for (int rounds = 0; s.next_us <= at("2026-11-21T03:14:05Z"); rounds++) {
        struct schedule_fires f = due(&s, "2026-11-21T03:14:05Z");
        assert_true(f.count <= SCHEDULE_FIRES && rounds < 100);
        assert_true(f.count > 0 && f.at_us[0] >= at("2026-11-20T03:14:05Z"));
        fired += f.count;
        s.next_us = f.next_us;
    }
    assert_int_equal(fired, 1440);
    assert_int_equal(s.next_us, at("2026-11-21T03:15:00Z"));
}

static void t04_every(void **state)
{
    (void)state;
    struct schedule s = {
        .name = SPAN("s"), .every_s = 7, .timezone = SPAN("UTC"), .missed = MISSED_ONCE, .next_us = 70000000};
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct schedule_clock clock;
    struct schedule_fires f;
    assert_true(schedule_clock(&a, &s, &clock, NULL));
    assert_int_equal(schedule_next(&clock, 69999999), 70000000);
    assert_int_equal(schedule_next(&clock, 70000000), 77000000);
    schedule_fires(&s, &clock, 90500000, &f);
    assert_int_equal(f.count, 1);
    assert_int_equal(f.at_us[0], 84000000);
    assert_int_equal(f.next_us, 91000000);
}

static void t05_once_alone(void **state)
{
    (void)state;
    for (enum missed m = MISSED_SKIP; m <= MISSED_ALL; m++) {
        struct schedule s = {.name = SPAN("s"),
                             .run_at_us = at("2026-01-01"),
                             .timezone = SPAN("UTC"),
                             .missed = (int)m,
                             .next_us = at("2026-01-01")};
        struct schedule_fires f = due(&s, "2026-03-01T00:00:00Z");
        assert_int_equal(f.count, m == MISSED_SKIP ? 0 : 1);
        assert_int_equal(f.next_us, 0);
    }
}

static void t06_clock(void **state)
{
    (void)state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    static const struct {
        struct schedule s;
        const char *pointer;
    } bad[] = {
        {{.timezone = {"UTC", 3}}, "/cron"},
        {{.timezone = {"UTC", 3}, .every_s = 1, .run_at_us = 1}, "/cron"},
        {{.timezone = {"UTC", 3}, .cron = {"0 0 31 6 *", 10}}, "/cron"},
        {{.timezone = {"Nowhere", 7}, .cron = {"@daily", 6}}, "/timezone"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct schedule_clock clock;
        struct err e = ERR_INIT;
        assert_false(schedule_clock(&a, &bad[i].s, &clock, &e));
        assert_int_equal(e.code, ERR_BAD_FIELD);
        assert_string_equal(e.pointer, bad[i].pointer);
    }
}

static void t07_one_id_a_time(void **state)
{
    (void)state;
    int64_t us = at("2026-11-21T03:14:00Z");
    struct uuid id = schedule_task(SPAN("night"), us);
    char text[UUID_TEXT];
    assert_true(uuid_eq(id, schedule_task(SPAN("night"), us)));
    assert_false(uuid_eq(id, schedule_task(SPAN("nighu"), us)));
    assert_false(uuid_eq(id, schedule_task(SPAN("night"), us + 1)));
    assert_int_equal(uuid_wall_ms(id), us / 1000);
    uuid_format(id, text);
    assert_int_equal(text[14], '7');
    assert_non_null(strchr("89ab", text[19]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_in_time),        cmocka_unit_test(t02_missed),
        cmocka_unit_test(t03_all_is_bounded), cmocka_unit_test(t04_every),
        cmocka_unit_test(t05_once_alone),     cmocka_unit_test(t06_clock),
        cmocka_unit_test(t07_one_id_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
