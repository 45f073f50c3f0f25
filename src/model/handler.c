/* handler.c: what every handler shares. */
#include "model/handler.h"

#include <stdarg.h>
#include <stdio.h>

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
