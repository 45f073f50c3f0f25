/*
 * conf_sections.h: sections.def as rows, and what a section of the file becomes. For the conf*.c files only.
 */
#ifndef LATHE_CORE_CONF_SECTIONS_H
#define LATHE_CORE_CONF_SECTIONS_H

#include "core/conf_table.h"

#define SECTION_FIELDS_MOST 32u

struct conf_kind {
    const char *name, *example, *text;
    size_t size;                 /* of its struct, which begins as struct section_head does */
    size_t list_at, count_at;    /* in struct conf */
    const struct conf_row *rows; /* without a section */
    size_t row_count;
};

struct section_head {
    const char *name;
    int64_t line;
};

extern const struct conf_kind conf_kinds[];
extern const size_t conf_kind_count;

const struct conf_kind *section_kind(struct span name); /* NULL if there is none */
const struct conf_row *section_row(const struct conf_kind *kind, struct span name);
size_t section_count(const struct conf *c, const struct conf_kind *kind);
struct section_head *section_at(const struct conf *c, const struct conf_kind *kind, size_t i);
struct section_head *section_find(const struct conf *c, const struct conf_kind *kind, struct span name);

/* With its defaults. NULL: the name is not one, or taken, or there are too many, as *e says. Earlier ones may move. */
struct section_head *section_add(struct conf *c, const struct conf_kind *kind, struct span name, int64_t line,
                                 const char *origin, struct err *e) LATHE_CHECK;

/* Does every name of another section stand for one? `path` begins the message. */
bool sections_check(const struct conf *c, const char *path, struct err *e) LATHE_CHECK;

/* Those that are in one of them only, or differ. */
void sections_differ(const struct conf *a, const struct conf *b, const char *separator, struct buf *out);

/* What conf_help and the others say of sections. conf_sections_out.c */
void sections_help(struct buf *out);
void sections_sample(struct buf *out);
void sections_manual(struct buf *out);
void sections_show(const struct conf *c, struct buf *out);

#endif
