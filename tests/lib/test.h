/*
 * test.h: what a C test begins with: cmocka and what its header wants first, and where the servers of an integration
 * test are. One cmocka group a program: two would print two TAP plans.
 *
 *     static void t01_finds_nothing(void **state) { … }
 *     int main(void)
 *     {
 *         const struct CMUnitTest tests[] = {cmocka_unit_test(t01_finds_nothing)};
 *         return cmocka_run_group_tests(tests, NULL, NULL);
 *     }
 */
#ifndef LATHE_TEST_H
#define LATHE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* A variable that tests/lib/with-stack sets. */
static inline const char *test_env(const char *name)
{
    const char *value = getenv(name);

    if (value)
        return value;
    printf("Bail out! no %s: run it as tests/lib/run-c PROGRAM\n", name);
    exit(1);
}

/* Conninfo of a PostgreSQL that is this program's own, with an empty database. */
static inline const char *test_pg(void)
{
    return test_env("LATHE_TEST_PG");
}

/* Path of the unix socket of a Redis that is this program's own. */
static inline const char *test_redis(void)
{
    return test_env("LATHE_TEST_REDIS");
}

/* Their processes, to SIGSTOP and SIGCONT them. */
static inline int test_pg_pid(void)
{
    return (int)strtol(test_env("LATHE_TEST_PG_PID"), NULL, 10);
}

static inline int test_redis_pid(void)
{
    return (int)strtol(test_env("LATHE_TEST_REDIS_PID"), NULL, 10);
}

/* Sanitizers take memory, threads and address space of their own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

#endif
