/* version, hash of the filters, id: 1 + 4 + 16 bytes, 28 characters of base64url without padding. */
#include <string.h>

#include "api/cursor.h"

enum { FORMAT = 1, BYTES = 21 };

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void fill(uint8_t bytes[BYTES], struct span filters)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < filters.len; i++)
        hash = (hash ^ (uint8_t)filters.ptr[i]) * 16777619u;
    bytes[0] = FORMAT;
    for (int i = 0; i < 4; i++)
        bytes[1 + i] = (uint8_t)(hash >> (8 * i));
}

void cursor_write(struct uuid last, struct span filters, char text[CURSOR_TEXT])
{
    uint8_t bytes[BYTES];
    fill(bytes, filters);
    memcpy(bytes + 5, last.b, sizeof last.b);
    for (int i = 0; i < BYTES / 3; i++) {
        uint32_t v = (uint32_t)bytes[3 * i] << 16 | (uint32_t)bytes[3 * i + 1] << 8 | bytes[3 * i + 2];
        for (int k = 0; k < 4; k++)
            text[4 * i + k] = alphabet[v >> (18 - 6 * k) & 63];
    }
    text[CURSOR_TEXT - 1] = '\0';
}

bool cursor_read(struct span text, struct span filters, struct uuid *ret_last)
{
    uint8_t bytes[BYTES], expected[BYTES];
    if (text.len != CURSOR_TEXT - 1)
        return false;
    for (size_t i = 0; i < BYTES / 3; i++) {
        uint32_t v = 0;
        for (size_t k = 0; k < 4; k++) {
            const char *at = memchr(alphabet, text.ptr[4 * i + k], sizeof alphabet - 1);
            if (!at)
                return false;
            v = v << 6 | (uint32_t)(at - alphabet);
        }
        for (size_t k = 0; k < 3; k++)
            bytes[3 * i + k] = (uint8_t)(v >> (16 - 8 * k));
    }
    fill(expected, filters);
    if (memcmp(bytes, expected, 5) != 0)
        return false;
    memcpy(ret_last->b, bytes + 5, sizeof ret_last->b);
    return true;
}
