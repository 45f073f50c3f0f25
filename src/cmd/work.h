/*
 * work.h: a submission from the command line, by the same table and the same checks as the body of the HTTP API.
 */
#ifndef LATHE_CMD_WORK_H
#define LATHE_CMD_WORK_H

#include "model/submission.h"

/*
 * Takes out of argv: every field of a submission as an option (--items-count=50, -n 50, --simulate-db-delay), --param k=v
 * for each of the handler's params, --params, --shape, --tags, --meta as JSON, --items FILE ("-": standard input; a JSON
 * list, or a JSON value a line), --strategies a,b. `strategy` NULL: for compare.
 */
bool work_read(struct arena *a, const struct strategy *strategy, int *argc, char **argv,
               struct submission *ret, struct err *e) LATHE_CHECK;

void work_help(struct buf *out);

#endif
