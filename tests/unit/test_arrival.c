/* fcgi/arrival.h */
#include "unit/unit.h"

#include "core/limits.h"
#include "fcgi/arrival.h"
#include "unit/fcgi_bytes.h"

struct message {
    struct buf bytes, pairs;
};

static void message_open(struct message *m, uint8_t flags)
{
    *m = (struct message){BUF_INIT(4u << 20), BUF_INIT(4u << 20)};
    put_begin(&m->bytes, 1, FCGI_RESPONDER, flags);
    put_pair(&m->pairs, SPAN("REQUEST_METHOD"), SPAN("POST"));
    put_pair(&m->pairs, SPAN("DOCUMENT_URI"), SPAN("/a"));
}

static void message_params(struct message *m)
{
    for (struct span left = buf_view(&m->pairs); left.len;)
        put_record(&m->bytes, FCGI_PARAMS, 1, span_take(&left, 40000));
    put_record(&m->bytes, FCGI_PARAMS, 1, SPAN(""));
}

static void message_release(struct message *m)
{
    buf_release(&m->bytes);
    buf_release(&m->pairs);
}

/* A copy of just that size, so that a sanitizer sees a read behind it. */
static enum arrival_verdict scan(const struct message *m, size_t n, struct arrival *f)
{
    uint8_t *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    memcpy(copy, m->bytes.ptr, n);
    enum arrival_verdict v = arrival_scan(copy, n, f);
    free(copy);
    return v;
}

static enum arrival_verdict scan_all(const struct message *m)
{
    struct arrival f;
    return scan(m, m->bytes.len, &f);
}

static void t01_a_request_and_every_beginning_of_it(void **state)
{
    (void)state;
    struct message m CLEANUP(message_release);
    struct arrival f = {.id = 99};
    message_open(&m, FCGI_KEEP_CONN);
    message_params(&m);
    put_record(&m.bytes, FCGI_STDIN, 1, SPAN("hello"));
    put_record(&m.bytes, FCGI_STDIN, 1, SPAN(""));
    for (size_t n = 0; n < m.bytes.len; n++)
        if (scan(&m, n, &f) != ARRIVAL_MORE)
            fail_msg("%zu bytes of %zu", n, m.bytes.len);
    assert_int_equal(f.id, 99); /* untouched */
    assert_int_equal(scan(&m, m.bytes.len, &f), ARRIVAL_READY);
    assert_int_equal(f.id, 1);
    assert_true(f.keep && f.whole && !f.nul);
    buf_char(&m.bytes, FCGI_VERSION);
    assert_int_equal(scan_all(&m), ARRIVAL_BAD); /* a second request */
}

static void t02_a_large_body_is_ready_before_its_end(void **state)
{
    (void)state;
    struct message m CLEANUP(message_release);
    struct arrival f;
    static char body[40000];
    message_open(&m, 0);
    message_params(&m);
    put_record(&m.bytes, FCGI_STDIN, 1, (struct span){body, sizeof body});
    assert_int_equal(scan(&m, ARRIVAL_ENOUGH - 1, &f), ARRIVAL_MORE);
    assert_int_equal(scan(&m, ARRIVAL_ENOUGH, &f), ARRIVAL_READY);
    assert_true(!f.keep && !f.whole);
}

static void t03_parameters_lie_across_records(void **state)
{
    (void)state;
    struct message m CLEANUP(message_release);
    static char value[60000];
    memset(value, 'v', sizeof value);
    message_open(&m, 0);
    put_pair(&m.pairs, SPAN("HTTP_A"), (struct span){value, sizeof value});
    put_pair(&m.pairs, SPAN("HTTP_B"), SPAN("b"));
    message_params(&m);
    put_record(&m.bytes, FCGI_STDIN, 1, SPAN(""));
    assert_int_equal(scan_all(&m), ARRIVAL_READY);
}

