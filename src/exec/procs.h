/*
 * procs.h: runs a plan in children. The calling thread gives the orders, hears the results and watches the clock; any
 * number of threads may do so at once, each with children of its own.
 *
 * A run is a number of passes. In the first all children take items from one shared cursor. When all have said that they
 * are done, or have died, what nobody has reported is run in another pass: at first what was only near a crash, with the
 * shape that was asked for and grain 1; then the suspects, which were in somebody's hands when the process died, one at a
 * time in a process each, so that a second crash convicts the right one.
 */
#ifndef LATHE_EXEC_PROCS_H
#define LATHE_EXEC_PROCS_H

#include "exec/exec.h"

/* Everything of the report but wall_ns; peak_rss_kib is that of the children. False only if no child could be started;
 * then nothing was reported. */
bool procs_run(const struct plan *p, struct exec_report *ret, struct err *e) LATHE_CHECK;

#endif
