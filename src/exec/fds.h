/*
 * fds.h: messages with descriptors over a unix socket (SCM_RIGHTS). What is received is close-on-exec.
 */
#ifndef LATHE_EXEC_FDS_H
#define LATHE_EXEC_FDS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define FDS_MOST 2

/* Whole or not at all; flags as for send(2), MSG_NOSIGNAL is always set. */
bool fds_send(int sock, const void *bytes, size_t n, const int *fds, int count, int flags);

/* As recv(2). At most FDS_MOST descriptors; more than `room` are closed and make it fail (EBADMSG). */
ssize_t fds_receive(int sock, void *bytes, size_t n, int *fds, int room, int *ret_count);

#endif
