#include "core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/net.h"

bool file_read(const char *path, struct buf *out, struct err *e)
{
    int fd CLEANUP(net_close_at) = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return err_errno(e, "cannot open %s", path);
    char piece[8192];
    for (;;) {
        ssize_t n = read(fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, "cannot read %s", path);
        if (n == 0)
            return true;
        buf_put(out, piece, (size_t)n);
        if (out->failed)
            return err_set(e, ERR_TOO_LARGE, "%s is larger than %zu bytes", path, out->max);
    }
}

bool file_lock(int fd, int64_t deadline, const char *what, struct err *e)
{
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return err_errno(e, "cannot lock %s", what);
        if (clock_poll_ms(deadline) == 0)
            return err_set(e, ERR_TIMEOUT, "another process keeps %s locked", what);
        poll(NULL, 0, 5); /* the kernel has no event for a lock that becomes free */
    }
    return true;
}
