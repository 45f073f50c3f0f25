/*
 * lathe/handler.h: a handler of your own: what is done to one item, in C, in a shared object that Lathe loads.
 *
 * A handler is a resumable step. Lathe calls step(); it answers LATHE_DONE with a JSON value written, LATHE_FAIL with a
 * reason, LATHE_WAIT for a time or a descriptor (it is then called again), or LATHE_SNOOZE: not now. It never knows how
 * many items run beside it, on which thread or in which process: so it is right under every strategy. All of a plug-in,
 * two.c:
 *
 *     #include <lathe/handler.h>
 *
 *     struct nap_params { int64_t ms; };                        // the caller's params, read and checked by Lathe
 *     struct nap { int64_t until; };                            // of one item, zeroed before its first step
 *
 *     static enum lathe_step nap(struct lathe_item *it)
 *     {
 *         const struct nap_params *params = (const struct nap_params *)it->params;
 *         struct nap *state = (struct nap *)it->state;
 *         if (state->until == 0)
 *             state->until = lathe_now(it) + params->ms * LATHE_MS;
 *         if (lathe_now(it) < state->until)                     // a step may come early: look again
 *             return lathe_wait_until(it, state->until);
 *         lathe_print(it, "{\"index\":%lld}", (long long)it->index);
 *         return LATHE_DONE;
 *     }
 *
 *     static const struct lathe_field nap_fields[] = {
 *         {.name = "ms", .summary = "how long an item waits", .type = LATHE_INT, .offset = offsetof(struct nap_params, ms),
 *          .max = 3600000, .def = 100},
 *     };
 *     static const struct lathe_handler handlers[] = {
 *         {.name = "acme.nap", .summary = "waits", .fields = nap_fields, .fields_n = 1,
 *          .params_size = sizeof(struct nap_params), .state_size = sizeof(struct nap), .step = nap},
 *     };
 *     LATHE_PLUGIN(handlers);
 *
 *     cc -shared -fPIC $(pkg-config --cflags lathe) -o two.so two.c
 *     install -m 755 two.so $(pkg-config --variable=handlersdir lathe)
 *
 * Nothing is linked: all that Lathe does for a plug-in is reached through it->host. What Lathe reads of a plug-in before
 * it calls anything is the constant `lathe_plugin`; if that does not fit, the program does not start and says why. Functions
 * of a plug-in are only called where items run: in workers and their children, never in the api or the command line
 * (constructors of the shared object apart, which the dynamic loader runs in all of them: have none).
 *
 * The rules of a step:
 *   - No step waits: not for a lock, a socket or the clock. It asks for that with lathe_wait_*() and returns.
 *   - Steps of different items run at the same time on different threads: what they share is locked, or there is nothing.
 *   - Computing looks at lathe_stopping() about every millisecond; told to stop, it returns; what it then says does not count.
 *   - drop() releases what step() opened. It is called once for every item that was stepped, however it ended: done,
 *     failed, cancelled, timed out, half-way. An item that failed may be begun anew, from a zeroed state, after its drop().
 *   - What an item comes to follows from params, index and input, and from what it asked of others: a child that dies is
 *     replaced and its items are run again.
 *   - `it` and all that it points to but `state` is there for the call only, and belongs to the thread of the call.
 *
 * Faults. A crash, a leak or a step that never returns ends the process it is in. Under a strategy with child processes
 * (multiprocessing, concurrent-futures, hybrid) that fails the item and no other. LATHE_PROCESS_ONLY says that this handler
 * is run in children whatever strategy is asked for.
 */
#ifndef LATHE_HANDLER_H
#define LATHE_HANDLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised when a plug-in has to be built anew. What only grows does not raise it: the sizes in struct lathe_plugin tell. An
 * older plug-in runs under a newer Lathe of the same ABI; a newer plug-in is refused by a Lathe that knows less. */
#define LATHE_ABI 1u
#define LATHE_MAGIC 0x4854414cu

#define LATHE_MS INT64_C(1000000) /* lathe_now() in a millisecond */
#define LATHE_NEVER INT64_MAX

