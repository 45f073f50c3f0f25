/*
 * record.h: writes an answer as FastCGI records. Nothing is copied: the records are laid over `head` and `body` where they
 * are, and how far it has come is one number, so that any thread can go on where another stopped.
 *
 *     struct record_out o = record_out(id, head, body, true);
 *     switch (record_send(&o, fd)) …                // never waits
 */
#ifndef LATHE_FCGI_RECORD_H
#define LATHE_FCGI_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "core/span.h"

struct record_out {
    struct span head, body; /* borrowed until it is sent */
    uint64_t sent, total;   /* bytes on the wire */
    uint16_t id;
    bool end; /* the request ends with it: an empty STDOUT and END_REQUEST follow */
};

enum record_result {
    RECORD_DONE,
    RECORD_AGAIN,  /* the socket takes no more now */
    RECORD_BROKEN, /* it never will */
};

struct record_out record_out(uint16_t id, struct span head, struct span body, bool end);
enum record_result record_send(struct record_out *o, int fd);

#endif
