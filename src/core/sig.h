/*
 * sig.h: signals as data. sig_block() is called in main before the first thread or child starts; from then on nothing is
 * interrupted and a loop reads signals from a descriptor like any other input.
 */
#ifndef LATHE_CORE_SIG_H
#define LATHE_CORE_SIG_H

#include <stdbool.h>

#include "core/err.h"

enum sig_verb { SIG_NOTHING, SIG_STOP, SIG_RELOAD, SIG_CHILD, SIG_REOPEN };

void sig_block(void);                                  /* TERM INT QUIT HUP USR1 CHLD blocked, PIPE ignored */
bool sig_open(int *ret_fd, struct err *e) LATHE_CHECK; /* signalfd, CLOEXEC, nonblocking */
enum sig_verb sig_read(int fd);                        /* SIG_NOTHING when there is none left */
void sig_reset_in_child(void); /* defaults and an empty mask, before exec or in a zygote's child */

#endif
