/*
 * gate.h: what a process knows about reaching PostgreSQL, shared by all its connections: after a failure nobody tries for
 * a while, longer each time and never in step with other processes. Any thread.
 */
#ifndef LATHE_STORE_GATE_H
#define LATHE_STORE_GATE_H

#include <pthread.h>
#include <stdint.h>

#include "core/err.h"

struct db_gate {
    pthread_mutex_t mutex;
    int failures;
    int64_t closed_until; /* clock_now() */
    struct err last;
};

void db_gate_init(struct db_gate *g);
void db_gate_release(struct db_gate *g);
int64_t db_gate_opens(struct db_gate *g); /* clock_now() scale; in the past: it is open */

bool db_gate_pass(struct db_gate *g, struct err *e) LATHE_CHECK; /* false: it is closed, for what *e says */
void db_gate_shut(struct db_gate *g, const struct err *why, const char *detail); /* detail: for the log */
void db_gate_opened(struct db_gate *g);

#endif
