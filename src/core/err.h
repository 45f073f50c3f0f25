/*
 * err.h: the one error type. A function that can fail at run time returns bool, takes a `struct err *` last, and says
 * what happened there; a caller's mistake is an assertion. Who reports does not log: whoever handles the error does.
 *
 *     bool shape_check(const struct shape *s, struct err *e)
 *     {
 *         if (s->threads == 0)
 *             return err_at(e, ERR_BAD_FIELD, "/shape/threads", "threads must be at least 1");
 *         return true;
 *     }
 *
 * Texts say what happened, what it means and what to do; they may reach the caller of the HTTP API, so they never hold
 * a secret. A value type: no life cycle. Not touched on success.
 */
#ifndef LATHE_CORE_ERR_H
#define LATHE_CORE_ERR_H

#include <stdbool.h>

#include "core/attr.h"
#include "core/span.h"

enum err_code {
#define ERR(name, slug, status, retryable, exit, title) name,
#include "core/err.def"
#undef ERR
    ERR_COUNT
};

struct err {
    enum err_code code;
    char pointer[96]; /* JSON pointer or parameter name of the offending field, "" if there is none */
    char text[320];
};

/* clang-format off */
#define ERR_INIT {.code = ERR_NONE}
/* clang-format on */

/* Both return false, so that a function can `return err_set(…)`. A NULL e is allowed: the caller does not care. */
bool err_set(struct err *e, enum err_code code, const char *format, ...) LATHE_PRINTF(3, 4);
bool err_at(struct err *e, enum err_code code, const char *pointer, const char *format, ...)
    LATHE_PRINTF(4, 5);

/* Puts "prefix: " before the text: what the caller was about when the callee failed. Returns false. */
bool err_prefix(struct err *e, const char *format, ...) LATHE_PRINTF(2, 3);

/* ERR_SYSTEM with strerror(errno) behind the text. */
bool err_errno(struct err *e, const char *format, ...) LATHE_PRINTF(2, 3);

const char *err_slug(enum err_code code);
const char *err_title(enum err_code code);
int err_status(enum err_code code); /* HTTP */
bool err_retryable(enum err_code code);
int err_exit(enum err_code code);            /* of the program */
enum err_code err_by_slug(struct span slug); /* ERR_INTERNAL if unknown */

#endif
