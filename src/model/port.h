/*
 * port.h: what a handler reaches outside the process: HTTP servers, databases, other programs. A *kind* of port says how a
 * client is opened, watched and driven; the engine keeps one client of a kind for each thread that runs items, opened when the
 * first item asks for it, and steps an item again when its call is over. So a handler waits for a database as it waits
 * for the clock, and thousands of calls share one thread.
 *
 * A kind is declared in a header of model/, with typed functions to begin and drop a call, and defined on the floor that has
 * the library: model/http.h and exec/http.c are an example. As a handler sees it:
 *
 *     if (!s->call && !(s->call = http_start(it, &request)))
 *         return STEP_FAIL;                 // it->err says why
 *     if (!s->call->done)
 *         return item_wait_call(it);
 *
 * and as a kind begins a call:
 *
 *     struct client *c = item_client(it, &my_port);
 *     if (!c)
 *         return NULL;
 *     … remember `it`; later, in drive() or flush(): call->done = true; item_call_over(it);
 *
 * A call may be over at once, inside the function that began it: look at `done` before you wait. A call that was dropped is
 * forgotten: item_call_over is not called for it any more.
 *
 * Only settle and release wait for servers, and no longer than is said here. idle does not: who calls it renews the leases of all
 * that runs.
 */
#ifndef LATHE_MODEL_PORT_H
#define LATHE_MODEL_PORT_H

#include "model/handler.h"

#define PORT_SOON_MS 20 /* between two calls of idle, while there is something that it has to look after */

/* A constant that lives as long as the process. A client is used by one thread at a time; open, close and what comes after flush
 * may be called by any. Nothing of a library may be touched before the process's first open: children are forked without it. */
struct port_kind {
    const char *name;
    bool (*open)(void **ret, struct err *e); /* an idle client, or a new one */
    void (*close)(void *client); /* its calls were dropped, all of them; it may be kept for the next run */
    int (*descriptor)(const void *client); /* readable: drive. The same for as long as the client is open */
    void (*drive)(void *client);           /* never blocks */
    void (*flush)(
        void *client); /* the thread has nothing to step: send what has gathered. NULL: nothing gathers */
    /* Every few seconds: lets go what nobody has used for a while. What clients were told and have not passed on when they were
     * closed is looked after here, a step at a time: true, call again after PORT_SOON_MS. It may take some tenths of a second, where
     * a process of ours does not listen, or has just been killed. NULL: keeps nothing */
    bool (*idle)(void);
    /* Waits until what closed clients were told is carried out, but not after `until` (clock_now()), nor for a server that says nothing:
     * what is left then is logged, and is dropped or goes with the process. For one that may be killed as soon as its run is over.
     * NULL: what ends with the process is not missed */
    void (*settle)(int64_t until);
    void (*release)(
        void); /* settles, and lets everything go: at the end of the process. Takes some seconds at most */
};

/* The engine's side: of one thread that runs items. */
struct ports {
    void *(*client)(struct ports *p, const struct port_kind *kind, struct err *e);
    void (*over)(struct ports *p, struct item *it);
};

/* The client of this kind for the thread that runs the item. NULL with it->err set when there can be none. */
static inline void *item_client(struct item *it, const struct port_kind *kind)
{
    if (!it->ports) {
        err_set(&it->err, ERR_INTERNAL, "what runs this item has no port for %s", kind->name);
        return NULL;
    }
    return it->ports->client(it->ports, kind, &it->err);
}

/* By a kind: the item's call is over. It is stepped again if it waits by item_wait_call. */
static inline void item_call_over(struct item *it)
{
    it->ports->over(it->ports, it);
}

#endif
