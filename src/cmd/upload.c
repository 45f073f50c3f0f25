/* Items out of a file into a task, a piece at a time. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/client.h"
#include "core/clock.h"
#include "core/limits.h"
#include "core/net.h"

#define PIECE (64u * KIB)
#define SHOW_MS 200

struct pour {
    int fd;
    int64_t size, read; /* size 0: not known */
    bool shows;
    int64_t next_show;
};

static void show(struct pour *p, const struct queue_stream *st)
{
    if (!p->shows || clock_now() < p->next_show)
        return;
    p->next_show = clock_after_ms(SHOW_MS);
    fprintf(stderr, "\r%" PRId64 " items, %.1f MiB", queue_stream_items(st), (double)p->read / MIB);
    if (p->size > 0)
        fprintf(stderr, ", %d %%", (int)(p->read * 100 / p->size));
    fputs("\x1b[K", stderr);
}

static bool open_lines(const char *path, struct pour *ret, struct err *e)
{
    bool is_input = strcmp(path, "-") == 0;
    struct stat st;
    *ret = (struct pour){.shows = isatty(STDERR_FILENO)};
    ret->fd = is_input ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC);
    if (ret->fd < 0)
        return err_errno(e, "%s cannot be read", is_input ? "standard input" : path);
    if (fstat(ret->fd, &st) == 0 && S_ISREG(st.st_mode))
        ret->size = st.st_size;
    return true;
}

static bool pour_all(struct pour *p, struct queue_stream *st, struct err *e)
{
    char piece[PIECE];
    struct pollfd ready = {.fd = p->fd, .events = POLLIN};
    int64_t until = clock_after_ms(LIMIT_UPLOAD_S * 1000);
    for (;;) {
        if (clock_now() >= until)
            return err_set(e, ERR_TIMEOUT, "the items did not come within %d s", LIMIT_UPLOAD_S);
        if (poll(&ready, 1, SHOW_MS) == 0)
            continue;
        ssize_t n = read(p->fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, "the items cannot be read");
        if (n == 0)
            return true;
        if (!queue_stream_feed(st, (struct span){piece, (size_t)n}, e))
            return false;
        p->read += n;
        show(p, st);
    }
}

struct answer {
    struct uuid id;
    struct err err;
};

static void on_put(void *arg, struct uuid id, bool existing, const struct err *e)
{
    (void)existing;
    struct answer *answer = arg;
    answer->id = id;
    if (e)
        answer->err = *e;
}

static bool end(struct queue_stream *st, struct uuid *ret, struct err *e)
{
    struct answer answer = {.err = ERR_INIT};
    if (!queue_stream_end(st, on_put, &answer, e))
        return false;
    *ret = answer.id;
    if (answer.err.code == ERR_NONE)
        return true;
    *e = answer.err;
    return false;
}

bool client_put_lines(struct queue *q, struct arena *a, struct submission *s, const char *path,
                      struct uuid *ret, struct err *e)
{
    struct pour p;
    struct queue_stream *st;
    if (!open_lines(path, &p, e))
        return false;
    if (!queue_stream_new(q, a, s, &st, e)) {
        net_close(p.fd);
        return false;
    }
    bool good = pour_all(&p, st, e);
    net_close(p.fd);
    if (p.shows)
        fputs("\r\x1b[K", stderr);
    if (good)
        return end(st, ret, e);
    queue_stream_drop(st);
    return false;
}
