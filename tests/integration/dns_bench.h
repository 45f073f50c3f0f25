/*
 * dns_bench.h: a name server for one test program, in place of getaddrinfo, libpq's too. It knows here.test, which is 127.0.0.1, and
 * says that there is no none.test; for mute.test it is silent until dns_answers(), and then it cannot say. Others are as always.
 */
#ifndef LATHE_DNS_BENCH_H
#define LATHE_DNS_BENCH_H

#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <string.h>

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool answers;    /* the name server, for mute.test */
    int asked, over; /* for mute.test */
} dns = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

typedef int resolve(const char *node, const char *service, const struct addrinfo *hints,
                    struct addrinfo **ret);

static inline int numeric(const char *node, const char *service, const struct addrinfo *hints,
                          struct addrinfo **ret)
{
    resolve *real;
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    assert_non_null(real);
    return real(node, service, hints, ret);
}

static inline void wait_for_the_name_server(void)
{
    pthread_mutex_lock(&dns.lock);
    dns.asked++;
    pthread_cond_broadcast(&dns.changed);
    while (!dns.answers)
        pthread_cond_wait(&dns.changed, &dns.lock);
    dns.over++;
    pthread_cond_broadcast(&dns.changed);
    pthread_mutex_unlock(&dns.lock);
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
    if (node && strcmp(node, "none.test") == 0)
        return EAI_NONAME;
    if (node && strcmp(node, "mute.test") == 0) {
        wait_for_the_name_server();
        return EAI_AGAIN;
    }
    if (node && strcmp(node, "here.test") == 0)
        node = "127.0.0.1";
    return numeric(node, service, hints, ret);
}

static inline void dns_begin(void)
{
    dns.answers = false;
    dns.asked = dns.over = 0;
}

/* For mute.test; until nobody is left who asked. */
static inline void dns_answers(void)
{
    pthread_mutex_lock(&dns.lock);
    dns.answers = true;
    pthread_cond_broadcast(&dns.changed);
    while (dns.over < dns.asked)
        pthread_cond_wait(&dns.changed, &dns.lock);
    pthread_mutex_unlock(&dns.lock);
}

static inline int dns_asked(void)
{
    pthread_mutex_lock(&dns.lock);
    int n = dns.asked;
    pthread_mutex_unlock(&dns.lock);
    return n;
}

/* Until the name server has been asked so often. */
static inline void dns_wait_asked(int n)
{
    pthread_mutex_lock(&dns.lock);
    while (dns.asked < n)
        pthread_cond_wait(&dns.changed, &dns.lock);
    assert_int_equal(dns.asked, n);
    pthread_mutex_unlock(&dns.lock);
}

#endif
