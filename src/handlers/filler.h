/*
 * filler.h: text out of nothing, for work that needs bytes and brings none: pseudo-random words between blanks, common ones more
 * often, which compress about as prose does. The same seed gives the same text everywhere. It costs a fraction of a
 * nanosecond a byte, so that whoever measures what is done to the text does not measure this.
 *
 *     struct filler f;
 *     filler_begin(&f, seed);
 *     filler_take(&f, bytes, n);            // and further ones follow where it ended
 */
#ifndef LATHE_HANDLERS_FILLER_H
#define LATHE_HANDLERS_FILLER_H

#include <stddef.h>
#include <stdint.h>

#define FILLER_SLACK 64 /* bytes behind those that were asked for, which it may write too */

struct filler {
    uint64_t x;
    size_t over; /* bytes of the last word that did not fit any more */
    char rest[FILLER_SLACK];
};

void filler_begin(struct filler *f, uint64_t seed);

/* Writes n bytes; there must be room for n + FILLER_SLACK. */
void filler_take(struct filler *f, char *bytes, size_t n);

#endif
