/*
 * bench/command: what a command costs beside the pipes that it talks on. Prints, for conf/examples/echo.py on one process:
 * items a second under exec_run with so many in hand; the same lines written to the same program by hand; and a round
 * trip of one line. `bench/command [FOLDER-OF-EXAMPLES]`; with `pipes WIDTH ITEMS` behind it only the rate by hand, as a number.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/conf_table.h"
#include "core/mem.h"
#include "exec/exec.h"
#include "handlers/command.h"
#include "handlers/registry.h"

#define ITEMS 200000

static char program[PATH_MAX];

static void ignore(void *arg, const struct outcome *o)
{
    *(int64_t *)arg += o->kind == OUTCOME_OK;
}

static LATHE_NORETURN void die(const char *what)
{
    fprintf(stderr, "bench/command: %s\n", what);
    exit(1);
}

static double through_lathe(int64_t n, int64_t width)
{
    const struct handler *h = handler_find(SPAN("py.echo"));
    void *args = mem_alloc(h->params.size);
    int64_t ok = 0;
    struct err e = ERR_INIT;
    struct exec_report r;
    fields_defaults(&h->params, args);
    struct plan p = {.handler = h,
                     .args = args,
                     .count = n,
                     .shape = {.threads = 1, .width = width, .grain = 1},
                     .deadline = CLOCK_NEVER,
                     .done = ignore,
                     .arg = &ok};
    if (!exec_run(&p, &r, &e) || ok != n)
        die(ok == n ? e.text : "items failed");
    mem_free(args);
    return (double)n * 1e9 / (double)r.wall_ns;
}

/* ---- the same by hand */

static int to, from;

static void open_by_hand(void)
{
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
        die("no pipes");
    if (fork() == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        execl("/usr/bin/python3", "python3", program, (char *)NULL);
        execlp("python3", "python3", program, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    to = in[1];
    from = out[0];
}

/* `window` lines out, and as many in, again and again. */
static double by_hand(int64_t n, int64_t window)
{
    struct buf out CLEANUP(buf_release) = BUF_INIT(1u << 20);
    char in[65536];
    int64_t began = clock_now();
    for (int64_t i = 0; i < n;) {
        int64_t lines = 0, back = 0;
        buf_clear(&out);
        for (; lines < window && i < n; lines++, i++)
            buf_printf(&out, "{\"id\":%" PRId64 ",\"index\":%" PRId64 ",\"params\":{}}\n", i, i);
        if (write(to, out.ptr, out.len) != (ssize_t)out.len)
            die("it does not read");
        while (back < lines) {
            ssize_t got = read(from, in, sizeof in);
            if (got <= 0)
                die("it does not answer");
            for (ssize_t k = 0; k < got; k++)
                back += in[k] == '\n';
        }
    }
    return (double)n * 1e9 / (double)(clock_now() - began);
}

int main(int argc, char **argv)
{
    static struct conf c;
    struct err e = ERR_INIT;
    char text[2 * PATH_MAX];
    snprintf(program, sizeof program, "%s/echo.py", argc > 1 ? argv[1] : "conf/examples");
    char *whole = realpath(program, NULL);
    if (!whole)
        die("there is no echo.py: name the folder conf/examples");
    snprintf(program, sizeof program, "%s", whole);
    snprintf(text, sizeof text, "[command py.echo]\nwidth = 4096\nprogram = %s\n '%s'\n",
             access("/usr/bin/python3", X_OK) == 0 ? "/usr/bin/python3" : "/usr/bin/env python3", whole);
    conf_set_defaults(&c);
    if (!conf_read_text(&c, span_of(text), "bench", &e) || !commands_open(&c, &e))
        die(e.text);
    open_by_hand();
    by_hand(1000, 1);
    if (argc == 5 && strcmp(argv[2], "pipes") == 0) {
        printf("%.0f\n", by_hand(strtol(argv[4], NULL, 10), strtol(argv[3], NULL, 10)));
        return 0;
    }
    through_lathe(1000, 1);
    printf("%-28s %12s %12s\n", "items/s, one process", "through Lathe", "raw pipes");
    static const int64_t widths[] = {1, 16, 64, 256};
    for (size_t i = 0; i < COUNT_OF(widths); i++) {
        int64_t n = widths[i] == 1 ? ITEMS / 10 : ITEMS;
        printf("%3" PRId64 " in hand %29.0f %12.0f\n", widths[i], through_lathe(n, widths[i]),
               by_hand(n, widths[i]));
    }
    close(to);
    wait(NULL);
    exec_stop();
    free(whole);
    conf_release(&c);
    return 0;
}
