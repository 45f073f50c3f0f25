/*
 * prefer.h: the request headers that choose between answers: Prefer (RFC 7240), Accept, Content-Type, If-None-Match.
 * Pure. Headers that make no sense are as good as absent; a preference may be ignored, and so it is.
 */
#ifndef LATHE_API_PREFER_H
#define LATHE_API_PREFER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/span.h"

struct prefer {
    bool respond_async;
    bool has_wait;
    int64_t wait_s; /* 0 … */
};

struct prefer prefer_read(struct span header);

/* How long a call may wait for its task, at most `most` ms. */
int64_t prefer_wait_ms(const struct prefer *p, int64_t most);

/* The text of Preference-Applied, "" if nothing was asked for. */
#define PREFER_TEXT 64
void prefer_applied(const struct prefer *p, char text[PREFER_TEXT]);

/* The media type without its parameters, trimmed: "application/json". */
struct span media_type(struct span header);

/* Which of the offers Accept likes best: an index, the first one for an empty header, -1 for none. */
int media_choose(struct span accept, const char *const *offers, int count);

/* If-None-Match names this entity tag (or "*"). Weak comparison; `tag` with its quotes. */
bool etag_matches(struct span if_none_match, struct span tag);

#endif
