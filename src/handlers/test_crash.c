/* test_crash.c: some items take their process down. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "handlers/registry.h"
#include "handlers/test_pick.h"

enum how { HOW_SEGV, HOW_ABORT, HOW_EXIT, HOW_KILL };
static const char *const how[] = {"segv", "abort", "exit", "kill", NULL};

struct args {
    struct test_pick pick;
    int how;
    char once[256];
};

/* With `once` only whoever makes the file crashes. */
static bool crashes(const struct args *args, int64_t index)
{
    if (!test_picked(&args->pick, index))
        return false;
    if (args->once[0] == '\0')
        return true;

    int fd = open(args->once, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

    if (fd < 0)
        return false;
    close(fd);
    return true;
}

/* By the signal itself: a sanitizer takes it for its own and does not let go of it through sigaction(2), and would end the
 * process in another way, with a report. */
static void die_of_segv(void)
{
    static const char by_default[64]; /* the kernel's struct sigaction: SIG_DFL, no flags, nothing blocked */

    syscall(SYS_rt_sigaction, SIGSEGV, by_default, NULL, (size_t)(_NSIG / 8));
    raise(SIGSEGV);
}

static void crash(enum how way)
{
    switch (way) {
    case HOW_SEGV:
        die_of_segv();
        break;
    case HOW_ABORT:
        abort();
    case HOW_EXIT:
        _exit(3);
    case HOW_KILL:
        raise(SIGKILL);
        break;
    }
}

static enum step step(struct item *it)
{
    const struct args *args = it->args;

    if (crashes(args, it->index))
        crash((enum how)args->how);
    buf_int(&it->out, it->index);
    return STEP_DONE;
}

static const struct field fields[] = {
    TEST_PICK_FIELDS,
    {.name = "how",
     .type = FIELD_ENUM,
     .offset = offsetof(struct args, how),
     .words = how,
     .summary = "the way to die"},
    {.name = "once",
     .type = FIELD_TEXT,
     .offset = offsetof(struct args, once),
     .max = 255,
     .def_text = "",
     .summary = "path of a file: only the item that makes it crashes"},
};

const struct handler handler_test_crash = {
    .name = "test.crash",
    .summary = "takes its process down at some items and returns the index of the others",
    .params = FIELDS(fields, struct args),
    .step = step,
    .hidden = true,
    .unremembered = true,
    .dangerous = true,
};