static void t04_lengths_that_nothing_stands_behind(void **state)
{
    (void)state;
    static const struct span bad[] = {SPAN("\xff\xff\xff\xff\x01"
                                           "A"),
                                      SPAN("\x01\xff\xff\xff\xff"
                                           "A"),
                                      SPAN("\x05\x01"
                                           "A"),
                                      SPAN("\x05"), SPAN("\x80\x00")};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct message m CLEANUP(message_release);
        message_open(&m, 0);
        buf_span(&m.pairs, bad[i]);
        message_params(&m);
        put_record(&m.bytes, FCGI_STDIN, 1, SPAN(""));
        if (scan_all(&m) != ARRIVAL_BAD)
            fail_msg("pair %zu", i);
    }
}

static void t05_parameters_without_end(void **state)
{
    (void)state;
    struct message m CLEANUP(message_release);
    static char value[3 * LIMIT_FCGI_HEAD];
    struct arrival f;
    message_open(&m, 0);
    for (int i = 0; i < 20; i++)
        put_pair(&m.pairs, SPAN("HTTP_A"), (struct span){value, 10000});
    message_params(&m);
    assert_int_equal(scan(&m, LIMIT_FCGI_HEAD - 1, &f), ARRIVAL_MORE);
    assert_int_equal(scan(&m, LIMIT_FCGI_HEAD, &f), ARRIVAL_BAD);
}

static void t06_nul_is_seen_in_names_and_values(void **state)
{
    (void)state;
    for (int where = 0; where < 2; where++) {
        struct message m CLEANUP(message_release);
        struct arrival f;
        message_open(&m, 0);
        put_pair(&m.pairs, where ? SPAN("A\0B") : SPAN("A"), where ? SPAN("x") : SPAN("/a\0b"));
        message_params(&m);
        put_record(&m.bytes, FCGI_STDIN, 1, SPAN(""));
        assert_int_equal(scan(&m, m.bytes.len, &f), ARRIVAL_READY);
        assert_true(f.nul);
    }
}

static void t07_what_we_do_not_speak(void **state)
{
    (void)state;
    enum { GET_VALUES = 9, ABORT = 2, AUTHORIZER = 2 };
    struct message m CLEANUP(message_release);
    message_open(&m, 0);
    const uint8_t versions[] = {0, 2, 'G', 22, 255};
    for (size_t i = 0; i < sizeof versions; i++) {
        struct arrival f;
        assert_int_equal(arrival_scan(&versions[i], 1, &f), ARRIVAL_BAD);
    }
    const struct {
        uint8_t type, role;
        uint16_t id;
        uint8_t padding;
    } tries[] = {
        {FCGI_PARAMS, AUTHORIZER, 1, 0},     {FCGI_PARAMS, FCGI_RESPONDER, 2, 0},
        {FCGI_BEGIN, FCGI_RESPONDER, 1, 0},  {ABORT, FCGI_RESPONDER, 1, 0},
        {GET_VALUES, FCGI_RESPONDER, 0, 0},  {FCGI_STDIN, FCGI_RESPONDER, 1, 0},
        {FCGI_PARAMS, FCGI_RESPONDER, 1, 8},
    };
    for (size_t i = 0; i < COUNT_OF(tries); i++) {
        buf_clear(&m.bytes);
        put_begin(&m.bytes, 1, tries[i].role, 0);
        put_record_padded(&m.bytes, tries[i].type, tries[i].id, SPAN(""), tries[i].padding);
        if (scan_all(&m) != ARRIVAL_BAD)
            fail_msg("try %zu", i);
    }
    buf_clear(&m.bytes);
    put_begin(&m.bytes, 0, FCGI_RESPONDER, 0);
    assert_int_equal(scan_all(&m), ARRIVAL_BAD); /* request 0 is the connection itself */
    buf_clear(&m.bytes);
    put_record_padded(&m.bytes, FCGI_BEGIN, 1, SPAN("\0\1\0\0\0\0\0\0"), 8);
    assert_int_equal(scan_all(&m), ARRIVAL_BAD); /* libfcgi forgets this padding */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_a_request_and_every_beginning_of_it),
        cmocka_unit_test(t02_a_large_body_is_ready_before_its_end),
        cmocka_unit_test(t03_parameters_lie_across_records),
        cmocka_unit_test(t04_lengths_that_nothing_stands_behind),
        cmocka_unit_test(t05_parameters_without_end),
        cmocka_unit_test(t06_nul_is_seen_in_names_and_values),
        cmocka_unit_test(t07_what_we_do_not_speak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
