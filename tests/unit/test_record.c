/* fcgi/record.h */
#include "unit/unit.h"

#include <poll.h>
#include <sys/socket.h>

#include "core/mem.h"
#include "fcgi/record.h"
#include "fcgi/wire.h"

struct pair {
    int ours, theirs;
};

static struct pair open_pair(int room)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    if (room)
        assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room), 0);
    return (struct pair){fds[0], fds[1]};
}

/* What is there now, behind what was there before. */
static void take(int fd, struct buf *b)
{
    ssize_t n;
    do {
        char *room = buf_reserve(b, 8192);
        assert_non_null(room);
        n = recv(fd, room, 8192, MSG_DONTWAIT);
        if (n > 0)
            buf_advance(b, (size_t)n);
    } while (n > 0);
}

/* Sends as far as it goes, reads, and so on; how often the socket was full. */
static unsigned exchange(struct record_out *o, struct pair p, struct buf *wire)
{
    unsigned full = 0;
    enum record_result r;
    while ((r = record_send(o, p.ours)) == RECORD_AGAIN) {
        uint64_t before = wire->len;
        take(p.theirs, wire);
        assert_true(wire->len > before);
        full++;
    }
    assert_int_equal(r, RECORD_DONE);
    take(p.theirs, wire);
    return full;
}

/* Takes the records apart; true if END_REQUEST was the last. */
static bool payload(const struct buf *wire, uint16_t id, struct buf *out)
{
    bool stdout_ended = false, ended = false;
    const uint8_t *p = (const uint8_t *)wire->ptr, *end = p + wire->len;
    while (p < end) {
        assert_true(end - p >= FCGI_HEADER && !ended);
        size_t content = (size_t)(p[4] << 8 | p[5]), padding = p[6];
        assert_int_equal(p[0], FCGI_VERSION);
        assert_int_equal(p[2] << 8 | p[3], id);
        assert_int_equal((content + padding) % 8, 0);
        assert_true((size_t)(end - p) >= FCGI_HEADER + content + padding);
        if (p[1] == FCGI_END) {
            assert_true(stdout_ended && content == 8);
            for (int i = 0; i < 8; i++)
                assert_int_equal(p[FCGI_HEADER + i], 0);
            ended = true;
        } else {
            assert_true(p[1] == FCGI_STDOUT && !stdout_ended);
            stdout_ended = content == 0;
            buf_put(out, p + FCGI_HEADER, content);
        }
        p += FCGI_HEADER + content + padding;
    }
    assert_int_equal(ended, stdout_ended);
    return ended;
}

static char *bytes(size_t n)
{
    char *p = mem_alloc(n + 1);
    for (size_t i = 0; i < n; i++)
        p[i] = (char)(i * 31 + i / 251);
    return p;
}

static unsigned round_trip(size_t head, size_t body, bool end, int room)
{
    struct buf wire CLEANUP(buf_release) = BUF_INIT(32u << 20),
                    got CLEANUP(buf_release) = BUF_INIT(32u << 20);
    char *text = bytes(head + body);
    struct pair p = open_pair(room);
    struct record_out o =
        record_out(0x1234, (struct span){text, head}, (struct span){text + head, body}, end);
    unsigned full = exchange(&o, p, &wire);
    if (wire.len != o.total)
        fail_msg("%zu+%zu: %zu on the wire, not %zu", head, body, wire.len, (size_t)o.total);
    assert_int_equal(payload(&wire, 0x1234, &got), end);
    assert_int_equal(got.len, head + body);
    assert_memory_equal(got.ptr ? got.ptr : "", text, head + body);
    mem_free(text);
    close(p.ours);
    close(p.theirs);
    return full;
}

static void t01_sizes_around_every_edge(void **state)
{
    (void)state;
    static const size_t edges[] = {0, 1, 8, 100, 65528, 2 * 65528, 16 * 65528, 17 * 65528};
    for (size_t i = 0; i < COUNT_OF(edges); i++)
        for (size_t near = 0; near < 18; near++) {
            size_t n = edges[i] + near < 9 ? near : edges[i] + near - 9;
            round_trip(n < 50 ? n : 50, n < 50 ? 0 : n - 50, near % 2, 0);
        }
    round_trip(70000, 70000, true, 0);
}

static void t02_goes_on_where_the_socket_was_full(void **state)
{
    (void)state;
    assert_true(round_trip(150, 3000000, true, 2048) > 20);
    for (size_t n = 65500; n < 65550; n++)
        round_trip(n / 2, n - n / 2, true, 2048);
}

/* Wherever it stops, whatever is left: the tail may begin in one record's place and end in the next's. */
static void t03_goes_on_from_every_byte(void **state)
{
    (void)state;
    char *text = bytes(65530);
    for (size_t size = 65515; size <= 65530; size++) {
        struct record_out whole = record_out(7, SPAN(""), (struct span){text, size}, true);
        struct buf all CLEANUP(buf_release) = BUF_INIT(1u << 20);
        struct pair p = open_pair(0);
        exchange(&whole, p, &all);
        for (uint64_t from = 65500; from <= whole.total; from++) {
            struct buf rest CLEANUP(buf_release) = BUF_INIT(1u << 20);
            struct record_out o = record_out(7, SPAN(""), (struct span){text, size}, true);
            o.sent = from;
            exchange(&o, p, &rest);
            assert_int_equal(rest.len, whole.total - from);
            assert_memory_equal(rest.ptr, all.ptr + from, rest.len);
        }
        close(p.ours);
        close(p.theirs);
    }
    mem_free(text);
}

static void t04_nobody_there(void **state)
{
    (void)state;
    struct pair p = open_pair(0);
    close(p.theirs);
    struct record_out o = record_out(1, SPAN("head"), SPAN("body"), true);
    assert_int_equal(record_send(&o, p.ours), RECORD_BROKEN); /* and no SIGPIPE */
    close(p.ours);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_sizes_around_every_edge),
        cmocka_unit_test(t02_goes_on_where_the_socket_was_full),
        cmocka_unit_test(t03_goes_on_from_every_byte),
        cmocka_unit_test(t04_nobody_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
