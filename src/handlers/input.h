/*
 * input.h: reading the input of an item, for handlers whose inputs are a plain integer or a string.
 */
#ifndef LATHE_HANDLERS_INPUT_H
#define LATHE_HANDLERS_INPUT_H

#include "core/arena.h"
#include "model/handler.h"

/* *v is left alone when items were only counted. False with it->err set when the input is not an integer of min..max. */
bool input_int(struct item *it, int64_t min, int64_t max, int64_t *v);

/* *v is left alone when items were only counted. False with it->err set when the input is not a string. */
bool input_text(struct item *it, struct arena *a, struct span *v);

#endif
