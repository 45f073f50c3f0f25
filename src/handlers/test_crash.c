/* test_crash.c: some items take their process down. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
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

static void crash(enum how way)
{
    switch (way) {
    case HOW_SEGV:
        raise(SIGSEGV);
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
    .dangerous = true,
};
