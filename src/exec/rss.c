#include "exec/rss.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/span.h"

int rss_open(void)
{
    return open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
}

void rss_mark(int fd)
{
    /* "5" sets the peak back to what is resident now; where it is refused the peak is since the process began */
    if (fd >= 0 && write(fd, "5\n", 2) < 0)
        return;
}

static struct span read_file(const char *path, char *room, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, room, size);
    if (fd >= 0)
        close(fd);
    return (struct span){room, n < 0 ? 0 : (size_t)n};
}

int64_t rss_peak_kib(void)
{
    char room[4096];
    struct span status = read_file("/proc/self/status", room, sizeof room);
    while (status.len) {
        struct span line = span_cut(&status, '\n');
        if (!span_starts(line, "VmHWM:"))
            continue;
        span_take(&line, strlen("VmHWM:"));
        line = span_trim(line);
        struct span number = span_cut(&line, ' ');
        int64_t kib;
        return span_to_int(number, &kib) ? kib : 0;
    }
    return 0;
}

/* A column of /proc/self/statm, in pages: 0 address space, 1 resident, 2 of that shared. */
static int64_t statm(int column)
{
    char room[256];
    struct span all = read_file("/proc/self/statm", room, sizeof room), field = {NULL, 0};
    for (int i = 0; i <= column; i++)
        field = span_cut(&all, ' ');
    int64_t pages;
    return span_to_int(field, &pages) ? pages * sysconf(_SC_PAGESIZE) : 0;
}

int64_t rss_shared_kib(void)
{
    return statm(2) / 1024;
}

int64_t rss_space_bytes(void)
{
    return statm(0);
}
