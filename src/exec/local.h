/*
 * local.h: runs a plan in this process: a crew of the caller's thread and others.
 */
#ifndef LATHE_EXEC_LOCAL_H
#define LATHE_EXEC_LOCAL_H

#include "exec/work.h"

/* Everything of the report but wall_ns and peak_rss_kib. Always gets there. */
void local_run(const struct plan *p, struct exec_report *ret);

/* The part of a work that follows from the plan alone. */
struct work work_of_plan(const struct plan *p);

#endif
