/*
 * follow_bench.h: the moves of the tests of tasks that know each other, on top of store_bench.h: tasks with terms, putting
 * them with a verdict each, and a second session beside the store's.
 */
#ifndef LATHE_TEST_FOLLOW_BENCH_H
#define LATHE_TEST_FOLLOW_BENCH_H

#include "store/inside.h"
#include "store_bench.h"

struct new_task with_terms(struct store_bench *b, const char *format, ...) LATHE_PRINTF(2, 3);
const char *id_text(struct store_bench *b, struct uuid id);     /* in the bench's arena */
struct new_task needing(struct store_bench *b, struct uuid id); /* its success */

/* Waits for the answer, which must be no error. */
void put(struct store_bench *b, const struct new_task *list, size_t n, struct put_verdict *verdicts);
void put_taken(struct store_bench *b, const struct new_task *list, size_t n); /* each must be taken */

void nothing_left(struct store_bench *b); /* asserts: nothing waits, no key is taken */

struct other {
    PGconn *conn; /* PQfinish */
};

struct other other_open(void);
void other_sql(struct other *o, const char *sql); /* must succeed */

#endif
