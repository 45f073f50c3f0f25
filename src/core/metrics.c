/*
 * The file: a header that says whose each row is, then ROWS rows of cells. Row 0 belongs to nobody: there the counters of dead
 * processes end up when a newcomer takes their row. Rows are taken under an exclusive flock; counting takes no lock at all.
 * Owners stand together, because all are looked at: a row that nobody has is never touched, and takes no memory.
 */
#include "core/metrics.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/mem.h"
#include "core/metrics_table.h"
#include "core/net.h"

#define ROWS 256u
#define MAGIC UINT64_C(0x324d656874614c0a)

struct owner {
    _Atomic int64_t pid; /* 0: free */
    _Atomic int64_t
        birth; /* of the process, as the kernel counts: a later process with this pid is another one */
};

struct header {
    uint64_t magic, signature, rows, row_size;
    char padding[32];
    struct owner owners[ROWS]; /* of the row at the same place */
};

static struct {
    struct header *header; /* NULL until metrics_open */
    int fd;                /* of the lock; -1 for memory of this process alone */
} file = {.fd = -1};

static _Atomic(_Atomic int64_t *) my_cells;

static size_t row_size(void)
{
    size_t size = metric_cells() * sizeof(int64_t);
    return (size + 127) / 128 * 128; /* begins on a cache line of its own */
}

static size_t file_size(void)
{
    return sizeof(struct header) + ROWS * row_size();
}

static _Atomic int64_t *cells_at(size_t i)
{
    return (void *)((char *)file.header + sizeof(struct header) + i * row_size());
}

/* ---- processes */

/* When the process began, in clock ticks since boot; 0 if there is none. */
static int64_t birth_of(int64_t pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    int fd CLEANUP(net_close_at) = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    char *name_end = strrchr(text, ')'); /* the name may hold anything */
    struct span rest = span_of(name_end ? name_end + 1 : "");
    int64_t birth = 0;
    for (int field = 2; field < 22 && rest.len; field++)
        span_cut(&rest, ' ');
    return span_to_int(span_cut(&rest, ' '), &birth) ? birth : 0;
}

static bool is_alive(struct owner *o)
{
    int64_t pid = atomic_load(&o->pid);
    if (kill((pid_t)pid, 0) != 0 && errno == ESRCH)
        return false;
    int64_t birth = birth_of(pid);
    return birth == 0 || birth == atomic_load(&o->birth); /* without /proc the pid has to do */
}

/* ---- taking a row; the lock is held */

static bool is_gauge_cell(size_t cell)
{
    const struct metric_row *m = metric_table();
    for (size_t i = 0; i < METRIC_COUNT; i++)
        if (cell >= m[i].first && cell < m[i].first + m[i].word_count)
            return m[i].type == METRIC_GAUGE;
    return false;
}

static void fold(size_t row)
{
    _Atomic int64_t *from = cells_at(row), *kept = cells_at(0);
    for (size_t i = 0; i < metric_cells(); i++) {
        int64_t value = atomic_exchange(&from[i], 0);
        if (value && !is_gauge_cell(i))
            atomic_fetch_add(&kept[i], value);
    }
    atomic_store(&file.header->owners[row].pid, 0);
}

static bool take_row(struct err *e)
{
    struct owner *owners = file.header->owners;
    size_t mine = 0;
    for (size_t i = 1; i < ROWS; i++) {
        int64_t pid = atomic_load(&owners[i].pid);
        if (pid != 0 && !is_alive(&owners[i])) {
            fold(i);
            pid = 0;
        }
        if (pid == getpid())
            mine = i; /* opened before, by this very process */
        else if (pid == 0 && mine == 0)
            mine = i;
    }
    if (mine == 0)
        return err_set(e, ERR_BUSY, "all %u rows of the metrics file belong to living processes", ROWS - 1);
    atomic_store(&owners[mine].birth, birth_of(getpid()));
    atomic_store(&owners[mine].pid, getpid());
    atomic_store(&my_cells, cells_at(mine));
    return true;
}

