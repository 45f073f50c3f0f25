/*
 * client.h: what the commands share that look at tasks from outside: they talk to PostgreSQL and Redis themselves, so
 * they work on any host that reaches those, without nginx.
 */
#ifndef LATHE_CMD_CLIENT_H
#define LATHE_CMD_CLIENT_H

#include <stdio.h>

#include "api/comparison.h"
#include "queue/queue.h"

void client_close(struct queue **q); /* for CLEANUP(): queue_close, NULL is fine */

bool client_id(const char *text, struct uuid *ret, struct err *e) LATHE_CHECK;

/* Submits and waits for the commit. */
bool client_put(struct queue *q, struct arena *a, const struct submission *s, struct uuid *ret,
                struct err *e) LATHE_CHECK;

/* The same with the items of a file, "-" for standard input: a JSON value a line, however many there are. Shows how far it is on
 * stderr, if that is a terminal. (upload.c) */
bool client_put_lines(struct queue *q, struct arena *a, struct submission *s, const char *path,
                      struct uuid *ret, struct err *e) LATHE_CHECK;

/* The task once it is final, or as it is after ms. */
bool client_wait(struct queue *q, struct arena *a, struct uuid id, int64_t ms, struct task *ret,
                 struct err *e) LATHE_CHECK;

/* The same with a progress bar on stderr, if that is a terminal; seconds 0: for ever. */
bool client_watch(struct queue *q, struct arena *a, struct uuid id, int64_t seconds, struct task *ret,
                  struct err *e) LATHE_CHECK;

/* Says on stderr that no worker is alive, if that is so. */
void client_warn_idle(struct queue *q, struct arena *a);

/* Exit code for a task: 0 succeeded, 1 failed or cancelled, 75 not over. */
int client_exit(const struct task *t);

/* On stdout: for people, or the document of the HTTP API on one line. */
void print_task(const struct task *t);
void print_task_json(const struct task *t, const struct comparison *table); /* table NULL: none */
void print_comparison(const struct comparison *t);

/* "1.234 s", "12.3 ms": three or four digits that mean something. */
#define DURATION_TEXT 24
void format_duration(double ms, char text[DURATION_TEXT]);

#endif
