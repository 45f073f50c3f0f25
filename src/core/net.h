/*
 * net.h: sockets. Every descriptor is close-on-exec. An address is "unix:/run/lathe/api.sock", "/run/lathe/api.sock" or
 * "127.0.0.1:9000" / "[::1]:9000".
 */
#ifndef LATHE_CORE_NET_H
#define LATHE_CORE_NET_H

#include <stdbool.h>

#include "core/err.h"

/* Nonblocking listener. A unix socket is made with `mode`; a stale one is replaced, a live one is ERR_CONFLICT. */
bool net_listen(const char *address, int backlog, unsigned mode, int *ret_fd, struct err *e) LATHE_CHECK;
bool net_connect(const char *address, int64_t deadline, int *ret_fd, struct err *e) LATHE_CHECK;
/* Begins and does not wait: writable when it is connected or has failed, which the first write tells. */
bool net_connect_begin(const char *address, int *ret_fd, struct err *e) LATHE_CHECK;
void net_unlink(const char *address); /* removes the socket file of a unix address that we made */

/* Listeners handed over by systemd (LISTEN_PID, LISTEN_FDS): their number, first descriptor 3. Never shutdown(2) one. */
int net_inherited(void);

/* sd_notify(3) without the library: "READY=1", "STOPPING=1", … Does nothing without NOTIFY_SOCKET. */
void net_notify(const char *state);

int net_close(int fd);      /* close that keeps errno; -1 is fine */
void net_close_at(int *fd); /* for CLEANUP(): closes and sets -1 */

/* An eventfd used as a doorbell: ring from any thread, clear in the loop that waits for it. */
bool net_bell(int *ret_fd, struct err *e) LATHE_CHECK;
void net_ring(int fd);
void net_bell_clear(int fd);

#endif
