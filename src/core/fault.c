#include "core/fault.h"

#ifdef LATHE_FAULT_POINTS

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/span.h"

#define RULES_MOST 32

enum action { DROP, KILL, STOP, DELAY };

struct rule {
    struct span point;
    int64_t pass; /* the one that it strikes at */
    enum action action;
    int64_t delay_ms;
    _Atomic int64_t passed;
};

static struct rule rules[RULES_MOST];
static size_t rule_count;
static int count_fd = -1;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static bool parse_action(struct span text, struct rule *r)
{
    struct span word = span_cut(&text, '=');
    if (span_is(word, "drop"))
        r->action = DROP;
    else if (span_is(word, "kill"))
        r->action = KILL;
    else if (span_is(word, "stop"))
        r->action = STOP;
    else if (span_is(word, "delay") && span_to_int(text, &r->delay_ms) && r->delay_ms >= 0 &&
             r->delay_ms <= 600000)
        r->action = DELAY;
    else
        return false;
    return true;
}

static bool parse_rule(struct span text, struct rule *r)
{
    r->point = span_cut(&text, ':');
    return r->point.len && span_to_int(span_cut(&text, ':'), &r->pass) && r->pass > 0 &&
           parse_action(text, r);
}

/* A rule that is not understood ends the program: a test that injects nothing would pass for the wrong reason. */
static void read_environment(void)
{
    struct span text = span_of(getenv("LATHE_FAULT"));
    while (text.len) {
        struct span one = span_cut(&text, ',');
        if (rule_count == RULES_MOST || !parse_rule(one, &rules[rule_count])) {
            fprintf(stderr, "lathe: LATHE_FAULT: cannot use \"" SPAN_FMT "\"\n", SPAN_ARG(one));
            abort();
        }
        rule_count++;
    }
    const char *file = getenv("LATHE_FAULT_COUNT");
    if (file)
        count_fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static void count(const char *point)
{
    char line[128];
    int n = snprintf(line, sizeof line, "%.120s\n", point);
    if (n > 0 && count_fd >= 0)
        (void)!write(count_fd, line, (size_t)n);
}

static bool strike(const struct rule *r)
{
    switch (r->action) {
    case DROP:
        return true;
    case KILL:
        kill(getpid(), SIGKILL);
        break;
    case STOP:
        kill(getpid(), SIGSTOP);
        break;
    case DELAY:
        poll(NULL, 0, (int)r->delay_ms);
        break;
    }
    return false;
}

bool fault_hit(const char *point)
{
    pthread_once(&once, read_environment);
    count(point);
    bool dropped = false;
    for (size_t i = 0; i < rule_count; i++)
        if (span_is(rules[i].point, point) && atomic_fetch_add(&rules[i].passed, 1) + 1 == rules[i].pass)
            dropped = strike(&rules[i]) || dropped;
    return dropped;
}

#else

typedef int fault_points_are_off; /* ISO C wants something in a file */

#endif
