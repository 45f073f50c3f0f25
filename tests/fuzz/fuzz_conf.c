/* The file of settings: any bytes are either refused with a line, or every setting is in its range. */
#include "fuzz/replay.h"

#include "core/conf_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct conf c CLEANUP(conf_release) = {0};
    struct conf copy CLEANUP(conf_release) = {0};
    struct err e = ERR_INIT;
    conf_set_defaults(&c);
    bool good = conf_read_text(&c, (struct span){(const char *)data, size}, "f", &e);
    MUST(good == (e.code == ERR_NONE));
    if (!good) {
        MUST(e.code == ERR_CONFIG && strstr(e.text, "f line "));
        return 0;
    }
    struct buf shown CLEANUP(buf_release) = BUF_INIT(1u << 20);
    conf_show(&c, &shown);
    MUST(!shown.failed);
    conf_set_defaults(&copy);
    for (struct span rest = buf_view(&shown); rest.len;) { /* what is in force may be said again */
        struct span value = span_cut(&rest, '\n');
        if (value.len == 0) /* here begin the sections that have names */
            break;
        struct span section = span_cut(&value, '.'), name = span_cut(&value, ' ');
        const struct conf_row *row = conf_find(section, name);
        MUST(row != NULL);
        span_take(&value, 2);
        if (row->type != CONF_text)
            MUST(conf_set(&copy, row, value, "again", NULL) && conf_same(row, &c, &copy));
    }
    return 0;
}

FUZZ_MAIN("conf")
