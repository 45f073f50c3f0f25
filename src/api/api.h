/*
 * api.h: what the HTTP calls mean, without FastCGI. A call comes in, is matched against the table in routes.def, and is
 * answered with call_send() exactly once: at once, or when its task has ended. A call that waits holds no thread.
 *
 *     struct api *api;
 *     if (!api_new(conf, queue, &api, e)) …
 *     struct front_options options = {.waits = api_waits, .pieces = api_pieces, …};
 *     front_new(&options, api_handle, api, &front, e)
 *     …front_run(front) on another thread; on SIGTERM:
 *     front_stop(front); api_drain(api);        // those that wait get 202 now, the task goes on
 *     …front_run returns
 *     api_stop(api); queue_close(queue);        // the queue may still answer calls through the api
 *     api_free(api); front_free(front);
 */
#ifndef LATHE_API_API_H
#define LATHE_API_API_H

#include "api/call.h"
#include "core/conf.h"
#include "queue/queue.h"

struct api;

/* Starts one thread, for answers that need the store after a wait. `conf` and `queue` outlive the api. */
bool api_new(const struct conf *conf, struct queue *queue, struct api **ret, struct err *e) LATHE_CHECK;

/* Any thread. `api` is a struct api *. Owns the call until it sends. */
void api_handle(void *api, struct call *call);

/* Whether answering it may have to wait for the store, on the thread that calls api_handle. Any thread. */
bool api_waits(void *api, const struct call *call);

/* The most bytes of a body that is taken in pieces; 0: it is taken whole. Any thread. */
int64_t api_pieces(void *api, const struct call *call);

/* Any thread; again does nothing: whoever waits for a task is answered now with the task as it is, and nobody waits from now on. */
void api_drain(struct api *a);

/* After api_drain and after the last api_handle: ends the thread. What the queue still has to say is answered without it. */
void api_stop(struct api *a);

void api_free(struct api *a); /* after queue_close; NULL is fine */

#endif
