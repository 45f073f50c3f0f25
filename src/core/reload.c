#include "core/reload.h"

#include "core/limits.h"
#include "core/log.h"

void reload(struct conf *c)
{
    struct buf ignored CLEANUP(buf_release) = BUF_INIT(LIMIT_LOG_LINE);
    struct err e = ERR_INIT;
    if (!conf_reload(c, &ignored, &e)) {
        log_err("conf.reload", &e, "meaning=the settings stay as they were");
        return;
    }
    log_info("conf.reload", "needs_restart=" SPAN_FMT, SPAN_ARG(buf_view(&ignored)));
    log_apply(c, NULL);
}
