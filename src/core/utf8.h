/*
 * utf8.h: what is a character and what is not: RFC 3629, so no surrogates, no overlong forms, nothing past U+10FFFF.
 */
#ifndef LATHE_CORE_UTF8_H
#define LATHE_CORE_UTF8_H

#include <stddef.h>
#include <stdint.h>

#include "core/span.h"

/* Bytes (1 to 4) of the character at the front of `s`; 0 if it is empty or what stands there is no UTF-8. */
size_t utf8_length(struct span s);

/* Writes a code point (a valid one) as 1 to 4 bytes and returns how many. */
size_t utf8_encode(uint32_t point, char bytes[4]);

/* The longest front of `s` that is at most `max` bytes and does not end inside a character. */
struct span utf8_clip(struct span s, size_t max);

#endif
