/*
 * conf_table.h: settings.def as rows, and a setting's value between text and memory. For the conf*.c files only.
 */
#ifndef LATHE_CORE_CONF_TABLE_H
#define LATHE_CORE_CONF_TABLE_H

#include "core/conf.h"
#include "core/span.h"

enum conf_type { CONF_text, CONF_int, CONF_bool, CONF_size, CONF_ms, CONF_mode };

struct conf_row {
    const char *section, *name;
    enum conf_type type;
    size_t offset;    /* in struct conf */
    int64_t number;   /* the default, */
    const char *word; /* or that of a text */
    int64_t min, max;
    bool reload, secret;
    const char *text;
    const char *const *words; /* those that a text must be one of, or NULL */
};

extern const struct conf_row conf_rows[];
extern const size_t conf_row_count;

const struct conf_row *conf_find(struct span section, struct span name); /* NULL if there is none */

void conf_set_defaults(struct conf *c);

/* `origin` is what the message begins with: "the option", "/etc/lathe.conf line 3". ERR_CONFIG. */
bool conf_set(struct conf *c, const struct conf_row *row, struct span value, const char *origin,
              struct err *e) LATHE_CHECK;

bool conf_same(const struct conf_row *row, const struct conf *a, const struct conf *b);
void conf_take(const struct conf_row *row, struct conf *to, const struct conf *from); /* atomically */

/* The file: every setting in it is set. conf_file.c */
bool conf_read_file(struct conf *c, const char *path, struct err *e) LATHE_CHECK;
bool conf_read_text(struct conf *c, struct span text, const char *path, struct err *e) LATHE_CHECK;

/* The shortest text that reads back as the number: 10s, 64M, 0660. conf_out.c */
void conf_put_number(struct buf *out, enum conf_type type, int64_t number);
void conf_put_range(struct buf *out,
                    const struct conf_row *row); /* "1 to 64", "100ms to 10m", "debug, info, …" */

#endif
