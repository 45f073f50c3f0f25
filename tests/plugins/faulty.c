/*
 * faulty.c: a plug-in that does harm, for tests/integration/test_plugins.py. Its second item crashes, hangs or leaks; the
 * others return their index and the id of the process that they ran in.
 */
#include <lathe/handler.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum lathe_step tell(struct lathe_item *it)
{
    lathe_print(it, "{\"index\":%lld,\"pid\":%d}", (long long)it->index, (int)getpid());
    return LATHE_DONE;
}

static enum lathe_step segfault(struct lathe_item *it)
{
    if (it->index == 1)
        *(volatile char *)(it->index - 1) = 0;
    return tell(it);
}

static enum lathe_step run_wild(struct lathe_item *it)
{
    if (it->index == 1)
        memset(it->state, 0x5a, 64 << 20);
    return tell(it);
}

static enum lathe_step hang(struct lathe_item *it)
{
    while (it->index == 1)
        continue;
    return tell(it);
}

static enum lathe_step leak(struct lathe_item *it)
{
    while (it->index == 1)
        memset(malloc(1 << 20), 1, 1 << 20);
    return tell(it);
}

static enum lathe_step leave(struct lathe_item *it)
{
    if (it->index == 1)
        exit(0);
    return tell(it);
}

static const struct lathe_handler handlers[] = {
    {.name = "faulty.tell", .summary = "does no harm", .flags = LATHE_PROCESS_ONLY, .step = tell},
    {.name = "faulty.segfault", .summary = "crashes", .flags = LATHE_PROCESS_ONLY, .step = segfault},
    {.name = "faulty.wild",
     .summary = "writes everywhere",
     .flags = LATHE_PROCESS_ONLY,
     .state_size = 8,
     .step = run_wild},
    {.name = "faulty.hang", .summary = "hangs", .flags = LATHE_PROCESS_ONLY, .step = hang},
    {.name = "faulty.leak", .summary = "takes all memory", .flags = LATHE_PROCESS_ONLY, .step = leak},
    {.name = "faulty.leave", .summary = "ends its process", .flags = LATHE_PROCESS_ONLY, .step = leave},
    {.name = "free.segfault", .summary = "crashes, wherever it is run", .step = segfault},
};

LATHE_PLUGIN(handlers);
