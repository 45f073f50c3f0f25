#include "store/sql_cancel.h"

#include "core/cond.h"
#include "core/limits.h"
#include "core/mem.h"

#define STACK (256u * KIB)

struct job {
    PGcancel *cancel;
    PGconn *close; /* NULL: it stays open */
    struct job *next;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t over;
    struct job *first, **end;
    int count;
    bool runs;
} desk = {.lock = PTHREAD_MUTEX_INITIALIZER, .end = &desk.first};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init(void)
{
    cond_init(&desk.over);
}

static struct job *next_job(void)
{
    pthread_mutex_lock(&desk.lock);
    struct job *j = desk.first;
    if (j) {
        desk.first = j->next;
        if (!desk.first)
            desk.end = &desk.first;
        desk.count--;
    } else {
        desk.runs = false;
        pthread_cond_broadcast(&desk.over);
    }
    pthread_mutex_unlock(&desk.lock);
    return j;
}

static void do_job(struct job *j)
{
    char why[256];
    if (j->cancel)
        PQcancel(j->cancel, why, sizeof why); /* what fails is over by itself, or by the time limit */
    PQfreeCancel(j->cancel);
    if (j->close)
        PQfinish(j->close);
    mem_free(j);
}

static void *work(void *arg)
{
    struct job *j;
    while ((j = next_job()))
        do_job(j);
    return arg;
}

static bool start_thread(void)
{
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK);
    bool ok = pthread_create(&thread, &attr, work, NULL) == 0;
    pthread_attr_destroy(&attr);
    return ok;
}

/* Too many: a server does not take them. Who is closed without being cancelled ends by its time limit. */
static void put(PGconn *pg, bool close)
{
    struct job *j = mem_alloc(sizeof *j);
    *j = (struct job){.cancel = PQgetCancel(pg), .close = close ? pg : NULL};
    pthread_once(&once, init);
    pthread_mutex_lock(&desk.lock);
    bool taken = desk.count < LIMIT_SQL_CANCELS && (desk.runs || (desk.runs = start_thread()));
    if (taken) {
        *desk.end = j;
        desk.end = &j->next;
        desk.count++;
    }
    pthread_mutex_unlock(&desk.lock);
    if (taken)
        return;
    PQfreeCancel(j->cancel);
    j->cancel = NULL;
    do_job(j);
}

void sql_cancel(PGconn *pg)
{
    put(pg, false);
}

void sql_cancel_and_close(PGconn *pg)
{
    put(pg, true);
}

void sql_cancel_wait(int64_t deadline)
{
    pthread_once(&once, init);
    pthread_mutex_lock(&desk.lock);
    while (desk.runs && cond_wait(&desk.over, &desk.lock, deadline))
        continue;
    pthread_mutex_unlock(&desk.lock);
}
