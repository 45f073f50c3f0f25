#include "model/batch.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/attr.h"
#include "core/field.h"

/* A row that has a name. */
struct named {
    struct span name;
    size_t row;
};

/* Row `to` needs row `from`, as its need number `place`. */
struct edge {
    size_t from, to, place;
};

struct graph {
    struct arena *arena;
    struct batch_row *rows;
    size_t n;
    struct named *named;
    size_t named_n;
    struct edge *edges; /* by to */
    size_t edges_n;
    struct edge *by_from;
    size_t *from_first; /* n + 1 of them: where a row's edges begin in by_from */
    size_t *left;       /* of a row: needs that are not settled yet */
    size_t *queue;      /* room for every row */
};

static void refuse(struct graph *g, size_t row, size_t place, const char *before, struct span name,
                   const char *after)
{
    struct err *e = arena_alloc(g->arena, sizeof *e);
    char pointer[sizeof e->pointer];
    struct buf shown CLEANUP(buf_release) = BUF_INIT(512);
    if (g->rows[row].refused)
        return;
    field_show(name, &shown); /* a name after '#' is as long as its caller likes */
    snprintf(pointer, sizeof pointer, "/depends_on/%zu", place);
    err_at(e, ERR_BAD_FIELD, pointer, "%s " SPAN_FMT "%s", before, SPAN_ARG(buf_view(&shown)), after);
    g->rows[row].refused = e;
}

/* ---- names ---- */

static int by_name(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    size_t least = x->name.len < y->name.len ? x->name.len : y->name.len;
    int order = memcmp(x->name.ptr, y->name.ptr, least);
    return order != 0 ? order : (x->name.len > y->name.len) - (x->name.len < y->name.len);
}

static int by_name_and_row(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    int order = by_name(a, b);
    return order != 0 ? order : (x->row > y->row) - (x->row < y->row);
}

static void refuse_double(struct graph *g, const struct named *second)
{
    struct err *e = arena_alloc(g->arena, sizeof *e);
    err_at(e, ERR_BAD_FIELD, "/name", "a row before this one is named \"" SPAN_FMT "\" too",
           SPAN_ARG(second->name));
    g->rows[second->row].refused = e;
}

/* The names in their order, each once. */
static void collect_names(struct graph *g)
{
    size_t kept = 0;
    g->named = arena_array(g->arena, g->n, sizeof *g->named);
    for (size_t i = 0; i < g->n; i++)
        if (g->rows[i].s && g->rows[i].s->name[0])
            g->named[g->named_n++] = (struct named){span_of(g->rows[i].s->name), i};
    if (g->named_n > 1)
        qsort(g->named, g->named_n, sizeof *g->named, by_name_and_row);
    for (size_t i = 0; i < g->named_n; i++) {
        if (kept > 0 && by_name(&g->named[kept - 1], &g->named[i]) == 0)
            refuse_double(g, &g->named[i]);
        else
            g->named[kept++] = g->named[i];
    }
    g->named_n = kept;
}

static const struct named *find(const struct graph *g, struct span name)
{
    struct named key = {.name = name};
    return g->named_n > 0 ? bsearch(&key, g->named, g->named_n, sizeof key, by_name) : NULL;
}

/* ---- edges ---- */

static size_t count_names(const struct graph *g)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n; i++) {
        const struct submission *s = g->rows[i].s;
        for (size_t k = 0; s && k < s->terms.follow.needs_n; k++)
            n += s->terms.follow.needs[k].name.len > 0;
    }
    return n;
}

static void add_edges(struct graph *g, size_t row)
{
    struct follow *f = &g->rows[row].s->terms.follow;
    for (size_t k = 0; k < f->needs_n; k++) {
        struct need *need = &f->needs[k];
        if (need->name.len == 0)
            continue;
        const struct named *found = find(g, need->name);
        if (!found) {
            refuse(g, row, k, "no row of the batch that can be read is named", need->name, "");
            continue;
        }
        need->id = g->rows[found->row].s->id;
        g->edges[g->edges_n++] = (struct edge){found->row, row, k};
        g->left[row]++;
    }
}

