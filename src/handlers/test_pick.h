/*
 * test_pick.h: which items of a test handler misbehave, so that all of them choose in the same way.
 */
#ifndef LATHE_HANDLERS_TEST_PICK_H
#define LATHE_HANDLERS_TEST_PICK_H

#include "model/handler.h"

struct test_pick {
    int64_t every, at;
};

/* The item at index `at`, or without that every `every`-th: with 3 those of index 2, 5, 8, … */
static inline bool test_picked(const struct test_pick *p, int64_t index)
{
    return p->at >= 0 ? index == p->at : (index + 1) % p->every == 0;
}

/* Their two params; the struct test_pick is the first member of the params struct. */
#define TEST_PICK_FIELDS                                                                                \
    {.name = "every",                                                                                   \
     .type = FIELD_INT,                                                                                 \
     .offset = offsetof(struct test_pick, every),                                                       \
     .min = 1,                                                                                          \
     .max = INT64_MAX,                                                                                  \
     .def = 3,                                                                                          \
     .summary = "every so many-th item misbehaves"},                                                    \
    {                                                                                                   \
        .name = "at", .type = FIELD_INT, .offset = offsetof(struct test_pick, at), .min = -1,           \
        .max = INT64_MAX, .def = -1, .summary = "only the item of this index misbehaves; -1: see every" \
    }

#endif
