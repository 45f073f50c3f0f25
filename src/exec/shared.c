#include "exec/shared.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/net.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

static uint64_t align(uint64_t n)
{
    return (n + 63) & ~UINT64_C(63);
}

static bool make(const char *name, size_t size, int seals, int *ret_fd, void **ret, struct err *e)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return err_errno(e, "no shared memory for children");
    void *at = MAP_FAILED;
    if (ftruncate(fd, (off_t)size) == 0)
        at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        err_errno(e, "no shared memory of %zu bytes for children", size);
        net_close(fd);
        return false;
    }
    /* a kernel before 5.1 does not know the one for writing, and the sizes are still worth sealing */
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | seals) < 0)
        (void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
    *ret_fd = fd;
    *ret = at;
    return true;
}

static size_t inputs_size(const struct plan *p)
{
    size_t n = 0;
    for (int64_t i = 0; p->inputs && i < p->count; i++)
        n += p->inputs[i].len;
    return n;
}

static void fill_inputs(char *base, uint64_t *offsets, const struct plan *p)
{
    uint64_t at = 0;
    for (int64_t i = 0; i < p->count; i++) {
        offsets[i] = at;
        if (p->inputs[i].len)
            memcpy(base + at, p->inputs[i].ptr, p->inputs[i].len);
        at += p->inputs[i].len;
    }
    offsets[p->count] = at;
}

bool shared_make(struct shared *s, const struct plan *p, int64_t lanes, struct err *e)
{
    size_t args = p->handler->params.size;
    uint64_t args_at = align(sizeof(struct shared_data));
    uint64_t list_at = align(args_at + args);
    uint64_t tries_at = align(list_at + (uint64_t)p->count * sizeof(uint32_t));
    uint64_t offsets_at = p->item_retries > 0 ? align(tries_at + (uint64_t)p->count) : tries_at;
    uint64_t bytes_at = align(offsets_at + ((uint64_t)p->count + 1) * sizeof(uint64_t));
    struct shared made = SHARED_INIT;
    made.data_size = p->inputs ? bytes_at + inputs_size(p) : offsets_at;
    made.board_size = sizeof(struct shared_board) + (size_t)lanes * sizeof(struct lane);
    void *data, *board;
    if (!make("lathe-data", made.data_size, F_SEAL_FUTURE_WRITE, &made.data_fd, &data, e))
        return false;
    made.data = data;
    if (!make("lathe-board", made.board_size, 0, &made.board_fd, &board, e)) {
        shared_release(&made);
        return false;
    }
    made.board = board;
    made.data->args_at = args_at;
    made.data->list_at = list_at;
    made.data->tries_at = p->item_retries > 0 ? tries_at : 0;
    if (args)
        memcpy((char *)data + args_at, p->args, args);
    if (p->inputs) {
        made.data->offsets_at = offsets_at;
        made.data->bytes_at = bytes_at;
        fill_inputs((char *)data + bytes_at, (void *)((char *)data + offsets_at), p);
    }
    *s = made;
    return true;
}

bool shared_map(struct shared *s, int data_fd, size_t data_size, int board_fd, size_t board_size)
{
    void *data = mmap(NULL, data_size, PROT_READ, MAP_SHARED, data_fd, 0);
    void *board = mmap(NULL, board_size, PROT_READ | PROT_WRITE, MAP_SHARED, board_fd, 0);
    *s = (struct shared){-1, -1, data_size, board_size, data, board};
    return data != MAP_FAILED && board != MAP_FAILED;
}

void shared_release(struct shared *s)
{
    if (s->data)
        munmap(s->data, s->data_size);
    if (s->board)
        munmap(s->board, s->board_size);
    net_close(s->data_fd);
    net_close(s->board_fd);
    *s = (struct shared)SHARED_INIT;
}

uint32_t *shared_list(const struct shared *s)
{
    return (void *)((char *)s->data + s->data->list_at);
}

uint8_t *shared_tries(const struct shared *s)
{
    return s->data->tries_at ? (uint8_t *)s->data + s->data->tries_at : NULL;
}

void shared_work(const struct shared *s, bool list, struct work *w)
{
    const char *base = (const char *)s->data;
    w->args = base + s->data->args_at;
    w->inputs = NULL;
    if (s->data->offsets_at) {
        w->offsets = (const void *)(base + s->data->offsets_at);
        w->bytes = base + s->data->bytes_at;
    }
    w->list = list ? shared_list(s) : NULL;
    w->tries_so_far = shared_tries(s);
    w->cursor = &s->board->cursor;
    w->cancel = &s->data->cancel;
}