/* ---- the file */

static bool map(int fd, bool fresh, struct err *e)
{
    int flags = fd < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED; /* shared: with children that are forked */
    void *memory = mmap(NULL, file_size(), PROT_READ | PROT_WRITE, flags, fd, 0);
    if (memory == MAP_FAILED)
        return err_errno(e, "cannot map %zu bytes for metrics", file_size());
    file.header = memory;
    file.fd = fd;
    if (fresh)
        *file.header = (struct header){
            .magic = MAGIC, .signature = metric_signature(), .rows = ROWS, .row_size = row_size()};
    return true;
}

static bool fits(int fd)
{
    struct header h;
    return pread(fd, &h, sizeof h, 0) == (ssize_t)sizeof h && h.magic == MAGIC &&
           h.signature == metric_signature() && h.rows == ROWS && h.row_size == row_size();
}

static bool is_at(int fd, const char *path, off_t *ret_size)
{
    struct stat ours, theirs;
    if (fstat(fd, &ours) != 0 || stat(path, &theirs) != 0)
        return false;
    *ret_size = ours.st_size;
    return ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

enum found { FOUND_ERROR, FOUND_OTHER, FOUND_GOOD };

/* Opens and locks the file, and makes it what it must be. FOUND_OTHER: it was somebody else's and is gone, try again. */
static enum found open_once(const char *path, int *ret_fd, struct err *e)
{
    int fd CLEANUP(net_close_at) = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0660);
    if (fd < 0) {
        err_errno(e, "cannot open %s", path);
        return FOUND_ERROR;
    }
    off_t size = 0;
    if (!file_lock(fd, clock_after_ms(2000), path, e))
        return FOUND_ERROR;
    if (!is_at(fd, path, &size)) /* replaced while we waited for the lock */
        return FOUND_OTHER;
    bool fresh = size == 0;
    if (!fresh && (size != (off_t)file_size() || !fits(fd))) {
        /* never written over: programs of the other version still have it mapped */
        if (unlink(path) != 0) {
            err_errno(e, "cannot replace %s", path);
            return FOUND_ERROR;
        }
        return FOUND_OTHER;
    }
    if (fresh && ftruncate(fd, (off_t)file_size()) != 0) {
        err_errno(e, "cannot give %s its size", path);
        return FOUND_ERROR;
    }
    if (!map(fd, fresh, e))
        return FOUND_ERROR;
    *ret_fd = fd;
    fd = -1;
    return FOUND_GOOD;
}

bool metrics_open(const char *path, struct err *e)
{
    if (!path)
        return map(-1, true, e) && take_row(e);
    int fd = -1;
    for (int tries = 0; tries < 10; tries++) {
        switch (open_once(path, &fd, e)) {
        case FOUND_ERROR:
            return false;
        case FOUND_GOOD: {
            bool taken = take_row(e);
            flock(fd, LOCK_UN);
            return taken;
        }
        case FOUND_OTHER:
            break;
        }
    }
    return err_set(e, ERR_CONFLICT, "%s is replaced again and again: two versions of Lathe share it", path);
}

void metric_rows(void (*each)(_Atomic int64_t *cells, bool alive, void *arg), void *arg)
{
    if (!file.header)
        return;
    /* A row that is being folded while we add up would count twice. Where the lock cannot be had at once, that is
     * better than waiting for it. */
    bool locked = file.fd >= 0 && flock(file.fd, LOCK_SH | LOCK_NB) == 0;
    for (size_t i = 0; i < ROWS; i++) {
        struct owner *o = &file.header->owners[i];
        if (i == 0 || atomic_load(&o->pid) != 0)
            each(cells_at(i), i > 0 && is_alive(o), arg);
    }
    if (locked)
        flock(file.fd, LOCK_UN);
}

