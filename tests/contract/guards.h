/*
 * guards.h: the guard of commands (exec/command_guard.h) as its tests find it, kill it, and wait for the next.
 */
#ifndef LATHE_TEST_GUARDS_H
#define LATHE_TEST_GUARDS_H

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/test.h"
#include "core/clock.h"
#include "exec/command_guard.h"

/* Is it the guard of this process? /proc/PID/stat: "PID (NAME) STATE PARENT …" */
static inline bool is_guard(const char *pid)
{
    static const char name[] = " (lathe-guard) S ";
    char path[300], line[200] = "";
    snprintf(path, sizeof path, "/proc/%s/stat", pid);
    FILE *f = fopen(path, "re");
    if (f && !fgets(line, sizeof line, f))
        line[0] = '\0';
    if (f)
        fclose(f);
    const char *at = strstr(line, name);
    return at && strtol(at + strlen(name), NULL, 10) == getpid();
}

/* -1: there is none. */
static inline pid_t find_guard(void)
{
    DIR *all = opendir("/proc");
    struct dirent *d;
    pid_t found = -1;
    while (all && found < 0 && (d = readdir(all)))
        if (is_guard(d->d_name))
            found = (pid_t)strtol(d->d_name, NULL, 10);
    closedir(all);
    return found;
}

static inline void kill_guard(void)
{
    siginfo_t info;
    pid_t pid = find_guard();
    if (pid > 0 && kill(pid, SIGKILL) == 0)
        waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
}

/* Until the next is not started at once. */
static inline void lose_guard(void)
{
    struct err e;
    int64_t again;
    do
        kill_guard();
    while (guard_open(&again, &e));
    assert_true(again > 0);
    assert_non_null(strstr(e.text, "guard"));
}

static inline void have_guard(void)
{
    struct err e;
    int64_t again, give_up = clock_after_ms(60000);
    for (; !guard_open(&again, &e) || find_guard() < 0; poll(NULL, 0, 2))
        assert_true(clock_now() < give_up);
}

#endif
