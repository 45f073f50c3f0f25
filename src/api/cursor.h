/*
 * cursor.h: where a page of a list ended, as an opaque word (base64url) that is good for the same filters only. Pure.
 */
#ifndef LATHE_API_CURSOR_H
#define LATHE_API_CURSOR_H

#include "core/uuid.h"

#define CURSOR_TEXT 29 /* 28 characters and NUL */

/* `filters`: any text that is the same exactly for the same filters. */
void cursor_write(struct uuid last, struct span filters, char text[CURSOR_TEXT]);
bool cursor_read(struct span text, struct span filters, struct uuid *ret_last);

#endif
