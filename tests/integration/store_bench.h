/*
 * store_bench.h: a store on the test's PostgreSQL, migrated, with empty tables for each test; and the few moves that
 * every test of it makes. `admin` is a connection of the test's own for what only SQL can arrange.
 */
#ifndef LATHE_TEST_STORE_BENCH_H
#define LATHE_TEST_STORE_BENCH_H

#include <libpq-fe.h>

#include "core/conf.h"
#include "core/limits.h"
#include "store/store.h"

struct stmt;

struct store_bench {
    struct conf conf;
    struct store *store;
    struct store_writer *writer;
    struct store_worker *worker; /* of `info` */
    struct worker_info info;
    PGconn *admin;
    struct arena arena;
};

int store_bench_setup(void **state); /* *state is a struct store_bench */
int store_bench_teardown(void **state);

void bench_sql(struct store_bench *b, const char *sql);       /* must succeed */
int64_t bench_number(struct store_bench *b, const char *sql); /* one number */

/* A step: how many rows of a table (its name, a text) indexes have found, in this transaction and in what the session has not reported yet. */
extern const struct stmt bench_found_stmt;

void bench_count(struct store_bench *b, const char *table, int64_t rows); /* asserts */

/* A task of `items` items in units of `unit_size`, queue "default", handler "echo". */
struct new_task bench_task(int64_t items, int64_t unit_size);
struct err bench_put(struct store_bench *b, const struct new_task *list, size_t n); /* waits for the answer */
/* The same, and what became of each. */
struct err bench_put_told(struct store_bench *b, const struct new_task *list, size_t n,
                          struct put_verdict *verdicts);
void bench_put_ok(struct store_bench *b, const struct new_task *list, size_t n);

struct task bench_get(struct store_bench *b, struct uuid id); /* must be there */
struct claim bench_claim(struct store_bench *b, int want);    /* in its own arena: claim_release */
void claim_release(struct claim *c);

void bench_expire(struct store_bench *b); /* every lease, as if its worker had been silent */
struct reaped bench_reap(struct store_bench *b);
struct task bench_cancel(struct store_bench *b, struct uuid id);
struct task bench_cancel_ends(struct store_bench *b, struct uuid id, struct ended *ret);

/* The end of a unit as a worker would tell it: a line an item, 1 ms of CPU and 2 ms of waiting each. */
struct finish bench_end(struct store_bench *b, const struct unit *u, enum task_state state, int64_t failed);
void bench_finish(struct store_bench *b, struct finish *f, size_t n); /* must be taken by PostgreSQL */
size_t bench_run_all(struct store_bench *b, enum task_state state); /* claims what there is and ends it so */

/* A host that takes connections and says nothing, until what is returned is closed. url: of it, and where `then` of the real one. */
int bench_mute_host(char *url, size_t room, bool then);

#define STATE_IS(b, id, s) assert_string_equal(state_name(bench_get(b, id).state), s)
#define STORE_TEST(f) cmocka_unit_test_setup_teardown(f, store_bench_setup, store_bench_teardown)

#endif
