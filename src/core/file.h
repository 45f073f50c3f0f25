/*
 * file.h: the few things that Lathe does with files.
 */
#ifndef LATHE_CORE_FILE_H
#define LATHE_CORE_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/err.h"

/* Appends the whole file; ERR_TOO_LARGE if it does not fit the buffer, ERR_SYSTEM with errno kept if it cannot be read. */
bool file_read(const char *path, struct buf *out, struct err *e) LATHE_CHECK;

/* An exclusive flock(2), gone with the descriptor. Whoever holds one holds it for a moment; ERR_TIMEOUT at the deadline.
 * `what` names the file in the message. */
bool file_lock(int fd, int64_t deadline, const char *what, struct err *e) LATHE_CHECK;

#endif
