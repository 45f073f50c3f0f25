/*
 * engine_model.h: an engine on paper, to hold predictions against: threads that keep `width` items in flight, take them
 * from a shared cursor `grain` at a time, and compute one item at a time on one of `cores` cores, first come first served.
 * Every item waits `wait` and then computes `cpu`. Independent of model/profile.c: it has no formula, it plays the run.
 */
#ifndef LATHE_TEST_ENGINE_MODEL_H
#define LATHE_TEST_ENGINE_MODEL_H

#include <stdint.h>
#include <stdlib.h>

#include "core/mem.h"
#include "model/shape.h"

struct model_thread {
    int64_t local, flying, ready; /* items taken but not begun, begun, and done with waiting */
    bool queued;                  /* for a core or on one */
};

struct model {
    struct shape shape;
    int64_t items, cursor, threads, cores, done;
    double wait, cpu, now;
    struct model_thread *thread;
    int64_t *run, run_head, run_tail; /* threads that want a core, in order */
    int64_t *wait_thread; /* waits under way: all of one length, so they end in the order of their begin */
    double *wait_end;
    int64_t wait_head, wait_tail;
    int64_t *core_thread; /* -1: idle */
    double *core_end;
};

static void model_want_core(struct model *m, int64_t t)
{
    if (m->thread[t].queued || m->thread[t].ready == 0)
        return;
    m->thread[t].queued = true;
    m->run[m->run_tail++] = t;
}

static void model_begin_items(struct model *m, int64_t t)
{
    struct model_thread *th = &m->thread[t];

    while (th->flying < m->shape.width) {
        if (th->local == 0) {
            th->local = m->items - m->cursor < m->shape.grain ? m->items - m->cursor : m->shape.grain;
            m->cursor += th->local;
        }
        if (th->local == 0)
            return;
        th->local--;
        th->flying++;
        m->wait_thread[m->wait_tail] = t;
        m->wait_end[m->wait_tail++] = m->now + m->wait;
    }
}

static void model_fill_cores(struct model *m)
{
    for (int64_t k = 0; k < m->cores && m->run_head < m->run_tail; k++)
        if (m->core_thread[k] < 0) {
            m->core_thread[k] = m->run[m->run_head++];
            m->core_end[k] = m->now + m->cpu;
        }
}

static void model_end_item(struct model *m, int64_t k)
{
    int64_t t = m->core_thread[k];

    m->core_thread[k] = -1;
    m->done++;
    m->thread[t].ready--;
    m->thread[t].flying--;
    m->thread[t].queued = false;
    model_begin_items(m, t);
    model_want_core(m, t);
}

/* The earliest of the waits and the cores that end. */
static void model_advance(struct model *m)
{
    int64_t first = -1;

    for (int64_t k = 0; k < m->cores; k++)
        if (m->core_thread[k] >= 0 && (first < 0 || m->core_end[k] < m->core_end[first]))
            first = k;
    if (m->wait_head < m->wait_tail && (first < 0 || m->wait_end[m->wait_head] <= m->core_end[first])) {
        int64_t t = m->wait_thread[m->wait_head];

        m->now = m->wait_end[m->wait_head++];
        m->thread[t].ready++;
        model_want_core(m, t);
    } else {
        m->now = m->core_end[first];
        model_end_item(m, first);
    }
}

/* How long the run takes. */
static double model_run(struct shape shape, int64_t items, double wait, double cpu, int64_t cores)
{
    struct model m = {.shape = shape, .items = items, .wait = wait, .cpu = cpu, .cores = cores};

    m.threads = shape_threads(&shape);
    m.thread = mem_array((size_t)m.threads, sizeof *m.thread);
    m.run = mem_array((size_t)items + 1, sizeof *m.run);
    m.wait_thread = mem_array((size_t)items + 1, sizeof *m.wait_thread);
    m.wait_end = mem_array((size_t)items + 1, sizeof *m.wait_end);
    m.core_thread = mem_array((size_t)cores, sizeof *m.core_thread);
    m.core_end = mem_array((size_t)cores, sizeof *m.core_end);
    for (int64_t k = 0; k < cores; k++)
        m.core_thread[k] = -1;
    for (int64_t t = 0; t < m.threads; t++)
        model_begin_items(&m, t);
    while (m.done < items) {
        model_fill_cores(&m);
        model_advance(&m);
    }
    mem_free(m.thread);
    mem_free(m.run);
    mem_free(m.wait_thread);
    mem_free(m.wait_end);
    mem_free(m.core_thread);
    mem_free(m.core_end);
    return m.now;
}

#endif
