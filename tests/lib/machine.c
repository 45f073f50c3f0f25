/*
 * What a machine may do to a program, done to one program only and without being root: loaded by LD_PRELOAD.
 *
 * LATHE_MACHINE_FULL=FILE   while FILE is there the disk is full: what would make a file longer fails with ENOSPC, what
 *                           writes over old bytes succeeds. Standard output and error go on.
 * LATHE_MACHINE_CLOCK=FILE  the wall clock is ahead by as many seconds as the 8 bytes of FILE say, a number in the machine's
 *                           order, from the moment that they are written. The monotonic clock is left alone, as it is
 *                           when somebody sets a machine's time.
 */
#undef _FILE_OFFSET_BITS
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static const char *full;
static const volatile int64_t *ahead;

__attribute__((constructor)) static void begin(void)
{
    const char *flag = getenv("LATHE_MACHINE_FULL");
    full = flag ? strdup(flag) : NULL; /* PostgreSQL writes its titles over the environment */
    const char *clock = getenv("LATHE_MACHINE_CLOCK");
    int fd = clock ? open(clock, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *at = mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, fd, 0);
    ahead = at == MAP_FAILED ? NULL : at;
    close(fd);
}

/* ---- the disk ---- */

static int no_room(int fd, off_t end)
{
    struct stat s;
    if (!full || fd <= STDERR_FILENO || access(full, F_OK) || fstat(fd, &s) || !S_ISREG(s.st_mode) ||
        end <= s.st_size)
        return 0;
    errno = ENOSPC;
    return 1;
}

static off_t here(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    struct stat s;
    if (flags >= 0 && (flags & O_APPEND) && fstat(fd, &s) == 0)
        return s.st_size;
    return lseek(fd, 0, SEEK_CUR);
}

static size_t sum(const struct iovec *v, int n)
{
    size_t len = 0;
    for (int i = 0; i < n; i++)
        len += v[i].iov_len;
    return len;
}

ssize_t write(int fd, const void *p, size_t n)
{
    int was = errno;
    if (full && fd > STDERR_FILENO && no_room(fd, here(fd) + (off_t)n))
        return -1;
    errno = was;
    return syscall(SYS_write, fd, p, n);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    return no_room(fd, at + (off_t)n) ? -1 : syscall(SYS_pwrite64, fd, p, n, at);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
    return pwrite(fd, p, n, at);
}

ssize_t pwritev(int fd, const struct iovec *v, int n, off_t at)
{
    return no_room(fd, at + (off_t)sum(v, n)) ? -1 : syscall(SYS_pwritev, fd, v, n, at, 0);
}

ssize_t pwritev64(int fd, const struct iovec *v, int n, off64_t at)
{
    return pwritev(fd, v, n, at);
}

int posix_fallocate(int fd, off_t at, off_t n)
{
    return no_room(fd, at + n) ? ENOSPC : syscall(SYS_fallocate, fd, 0, at, n) ? errno : 0;
}

int posix_fallocate64(int fd, off64_t at, off64_t n)
{
    return posix_fallocate(fd, at, n);
}

/* ---- the clock ---- */

int clock_gettime(clockid_t id, struct timespec *t)
{
    int status = (int)syscall(SYS_clock_gettime, id, t);
    if (ahead && status == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        t->tv_sec += *ahead;
    return status;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    *t = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *t)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (t)
        *t = now.tv_sec;
    return now.tv_sec;
}
