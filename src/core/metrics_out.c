/* All rows of the metrics file added up and written in the Prometheus text format 0.0.4. */
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/metrics_table.h"

static void add_row(_Atomic int64_t *cells, bool alive, void *arg)
{
    int64_t *sums = arg;
    const struct metric_row *m = metric_table();
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        if (m[i].type == METRIC_GAUGE && !alive) /* what a dead process had open is closed */
            continue;
        for (size_t c = m[i].first, end = c + m[i].width * m[i].word_count; c < end; c++)
            sums[c] += atomic_load_explicit(&cells[c], memory_order_relaxed);
    }
}

static void put_number(struct buf *out, double v)
{
    struct json_out o = json_out(out); /* shortest, and with a point whatever the locale */
    json_put_num(&o, v);
}

/* name suffix {label="word",le="bound"} value; either label may be missing */
static void put_sample(struct buf *out, const struct metric_row *m, const char *suffix, const char *word,
                       const double *le, const char *le_text, double value)
{
    buf_printf(out, "lathe_%s%s", m->name, suffix);
    if (*m->label || le || le_text)
        buf_char(out, '{');
    if (*m->label)
        buf_printf(out, "%s=\"%s\"", m->label, word);
    if (le || le_text) {
        buf_puts(out, *m->label ? ",le=\"" : "le=\"");
        if (le)
            put_number(out, *le);
        else
            buf_puts(out, le_text);
        buf_char(out, '"');
    }
    if (*m->label || le || le_text)
        buf_char(out, '}');
    buf_char(out, ' ');
    put_number(out, value);
    buf_char(out, '\n');
}

static void put_histogram(struct buf *out, const struct metric_row *m, const char *word, const int64_t *cells)
{
    int64_t count = 0;
    for (size_t i = 0; i < metric_bucket_count; i++) {
        count += cells[i];
        put_sample(out, m, "_bucket", word, &metric_buckets[i], NULL, (double)count);
    }
    count += cells[metric_bucket_count];
    put_sample(out, m, "_bucket", word, NULL, "+Inf", (double)count);
    put_sample(out, m, "_sum", word, NULL, NULL, (double)cells[metric_bucket_count + 1] / METRIC_SUM_UNIT);
    put_sample(out, m, "_count", word, NULL, NULL, (double)count);
}

static bool is_zero(const int64_t *cells, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (cells[i])
            return false;
    return true;
}

/* A counter's words are written from the beginning, because one that appears with its first event hides that event from
 * rate(); "other" and the many lines of a histogram wait until there is something to say. */
static bool is_shown(const struct metric_row *m, const char *word, const int64_t *cells)
{
    return !*m->label || !is_zero(cells, m->width) ||
           (m->type != METRIC_SECONDS && strcmp(word, "other") != 0);
}

static void put_metric(struct buf *out, const struct metric_row *m, const int64_t *sums)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    const char *suffix = m->type == METRIC_COUNTER ? "_total" : "";
    buf_printf(out, "# HELP lathe_%s%s %s\n# TYPE lathe_%s%s %s\n", m->name, suffix, m->help, m->name, suffix,
               types[m->type]);
    for (size_t w = 0; w < m->word_count; w++) {
        const int64_t *cells = sums + m->first + w * m->width;
        if (!is_shown(m, m->words[w], cells))
            continue;
        if (m->type == METRIC_SECONDS)
            put_histogram(out, m, m->words[w], cells);
        else
            put_sample(out, m, suffix, m->words[w], NULL, NULL, (double)*cells / METRIC_UNIT);
    }
}

void metrics_write(struct buf *out)
{
    int64_t *sums CLEANUP(mem_free_at) = mem_array(metric_cells(), sizeof *sums);
    metric_rows(add_row, sums);
    for (size_t i = 0; i < METRIC_COUNT; i++)
        put_metric(out, &metric_table()[i], sums);
}
