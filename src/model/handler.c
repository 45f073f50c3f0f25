/* handler.c: what every handler shares. */
#include "model/handler.h"

#include <stdarg.h>
#include <stdio.h>

#include "core/limits.h"

enum step item_fail(struct item *it, const char *format, ...)
{
    char text[sizeof it->err.text];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    err_set(&it->err, ERR_ITEM_FAILED, "%s", text);
    return STEP_FAIL;
}

void item_log(struct item *it, const char *format, ...)
{
    char text[LIMIT_LOG_TEXT];
    va_list args;

    if (!it->log)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    it->log(it, span_of(text));
}
