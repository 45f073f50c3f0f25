/*
 * unit.h: what the unit tests of core share: spans and buffers compared with text, what was written to stderr, a
 * directory of one's own, and what becomes of a child that does something deadly.
 */
#ifndef LATHE_TESTS_UNIT_H
#define LATHE_TESTS_UNIT_H

#include "lib/test.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/span.h"

/* Compared as C strings, so that a failure shows both. */
#define assert_span(got, want)                                            \
    do {                                                                  \
        struct span span_got_ = (got);                                    \
        char text_got_[8192];                                             \
        assert_true(span_got_.len < sizeof text_got_);                    \
        snprintf(text_got_, sizeof text_got_, "%.*s", (int)span_got_.len, \
                 span_got_.len ? span_got_.ptr : "");                     \
        assert_string_equal(text_got_, (want));                           \
        assert_int_equal(span_got_.len, strlen(want));                    \
    } while (0)

#define assert_holds(text, part)                                 \
    do {                                                         \
        if (!strstr((text), (part)))                             \
            fail_msg("\"%s\" is not in \"%s\"", (part), (text)); \
    } while (0)

struct capture {
    int file, saved;
};

static inline struct capture capture_start(int fd)
{
    struct capture c = {memfd_create("capture", MFD_CLOEXEC), fcntl(fd, F_DUPFD_CLOEXEC, 10)};
    assert_true(c.file >= 0 && c.saved >= 0);
    assert_int_equal(fcntl(c.file, F_SETFL, O_APPEND), 0); /* threads share its position */
    assert_int_equal(dup2(c.file, fd), fd);
    return c;
}

/* What was written to fd since; the text is the caller's to free. */
static inline char *capture_stop(struct capture c, int fd)
{
    assert_int_equal(dup2(c.saved, fd), fd);
    off_t size = lseek(c.file, 0, SEEK_END);
    char *text = calloc(1, (size_t)size + 1);
    assert_non_null(text);
    assert_int_equal(pread(c.file, text, (size_t)size, 0), size);
    close(c.file);
    close(c.saved);
    return text;
}

/* Runs f in a child, its stderr in text[size]; the child's wait status. */
static inline int in_child(void (*f)(void *), void *arg, char *text, size_t size)
{
    int file = memfd_create("child", MFD_CLOEXEC);
    assert_true(file >= 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(file, STDERR_FILENO);
        f(arg);
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    ssize_t n = pread(file, text, size - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    close(file);
    return status;
}

/* mkdtemp in $TMPDIR; the test removes what it puts there. */
static inline void make_dir(char dir[64])
{
    snprintf(dir, 64, "/tmp/lathe-test.XXXXXX");
    assert_non_null(mkdtemp(dir));
}

static inline void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

#endif
