/*
 * command_answer.h: what is said on the pipes of a command, docs/commands.md: the line that hands over an item, and the line
 * that answers. Inside exec/ only.
 */
#ifndef LATHE_EXEC_COMMAND_ANSWER_H
#define LATHE_EXEC_COMMAND_ANSWER_H

#include "core/json.h"

enum answer_kind { ANSWER_RESULT, ANSWER_ERROR, ANSWER_PROGRESS, ANSWER_LOG };

struct answer {
    int64_t id;
    enum answer_kind kind;
    const struct json *result;
    struct span text; /* of an error or for the log */
    bool again;       /* an error: a later try may be better */
    double progress;
};

/* The line that asks; all spans are JSON text, empty ones are left out. */
void answer_ask(struct buf *out, int64_t id, int64_t index, int64_t tries, struct span input,
                struct span params);

/* One line without its end; what is in *ret lives in the arena. ERR_COMMAND: it is not one of the protocol's. */
bool answer_read(struct arena *a, struct span line, struct answer *ret, struct err *e) LATHE_CHECK;

#endif
