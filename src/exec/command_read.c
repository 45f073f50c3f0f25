/* command_read.c: what the process of a command says: answers on its standard output, lines on its standard error, its end. */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/clock.h"
#include "exec/command_answer.h"
#include "exec/command_client.h"

#define READS_AT_END 64

/* ---- what comes back */

static struct call *in_hand(const struct client *k, int64_t id)
{
    struct call *c = k->hand.first;
    while (c && c->id != id)
        c = c->next;
    return c;
}

static void end_call(struct client *k, struct call *c, const struct answer *a)
{
    command_pull(&k->hand, c);
    if (a->kind == ANSWER_ERROR) {
        struct err e;
        err_set(&e, a->again ? ERR_ITEM_FAILED : ERR_REJECTED, SPAN_FMT, SPAN_ARG(a->text));
        command_fail(c, &e);
    } else {
        json_emit(&c->result, a->result);
        c->shown.result = buf_view(&c->result);
        if (c->result.failed)
            err_set(&c->shown.err, ERR_ITEM_TOO_LARGE, "the result has more than %u bytes",
                    LIMIT_ITEM_RESULT);
        command_finish(c);
    }
    if (k->process->answers++ == 0)
        luck_good(k->command);
}

static bool take_line(struct client *k, struct span line, struct err *e)
{
    struct answer a;
    arena_clear(&k->arena);
    if (!answer_read(&k->arena, line, &a, e))
        return false;
    struct call *c = in_hand(k, a.id);
    if (!c)
        return err_set(e, ERR_COMMAND, "it answered id %lld, which it does not have in hand",
                       (long long)a.id);
    if (a.kind == ANSWER_LOG) {
        item_log(c->it, SPAN_FMT, SPAN_ARG(a.text));
    } else if (a.kind == ANSWER_PROGRESS) {
        c->shown.progress = a.progress;
        item_call_over(c->it);
    } else {
        end_call(k, c, &a);
    }
    return true;
}

/* All whole lines of what was read. */
static bool take_lines(struct client *k, struct err *e)
{
    struct span rest = buf_view(&k->in);
    const char *end;
    bool ok = true;
    while (ok && rest.len && (end = memchr(rest.ptr, '\n', rest.len))) {
        struct span line = span_take(&rest, (size_t)(end - rest.ptr));
        span_take(&rest, 1);
        ok = take_line(k, line, e);
    }
    buf_consume(&k->in, k->in.len - rest.len);
    if (ok && k->in.len > LIMIT_COMMAND_LINE)
        ok = err_set(e, ERR_COMMAND, "it answered a line of more than %u bytes", LIMIT_COMMAND_LINE);
    return ok;
}

/* Bytes that were read, 0 when there are none for now, -1 at the end. */
static ssize_t read_some(int fd, struct buf *b)
{
    char *to = buf_reserve(b, READ_BYTES);
    ssize_t n;
    assert(to);
    while ((n = read(fd, to, READ_BYTES)) < 0 && errno == EINTR)
        continue;
    if (n > 0)
        buf_advance(b, (size_t)n);
    return n > 0 ? n : n < 0 && errno == EAGAIN ? 0 : -1;
}

/* Its end is near, as a rule: how it ended is seen in a moment. */
static void fall_silent(struct client *k)
{
    epoll_ctl(k->set, EPOLL_CTL_DEL, k->process->out, NULL);
    k->mute = true;
    command_ring_at(k, clock_after_ms(DEAF_MS));
}

static void say_line(struct client *k, struct span line)
{
    const struct call *c = k->hand.first;
    while (line.len && (line.ptr[line.len - 1] == '\r' || line.ptr[line.len - 1] == '\n'))
        line.len--;
    if (c && line.len)
        item_log(c->it, SPAN_FMT, SPAN_ARG(line));
}

/* Its standard error, line by line, to the log of the task of the item that is first in its hand. */
void command_read_log(struct client *k)
{
    char bytes[4096];
    ssize_t n;
    for (int i = 0; i < READS && (n = read(k->process->log, bytes, sizeof bytes)) > 0; i++)
        for (struct span rest = {bytes, (size_t)n}; rest.len;) {
            const char *end = memchr(rest.ptr, '\n', rest.len);
            size_t room = k->log.max - 1 - k->log.len, want = end ? (size_t)(end - rest.ptr) + 1 : rest.len;
            struct span part = span_take(&rest, want < room ? want : room);
            buf_span(&k->log, part);
            if (k->log.ptr[k->log.len - 1] != '\n' && k->log.len < k->log.max - 1)
                continue;
            say_line(k, buf_view(&k->log));
            buf_clear(&k->log);
        }
    if (n == 0)
        epoll_ctl(k->set, EPOLL_CTL_DEL, k->process->log, NULL);
}

/* False: the process is lost. `all`: until there is nothing, though it takes one more look. */
bool command_read_answers(struct client *k, int most, bool all)
{
    struct err e = ERR_INIT;
    bool ok = true;
    while (ok && most-- > 0) {
        ssize_t n = read_some(k->process->out, &k->in);
        if (n < 0)
            fall_silent(k);
        if (n <= 0)
            break;
        command_read_log(k); /* what it wrote there before is of those that it answers here */
        ok = take_lines(k, &e);
        if (n < (ssize_t)READ_BYTES && !all)
            break;
    }
    if (!ok)
        command_lose(k, &e);
    else
        command_turn(k);
    return ok;
}

/* What it said before it went counts. */
void command_ended(struct client *k)
{
    char how[100];
    struct err e;
    command_read_log(k);
    if (!command_read_answers(k, READS_AT_END, true) || !process_over(k->process, how, sizeof how))
        return;
    say_line(k, buf_view(&k->log));
    err_set(&e, ERR_ITEM_CRASHED, "the program of the command %s: %s", k->command->name, how);
    command_lose(k, &e);
}

/* It lives on, and is of no use. */
void command_lose_useless(struct client *k)
{
    struct err e;
    err_set(&e, ERR_ITEM_CRASHED, "the command %s %s", k->command->name,
            k->mute ? "closed its standard output" : "does not read its standard input any more");
    command_lose(k, &e);
}