#if defined(__GNUC__)
#define LATHE_FORMAT(at, first) __attribute__((format(printf, at, first)))
#define LATHE_EXPORT __attribute__((visibility("default")))
#else
#define LATHE_FORMAT(at, first)
#define LATHE_EXPORT
#endif

/* What a step answers. */
enum lathe_step { LATHE_DONE, LATHE_FAIL, LATHE_WAIT, LATHE_SNOOZE };

/* Why an item failed. What may mend is tried again where the task has retries. */
enum lathe_failure {
    LATHE_FAILED,      /* may mend */
    LATHE_UNREACHABLE, /* a server cannot be reached: may mend */
    LATHE_BAD_INPUT,   /* the item's input is wrong */
    LATHE_REJECTED,    /* another will not do what it was asked, and never will */
};

struct lathe_host;

/* An item, as a step sees it. */
struct lathe_item {
    const struct lathe_host *host;
    int64_t index;      /* of the item in its task, from 0 */
    const char *input;  /* its JSON text, without NUL; input_n 0: items were only counted */
    size_t input_n;     /* bytes */
    const void *params; /* params_size bytes, filled as `fields` says */
    void *state;        /* state_size bytes, aligned for any type */
    int64_t tries;      /* how often it has failed before */
};

/* What Lathe does for a step. Called by the thread that is in the step, and with its item. lathe_*() below are these. */
struct lathe_host {
    const char *version; /* of Lathe */
    int64_t (*now)(void);
    bool (*stopping)(const struct lathe_item *it);
    bool (*input_int)(struct lathe_item *it, int64_t min, int64_t max, int64_t *value);
    bool (*input_text)(struct lathe_item *it, char *text, size_t room);
    void (*write)(struct lathe_item *it, const void *bytes, size_t n);
    void (*print)(struct lathe_item *it, const char *format, ...) LATHE_FORMAT(2, 3);
    void (*text)(struct lathe_item *it, const char *text, size_t n);
    void (*progress)(struct lathe_item *it, double part);
    void (*log)(struct lathe_item *it, const char *format, ...) LATHE_FORMAT(2, 3);
    enum lathe_step (*fail_item)(struct lathe_item *it, enum lathe_failure why, const char *format, ...)
        LATHE_FORMAT(3, 4);
    enum lathe_step (*wait_until)(struct lathe_item *it, int64_t when);
    enum lathe_step (*wait_fd)(struct lathe_item *it, int fd, int events, int64_t until);
    enum lathe_step (*snooze)(struct lathe_item *it, int64_t ms);
};

/* A field of the params: Lathe reads, checks and documents it, and puts it at `offset` of the params struct. */
enum lathe_type {
    LATHE_INT,  /* int64_t; min..max; def */
    LATHE_NUM,  /* double; min..max; def_num */
    LATHE_BOOL, /* bool; def 0 or 1 */
    LATHE_TEXT, /* char[max + 1], ends in NUL; min..max bytes; def_text */
    LATHE_WORD, /* int: which of `words`; def */
};

struct lathe_field {
    const char *name;    /* small letters, digits and '_' */
    const char *summary; /* one line: what it means, and its unit */
    enum lathe_type type;
    size_t offset;
    int64_t min, max, def;
    double def_num;
    const char *def_text;     /* NULL: "" */
    const char *const *words; /* ends in NULL */
};

/* What `flags` of a handler say. */
#define LATHE_PROCESS_ONLY 1u /* run in child processes only, whatever strategy is asked for */
#define LATHE_INDEXED 2u      /* its result depends on the index also where there is an input */
#define LATHE_NOT_CACHED \
    4u /* it is there for what it does, or never says the same twice: cache_ttl_s is refused */

struct lathe_handler {
    const char *
        name; /* what callers say: letters, digits, '.', '_', '-'. Begin it with a word of yours: "acme.nap" */
    const char *summary; /* one line */
    const char *item;    /* what an input is, one line; NULL: it is not looked at */
    const struct lathe_field *fields;
    uint32_t fields_n;
    uint32_t flags;
    size_t params_size; /* plain bytes without pointers: they are copied to children */
    size_t state_size;
    int64_t
        version; /* raised when the same params and input come to another result: nothing cached is taken for it */
    enum lathe_step (*step)(struct lathe_item *it);
    void (*drop)(struct lathe_item *it); /* NULL: nothing to release */
};

