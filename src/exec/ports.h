/*
 * ports.h: the clients that the items of one reactor have opened (model/port.h), a guest each among the descriptors that it
 * waits for. One thread, but for the last three.
 */
#ifndef LATHE_EXEC_PORTS_H
#define LATHE_EXEC_PORTS_H

#include "exec/waiting.h"
#include "model/port.h"

#define PORTS_MOST 8 /* kinds that there may be */

struct ports_open {
    struct ports ports; /* what its items see */
    struct waiting *waiting;
    struct {
        const struct port_kind *kind;
        void *client;
        struct guest guest;
    } list[PORTS_MOST];
    int count;
};

void ports_init(struct ports_open *p, struct waiting *w);
void ports_release(struct ports_open *p); /* before the waiting; all calls were dropped */
void ports_flush(struct ports_open *p);

/* Of all kinds that this process has opened a client of (struct port_kind: idle, settle, release). Any thread. */
bool ports_idle(void);
void ports_settle(int64_t until);
void ports_end(void); /* no reactor runs any more */

#endif
