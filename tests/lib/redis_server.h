/*
 * redis_server.h: a Redis of the test's own, on a unix socket in a new directory, which the test may kill, freeze, start
 * again or give a password. Nothing is kept on disk. Every call asserts that it worked.
 */
#ifndef LATHE_TESTS_REDIS_SERVER_H
#define LATHE_TESTS_REDIS_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

struct redis_server {
    char dir[64];
    char address[96]; /* "unix:/…": setting cache.url */
    const char *password;
    pid_t pid; /* 0: not running */
};

bool redis_server_missing(void); /* the program is not installed: print a skip */

void redis_server_init(struct redis_server *s);    /* the directory; does not start it */
void redis_server_release(struct redis_server *s); /* kills it, removes the directory */
void redis_server_start(struct redis_server *s);   /* returns when it accepts connections */
void redis_server_kill(struct redis_server *s);    /* as by kill -9 */
void redis_server_freeze(struct redis_server *s);  /* alive, and silent */
void redis_server_thaw(struct redis_server *s);

/* One command as redis-cli would take it, on a connection of its own. The first line of the reply without its type sign:
 * "OK", "1"; of an array or a text its length. */
void redis_server_ask(struct redis_server *s, const char *command, char *reply, size_t room);
long redis_server_number(struct redis_server *s, const char *command); /* the reply as a number */

#endif
