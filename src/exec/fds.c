#include "exec/fds.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(FDS_MOST * sizeof(int))];
};

bool fds_send(int sock, const void *bytes, size_t n, const int *fds, int count, int flags)
{
    union control control = {0};
    struct iovec part = {.iov_len = n};
    memcpy(&part.iov_base, &bytes, sizeof bytes); /* sendmsg does not write to it */
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > 0) {
        size_t size = (size_t)count * sizeof(int);
        m.msg_control = control.bytes;
        m.msg_controllen = CMSG_SPACE(size);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(size);
        memcpy(CMSG_DATA(c), fds, size);
    }
    ssize_t sent;
    do
        sent = sendmsg(sock, &m, flags | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)n;
}

static int take_fds(struct msghdr *m, int *fds, int room)
{
    int count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t at = CMSG_LEN(0); at + sizeof(int) <= c->cmsg_len; at += sizeof(int)) {
            int fd;
            memcpy(&fd, (char *)c + at, sizeof fd);
            if (count < room)
                fds[count] = fd;
            else
                close(fd);
            count++;
        }
    }
    return count;
}

ssize_t fds_receive(int sock, void *bytes, size_t n, int *fds, int room, int *ret_count)
{
    union control control = {0};
    struct iovec part = {.iov_base = bytes, .iov_len = n};
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof control.bytes};
    ssize_t got;
    do
        got = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    *ret_count = 0;
    if (got < 0)
        return got;
    int count = take_fds(&m, fds, room);
    *ret_count = count < room ? count : room;
    if (count <= room && !(m.msg_flags & MSG_CTRUNC))
        return got;
    for (int i = 0; i < *ret_count; i++)
        close(fds[i]);
    *ret_count = 0;
    errno = EBADMSG;
    return -1;
}
