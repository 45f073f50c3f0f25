/* The migrations of sql/, carried in the program: what `lathe migrate` applies needs no file at run time.
 * The table is generated from the list sql_files of Makefile.am. */
#ifndef LATHE_STORE_MIGRATIONS_H
#define LATHE_STORE_MIGRATIONS_H

#include <stddef.h>

struct migration {
    int version;      /* NNN of the file's name: 1, 2, 3… without a gap */
    const char *name; /* the file's name, "001_tasks.sql" */
    const char *sql;  /* its whole text */
};

/* In order of version; an entry with sql == NULL follows the last. */
extern const struct migration migrations[];
extern const size_t migrations_count;

#endif
