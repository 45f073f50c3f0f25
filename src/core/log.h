/*
 * log.h: structured logs on stderr: an event name and key=value pairs, logfmt on a terminal and JSON lines otherwise
 * (setting log.format). The level is tested before the arguments are evaluated. Context (request id, task id, worker) is
 * pushed once per thread and printed with each line. Any thread; a line is one write(2). Secrets are never passed here.
 *
 *     log_info("unit.done", "items=%d failed=%d", done, failed);
 *     log_err("store.lost", &e, "retry_ms=%d", wait);            // adds error=<slug> detail="…"
 */
#ifndef LATHE_CORE_LOG_H
#define LATHE_CORE_LOG_H

#include <stdbool.h>

#include "core/attr.h"
#include "core/err.h"
#include "core/span.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_AUTO, LOG_LOGFMT, LOG_JSON };

extern _Atomic(enum log_level) log_threshold; /* process-wide, set by log_setup */

/* role: "api", "worker", …; NULL: as it was, which other threads may be reading. */
void log_setup(enum log_level level, enum log_format format, const char *role);

/* The settings log.level and log.format, at the start and after each conf_reload (then role is NULL). */
struct conf;
void log_apply(const struct conf *c, const char *role);

/* Their words, in the order of the enums, NULL at the end; conf refuses others. */
extern const char *const log_level_words[], *const log_format_words[];

/* `format` is "key=%d key=%s …": values with blanks or quotes are quoted by the logger. */
void log_line(enum log_level level, const char *event, const struct err *e, const char *format, ...)
    LATHE_PRINTF(4, 5);

#define log_at(level, event, err, ...)                      \
    do {                                                    \
        if ((level) >= log_threshold)                       \
            log_line((level), (event), (err), __VA_ARGS__); \
    } while (0)
#define log_debug(event, ...) log_at(LOG_DEBUG, (event), NULL, __VA_ARGS__)
#define log_info(event, ...) log_at(LOG_INFO, (event), NULL, __VA_ARGS__)
#define log_warn(event, ...) log_at(LOG_WARN, (event), NULL, __VA_ARGS__)
#define log_error(event, ...) log_at(LOG_ERROR, (event), NULL, __VA_ARGS__)
#define log_err(event, err, ...) log_at(LOG_ERROR, (event), (err), __VA_ARGS__)
#define log_warn_err(event, err, ...) log_at(LOG_WARN, (event), (err), __VA_ARGS__)

/* Context of the calling thread, e.g. ("task", id); values are copied (truncated at 63 bytes). Pops must match. */
void log_push(const char *key, struct span value);
void log_pop(void);

#endif
