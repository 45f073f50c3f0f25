#include "core/parent.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "core/span.h"

#define VARIABLE "LATHE_SUPERVISED" /* the process id of the parent that is to be followed */

static pid_t parent;

void parent_lead(void)
{
    char pid[16];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    setenv(VARIABLE, pid, 1);
}

void parent_follow(void)
{
    const char *text = getenv(VARIABLE);
    int64_t pid;
    if (!text)
        return;
    bool good = span_to_int(span_of(text), &pid) && pid > 0;
    unsetenv(VARIABLE); /* it means us, and nobody whom we start */
    if (!good)
        return;
    unsetenv("NOTIFY_SOCKET"); /* the service manager is told by the parent how the whole is */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() == (pid_t)pid)
        parent = (pid_t)pid;
    else
        kill(getpid(), SIGTERM); /* it has ended already; blocked, and read when the loop is there */
}

void parent_ask_successor(void)
{
    if (parent > 0 && getppid() == parent)
        kill(parent, SIGUSR1);
}
