#include "core/cond.h"

#include <time.h>

void cond_init(pthread_cond_t *c)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(c, &attr);
    pthread_condattr_destroy(&attr);
}

bool cond_wait(pthread_cond_t *c, pthread_mutex_t *lock, int64_t deadline)
{
    struct timespec until = {.tv_sec = deadline / NS_PER_S, .tv_nsec = deadline % NS_PER_S};
    if (deadline == CLOCK_NEVER)
        return pthread_cond_wait(c, lock) == 0;
    return pthread_cond_timedwait(c, lock, &until) == 0;
}
