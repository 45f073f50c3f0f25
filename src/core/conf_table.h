/*
 * conf_table.h: settings.def as rows, and a setting's value between text and memory. For the conf*.c files only.
 */
#ifndef LATHE_CORE_CONF_TABLE_H
#define LATHE_CORE_CONF_TABLE_H

#include "core/conf.h"
#include "core/span.h"

enum conf_type { CONF_text, CONF_lines, CONF_int, CONF_bool, CONF_size, CONF_ms, CONF_mode };

#define CONF_DEFAULT_text(def) .word = (def)
#define CONF_DEFAULT_lines(def) .word = (def)
#define CONF_DEFAULT_int(def) .number = (def)
#define CONF_DEFAULT_bool(def) .number = (def)
#define CONF_DEFAULT_size(def) .number = (def)
#define CONF_DEFAULT_ms(def) .number = (def)
#define CONF_DEFAULT_mode(def) .number = (def)

struct conf_row {
    const char *section, *name;
    enum conf_type type;
    size_t offset;    /* in struct conf, or in that of the section */
    int64_t number;   /* the default, */
    const char *word; /* or that of a text */
    int64_t min, max;
    bool reload, secret;
    bool required; /* of a section: it has no default, what stands there is an example */
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

static inline bool conf_is_text(const struct conf_row *row)
{
    return row->type == CONF_text || row->type == CONF_lines;
}

/* The same for a struct that is not struct conf. conf_put makes the value of the text, false if it is not allowed;
 * conf_refuse says so of the setting that messages call `label`. */
void conf_put_default(void *base, const struct conf_row *row);
bool conf_put(struct arena *a, void *base, const struct conf_row *row, struct span value) LATHE_CHECK;
bool conf_refuse(const struct conf_row *row, const char *label, struct span value, const char *origin,
                 struct err *e);

bool conf_same(const struct conf_row *row, const void *a, const void *b); /* structs that hold it */
void conf_take(const struct conf_row *row, struct conf *to, const struct conf *from); /* atomically */

/* The file: every setting in it is set. conf_file.c */
bool conf_read_file(struct conf *c, const char *path, struct err *e) LATHE_CHECK;
bool conf_read_text(struct conf *c, struct span text, const char *path, struct err *e) LATHE_CHECK;

/* The shortest text that reads back as the number: 10s, 64M, 0660. conf_out.c */
void conf_put_number(struct buf *out, enum conf_type type, int64_t number);
void conf_put_range(struct buf *out,
                    const struct conf_row *row); /* "1 to 64", "100ms to 10m", "debug, info, …" */
void conf_put_word(struct buf *out, const struct conf_row *row);                    /* the default */
void conf_put_value(struct buf *out, const struct conf_row *row, const void *base); /* without secrets */

#endif
