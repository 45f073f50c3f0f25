/*
 * probe.h: what the contract suites see of a run. Every handler of the registry has a probe: a handler that does the same
 * and counts, in memory shared with the children, who begins, who is dropped and how many fly. Nothing here knows a handler by
 * name.
 *
 * begin_probing() before exec_start(): children are forked from what is there then.
 */
#ifndef LATHE_TEST_PROBE_H
#define LATHE_TEST_PROBE_H

#include "../lib/test.h"

#include <dirent.h>
#include <sys/mman.h>

#include "../lib/run_item.h"
#include "exec/exec.h"
#include "handlers/plugin.h"
#include "handlers/registry.h"
#include "model/strategy.h"

#define PROBE_ITEMS 512

/* Lives in shared memory. */
struct probed {
    _Atomic int64_t begun, dropped, flying, most; /* most: of items in flight at once */
    _Atomic int64_t begun_late;                   /* begun although the cancel flag was up already */
    _Atomic int64_t begins[PROBE_ITEMS];          /* of each item */
};

static struct probed *probed;

struct probe {
    struct handler as; /* what runs; first, so that an item leads here */
    const struct handler *of;
};

static struct probe probes[64];

struct probe_state {
    bool begun;
};

/* The handler's own state comes first. */
static inline size_t probe_offset(const struct handler *h)
{
    return (h->state_size + 15) / 16 * 16;
}

static inline const struct handler *probed_by(const struct item *it)
{
    const struct probe *p = (const struct probe *)(const void *)it->handler;
    return p->of;
}

static inline struct probe_state *probe_state(struct item *it)
{
    return (struct probe_state *)(void *)((char *)it->state + probe_offset(probed_by(it)));
}

static inline void probe_begin(struct item *it)
{
    int64_t flying = atomic_fetch_add(&probed->flying, 1) + 1, most = atomic_load(&probed->most);

    while (flying > most && !atomic_compare_exchange_weak(&probed->most, &most, flying))
        continue;
    atomic_fetch_add(&probed->begins[it->index % PROBE_ITEMS], 1);
    if (cancel_raised(it->cancel))
        atomic_fetch_add(&probed->begun_late, 1);
    atomic_fetch_add(&probed->begun, 1);
}

static inline enum step probe_step(struct item *it)
{
    struct probe_state *s = probe_state(it);

    if (!s->begun) {
        s->begun = true;
        probe_begin(it);
    }
    return probed_by(it)->step(it);
}

static inline void probe_drop(struct item *it)
{
    if (probed_by(it)->drop)
        probed_by(it)->drop(it);
    atomic_fetch_add(&probed->dropped, 1);
    atomic_fetch_sub(&probed->flying, 1);
}

/* The example plug-in is a handler like any other. */
static inline void load_plugins(void)
{
    const char *build = getenv("top_builddir");
    struct err e = ERR_INIT;
    char path[512];

    snprintf(path, sizeof path, "%s/tests/handlers.d", build ? build : ".");
    if (!plugins_load(path, &e))
        fail_msg("%s", e.text);
    assert_non_null(handler_find(SPAN("example.primes")));
}

static inline void begin_probing(void)
{
    probed = mmap(NULL, sizeof *probed, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(probed != MAP_FAILED);
    handlers_allow_hidden(true);
    load_plugins();
    for (size_t i = 0; handler_at(i); i++) {
        assert_true(i < COUNT_OF(probes));
        struct probe *p = &probes[i];
        *p = (struct probe){.as = *handler_at(i), .of = handler_at(i)};
        p->as.step = probe_step;
        p->as.drop = probe_drop;
        p->as.state_size = probe_offset(p->of) + sizeof(struct probe_state);
    }
}

static inline void reset_probe(void)
{
    memset((void *)probed, 0, sizeof *probed);
}

static inline const struct handler *probe_of(const struct handler *h)
{
    for (size_t i = 0; handler_at(i); i++)
        if (probes[i].of == h)
            return &probes[i].as;
    fail();
    return NULL;
}

static inline bool named_in_ms(const char *name)
{
    size_t n = strlen(name);

    return strcmp(name, "ms") == 0 || (n > 3 && strcmp(name + n - 3, "_ms") == 0);
}

/* The defaults, but no wait longer than a millisecond: units are in the names. */
static inline void *quick_args(struct arena *a, const struct handler *h)
{
    void *args = arena_alloc(a, h->params.size > 0 ? h->params.size : 1);

    fields_defaults(&h->params, args);
    for (size_t i = 0; i < h->params.count; i++) {
        const struct field *f = &h->params.list[i];
        int64_t *v = (int64_t *)(void *)((char *)args + f->offset);

        if (f->type == FIELD_INT && named_in_ms(f->name) && *v > 1)
            *v = f->min > 1 ? f->min : 1;
    }
    return args;
}

static inline int entries(const char *dir)
{
    DIR *d = opendir(dir);
    int n = 0;

    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

static inline int count_threads(void)
{
    return entries("/proc/self/task");
}

static inline int count_descriptors(void)
{
    return entries("/proc/self/fd") - 1; /* not the one that looks */
}

/* What became of an item, as text: "ok <result>" or "failed <slug> <text>". Lives in the arena. */
static inline const char *outcome_text(struct arena *a, bool ok, struct span result, const struct err *e)
{
    if (ok)
        return arena_printf(a, "ok " SPAN_FMT, SPAN_ARG(result.len > 0 ? result : SPAN("null")));
    return arena_printf(a, "failed %s %s", err_slug(e->code), e->text);
}

/* What every strategy has to come to: the item by hand. */
static inline const char *reference(struct arena *a, const struct handler *h, const void *args, int64_t index,
                                    struct span input)
{
    struct run_item r;
    const char *text;

    run_item(&r, h, args, index, input);
    text = outcome_text(a, r.last == STEP_DONE, buf_view(&r.it.out), &r.it.err);
    run_end(&r);
    return text;
}

#endif
