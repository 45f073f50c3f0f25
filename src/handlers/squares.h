/*
 * squares.h: the sum of i * i for from <= i < to, modulo 2^64, by really adding them up: one by one, and four at a time where
 * the processor can. Both say the same.
 */
#ifndef LATHE_HANDLERS_SQUARES_H
#define LATHE_HANDLERS_SQUARES_H

#include <stdint.h>

uint64_t squares_sum(uint64_t from, uint64_t to); /* as this processor does it best */

uint64_t squares_sum_plain(uint64_t from, uint64_t to);

#endif