static void sort_edges(struct graph *g)
{
    g->from_first = arena_array(g->arena, g->n + 1, sizeof *g->from_first);
    g->by_from = arena_array(g->arena, g->edges_n, sizeof *g->by_from);
    for (size_t i = 0; i < g->edges_n; i++)
        g->from_first[g->edges[i].from + 1]++;
    for (size_t i = 0; i < g->n; i++)
        g->from_first[i + 1] += g->from_first[i];
    size_t *at = arena_array(g->arena, g->n + 1, sizeof *at);
    memcpy(at, g->from_first, (g->n + 1) * sizeof *at);
    for (size_t i = 0; i < g->edges_n; i++)
        g->by_from[at[g->edges[i].from]++] = g->edges[i];
}

/* ---- in the order of their needs ---- */

/* Passes on what a refused row means for those that need it. Returns how many rows it reached: the others are on a cycle, or
 * behind one. */
static size_t walk(struct graph *g)
{
    size_t count = 0;
    for (size_t i = 0; i < g->n; i++)
        if (g->left[i] == 0)
            g->queue[count++] = i;
    for (size_t at = 0; at < count; at++) {
        size_t row = g->queue[at];
        for (size_t k = g->from_first[row]; k < g->from_first[row + 1]; k++) {
            const struct edge *e = &g->by_from[k];
            if (g->rows[row].refused)
                refuse(g, e->to, e->place, "the row", span_of(g->rows[row].s->name), " was not accepted");
            if (--g->left[e->to] == 0)
                g->queue[count++] = e->to;
        }
    }
    return count;
}

/* Of the rows that the walk did not reach: those that need them, and so on back, until only cycles are left. */
static void split_cycles(struct graph *g)
{
    size_t *needed = arena_array(g->arena, g->n, sizeof *needed); /* by how many that are left */
    size_t *first = arena_array(g->arena, g->n + 1, sizeof *first), count = 0;
    for (size_t i = 0; i < g->edges_n; i++) {
        first[g->edges[i].to + 1]++;
        needed[g->edges[i].from] += g->left[g->edges[i].to] > 0;
    }
    for (size_t i = 0; i < g->n; i++) {
        first[i + 1] += first[i];
        if (g->left[i] > 0 && needed[i] == 0)
            g->queue[count++] = i;
    }
    for (size_t at = 0; at < count; at++) {
        size_t row = g->queue[at];
        g->left[row] = 0;
        for (size_t k = first[row]; k < first[row + 1]; k++) {
            const struct edge *e = &g->edges[k];
            if (g->left[e->from] == 0)
                continue;
            refuse(g, row, e->place, "the row", span_of(g->rows[e->from].s->name), " was not accepted");
            if (--needed[e->from] == 0)
                g->queue[count++] = e->from;
        }
    }
    for (size_t i = 0; i < g->edges_n; i++) {
        const struct edge *e = &g->edges[i];
        if (g->left[e->to] > 0 && g->left[e->from] > 0)
            refuse(g, e->to, e->place, "the row", span_of(g->rows[e->from].s->name),
                   " depends on this one in turn: they form a cycle");
    }
}

void batch_link(struct arena *a, struct batch_row *rows, size_t n)
{
    struct graph g = {.arena = a, .rows = rows, .n = n};
    for (size_t i = 0; i < n; i++)
        if (rows[i].s)
            rows[i].s->id = uuid_v7();
    collect_names(&g);
    size_t most = count_names(&g);
    if (most == 0)
        return;
    g.edges = arena_array(a, most, sizeof *g.edges);
    g.left = arena_array(a, n, sizeof *g.left);
    g.queue = arena_array(a, n, sizeof *g.queue);
    for (size_t i = 0; i < n; i++)
        if (rows[i].s)
            add_edges(&g, i);
    sort_edges(&g);
    if (walk(&g) < n)
        split_cycles(&g);
}