/* ---- counting */

static pthread_once_t private_once = PTHREAD_ONCE_INIT;

static void make_private_row(void)
{
    static _Atomic int64_t *cells; /* kept for ever: other threads may be counting in it */
    _Atomic int64_t *none = NULL;
    cells = mem_array(metric_cells(), sizeof *cells);
    atomic_compare_exchange_strong(&my_cells, &none, cells);
}

static _Atomic int64_t *my_row(void)
{
    _Atomic int64_t *cells = atomic_load_explicit(&my_cells, memory_order_acquire);
    if (!cells) {
        pthread_once(&private_once, make_private_row);
        cells = atomic_load(&my_cells);
    }
    return cells;
}

/* The first cell of a metric's word. */
static _Atomic int64_t *cell_of(enum metric m, const char *label)
{
    const struct metric_row *row = &metric_table()[m];
    _Atomic int64_t *cells = my_row();
    size_t word = 0;
    while (word + 1 < row->word_count && strcmp(row->words[word], label ? label : "") != 0)
        word++;
    return cells + row->first + word * row->width;
}

static int64_t units(double value, double unit)
{
    double scaled = round(value * unit);
    return scaled > -9e18 && scaled < 9e18 ? (int64_t)scaled : 0;
}

void metric_add(enum metric m, const char *label, double by)
{
    assert(metric_table()[m].type != METRIC_SECONDS);
    atomic_fetch_add_explicit(cell_of(m, label), units(by, METRIC_UNIT), memory_order_relaxed);
}

void metric_set(enum metric m, const char *label, double value)
{
    assert(metric_table()[m].type == METRIC_GAUGE);
    atomic_store_explicit(cell_of(m, label), units(value, METRIC_UNIT), memory_order_relaxed);
}

void metric_observe(enum metric m, const char *label, double seconds)
{
    assert(metric_table()[m].type == METRIC_SECONDS);
    _Atomic int64_t *cells = cell_of(m, label);
    size_t bucket = 0;
    while (bucket < metric_bucket_count && seconds > metric_buckets[bucket])
        bucket++;
    atomic_fetch_add_explicit(&cells[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&cells[metric_bucket_count + 1], units(seconds, METRIC_SUM_UNIT),
                              memory_order_relaxed);
}

/* ---- handing over */

struct counted {
    uint64_t cell;
    int64_t value;
};

void metrics_take(struct buf *out)
{
    _Atomic int64_t *cells = atomic_load(&my_cells);
    for (size_t i = 0; cells && i < metric_cells(); i++) {
        if (atomic_load(&cells[i]) == 0 || is_gauge_cell(i))
            continue;
        struct counted c = {.cell = i, .value = atomic_exchange(&cells[i], 0)};
        buf_put(out, &c, sizeof c);
    }
}

/* The sum of a day's seconds fits, and one such value does not make a counter overflow. */
#define GIVEN_MOST (86400 * INT64_C(1000000000))

/* Each cell once, in their order. */
static bool makes_sense(struct span counted)
{
    struct counted c;
    uint64_t next = 0;
    for (; counted.len >= sizeof c; span_take(&counted, sizeof c)) {
        memcpy(&c, counted.ptr, sizeof c);
        if (c.cell < next || c.cell >= metric_cells() || is_gauge_cell(c.cell) || c.value <= 0 ||
            c.value > GIVEN_MOST)
            return false;
        next = c.cell + 1;
    }
    return counted.len == 0;
}

bool metrics_give(struct span counted)
{
    struct counted c;
    if (!makes_sense(counted))
        return false;
    _Atomic int64_t *cells = my_row();
    for (; counted.len > 0; span_take(&counted, sizeof c)) {
        memcpy(&c, counted.ptr, sizeof c);
        atomic_fetch_add_explicit(&cells[c.cell], c.value, memory_order_relaxed);
    }
    return true;
}
