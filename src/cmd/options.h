/*
 * options.h: the options of a command, from a table of fields: "--item-timeout-ms 50", "--item-timeout-ms=50" and, for a
 * bool, "--json" alone. A field's '_' is '-' on the command line.
 */
#ifndef LATHE_CMD_OPTIONS_H
#define LATHE_CMD_OPTIONS_H

#include "core/field.h"

/*
 * Takes the options that the table knows out of argv (argv[0] stays) and sets them in `target`, which has its defaults
 * already. `shorts`: "n=items_count j=json", NULL: none. Others are left, in order; so is everything after "--".
 */
bool options_take(const struct fields *f, const char *shorts, int *argc, char **argv, void *target,
                  struct err *e) LATHE_CHECK;

/* The same, but has `found` do with the text what it will (false: e is set). For FIELD_JSON too. */
bool options_each(const struct fields *f, const char *shorts, int *argc, char **argv,
                  bool (*found)(void *arg, const struct field *field, struct span value, struct err *e),
                  void *arg, struct err *e) LATHE_CHECK;

/* One value of an option that may be given several times, taken out of argv; NULL when there is none left. */
bool options_next(const char *name, const char *letter, int *argc, char **argv, const char **ret,
                  struct err *e) LATHE_CHECK;

/* What is left must be `least` to `most` words and no option: ERR_USAGE. */
bool options_words(int argc, char **argv, int least, int most, struct err *e) LATHE_CHECK;

void options_help(const struct fields *f, const char *shorts, struct buf *out); /* a line each */

#endif
