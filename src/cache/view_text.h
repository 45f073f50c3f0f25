/*
 * view_text.h: a view as a field of a Redis hash: "done failed partial_milli", three whole numbers that are not negative.
 */
#ifndef LATHE_CACHE_VIEW_TEXT_H
#define LATHE_CACHE_VIEW_TEXT_H

#include "cache/cache.h"

#define VIEW_TEXT 64

size_t view_format(const struct cache_view *v, char text[VIEW_TEXT]); /* its length */

/* Adds what the text says to *sum; false, and nothing added, when it is not one of ours. */
bool view_add(struct span text, struct cache_view *sum);

#endif
