/*
 * fcgi/arrival.h against libfcgi: what the one lets through whole, the other reads whole, without waiting and without
 * taking it for broken; and a beginning of something good is never bad.
 */
#include "fuzz/replay.h"

#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/limits.h"
#include "fcgi/arrival.h"
#include "fcgi/reader.h"

static void read_by_libfcgi(const uint8_t *data, size_t size, const struct arrival *f)
{
    static struct reader *reader;
    int fds[2], room = 1 << 20;
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    MUST(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room) == 0);
    MUST(send(fds[1], data, size, MSG_DONTWAIT) == (ssize_t)size);
    shutdown(fds[1], SHUT_WR); /* whoever reads on is told so, and does not wait */
    if (!reader)
        reader = reader_new();
    struct call call = {.arena = ARENA_INIT};
    struct err e = ERR_INIT;
    enum read_result r =
        reader_read(reader, fds[0], f, (struct piecewise){.most = NULL}, CLOCK_NEVER, &call, &e);
    MUST(r == READ_OK || r == READ_REFUSED);
    MUST((r == READ_OK) == (e.code == ERR_NONE));
    MUST(call.req.request_id.len > 0);
    char more;
    MUST(recv(fds[0], &more, 1, MSG_DONTWAIT) ==
         0); /* nothing is left for the next request to stumble over */
    arena_release(&call.arena);
    close(fds[0]);
    close(fds[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arrival f = {0}, less;
    enum arrival_verdict v = arrival_scan(data, size, &f);
    if (v == ARRIVAL_READY) {
        MUST(f.id != 0);
        MUST(f.whole || size >= ARRIVAL_ENOUGH);
    }
    if (v != ARRIVAL_BAD && size > 0)
        MUST(arrival_scan(data, size - 1, &less) == ARRIVAL_MORE || size > ARRIVAL_ENOUGH);
    if (v == ARRIVAL_READY && f.whole && size <= 100000)
        read_by_libfcgi(data, size, &f);
    return 0;
}

FUZZ_MAIN("arrival")
