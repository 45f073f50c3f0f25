/*
 * batch.h: submissions that come together and may know each other by names: depends_on "#name". Pure.
 */
#ifndef LATHE_MODEL_BATCH_H
#define LATHE_MODEL_BATCH_H

#include "model/submission.h"

struct batch_row {
    struct submission *s;      /* NULL: it could not be read */
    const struct err *refused; /* why it is not accepted; NULL: it is */
};

/* Gives the rows ids and their needs the ids of the rows that they name. Refuses, with its error in the arena, a row whose
 * name another has before it, that names what is not there, that is on a cycle, or that needs a row that is refused. */
void batch_link(struct arena *a, struct batch_row *rows, size_t n);

#endif
