/* Tasks and tables for people. */
#include <inttypes.h>

#include "cmd/client.h"
#include "core/limits.h"

void format_duration(double ms, char text[DURATION_TEXT])
{
    if (ms < 1)
        snprintf(text, DURATION_TEXT, "%.0f us", ms * 1e3);
    else if (ms < 100)
        snprintf(text, DURATION_TEXT, "%.2f ms", ms);
    else if (ms < 1000)
        snprintf(text, DURATION_TEXT, "%.0f ms", ms);
    else if (ms < 100e3)
        snprintf(text, DURATION_TEXT, "%.2f s", ms / 1e3);
    else
        snprintf(text, DURATION_TEXT, "%.0f s", ms / 1e3);
}

static void print_measured(const struct task *t)
{
    const struct measured *m = &t->measured;
    char wall[DURATION_TEXT], cpu[DURATION_TEXT], waited[DURATION_TEXT], predicted[DURATION_TEXT];
    if (m->wall_us == 0)
        return;
    format_duration((double)m->wall_us / 1e3, wall);
    format_duration((double)m->cpu_us / 1e3, cpu);
    format_duration((double)m->wait_us / 1e3, waited);
    format_duration((double)m->predicted_us / 1e3, predicted);
    printf("  took      %s", wall);
    if (m->predicted_us > 0)
        printf(" (predicted %s)", predicted);
    printf(", %.1f items/s\n", (double)t->items_done * 1e6 / (double)m->wall_us);
    if (m->cached > 0)
        printf("  memory    %" PRId64 " results were there already\n", m->cached);
    printf("  cost      %s CPU, %s waiting, %.1f MiB at its peak\n", cpu, waited,
           (double)m->peak_rss_kib / 1024);
}

void print_task(const struct task *t)
{
    char id[UUID_TEXT];
    uuid_format(t->id, id);
    printf("%s  %s%s\n", id, state_name(t->state), t->cancelling ? ", being cancelled" : "");
    printf("  work      " SPAN_FMT " under " SPAN_FMT "%s" SPAN_FMT "\n", SPAN_ARG(t->handler),
           SPAN_ARG(t->strategy), t->inner.len ? ", units under " : "", SPAN_ARG(t->inner));
    printf("  items     %" PRId64 " of %" PRId64 " done, %" PRId64 " failed\n", t->items_done, t->items_total,
           t->items_failed);
    if (t->shape.threads > 0)
        printf("  shape     %" PRId64 " processes, %" PRId64 " threads, %" PRId64
               " in flight on each, %" PRId64 " at a time\n",
               t->shape.processes, t->shape.threads, t->shape.width, t->shape.grain);
    print_measured(t);
    if (t->err.code != ERR_NONE)
        printf("  error     %s: %s\n", err_slug(t->err.code), t->err.text);
}

static void print_line(const struct buf *b)
{
    fwrite(b->ptr, 1, b->len, stdout);
    putchar('\n');
}

void print_task_json(const struct task *t, const struct comparison *table)
{
    struct buf b CLEANUP(buf_release) = BUF_INIT(LIMIT_RESPONSE);
    struct json_out o = json_out(&b);
    json_open(&o, '{');
    task_members(t, &o);
    if (table) {
        json_key(&o, "comparison");
        comparison_write(table, &o);
    }
    json_close(&o, '}');
    print_line(&b);
}

static void print_row(const struct comparison_row *r, bool winner)
{
    const struct task *t = r->task;
    char took[DURATION_TEXT], predicted[DURATION_TEXT] = "-", error[16] = "-", speedup[16] = "-";
    if (!r->ended) {
        printf("%c %-19.*s %s%s%s\n", ' ', SPAN_ARG(t->strategy), state_name(t->state),
               t->err.text[0] ? ": " : "", t->err.text);
        return;
    }
    format_duration(r->duration_ms, took);
    if (t->measured.predicted_us > 0) {
        format_duration((double)t->measured.predicted_us / 1e3, predicted);
        snprintf(error, sizeof error, "%+.1f %%", 100 * r->predicted_error);
    }
    if (r->speedup > 0)
        snprintf(speedup, sizeof speedup, "%.2f", r->speedup);
    printf("%c %-19.*s %10s %10.1f %9s %8.2f %9.1f %7" PRId64 " %10s %8s\n", winner ? '*' : ' ',
           SPAN_ARG(t->strategy), took, r->items_per_s, speedup, (double)t->measured.cpu_us / 1e6,
           (double)t->measured.peak_rss_kib / 1024, t->items_failed, predicted, error);
}

void print_comparison(const struct comparison *t)
{
    printf("  %-19s %10s %10s %9s %8s %9s %7s %10s %8s\n", "strategy", "duration", "items/s", "speed-up",
           "CPU s", "peak MiB", "failed", "predicted", "error");
    for (size_t i = 0; i < t->count; i++)
        print_row(&t->rows[i], &t->rows[i] == t->winner);
    if (t->winner)
        printf("\nfastest: " SPAN_FMT "\n", SPAN_ARG(t->winner->task->strategy));
}
