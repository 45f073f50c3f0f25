/* follow.c: what became of tasks with terms when they were put: lathe_place answers with those that were not taken. */
#include <stdlib.h>

#include "core/mem.h"
#include "store/inside.h"
#include "store/rows.h"

/* Where a task's verdict goes. */
struct place {
    struct uuid id;
    struct put_verdict *verdict;
};

static int by_id(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return memcmp(x->id.b, y->id.b, sizeof x->id.b);
}

static size_t count_places(struct new_tasks *const *lists, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (lists[i]->verdicts) {
            memset(lists[i]->verdicts, 0, lists[i]->count * sizeof *lists[i]->verdicts);
            count += lists[i]->count;
        }
    return count;
}

static void fill_places(struct new_tasks *const *lists, size_t n, struct place *to)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; lists[i]->verdicts && k < lists[i]->count; k++)
            *to++ = (struct place){lists[i]->list[k].id, &lists[i]->verdicts[k]};
}

static void read_verdict(struct row *r, struct put_verdict *v)
{
    v->existing = row_uuid(r);
    struct span state = row_span(r);
    if (!state_by_name(state, &v->state))
        v->state = TASK_queued;
    int64_t bad = row_int(r);
    v->bad_need = bad > 0 ? (int)bad : 0;
    v->held = bad == -1;
    v->crowd = bad == -2 ? PUT_GREEDY : bad == -3 ? PUT_CROWDED : PUT_ROOM;
}

void place_answers(const PGresult *r, struct new_tasks *const *lists, size_t n)
{
    size_t count = count_places(lists, n);
    if (PQntuples(r) == 0 || count == 0)
        return;
    struct place *places CLEANUP(mem_free_at) = mem_array(count, sizeof *places);
    fill_places(lists, n, places);
    qsort(places, count, sizeof *places, by_id);
    for (int i = 0; i < PQntuples(r); i++) {
        struct row row = row_at(r, i);
        struct place key = {.id = row_uuid(&row)};
        const struct place *p = bsearch(&key, places, count, sizeof *places, by_id);
        if (p)
            read_verdict(&row, p->verdict);
    }
}
