/* queue/round.h: what gathers grows from nothing to its bounds, and what is beyond them is told as "look at everything". */
#include "../lib/test.h"

#include "core/mem.h"
#include "queue/inside.h"
#include "queue/round.h"

#define TOO_MANY (ROUND_DROPS + 100)

static struct uuid number(size_t i)
{
    struct uuid id = {{0}};
    memcpy(id.b, &i, sizeof i);
    return id;
}

static void add_numbers(struct ids *ids, size_t from, size_t count)
{
    struct uuid list[64];
    assert_true(count <= COUNT_OF(list));
    for (size_t i = 0; i < count; i++)
        list[i] = number(from + i);
    round_add_ids(ids, list, count);
}

/* Of all messages on a channel: how many ids are in them, each behind the one before, and whether all are told to look. */
static size_t ids_told(const struct letter *l, const char *channel, bool *ret_all)
{
    size_t n = 0;
    *ret_all = false;
    for (size_t i = 0; i < l->n; i++) {
        struct span text = l->list[i].text, word;
        if (strcmp(l->list[i].channel, channel) != 0)
            continue;
        if (span_is(text, "*")) {
            *ret_all = true;
            continue;
        }
        for (; text.len > 0; n++) {
            struct uuid id, want = number(n);
            word = span_cut(&text, ' ');
            assert_true(uuid_parse(word, &id));
            assert_memory_equal(&id, &want, sizeof id);
        }
    }
    return n;
}

static void t01_an_empty_round_has_no_memory(void **state)
{
    struct round r;
    struct letter l CLEANUP(letter_release);
    (void)state;
    round_init(&r);
    assert_true(r.empty);
    assert_null(r.done.list);
    assert_null(r.cancel.list);
    assert_null(r.views.list);
    assert_null(r.drops.list);
    letter_write(&l, &r);
    assert_int_equal(l.n, 0);
    round_release(&r);
}

/* In steps that meet no bound of the growth, so that what was there is carried along each time. */
static void t02_ids_grow_to_their_bound(void **state)
{
    struct round r;
    bool all;
    (void)state;
    round_init(&r);
    for (size_t n = 0; n < ROUND_IDS;) {
        size_t some = ROUND_IDS - n < 37 ? ROUND_IDS - n : 37;
        add_numbers(&r.done, n, some);
        n += some;
        assert_true(r.done.room < 2 * (n < 16 ? 16 : n));
        assert_int_equal(r.done.count, n);
    }
    assert_int_equal(r.done.room, ROUND_IDS);
    assert_false(r.done.all);
    struct letter l CLEANUP(letter_release);
    letter_write(&l, &r);
    assert_int_equal(ids_told(&l, CHANNEL_DONE, &all), ROUND_IDS);
    assert_false(all);
    round_release(&r);
}

static void t03_ids_beyond_the_bound_are_told_as_all(void **state)
{
    struct round r;
    bool all;
    (void)state;
    round_init(&r);
    for (size_t n = 0; n < ROUND_IDS - 10; n++)
        add_numbers(&r.cancel, n, 1);
    add_numbers(&r.cancel, ROUND_IDS - 10, 11);
    assert_true(r.cancel.all);
    assert_int_equal(r.cancel.room, ROUND_IDS);
    struct letter l CLEANUP(letter_release);
    letter_write(&l, &r);
    assert_int_equal(ids_told(&l, CHANNEL_CANCEL, &all), ROUND_IDS - 10);
    assert_true(all);
    assert_int_equal(ids_told(&l, CHANNEL_DONE, &all), 0);
    assert_false(all);
    round_release(&r);
}

static void t04_views_and_drops_stop_at_theirs(void **state)
{
    struct round r;
    struct cache_view *many = mem_array(TOO_MANY, sizeof *many);
    (void)state;
    round_init(&r);
    for (size_t i = 0; i < TOO_MANY; i++) {
        many[i] = (struct cache_view){.task = number(i), .seq = (int64_t)i, .done = (int64_t)i};
        round_add_drop(&r, number(i), (int64_t)i);
    }
    round_set_views(&r, many, 5);
    assert_int_equal(r.views.count, 5);
    assert_true(r.views.room < 100);
    round_set_views(&r, many, TOO_MANY);
    assert_int_equal(r.views.count, ROUND_VIEWS);
    assert_int_equal(r.views.room, ROUND_VIEWS);
    assert_int_equal(r.drops.count, ROUND_DROPS);
    assert_int_equal(r.drops.room, ROUND_DROPS);
    for (size_t i = 0; i < ROUND_DROPS; i++) {
        assert_int_equal(r.drops.list[i].seq, i);
        assert_true(i >= ROUND_VIEWS || r.views.list[i].done == (int64_t)i);
    }
    round_release(&r);
    mem_free(many);
}

static void t05_a_cleared_round_keeps_its_room(void **state)
{
    struct round r;
    bool all;
    (void)state;
    round_init(&r);
    for (size_t n = 0; n < 300; n++)
        add_numbers(&r.done, n, 1);
    const struct uuid *list = r.done.list;
    round_clear(&r);
    assert_true(r.empty);
    add_numbers(&r.done, 0, 3);
    assert_ptr_equal(r.done.list, list);
    struct letter l CLEANUP(letter_release);
    letter_write(&l, &r);
    assert_int_equal(ids_told(&l, CHANNEL_DONE, &all), 3);
    round_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_an_empty_round_has_no_memory),
        cmocka_unit_test(t02_ids_grow_to_their_bound),
        cmocka_unit_test(t03_ids_beyond_the_bound_are_told_as_all),
        cmocka_unit_test(t04_views_and_drops_stop_at_theirs),
        cmocka_unit_test(t05_a_cleared_round_keeps_its_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
