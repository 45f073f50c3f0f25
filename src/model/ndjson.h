/*
 * ndjson.h: cuts bytes that come in pieces into lines, and looks whether each is one JSON value by the rules of core/json.h.
 * Lines end with LF or CR LF, the last one also with the end; blank ones are passed over. (JSON allows a CR between two words of
 * a value: who keeps values should take it out, for some readers of lines end one there.) Pure; holds one line at most.
 *
 *     struct ndjson n;
 *     ndjson_init(&n, on_value, arg);
 *     while (…) if (!ndjson_feed(&n, piece, e)) …       // "line 17, column 3: …"
 *     if (!ndjson_end(&n, e)) …
 *     ndjson_release(&n);
 */
#ifndef LATHE_MODEL_NDJSON_H
#define LATHE_MODEL_NDJSON_H

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/err.h"
#include "core/span.h"

struct ndjson {
    bool (*value)(void *arg, struct span value, struct err *e);
    void *arg;
    int64_t line;     /* number of the line that `value` is called for, from 1; blank ones count */
    struct buf begun; /* of the line whose end has not come yet */
};

/* `value` gets the text of a line without the blanks around it, borrowed until it returns; false ends the reading. */
void ndjson_init(struct ndjson *n, bool (*value)(void *arg, struct span value, struct err *e), void *arg);
void ndjson_release(struct ndjson *n);

/* False: `value` said so, or *e names the line: ERR_BAD_JSON, or ERR_TOO_LARGE beyond LIMIT_ITEM_INPUT. Nothing may be fed
 * afterwards. */
bool ndjson_feed(struct ndjson *n, struct span piece, struct err *e) LATHE_CHECK;
bool ndjson_end(struct ndjson *n, struct err *e) LATHE_CHECK;

#endif
