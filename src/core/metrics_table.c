#include "core/metrics_table.h"

#include <pthread.h>
#include <string.h>

#include "core/attr.h"

/* The words of each label. They are written down here, and not by whoever counts, because a label that a caller could
 * choose would grow the answer of /metrics without bound. */
static const char *const no_words[] = {"", NULL};
static const char *const status_words[] = {"1xx", "2xx", "3xx", "4xx", "5xx", "other", NULL};
static const char *const strategy_words[] = {
    "sequential",
    "threading",
    "multiprocessing",
    "async-batch",
    "concurrent-futures",
    "hybrid",
    "background",
    "auto",
    "shape",
    "compare",
    "other",
    NULL,
};
static const char *const state_words[] = {"succeeded", "failed", "cancelled", "released",
                                          "again",     "other",  NULL};
static const char *const table_words[] = {"users", "records", "outgoing", "other", NULL};
static const char *const outcome_words[] = {"ok", "failed", "cancelled", "other", NULL};
static const char *const route_words[] = {
    "/api/v1/tasks/{strategy}",
    "/api/v1/tasks:batch",
    "/api/v1/tasks/compare",
    "/api/v1/tasks/recommendations",
    "/api/v1/tasks",
    "/api/v1/tasks/{id}",
    "/api/v1/tasks/status/{id}",
    "/api/v1/tasks/{id}/results",
    "/api/v1/tasks/{id}/log",
    "/api/v1/tasks/{id}/records",
    "/api/v1/tasks/{id}/calls",
    "/api/v1/tasks/{id}/retry",
    "/api/v1/tasks:retry",
    "/api/v1/queues",
    "/api/v1/queues/{name}",
    "/api/v1/queues/{name}/pause",
    "/api/v1/queues/{name}/resume",
    "/api/v1/schedules",
    "/api/v1/schedules/{name}",
    "/api/v1/schedules/{name}/pause",
    "/api/v1/schedules/{name}/resume",
    "/api/v1/users",
    "/api/v1/stats",
    "/api/v1/handlers",
    "/api/v1/strategies",
    "/api/v1/workers",
    "/api/v1/jobs",
    "/api/v1/jobs/{id}",
    "/io/fetch",
    "/io/fetch-multiple",
    "/io/sleep",
    "/cpu/compute",
    "/cpu/compress",
    "/hybrid/fetch-process",
    "/hybrid/fetch-and-store",
    "/db/users/create",
    "/db/users/bulk-create",
    "/db/users",
    "/db/jobs/stats",
    "/db/jobs/create",
    "/db/jobs/process",
    "/db/jobs",
    "/tasks/{id}",
    "/{word}",
    "/process/{id}",
    "/fastapi/job",
    "/celery/job",
    "/fastapi/status/{id}",
    "/celery/status/{id}",
    "/compare",
    "/recommendations",
    "/health",
    "/healthz",
    "/readyz",
    "/metrics",
    "/",
    "other",
    NULL,
};

static const struct {
    const char *label;
    const char *const *words;
} labels[] = {
    {"", no_words},         {"status", status_words},   {"strategy", strategy_words},
    {"state", state_words}, {"outcome", outcome_words}, {"route", route_words},
    {"table", table_words},
};

const double metric_buckets[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                 0.25,   0.5,   1,      2.5,   5,    10,    30,   60};
const size_t metric_bucket_count = COUNT_OF(metric_buckets);

#define TYPE_COUNTER METRIC_COUNTER
#define TYPE_GAUGE METRIC_GAUGE
#define TYPE_SECONDS METRIC_SECONDS

static struct metric_row table[METRIC_COUNT] = {
#define METRIC(name_, type_, label_, help_) \
    [M_##name_] = {.name = #name_, .type = TYPE_##type_, .label = label_, .help = help_},
#include "core/metrics.def"
#undef METRIC
};

static size_t cell_count;
static uint64_t signature = UINT64_C(0xcbf29ce484222325);

static void sign(const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++)
        signature = (signature ^ p[i]) * UINT64_C(0x100000001b3);
}

static const char *const *words_of(const char *label)
{
    for (size_t i = 0; i < COUNT_OF(labels); i++)
        if (strcmp(labels[i].label, label) == 0)
            return labels[i].words;
    return no_words; /* tests/unit/test_metrics.c refuses a label without words */
}

static void lay_out(void)
{
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        struct metric_row *m = &table[i];
        m->words = words_of(m->label);
        sign(m->name, strlen(m->name) + 1);
        sign(&m->type, sizeof m->type);
        for (m->word_count = 0; m->words[m->word_count]; m->word_count++)
            sign(m->words[m->word_count], strlen(m->words[m->word_count]) + 1);
        m->first = cell_count;
        m->width = m->type == METRIC_SECONDS ? metric_bucket_count + 2 : 1;
        cell_count += m->width * m->word_count;
    }
    sign(metric_buckets, sizeof metric_buckets);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

const struct metric_row *metric_table(void)
{
    pthread_once(&once, lay_out);
    return table;
}

size_t metric_cells(void)
{
    metric_table();
    return cell_count;
}

uint64_t metric_signature(void)
{
    metric_table();
    return signature;
}