/* What a plug-in exports, as `lathe_plugin`. The sizes are those of the header that it was built with. */
struct lathe_plugin {
    uint32_t magic, abi;
    uint32_t plugin_size, handler_size, field_size, item_size, host_size;
    uint32_t handlers_n;
    const struct lathe_handler *handlers;
};

extern LATHE_EXPORT const struct lathe_plugin lathe_plugin;

/* Once in a plug-in, of an array of struct lathe_handler. */
#define LATHE_PLUGIN(list)                                                                  \
    const struct lathe_plugin lathe_plugin = {LATHE_MAGIC,                                  \
                                              LATHE_ABI,                                    \
                                              (uint32_t)sizeof(struct lathe_plugin),        \
                                              (uint32_t)sizeof(struct lathe_handler),       \
                                              (uint32_t)sizeof(struct lathe_field),         \
                                              (uint32_t)sizeof(struct lathe_item),          \
                                              (uint32_t)sizeof(struct lathe_host),          \
                                              (uint32_t)(sizeof(list) / sizeof((list)[0])), \
                                              (list)}

/* ---- what a step may call */

/* Nanoseconds of a clock that is never set. */
static inline int64_t lathe_now(const struct lathe_item *it)
{
    return it->host->now();
}

/* The work should end now: it was cancelled, or its time is over. */
static inline bool lathe_stopping(const struct lathe_item *it)
{
    return it->host->stopping(it);
}

/* The input as an integer of min..max. *value is left alone when items were only counted. False: it is none, which
 * is the reason of the failure then: return LATHE_FAIL. */
static inline bool lathe_input_int(struct lathe_item *it, int64_t min, int64_t max, int64_t *value)
{
    return it->host->input_int(it, min, max, value);
}

/* The input as a string (UTF-8, with NUL behind it) in `room` bytes; likewise. It holds no NUL. */
static inline bool lathe_input_text(struct lathe_item *it, char *text, size_t room)
{
    return it->host->input_text(it, text, room);
}

/* The result: one JSON value, in as many pieces as you like; nothing counts as null. It is checked. 1 MiB at most. */
static inline void lathe_write(struct lathe_item *it, const void *bytes, size_t n)
{
    it->host->write(it, bytes, n);
}

/* As printf. Not for text of others: see lathe_text. */
#define lathe_print(it, ...) ((it)->host->print((it), __VA_ARGS__))

/* A JSON string, with its quotes, of any bytes: escaped, and what is no UTF-8 is replaced. */
static inline void lathe_text(struct lathe_item *it, const char *text, size_t n)
{
    it->host->text(it, text, n);
}

/* How much of the item is done, 0 to 1. Told when the step returns LATHE_WAIT. */
static inline void lathe_progress(struct lathe_item *it, double part)
{
    it->host->progress(it, part);
}

/* A line, as printf, for the log of the task (GET /api/v1/tasks/{id}/log); 1 KiB of it. */
#define lathe_log(it, ...) ((it)->host->log((it), __VA_ARGS__))

/* LATHE_FAIL, with a reason that the caller reads, as printf; 300 bytes of it. */
#define lathe_fail(it, why, ...) ((it)->host->fail_item((it), (why), __VA_ARGS__))

/* LATHE_WAIT, until then (lathe_now). */
static inline enum lathe_step lathe_wait_until(struct lathe_item *it, int64_t when)
{
    return it->host->wait_until(it, when);
}

/* LATHE_WAIT, until the descriptor has one of the events of poll(2), or until then; LATHE_NEVER: only the descriptor. */
static inline enum lathe_step lathe_wait_fd(struct lathe_item *it, int fd, int events, int64_t until)
{
    return it->host->wait_fd(it, fd, events, until);
}

/* LATHE_SNOOZE: not now. The run ends, nothing of it is kept, and the item's whole unit is run anew after so many ms
 * (100 at least, a day at most). That is no failure. */
static inline enum lathe_step lathe_snooze(struct lathe_item *it, int64_t ms)
{
    return it->host->snooze(it, ms);
}

#ifdef __cplusplus
}
#endif

#endif
