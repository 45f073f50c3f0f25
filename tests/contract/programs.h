/*
 * programs.h: commands whose program is tests/lib/candid.py, which says what it was started with; one for each thing that a section
 * can set. Their folder is any user's to read.
 */
#ifndef LATHE_TEST_PROGRAMS_H
#define LATHE_TEST_PROGRAMS_H

#include "runs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "core/conf_table.h"
#include "handlers/command.h"

#define MEMORY (512u * MIB)
#define CHILD_MEMORY ((int64_t)1024 * MIB) /* a limit of Lathe's children, which is not for programs */
#define RESTART_MS 50
#define WORDS "\"$(touch %s/X)\" '`touch %s/X`' \"it's\" -x * | 'a b'"

static struct conf conf;
static char folder[PATH_MAX];

static inline size_t shape_named(const char *name)
{
    for (size_t i = 0; i < shapes_n; i++)
        if (strcmp(shape_names[i], name) == 0)
            return i;
    fail();
    return 0;
}

/* Its items in `inputs`, which live as long as the run. */
static inline void run_some(struct seen *s, const char *name, const char *params, const struct span *inputs,
                            int64_t count, const char *shape)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct plan p = plan_of(s, find(name), args_of(&a, name, params), count, shapes[shape_named(shape)]);
    p.inputs = inputs;
    p.child_memory = p.shape.processes > 0 ? CHILD_MEMORY : 0;
    run(&p, s, shape);
}

static inline void run_one(struct seen *s, const char *name, const char *params, const char *input,
                           const char *shape)
{
    struct span one = span_of(input);
    run_some(s, name, params, &one, 1, shape);
}

static inline bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

static inline void await_file(const char *path)
{
    for (int64_t until = clock_after_ms(60000); !is_there(path); poll(NULL, 0, 2))
        assert_true(clock_now() < until);
}

/* ---- the commands */

/* Where any user may read it. */
static inline bool copy_program(const char *from, const char *to)
{
    char bytes[16 * KIB];
    FILE *in = fopen(from, "re"), *out = in ? fopen(to, "we") : NULL;
    size_t n = out ? fread(bytes, 1, sizeof bytes, in) : 0;
    bool ok = n > 0 && n < sizeof bytes && fwrite(bytes, 1, n, out) == n;
    if (in)
        fclose(in);
    if (out && fclose(out) != 0)
        ok = false;
    return ok && chmod(to, 0644) == 0;
}

static inline bool set_up(struct err *e)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct buf b CLEANUP(buf_release) = BUF_INIT(8 * PATH_MAX);
    const char *top = getenv("top_srcdir");
    char here[PATH_MAX];
    snprintf(folder, sizeof folder, "/tmp/lathe-programs-XXXXXX");
    if (!realpath(top ? top : ".", here) || !mkdtemp(folder) || chmod(folder, 0755) < 0 ||
        !copy_program(arena_printf(&a, "%s/tests/lib/candid.py", here),
                      arena_printf(&a, "%s/candid.py", folder)))
        return err_errno(e, "no folder with the program");
    /* what `python3` in the PATH is may be a script that looks for one, for half a second */
    const char *python = access("/usr/bin/python3", X_OK) == 0 ? "/usr/bin/python3" : "/usr/bin/env python3";
    const char *program = arena_printf(&a, "restart = 1ms\nprogram = %s '%s/candid.py'", python, folder);
    buf_printf(&b, "[command plain]\n%s\n", program);
    buf_printf(&b, "[command fleeting]\nidle = 0\n%s\n", program);
    buf_printf(&b, "[command bounded]\nmemory = %u\nfiles = 50\ncpu_s = 1\n%s\n", MEMORY, program);
    buf_printf(&b, "[command nobodys]\nuser = nobody\n%s\n", program);
    buf_printf(&b, "[command unknown]\nuser = no-such-user\n%s\n", program);
    buf_printf(&b, "[command worded]\n%s " WORDS "\n", program, folder, folder);
    buf_printf(&b, "[command sh.count]\nprogram = /bin/sh '%s/conf/examples/count.sh'\n", here);
    buf_printf(
        &b,
        "[command doomed]\nidle = 0\nrestart = %dms\nprogram = %s '%s/candid.py' starts '%s/starts' '%s/good'\n",
        RESTART_MS, python, folder, folder, folder);
    buf_printf(&b, "[command patient]\nrestart = 1m\nprogram = %s/patient\n", folder);
    buf_printf(&b, "[command late]\nrestart = %dms\nprogram = %s/late\n", RESTART_MS, folder);
    conf_set_defaults(&conf);
    return conf_read_text(&conf, buf_view(&b), "test", e) && commands_open(&conf, e);
}

static inline void clean_up(void)
{
    char path[PATH_MAX + 20];
    snprintf(path, sizeof path, "%s/candid.py", folder);
    unlink(path);
    rmdir(folder);
}

/* main() of a suite of them. */
static inline int run_programs(int (*tests)(void))
{
    struct err e = ERR_INIT;
    if (!set_up(&e)) {
        printf("Bail out! %s\n", e.text);
        return 1;
    }
    int failed = run_suite(tests);
    clean_up();
    conf_release(&conf);
    return failed;
}

#endif
