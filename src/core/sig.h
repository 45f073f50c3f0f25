/*
 * sig.h: signals as data. sig_block() is called in main before the first thread or child starts; from then on nothing is
 * interrupted and a loop reads signals from a descriptor like any other input.
 *
 * Who stops a service often tells it twice: a service manager tells every process of the group, and so does the parent.
 * So stops of different senders within a second are one. A second one of the same sender is meant.
 */
#ifndef LATHE_CORE_SIG_H
#define LATHE_CORE_SIG_H

#include <stdbool.h>
#include <sys/types.h>

#include "core/err.h"

/* SIG_REPLACE: a child asks its supervisor for a successor (core/parent.h); nothing to anybody else. */
enum sig_verb { SIG_NOTHING, SIG_STOP, SIG_RELOAD, SIG_CHILD, SIG_REPLACE };

void sig_block(void);                                  /* TERM INT QUIT HUP USR1 CHLD blocked, PIPE ignored */
bool sig_open(int *ret_fd, struct err *e) LATHE_CHECK; /* signalfd, CLOEXEC, nonblocking */
enum sig_verb sig_read(int fd);                        /* SIG_NOTHING when there is none left */
enum sig_verb sig_read_from(int fd, pid_t *ret_sender); /* 0: the kernel */
void sig_reset_in_child(void); /* defaults and an empty mask, before exec or in a zygote's child */

#endif
